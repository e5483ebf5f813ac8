"""Times the native heap and another malloc in the same loops, in a process of their own into which
that malloc was preloaded (LD_PRELOAD).

Run as a program, it reads lines "CASE ROUNDS" from stdin and answers each with a line of JSON: the
samples of both sides.
"""

from __future__ import annotations

import ctypes.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bpfheap.host import ending_with_parent
from bpfheap.machine.native import _core

#: Name of a malloc -> its shared library; None for the C library's own.
LIBRARIES: Final = {
    "glibc": None,
    "jemalloc": "jemalloc",
    "mimalloc": "mimalloc",
    "tcmalloc": "tcmalloc_minimal",
}
#: Objects of a batch, as in loops.c.
BATCH: Final = 10_000
#: Numbers of live objects among which one is replaced at a time.
LIVE: Final = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)

#: The first line that a child prints.
_READY: Final = "ready\n"

Sample = Callable[[], float]


def library(name: str) -> str | None:
    """The file to preload for a malloc; None if it is not installed, or libc's own."""
    wanted = LIBRARIES[name]
    return None if wanted is None else ctypes.util.find_library(wanted)


class _Loops:
    """Runs the loops of loops.c in this process, on our heap or on the process's malloc."""

    def __init__(self) -> None:
        self._core = _core.Core(cpus=2)
        self._heap = _core.Heap(self._core)
        self._units: dict[int, _core.Unit] = {}

    def sample(self, loop: str, side: str, size: int, iterations: int, parameter: int = 0) -> float:
        """Nanoseconds for one iteration; `parameter` is what the loop makes of it."""
        unit = None
        if side != "peer":
            unit = self._units.setdefault(size, self._heap.unit(size))
        took = _core.loop(
            _core.LOOPS.index(loop),
            _core.SIDES.index(side),
            self._core,
            unit,
            size,
            iterations,
            parameter,
        )
        if not took:
            raise MemoryError
        return took / iterations


def _sides(loops: _Loops, case: str) -> tuple[Sample, Sample]:
    """Functions that take a sample of ours, and of the other side, in the case's unit."""

    def both(
        loop: str, size: int, iterations: int, each: int, parameter: int = 0
    ) -> tuple[Sample, Sample]:
        return (
            lambda: loops.sample(loop, "by_pointer", size, iterations, parameter) / each,
            lambda: loops.sample(loop, "peer", size, iterations, parameter) / each,
        )

    def ours(a: str, b: str) -> tuple[Sample, Sample]:
        return (
            lambda: loops.sample("pairs", a, 32, 500_000),
            lambda: loops.sample("pairs", b, 32, 500_000),
        )

    if case == "alloc_free_32":
        return both("pairs", 32, 500_000, 1)
    if case == "tracked_over_untracked":
        return ours("cache", "uncounted")
    if case == "free_by_pointer_over_told":
        return ours("by_pointer", "told")
    if case == "batch_10k_random":
        return both("batch", 32, 20, BATCH)
    if case == "producer_consumer":
        return both("pass_on", 64, 500_000, 1)
    if case.startswith("among_"):
        return both("among", 32, 500_000, 1, int(case.removeprefix("among_")))
    if case == "scaling":
        return (
            lambda: loops.sample("threads", "by_pointer", 32, 5_000_000, 1),
            lambda: loops.sample("threads", "by_pointer", 32, 5_000_000, 2) / 2,
        )
    raise ValueError(case)


def samples(case: str, rounds: int) -> tuple[list[float], list[float]]:
    """The samples of both sides, taken in turns, after one of each as warm-up."""
    a, b = _sides(_Loops(), case)
    a(), b()
    found = [(a(), b()) for _ in range(rounds)]
    return [x for x, _ in found], [y for _, y in found]


def footprint(size: int, live: int) -> tuple[int, int, int, int]:
    """Bytes resident before, with `live` objects of `size` bytes, and after; and bytes mapped for
    them."""
    return _core.footprint(_core.Core(cpus=2), size, live)


class Child:
    """A process with a peer's malloc; `ready` is false if that could not be preloaded."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.ready = process.stdout.readline() == _READY

    def samples(self, case: str, rounds: int) -> tuple[list[float], list[float]]:
        """`samples`, in the child. Raises MemoryError if the process is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{case} {rounds}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise MemoryError
        ours, theirs = json.loads(line)
        return ours, theirs


@contextmanager
def child(name: str) -> Iterator[Child]:
    """A process whose malloc is the peer `name`, which must be installed."""
    env = dict(os.environ)
    env.pop("LD_PRELOAD", None)
    found = library(name)
    if found is not None:
        env["LD_PRELOAD"] = found
    with subprocess.Popen(
        [sys.executable, "-m", "bpfheap.bench.mallocs"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env,
        text=True,
        preexec_fn=ending_with_parent(),
    ) as process:
        try:
            yield Child(process)
        finally:
            process.kill()


def _preloaded() -> bool:
    """Was LD_PRELOAD loaded? (The dynamic loader goes on with libc's malloc if it cannot.)"""
    wanted = os.environ.get("LD_PRELOAD", "")
    return Path(wanted).name in Path("/proc/self/maps").read_text()


def main() -> None:
    if not _preloaded():
        return
    print(_READY, end="", flush=True)
    for line in sys.stdin:
        case, rounds = line.split()
        print(json.dumps(samples(case, int(rounds))), flush=True)


if __name__ == "__main__":
    main()
