"""The command line, called in process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from bpfheap.cli import main


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Result]


def caller(capsys: pytest.CaptureFixture[str]) -> Cli:
    """`bpfheap ARGS...` as a function. No call may end in a traceback or an internal error."""

    def call(*args: object) -> Result:
        code = main([str(arg) for arg in args])
        captured = capsys.readouterr()
        result = Result(code, captured.out, captured.err)
        assert "Traceback" not in result.out + result.err
        assert code in (0, 1, 2), result.err
        return result

    return call
