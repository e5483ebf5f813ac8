"""Objects in lists and trees are parts of a state by themselves."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from explore_samples import EVERYTHING, bounded, model_of, searched
from test_explore_model import walk

from bpfheap.explore import Reductions, Scenario, plan, read_scenario
from bpfheap.explore.replay import Player
from bpfheap.explore.search import Search
from bpfheap.explore.tracked import StateView
from bpfheap.verifier import Verdict

FOLDER = Path(__file__).with_name("containers")


@pytest.fixture(autouse=True)
def unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine sees is asked for here, whatever the verifier thinks of it."""
    monkeypatch.setattr(
        plan, "verify", lambda obj, program, options: Verdict(program.name, 0, 0, ())
    )


def of(*files: str, **bounds: int) -> Scenario:
    return bounded(read_scenario([FOLDER / f"{name}.bpf.c" for name in files]), **bounds)


@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("name", ["lists", "percpu"])
def test_all_orders_are_clean(name: str, cpus: int) -> None:
    search = searched(of(name, cpus=cpus, runs=3 - cpus), "live-count", Reductions())
    assert search.finished
    assert not search.ledger.violations


def test_reductions_find_the_same() -> None:
    some = searched(of("lists", cpus=1), "live-count", Reductions())
    every = searched(of("lists", cpus=1), "live-count", EVERYTHING)
    assert some.states < every.states
    assert not every.ledger.violations


def test_what_others_may_read_is_not_read_first() -> None:
    """Whoever reads an object of a list keeps its place among the others."""
    some, every = (
        searched(of("asks_between", cpus=2), "live-count", reductions)
        for reductions in (Reductions(symmetry=False), EVERYTHING)
    )
    assert some.finished
    assert (some.ledger.violations, some.states) == (every.ledger.violations, every.states)


def test_a_race_is_found() -> None:
    alone = searched(of("lists", "hasty", cpus=1, one_process=1), "live-count", Reductions())
    assert not alone.ledger.violations
    both = of("lists", "hasty", cpus=2, one_process=1)
    search = Search(model_of(both, "live-count", Reductions()), first=True)
    search.run()
    (wrong,) = search.ledger.violations
    assert wrong.kind == "use-after-free"
    assert "write of 4 bytes at item#1 after it was freed" in wrong.text


def test_what_was_only_looked_at_did_not_change() -> None:
    model = model_of(of("lists", cpus=2), "live-count")
    rng = random.Random(5)
    objects = 0
    for _ in range(40):
        for _, state in walk(model, rng):
            view = StateView(
                model.store, state.ljust(model.store.width, b"\0"), model.constants, any_cpu=False
            )
            for cell in tuple(model.store.names):
                view.touch(cell)
            assert view.changes() == {}
            objects += view.memory.objects
    assert objects > 0


def test_a_way_through_the_states_can_be_played_on_a_plain_runtime() -> None:
    model = model_of(of("lists", cpus=2), "live-count")
    rng = random.Random(6)
    for _ in range(40):
        player = Player(model.plan, model.constants.policy)
        for (_, before), (action, _) in pairwise(walk(model, rng)):
            plain = player.world
            assert sorted(map(str, model.actions(before))) == sorted(
                str(a) for actor in plain.actors() for a in plain.enabled(actor)
            )
            assert action is not None
            player.play(action)
            assert player.violation is None
        assert player.end() is None
