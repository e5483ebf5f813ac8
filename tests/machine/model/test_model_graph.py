"""Lists, trees and counted objects: what they do, and which misuse is seen."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from c_world import CWorld, compiled, skb

from bpfheap.compile import object_spec
from bpfheap.machine.model.records import RegionKind
from bpfheap.runtime.machine import AtCall
from bpfheap.spec import ObjectSpec

EINVAL = 0xFFFF_FFEA


@pytest.fixture(scope="module")
def spec() -> ObjectSpec:
    return object_spec(Path(__file__).with_name("graph.bpf.c"))


@pytest.fixture
def world(spec: ObjectSpec) -> CWorld:
    return CWorld(spec)


def run(world: CWorld, name: str, *lengths: int) -> list[int]:
    return [world.run(name, skb(n)) for n in lengths or (0,)]


# -- lists


@pytest.mark.parametrize(
    ("push", "pop", "order"),
    [
        ("push_front", "pop_front", [3, 2, 1]),
        ("push_front", "pop_back", [1, 2, 3]),
        ("push_back", "pop_front", [1, 2, 3]),
        ("push_back", "pop_back", [3, 2, 1]),
    ],
)
def test_lists_have_two_ends(push: str, pop: str, order: list[int], world: CWorld) -> None:
    run(world, push, 1, 2, 3)
    assert world.live() == 3
    peek = pop.removeprefix("pop_")
    assert [(run(world, peek), run(world, pop)) for _ in range(3)] == [([n], [n]) for n in order]
    assert (run(world, pop), run(world, peek), world.live()) == ([0], [0], 0)


def test_what_is_seen_may_be_changed(world: CWorld) -> None:
    run(world, "push_back", 1, 2)
    run(world, "change_front", 9)
    assert run(world, "pop_front") + run(world, "pop_front") == [9, 2]


# -- trees


def test_trees_are_ordered(world: CWorld) -> None:
    keys = random.Random(4).sample(range(1, 200), 40)
    assert set(run(world, "add", *keys)) == {0}
    assert run(world, "first") == [min(keys)]
    assert [world.run("remove_first") for _ in keys] == sorted(keys)
    assert (run(world, "first"), run(world, "root"), world.live()) == ([0], [0], 0)


def test_equal_keys_keep_the_order_in_which_they_came(world: CWorld) -> None:
    run(world, "add", 5, 5, 3)
    names = [k.object for k in world.machine.map_kptrs(world.maps["queues"], bytes(4))]
    assert names == ["leaf#3", "leaf#1", "leaf#2"]


@pytest.mark.parametrize("count", range(1, 18))
def test_trees_can_be_searched_from_the_root(count: int, world: CWorld) -> None:
    keys = random.Random(count).sample(range(1, 100), count)
    run(world, "add", *keys)
    found = {key: world.run("search", skb(key)) for key in range(1, 100)}
    assert {key for key, depth in found.items() if depth} == set(keys)
    assert max(found.values()) - 100 < count.bit_length()
    half = keys[: count // 2]
    assert set(run(world, "remove_found", *half)) == ({1} if half else {0})
    left = {key for key in range(1, 100) if world.run("search", skb(key))}
    assert left == set(keys) - set(half) or not half


def test_a_node_is_not_in_the_tree_while_its_place_is_looked_for(world: CWorld) -> None:
    assert run(world, "add_asks", 3) == [1]


# -- several owners


def test_an_object_can_be_in_a_list_and_a_tree(world: CWorld) -> None:
    assert run(world, "both", 7) == [0]
    assert (world.live(), run(world, "unlist"), world.live()) == (1, [7], 1)
    assert (run(world, "untree"), world.live()) == ([7], 0)


@pytest.mark.parametrize("name", ["twice_listed", "twice_in_tree"])
def test_a_node_is_in_one_at_most(name: str, world: CWorld) -> None:
    """The kernel drops the reference that it was given: another one is in the list."""
    assert run(world, name, 7) == [EINVAL]
    assert world.live() == 1
    assert run(world, "unlist" if name == "twice_listed" else "untree") == [7]
    assert world.live() == 0


@pytest.mark.parametrize(
    ("name", "result"), [("three", 5), ("not_there", 7), ("no_child", 2), ("acquire_dead", 1)]
)
def test_counted(name: str, result: int, world: CWorld) -> None:
    assert run(world, name, 4) == [result]
    world.free_all()
    assert world.live() == 0


# -- what goes with its owner

FILLED = [
    (["push_back", "add"], "queues", 2),
    (["both"], "pools", 1),
    (["twice_listed", "twice_in_tree", "both"], "pools", 3),
    (["fill_bag", "fill_bag"], "owners", 3),
]


@pytest.mark.parametrize(("programs", "name", "objects"), FILLED)
def test_objects_go_with_their_map(
    programs: list[str], name: str, objects: int, world: CWorld
) -> None:
    for program in programs:
        run(world, program, 3)
    assert world.live() == objects
    world.free(name)
    assert world.live() == 0


@pytest.mark.parametrize(("programs", "name", "objects"), FILLED)
def test_objects_go_when_their_value_is_updated(
    programs: list[str], name: str, objects: int, world: CWorld
) -> None:
    for program in programs:
        run(world, program, 3)
    size = world.spec.maps[name].value_size
    world.machine.map_update(world.maps[name], bytes(4), b"\xff" * size)
    assert world.live() == 0
    for program in programs:
        run(world, program, 3)
    assert world.live() == objects


def test_shared_objects_stay_with_their_other_owner(world: CWorld) -> None:
    run(world, "to_map_and_list", 3)
    world.free("owners")
    assert world.live() == 1
    world.free("pools")
    assert world.live() == 0


def test_what_came_out_of_a_freed_list_can_go_into_another(world: CWorld) -> None:
    run(world, "to_map_and_list", 3)
    world.machine.map_update(world.maps["pools"], bytes(4), bytes(40))
    assert run(world, "relist") == [0]
    assert (world.live(), run(world, "unlist"), world.live()) == (1, [3], 0)


def test_objects_go_with_a_deleted_element(world: CWorld) -> None:
    hash_id = world.maps["hash"]
    world.machine.map_update(hash_id, bytes(4), bytes(world.spec.maps["hash"].value_size))
    run(world, "push_hash", 1)
    assert world.live() == 2
    world.machine.map_delete(hash_id, bytes(4))
    assert world.live() == 0


def test_a_list_whose_lock_is_held_is_freed_when_it_is_released(world: CWorld) -> None:
    """bpf_list_head_free waits for the lock, so the program sees its list to the end."""
    hash_id = world.maps["hash"]
    world.machine.map_update(hash_id, bytes(4), bytes(world.spec.maps["hash"].value_size))
    run(world, "push_hash", 1)
    running = world.start("push_hash", 0, skb(2))
    world.step_to(running, "bpf_spin_unlock")
    world.run("delete_hash", cpu=1)
    assert world.live() == 3
    while isinstance(stop := world.machine.step(running), AtCall):
        assert world.live() >= (1 if stop.name == "bpf_rbtree_add_impl" else 0)
    world.machine.grace_period()
    assert world.live() == 0


def test_what_a_value_holds_is_shown(world: CWorld) -> None:
    run(world, "push_back", 1, 2)
    run(world, "add", 3)
    shown = world.machine.map_kptrs(world.maps["queues"], bytes(4))
    assert [(k.path, k.object) for k in shown] == [
        ("head[0]", "item#1"), ("head[1]", "item#2"), ("root[0]", "leaf#1"),
    ]  # fmt: skip
    run(world, "fill_bag", 4)
    (bag,) = world.machine.map_kptrs(world.maps["owners"], bytes(4))
    assert [(k.path, k.data[:1]) for k in bag.nested] == [("head[0]", b"\4"), ("head[1]", b"\4")]


# -- misuse

NOT_HELD = "while the lock queues[0].lock is not held"


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("no_lock", "bad-call", f"bpf_list_push_back of queues[0].head {NOT_HELD}"),
        ("other_lock", "bad-call", f"bpf_list_push_back of queues[0].head {NOT_HELD}"),
        ("not_owned", "bad-call", "bpf_list_push_back of item#1, which the program does not own"),
        (
            "not_owned_tree",
            "bad-call",
            "bpf_rbtree_add of shared#1, which the program does not own",
        ),
        ("wrong_type", "bad-call", "alien#1.link, but queues[0].head holds others"),
        ("wrong_place", "bad-call", "of item#1, which is no bpf_list_node"),
        ("wrong_node", "bad-call", "of leaf#1+8, which is no bpf_list_node"),
        ("wrong_head", "bad-call", "of queues[0]+24, which is no bpf_list_head"),
        ("null_node", "bad-call", "of NULL, which is no bpf_list_node"),
        ("drop_listed", "bad-call", "bpf_obj_drop of item#1, which the program does not own"),
        ("lost", "leak", "the program ends and still owns item#1"),
        ("lost_share", "leak", "the program ends and still owns shared#1"),
        ("use_dropped", "use-after-free", "read of 8 bytes at item#1 after it was freed"),
        ("peek_dropped", "use-after-free", "write of 8 bytes at item#1 after it was freed"),
        ("read_head", "invalid-access", "read over the bpf_list_head queues[0].head"),
        ("write_node", "invalid-access", "write over the bpf_list_node item#1.link"),
        ("write_count", "invalid-access", "write over the bpf_refcount shared#1.refs"),
        ("not_counted", "bad-call", "bpf_refcount_acquire of item#1, which has no bpf_refcount"),
        ("count_inside", "bad-call", "bpf_refcount_acquire of shared#1+8, which is inside it"),
        ("add_removes", "bad-call", "bpf_rbtree_remove in the callback of bpf_rbtree_add"),
        ("add_unlocks", "bad-call", "bpf_spin_unlock in the callback of bpf_rbtree_add"),
        ("add_adds", "bad-call", "bpf_rbtree_add in the callback of bpf_rbtree_add"),
    ],
)
def test_misuse_is_seen(name: str, kind: str, message: str, world: CWorld) -> None:
    if name in ("lost", "use_dropped", "peek_dropped"):
        run(world, "push_back", 1)
    seen, told = world.fails(name, skb(1))
    assert (seen, message in told) == (kind, True), told


def test_a_list_without_a_lock_cannot_be_used(tmp_path: Path) -> None:
    source = """
    struct item { __u64 key; struct bpf_list_node link; };
    struct bpf_list_head head __contains(item, link) SEC(".data.naked");
    SEC("tc") int pop(struct __sk_buff *ctx) { return bpf_list_pop_front(&head) != NULL; }
    SEC("tc") int new(struct __sk_buff *ctx) { return bpf_obj_new(struct item) != NULL; }
    """
    seen = CWorld(compiled(tmp_path, source)).fails("pop")
    assert seen[0] == "bad-call"
    assert "has no bpf_spin_lock" in seen[1]


def test_the_life_tells_of_lists(world: CWorld) -> None:
    run(world, "push_back", 1)
    (life,) = world.machine.allocator_objects(0)
    assert [line.split(" at ")[0] for line in life] == [
        "item#1 was allocated from the global allocator by push_back",
        "item#1 was stored into queues[0].head by push_back",
    ]


@pytest.mark.parametrize("name", ["push_front", "pop_front", "add", "remove_first"])
def test_neighbours_whose_allocator_is_gone_are_not_touched(name: str, world: CWorld) -> None:
    run(world, "push_back" if "front" in name else "add", 1)
    world.machine.allocator_create(7, "late", 0)
    object_ = next(r for r in world.machine._state.regions.values() if r.kind is RegionKind.OBJECT)
    world.machine._state.region(object_.id).allocator = 7
    world.machine.allocator_destroy(7, "nothing waits for it")
    kind, told = world.fails(name, skb(2))
    assert (kind, "whose allocator late is gone" in told) == ("use-after-free", True)


# -- states


def test_states_are_the_same_however_one_came_there(world: CWorld) -> None:
    """Two objects that are gone, and one that is there: the same as one that is there."""
    other = CWorld(world.spec)
    run(other, "push_back", 5)
    run(world, "push_back", 3, 4)
    run(world, "pop_front", 0, 0)
    assert world.machine.key() != other.machine.key()
    run(world, "push_front", 5)
    assert world.machine.key() == other.machine.key()


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (["push_back 1", "push_back 2"], ["push_back 2", "push_back 1"]),
        (["push_back 1"], ["add 1"]),
        (["both 1", "unlist 0"], ["both 1", "untree 0"]),
        (["both 1"], ["both 1", "unlist 0"]),
    ],
)
def test_states_that_differ(one: list[str], two: list[str], spec: ObjectSpec) -> None:
    keys = []
    for history in (one, two):
        world = CWorld(spec)
        for line in history:
            name, length = line.split()
            run(world, name, int(length))
        keys.append(world.machine.key())
    assert keys[0] != keys[1]


def test_copies_go_their_own_ways(world: CWorld) -> None:
    running = world.start("add", 0, skb(9))
    run(world, "add", 5)
    run(world, "add", 2)
    world.step_to(running, "bpf_spin_unlock")
    twin = CWorld(world.spec)
    twin.machine, twin.programs, twin.maps = world.machine.copy(), world.programs, dict(world.maps)
    world.finish(running)
    assert [world.run("remove_first") for _ in range(3)] == [2, 5, 9]
    assert twin.machine.executions() == {running}
    twin.finish(running)
    assert [twin.run("remove_first") for _ in range(3)] == [2, 5, 9]
