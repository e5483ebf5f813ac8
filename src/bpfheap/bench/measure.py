"""Times one program in bpfheap's verifier and in the kernel's, in turns."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from bpfheap.bench.programs import BenchProgram, CorpusSource, Group, UncompiledSource
from bpfheap.errors import BpfheapError
from bpfheap.kernel import KernelVerdict
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Verdict, VerdictKind, verify

#: Seconds after which a program gets no further round.
_MAX_SECONDS: Final = 5.0


class Oracle(Protocol):
    """The live kernel; `ns` of its verdict is the time of a load without a log."""

    def verify(
        self, obj: ObjectSpec, program: ProgramSpec, *, log: bool = False, stats: bool = False
    ) -> KernelVerdict: ...


@dataclass(slots=True)
class Side:
    """What one of the two verifiers says of a program, and how long it took."""

    #: None if there is no verdict.
    accepted: bool | None = None
    #: Instructions processed, over all paths.
    processed: int | None = None
    #: Why the program is rejected, or why there is no verdict.
    error: str = ""
    #: Nanoseconds of each round.
    ns: list[int] = field(default_factory=list)

    @property
    def min(self) -> float:
        return min(self.ns, default=math.nan)

    @property
    def median(self) -> float:
        return statistics.median(self.ns) if self.ns else math.nan

    def to_json(self) -> dict[str, Any]:
        verdict = {True: "accept", False: "reject", None: None}[self.accepted]
        times = {"min": self.min, "median": self.median} if self.ns else None
        return {
            "verdict": verdict,
            "insns_processed": self.processed,
            "error": self.error or None,
            "ns": times,
            "rounds_ns": self.ns,
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """One program with the measurements of both verifiers."""

    source: CorpusSource
    program: str
    #: The program's length in instruction slots.
    slots: int
    ours: Side
    #: None where there is no kernel to ask.
    kernel: Side | None

    @property
    def group(self) -> Group:
        return self.source.group

    @property
    def time_ratio(self) -> float | None:
        """Our median time divided by the kernel's; infinite if `wrong`, None if the kernel gave no
        verdict."""
        return self._ratio(lambda side: side.median)

    @property
    def processed_ratio(self) -> float | None:
        """The same for instructions processed."""
        return self._ratio(lambda side: side.processed or math.nan)

    def _ratio(self, of: Callable[[Side], float]) -> float | None:
        if self.wrong:
            return math.inf
        if self.kernel is None or self.kernel.accepted is None:
            return None
        ratio = of(self.ours) / of(self.kernel)
        return None if math.isnan(ratio) else ratio

    @property
    def wrong(self) -> bool:
        """Does the kernel give another verdict, or bpfheap none although there is a kernel?"""
        if self.kernel is None:
            return False
        if self.ours.accepted is None:
            return True
        return self.kernel.accepted is not None and self.ours.accepted != self.kernel.accepted

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.source.path.name,
            "group": str(self.group),
            "name": self.program,
            "insns": self.slots,
            "ours": self.ours.to_json(),
            "kernel": None if self.kernel is None else self.kernel.to_json(),
            "wrong": self.wrong,
            "ratio": {
                "insns_processed": finite(self.processed_ratio),
                "time": finite(self.time_ratio),
            },
        }


def finite(ratio: float | None) -> float | None:
    """The ratio, rounded; None for infinity, which JSON does not have."""
    return None if ratio is None or not math.isfinite(ratio) else round(ratio, 4)


def unmeasured(found: UncompiledSource, kernel: Oracle | None) -> Measured:
    """An entry without times for a source that could not be compiled."""
    theirs = None if kernel is None else Side()
    return Measured(found.source, found.source.name, 0, Side(error=str(found.error)), theirs)


def measured(program: BenchProgram, kernel: Oracle | None, rounds: int) -> Measured:
    """Measure both sides in turns: `rounds` times, or fewer if that takes over _MAX_SECONDS."""
    ours, theirs = Side(), Side()
    began = time.perf_counter()
    for number in range(rounds):
        if number and time.perf_counter() - began > _MAX_SECONDS:
            break
        _verify(program, ours)
        if kernel is not None and not (number and theirs.accepted is None):
            _load(program, kernel, theirs, stats=number == 0)
    return Measured(
        program.source,
        program.spec.name,
        len(program.spec.insns),
        ours,
        None if kernel is None else theirs,
    )


def _verify(program: BenchProgram, side: Side) -> None:
    started = time.perf_counter_ns()
    try:
        verdict = verify(program.obj, program.spec)
    except Exception as error:
        # A verifier must not raise, whatever the program: a crash is a result of the bench.
        side.error = " ".join(f"{type(error).__name__}: {error}".split())
        return
    side.ns.append(time.perf_counter_ns() - started)
    _note(side, verdict)


def _note(side: Side, verdict: Verdict) -> None:
    # An unsupported program has no verdict.
    side.accepted = None if verdict.kind is VerdictKind.UNSUPPORTED else verdict.accepted
    side.processed = verdict.insns_processed
    side.error = "" if verdict.error is None else " ".join(str(verdict.error).split())


def _load(program: BenchProgram, kernel: Oracle, side: Side, *, stats: bool) -> None:
    """Load into the kernel. `stats` adds a second load, not timed, that counts instructions."""
    try:
        verdict = kernel.verify(program.obj, program.spec, stats=stats)
    except BpfheapError as error:
        side.accepted, side.error = None, str(error)
        return
    side.ns.append(verdict.ns)
    side.accepted = verdict.accepted
    if stats:
        side.processed = verdict.insns_processed
        side.error = verdict.message


@contextmanager
def without_old_garbage() -> Iterator[None]:
    """Within it, garbage collections skip all objects that exist now, e.g. the compiled corpus,
    so that one program's time does not include walking ninety others."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
