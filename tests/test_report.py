from __future__ import annotations

import pytest

from bpfheap.errors import (
    BpfheapError,
    CompileError,
    PathStep,
    Unsupported,
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
        (
            VerifierError("no", insn=7, source="\treturn *p;", line=12, column=9),
            ["   12 | \treturn *p;", "      | \t       ^ at instruction 7"],
        ),
        (
            VerifierError("no", source="short", line=12, column=9, history=("r0 came from f",)),
            ["   12 | short", "how it came about:", "    r0 came from f"],
        ),
        (
            VerifierError(
                "no",
                file="a.c",
                path=(
                    PathStep("a.c", 3, 0, "if (!p)", "r0 is not NULL (jump not taken)"),
                    PathStep(note="the line above 2 more times"),
                    PathStep("b.h", 4, 5, "return f(p);", depth=1),
                    PathStep(insn=6, text="(95) exit"),
                ),
            ),
            [
                "the path to it:",
                "    line 3: if (!p) -> r0 is not NULL (jump not taken)",
                "    the line above 2 more times",
                "      b.h:4: return f(p);",
                "    instruction 6: (95) exit",
            ],
        ),
        (VerifierError("no", insn=7), ["      | at instruction 7"]),
        (VerifierError("no"), []),
        (Unsupported("who knows"), []),
        (
            Unsupported("who knows", insn=7, missing=("bpf_x#9", "QUEUE")),
            ["      | at instruction 7", "missing:", "    bpf_x#9", "    QUEUE"],
        ),
    ],
)
def test_details(error: BpfheapError, lines: list[str]) -> None:
    assert details(error) == lines


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UsageError("so not", hint="but so"), "so not (but so)"),
        (UsageError("so not", file="a.c"), "a.c: so not"),
        (VerifierError("no"), "no"),
        (VerifierError("no", file="a.c", line=3, hint="ask"), "a.c:3: no\n    (ask)"),
        (VerifierError("no", detail="not even R1"), "no\n    not even R1"),
        (VerifierError("no", detail="not even R1", hint="ask"), "no\n    not even R1 (ask)"),
        (Unsupported("who knows", file="a.c", hint="ask"), "a.c: who knows (ask)"),
    ],
)
def test_the_first_line_of_a_rejection_is_linux_s(error: BpfheapError, text: str) -> None:
    assert str(error) == text


def test_the_detail_of_a_rejection_is_in_json() -> None:
    assert VerifierError("no").to_json()["detail"] is None
    assert VerifierError("no", detail="not even R1").to_json()["detail"] == "not even R1"
