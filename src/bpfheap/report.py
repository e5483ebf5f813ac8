"""The details of an error below its one line, for terminals and test reports alike."""

from __future__ import annotations

from collections.abc import Sequence

from bpfheap.errors import (
    BpfheapError,
    CompileError,
    ProgramError,
    Unsupported,
    VerifierError,
    Violation,
)


def numbered(life: Sequence[str]) -> list[str]:
    """An object's life or a history, oldest first, as a numbered list. Below each sentence comes
    its source line, if the sentence has one."""
    lines = []
    for number, sentence in enumerate(life, 1):
        lines.append(f"{number:3}. {sentence}")
        at = getattr(sentence, "line", None)
        if at is not None and at.text.strip():
            lines.append(f"     > {at.text.strip()}")
    return lines


def details(error: BpfheapError) -> list[str]:
    """Lines to print below `str(error)`, without newlines; may be none."""
    match error:
        case Violation(life=life) if life:
            return ["the object's life:", *numbered(life)]
        case VerifierError():
            return _rejection(error)
        case Unsupported(missing=missing):
            return [*_source(error), *(["missing:"] if missing else []), *_listed(missing)]
        case CompileError(diagnostics=diagnostics) if diagnostics:
            return diagnostics.splitlines()
    return []


def _listed(names: Sequence[str]) -> list[str]:
    return [f"    {name}" for name in names]


def _rejection(error: VerifierError) -> list[str]:
    lines = _source(error)
    if error.history:
        lines += ["how it came about:", *(f"    {sentence}" for sentence in error.history)]
    if error.path:
        lines += ["the path to it:", *(f"    {row}" for row in _path(error))]
    return lines


def _source(error: ProgramError) -> list[str]:
    """The source line, with a caret below it."""
    lines = []
    if error.source:
        lines.append(f"{error.line or '':>5} | {error.source}")
    where = []
    if error.insn is not None:
        where.append(f"instruction {error.insn}")
    if error.register is not None:
        where.append(f"register {error.register}")
    if where:
        lines.append(f"      | {caret(error)}at {', '.join(where)}")
    return lines


def caret(error: ProgramError) -> str:
    """The line below the source line up to the caret, and a space; "" if the column is unknown."""
    if not error.source or error.column is None or not 0 < error.column <= len(error.source):
        return ""
    # Tabs stay tabs, so that the caret is below its character however wide they are.
    before = error.source[: error.column - 1]
    return "".join("\t" if c == "\t" else " " for c in before) + "^ "


def _path(error: VerifierError) -> list[str]:
    rows = []
    for step in error.path:
        if step.note:
            rows.append(step.note)
            continue
        place = f"instruction {step.insn}"
        if step.line is not None:
            same = step.file == error.file
            place = f"line {step.line}" if same else f"{step.file}:{step.line}"
        went = f" -> {step.went}" if step.went else ""
        text = f": {step.text}" if step.text else ""
        rows.append(f"{'  ' * step.depth}{place}{text}{went}")
    return rows
