"""annotated on hand-written facts."""

from __future__ import annotations

import pytest
from lifetime_samples import (
    F1,
    F2,
    GLOBAL,
    INNER,
    M1,
    M2,
    MA,
    PART,
    VIEW,
    A,
    B,
    allocator_map,
    created,
    free,
    freed,
    held_by,
    load,
    move,
    store,
    take,
)

from bpfheap.lifetime import Annotated, FieldFact, FieldId, FlowFact, MapFacts, Policy

TAGGED = created(M1, FieldFact(F1, "foo", "A"))
NAMED = allocator_map(MA, A)


@pytest.mark.parametrize("order", [(TAGGED, NAMED), (NAMED, TAGGED)], ids=["map", "allocator"])
def test_the_reference_is_there_once_both_maps_are(order: tuple[MapFacts, ...]) -> None:
    policy: Policy = Annotated()
    for facts in order:
        assert policy.waits_for(A, VIEW) == ()
        policy = policy.map_created(facts, VIEW)
    policy = policy.allocator_closed(A, VIEW)
    assert policy.waits_for(A, VIEW) == held_by("m1")
    assert policy.waits_for(B, VIEW) == ()
    assert freed(policy, M1) == Annotated()


def test_maps_without_tags_refer_to_nothing() -> None:
    policy = Annotated().map_created(created(M1, FieldFact(F1, "foo")), VIEW)
    assert policy == Annotated()


def test_a_map_that_comes_after_the_allocator_map_refers_to_nothing() -> None:
    policy = Annotated().map_created(NAMED, VIEW).allocator_closed(A, VIEW)
    assert policy.map_created(TAGGED, VIEW).waits_for(A, VIEW) == ()


def test_an_allocator_map_of_the_same_name_adds_a_reference() -> None:
    policy: Policy = Annotated()
    for facts in (TAGGED, NAMED):
        policy = policy.map_created(facts, VIEW)
    policy = policy.allocator_closed(A, VIEW)
    policy = policy.map_created(allocator_map(MA, B), VIEW).allocator_closed(B, VIEW)
    assert policy.waits_for(A, VIEW) == policy.waits_for(B, VIEW) == held_by("m1")


TAGS = {F1: "A", F2: "A", INNER: "B"}


@pytest.mark.parametrize(
    ("flows", "untagged", "reason"),
    [
        ((store(A, F1), move(F1, F2), take(F2), free(F2)), None, None),
        ((store(B, INNER),), None, None),
        # Whoever only takes needs no tag.
        ((take(F1), free(F1)), F1, None),
        ((store(A, F1),), F1, "m1.ptr has no tag that names an allocator map, and p stores"),
        ((move(F2, F1),), F1, "m1.ptr has no tag that names an allocator map, and p stores"),
        ((move(F1, F2),), F1, "the tag of m2.ptr names A, and p stores what m1.ptr holds"),
        ((store(B, F1),), None, "the tag of m1.ptr names A, and p stores objects of B"),
        ((store(GLOBAL, F1),), None, "the tag of m1.ptr names A, and p stores objects of (global)"),
        ((move(F1, INNER),), None, "the tag of outer.ptr names B, and p stores what m1.ptr holds"),
        ((store(A, PART),), None, "struct node.next is part of an object"),
    ],
)
def test_only_what_the_tag_names_goes_into_a_field(
    flows: tuple[FlowFact, ...], untagged: FieldId | None, reason: str | None
) -> None:
    tags = {field: tag for field, tag in TAGS.items() if field != untagged}
    found = Annotated().refuse(load(*flows, tags=tags), VIEW)
    assert (found is None) == (reason is None)
    assert (reason or "") in (found or "")


def test_maps_hold_references_for_themselves_alone() -> None:
    policy: Policy = Annotated()
    for facts in (NAMED, TAGGED, created(M2, FieldFact(F2, "foo", "A"))):
        policy = policy.map_created(facts, VIEW)
    assert freed(policy, M1).waits_for(A, VIEW) == held_by("m2")
