"""Tail calls: what goes over to the other program and what must not."""

from __future__ import annotations

import pytest
from model_world import World, alloc

from bpfheap.errors import MapError, Violation
from bpfheap.machine.model.control import MAX_TAIL_CALLS

JUMP = """
    r1 = r6
    r2 = map[name:jumps] ll
    r3 = {index}
    call bpf_tail_call
"""
SAVE = "r6 = r1\n"
END = "r0 = 0\nexit"


def world() -> World:
    made = World()
    made.add_allocator()
    made.add_map("jumps", "prog_array", value_size=4)
    made.add_map("rb", "ringbuf", key_size=0, value_size=0, max_entries=4096)
    return made


def put(w: World, index: int, program: str) -> None:
    key, value = (n.to_bytes(4, "little") for n in (index, w.programs[program]))
    w.machine.map_update(w.maps["jumps"], key, value)


@pytest.mark.parametrize(("index", "result"), [(0, 3), (1, -2), (4, -2), ((1 << 31) - 1, -2)])
def test_goes_over_or_on(index: int, result: int) -> None:
    w = world()
    w.load("other", "r0 = 3\nexit")
    put(w, 0, "other")
    assert w.run_text(SAVE + JUMP.format(index=index) + "exit") == result & (1 << 64) - 1


def test_the_context_stays_and_nothing_else() -> None:
    w = world()
    w.load("other", "r0 = *(u32 *)(r1 +8)\nexit")
    w.load("nosy", "r0 = r6\nexit")
    put(w, 0, "other")
    put(w, 1, "nosy")
    w.load("p", f"{SAVE}*(u32 *)(r6 +8) = 77\n{JUMP.format(index=0)}{END}")
    assert w.run("p") == 77
    with pytest.raises(Violation, match="r6 is read, but nothing was written to it"):
        w.run_text(SAVE + JUMP.format(index=1) + END)


def test_there_is_an_end_to_them() -> None:
    w = world()
    count = "r1 = *(u32 *)(r6 +8)\nr1 += 1\n*(u32 *)(r6 +8) = r1\n"
    w.load("self", f"{SAVE}{count}{JUMP.format(index=0)}r0 = *(u32 *)(r6 +8)\nexit")
    put(w, 0, "self")
    assert w.run("self") == MAX_TAIL_CALLS + 1


def test_a_function_is_replaced_not_its_caller() -> None:
    w = world()
    w.load("other", "r0 = 5\nexit")
    put(w, 0, "other")
    text = f"{SAVE}r7 = 100\nr1 = r6\ncall f\nr0 += r7\nexit\nf:\n{SAVE}{JUMP.format(index=0)}{END}"
    assert w.run_text(text) == 105
    # In a copy, too, that goes on from inside the other program.
    w.load("calling", "call bpf_get_smp_processor_id\nr0 = 6\nexit")
    put(w, 0, "calling")
    w.load("p", text)
    execution = w.start("p")
    w.step_to(execution, "bpf_get_smp_processor_id")
    before, twin = w.machine.snapshot()
    assert twin.key() == before
    assert w.finish(execution) == 106
    w.machine = twin
    assert w.finish(execution) == 106


RESERVE = "r1 = map[name:rb] ll\nr2 = 8\nr3 = 0\ncall bpf_ringbuf_reserve\n"
ITERATOR = "r1 = r10\nr1 += -8\nr2 = 0\nr3 = 3\ncall kfunc bpf_iter_num_new\n"
LOOP = f"r1 = 1\nr2 = func[name:f] ll\nr3 = r6\nr4 = 0\ncall bpf_loop\n{END}\nf:\nr6 = r2\n"
FAULTS = {
    "an object": (alloc(), "leak", "bpf_tail_call is made and still owns foo#1"),
    "a record": (RESERVE, "leak", "still owns a record of rb"),
    "an iterator": (ITERATOR, "leak", "has not destroyed its iterator"),
    "an RCU section": ("call kfunc bpf_rcu_read_lock\n", "leak", "inside an RCU section"),
    "another context": ("r6 = r10\n", "bad-call", "something else than the program's context"),
    "no map": ("r6 = r6\n", "bad-call", "which holds no programs"),
    "a callback": (LOOP, "bad-call", "bpf_tail_call in a callback"),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_what_must_not_go_over(what: str) -> None:
    before, kind, message = FAULTS[what]
    w = world()
    jump = JUMP.format(index=0).replace("jumps", "rb" if what == "no map" else "jumps")
    with pytest.raises(Violation, match=message) as seen:
        w.run_text(SAVE + before + jump + END)
    assert seen.value.kind == kind


def test_user_space_puts_programs_in_and_takes_them_out() -> None:
    w = world()
    w.load("p", END)
    machine, jumps = w.machine, w.maps["jumps"]
    put(w, 2, "p")
    put(w, 1, "p")
    assert machine.map_keys(jumps) == (b"\1\0\0\0", b"\2\0\0\0")
    assert machine.map_lookup(jumps, b"\1\0\0\0") == (200).to_bytes(4, "little")
    assert machine.map_lookup(jumps, bytes(4)) is None
    assert machine.map_inner_ids(jumps) == ()
    machine.map_delete(jumps, b"\1\0\0\0")
    for errno, action in (
        ("ENOENT", lambda: machine.map_delete(jumps, b"\1\0\0\0")),
        ("E2BIG", lambda: machine.map_delete(jumps, b"\4\0\0\0")),
        ("E2BIG", lambda: put(w, 4, "p")),
        ("EINVAL", lambda: machine.map_update(jumps, bytes(4), bytes(4), 1)),
        ("EINVAL", lambda: w.add_map("wide", "prog_array", value_size=8)),
        ("EINVAL", lambda: w.add_map("none", "prog_array", value_size=4, max_entries=0)),
    ):
        with pytest.raises(MapError) as refused:
            action()
        assert refused.value.errno_name == errno


def test_callers_go_on_with_what_they_own() -> None:
    w = world()
    w.load("other", "r0 = 5\nexit")
    put(w, 0, "other")
    call = f"{alloc()}r7 = r0\nr1 = r6\ncall f\nr8 = r0\n"
    function = f"f:\n{SAVE}{JUMP.format(index=0)}{END}"
    free = "r1 = r7\ncall kfunc unit_free\n"
    assert w.run_text(f"{SAVE}{call}{free}r0 = r8\nexit\n{function}") == 5
    with pytest.raises(Violation, match="the program ends and still owns foo#2"):
        w.run_text(f"{SAVE}{call}r0 = r8\nexit\n{function}")
