"""Which calls a program has, by the rows of its instructions."""

from __future__ import annotations

from collections.abc import Iterator

from bpfheap.isa import Kind, instructions
from bpfheap.platform.calls import CALL_BY_NAME, HELPER_BY_NUMBER, Call
from bpfheap.platform.kfuncs import kfunc_row
from bpfheap.spec import ProgramSpec, RefKind


def calls_of(program: ProgramSpec) -> Iterator[tuple[int, Call | None]]:
    """The slot of each call that leaves the program, its subprograms and callbacks included, and
    the row of what is called: None if it has none, or if only a run tells (callx).

    Raises InsnError for what is no program.
    """
    for slot, op in instructions(program.insns):
        match op.kind:
            case Kind.CALL_HELPER:
                yield slot, HELPER_BY_NUMBER.get(program.insns[slot].imm)
            case Kind.CALL_KFUNC:
                ref = program.refs.get(slot)
                yield slot, None if ref is None else kfunc_row(ref.name)
            case Kind.CALL_REG:
                yield slot, None


def row_of(name: str) -> Call:
    """The row of a helper, or of a kfunc that has one. Raises KeyError."""
    return kfunc_row(name) or CALL_BY_NAME[name]


def names_of_calls(program: ProgramSpec) -> Iterator[tuple[int, str]]:
    """The slot of each such call, and the name of what is called: kfuncs that no table has, too.
    Without what only a run tells, and helpers that no table has.

    Raises InsnError for what is no program.
    """
    for slot, row in calls_of(program):
        ref = program.refs.get(slot)
        if row is not None:
            yield slot, row.name
        elif ref is not None and ref.kind is RefKind.KFUNC:
            yield slot, ref.name
