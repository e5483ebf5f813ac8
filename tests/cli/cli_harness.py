"""The command line, called in process, and something to give it: a plugin of these tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bpfheap.cli import main
from bpfheap.compile import compile_c

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Result]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """`bpfheap ARGS...` as a function. No call may end in a traceback or an internal error."""

    def call(*args: object) -> Result:
        code = main([str(arg) for arg in args])
        captured = capsys.readouterr()
        result = Result(code, captured.out, captured.err)
        assert "Traceback" not in result.out + result.err
        assert code in (0, 1, 2, 3, 4, 5, 6), result.err
        return result

    return call


@pytest.fixture(scope="session")
def first_object() -> bytes:
    """examples/first.bpf.c, compiled: most tests need not wait for a compiler."""
    return compile_c(EXAMPLES / "first.bpf.c")


@pytest.fixture
def first(tmp_path: Path, first_object: bytes) -> Path:
    path = tmp_path / "first.bpf.o"
    path.write_bytes(first_object)
    return path
