from __future__ import annotations

import pytest

from bpfheap.errors import (
    BpfheapError,
    CompileError,
    UsageError,
    VerifierError,
    Violation,
)
from bpfheap.report import details


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (UsageError("so not", hint="but so"), []),
        (Violation("gone", kind="leak"), []),
        (
            Violation("gone", kind="use-after-free", life=("allocated at a.c:3", "freed at a.c:9")),
            ["the object's life:", "  1. allocated at a.c:3", "  2. freed at a.c:9"],
        ),
        (CompileError("refused"), []),
        (
            CompileError("refused", diagnostics="a.c:1:2: error: x\n ^\n"),
            ["a.c:1:2: error: x", " ^"],
        ),
        (
            VerifierError("no", insn=7, register="r2", source="  return *p;", line=12),
            ["   12 |   return *p;", "      | at instruction 7, register r2"],
        ),
        (VerifierError("no", insn=7), ["      | at instruction 7"]),
        (VerifierError("no"), []),
    ],
)
def test_details(error: BpfheapError, lines: list[str]) -> None:
    assert details(error) == lines
