"""What pyproject.toml says twice, because two tools read it."""

from __future__ import annotations

import tomllib
from pathlib import Path

PROJECT = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())


def test_one_mypy_checks_and_compiles() -> None:
    """`make types` and mypyc in the build's own environment."""
    built, checked = (
        [one for one in names if one.startswith(("mypy>", "mypy="))]
        for names in (
            PROJECT["build-system"]["requires"],
            PROJECT["project"]["optional-dependencies"]["dev"],
        )
    )
    assert built == checked != []
