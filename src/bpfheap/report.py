"""What an error has to say beyond its one line, for terminals and test reports alike."""

from __future__ import annotations

from collections.abc import Sequence

from bpfheap.errors import BpfheapError, CompileError, VerifierError, Violation


def numbered(life: Sequence[str]) -> list[str]:
    """An object's life or a history, oldest first, as a numbered list; below a sentence the source
    line that it speaks of, if that is known."""
    lines = []
    for number, sentence in enumerate(life, 1):
        lines.append(f"{number:3}. {sentence}")
        at = getattr(sentence, "line", None)
        if at is not None and at.text.strip():
            lines.append(f"     > {at.text.strip()}")
    return lines


def details(error: BpfheapError) -> list[str]:
    """Lines to print below `str(error)`, without a newline at their ends; may be none."""
    match error:
        case Violation(life=life) if life:
            return ["the object's life:", *numbered(life)]
        case VerifierError():
            return _rejection(error)
        case CompileError(diagnostics=diagnostics) if diagnostics:
            return diagnostics.splitlines()
    return []


def _rejection(error: VerifierError) -> list[str]:
    lines = []
    if error.source:
        lines.append(f"{error.line or '':>5} | {error.source}")
    where = []
    if error.insn is not None:
        where.append(f"instruction {error.insn}")
    if error.register is not None:
        where.append(f"register {error.register}")
    if where:
        lines.append(f"      | at {', '.join(where)}")
    return lines
