"""What pyproject.toml says of tools, and the code to them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())


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


(_UNREACHED,) = PROJECT["tool"]["coverage"]["report"]["exclude_lines"]


@pytest.mark.parametrize(
    ("line", "excluded"),
    [
        ("raise KeyError(key)  # pragma: no cover - names are checked", True),
        ("raise KeyError(key)  # pragma: no cover", False),
        ("raise KeyError(key)  # pragma: no cover - ", False),
    ],
)
def test_what_is_not_covered_says_why(line: str, excluded: bool) -> None:
    assert bool(re.search(_UNREACHED, line)) == excluded


def test_no_pragma_is_without_effect() -> None:
    pragmas = [
        line
        for path in (REPO / "src").rglob("*.py")
        for line in path.read_text().splitlines()
        if "pragma:" in line
    ]
    assert [line for line in pragmas if not re.search(_UNREACHED, line)] == []
    assert pragmas
