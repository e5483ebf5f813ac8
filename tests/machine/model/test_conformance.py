"""The public conformance data: every program gives its result, every bad one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfheap.errors import BpfheapError
from bpfheap.machine.model import run_raw
from bpfheap.testing.conformance import read_case, read_dir


def run(path: Path) -> bool:
    """Whether a case gives what it says; raises BpfheapError if it is refused or fails."""
    case = read_case(path)
    return run_raw(case.insns, case.mem or b"") == case.result


def failure(path: Path) -> str | None:
    try:
        return None if run(path) else "wrong result"
    except BpfheapError as error:
        return str(error)


def test_every_program_gives_its_result(conformance_dir: Path) -> None:
    cases = read_dir(conformance_dir / "tests")
    assert len(cases) == 313
    assert {c.stem: f for c in cases if (f := failure(c)) is not None} == {}


def test_every_negative_is_refused(conformance_dir: Path) -> None:
    cases = read_dir(conformance_dir / "negative")
    assert len(cases) == 60
    assert [c.stem for c in cases if failure(c) is None] == []
    wrong = [c.stem for c in cases if failure(c) == "wrong result"]
    assert wrong == ["incorrect_return_value_high_bits"]


@pytest.mark.parametrize("result", [0, 0x2])
def test_the_check_itself_can_fail(tmp_path: Path, result: int) -> None:
    path = tmp_path / "x.data"
    path.write_text(f"-- asm\nmov %r0, 2\nexit\n-- result\n{result:#x}\n")
    assert (failure(path) is None) == (result == 2)
