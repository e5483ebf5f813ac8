"""The policies on hand-written facts: what they admit, and what an allocator waits for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lifetime_samples import (
    F1,
    F2,
    F3,
    M1,
    M2,
    OUTER,
    PART,
    VIEW,
    X1,
    A,
    B,
    Situation,
    after,
    held_by,
    load,
    move,
    store,
    take,
)

from bpfheap.lifetime import (
    POLICIES,
    EdgePropagation,
    FlowFact,
    Global,
    LiveCount,
    LoadFacts,
    Policy,
    ProgAllocators,
    UsedAllocators,
    UsedAllocatorsStrict,
)

P1 = load(move(F1, F2), name="p1")
P2 = load(store(A, F1), name="p2", tags={F1: "A"})
NESTED = Situation(inner={OUTER: (X1,)})


@pytest.mark.parametrize(
    ("order", "freed", "waits"),
    [
        ((P2, P1), (), ("m1", "m2")),
        ((P2, P1), (M1,), ("m2",)),
        ((P2, P1), (M1, M2), ()),
        # The seed's order: nothing is known of M1 when the move is verified.
        ((P1, P2), (), ("m1",)),
        ((P1, P2), (M1,), ()),
    ],
)
def test_used_allocators_learns_moves_only_after_the_store(
    order: tuple[LoadFacts, ...], freed: tuple[int, ...], waits: tuple[str, ...]
) -> None:
    policy = after(UsedAllocators(), *order)
    for map_id in freed:
        policy = policy.map_freed(map_id, VIEW)
    assert policy.waits_for(A, VIEW) == held_by(*waits)


def test_used_allocators_follows_a_chain_within_one_program() -> None:
    policy = after(UsedAllocators(), load(store(A, F1), move(F1, F2), move(F2, F3)))
    assert len(policy.waits_for(A, VIEW)) == 3


@pytest.mark.parametrize(
    "second",
    [load(store(B, F1), name="q"), load(store(B, F2), move(F2, F1), name="q")],
    ids=["by store", "by move"],
)
def test_used_allocators_refuses_a_second_allocator_for_a_field(second: LoadFacts) -> None:
    reason = after(UsedAllocators(), P2).refuse(second, VIEW)
    assert reason is not None
    assert "m1.ptr already takes objects of allocator A; q stores objects of B" in reason


def test_used_allocators_refuses_two_allocators_in_one_load() -> None:
    assert UsedAllocators().refuse(load(store(A, F1), store(B, F1)), VIEW) is not None


def test_used_allocators_takes_another_allocator_once_the_map_was_freed() -> None:
    policy = after(UsedAllocators(), P2).map_freed(M1, VIEW)
    assert policy.refuse(load(store(B, F1)), VIEW) is None


def test_used_allocators_has_no_place_for_fields_of_objects() -> None:
    reason = UsedAllocators().refuse(load(store(A, PART)), VIEW)
    assert reason is not None
    assert "struct node.next is part of an object" in reason


def test_used_allocators_does_nothing_at_unload() -> None:
    policy = after(UsedAllocators(), P2)
    assert policy.unloaded(P2.program, VIEW) == policy


@pytest.mark.parametrize(
    ("live", "waits"), [(0, ()), (1, ("1 live object",)), (2, ("2 live objects",))]
)
def test_live_count_waits_for_live_objects_alone(live: int, waits: tuple[str, ...]) -> None:
    policy = after(LiveCount(), P1, P2)
    assert policy.waits_for(A, Situation({A: live, B: 9})) == waits


def test_global_never_lets_go() -> None:
    assert Global().waits_for(A, VIEW) != ()
    assert Global.immortal


@pytest.mark.parametrize("cls", POLICIES, ids=lambda p: p.name)
def test_policies_are_plain_data(cls: type[Policy]) -> None:
    policy = cls()
    before = hash(policy)
    changed = after(policy, P2, view=Situation(kptr_allocators={M1: A}))
    assert hash(policy) == before
    assert policy == cls()
    assert replace(changed) == changed
    assert cls.rule
    assert cls.thread
    assert cls.__doc__


def test_policies_have_names_of_their_own_and_the_default_comes_first() -> None:
    assert len({p.name for p in POLICIES}) == len(POLICIES)
    assert POLICIES[0] is LiveCount


@pytest.mark.parametrize(
    ("flows", "admitted"),
    [
        ((take(F1),), False),
        ((store(A, F1), take(F1)), True),
        ((store(A, F1), take(F1), move(F1, F2), take(F2)), True),
        # The store comes after the take that could have moved something on.
        ((take(F2), move(F2, F3), store(A, F1), take(F1), move(F1, F2)), False),
    ],
)
def test_strict_wants_the_allocator_before_the_take(
    flows: tuple[FlowFact, ...], admitted: bool
) -> None:
    reason = UsedAllocatorsStrict().refuse(load(*flows), VIEW)
    assert (reason is None) == admitted


def test_strict_is_strict_about_stores_too() -> None:
    policy = after(UsedAllocatorsStrict(), P2)
    assert policy.refuse(load(store(B, F1)), VIEW) is not None
    assert policy.refuse(load(take(F1)), VIEW) is None


def test_edges_carry_what_comes_later_through_chains() -> None:
    policy = after(EdgePropagation(), load(move(F1, F2)), load(move(F2, F3)), P2)
    assert len(policy.waits_for(A, VIEW)) == 3


def test_edges_refuse_a_second_allocator_at_their_far_end() -> None:
    policy = after(EdgePropagation(), load(store(B, F3)), load(move(F1, F2), move(F2, F3)))
    reason = policy.refuse(P2, VIEW)
    assert reason is not None
    assert "m3.ptr already takes objects of allocator B; p2 stores objects of A" in reason


def test_prog_allocators_hold_for_inner_maps_too() -> None:
    policy = after(ProgAllocators(), load(store(A, F1), maps=(M1, OUTER)), view=NESTED)
    assert policy.waits_for(A, VIEW) == held_by("m1", "outer", "x1")


def test_prog_allocators_grow_on_reload() -> None:
    policy: Policy = ProgAllocators()
    for allocator in (A, B):
        policy = after(policy, load(store(allocator, F1), maps=(M1, OUTER)), view=NESTED)
    assert policy.waits_for(A, VIEW)
    assert policy.waits_for(B, VIEW)
    for map_id in (M1, OUTER, X1):
        policy = policy.map_freed(map_id, VIEW)
    assert policy == ProgAllocators()


def test_a_policy_that_asks_for_walks_need_not_learn_from_them() -> None:
    policy = after(LiveCount(), P2)
    assert policy.walked(P2.program, F1, A, VIEW) == policy
    assert policy.walk_ended(P2.program, VIEW) == policy


def test_a_field_that_no_flow_names_has_no_definition() -> None:
    assert P2.definition(F1).field == F1
    with pytest.raises(KeyError):
        P2.definition(F3)
