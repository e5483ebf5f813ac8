"""Objects: allocated, moved, freed, leaked, and every way to get that wrong."""

from __future__ import annotations

import pytest
from model_world import TYPES, World, alloc, lookup, seeded

from bpfheap.errors import Violation
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID


def violation(world: World, text: str) -> Violation:
    world.load("bad", text)
    with pytest.raises(Violation) as seen:
        world.run("bad")
    assert world.machine.executions() == frozenset()
    return seen.value


def heap_world(**options: int) -> World:
    world = World(**options)
    world.add_allocator(capacity=0)
    return world


# -- the seed's history


def test_an_object_moves_through_three_programs() -> None:
    world = seeded()
    assert [world.run(p) for p in ("p2", "p1")] == [1, 1]
    (kptr,) = world.machine.map_kptrs(world.maps["m2"], bytes(4))
    assert (kptr.path, kptr.offset, kptr.object, kptr.type_name) == ("ptr", 8, "foo#1", "foo")
    assert kptr.data == bytes([42, 0, 0, 0])
    assert world.machine.map_kptrs(world.maps["m1"], bytes(4)) == ()
    assert world.machine.allocator_stats(world.allocator).live == 1
    assert world.run("p3") == 1
    stats = world.machine.allocator_stats(world.allocator)
    assert (stats.live, stats.peak, stats.bytes) == (0, 1, 0)


def destroyed_too_early() -> World:
    world = seeded()
    world.run("p2")
    world.run("p1")
    world.machine.allocator_close(world.allocator)
    world.machine.allocator_destroy(world.allocator, "nothing kept it")
    return world


LIFE = (
    "foo#1 was allocated from ma by p2 at p2.bpf.c:14",
    "foo#1 was stored into m1[0].ptr by p2 at p2.bpf.c:22",
    "foo#1 was taken from m1[0].ptr by p1 at p1.bpf.c:23",
    "foo#1 was stored into m2[0].ptr by p1 at p1.bpf.c:28",
    "allocator ma was destroyed: nothing kept it",
)


def test_unit_free_after_the_allocator_went() -> None:
    world = destroyed_too_early()
    with pytest.raises(Violation) as seen:
        world.run("p3")
    error = seen.value
    assert error.kind == "use-after-free"
    assert error.message == "unit_free of foo#1, whose allocator ma is gone"
    assert (error.file, error.line) == ("src/p3.bpf.c", 16)
    assert error.life == (
        *LIFE,
        "foo#1 was taken from m2[0].ptr by p3 at p3.bpf.c:13",
        "p3 at p3.bpf.c:16: unit_free of foo#1, whose allocator ma is gone",
    )
    assert world.machine.history[-1] == error.life[-1]


def test_map_free_after_the_allocator_went() -> None:
    world = destroyed_too_early()
    with pytest.raises(Violation) as seen:
        world.machine.map_free_step(world.maps["m2"])
    message = "free of m2 frees foo#1, whose allocator ma is gone"
    assert (seen.value.kind, seen.value.message) == ("use-after-free", message)
    assert seen.value.life == (*LIFE, message)
    # The walk goes on behind the kptr that was to blame.
    assert not world.machine.map_free_step(world.maps["m2"])
    assert world.machine.map_free_step(world.maps["m2"])


def test_map_free_gives_objects_back_element_by_element() -> None:
    world = seeded()
    world.run("p2")
    assert not world.machine.map_free_step(world.maps["m1"])
    assert world.machine.allocator_stats(world.allocator).live == 0
    assert world.machine.map_free_step(world.maps["m1"])
    assert world.machine.history[-1] == "foo#1, in m1[0].ptr, was freed as m1 was freed"


# -- errors

FREE = "\n    r1 = r0\n    call kfunc unit_free\n"

BAD = {
    "leak": (alloc() + "r0 = 0\nexit", "leak", "the program ends and still owns foo#1"),
    "two leaks": (
        alloc() + "r6 = r0" + alloc() + "r0 = 0\nexit",
        "leak",
        "the program ends and still owns foo#1 and 1 more object",
    ),
    "double free": (
        alloc() + "r6 = r0" + FREE + "r1 = r6\ncall kfunc unit_free\nr0 = 0\nexit",
        "double-free",
        "unit_free of foo#1, which was freed before",
    ),
    "read after free": (
        alloc() + "r6 = r0" + FREE + "r0 = *(u32 *)(r6 +0)\nexit",
        "use-after-free",
        "read of 4 bytes at foo#1 after it was freed",
    ),
    "write after free": (
        alloc() + "r6 = r0" + FREE + "*(u8 *)(r6 +3) = 1\nexit",
        "use-after-free",
        "write of 1 byte at foo#1+3 after it was freed",
    ),
    "past the end": (
        alloc() + "r0 = *(u32 *)(r0 +1)\nexit",
        "out-of-bounds",
        "read of 4 bytes at foo#1+1, which has 4 bytes",
    ),
    "before the beginning": (
        alloc() + "r0 = *(u8 *)(r0 -1)\nexit",
        "out-of-bounds",
        "read of 1 byte at foo#1-1, which has 4 bytes",
    ),
    "free inside": (
        alloc() + "r1 = r0\nr1 += 2\ncall kfunc unit_free\nexit",
        "bad-call",
        "unit_free of foo#1+2, which is inside it",
    ),
    "free NULL": ("r1 = 0\ncall kfunc unit_free\nexit", "bad-call",
                  "unit_free of NULL, which is no object"),
    "free the stack": ("r1 = r10\ncall kfunc unit_free\nexit", "bad-call",
                       "unit_free of the stack of bad, which is no object"),
    "no such type": (
        f"r1 = map[name:ma] ll\nr2 = {TYPES['int']}\ncall kfunc bpf_mem_alloc\nexit",
        "bad-call",
        f"bpf_mem_alloc: type {TYPES['int']} is no struct of the program's BTF",
    ),
    "no map": ("r1 = 5\nr2 = 2\ncall kfunc bpf_mem_alloc\nexit", "bad-call",
               "an argument is no map"),
    "unknown helper": ("call #999999\nexit", "bad-call",
                       "call of #999999, which no machine knows"),
    "uninitialised": ("r0 = r3\nexit", "invalid-access",
                      "r3 is read, but nothing was written to it"),
    "no result": ("exit", "invalid-access", "the program ends without a value in r0"),
    "NULL": ("r1 = 0\nr0 = *(u64 *)(r1 +0)\nexit", "invalid-access", "read of 8 bytes at NULL"),
    "a number": ("r1 = 4096\nr0 = *(u64 *)(r1 +0)\nexit", "invalid-access",
                 "read of 8 bytes at 0x1000, which is a number and no pointer"),
    "below the stack": ("*(u64 *)(r10 -520) = 0\nr0 = 0\nexit", "out-of-bounds",
                        "write of 8 bytes at the stack of bad-8, which has 512 bytes"),
    "above the stack": ("r0 = *(u8 *)(r10 +0)\nexit", "out-of-bounds",
                        "read of 1 byte at the stack of bad+512, which has 512 bytes"),
    "inside a map": ("r1 = map[name:ma] ll\nr0 = *(u8 *)(r1 +0)\nexit", "invalid-access",
                     "read of 1 byte inside map ma"),
    "a frame that returned": (
        "call callee\nr0 = *(u64 *)(r0 -8)\nexit\ncallee:\nr0 = r10\nexit",
        "use-after-free",
        "read of 8 bytes of memory that is gone",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "message"), BAD.values(), ids=BAD.keys())
def test_what_a_program_must_not_do(text: str, kind: str, message: str) -> None:
    error = violation(heap_world(), text)
    assert (error.kind, error.message) == (kind, message)
    assert error.file == "src/bad.bpf.c"
    assert error.line is not None
    assert error.life[-1] == f"bad at bad.bpf.c:{error.line}: {message}"


def test_a_double_free_tells_both_frees() -> None:
    error = violation(heap_world(), BAD["double free"][0])
    assert error.life == (
        "foo#1 was allocated from ma by bad at bad.bpf.c:4",
        "foo#1 was freed by bad at bad.bpf.c:10",
        "bad at bad.bpf.c:12: unit_free of foo#1, which was freed before",
    )


FIELD_BAD = {
    "write over a kptr": (
        lookup("m1") + "*(u32 *)(r0 +12) = 1\nexit",
        "invalid-access",
        "write over the kptr m1[0].ptr, which only bpf_kptr_xchg may change",
    ),
    "xchg elsewhere": (
        lookup("m1") + "r1 = r0\nr2 = 0\ncall bpf_kptr_xchg\nexit",
        "bad-call",
        "m1[0] is no kptr field",
    ),
    "free what a map owns": (
        lookup("m1") + "r1 = *(u64 *)(r0 +8)\ncall kfunc unit_free\nexit",
        "bad-call",
        "unit_free of foo#1, which the program does not own",
    ),
    "store what a map owns": (
        lookup("m1") + "r6 = r0" + lookup("m2")
        + "r1 = r0\nr1 += 8\nr2 = *(u64 *)(r6 +8)\ncall bpf_kptr_xchg\nexit",
        "bad-call",
        "bpf_kptr_xchg into m2[0].ptr of foo#1, which the program does not own",
    ),
    "read past a value": (
        lookup("m1") + "r0 = *(u64 *)(r0 +9)\nexit",
        "out-of-bounds",
        "read of 8 bytes at m1[0]+9, which has 16 bytes",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "message"), FIELD_BAD.values(), ids=FIELD_BAD.keys())
def test_what_a_program_must_not_do_with_fields(text: str, kind: str, message: str) -> None:
    world = seeded()
    world.run("p2")
    error = violation(world, text)
    assert (error.kind, error.message) == (kind, message)


# -- nested objects

PUSH = f"""
    {lookup("list")}
    r6 = r0
    {alloc("node")}
    r7 = r0
    r1 = r6
    r2 = 0
    call bpf_kptr_xchg
    r1 = r7
    r1 += 8
    r2 = r0
    call bpf_kptr_xchg
    r1 = r6
    r2 = r7
    call bpf_kptr_xchg
    r0 = 0
    exit
"""


def list_world(count: int) -> World:
    world = heap_world()
    map_id = world.add_map("list", value="node_val")
    world.machine.map_update(map_id, bytes(4), bytes(8))
    world.load("push", PUSH)
    for _ in range(count):
        world.run("push")
    return world


def test_objects_inside_objects_are_freed_with_them() -> None:
    world = list_world(3)
    (head,) = world.machine.map_kptrs(world.maps["list"], bytes(4))
    (second,) = head.nested
    assert [head.object, second.object, second.nested[0].object] == ["node#3", "node#2", "node#1"]
    assert second.nested[0].nested == ()
    world.machine.map_delete(world.maps["list"], bytes(4))
    assert world.machine.allocator_stats(world.allocator).live == 0
    assert world.machine.history[-3:] == [
        "node#3, in list[0].head, was freed as the value was removed by user space",
        "node#2, in node#3.next, went too",
        "node#1, in node#2.next, went too",
    ]


def test_a_long_list_is_freed_without_recursion() -> None:
    world = list_world(1500)
    assert world.machine.allocator_stats(world.allocator).live == 1500
    world.machine.map_delete(world.maps["list"], bytes(4))
    assert world.machine.allocator_stats(world.allocator).live == 0


# -- retired values

HOLD = f"""
    {lookup("m1")}
    r6 = r0
    call bpf_get_smp_processor_id
    {alloc()}
    r2 = r0
    r1 = r6
    r1 += 8
    call bpf_kptr_xchg
    r0 = *(u32 *)(r6 +0)
    call bpf_get_smp_processor_id
    r0 = *(u32 *)(r6 +0)
    exit
"""


def test_a_removed_value_can_be_used_until_the_grace_period() -> None:
    world = seeded()
    machine, m1 = world.machine, world.maps["m1"]
    world.load("hold", HOLD)
    world.run("p2")
    execution = world.start("hold")
    world.step_to(execution, "bpf_get_smp_processor_id")
    machine.map_delete(m1, bytes(4))
    assert machine.allocator_stats(world.allocator).live == 0
    machine.grace_period()
    # The program still sees the value, and stores an object in it.
    world.finish(execution)
    assert machine.allocator_stats(world.allocator).live == 1
    machine.grace_period()
    assert machine.allocator_stats(world.allocator).live == 0


def test_a_replaced_value_frees_its_object_and_stays_readable() -> None:
    world = seeded()
    world.load("read", lookup("m1") + "r6 = r0\ncall bpf_ktime_get_ns\nr0 = *(u32 *)(r6 +0)\nexit")
    world.run("p2")
    world.machine.map_update(world.maps["m1"], bytes(4), b"\x07".ljust(16, b"\0"))
    execution = world.start("read")
    world.step_to(execution, "bpf_ktime_get_ns")
    world.machine.map_update(world.maps["m1"], bytes(4), bytes(16))
    assert world.finish(execution) == 7
    assert world.machine.allocator_stats(world.allocator).live == 0


def test_a_map_that_was_freed_under_a_program_is_seen() -> None:
    world = seeded()
    world.load("read", lookup("m1") + "r6 = r0\ncall bpf_ktime_get_ns\nr0 = *(u32 *)(r6 +0)\nexit")
    execution = world.start("read")
    world.step_to(execution, "bpf_ktime_get_ns")
    while not world.machine.map_free_step(world.maps["m1"]):
        pass
    with pytest.raises(Violation) as seen:
        world.finish(execution)
    assert seen.value.message == "read of 4 bytes at m1[0] after it was freed"
    again = world.start("read")
    with pytest.raises(Violation, match="use of map m1 after it was freed"):
        world.finish(again)


# -- allocators


def test_what_was_guaranteed_once_stays_so() -> None:
    """Freelist determinism: prefill n, allocate n, free n, allocate n."""
    world = World(allocator_limit=0)
    world.add_allocator(capacity=3)
    world.add_map("list", value="node_val")
    world.machine.map_update(world.maps["list"], bytes(4), bytes(8))
    world.load("push", PUSH)

    def stats() -> tuple[int, int, int]:
        s = world.machine.allocator_stats(world.allocator)
        return (s.live, s.cached, s.failures)

    for round_ in range(2):
        assert stats() == (0, 3, round_)
        for _ in range(3):
            world.run("push")
        assert stats() == (3, 0, round_)
        world.run("push")
        assert stats() == (3, 0, round_ + 1)
        world.machine.map_update(world.maps["list"], bytes(4), bytes(8))
    world.machine.prefill(world.allocator, 5)
    assert stats() == (0, 5, 2)


def test_the_named_allocations_fail() -> None:
    world = World(failing_allocations={2})
    world.add_allocator()
    world.load("one", alloc() + FREE + "r0 = 1\nexit")
    assert [world.run("one") for _ in range(4)] == [1, 0, 1, 1]
    assert world.machine.allocator_stats(world.allocator).failures == 1


PREFILL = "r1 = map[name:ma] ll\nr2 = {}\ncall kfunc bpf_mem_prefill\nexit"


@pytest.mark.parametrize(("count", "result"), [(2, 0), (5, -12), (-1, -22)])
def test_prefill_from_a_program(count: int, result: int) -> None:
    world = World(allocator_limit=4)
    world.add_allocator()
    assert world.run_text(PREFILL.format(count)) == result % (1 << 64)
    assert world.machine.allocator_stats(world.allocator).cached == (count if result == 0 else 0)


def test_closing_drains_the_cache() -> None:
    world = World()
    world.add_allocator(capacity=7)
    assert world.machine.allocator_stats(world.allocator).cached == 7
    world.machine.allocator_close(world.allocator)
    assert world.machine.allocator_stats(world.allocator).cached == 0


def test_the_global_allocator() -> None:
    world = World()
    new = f"r1 = {TYPES['foo']}\nr2 = 0\ncall kfunc bpf_obj_new_impl\n"
    drop = "r1 = r0\nr2 = 0\ncall kfunc bpf_obj_drop_impl\nr0 = 5\nexit"
    assert world.run_text(new + drop) == 5
    assert world.machine.allocator_stats(GLOBAL_ALLOCATOR_ID).live == 0
    with pytest.raises(Violation, match="still owns foo#2"):
        world.run_text(new + "r0 = 0\nexit")
    assert world.machine.allocator_objects(GLOBAL_ALLOCATOR_ID) == (
        ("foo#2 was allocated from the global allocator by t1 at t1.bpf.c:3",),
    )


def test_objects_are_zeroed() -> None:
    world = heap_world()
    text = alloc() + "r6 = r0\nr7 = *(u32 *)(r0 +0)\n*(u32 *)(r0 +0) = -1" + FREE
    for _ in range(2):
        assert world.run_text(text + "r0 = r7\nexit") == 0


def test_memory_of_dead_objects_is_forgotten() -> None:
    world = heap_world(history_limit=100)
    world.load("churn", alloc() + FREE + "r0 = 1\nexit")
    for _ in range(5000):
        world.run("churn")
    assert len(world.machine.history) <= 100
    assert len(world.machine._state.regions) <= 4097
