"""Kptrs that a plain load reads: what Linux lets programs do with them, seen on the machine."""

from __future__ import annotations

import pytest
from model_world import STORE, World, lookup, seeded

from bpfheap.errors import Violation
from bpfheap.machine.model.frozen import Freezer, UnownedPointer
from bpfheap.machine.model.records import Status

PEEK = f"{lookup('m1')}r6 = *(u64 *)(r0 +8)\nif r6 != 0x0 goto pc+2\nr0 = 0\nexit\n"
READ = "r0 = *(u32 *)(r6 +0)\nexit"
WAIT = "call bpf_get_smp_processor_id\n"
WRITE = "*(u32 *)(r6 +0) = 7\n"


def world() -> World:
    made = seeded()
    made.run("p2")
    return made


def test_the_object_can_be_read() -> None:
    assert world().run_text(PEEK + READ) == 42
    # Through arithmetic and a spill, too.
    spilled = "r6 += 4\n*(u64 *)(r10 -16) = r6\nr7 = *(u64 *)(r10 -16)\nr0 = *(u32 *)(r7 -4)\nexit"
    assert world().run_text(PEEK + spilled) == 42
    assert seeded().run_text(PEEK + READ) == 0


def stopped(section: str, then: str) -> tuple[World, int]:
    """A world in which a program has read the kptr of m1, and its object was freed since."""
    w = world()
    w.load("peek", PEEK + WAIT + then, section)
    execution = w.start("peek")
    w.step_to(execution, "bpf_get_smp_processor_id")
    w.load("free", STORE)
    w.run("free")
    return w, execution


def test_freed_memory_reads_as_0() -> None:
    w, execution = stopped("tc", READ)
    assert w.finish(execution) == 0


def test_a_write_where_memory_stays_is_allowed() -> None:
    assert world().run_text(PEEK + WRITE + READ) == 7
    w, execution = stopped("tc", f"{WRITE}r6 = 5\nr0 = r6\nexit")
    assert w.finish(execution) == 5
    assert w.run_text(PEEK + READ) == 42


IN_SECTION = f"call kfunc bpf_rcu_read_lock\n{WRITE}call kfunc bpf_rcu_read_unlock\n{READ}"


def test_programs_that_sleep_need_a_section() -> None:
    w = world()
    w.load("in", PEEK + IN_SECTION, "syscall")
    assert w.run("in") == 7
    w.load("out", PEEK + WRITE + READ, "syscall")
    with pytest.raises(Violation, match="write through a kptr that was only read") as seen:
        w.run("out")
    assert seen.value.kind == "invalid-access"


def test_the_object_is_not_owned() -> None:
    for call in ("call kfunc unit_free", "call kfunc bpf_obj_drop_impl"):
        with pytest.raises(Violation, match="which the program does not own"):
            world().run_text(f"{PEEK}r1 = r6\nr2 = 0\n{call}\nr0 = 0\nexit")


def test_its_bounds_are_those_of_the_object() -> None:
    with pytest.raises(Violation, match="which has 4 bytes"):
        world().run_text(f"{PEEK}r0 = *(u64 *)(r6 +0)\nexit")


@pytest.mark.parametrize("freed", [False, True])
def test_a_frozen_execution_knows_its_way(freed: bool) -> None:
    """By the path that leads to the object, if there is one."""
    w = world()
    w.load("peek", PEEK + WAIT + READ)
    execution = w.start("peek")
    w.step_to(execution, "bpf_get_smp_processor_id")
    state = w.machine._state
    owner = next(r for r in state.regions.values() if r.kptrs and r.slots)
    if freed:
        state.region(owner.slots[8].region).status = Status.FREED
        del state.region(owner.id).slots[8]
    freezer = Freezer(lambda program, slot: -1, lambda key: pytest.fail(str(key)))
    frozen = freezer.freeze_execution(state, state.executions[execution])
    unowned = frozen.registers[6]
    assert isinstance(unowned, UnownedPointer)
    assert unowned.path == (() if freed else (8,))
