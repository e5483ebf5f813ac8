"""Times the same loops in the live kernel, as programs that it runs (BPF_PROG_TEST_RUN)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from bpfheap.bench.sides import SideBench, SideCase
from bpfheap.bench.verifier import machine_info
from bpfheap.compile import object_spec
from bpfheap.kernel import Kernel, available

_SOURCE: Final = Path(__file__).with_name("native.bpf.c")
#: Iterations of the loop in one run of a program (ROUNDS in native.bpf.c), and runs in a sample.
_ITERATIONS, _REPEAT = 1000, 200


def samples(kernel: Kernel, program: str, rounds: int) -> list[float]:
    """`rounds` samples of the nanoseconds for one iteration of a program of native.bpf.c, after one
    sample as warm-up. Raises KernelError if it does not run."""
    obj = object_spec(_SOURCE)
    spec = obj.programs[program]
    kernel.test_run(obj, spec, repeat=_REPEAT)
    return [kernel.test_run(obj, spec, repeat=_REPEAT).ns / _ITERATIONS for _ in range(rounds)]


def bench_beside_kernel(
    name: str, rounds: int, measure: Callable[[Kernel | None], tuple[SideCase, ...]]
) -> SideBench:
    """Run `measure` with the live kernel, or with None where bpf(2) is not allowed."""
    why = available()
    if why:
        return SideBench(name, machine_info(), rounds, measure(None), {"kernel": why})
    with Kernel(rewrite=True) as kernel:
        return SideBench(name, machine_info(), rounds, measure(kernel), {})
