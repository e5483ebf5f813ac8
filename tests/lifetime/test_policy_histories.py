"""What holds for policies whatever happened."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from enum import StrEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifetime_samples import (
    BTF,
    F1,
    F2,
    F3,
    FX1,
    INNER,
    M1,
    M2,
    M3,
    MA,
    MB,
    OUTER,
    X1,
    A,
    B,
    Situation,
    allocator_map,
    created,
    event,
    free,
    load,
    move,
    store,
    take,
    unloaded,
)

from bpfheap.events import ObjectKind
from bpfheap.lifetime import (
    POLICIES,
    BtfSlot,
    DependencyTable,
    EdgePropagation,
    FieldFact,
    FieldId,
    FieldSlots,
    FlowFact,
    Global,
    LoadFacts,
    Policy,
    Static,
)

VIEW = Situation(
    inner={OUTER: (X1,)},
    kptr_allocators=dict.fromkeys((M1, M2, M3, OUTER, X1), A),
    btfs={M3: 61, X1: 62},
)
MAPS = (M1, M2, M3, OUTER, X1)
FIELDS = (F1, F2, F3, FX1, INNER)
#: The tags let everything of A in; M3 is the map that takes objects of B, too.
TAGS = dict.fromkeys(FIELDS, "A")

fields_ = st.sampled_from(FIELDS)
flows = st.one_of(
    st.builds(store, st.sampled_from([A, A, B]), fields_),
    st.builds(move, fields_, fields_),
    st.builds(take, fields_),
    st.builds(free, fields_),
)
programs = st.lists(st.lists(flows, max_size=4), min_size=1, max_size=4)
values = st.dictionaries(st.sampled_from(FIELDS[:-1]), st.sampled_from([A, B]), max_size=2)


def start(cls: type[Policy]) -> Policy:
    """With all maps there."""
    policy = cls()
    for facts in (allocator_map(MA, A), allocator_map(MB, B)):
        policy = policy.map_created(facts, VIEW)
    for map_id, field in zip((M1, M2, M3, X1), FIELDS[:-1], strict=True):
        named = VIEW.kptr_allocator(map_id)
        policy = policy.map_created(
            created(map_id, FieldFact(field, "foo", "A"), names=named), VIEW
        )
    return policy


def number(n: int, flows_: list[FlowFact]) -> LoadFacts:
    return load(*flows_, program=50 + n, tags=TAGS)


def admitted(policy: Policy, loads: list[LoadFacts]) -> tuple[Policy, list[int]]:
    """After those loads that the policy admits."""
    there = []
    for facts in loads:
        if policy.refuse(facts, VIEW) is None:
            policy = policy.loaded(facts, VIEW)
            there.append(facts.program)
    return policy, there


def is_plain(value: Hashable) -> bool:
    if is_dataclass(value):
        return all(is_plain(getattr(value, f.name)) for f in fields(value))
    if isinstance(value, (frozenset, tuple)):
        return all(map(is_plain, value))
    return value is None or type(value) in (int, bool, str) or isinstance(value, StrEnum)


def lived(
    cls: type[Policy], loads: list[list[FlowFact]], seen: dict[FieldId, int], order: list[int]
) -> Policy:
    """Loads, objects, an insert, then unloads; the maps and the BTF objects are still there."""
    policy, there = admitted(start(cls), [number(n, f) for n, f in enumerate(loads)])
    for kind in (ObjectKind.ALLOC, ObjectKind.FREE):
        policy = policy.object_event(event(kind, A), VIEW)
    policy = policy.inner_inserted(OUTER, X1, VIEW)
    assert is_plain(policy)
    for program in sorted(there, key=lambda p: order[p - 50]):
        policy = unloaded(policy, program, seen, VIEW)
    return policy


@pytest.mark.parametrize("cls", POLICIES, ids=lambda p: p.name)
@settings(max_examples=40)
@given(
    loads=programs,
    seen=values,
    order=st.permutations(range(4)),
    frees=st.permutations(MAPS),
)
def test_nothing_is_left_when_all_is_gone(
    cls: type[Policy],
    loads: list[list[FlowFact]],
    seen: dict[FieldId, int],
    order: list[int],
    frees: list[int],
) -> None:
    """So allocators are released in the end, and nothing grows for ever."""
    policy = lived(cls, loads, seen, order)
    again = lived(cls, loads, seen, order)
    assert policy == again
    assert hash(policy) == hash(again)
    for map_id in frees:
        policy = policy.map_freed(map_id, VIEW)
    for btf in (BTF, 61, 62):
        policy = policy.btf_freed(btf, VIEW)
    for allocator in (A, B):
        policy = policy.allocator_closed(allocator, VIEW)
    policy = policy.grace_period(VIEW)
    assert policy == cls()
    assert is_plain(policy)
    assert (policy.waits_for(A, VIEW) == ()) == (cls is not Global)


@pytest.mark.parametrize(
    "cls", [EdgePropagation, BtfSlot, FieldSlots, DependencyTable, Static], ids=lambda p: p.name
)
@settings(max_examples=60)
@given(
    loads=st.lists(
        st.lists(
            st.one_of(
                st.builds(store, st.just(A), fields_),
                st.builds(move, fields_, fields_),
                st.builds(take, fields_),
            ),
            max_size=4,
        ),
        min_size=2,
        max_size=4,
    ),
    order=st.permutations(range(4)),
)
def test_the_order_of_loads_does_not_matter(
    cls: type[Policy], loads: list[list[FlowFact]], order: list[int]
) -> None:
    """As long as there is one allocator only."""
    facts = [number(n, f) for n, f in enumerate(loads)]
    policy, there = admitted(start(cls), facts)
    shuffled = sorted(facts, key=lambda f: order[f.program - 50])
    other, others = admitted(start(cls), shuffled)
    assert set(there) == set(others) == {f.program for f in facts}
    assert policy == other


@settings(max_examples=60)
@given(
    loads=programs, seen=values, order=st.permutations(range(4)), free_first=st.sampled_from(MAPS)
)
def test_a_value_that_stays_keeps_its_allocator_in_the_table(
    loads: list[list[FlowFact]], seen: dict[FieldId, int], order: list[int], free_first: int
) -> None:
    """Whichever of its fields a walk saw, and whichever other map of the chain goes first."""
    started, there = admitted(start(DependencyTable), [number(n, f) for n, f in enumerate(loads)])
    bound = {f: a for f, a in seen.items() if f.owner != free_first and _is_bound(started, f, a)}
    policy = started
    for program in sorted(there, key=lambda p: order[p - 50]):
        policy = unloaded(policy, program, bound, VIEW)
    policy = policy.map_freed(free_first, VIEW)
    for field, allocator in bound.items():
        assert _is_bound(policy, field, allocator)


def _is_bound(policy: Policy, field: FieldId, allocator: int) -> bool:
    """The table says that the field may have objects of that allocator."""
    name = f"{VIEW.map_name(int(field.owner))}.ptr"
    return any(name in phrase for phrase in policy.waits_for(allocator, VIEW))
