"""field-slot on hand-written facts."""

from __future__ import annotations

from itertools import permutations

import pytest
from lifetime_samples import (
    F1,
    F2,
    F3,
    INNER,
    M1,
    M2,
    M3,
    OUTER,
    PART,
    VIEW,
    X1,
    A,
    B,
    Situation,
    after,
    freed,
    held_by,
    load,
    move,
    store,
    take,
)

from bpfheap.lifetime import FieldSlots, FlowFact, LoadFacts

P1 = load(take(F1), move(F1, F2), program=51)
P2 = load(store(A, F1), program=52)
P3 = load(take(F2), program=53)
ON = load(move(F2, F3), program=54)
NESTED = Situation(inner={OUTER: (X1,)})


@pytest.mark.parametrize("order", list(permutations((P1, P2, P3))))
def test_the_allocator_reaches_all_equivalent_fields_in_any_order(
    order: tuple[LoadFacts, ...],
) -> None:
    policy = after(FieldSlots(), *order)
    assert policy.waits_for(A, VIEW) == held_by("m1", "m2")
    assert freed(policy, M1).waits_for(A, VIEW) == held_by("m2")
    assert freed(policy, M1, M2) == FieldSlots()


def test_an_equivalence_outlives_its_program() -> None:
    policy = after(FieldSlots(), P1).unloaded(51, VIEW)
    assert after(policy, P2).waits_for(A, VIEW) == held_by("m1", "m2")


def test_an_equivalence_outlives_the_map_that_made_it() -> None:
    policy = freed(after(FieldSlots(), P1, ON), M2)
    assert after(policy, P2).waits_for(A, VIEW) == held_by("m1", "m3")


@pytest.mark.parametrize(
    ("known", "flows", "where", "allocator"),
    [
        ((P2,), (store(B, F1),), "m1.ptr", A),
        ((P2, P1), (store(B, F2),), "m1.ptr, m2.ptr", A),
        ((P2, load(store(B, F3))), (move(F1, F3),), "m1.ptr, m3.ptr", A),
        ((), (store(A, F1), store(B, F1)), "m1.ptr", None),
    ],
)
def test_a_claimed_field_takes_no_second_allocator(
    known: tuple[LoadFacts, ...], flows: tuple[FlowFact, ...], where: str, allocator: int | None
) -> None:
    policy = after(FieldSlots(), *known)
    for facts in known:
        policy = policy.unloaded(facts.program, VIEW)
    found = policy.refuse(load(*flows), VIEW)
    assert found == f"{where} would take objects of A and B"
    assert found.allocator == allocator


def test_other_fields_of_the_type_are_free() -> None:
    policy = after(FieldSlots(), P2, load(store(B, F2)))
    assert policy.waits_for(B, VIEW) == held_by("m2")


def test_a_new_map_has_new_slots() -> None:
    policy = freed(after(FieldSlots(), P2), M1)
    assert after(policy, load(store(B, F1))).waits_for(B, VIEW) == held_by("m1")


def test_the_maps_inside_when_a_program_is_loaded_are_equivalent() -> None:
    policy = after(FieldSlots(), load(store(A, INNER)), view=NESTED)
    assert policy.waits_for(A, VIEW) == held_by("outer", "x1")
    assert freed(policy, OUTER).waits_for(A, VIEW) == held_by("x1")


def test_a_map_that_is_put_in_later_knows_nothing() -> None:
    policy = after(FieldSlots(), load(store(A, INNER)))
    assert policy.inner_inserted(OUTER, X1, NESTED).waits_for(A, VIEW) == held_by("outer")


def test_fields_of_objects_are_refused() -> None:
    found = FieldSlots().refuse(load(store(A, PART)), VIEW)
    assert found is not None
    assert "struct node.next is part of an object" in found


def test_fields_of_freed_maps_are_forgotten() -> None:
    assert freed(after(FieldSlots(), P1, ON), M1, M2, M3) == FieldSlots()
