"""Spin locks: what they are for, how they can be misused, and who waits for whom."""

from __future__ import annotations

from pathlib import Path

import pytest
from c_world import CWorld, compiled

from bpfheap.errors import BtfError, MapError, Violation
from bpfheap.runtime.machine import AtCall, Done
from bpfheap.spec import ObjectSpec

SOURCE = """
struct ledger { __u64 sum; struct bpf_spin_lock lock; __u32 count; };
struct account { __u64 balance; struct bpf_spin_lock lock; };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, struct ledger);
} pages SEC(".maps");

static __always_inline struct ledger *page(__u32 key)
{
    return bpf_map_lookup_elem(&pages, &key);
}

#define PROGRAM(name, body)                             \\
SEC("tc") int name(struct __sk_buff *ctx)               \\
{                                                       \\
    struct ledger *l = page(0), *m = page(1);           \\
    if (!l || !m)                                       \\
        return 0;                                       \\
    { body }                                            \\
    return 7;                                           \\
}
PROGRAM(add, bpf_spin_lock(&l->lock); l->sum++; bpf_spin_unlock(&l->lock);
        bpf_spin_lock(&m->lock); m->sum += 2; bpf_spin_unlock(&m->lock);)
PROGRAM(kept, bpf_spin_lock(&l->lock); l->sum++;)
PROGRAM(twice, bpf_spin_lock(&l->lock); bpf_spin_lock(&l->lock);)
PROGRAM(two, bpf_spin_lock(&l->lock); bpf_spin_lock(&m->lock);)
PROGRAM(none, bpf_spin_unlock(&l->lock);)
PROGRAM(other, bpf_spin_lock(&l->lock); bpf_spin_unlock(&m->lock);)
PROGRAM(call, bpf_spin_lock(&l->lock); l->sum = bpf_ktime_get_ns(); bpf_spin_unlock(&l->lock);)
PROGRAM(no_lock, bpf_spin_lock((void *)&l->sum);)
PROGRAM(null, bpf_spin_lock(NULL);)
PROGRAM(read, l->sum = *(volatile __u32 *)&l->lock;)
PROGRAM(write, *(volatile __u32 *)&l->lock = 0;)
PROGRAM(across, *(volatile __u64 *)&l->lock = 0;)
PROGRAM(helper, bpf_trace_printk((void *)l, 16);)
PROGRAM(beside, *(volatile __u32 *)&l->count = 5;)
PROGRAM(object,
    struct account *a = bpf_obj_new(struct account);
    if (a) {
        bpf_spin_lock(&a->lock);
        a->balance = 1;
        bpf_spin_unlock(&a->lock);
        bpf_obj_drop(a);
    })
PROGRAM(drop,
    struct account *a = bpf_obj_new(struct account);
    if (a) {
        bpf_spin_lock(&a->lock);
        bpf_obj_drop(a);
    })
PROGRAM(after,
    struct account *a = bpf_obj_new(struct account);
    if (a) {
        bpf_obj_drop(a);
        bpf_spin_lock(&a->lock);
    })
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    return compiled(tmp_path_factory.mktemp("locks"), SOURCE)


@pytest.fixture
def world(spec: ObjectSpec) -> CWorld:
    return CWorld(spec)


def sums(world: CWorld) -> list[int]:
    found = [world.machine.map_lookup(world.maps["pages"], bytes([n, 0, 0, 0])) for n in (0, 1)]
    return [int.from_bytes((value or b"")[:8], "little") for value in found]


@pytest.mark.parametrize("name", ["add", "object", "beside"])
def test_proper_use(name: str, world: CWorld) -> None:
    assert [world.run(name) for _ in range(3)] == [7, 7, 7]
    assert sums(world) == ([3, 6] if name == "add" else [0, 0])


HELD = "while the lock pages[0].lock is held"


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("kept", "leak", "the program ends and still holds the lock pages[0].lock"),
        ("twice", "bad-call", f"call of bpf_spin_lock {HELD}"),
        ("two", "bad-call", f"call of bpf_spin_lock {HELD}"),
        ("call", "bad-call", f"call of bpf_ktime_get_ns {HELD}"),
        ("none", "bad-call", "bpf_spin_unlock of pages[0].lock, but no lock is held"),
        ("other", "bad-call", "bpf_spin_unlock of pages[1].lock, but pages[0].lock is held"),
        ("no_lock", "bad-call", "bpf_spin_lock of pages[0], which is no bpf_spin_lock"),
        ("null", "bad-call", "bpf_spin_lock of NULL, which is no bpf_spin_lock"),
        ("read", "invalid-access", "read over the bpf_spin_lock pages[0].lock"),
        ("write", "invalid-access", "write over the bpf_spin_lock pages[0].lock"),
        ("across", "invalid-access", "write over the bpf_spin_lock pages[0].lock"),
        ("helper", "invalid-access", "read over the bpf_spin_lock pages[0].lock"),
        ("drop", "bad-call", "call of bpf_obj_drop_impl while the lock account#1.lock is held"),
        ("after", "use-after-free", "bpf_spin_lock of account#1+8 after it was freed"),
    ],
)
def test_misuse_is_seen(name: str, kind: str, message: str, world: CWorld) -> None:
    seen, told = world.fails(name)
    assert (seen, message in told) == (kind, True), told


@pytest.mark.parametrize("name", ["kept", "other"])
def test_a_program_that_fails_keeps_no_lock(name: str, world: CWorld) -> None:
    world.fails(name)
    assert world.run("add") == 7


def test_a_lock_is_waited_for(world: CWorld) -> None:
    machine = world.machine
    first, second = world.start("add", cpu=0), world.start("add", cpu=1)
    world.step_to(first, "bpf_spin_unlock")
    world.step_to(second, "bpf_spin_lock")
    before = machine.key()
    stop = machine.step(second)
    assert isinstance(stop, AtCall)
    assert (stop.name, machine.key() == before) == ("bpf_spin_lock", True)
    world.finish(first)
    assert world.finish(second) == 7
    assert sums(world) == [2, 4]


def test_waiting_for_ever_ends(spec: ObjectSpec) -> None:
    world = CWorld(spec, step_limit=20_000)
    world.step_to(world.start("add", cpu=0), "bpf_spin_unlock")
    with pytest.raises(Violation, match="is never released"):
        world.run("add", cpu=1)


def test_waiting_for_what_was_interrupted_is_a_deadlock(world: CWorld) -> None:
    world.step_to(world.start("add"), "bpf_spin_unlock")
    with pytest.raises(Violation, match="a deadlock"):
        world.run("add")


def test_user_space_sees_no_lock_and_changes_none(world: CWorld) -> None:
    machine, pages = world.machine, world.maps["pages"]
    running = world.start("add")
    world.step_to(running, "bpf_spin_unlock")
    assert machine.map_lookup(pages, bytes(4)) == b"\1".ljust(16, b"\0")
    machine.map_update(pages, bytes(4), b"\xff" * 16)
    assert machine.map_lookup(pages, bytes(4)) == b"\xff" * 8 + bytes(4) + b"\xff" * 4
    assert isinstance(machine.step(running), AtCall), "the lock is still held by it"
    assert world.finish(running) == 7


def test_states_differ_by_the_lock(world: CWorld) -> None:
    """Before and after the call there is no other difference than who holds what."""
    running = world.start("add")
    world.step_to(running, "bpf_spin_unlock")
    held, machine = world.machine.snapshot()
    twin = machine.copy()
    assert twin.key() == held
    twin._state.execution(running).lock = None
    assert twin.key() != held
    while not isinstance(machine.step(running), Done):
        pass


VALUE = """
struct value {{ {value} __u64 last; }};
struct {{
    __uint(type, BPF_MAP_TYPE_{kind});
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct value);
    {more}
}} m SEC(".maps");
SEC("tc") int p(struct __sk_buff *ctx)
{{
    __u32 key = 0;
    struct value *v = bpf_map_lookup_elem(&m, &key);
    if (v)
        *(volatile __u64 *)v = 7;
    return v != NULL;
}}
"""


@pytest.mark.parametrize(
    ("kind", "more", "errno"),
    [
        ("PERCPU_ARRAY", "", "EOPNOTSUPP"),
        ("PERCPU_HASH", "", "EOPNOTSUPP"),
        ("ARRAY", "__uint(map_flags, BPF_F_RDONLY_PROG);", "EACCES"),
        ("HASH", "__uint(map_flags, BPF_F_WRONLY_PROG);", "EACCES"),
    ],
)
def test_maps_without_locks(kind: str, more: str, errno: str, tmp_path: Path) -> None:
    source = VALUE.format(value="struct bpf_spin_lock lock;", kind=kind, more=more)
    with pytest.raises(MapError, match="its values have a bpf_spin_lock") as caught:
        CWorld(compiled(tmp_path, source))
    assert caught.value.errno_name == errno


def test_a_node_in_a_value_is_bytes(tmp_path: Path) -> None:
    source = VALUE.format(value="struct bpf_list_node node;", kind="ARRAY", more="")
    assert CWorld(compiled(tmp_path, source)).run("p") == 1


def test_a_map_with_two_locks_cannot_be_made(tmp_path: Path) -> None:
    source = """
    struct both { struct bpf_spin_lock one, two; };
    struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, 1);
        __type(key, __u32);
        __type(value, struct both);
    } m SEC(".maps");
    """
    with pytest.raises(BtfError, match="is a second one, after one"):
        CWorld(compiled(tmp_path, source))
