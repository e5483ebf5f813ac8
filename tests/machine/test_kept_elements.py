"""Maps whose elements Python keeps, and tries of prefixes, on all machines: values stay as long as
somebody may look at them, threads share such maps, and signals do without."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import MapError, UsageError
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID
from bpfheap.spec import ObjectSpec
from bpfheap.vmlinux import Vmlinux

VMLINUX = Path("/sys/kernel/btf/vmlinux")
SOURCE = Path(__file__).with_name("kept_elements.bpf.c")
PROFILE = """
#include <bpfheap.h>
struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(max_entries, 4);
	__uint(key_size, 4); __uint(value_size, 80);
} stacks SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 1);
	__uint(key_size, 4); __uint(value_size, 4);
} devices SEC(".maps");
char LICENSE[] SEC("license") = "GPL";
SEC("perf_event") int profile(void *ctx) { return bpf_get_stackid(ctx, &stacks, 0); }
"""


@pytest.fixture(scope="module")
def spec() -> ObjectSpec:
    return object_spec(SOURCE)


def words(*args: int) -> bytes:
    return b"".join(one.to_bytes(8, "little") for one in args)


def test_a_value_stays_until_its_readers_have_ended(
    machine: dict[str, Any], spec: ObjectSpec
) -> None:
    with bpfheap.Runtime(**machine) as rt:
        stays = rt.load(spec, programs=["stays"]).programs["stays"]
        assert [stays.run().retval for _ in range(20)] == [7] * 20


@pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF")
def test_what_a_value_holds_goes_with_it(machine: dict[str, Any]) -> None:
    spec = object_spec(SOURCE, target=Vmlinux(VMLINUX))
    with bpfheap.Runtime(**machine, kernel_btf=VMLINUX) as rt:
        obj = rt.load(spec, programs=["goes"])
        for _ in range(20):
            assert obj.programs["goes"].run().retval == 7
        rt.grace_period()
        under = rt.system.machine
        assert under.allocator_stats(GLOBAL_ALLOCATOR_ID).live == 0
        assert len(obj.maps["tasks"]) == 1
        assert rt.close() == []


def test_maps_in_maps(machine: dict[str, Any], spec: ObjectSpec) -> None:
    with bpfheap.Runtime(**machine) as rt:
        obj = rt.load(spec, programs=["which"])
        obj.maps["here"][0], obj.maps["there"][1] = 3, 4
        found = [[obj.programs["which"].run(words(at, index)).retval for index in range(3)]
                 for at in range(3)]  # fmt: skip
        assert found == [[3, 0, 0], [0, 4, 0], [0xFFFF_FFFF] * 3]


def test_a_trie_is_full(machine: dict[str, Any], spec: ObjectSpec) -> None:
    with bpfheap.Runtime(**machine) as rt:
        routes = rt.load(spec, programs=["stays"]).maps["routes"]
        for n in range(4):
            routes[{"length": 32, "bytes": [n] * 4}] = n
        with pytest.raises(MapError, match="ENOSPC"):
            routes[{"length": 31, "bytes": [0] * 4}] = 5
        routes[{"length": 32, "bytes": [1] * 4}] = 7
        assert [routes[{"length": 32, "bytes": [n] * 4}] for n in range(4)] == [0, 7, 2, 3]
        assert len(routes) == 4


@pytest.mark.parametrize("options", [{}, {"hardened": True}], ids=["plain", "hardened"])
def test_threads_share_a_queue(options: dict[str, Any], spec: ObjectSpec) -> None:
    pytest.importorskip("bpfheap.machine.native._core")
    with bpfheap.Runtime(machine="native", cpus=2, **options) as rt:
        obj = rt.load(spec, programs=["push"])
        push, queue = obj.programs["push"].entry(), obj.maps["queue"]
        threads = [threading.Thread(target=lambda: [push() for _ in range(2000)])
                   for _ in range(3)]  # fmt: skip
        for thread in threads:
            thread.start()
        taken = 0
        while any(thread.is_alive() for thread in threads):
            taken += queue.pop() is not None
        while queue.pop() is not None:
            taken += 1
        assert taken == 6000


def test_signals_cannot_wait_for_python(tmp_path: Path) -> None:
    pytest.importorskip("bpfheap.machine.native._core")
    path = tmp_path / "profile.bpf.c"
    path.write_text(PROFILE)
    with bpfheap.Runtime(machine="native") as rt:
        program = rt.load(path).programs["profile"]
        with pytest.raises(UsageError, match="Python keeps the elements of map stacks"):
            rt.attach(program, signal=signal.SIGPROF, hz=0)
