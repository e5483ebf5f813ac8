"""The table of policies, from results made by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from explore_samples import scenario

from bpfheap.explore import (
    Breach,
    Finding,
    FindingKind,
    History,
    HistoryStep,
    Loads,
    Result,
    Retention,
    VerdictKind,
)
from bpfheap.explore.matrix import COLUMNS, Matrix, Row, Shows, shows
from bpfheap.lifetime import POLICIES, Policy

#: What the scenarios of these tests can show.
SHOWN = {
    "plain": Shows(frozenset({"p1"})),
    "contest": Shows(frozenset({"p1", "p2"}), contested=True),
    "inner": Shows(frozenset({"p1"}), inner=True),
    "quiet": Shows(frozenset()),
}
CLEAN = Result(
    "plain",
    "live-count",
    VerdictKind.CLEAN,
    10,
    20,
    5,
    0.1,
    loads={"p1": Loads(3, 0), "p2": Loads(4, 0)},
)
REFUSED = {"p1": Loads(0, 3), "p2": Loads(0, 3)}


def history(steps: int) -> History:
    return History(tuple(HistoryStep(f"step {n}", ()) for n in range(steps)), f"replay of {steps}")


def broken(result: Result, steps: int) -> Result:
    breach = Breach("use-after-free", "it is gone", history(steps))
    return replace(result, verdict=VerdictKind.VIOLATION, breaches=(breach,))


def found(result: Result, kind: FindingKind) -> Result:
    return replace(result, findings=(Finding(kind, "so", history(3)),))


def bounded(result: Result) -> Result:
    return replace(result, verdict=VerdictKind.BOUNDED, finished=False)


def row_of(*results: Result) -> Row:
    (row,) = Matrix(results, SHOWN).rows
    return row


def cell(column: str, *results: Result) -> str:
    return row_of(*results).cells()[list(COLUMNS).index(column)]


def kept(result: Result, retention: Retention) -> Result:
    return replace(result, retention=retention)


CONTEST = replace(CLEAN, scenario="contest")
INNER = replace(CLEAN, scenario="inner")
QUIET = replace(CLEAN, scenario="quiet")


@pytest.mark.parametrize(
    ("results", "shown"),
    [
        ([CLEAN], "yes"),
        ([CLEAN, broken(INNER, 7)], "no: inner, 7 steps (use-after-free)"),
        ([broken(CLEAN, 9), broken(INNER, 7)], "no: inner, 7 steps (use-after-free), and 1 more"),
        ([CLEAN, bounded(INNER)], "open: not finished in inner"),
        ([bounded(CLEAN), broken(INNER, 1)], "no: inner, 1 step (use-after-free)"),
        # Where nothing was ever stored, nothing was proved.
        ([replace(CLEAN, loads=REFUSED)], "vacuous: refused"),
        ([replace(CLEAN, loads=REFUSED), QUIET], "vacuous: refused"),
        ([CLEAN, replace(INNER, loads=REFUSED)], "yes (vacuous in inner)"),
        ([replace(CONTEST, loads={"p1": Loads(0, 3), "p2": Loads(1, 2)})], "yes"),
        ([QUIET], "yes"),
    ],
)
def test_soundness(results: list[Result], shown: str) -> None:
    assert cell("sound", *results) == shown


ORDER, STUCK = FindingKind.ORDER_DEPENDENT, FindingKind.STUCK_FIELD


@pytest.mark.parametrize(
    ("column", "results", "shown"),
    [
        ("order-dependent refusals", [CLEAN], "none"),
        ("order-dependent refusals", [bounded(CLEAN)], "none found"),
        ("order-dependent refusals", [found(CLEAN, ORDER), found(INNER, ORDER)], "plain, inner"),
        ("order-dependent refusals", [found(CLEAN, STUCK)], "none"),
        ("order-dependent refusals", [replace(CLEAN, loads={"p1": Loads(1)})], "n/a"),
        ("field reuse", [CLEAN], "n/a"),
        ("field reuse", [CONTEST], "no"),
        ("field reuse", [bounded(CONTEST)], "not seen"),
        ("field reuse", [replace(CLEAN, reused=True), CONTEST], "yes"),
        ("field reuse", [found(CLEAN, STUCK)], "no: plain"),
        ("field reuse", [found(replace(CLEAN, reused=True), STUCK)], "not always: plain"),
        ("two allocators in a field", [CLEAN], "n/a"),
        ("two allocators in a field", [CLEAN, CONTEST], "no"),
        ("two allocators in a field", [bounded(CONTEST)], "not seen"),
        ("two allocators in a field", [replace(CONTEST, together=True)], "yes"),
        ("inner maps", [CLEAN], "n/a"),
        ("inner maps", [CLEAN, INNER], "sound"),
        ("inner maps", [replace(INNER, loads=REFUSED)], "refused"),
        ("inner maps", [broken(INNER, 12)], "broken: 12 steps"),
        ("inner maps", [bounded(INNER)], "open"),
        ("retention", [CLEAN], "none"),
        (
            "retention",
            [kept(CLEAN, Retention(4, 1, 64)), kept(INNER, Retention(2, 3, 9))],
            "4 steps, 3 allocators",
        ),
        ("retention", [found(CLEAN, FindingKind.IMMORTAL)], "for ever: plain"),
        ("asks for", [CLEAN], "nothing"),
    ],
)  # fmt: skip
def test_cells(column: str, results: list[Result], shown: str) -> None:
    assert cell(column, *results) == shown


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.name)
def test_what_a_policy_asks_for_is_its_own_word(policy: type[Policy]) -> None:
    assert cell("asks for", replace(CLEAN, policy=policy.name)) == (policy.asks or "nothing")


def test_rows_are_in_the_order_of_the_policies_and_unknown_ones_last() -> None:
    names = [p.name for p in reversed(POLICIES)]
    rows = Matrix([replace(CLEAN, policy=name) for name in ["mine", *names]]).rows
    assert [row.policy for row in rows] == [*reversed(names), "mine"]


def test_nothing_is_claimed_of_scenarios_nobody_described() -> None:
    (row,) = Matrix([CONTEST]).rows
    assert (row.together, row.inner, row.reuse) == ("n/a", "n/a", "n/a")


def test_json() -> None:
    row = row_of(broken(CLEAN, 2), found(INNER, ORDER))
    document = json.loads(json.dumps(row.to_json()))
    assert document["counterexample"] == {
        "scenario": "plain",
        "kind": "use-after-free",
        "message": "it is gone",
        "steps": 2,
        "replay": "replay of 2",
    }
    assert document["sound"] == "no"
    assert document["broken"] == ["plain"]
    assert document["order_dependent_refusals"] == ["inner"]
    assert row_of(CLEAN).to_json()["counterexample"] is None


def test_markdown_is_one_table_whatever_names_say() -> None:
    odd = replace(CLEAN, scenario="a|b\nc")
    text = Matrix([broken(odd, 3), replace(CLEAN, policy="global")]).markdown()
    lines = text.splitlines()
    assert text.endswith("|\n")
    assert len(lines) == 4
    assert {line.replace("\\|", "").count("|") for line in lines} == {len(COLUMNS) + 1}
    assert "a\\|b c" in lines[2]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["p1.bpf.c", "p3.bpf.c"], Shows(frozenset())),
        (["p1.bpf.c", "p2.bpf.c", "p3.bpf.c"], Shows(frozenset({"p2"}))),
    ],
)
def test_what_a_scenario_shows(files: list[str], expected: Shows) -> None:
    assert shows(scenario("three_programs", *files)) == expected


def test_a_field_that_two_allocators_fill_is_contested() -> None:
    assert shows(scenario("two_allocators")).contested
    assert not shows(scenario("two_fields")).contested
