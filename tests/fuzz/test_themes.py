"""All programs of a theme: none is left out, none is made twice, and what is wrong is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from bpfheap.errors import UsageError
from bpfheap.fuzz import exhaustive
from bpfheap.fuzz.exhaustive import (
    Asked,
    ThemeReport,
    ask_model,
    ask_unpruned,
    examine_unit,
    exhausted,
    size_of,
    units,
)
from bpfheap.fuzz.hunt import listing_of
from bpfheap.fuzz.results import FuzzResult, Outcome
from bpfheap.fuzz.theme import Theme
from bpfheap.fuzz.themes import THEMES
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, Verdict

SMALL = Theme(
    "small", "a test's", frozenset(), "r6 = 0\nr7 = 0\nBODY\nLAST\nr0 = 0\nexit\n",
    ("r{a} = 1", "r{a} = r{b}", "if r{a} == 0 goto ?"), (6, 7), ("r0 = r{a}",),
)  # fmt: skip


def whole(theme: Theme, length: int, *asked: Asked) -> ThemeReport:
    report = ThemeReport()
    for unit in units(theme, length):
        report.add(examine_unit(theme, unit, asked))
    return report


def accepts_all(obj: ObjectSpec, spec: ProgramSpec, options: Options) -> Verdict:
    return Verdict("fuzzed", 1, 1, ())


def made(theme: Theme, length: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """All programs of that length."""
    found: list[tuple[str, ...]] = []

    def keep(obj: ObjectSpec, spec: ProgramSpec, verdict: Verdict) -> FuzzResult:
        found.append(tuple(listing_of(spec)))
        return FuzzResult(Outcome.ACCEPTED)

    monkeypatch.setattr(exhaustive, "verify", accepts_all)
    for unit in units(theme, length):
        if unit.length == length:
            examine_unit(theme, unit, (keep,))
    return found


def test_all_programs_up_to_renaming(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [line[2:4] for line in made(SMALL, 1, monkeypatch)] == [
        ("2: (b7) r6 = 1", "3: (bf) r0 = r6"),
        ("2: (b7) r6 = 1", "3: (bf) r0 = r7"),
        # A copy uses both.
        ("2: (bf) r6 = r7", "3: (bf) r0 = r6"),
        ("2: (bf) r6 = r7", "3: (bf) r0 = r7"),
    ]
    jumps = [lines for lines in made(SMALL, 2, monkeypatch) if "goto" in lines[2]]
    # Over the next instruction, and never over none.
    assert {lines[2] for lines in jumps} == {"2: (15) if r6 == 0x0 goto pc+1"}


@pytest.mark.parametrize("name", ["small", *THEMES])
def test_each_program_is_made_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theme = {"small": SMALL, **THEMES}[name]
    found = made(theme, 2, monkeypatch)
    assert len(found) == len(set(found)) == size_of(theme, 2)


@pytest.mark.parametrize("name", THEMES)
def test_a_beginning_is_verified_once_for_all(name: str) -> None:
    theme = THEMES[name]
    once = whole(theme, 2)
    each = whole(replace(theme, again=True), 2)
    assert once.outcomes == each.outcomes
    assert each.skipped == 0
    assert [once.outcomes[n].total() for n in (1, 2)] == [size_of(theme, n) for n in (1, 2)]


@pytest.mark.parametrize("name", THEMES)
def test_a_theme_tells_right_from_wrong(name: str) -> None:
    counts = whole(THEMES[name], 2).counts
    assert counts[Outcome.ACCEPTED] > 0
    assert counts[Outcome.REFUSED] > 0


@pytest.mark.parametrize("name", THEMES)
def test_the_shortest_programs_are_right(name: str) -> None:
    report = whole(THEMES[name], 1, ask_unpruned, ask_model)
    assert report.passed, report.to_json()["findings"]


def test_a_fault_is_told_by_its_smallest_program() -> None:
    def against_copies(obj: ObjectSpec, spec: ProgramSpec, verdict: Verdict) -> FuzzResult:
        copies = sum("r6 = r7" in line for line in listing_of(spec))
        return FuzzResult(Outcome.PRUNED if copies else Outcome.ACCEPTED, theirs="a copy")

    report = whole(SMALL, 2, against_copies)
    assert not report.passed
    (found,) = report.to_json()["findings"]
    assert (found["kind"], found["theirs"]) == ("pruned", "a copy")
    assert found["program"][2:3] == ["2: (bf) r6 = r7"]
    assert len(found["program"]) == 6
    assert found["count"] == report.counts[Outcome.PRUNED] > 2


@contextmanager
def nobody() -> Iterator[tuple[Asked, ...]]:
    yield ()


def test_processes_share_the_work() -> None:
    one, two = (exhausted("locks", 2, nobody, jobs=jobs).to_json() for jobs in (1, 2))
    for told in (one, two):
        assert told.pop("seconds") > 0
        told.pop("per_second")
    assert one == two
    assert one["programs"] == size_of(THEMES["locks"], 1) + size_of(THEMES["locks"], 2)


def test_a_crash_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any) -> None:
        raise IndexError("no such thing")

    monkeypatch.setattr(exhaustive, "verify", fails)
    report = whole(SMALL, 1)
    assert report.counts == Counter({Outcome.CRASH: 4})
    assert [found.result.outcome for found in report.told()] == [Outcome.CRASH]


def test_a_theme_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="there is no theme heap"):
        exhausted("heap", 1, nobody)
