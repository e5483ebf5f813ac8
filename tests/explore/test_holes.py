"""The hole of each scheme, found without being told the order; or that there is none."""

from __future__ import annotations

from functools import cache

import pytest
from explore_samples import scenario

from bpfheap.explore import FindingKind, Replay, Result, VerdictKind, explore
from bpfheap.lifetime import POLICIES

#: (policy, scenario) -> all violations, the shortest history first: steps and how it ends.
HOLES = {
    # The object is on the other program's stack when the walk comes by.
    ("unload-walk", "walk_race"): [(25, "free of m frees foo#1, whose allocator ma is gone")],
    # An inner map is none of the program's maps.
    ("unload-walk", "inner_map"): [
        (19, "free of inner frees foo#1, whose allocator ma is gone"),
        (21, "drain.bpf.c:18: unit_free of foo#1, whose allocator ma is gone"),
    ],
    # P1 does not know the allocator of what it moves.
    ("prog-allocators", "three_programs"): [
        (27, "free of m2 frees foo#1, whose allocator ma is gone"),
        (30, "p3.bpf.c:25: unit_free of foo#1, whose allocator ma is gone"),
    ],
    # Both variants of the message: P1 is verified before P2.
    ("used-allocators", "three_programs"): [
        (27, "free of m2 frees foo#1, whose allocator ma is gone"),
        (30, "p3.bpf.c:25: unit_free of foo#1, whose allocator ma is gone"),
    ],
    # The outer map has the reference, and goes before the inner one.
    ("used-allocators", "inner_map"): [
        (20, "free of inner frees foo#1, whose allocator ma is gone"),
        (22, "drain.bpf.c:18: unit_free of foo#1, whose allocator ma is gone"),
    ],
    ("used-allocators-strict", "inner_map"): [
        (20, "free of inner frees foo#1, whose allocator ma is gone"),
    ],
    ("edge-propagation", "inner_map"): [
        (20, "free of inner frees foo#1, whose allocator ma is gone"),
        (22, "drain.bpf.c:18: unit_free of foo#1, whose allocator ma is gone"),
    ],
    # M2 is created when there is nothing any more that its tag could mean.
    ("annotated", "three_programs"): [
        (29, "free of m2 frees foo#1, whose allocator ma is gone"),
        (32, "p3.bpf.c:25: unit_free of foo#1, whose allocator ma is gone"),
    ],
    # The inner map is put into the outer one after the program was loaded.
    ("prog-allocators", "inner_map"): [
        (20, "free of inner frees foo#1, whose allocator ma is gone"),
        (22, "drain.bpf.c:18: unit_free of foo#1, whose allocator ma is gone"),
    ],
    ("field-slot", "inner_map"): [
        (20, "free of inner frees foo#1, whose allocator ma is gone"),
        (22, "drain.bpf.c:18: unit_free of foo#1, whose allocator ma is gone"),
    ],
}

#: Visited to the end without a violation, where their neighbours fail.
SOUND = [
    ("live-count", "three_programs"),
    ("used-allocators-strict", "three_programs"),
    ("edge-propagation", "three_programs"),
    ("btf-slot", "three_programs"),
    ("dependency-table", "three_programs"),
    *((p, s) for p in ("live-count", "percpu-ref", "static", "global", "dependency-table")
      for s in ("inner_map", "walk_race", "two_allocators", "nested", "two_fields",
                "placeholder_only", "stack_hold", "reload")),
    *(("used-allocators-strict", s) for s in
      ("walk_race", "two_allocators", "two_fields", "stack_hold", "reload")),
]  # fmt: skip

#: (policy, scenario) -> findings about the design: kind, and how often.
FINDINGS = {
    ("used-allocators-strict", "three_programs"): {FindingKind.ORDER_DEPENDENT: 2},
    ("used-allocators-strict", "placeholder_only"): {FindingKind.REFUSED: 2},
    ("btf-slot", "two_fields"): {FindingKind.ORDER_DEPENDENT: 2, FindingKind.STUCK_FIELD: 2},
    ("btf-slot", "reload"): {FindingKind.ORDER_DEPENDENT: 1, FindingKind.STUCK_FIELD: 1},
    ("field-slot", "two_fields"): {},
    ("field-slot", "two_allocators"): {FindingKind.ORDER_DEPENDENT: 2, FindingKind.STUCK_FIELD: 2},
    # The field is free again once a walk found nothing.
    ("dependency-table", "two_allocators"): {FindingKind.ORDER_DEPENDENT: 2},
    ("static", "two_fields"): {FindingKind.REFUSED: 1, FindingKind.STUCK_FIELD: 1},
    ("annotated", "two_allocators"): {FindingKind.REFUSED: 1},
    ("global", "stack_hold"): {FindingKind.IMMORTAL: 1},
    ("live-count", "two_allocators"): {},
    ("percpu-ref", "two_allocators"): {},
}


@cache
def result(policy: str, name: str) -> Result:
    return explore(scenario(name), policy)


@pytest.mark.parametrize(("policy", "name"), HOLES)
def test_the_hole_is_found(policy: str, name: str) -> None:
    found = result(policy, name)
    assert found.verdict is VerdictKind.VIOLATION
    assert found.finished
    ends = [(len(b.history.steps), b.message.rpartition("/")[2]) for b in found.breaches]
    assert ends == HOLES[policy, name]
    assert all(b.kind == "use-after-free" for b in found.breaches)


@pytest.mark.parametrize("policy", ["used-allocators", "unload-walk"])
def test_the_history_of_a_hole_can_be_replayed(policy: str) -> None:
    name = "three_programs" if policy == "used-allocators" else "walk_race"
    for breach in result(policy, name).breaches:
        replay = Replay(breach.history.replay)
        assert tuple(replay.steps()) == breach.history.steps
        assert replay.violation is not None
        assert str(replay.violation) == breach.message
        assert replay.violation.life == breach.history.life


@pytest.mark.parametrize(("policy", "name"), SOUND)
def test_there_is_no_hole(policy: str, name: str) -> None:
    found = result(policy, name)
    assert (found.verdict, found.breaches, found.finished) == (VerdictKind.CLEAN, (), True)


@pytest.mark.parametrize(("policy", "name"), FINDINGS)
def test_what_the_design_leads_to(policy: str, name: str) -> None:
    kinds = [f.kind for f in result(policy, name).findings]
    assert {kind: kinds.count(kind) for kind in kinds} == FINDINGS[policy, name]


def test_used_allocators_was_told_no_order() -> None:
    """P1, which moves, comes before P2, which stores, in both histories; nobody said so."""
    for breach in result("used-allocators", "three_programs").breaches:
        actions = [step.action for step in breach.history.steps]
        assert actions.index("load p1") < actions.index("load p2")


def test_references_grow_with_each_load() -> None:
    """Of three allocators that came and went, none has an object left."""
    assert result("prog-allocators", "churn").retention.allocators == 3
    assert result("live-count", "churn").retention.allocators == 0


def test_every_policy_has_its_test() -> None:
    tested = {policy for policy, _ in (*HOLES, *SOUND, *FINDINGS)}
    assert tested == {p.name for p in POLICIES}
