"""Memory that cannot be had, at every point where it is asked for: each caller is told, and nothing
stays behind."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import BpfheapError, MapError
from bpfheap.platform.maps import BY_NAME
from bpfheap.spec import ObjectSpec

pytest.importorskip("bpfheap.machine.native._core")
from bpfheap.machine.native import _core
from bpfheap.machine.native import machine as native

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def sample() -> ObjectSpec:
    return object_spec(HERE / "sample.bpf.c")


def use(rt: bpfheap.Runtime, sample: ObjectSpec) -> bool:
    """Load and run programs, change maps: whether somebody was told that there is no memory."""
    told = False
    try:
        obj = rt.load(sample)
        for _ in range(3):
            told |= obj.programs["work"].run(repeat=300).retval == 2
        for key in range(64):
            obj.maps["slots"][key] = {}
    except (MemoryError, BpfheapError):
        told = True
    return told


def scenario(sample: ObjectSpec, n: int) -> tuple[bool, int]:
    """With the n-th mapping, and all after it, refused: whether somebody was told, and the bytes
    that are mapped when all is over."""
    rt = bpfheap.Runtime(machine="native")
    machine = rt.system.machine
    assert isinstance(machine, native.NativeMachine)
    core = machine._core
    core.fail_at(n)
    told = use(rt, sample)
    # What could not be had is there again, and what there is goes on.
    core.fail_at(0)
    assert rt.close() == []
    del rt, machine
    gc.collect()
    core.barrier()
    return told, core.mapped


def test_every_mapping_may_fail(sample: ObjectSpec) -> None:
    told, n = True, 0
    while told:
        n += 1
        told, mapped = scenario(sample, n)
        assert mapped == 0, n
    # Maps, units, their caches and tables, slabs.
    assert n > 8


def used(heap: Any, core: Any, size: int) -> int | None:
    """Allocate and free objects of a size: how many are left, None if there was no unit."""
    try:
        unit = heap.unit(size)
        unit.prefill(20)
    except MemoryError:
        return None
    with core.enter() as run:
        addresses = [a for _ in range(200) if (a := run.alloc(unit)) is not None]
        # Those were promised.
        assert len(addresses) >= 20
        for number, address in enumerate(addresses[1:]):
            if number % 3:
                run.free(address)
            else:
                run.free_rcu(address)
    return 200 - len(addresses)


def heaps(n: int) -> bool:
    """The same for the heap alone: large and small objects, prefill, grace periods, the end."""
    core = _core.Core(cpus=2)
    core.fail_at(n)
    heap = _core.Heap(core)
    missing = [used(heap, core, size) for size in (32, 1000, 100_000)]
    live = sum(m is not None for m in missing)
    core.barrier()
    assert heap.stats()["live"] == live
    heap.close()
    core.barrier()
    assert heap.stats()["live"] == live
    del heap
    core.barrier()
    assert core.mapped == 0, n
    return missing != [0, 0, 0]


def test_heaps_without_memory() -> None:
    n = 1
    while heaps(n):
        n += 1
    assert n > 10


def test_a_map_that_is_too_large_for_memory(sample: ObjectSpec) -> None:
    machine = native.NativeMachine()
    spec = sample.maps["slots"].__class__(
        "huge", BY_NAME["array"].number, 4, 1 << 20, 4000, sample.btf
    )
    machine._core.fail_at(1)
    with pytest.raises(MapError, match="ENOMEM"):
        machine.map_create(1, spec, None, {})


def test_no_thread_for_the_core() -> None:
    """A process that may have no more threads gets an error, not a crash."""
    code = """
import resource, sys
from bpfheap.machine.native import _core
resource.setrlimit(resource.RLIMIT_AS, (1, resource.getrlimit(resource.RLIMIT_AS)[1]))
try:
    _core.Core()
except OSError as error:
    sys.exit(7)
except MemoryError:
    sys.exit(7)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
