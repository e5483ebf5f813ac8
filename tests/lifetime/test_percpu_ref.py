"""percpu-ref on hand-written events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifetime_samples import VIEW, A, B, event

from bpfheap.events import ObjectKind
from bpfheap.lifetime import PercpuRef, Policy

ALLOC, FREE = ObjectKind.ALLOC, ObjectKind.FREE


def seen(*kinds: ObjectKind) -> Policy:
    policy: Policy = PercpuRef()
    for cpu, kind in enumerate(kinds):
        policy = policy.object_event(event(kind, A, cpu=cpu % 2), VIEW)
    return policy


@pytest.mark.parametrize(
    ("kinds", "waits"),
    [
        ((), ()),
        ((ALLOC,), ("1 reference of objects",)),
        ((ALLOC, ALLOC), ("2 references of objects",)),
        # On another CPU: neither one's own count is zero.
        ((ALLOC, FREE), ()),
        ((ALLOC, ALLOC, FREE), ("1 reference of objects",)),
    ],
)
def test_the_sum_counts_once_it_is_known(kinds: tuple[ObjectKind, ...], waits: tuple[str]) -> None:
    closed = seen(*kinds).allocator_closed(A, VIEW)
    assert closed.waits_for(A, VIEW) == ("a grace period, after which its references are known",)
    known = closed.grace_period(VIEW)
    assert known.waits_for(A, VIEW) == waits
    assert known.waits_for(B, VIEW) == ()


def test_frees_after_the_switch_count() -> None:
    policy = seen(ALLOC).allocator_closed(A, VIEW).grace_period(VIEW)
    assert policy.object_event(event(FREE, A, cpu=1), VIEW).waits_for(A, VIEW) == ()


def test_a_grace_period_changes_something_only_during_the_switch() -> None:
    policy = seen(ALLOC)
    assert policy.grace_period(VIEW) == policy
    assert policy.allocator_closed(A, VIEW).grace_period(VIEW) == policy


@given(st.permutations([ALLOC] * 4 + [FREE] * 4))
def test_all_orders_of_events_come_to_the_same(kinds: list[ObjectKind]) -> None:
    assert seen(*kinds) == PercpuRef()
