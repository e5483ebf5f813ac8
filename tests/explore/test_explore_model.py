"""What the explorer remembers is what playing gives; states are taken apart and put together."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from explore_samples import EVERYTHING, bounded, model_of, scenario, searched

from bpfheap.errors import UsageError
from bpfheap.explore import Reductions
from bpfheap.explore.model import Model
from bpfheap.explore.plan import plan_of
from bpfheap.explore.replay import Player, policy_named
from bpfheap.explore.search import Search
from bpfheap.explore.tracked import StateView
from bpfheap.explore.world import Action, parse_action

ONE = bounded(scenario("three_programs", "p2.bpf.c"), runs=2, cpus=2)
TWO = bounded(scenario("three_programs", "p1.bpf.c", "p2.bpf.c"), cpus=1)
ALL = scenario("three_programs")


def told(search: Search) -> object:
    """All that a search counts."""
    return (
        search.states,
        search.transitions,
        search.depth,
        {k: (s.times, search.trail.to(s.first)) for k, s in search.ledger.violations.items()},
        {k: (s.times, search.trail.to(s.first)) for k, s in search.ledger.loads.items()},
    )


@pytest.mark.parametrize("policy", ["live-count", "used-allocators", "prog-allocators"])
@pytest.mark.parametrize("reductions", [EVERYTHING, Reductions()], ids=["all", "reduced"])
def test_what_is_remembered_is_what_playing_gives(policy: str, reductions: Reductions) -> None:
    remembered = searched(ONE, policy, reductions)
    played = searched(ONE, policy, reductions, remember=False)
    assert told(remembered) == told(played)
    assert isinstance(remembered.model, Model)
    assert isinstance(played.model, Model)
    assert remembered.model.played < played.model.played / 3


def walk(model: Model, rng: random.Random) -> list[tuple[Action | None, bytes]]:
    """A random way from the beginning to where nothing more happens."""
    (state,) = model.init_states()
    way: list[tuple[Action | None, bytes]] = [(None, state)]
    while True:
        ahead = [(e.action, s) for e, s in model.successors(state) if s not in (None, state)]
        if not ahead:
            return way
        action, after = rng.choice(ahead)
        assert after is not None
        way.append((action, after))
        state = after


@pytest.mark.parametrize("policy", ["live-count", "edge-propagation"])
def test_what_was_only_looked_at_did_not_change(policy: str) -> None:
    model = model_of(ALL, policy)
    rng = random.Random(5)
    for _ in range(6):
        for _, state in walk(model, rng):
            padded = state.ljust(model.store.width, b"\0")
            view = StateView(model.store, padded, model.constants, any_cpu=False)
            for cell in tuple(model.store.names):
                view.touch(cell)
            assert view.changes() == {}


def test_a_way_through_the_states_can_be_played_on_a_plain_runtime() -> None:
    """And at each step the same things are possible."""
    model = model_of(ALL, "live-count")
    rng = random.Random(6)
    for _ in range(10):
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


def test_at_the_end_everything_is_gone() -> None:
    model = model_of(TWO, "live-count")
    for seed in range(8):
        _, state = walk(model, random.Random(seed))[-1]
        left = {name.kind for name in model.store.names if model.store.value(
            state, model.store.cell(name)) is not None}  # fmt: skip
        # What was ever created is counted, and the machine keeps the names of dead allocators.
        assert left <= {"created", "user", "heap", "policy"}
        assert model.properties(state) is None


@pytest.mark.parametrize(
    "action",
    [
        Action("create", "m1"), Action("run", "p1", 1), Action("run", "p1", 0, nmi=True),
        Action("step", "", 1), Action("grace"), Action("walk", "maps of p1"),
        Action("load", "a.bpf.c:p"), Action("delete", "0"),
    ],
    ids=str,
)  # fmt: skip
def test_actions_can_be_written_and_read(action: Action) -> None:
    assert parse_action(str(action)) == action


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'' is no action"),
        ("fly m1", "'fly m1' is no action"),
        ("run p1 cpux", "'run p1 cpux' names no CPU"),
        ("step cpu" + "1" * 5000, "names no CPU"),
    ],
    ids=["nothing", "verb", "CPU", "long CPU"],
)
def test_what_is_no_action(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_action(text)


@pytest.mark.parametrize(
    ("before", "action", "told"),
    [
        ([], Action("fly", "m1"), "fly m1 is no action"),
        (["create ma", "create m1", "load p2"], Action("run", "p2"), "names no CPU"),
        (["create ma", "create m1", "load p2"], Action("run", "p2", 7), "names no CPU"),
        ([], Action("close", "ma"), "close ma is not possible here"),
    ],
    ids=["verb", "no CPU", "CPU", "closed"],
)
def test_what_cannot_be_done_now(before: list[str], action: Action, told: str) -> None:
    policy = policy_named("live-count")
    player = Player(plan_of(ONE, policy.macro), policy())
    for done in before:
        player.play(parse_action(done))
    with pytest.raises(UsageError, match=told):
        player.play(action)


def test_next_states_are_those_of_all_actions() -> None:
    model = model_of(TWO, "used-allocators")
    rng = random.Random(7)
    for _, state in walk(model, rng):
        each = [model.next_state(state, action)[1] for action in model.actions(state)]
        assert each == [after for _, after in model.successors(state)]
