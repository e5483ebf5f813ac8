"""dependency-table on hand-written facts."""

from __future__ import annotations

from itertools import permutations

import pytest
from lifetime_samples import (
    F1,
    F2,
    F3,
    FX1,
    FX2,
    INNER,
    M1,
    M2,
    M3,
    OUTER,
    PART,
    VIEW,
    X1,
    X2,
    A,
    B,
    Situation,
    after,
    freed,
    load,
    move,
    store,
    take,
    unloaded,
)

from bpfheap.lifetime import DependencyTable, FieldId, FlowFact, LoadFacts, Policy

P1 = load(take(F1), move(F1, F2), name="p1", program=51)
P2 = load(store(A, F1), take(F1), name="p2", program=52)
P3 = load(take(F2), name="p3", program=53)
ON = load(take(F2), move(F2, F3), name="on", program=54)
ALL = {51: P1, 52: P2, 53: P3}
EMPTY = DependencyTable()


def waits(*fields: str) -> tuple[str, ...]:
    return (f"the dependency of {', '.join(fields)}",) if fields else ()


@pytest.mark.parametrize("order", list(permutations((P1, P2, P3))))
def test_a_concrete_allocator_reaches_all_related_entries(order: tuple[LoadFacts, ...]) -> None:
    policy = after(EMPTY, *order)
    assert policy.waits_for(A, VIEW) == waits("m1.ptr", "m2.ptr")
    assert policy == after(EMPTY, P1, P2, P3)


@pytest.mark.parametrize("order", list(permutations(ALL)))
@pytest.mark.parametrize("values", [{}, {F1: A}, {F2: A}])
def test_the_last_unload_of_a_chain_walks_it(
    order: tuple[int, ...], values: dict[FieldId, int]
) -> None:
    policy = after(EMPTY, *ALL.values())
    first, second, last = order
    for program in (first, second):
        assert policy.unloaded(program, VIEW).walks(program, VIEW) == ()
        policy = unloaded(policy, program)
        assert policy.waits_for(A, VIEW) != ()
    assert policy.unloaded(last, VIEW).walks(last, VIEW) == (M1, M2)
    policy = unloaded(policy, last, values)
    assert policy.waits_for(A, VIEW) == (waits("m1.ptr", "m2.ptr") if values else ())
    assert (policy == EMPTY) == (not values)


@pytest.mark.parametrize("program", [P1, P2, P3], ids=["p1", "p2", "p3"])
def test_any_program_that_uses_the_chain_tries_again(program: LoadFacts) -> None:
    policy = after(EMPTY, *ALL.values())
    for gone in ALL:
        policy = unloaded(policy, gone, {F2: A})
    kept = policy
    policy = unloaded(after(policy, program), program.program, {F2: A})
    assert policy == kept
    assert unloaded(after(policy, program), program.program) == EMPTY


def test_a_program_of_another_chain_does_not_walk() -> None:
    other = load(store(B, F3), take(F3), program=54)
    policy = unloaded(after(EMPTY, P2), 52, {F1: A})
    assert after(policy, other).unloaded(54, VIEW).walks(54, VIEW) == (M3,)


def test_a_placeholder_needs_no_walk() -> None:
    policy = after(EMPTY, P1, P3).unloaded(51, VIEW).unloaded(53, VIEW)
    assert policy == EMPTY
    assert policy.walks(53, VIEW) == ()


def test_a_field_that_was_dissolved_takes_another_allocator() -> None:
    other = load(store(B, F1), program=54)
    policy = after(EMPTY, P2)
    assert policy.refuse(other, VIEW) is not None
    assert unloaded(policy, 52, {F1: A}).refuse(other, VIEW) is not None
    assert after(unloaded(policy, 52), other).waits_for(B, VIEW) == waits("m1.ptr")


@pytest.mark.parametrize("loaded", [P1, P3], ids=["by the equality", "at the far end"])
def test_who_comes_during_the_walk_keeps_the_chain(loaded: LoadFacts) -> None:
    """It may move a value from where the walk did not come yet to where it was already."""
    policy = after(EMPTY, P1, P2).unloaded(51, VIEW).unloaded(52, VIEW)
    assert policy.walks(52, VIEW) == (M1, M2)
    policy = policy.walked(52, F1, None, VIEW)
    policy = after(policy, loaded).walked(52, F2, None, VIEW).walk_ended(52, VIEW)
    assert policy.waits_for(A, VIEW) == waits("m1.ptr", "m2.ptr")
    assert unloaded(policy, loaded.program) == EMPTY


def test_who_came_and_went_during_the_walk_walked_itself() -> None:
    policy = after(EMPTY, P2).unloaded(52, VIEW).walked(52, F1, None, VIEW)
    between = unloaded(after(policy, load(take(F1), program=54)), 54, {F1: A})
    assert between.walk_ended(52, VIEW).waits_for(A, VIEW) == waits("m1.ptr")


@pytest.mark.parametrize(
    ("known", "flows", "where", "allocator"),
    [
        ((P2,), (store(B, F1),), "m1.ptr", A),
        ((P2, P1), (store(B, F2),), "m1.ptr, m2.ptr", A),
        ((P2, load(store(B, F3))), (move(F1, F3),), "m1.ptr, m3.ptr", A),
        ((P2,), (store(A, F1), store(B, F1)), "m1.ptr", A),
        ((P1,), (store(A, F1), store(B, F2)), "m1.ptr, m2.ptr", None),
    ],
)
def test_a_load_that_would_give_a_field_two_allocators_is_refused(
    known: tuple[LoadFacts, ...], flows: tuple[FlowFact, ...], where: str, allocator: int | None
) -> None:
    found = after(EMPTY, *known).refuse(load(*flows, program=59), VIEW)
    assert found == f"{where} would take objects of A and B"
    assert found.allocator == allocator


def test_fields_of_objects_are_refused() -> None:
    found = EMPTY.refuse(load(store(A, PART)), VIEW)
    assert found is not None
    assert "struct node.next is part of an object, and no walk finds all objects" in found


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        ((M1,), ("m2.ptr", "m3.ptr")),
        # What held the two others together: values may have gone all the way.
        ((M2,), ("m1.ptr", "m3.ptr")),
        ((M1, M2), ("m3.ptr",)),
        ((M3, M1), ("m2.ptr",)),
        ((M1, M2, M3), ()),
    ],
)
def test_a_chain_outlives_its_maps_until_the_last_one(
    gone: tuple[int, ...], left: tuple[str, ...]
) -> None:
    policy = after(EMPTY, P1, P2, ON)
    for program in (51, 52, 54):
        policy = unloaded(policy, program, {F3: A})
    policy = freed(policy, *gone)
    assert policy.waits_for(A, VIEW) == waits(*left)
    assert (policy == EMPTY) == (not left)


def test_what_is_left_of_a_chain_is_dissolved_like_any_other() -> None:
    policy = after(EMPTY, P1, P2)
    for program in (51, 52):
        policy = unloaded(policy, program, {F2: A})
    policy = freed(policy, M1)
    assert after(policy, P3).unloaded(53, VIEW).walks(53, VIEW) == (M2,)
    assert unloaded(after(policy, P3), 53) == EMPTY


def test_maps_that_come_and_go_do_not_make_the_table_grow() -> None:
    policy: Policy = EMPTY
    for _ in range(3):
        policy = after(policy, P2, P1)
        for program in (52, 51):
            policy = unloaded(policy, program, {F2: A})
        policy = freed(policy, M1)
        assert isinstance(policy, DependencyTable)
        assert len(policy.table) == 1


NESTED = Situation(inner={OUTER: (X1,)})
BOTH = Situation(inner={OUTER: (X1, X2)})
FILL = load(store(A, INNER), take(INNER), program=55)


def test_the_maps_inside_another_one_are_in_its_chain() -> None:
    policy = after(EMPTY, FILL, view=NESTED)
    assert policy.waits_for(A, VIEW) == waits("outer.ptr", "x1.ptr")
    found = policy.refuse(load(store(B, FX1)), NESTED)
    assert found is not None
    assert found.allocator == A


def test_a_map_that_was_taken_out_stays_in_the_chain() -> None:
    policy = unloaded(after(EMPTY, FILL, view=NESTED), 55, {FX1: A}, view=VIEW)
    policy = freed(policy, OUTER)
    assert policy.waits_for(A, VIEW) == waits("x1.ptr")
    assert unloaded(after(policy, load(take(FX1), program=56)), 56) == EMPTY


def test_a_map_that_is_put_in_comes_into_the_chain() -> None:
    policy = after(EMPTY, FILL).inner_inserted(OUTER, X1, NESTED)
    policy = policy.inner_inserted(OUTER, X2, BOTH)
    assert policy.waits_for(A, BOTH) == waits("outer.ptr", "x1.ptr", "x2.ptr")
    assert policy.unloaded(55, BOTH).walks(55, BOTH) == (X1, X2)


def test_a_map_that_is_put_in_without_a_chain_is_nobodys() -> None:
    assert EMPTY.inner_inserted(OUTER, X1, NESTED) == EMPTY


def test_a_map_that_is_put_in_during_the_walk_keeps_the_chain() -> None:
    policy = after(EMPTY, FILL, view=NESTED).unloaded(55, NESTED).walked(55, FX1, None, NESTED)
    policy = policy.inner_inserted(OUTER, X2, BOTH).walk_ended(55, BOTH)
    assert policy.waits_for(A, BOTH) == waits("outer.ptr", "x1.ptr", "x2.ptr")


def test_two_chains_that_a_map_joins_bind_nobody_else() -> None:
    """It is too late to refuse anything: both allocators stay, and other programs come in."""
    policy = after(EMPTY, FILL, load(store(B, FX2), program=56)).inner_inserted(OUTER, X2, BOTH)
    assert policy.waits_for(A, BOTH) == policy.waits_for(B, BOTH) != ()
    assert policy.refuse(load(store(B, F1), program=57), BOTH) is None
    assert policy.refuse(load(take(FX2), program=57), BOTH) is not None


def test_a_map_inside_that_is_freed_while_the_program_is_loaded_is_forgotten() -> None:
    policy = freed(after(EMPTY, FILL, view=NESTED), X1)
    assert policy.waits_for(A, VIEW) == waits("outer.ptr")
    assert unloaded(policy, 55) == EMPTY
