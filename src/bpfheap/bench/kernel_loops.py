"""What the live kernel takes for the same: loops in programs that it runs (BPF_PROG_TEST_RUN)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from bpfheap.bench.sides import Bench, Case
from bpfheap.bench.verifier import machine_info
from bpfheap.compile import object_spec
from bpfheap.kernel import Kernel, available

_SOURCE: Final = Path(__file__).with_name("native.bpf.c")
#: Rounds of the loop in one run of a program, and runs in a sample.
_ROUNDS, _REPEAT = 1000, 200


def samples(kernel: Kernel, program: str, rounds: int) -> list[float]:
    """Nanoseconds for each round of the loop in a program of native.bpf.c, after one sample that
    does not count. Raises KernelError if it does not run."""
    obj = object_spec(_SOURCE)
    spec = obj.programs[program]
    kernel.test_run(obj, spec, repeat=_REPEAT)
    return [kernel.test_run(obj, spec, repeat=_REPEAT).ns / _ROUNDS for _ in range(rounds)]


def beside(name: str, rounds: int, measure: Callable[[Kernel | None], tuple[Case, ...]]) -> Bench:
    """A bench with the live kernel, or, where bpf(2) is not allowed, without."""
    why = available()
    if why:
        return Bench(name, machine_info(), rounds, measure(None), {"kernel": why})
    with Kernel(rewrite=True) as kernel:
        return Bench(name, machine_info(), rounds, measure(kernel), {})
