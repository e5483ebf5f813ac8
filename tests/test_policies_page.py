"""docs/policies.md and what writes it. Exploring all of it again would take minutes."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bpfheap.explore import (
    Breach,
    Finding,
    FindingKind,
    History,
    HistoryStep,
    Loads,
    Result,
    Scenario,
    VerdictKind,
    read_scenario,
)
from bpfheap.explore.matrix import COLUMNS
from bpfheap.lifetime import POLICIES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "policies.md").read_text()
SCENARIOS = sorted({path.parent.name for path in ROOT.glob("examples/*/*.bpf.c")})

Page = Callable[[Sequence[Scenario], Sequence[Result]], str]


@pytest.fixture(scope="module")
def page() -> Page:
    made: Page = runpy.run_path(str(ROOT / "tools" / "policies_page.py"))["page"]
    return made


def test_the_page_has_every_policy_and_every_scenario() -> None:
    """If this fails: make docs/policies.md."""
    assert re.findall(r"^## (\S+)$", PAGE, re.MULTILINE) == [p.name for p in POLICIES]
    assert re.findall(r"^\| \[(\w+)\]\(\.\./examples/\1\)", PAGE, re.MULTILINE) == SCENARIOS


def test_the_table_is_the_one_in_the_code() -> None:
    assert f"| {' | '.join(COLUMNS)} |\n" in PAGE
    for policy in POLICIES:
        assert re.search(rf"^\| {policy.name} \| .* \| {policy.asks or 'nothing'} \|$", PAGE, re.M)


def test_nothing_in_it_depends_on_the_machine() -> None:
    assert str(ROOT) not in PAGE
    assert not re.search(r"\d (s|ms|seconds|states/s)\b", PAGE)


def test_what_was_found_is_told(page: Page) -> None:
    scenario = read_scenario([ROOT / "examples" / "three_programs"])
    clean = Result(
        scenario.name, "live-count", VerdictKind.CLEAN, 9, 9, 9, 0.1, loads={"p2": Loads(1, 0)}
    )
    history = History((HistoryStep("unload p2", ("p2 was unloaded",)),), "bpfheap-1 it's")
    broken = replace(
        clean,
        policy="used-allocators",
        verdict=VerdictKind.VIOLATION,
        breaches=(Breach("leak", "foo#1 is left", history),),
        findings=(Finding(FindingKind.STUCK_FIELD, "m.ptr is stuck", history),),
    )
    vacuous = replace(clean, policy="global", loads={"p2": Loads(0, 1)})
    text = page([scenario], [clean, broken, vacuous])
    assert text == page([scenario], [clean, broken, vacuous])
    for line in (
        "- Safe in every order of `three_programs`.",
        "- `three_programs` breaks it: leak after 1 step. foo#1 is left",
        "- `three_programs`, stuck-field after 1 step: m.ptr is stuck",
        "- Nothing to be proved in `three_programs`: no program that stores is let in.",
        "  1. unload p2: p2 was unloaded",
        """bpfheap replay 'bpfheap-1 it'"'"'s'""",
    ):
        assert text.splitlines().count(line) == 1, line
