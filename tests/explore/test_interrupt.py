"""A Ctrl-C ends all searches, and what they know by then is not lost."""

from __future__ import annotations

import pytest
from explore_samples import bounded, scenario

from bpfheap.explore import Progress, VerdictKind, explore_all, search
from bpfheap.explore import run as running


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_known_is_given_and_nothing_begins(
    monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    monkeypatch.setattr(search, "PAUSE", 0.0)
    told: list[Progress] = []

    def progress(number: int, seen: Progress) -> None:
        told.append(seen)
        if len(told) == 1:
            raise KeyboardInterrupt

    three = scenario("three_programs")
    tasks = [(three, "live-count")] * 6
    results = list(explore_all(tasks, jobs=jobs, progress=progress))
    assert [number for number, _ in results] == list(range(len(results)))
    assert 1 <= len(results) <= jobs
    first = results[0][1]
    assert first.verdict is VerdictKind.BOUNDED
    assert first.states >= told[0].states


def test_a_bound_ends_one_search_only() -> None:
    few = bounded(scenario("three_programs"), states=20)
    results = list(explore_all([(few, "live-count"), (few, "global")]))
    assert [(n, r.policy) for n, r in results] == [(0, "live-count"), (1, "global")]


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("jobs", [1, 2])
def test_memory_ends_a_search_and_the_next_one_begins(
    monkeypatch: pytest.MonkeyPatch, tasks: int, jobs: int
) -> None:
    for module in (search, running):
        monkeypatch.setattr(module, "LOOK_AT_MEMORY", 0.0)
    monkeypatch.setattr(search, "PAUSE", 0.0)
    results = list(
        explore_all([(scenario("three_programs"), "live-count")] * tasks, jobs=jobs, memory=1)
    )
    assert [number for number, _ in results] == list(range(tasks))
    first = results[0][1]
    assert (first.verdict, first.finished) == (VerdictKind.BOUNDED, False)
    assert first.full
    assert first.to_json()["full"]
