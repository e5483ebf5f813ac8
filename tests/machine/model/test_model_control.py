"""may_goto, iterators, RCU sections and jiffies."""

from __future__ import annotations

import pytest
from model_world import World

from bpfheap.errors import Violation
from bpfheap.machine.model.interp import MAX_LOOPS
from bpfheap.machine.model.records import RegionKind

M64 = (1 << 64) - 1


# -- may_goto

FOREVER = """
    r0 = 0
again:
    may_goto done
    r0 += 1
    goto again
done:
    exit
"""


def test_may_goto_lets_a_loop_end() -> None:
    world = World()
    world.load("p", FOREVER)
    execution = world.start("p")
    running = world.machine._state.execution(execution)
    running.progress = running.progress._replace(may_gotos=MAX_LOOPS - 3)
    assert world.finish(execution) == 3


NESTED = """
    r6 = 0
again:
    may_goto done
    call inner
    r6 += r0
    if r6 < 0x5 goto again
done:
    r0 = r6
    exit
inner:
    r0 = 0
    may_goto pc+1
    r0 = 1
    exit
"""


@pytest.mark.parametrize(("left", "result"), [(9, 5), (2, 2), (0, 0)])
def test_each_function_counts_for_itself(left: int, result: int) -> None:
    world = World()
    world.load("p", NESTED)
    execution = world.start("p")
    running = world.machine._state.execution(execution)
    running.progress = running.progress._replace(may_gotos=MAX_LOOPS - left)
    assert world.finish(execution) == result


# -- iterators

SUM = """
    r6 = 0
    r1 = r10
    r1 += -8
    r2 = {start}
    r3 = {end}
    call kfunc bpf_iter_num_new
    r7 = r0
again:
    r1 = r10
    r1 += -8
    call kfunc bpf_iter_num_next
    if r0 == 0x0 goto done
    r1 = *(u32 *)(r0 +0)
    r6 += r1
    r6 += 1000
    goto again
done:
    r1 = r10
    r1 += -8
    call kfunc bpf_iter_num_destroy
    r0 = r7
    r0 += r6
    exit
"""


@pytest.mark.parametrize(
    ("start", "end", "result"),
    [
        (0, 4, 6 + 4000),
        (5, 7, 11 + 2000),
        (3, 3, 0),
        (-1, 1, (1 << 32) - 1 + 2000),
        ((1 << 31) - 2, (1 << 31) - 1, (1 << 31) - 2 + 1000),
        # Those that are refused have no element, and are destroyed like others.
        (4, 3, -22),
        (-1, 1 << 23, -7),
    ],
)
def test_an_iterator_counts(start: int, end: int, result: int) -> None:
    world = World()
    assert world.run_text(SUM.format(start=start, end=end)) == result & M64
    assert {r.kind for r in world.machine._state.regions.values()} == {RegionKind.CODE}


NEW = "r1 = r10\nr1 += {at}\nr2 = 0\nr3 = 3\ncall kfunc bpf_iter_num_new\n"
CALL = "r1 = r10\nr1 += {at}\ncall kfunc bpf_iter_num_{name}\n"
END = "r0 = 0\nexit"
BEGUN = NEW.format(at=-8)
NEXT = CALL.format(at=-8, name="next")
DESTROY = CALL.format(at=-8, name="destroy")

MISUSES = {
    "not destroyed": (BEGUN + END, "leak", "has not destroyed its iterator"),
    "not destroyed in a function": (
        f"call f\n{END}\nf:\n{BEGUN}{END}", "leak", "has not destroyed its iterator"),
    "begun twice": (BEGUN + BEGUN + END, "bad-call", "over an iterator that is not destroyed"),
    "next of nothing": (NEXT + END, "bad-call", "no iterator in progress"),
    "next after the end": (BEGUN + DESTROY + NEXT + END, "bad-call", "no iterator in progress"),
    "destroyed twice": (BEGUN + DESTROY + DESTROY + END, "bad-call", "no iterator in progress"),
    "read": (f"{BEGUN}r0 = *(u64 *)(r10 -8)\n{END}", "invalid-access", "the iterator at"),
    "read in part": (f"{BEGUN}r0 = *(u8 *)(r10 -3)\n{END}", "invalid-access", "the iterator at"),
    "written": (f"{BEGUN}*(u64 *)(r10 -8) = 0\n{END}", "invalid-access", "the iterator at"),
    "written in part": (f"{BEGUN}*(u16 *)(r10 -2) = 0\n{END}", "invalid-access", "iterator at"),
    "at an odd place": (NEW.format(at=-12) + END, "bad-call", "8 aligned bytes of the stack"),
    "element written": (
        f"{BEGUN}{NEXT}*(u32 *)(r0 +0) = 0\n{END}", "invalid-access", "which is read-only"),
    "beyond the element": (
        f"{BEGUN}{NEXT}r1 = *(u64 *)(r0 +0)\n{END}", "out-of-bounds", "which has 4 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("what", MISUSES)
def test_misuse_of_an_iterator_is_seen(what: str) -> None:
    text, kind, message = MISUSES[what]
    with pytest.raises(Violation, match=message) as seen:
        World().run_text(text)
    assert seen.value.kind == kind


def test_an_element_changes_under_its_pointer() -> None:
    text = f"{BEGUN}{NEXT}r6 = r0\n{NEXT}r7 = *(u32 *)(r6 +0)\n{DESTROY}"
    assert World().run_text(f"{text}r0 = *(u32 *)(r6 +0)\nr0 *= 10\nr0 += r7\nexit") == 1


def test_the_bytes_of_an_iterator_can_be_used_again() -> None:
    text = f"{BEGUN}{DESTROY}r0 = *(u64 *)(r10 -8)\n*(u64 *)(r10 -8) = 5\n"
    assert World().run_text(f"{text}r1 = *(u64 *)(r10 -8)\nr0 += r1\nexit") == 5


# -- RCU sections

LOCK, UNLOCK = "call kfunc bpf_rcu_read_lock\n", "call kfunc bpf_rcu_read_unlock\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (LOCK + UNLOCK, None),
        (LOCK + LOCK + UNLOCK + UNLOCK, None),
        (LOCK, "leak"),
        (LOCK + LOCK + UNLOCK, "leak"),
        (UNLOCK, "bad-call"),
        (LOCK + UNLOCK + UNLOCK, "bad-call"),
    ],
)
def test_rcu_sections_are_balanced(text: str, kind: str | None) -> None:
    world = World()
    if kind is None:
        assert world.run_text(text + END) == 0
        return
    with pytest.raises(Violation) as seen:
        world.run_text(text + END)
    assert seen.value.kind == kind


def test_jiffies_follow_the_clock() -> None:
    world = World()
    world.machine._state.clock = 5_000_000
    assert world.run_text("call bpf_jiffies64\nexit") == 5
    assert world.run_text("call bpf_jiffies64\nr6 = r0\ncall bpf_jiffies64\nr0 -= r6\nexit") == 0


# -- states


def test_states_tell_how_far_an_iterator_is() -> None:
    def state(calls: int) -> object:
        world = World()
        world.load("p", BEGUN + NEXT * 2 + DESTROY + END)
        execution = world.start("p")
        for _ in range(calls):
            world.machine.step(execution)
        # What comes next is the same everywhere but for the state of the iterator.
        world.machine._state.execution(execution).slot = 0
        world.machine._state.execution(execution).registers[:] = [0] * 11
        return world.machine.key()

    assert len({state(n) for n in range(1, 5)}) == 4


def test_a_copy_goes_on_by_itself() -> None:
    world = World()
    world.load("p", SUM.format(start=0, end=3))
    execution = world.start("p")
    world.step_to(execution, "bpf_iter_num_next")
    twin = world.machine.copy()
    results = [world.finish(execution)]
    world.machine = twin
    results.append(world.finish(execution))
    assert results == [3 + 3000] * 2
