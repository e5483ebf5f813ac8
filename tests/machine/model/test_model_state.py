"""States are data: copies are independent, equal situations have equal keys, replays agree."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_world import KEY, STORE, World, alloc, lookup, seeded

from bpfheap.errors import BpfheapError
from bpfheap.machine.model import ModelMachine
from bpfheap.runtime.machine import Done, Machine, Stop

PROGRAMS = ("p1", "p2", "p3")


def outcome(machine: ModelMachine, execution: int) -> Stop | str:
    """What a step gives, or says."""
    try:
        return machine.step(execution)
    except BpfheapError as error:
        return str(error)


def test_it_is_a_machine() -> None:
    machine: Machine = ModelMachine()
    assert machine.name == "model"


def test_a_copy_goes_its_own_way() -> None:
    world = seeded()
    for program in ("p2", "p1", "p3", "p2"):
        execution = world.start(program)
        stop: Stop | None = None
        while not isinstance(stop, Done):
            before = world.machine.key()
            twin = world.machine.copy()
            assert twin.key() == before
            assert hash(twin.key()) == hash(before)
            stop = world.machine.step(execution)
            # The copy is still where it was, then comes to the same place.
            assert twin.key() == before != world.machine.key()
            assert twin.step(execution) == stop
            assert twin.key() == world.machine.key()
            assert twin.history == world.machine.history


def test_the_original_is_independent_of_the_copy() -> None:
    world = seeded()
    key, saved = world.machine.snapshot()
    world.run("p2")
    twin = saved.copy()
    twin.step(twin.start(world.programs["p2"], b""))
    twin.map_update(world.maps["m1"], bytes(4), b"\1" * 16)
    twin.allocator_destroy(world.allocator, "a test")
    twin.printk.append("x")
    assert saved.key() == key
    assert saved.printk == []
    assert "a test" not in " ".join(saved.history)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(PROGRAMS), min_size=2, max_size=3),
    st.lists(st.integers(0, 2), max_size=30),
    st.data(),
)
def test_any_interleaving_replays(
    programs: list[str], schedule: list[int], data: st.DataObject
) -> None:
    """From any point on, a copy and the original that take the same steps agree in every step."""
    world = seeded()
    world.run("p2")
    running = [world.start(p) for p in programs]
    branch = data.draw(st.integers(0, len(schedule)))
    twin = None
    for i, choice in enumerate(schedule):
        if i == branch:
            twin = world.machine.copy()
        alive = sorted(world.machine.executions())
        if not alive:
            break
        execution = alive[choice % len(alive)]
        seen = outcome(world.machine, execution)
        if twin is not None:
            assert outcome(twin, execution) == seen
            assert twin.key() == world.machine.key()
    # However they were interleaved: nothing is lost, and nothing is left running.
    for execution in running:
        while execution in world.machine.executions():
            outcome(world.machine, execution)
    stats = world.machine.allocator_stats(world.allocator)
    held = [world.machine.map_kptrs(world.maps[m], bytes(4)) for m in ("m1", "m2")]
    assert stats.live == sum(map(len, held))
    assert len(world.machine.allocator_objects(world.allocator)) == stats.live


# -- what counts


def test_independent_steps_commute() -> None:
    """Regions get other numbers, objects other names: the situation is the same."""
    a, b = seeded(), seeded()
    for world in (a, b):
        for name in ("m1", "m2"):
            world.load(f"fill {name}", STORE.replace("name:m1]", f"name:{name}]"))
    for world, order in ((a, ("m1", "m2")), (b, ("m2", "m1"))):
        for name in order:
            world.run(f"fill {name}")
    assert a.machine.key() == b.machine.key()
    assert a.machine.history != b.machine.history


def test_steps_of_two_executions_commute_where_they_do_not_meet() -> None:
    def world(order: tuple[int, ...]) -> Hashable:
        w = seeded()
        w.load("look", lookup("m2") + alloc() + "r1 = r0\ncall kfunc unit_free\nr0 = 0\nexit")
        executions = [w.start("look"), w.start("look")]
        for which in order:
            w.machine.step(executions[which])
        return w.machine.key()

    assert world((0, 0, 0, 1, 1, 1)) == world((1, 0, 1, 0, 1, 0)) == world((1, 1, 1, 0, 0, 0))
    assert world((0, 0, 0, 1, 1)) != world((0, 0, 1, 1, 1))


def test_a_value_that_was_touched_and_is_zero_is_as_new() -> None:
    a, b = World(), World()
    for w in (a, b):
        w.add_map("m", "array")
        w.load("touch", lookup("m") + "*(u64 *)(r0 +0) = 0\nr0 = 0\nexit")
    a.run("touch")
    b.machine.step(b.start("touch"))
    b.finish(1)
    fresh = World()
    fresh.add_map("m", "array")
    fresh.load("touch", lookup("m") + "*(u64 *)(r0 +0) = 0\nr0 = 0\nexit")
    assert a.machine.key() == b.machine.key() == fresh.machine.key()
    a.machine.map_update(1, bytes(4), b"\1".ljust(8, b"\0"))
    assert a.machine.key() != fresh.machine.key()


CHANGES: dict[str, Callable[[World], object]] = {
    "a value": lambda w: w.machine.map_update(w.maps["m1"], bytes(4), b"\1" + bytes(15)),
    "an element": lambda w: w.machine.map_delete(w.maps["m1"], bytes(4)),
    "a map": lambda w: w.machine.map_free_step(w.maps["m1"]),
    "an execution": lambda w: w.start("p1"),
    "a step": lambda w: w.machine.step(w.start("p1")),
    "an object": lambda w: w.run("p2"),
    "a prefill": lambda w: w.machine.prefill(w.allocator, 1),
    "a closed allocator": lambda w: w.machine.allocator_close(w.allocator),
    "an allocator": lambda w: w.machine.allocator_create(7, "mb", 0),
    "time": lambda w: w.run_text("call bpf_ktime_get_ns\nexit"),
    "chance": lambda w: w.run_text("call bpf_get_prandom_u32\nexit"),
    "an address": lambda w: w.run_text("w0 = w10\nexit"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_part_of_a_state_counts(change: Callable[[World], object]) -> None:
    world, same = seeded(), seeded()
    assert world.machine.key() == same.machine.key()
    change(world)
    assert world.machine.key() != same.machine.key()


def test_addresses_are_shown_to_who_looks_at_them() -> None:
    world = World()
    world.add_map("m", "array")
    world.run_text(lookup("m") + "*(u64 *)(r0 +0) = r10\nr0 = 0\nexit")
    assert not world.machine.shows_addresses()
    # The stack is gone by now.
    assert world.machine.map_lookup(world.maps["m"], bytes(4)) != bytes(8)
    assert world.machine.shows_addresses()
    world = World()
    world.run_text("w0 = w10\nexit")
    assert world.machine.shows_addresses()


@pytest.mark.parametrize("garbage", [0, 0xA5, 0xA5A4A3A2A1A0A9A8])
def test_memory_may_be_full_of_garbage(garbage: int) -> None:
    """Where nothing special is: a new object's kptr is NULL."""

    def read(offset: int) -> int:
        return world.run_text(
            f"{alloc('node')}r6 = r0\nr7 = *(u64 *)(r0 +{offset})\nr1 = r6\n"
            "call kfunc unit_free\nr0 = r7\nexit"
        )

    world = World(garbage=garbage)
    world.add_allocator()
    assert world.run_text("r0 = *(u64 *)(r10 -8)\nexit") == garbage
    assert world.run_text("r0 = *(u64 *)(r10 -13)\nexit") == (
        garbage << 40 & (1 << 64) - 1 | garbage >> 24
    )
    assert read(0) == garbage
    assert read(8) == 0


def test_two_elements_of_zeros_are_not_one() -> None:
    def spilled(index: int) -> Hashable:
        world = World()
        world.add_map("m", "array")
        world.load("spill", KEY.replace("= 0", "= 0", 1) + "r6 = *(u32 *)(r1 +0)\n"
                   "*(u32 *)(r10 -4) = r6\nr1 = map[name:m] ll\ncall bpf_map_lookup_elem\n"
                   "*(u64 *)(r10 -16) = r0\n*(u32 *)(r10 -4) = 0\nr6 = 0\n"
                   "call bpf_ktime_get_ns\nr0 = 0\nexit")  # fmt: skip
        execution = world.start("spill", ctx=index.to_bytes(4, "little"))
        world.step_to(execution, "bpf_ktime_get_ns")
        # The context tells them apart too: leave it out.
        world.machine._state.region(world.machine._state.executions[execution].ctx).data[:] = b""
        return world.machine.key()

    assert spilled(1) == spilled(1) != spilled(2)


def test_a_destroyed_allocator_makes_a_difference_to_its_objects() -> None:
    def destroyed(when: bool) -> Hashable:
        world = seeded()
        world.run("p2")
        world.machine.allocator_close(world.allocator)
        if when:
            world.machine.allocator_destroy(world.allocator, "a test")
        return world.machine.key()

    assert destroyed(True) != destroyed(False)


def test_a_finished_execution_leaves_nothing_behind() -> None:
    world = seeded()
    world.run("p2")
    before = len(world.machine._state.regions)
    world.load("look", lookup("m1") + "r0 = 0\nexit")
    for _ in range(5):
        world.run("look")
    assert len(world.machine._state.regions) == before + 1
    assert world.machine.executions() == frozenset()
