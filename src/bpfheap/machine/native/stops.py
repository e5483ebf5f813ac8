"""What a run that did not end is about, as errors."""

from __future__ import annotations

from dataclasses import dataclass

from bpfheap.errors import BpfheapError, RunTooLong, Violation
from bpfheap.machine.native.records import NativeProgram
from bpfheap.spec import SourceLine


@dataclass(frozen=True, slots=True)
class Limit:
    """How far one run may go.

    `steps`: how many steps.
    `counts_instructions`: are steps instructions in loops, or calls and jumps back?
    """

    steps: int
    counts_instructions: bool


def failure(
    stop: str, program: NativeProgram, slot: int, called: object, limit: Limit
) -> BpfheapError:
    """`stop` is one of the core's STOPS, `called` the name of what is called at `slot`."""
    line = program.spec.line_of(slot)
    match stop:
        case "again":
            error = BpfheapError(f"program {program.name} waits for a lock that is never released")
            return _at(error, line)
        case "pause":
            return _out_of_steps(program, line, limit)
        case "no-call":
            return _violation(line, f"call of {called}, which no machine knows")
        case _:
            return _violation(line, "a call would be the 9th frame on the stack")


def _out_of_steps(program: NativeProgram, line: SourceLine | None, limit: Limit) -> BpfheapError:
    made = "ran for" if limit.counts_instructions else "made"
    what = "instructions in loops" if limit.counts_instructions else "calls and jumps back"
    error = RunTooLong(
        f"program {program.name} {made} {limit.steps} {what} without coming to an end",
        hint="its loops must end; raise the budget if it needs more",
    )
    return _at(error, line)


def _at(error: BpfheapError, line: SourceLine | None) -> BpfheapError:
    return error if line is None else error.at(line.file, line.line)


def _violation(line: SourceLine | None, text: str) -> Violation:
    return Violation(
        text,
        kind="bad-call",
        file=None if line is None else line.file,
        line=None if line is None else line.line,
    )
