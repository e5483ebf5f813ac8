"""unload-walk on hand-written facts."""

from __future__ import annotations

import pytest
from lifetime_samples import (
    F1,
    FX1,
    GLOBAL,
    M1,
    M2,
    OUTER,
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
    unloaded,
)

from bpfheap.lifetime import FieldId, UnloadWalk

P1 = load(store(A, F1), program=50, maps=(M1, M2, OUTER))


def test_nothing_is_known_before_the_unload() -> None:
    assert after(UnloadWalk(), P1).waits_for(A, VIEW) == ()


def test_the_maps_that_the_code_names_are_walked_and_no_inner_ones() -> None:
    view = Situation(inner={OUTER: (X1,)})
    policy = after(UnloadWalk(), P1, view=view).unloaded(50, view)
    assert policy.walks(50, view) == (M1, M2, OUTER)
    assert policy.walks(51, view) == ()


@pytest.mark.parametrize(
    ("values", "waits"),
    [
        ({}, ()),
        ({F1: A}, ("m1",)),
        ({F1: B}, ()),
        ({F1: A, F1._replace(owner=M2): A}, ("m1", "m2")),
        # Whatever a program that exchanges values at that moment holds, or an inner map.
        ({FX1: A}, ()),
    ],
)
def test_each_map_takes_a_reference_to_what_is_seen_in_it(
    values: dict[FieldId, int], waits: tuple[str, ...]
) -> None:
    policy = unloaded(after(UnloadWalk(), P1), 50, values)
    assert policy.waits_for(A, VIEW) == held_by(*waits)
    assert freed(policy, M1, M2) == UnloadWalk()


def test_objects_of_the_global_allocator_need_no_reference() -> None:
    assert unloaded(after(UnloadWalk(), P1), 50, {F1: GLOBAL}) == UnloadWalk()


def test_a_move_after_the_walk_is_missed() -> None:
    """P1 unloads while the object is in M1; P2 moves it to M2 and M1 goes."""
    mover = load(move(F1, F1._replace(owner=M2)), program=51)
    policy = unloaded(after(UnloadWalk(), P1, mover), 50, {F1: A})
    assert freed(policy, M1).waits_for(A, VIEW) == ()


def test_programs_without_maps_leave_nothing_behind() -> None:
    assert unloaded(after(UnloadWalk(), load(program=50)), 50) == UnloadWalk()
