"""Objects with a copy for each CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from c_world import CWorld

from bpfheap.compile import object_spec
from bpfheap.machine.model.records import RegionKind, Status
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID
from bpfheap.spec import ObjectSpec


@pytest.fixture(scope="module")
def spec() -> ObjectSpec:
    return object_spec(Path(__file__).with_name("percpu.bpf.c"))


@pytest.fixture
def world(spec: ObjectSpec) -> CWorld:
    return CWorld(spec, cpus=3)


def copies(world: CWorld) -> int:
    regions = world.machine._state.regions.values()
    return sum(r.kind is RegionKind.COPY and r.status is Status.LIVE for r in regions)


def test_each_cpu_counts_for_itself(world: CWorld) -> None:
    world.run("store")
    assert [world.run("count", cpu=cpu) for cpu in (0, 1, 1, 2, 1)] == [1, 1, 2, 1, 3]
    assert world.run("sum") == 10301
    stats = world.machine.allocator_stats(GLOBAL_ALLOCATOR_ID)
    assert (stats.live, stats.bytes) == (1, 3 * 16)


def test_the_copies_are_shown(world: CWorld) -> None:
    world.run("store")
    world.run("count", cpu=2)
    (shown,) = world.machine.map_kptrs(world.maps["slots"], bytes(4))
    assert (shown.path, shown.data) == ("tally", bytes(32) + b"\1".ljust(16, b"\0"))


@pytest.mark.parametrize("free", ["take", "store", "the map"])
def test_copies_go_with_the_object(free: str, world: CWorld) -> None:
    world.run("store")
    assert copies(world) == 3
    if free == "the map":
        world.free("slots")
    else:
        world.run(free)
    assert world.live() == (free == "store")
    assert copies(world) == (3 if free == "store" else 0)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("lost", "leak", "still owns tally#1"),
        ("touch", "invalid-access", "write of 8 bytes inside tally#1"),
        ("past", "out-of-bounds", "tally#1@cpu0+16, which has 16 bytes"),
        ("before", "out-of-bounds", "tally#1@cpu1-16, which has 16 bytes"),
        ("plain_drop", "bad-call", "bpf_obj_drop of tally#1, which is no object"),
        ("percpu_drop", "bad-call", "of tally#1, which is no per-CPU object"),
        ("plain_copy", "bad-call", "bpf_this_cpu_ptr of tally#1, which is no per-CPU object"),
        ("null_copy", "bad-call", "bpf_this_cpu_ptr of NULL, which is no per-CPU object"),
        ("inside", "bad-call", "bpf_this_cpu_ptr of tally#1, which is no per-CPU object"),
        ("to_plain", "bad-call", "into slots[0].plain of tally#1, which is no object"),
        ("from_plain", "bad-call", "into slots[0].tally of tally#1, which is no per-CPU object"),
        ("twice", "double-free", "bpf_percpu_obj_drop of tally#1, which was freed before"),
        ("drop_seen", "bad-call", "bpf_percpu_obj_drop of tally#1, which the program does not own"),
        ("too_large", "bad-call", "struct large has more than 512 bytes"),
        ("special", "bad-call", "struct locked has kptrs, locks or nodes"),
    ],
)
def test_misuse_is_seen(name: str, kind: str, message: str, world: CWorld) -> None:
    if name == "drop_seen":
        world.run("store")
    seen, told = world.fails(name)
    assert (seen, message in told) == (kind, True), told


def test_copies_stay_for_those_who_look_at_them(world: CWorld) -> None:
    """The kernel frees them after a grace period."""
    world.run("store")
    looking, late = world.start("slow"), world.start("slow", cpu=1)
    world.step_to(looking, "bpf_get_smp_processor_id")
    world.step_to(late, "bpf_this_cpu_ptr")
    world.run("take", cpu=2)
    assert (world.live(), copies(world)) == (0, 3)
    assert (world.finish(looking), world.finish(late)) == (1, 1)
    assert copies(world) == 0


def test_states_differ_by_the_copies(world: CWorld) -> None:
    world.run("store")
    before = world.machine.key()
    world.run("count", cpu=1)
    one = world.machine.key()
    twin = CWorld(world.spec, cpus=3)
    twin.run("store")
    assert twin.machine.key() == before
    twin.run("count", cpu=0)
    assert len({before, one, twin.machine.key()}) == 3
