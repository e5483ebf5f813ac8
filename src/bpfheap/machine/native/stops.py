"""What a run that did not end is about, as errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from bpfheap.errors import BpfheapError, RunTooLong, Violation
from bpfheap.machine.native._core import Probe
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
    stop: str,
    program: NativeProgram,
    slot: int,
    called: object,
    limit: Limit,
    fault: int = 0,
) -> BpfheapError:
    """`stop` is one of the core's STOPS, `called` the name of what is called at `slot`, `fault` the
    address that a fault is about."""
    line = program.spec.line_of(slot)
    match stop:
        case "again":
            error = BpfheapError(f"program {program.name} waits for a lock that is never released")
            return _at(error, line)
        case "pause":
            return _out_of_steps(program, line, limit)
        case "no-call":
            return violation(line, f"call of {called}, which no machine knows")
        case "fault":
            what = f"the call of {called} at" if slot in program.calls else "the access at"
            return violation(
                line,
                f"program {program.name} reaches out of its memory: {what} instruction {slot} "
                f"is about {fault:#x}",
                kind="invalid-access",
            )
        case _:
            return violation(line, "a call would be the 9th frame on the stack")


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


def violation(line: SourceLine | None, text: str, kind: str = "bad-call") -> Violation:
    """What a program did, at a line of its source."""
    return Violation(
        text,
        kind=kind,
        file=None if line is None else line.file,
        line=None if line is None else line.line,
    )


#: How a run ended: what it stopped for, the program's id, slot, address of a fault, and where in
#: machine code that was.
End: TypeAlias = tuple[int, int, int, int, int]


class Sampler:
    """A program that a signal runs, until one of its runs does not end. `failure` says why that
    was."""

    def __init__(self, probe: Probe, failure: Callable[[End], BpfheapError]) -> None:
        self._probe = probe
        self._failure = failure

    def detach(self) -> None:
        self._probe.detach()

    def stats(self) -> tuple[int, int, int]:
        return self._probe.stats()

    def error(self) -> BpfheapError | None:
        end = self._probe.end()
        return None if end is None else self._failure(end)
