"""Ring buffer records that programs fill in place."""

from __future__ import annotations

import pytest
from model_world import World

from bpfheap.errors import Violation
from bpfheap.machine.model.records import RegionKind

SIZE = 4096


def world() -> World:
    made = World()
    made.add_map("rb", "ringbuf", key_size=0, value_size=0, max_entries=SIZE)
    return made


def reserve(size: int, flags: int = 0) -> str:
    """r0 = a record, with an exit (r0 = 77) if there is none."""
    return f"""
    r1 = map[name:rb] ll
    r2 = {size}
    r3 = {flags}
    call bpf_ringbuf_reserve
    if r0 != 0x0 goto pc+2
    r0 = 77
    exit
    """


def done(name: str, register: int = 0) -> str:
    return f"r1 = r{register}\nr2 = 0\ncall bpf_ringbuf_{name}\n"


def query(what: int) -> str:
    return f"r1 = map[name:rb] ll\nr2 = {what}\ncall bpf_ringbuf_query\nexit"


END = "r0 = 0\nexit"
WRITE = "*(u64 *)(r0 +0) = {}\n"


def test_what_is_submitted_is_seen_in_order() -> None:
    w = world()
    one, two = reserve(8) + WRITE.format(1) + "r6 = r0\n", reserve(8) + WRITE.format(2) + "r7 = r0"
    assert w.run_text(f"{one}{two}\n{done('submit', 7)}{done('submit', 6)}{END}") == 0
    assert w.machine.map_drain(1) == [bytes([n, *bytes(7)]) for n in (1, 2)]


def test_what_is_discarded_is_not() -> None:
    w = world()
    w.run_text(reserve(8) + done("discard") + reserve(3) + done("submit") + END)
    assert w.run_text(query(0)) == 16 + 16
    assert w.machine.map_drain(1) == [bytes(3)]
    assert [w.run_text(query(n)) for n in range(5)] == [0, SIZE, 32, 32, 0]


def test_a_record_that_is_being_filled_holds_up_those_behind_it() -> None:
    w = world()
    w.load("slow", reserve(8) + done("submit") + END)
    w.load("fast", reserve(16) + done("submit") + END)
    execution = w.start("slow")
    w.step_to(execution, "bpf_ringbuf_submit")
    w.run("fast")
    assert w.machine.map_drain(1) == []
    assert w.finish(execution) == 0
    assert w.machine.map_drain(1) == [bytes(8), bytes(16)]


@pytest.mark.parametrize(
    ("size", "flags", "result"),
    [(4080, 0, 0), (4081, 0, 77), (1 << 30, 0, 77), (0, 0, 0), (8, 1, 77)],
)
def test_there_is_room_or_not(size: int, flags: int, result: int) -> None:
    assert world().run_text(reserve(size, flags) + done("discard") + END) == result


MISUSES = {
    "never finished": (END, "leak", "still owns a record of rb"),
    "finished twice": (
        "r6 = r0\n" + done("submit", 6) + done("discard", 6) + END, "use-after-free", "was freed"),
    "written afterwards": (
        "r6 = r0\n" + done("discard", 6) + "*(u64 *)(r6 +0) = 1\n" + END, "use-after-free",
        "was freed"),
    "inside": ("r0 += 8\n" + done("submit") + END, "bad-call", "no reserved record's beginning"),
    "no record": (done("submit", 10) + END, "bad-call", "no reserved record's beginning"),
    "a number": ("r0 = 5\n" + done("submit") + END, "bad-call", "of a number"),
    "NULL": ("r0 = 0\n" + done("discard") + END, "bad-call", "of NULL"),
    "too far": ("*(u64 *)(r0 +9) = 1\n" + END, "out-of-bounds", "which has 16 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("what", MISUSES)
def test_misuse_is_seen_and_others_go_on(what: str) -> None:
    text, kind, message = MISUSES[what]
    w = world()
    with pytest.raises(Violation, match=message) as seen:
        w.run_text(reserve(16) + text)
    assert seen.value.kind == kind
    w.machine.map_drain(1)
    assert w.run_text(reserve(8) + done("submit") + END) == 0
    assert w.machine.map_drain(1) == [bytes(8)]
    assert RegionKind.RECORD not in {
        r.kind for r in w.machine._state.regions.values() if r.status == "live"
    }


def test_a_copy_finishes_a_record_of_its_own() -> None:
    w = world()
    w.load("p", reserve(8) + WRITE.format(7) + done("submit") + END)
    execution = w.start("p")
    w.step_to(execution, "bpf_ringbuf_submit")
    before, twin = w.machine.snapshot()
    assert w.finish(execution) == 0
    assert twin.key() == before != w.machine.key()
    assert twin.map_drain(1) == []
    w.machine = twin
    assert w.finish(execution) == 0
    assert twin.map_drain(1) == [bytes([7, *bytes(7)])]
