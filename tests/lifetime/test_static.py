"""static on hand-written facts."""

from __future__ import annotations

import pytest
from lifetime_samples import (
    F1,
    F2,
    F3,
    GLOBAL,
    INNER,
    M1,
    M2,
    OUTER,
    PART,
    VIEW,
    X1,
    A,
    B,
    Situation,
    created,
    free,
    freed,
    held_by,
    load,
    move,
    store,
    take,
)

from bpfheap.lifetime import FlowFact, Policy, Static

NAMING = Situation(inner={OUTER: (X1,)}, kptr_allocators={M1: A, M2: A, OUTER: A, X1: A})
SILENT = Situation(inner={OUTER: (X1,)}, kptr_allocators={M1: A, X1: A})


def test_a_map_holds_its_allocator_from_beginning_to_end() -> None:
    policy: Policy = Static()
    for facts in (created(M1, names=A), created(M2)):
        policy = policy.map_created(facts, VIEW)
    assert policy.waits_for(A, VIEW) == held_by("m1")
    assert freed(policy, M1) == Static()


@pytest.mark.parametrize(
    ("flows", "view", "reason"),
    [
        ((store(A, F1), move(F1, F2), take(F1), free(F1)), NAMING, None),
        ((take(F3), free(F3)), NAMING, None),
        ((store(A, INNER), move(INNER, F1), move(F1, INNER)), NAMING, None),
        ((store(B, F1),), NAMING, "the kptr_allocator of m1 is A; p stores objects of B"),
        ((store(GLOBAL, F1),), NAMING, "the kptr_allocator of m1 is A; p stores objects of (gl"),
        ((move(F3, F1),), NAMING, "the kptr_allocator of m1 is A; p stores objects of none"),
        ((store(A, F3),), NAMING, "the definition of m3 names no kptr_allocator"),
        ((move(F1, F3),), NAMING, "the definition of m3 names no kptr_allocator"),
        ((store(A, PART),), NAMING, "struct node.next is part of an object"),
        # What one map inside names says nothing of the next one.
        ((store(A, INNER),), SILENT, "the definition of outer names no kptr_allocator"),
        ((move(INNER, F1),), SILENT, "p stores objects of none"),
    ],
)
def test_only_what_the_definition_names_goes_into_a_map(
    flows: tuple[FlowFact, ...], view: Situation, reason: str | None
) -> None:
    found = Static().refuse(load(*flows), view)
    assert (found is None) == (reason is None)
    assert (reason or "") in (found or "")


def test_a_refusal_says_which_allocator_the_map_is_bound_to() -> None:
    found = Static().refuse(load(store(B, F1)), NAMING)
    assert found is not None
    assert found.allocator == A
