"""`bpfheap bench heap`: the native heap, the mallocs that are installed, the kernel's allocator."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from bpfheap.bench import kernel_loops
from bpfheap.bench.mallocs import LIBRARIES, LIVE, Child, child, footprint, library
from bpfheap.bench.names import ROUNDS, HeapCase
from bpfheap.bench.sides import FASTEST, NS, RATIO, Progress, SideBench, SideCase, no_progress
from bpfheap.bench.verifier import machine_info
from bpfheap.kernel import Kernel, available

_MILLION: Final = 1_000_000
_MIB: Final = 1 << 20


ABOUT: Final = {
    HeapCase.ALLOC_FREE_32: "one object of 32 bytes: allocate, free by its pointer alone",
    HeapCase.TRACKED_OVER_UNTRACKED: "the same pair with the count that watermarks and statistics "
    "read, over one that moves a pointer between two watermarks and counts nothing",
    HeapCase.FREE_BY_POINTER_OVER_TOLD: "a free that has the pointer alone, over one that is told "
    "the unit and has to find the cache",
    HeapCase.BATCH_10K_RANDOM: "10,000 objects of 32 bytes, written to, then freed in random "
    "order; for each",
    HeapCase.PRODUCER_CONSUMER: "an object of 64 bytes from one thread to another, which frees it",
    HeapCase.LIVE_64B_MILLION: "resident bytes for a million live objects of 64 bytes, over 64 "
    "million",
    HeapCase.SCALING: "pairs per second of two threads, over those of one",
}


def bench(
    cases: Sequence[HeapCase] = tuple(HeapCase),
    *,
    rounds: int = ROUNDS,
    progress: Progress = no_progress,
) -> SideBench:
    """Measure the cases. Peers that are not installed are left out."""
    missing: dict[str, str] = {}
    found: list[SideCase] = []
    with ExitStack() as stack:
        children: dict[str, Child] = {}
        for name, wanted in LIBRARIES.items():
            if wanted is not None and library(name) is None:
                missing[name] = f"there is no lib{wanted}"
                continue
            process = stack.enter_context(child(name))
            if process.ready:
                children[name] = process
            else:
                missing[name] = "it could not be put into a process"
        why = available()
        if why:
            missing["kernel"] = why
        for done, name in enumerate(cases):
            progress(name, done)
            found.append(_MEASURES[name](children, rounds))
            if name is HeapCase.ALLOC_FREE_32 and not why:
                with Kernel(rewrite=True) as kernel:
                    times = kernel_loops.samples(kernel, "new_drop", rounds)
                found[-1].peers["kernel"] = times
        progress("", len(cases))
    return SideBench("heap", machine_info(), rounds, tuple(found), missing)


def _beside_mallocs(
    name: HeapCase, thresholds: dict[str, float], children: dict[str, Child], rounds: int
) -> SideCase:
    case = SideCase(name, ABOUT[name], NS, thresholds)
    for peer, process in children.items():
        case.ours_by_peer[peer], case.peers[peer] = process.samples(name, rounds)
        case.ours = case.ours or case.ours_by_peer[peer]
    return case


def _ours_by_ours(
    name: HeapCase, thresholds: dict[str, float], children: dict[str, Child], rounds: int
) -> SideCase:
    # Many short rounds in turns: the difference is less than a tenth of a nanosecond.
    ours, theirs = children["glibc"].samples(name, 6 * rounds)
    pairs = [a / b for a, b in zip(ours, theirs, strict=True)]
    return SideCase(
        name,
        ABOUT[name],
        RATIO,
        thresholds,
        ours=pairs,
        extra={"sides": {"this": statistics.median(ours), "that": statistics.median(theirs)}},
    )


def _live(children: dict[str, Child], rounds: int) -> SideCase:
    name = HeapCase.LIVE_64B_MILLION
    before, during, after, mapped = footprint(64, _MILLION)
    extra = {
        "mapped_bytes": mapped,
        "resident_bytes": during - before,
        "left_bytes": after - before,
        "left_passed": after - before <= _MIB,
    }
    ours = [max(during - before, mapped) / (64 * _MILLION)]
    return SideCase(name, ABOUT[name], RATIO, {"": 1.05}, ours=ours, extra=extra)


def _scaling(children: dict[str, Child], rounds: int) -> SideCase:
    name = HeapCase.SCALING
    one, two = children["glibc"].samples(name, rounds)
    curve: dict[str, list[float]] = {}
    for peer, process in children.items():
        for live in LIVE:
            ours, theirs = process.samples(f"among_{live}", max(3, rounds // 5))
            curve.setdefault(peer, []).append(statistics.median(theirs))
            if peer == "glibc":
                curve.setdefault("bpfheap", []).append(statistics.median(ours))
    extra = {"live": list(LIVE), "ns_among_live": curve}
    gained = [a / b for a, b in zip(one, two, strict=True)]
    return SideCase(name, ABOUT[name], RATIO, {"": -1.8}, ours=gained, extra=extra)


_MEASURES: Final[dict[HeapCase, Callable[[dict[str, Child], int], SideCase]]] = {
    HeapCase.ALLOC_FREE_32: partial(
        _beside_mallocs, HeapCase.ALLOC_FREE_32, {FASTEST: 0.45, "kernel": 0.02}
    ),
    HeapCase.TRACKED_OVER_UNTRACKED: partial(
        _ours_by_ours, HeapCase.TRACKED_OVER_UNTRACKED, {"": 1.03}
    ),
    HeapCase.FREE_BY_POINTER_OVER_TOLD: partial(
        _ours_by_ours, HeapCase.FREE_BY_POINTER_OVER_TOLD, {"": 1.10}
    ),
    HeapCase.BATCH_10K_RANDOM: partial(_beside_mallocs, HeapCase.BATCH_10K_RANDOM, {FASTEST: 1.0}),
    HeapCase.PRODUCER_CONSUMER: partial(
        _beside_mallocs, HeapCase.PRODUCER_CONSUMER, {FASTEST: 1.0}
    ),
    HeapCase.LIVE_64B_MILLION: _live,
    HeapCase.SCALING: _scaling,
}
