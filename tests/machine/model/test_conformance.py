"""The public conformance data: every program gives its result, every bad one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfheap.machine.model import run_raw
from bpfheap.testing.conformance import failure, read_dir


def test_every_program_gives_its_result(conformance_dir: Path) -> None:
    cases = read_dir(conformance_dir / "tests")
    assert len(cases) == 313
    assert {c.stem: f for c in cases if (f := failure(c, run_raw)) is not None} == {}


def test_every_negative_is_refused(conformance_dir: Path) -> None:
    cases = read_dir(conformance_dir / "negative")
    assert len(cases) == 60
    assert [c.stem for c in cases if failure(c, run_raw) is None] == []
    wrong = [c.stem for c in cases if failure(c, run_raw) == "wrong result"]
    assert wrong == ["incorrect_return_value_high_bits"]


@pytest.mark.parametrize("result", [0, 0x2])
def test_the_check_itself_can_fail(tmp_path: Path, result: int) -> None:
    path = tmp_path / "x.data"
    path.write_text(f"-- asm\nmov %r0, 2\nexit\n-- result\n{result:#x}\n")
    assert (failure(path, run_raw) is None) == (result == 2)
