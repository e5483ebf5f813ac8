"""btf-slot on hand-written facts."""

from __future__ import annotations

import pytest
from lifetime_samples import (
    BTF,
    F1,
    F2,
    F3,
    GLOBAL,
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
    event,
    free,
    load,
    move,
    store,
    take,
)

from bpfheap.events import ObjectKind
from bpfheap.lifetime import BtfSlot, LoadFacts, Policy

#: Three files, with M1, M2 and M3 from one each.
FILES = Situation(btfs={M1: 61, M2: 62, M3: 63, OUTER: 61, X1: 64}, inner={})
P1 = load(take(F1), move(F1, F2), name="p1", program=51)
P2 = load(store(A, F1), take(F1), free(F1), name="p2", program=52)
P3 = load(take(F2), free(F2), name="p3", program=53)
WAITS = ("the slot of struct foo, until its BTF goes",)


@pytest.mark.parametrize("order", [(P1, P3, P2), (P2, P1, P3), (P3, P2, P1)])
def test_the_slot_is_there_in_any_order_until_the_btf_goes(order: tuple[LoadFacts, ...]) -> None:
    policy = after(BtfSlot(), *order)
    for program in (51, 52, 53):
        policy = policy.unloaded(program, VIEW)
    for map_id in (M1, M2):
        policy = policy.map_freed(map_id, VIEW)
    assert policy.waits_for(A, VIEW) == WAITS
    assert policy.btf_freed(BTF, VIEW) == BtfSlot()


def test_programs_tie_the_btfs_of_their_maps_together() -> None:
    first = load(move(F1, F2), program=51, btf=61)
    second = load(store(A, F1), program=52, btf=61)
    policy = after(BtfSlot(), first, second, view=FILES)
    policy = policy.btf_freed(61, FILES)
    assert policy.waits_for(A, FILES) == WAITS
    assert policy.btf_freed(62, FILES).waits_for(A, FILES) == ()


def test_other_structs_and_other_btfs_have_slots_of_their_own() -> None:
    policy = after(BtfSlot(), load(store(A, F1), btf=61), view=FILES)
    policy = after(policy, load(store(B, F2), btf=62), view=FILES)
    policy = after(policy, load(store(B, F1), btf=61, types={F1: "bar"}), view=FILES)
    policy = policy.btf_freed(61, FILES)
    assert policy.waits_for(A, FILES) == ()
    assert policy.waits_for(B, FILES) == WAITS


@pytest.mark.parametrize(
    ("known", "flows", "allocator"),
    [
        ((P2,), (store(B, F1),), A),
        # Another field of the same type, even without a way from one to the other.
        ((P2,), (store(B, F3),), A),
        ((), (store(A, F1), store(B, F3)), None),
    ],
)
def test_a_claimed_slot_is_never_claimed_again(
    known: tuple[LoadFacts, ...], flows: tuple[object, ...], allocator: int | None
) -> None:
    policy = after(BtfSlot(), *known).unloaded(52, VIEW)
    found = policy.refuse(load(*flows), VIEW)  # type: ignore[arg-type]
    assert found is not None
    assert found == "the slot of struct foo is claimed by A; p brings B"
    assert found.allocator == allocator


def test_a_program_that_would_tie_two_claims_is_refused() -> None:
    policy = after(
        BtfSlot(),
        load(store(A, F1), btf=61),
        load(store(B, F2), btf=62),
        view=FILES,
    )
    found = policy.refuse(load(move(F1, F2), btf=63), FILES)
    assert found is not None
    assert found.allocator in (A, B)
    assert policy.refuse(load(take(F1), btf=63), FILES) is None


@pytest.mark.parametrize(
    ("loads", "allocator", "why"),
    [
        ((P2, P3), A, None),
        ((P3,), A, "finds the placeholder in the slot, and the object is of A"),
        ((P2, P3), B, "finds A in the slot, and the object is of B"),
        # What a program allocated and never stored does not go through a slot.
        ((load(take(F2), free(B), program=53),), B, None),
        ((load(take(F2), free(F2), free(GLOBAL), program=53),), GLOBAL, None),
        ((load(take(F2), free(F2), free(GLOBAL), program=53),), A, "finds the placeholder"),
    ],
)
def test_frees_go_through_the_slot(
    loads: tuple[LoadFacts, ...], allocator: int, why: str | None
) -> None:
    policy = after(BtfSlot(), *loads)
    found = policy.misdirected(event(ObjectKind.FREE, allocator, program=53), VIEW)
    assert (found is None) == (why is None)
    assert (why or "") in (found or "")


def test_only_frees_of_programs_go_through_the_slot() -> None:
    policy = after(BtfSlot(), P3)
    for other in (
        event(ObjectKind.FREE, A, program=None),
        event(ObjectKind.ALLOC, A, program=53),
        event(ObjectKind.FREE, A, program=53, struct="bar"),
        event(ObjectKind.FREE, A, program=99),
    ):
        assert policy.misdirected(other, VIEW) is None


def test_fields_of_objects_are_in_the_btf_of_the_program() -> None:
    policy = after(BtfSlot(), load(store(A, PART), btf=61), view=FILES)
    assert policy.waits_for(A, FILES) == WAITS
    assert policy.btf_freed(61, FILES) == BtfSlot(frees=policy.frees)  # type: ignore[attr-defined]


def test_a_map_that_is_put_in_has_the_slot_of_those_inside() -> None:
    policy: Policy = after(BtfSlot(), load(store(A, INNER), btf=61), view=FILES)
    policy = policy.inner_inserted(OUTER, X1, FILES).btf_freed(61, FILES)
    assert policy.waits_for(A, FILES) == WAITS
    assert policy.btf_freed(64, FILES) == BtfSlot()


def test_two_claims_cannot_be_tied_any_more_when_a_map_is_put_in() -> None:
    mine = FILES.btf_of(X1)
    policy = after(BtfSlot(), load(store(A, INNER), btf=61), view=FILES)
    policy = after(policy, load(store(B, F1._replace(owner=X1)), btf=mine), view=FILES)
    assert policy.inner_inserted(OUTER, X1, FILES) == policy
