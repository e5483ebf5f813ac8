"""`bpfheap bench maps`: the native machine's hash maps beside the live kernel's."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

from bpfheap.bench import kernel_loops
from bpfheap.bench.kernel_loops import bench_beside_kernel
from bpfheap.bench.names import ROUNDS, MapCase
from bpfheap.bench.sides import NS, RATIO, Progress, SideBench, SideCase, no_progress
from bpfheap.kernel import Kernel
from bpfheap.machine.native import _core

_KEYS, _VALUE, _ENTRIES = 4, 8, 4096
_OPERATIONS: Final = 200_000
#: Elements of a fill, as in loops.c.
_FILL: Final = 1000


ABOUT: Final = {
    MapCase.HASH_DYNAMIC_OVER_PREALLOC: "update and delete in a map that allocates its elements, "
    "over one that has them all from the start",
    MapCase.HASH_UPDATE_DELETE: "update and delete of one of 1,024 keys of 4 bytes, the worse of "
    "a map that allocates and one that does not",
    MapCase.HASH_LOOKUP_HIT: "lookup of one of 1,024 keys that are there",
    MapCase.FILL_DELETE_1000: "update of 1,000 keys, then delete of all; for each key, the worse "
    "of both kinds of maps",
}


class _Maps:
    """A preallocated hash map, and one that allocates its elements when they are inserted."""

    def __init__(self) -> None:
        self._core = _core.Core(cpus=2)
        shape = _core.SHAPES.index("hash")
        self._maps = {
            kind: _core.Map(
                self._core, 1, shape, _KEYS, _VALUE, _ENTRIES, preallocated=kind == "prealloc"
            )
            for kind in KINDS
        }

    def sample(self, kind: str, loop: str) -> float:
        """Nanoseconds for one iteration of the loop (one operation, or an update and a delete)."""
        each = _FILL if loop == "fill_delete" else 1
        rounds = _OPERATIONS // each
        number = _core.MAP_LOOPS.index(loop)
        took = _core.map_loop(self._core, self._maps[kind], number, rounds)
        if not took:
            raise MemoryError
        return took / rounds / each

    def samples(self, loop: str, rounds: int) -> dict[str, list[float]]:
        """Samples of each kind of map, in turns, after one of each as warm-up."""
        found: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for number in range(rounds + 1):
            for kind, times in found.items():
                took = self.sample(kind, loop)
                if number:
                    times.append(took)
        return found


KINDS: Final = ("dynamic", "prealloc")


def bench(
    cases: Sequence[MapCase] = tuple(MapCase),
    *,
    rounds: int = ROUNDS,
    progress: Progress = no_progress,
) -> SideBench:
    """Measure the cases; without bpf(2) the kernel is left out."""
    return bench_beside_kernel(
        "maps", rounds, lambda kernel: _bench(cases, rounds, progress, kernel)
    )


def _bench(
    cases: Sequence[MapCase], rounds: int, progress: Progress, kernel: Kernel | None
) -> tuple[SideCase, ...]:
    maps = _Maps()
    found: list[SideCase] = []
    for done, name in enumerate(cases):
        progress(name, done)
        match name:
            case MapCase.HASH_DYNAMIC_OVER_PREALLOC:
                times = maps.samples("update_delete", 4 * rounds)
                pairs = [a / b for a, b in zip(times["dynamic"], times["prealloc"], strict=True)]
                found.append(SideCase(name, ABOUT[name], RATIO, {"": 1.05}, ours=pairs))
            case MapCase.HASH_UPDATE_DELETE:
                found.append(_worse(name, maps, "update_delete", rounds, kernel, 0.5))
            case MapCase.FILL_DELETE_1000:
                found.append(_worse(name, maps, "fill_delete", rounds, kernel, 1.0))
            case MapCase.HASH_LOOKUP_HIT:
                made = SideCase(name, ABOUT[name], NS, {"kernel": 0.5})
                made.ours = maps.samples("lookup", rounds)["prealloc"]
                if kernel is not None:
                    made.peers["kernel"] = kernel_loops.samples(kernel, "lookup", rounds)
                found.append(made)
    progress("", len(cases))
    return tuple(found)


def _worse(
    name: MapCase, maps: _Maps, loop: str, rounds: int, kernel: Kernel | None, most: float
) -> SideCase:
    """Measure both kinds of maps; report the kind with the worse ratio to the kernel."""
    ours = maps.samples(loop, rounds)
    median = {kind: statistics.median(times) for kind, times in ours.items()}
    more: dict[str, object] = {"ours_by_kind": median}
    worse = max(median, key=lambda kind: median[kind])
    made = SideCase(name, ABOUT[name], NS, {"kernel": most}, extra=more)
    if kernel is not None:
        theirs = {k: kernel_loops.samples(kernel, f"{loop}_{k}", rounds) for k in KINDS}
        medians = {kind: statistics.median(times) for kind, times in theirs.items()}
        more["kernel_by_kind"] = medians
        worse = max(KINDS, key=lambda kind: median[kind] / medians[kind])
        made.peers["kernel"] = theirs[worse]
    made.ours = ours[worse]
    return made
