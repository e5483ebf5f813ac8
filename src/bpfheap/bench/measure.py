"""One program through our verifier and the kernel's, in turns, and how long each took."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from bpfheap.bench.programs import Group, Program, Source, Unreadable
from bpfheap.errors import BpfheapError
from bpfheap.kernel import KernelVerdict
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Verdict, verify

#: Seconds after which a program gets no further round.
_ENOUGH: Final = 5.0


class Oracle(Protocol):
    """The live kernel; `ns` of its verdict is the time of a load without a log."""

    def verify(
        self, obj: ObjectSpec, program: ProgramSpec, *, log: bool = False, stats: bool = False
    ) -> KernelVerdict: ...


@dataclass(slots=True)
class Side:
    """What one of the two says of a program, and the nanoseconds of each round. `accepted` is None
    if it says nothing; `error` is then why, else the reason of a rejection. `processed` counts
    instructions on all paths."""

    accepted: bool | None = None
    processed: int | None = None
    error: str = ""
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
    """`slots` is the program's length; `kernel` is None where the kernel cannot be asked."""

    source: Source
    program: str
    slots: int
    ours: Side
    kernel: Side | None

    @property
    def group(self) -> Group:
        return self.source.group

    @property
    def time_ratio(self) -> float | None:
        """Median by median, ours by the kernel's; infinite if we are wrong about the program, None
        if the kernel says nothing of it."""
        return self._ratio(lambda side: side.median)

    @property
    def processed_ratio(self) -> float | None:
        """As `time_ratio`, of instructions processed."""
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
        """Does the kernel say otherwise, or do we say nothing where it could be asked?"""
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
    """For JSON, which has no infinity: null."""
    return None if ratio is None or not math.isfinite(ratio) else round(ratio, 4)


def unreadable(found: Unreadable, kernel: Oracle | None) -> Measured:
    """In place of the programs of a source that nothing can be measured of."""
    theirs = None if kernel is None else Side()
    return Measured(found.source, found.source.name, 0, Side(error=str(found.error)), theirs)


def measured(program: Program, kernel: Oracle | None, rounds: int) -> Measured:
    """Both sides in turns, `rounds` times or until it has been enough, but once at least."""
    ours, theirs = Side(), Side()
    began = time.perf_counter()
    for number in range(rounds):
        if number and time.perf_counter() - began > _ENOUGH:
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


def _verify(program: Program, side: Side) -> None:
    started = time.perf_counter_ns()
    try:
        verdict = verify(program.obj, program.spec)
    except Exception as error:
        # A verifier must not fail at anything: that it does is what there is to tell.
        side.error = " ".join(f"{type(error).__name__}: {error}".split())
        return
    side.ns.append(time.perf_counter_ns() - started)
    _note(side, verdict)


def _note(side: Side, verdict: Verdict) -> None:
    side.accepted = verdict.accepted
    side.processed = verdict.insns_processed
    side.error = "" if verdict.error is None else str(verdict.error)


def _load(program: Program, kernel: Oracle, side: Side, *, stats: bool) -> None:
    """With `stats`, a second load, which does not count, tells the number of instructions."""
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
    """What is alive now, the corpus above all, is not walked by collections: a verifier that has
    one program to look at does not pay for ninety others."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
