"""Histories: played, shortened, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from explore_samples import EXAMPLES, scenario

from bpfheap.errors import BpfheapError, UsageError, VerifierError
from bpfheap.explore import explore, read_scenario
from bpfheap.explore.ledger import ViolationKey
from bpfheap.explore.plan import plan_of
from bpfheap.explore.replay import history_of, policy_named, shorten
from bpfheap.explore.world import Action, parse_action


def test_a_policy_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="there is no policy live-counts") as seen:
        policy_named("live-counts")
    assert "live-count, " in (seen.value.hint or "")


def test_what_a_violation_does_not_need_is_left_out() -> None:
    of, policy = scenario("inner_map"), policy_named("used-allocators")
    plan = plan_of(of, policy.macro)
    breach = explore(of, policy.name).breaches[0]
    shortest = [parse_action(step.action) for step in breach.history.steps]
    more = [*shortest[:6], Action("load", "drain"), Action("unload", "drain"), *shortest[6:]]
    wanted = ViolationKey(breach.kind, breach.message)
    assert shorten(plan, policy(), more, wanted) == shortest
    # Nothing can go where another violation is wanted.
    assert shorten(plan, policy(), more, wanted._replace(kind="leak")) == more


def test_a_history_that_cannot_be_played() -> None:
    of, policy = scenario("inner_map"), policy_named("live-count")
    with pytest.raises(BpfheapError, match="the history cannot be played: run fill"):
        history_of(of, plan_of(of), policy(), [Action("run", "fill", 0)])


SOURCE = """
#include <bpfheap.h>
SEC("tc") int same(struct __sk_buff *skb) { return <what>; }
char _license[] SEC("license") = "GPL";
"""


def test_programs_of_one_name_are_told_apart_by_their_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.bpf.c").write_text(SOURCE.replace("<what>", "0"))
    (tmp_path / "c.bpf.c").write_text((EXAMPLES / "first.bpf.c").read_text())
    plan = plan_of(read_scenario([tmp_path]))
    assert list(plan.programs) == ["a.bpf.c:same", "b.bpf.c:same", "first"]


def test_a_program_that_is_rejected_is_no_part_of_a_plan(tmp_path: Path) -> None:
    (tmp_path / "a.bpf.c").write_text(SOURCE.replace("<what>", "*(volatile int *)8"))
    with pytest.raises(VerifierError):
        plan_of(read_scenario([tmp_path]))


def test_a_scenario_needs_a_program(tmp_path: Path) -> None:
    (tmp_path / "a.bpf.c").write_text("#include <bpfheap.h>\nint unused;\n")
    with pytest.raises(UsageError, match="has no program"):
        plan_of(read_scenario([tmp_path]))
