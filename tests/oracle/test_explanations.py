"""What the oracle's rejections say of themselves: each has a path, and sentences that end."""

from __future__ import annotations

import pytest
from oracle_cases import OracleCase, case_files

from bpfheap.report import details
from bpfheap.verifier import Options, verify

#: Some of each file; tests/verifier/test_origin.py asks more of fewer programs.
_CASES = [case for file in case_files() for case in file.cases if not case.ours.accept][::6]


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_explanation(case: OracleCase) -> None:
    error = verify(case.obj, case.program, Options(complexity_limit=case.limit)).error
    assert error is not None
    assert error.hint
    # What is wrong with a map is wrong before the first instruction, and what a callback throws is
    # looked for when all is walked.
    if "cannot be called from callback" not in error.message:
        assert (0 < len(error.path) < 30) == (error.insn is not None)
    for sentence in error.history:
        assert 0 < len(sentence) < 1_000
        assert "\n" not in sentence
    assert len(details(error)) >= (0 if error.insn is None else 2) + len(error.path)
