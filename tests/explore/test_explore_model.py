"""What the explorer remembers is what playing gives; states are taken apart and put together."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from explore_samples import EVERYTHING, bounded, model_of, scenario, searched

from bpfheap.errors import UsageError
from bpfheap.explore import Reductions, read_scenario
from bpfheap.explore.cells import Cell
from bpfheap.explore.ledger import ViolationKey
from bpfheap.explore.model import Model
from bpfheap.explore.plan import plan_of
from bpfheap.explore.reduce import Symmetry
from bpfheap.explore.replay import Player, policy_named
from bpfheap.explore.search import Search
from bpfheap.explore.tracked import StateView, TrackedRegions
from bpfheap.explore.world import Action, Actor, MapUser, parse_action

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
        (["create ma", "close ma"], Action("close", "ma"), "not possible: ma is closed"),
    ],
    ids=["verb", "no CPU", "CPU", "never open", "closed"],
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


def test_what_was_learnt_of_a_byte_is_void_once_the_cell_has_two() -> None:
    """A map that user space has closed for good; its number is 256, whose low byte is that of a map
    that was never there."""
    model = model_of(TWO, "live-count")
    store = model.store
    (start,) = model.init_states()
    cell = store.cell(Cell("user", Actor("map", "ma")))

    def possible(state: bytes) -> set[str]:
        found = {str(effect.action) for effect, _ in model.successors(state)}
        assert found == {str(action) for action in model.actions(state)}
        return found

    assert "create ma" in possible(start)
    while len(store.values[cell]) < 256:
        store.number(cell, MapUser(creates=1, pins=2 * len(store.values[cell])))
    closed = store.write(start, store.digits(cell, store.number(cell, MapUser(creates=1))))
    assert (store.epoch, len(store.places[cell])) == (1, 2)
    assert "create ma" not in possible(closed)
    assert "create ma" in possible(start)


def test_an_exchange_of_cpus_may_name_a_value_that_takes_another_byte() -> None:
    model = model_of(ONE, "live-count")
    store = model.store
    (state,) = model.init_states()
    # The first run leaves an object, so the second one comes to a call that the first one did not.
    for text in (
        *("create ma", "create m1", "load p2", "run p2 cpu0", "run p2 cpu1"),
        *["step cpu0"] * 4,
        *["step cpu1"] * 4,
    ):
        _, after = model.next_state(state, parse_action(text))
        assert after is not None
        state = after
    first, second = (store.cell(Cell("execution", n)) for n in (1, 2))
    assert store.value(state, first) is None
    assert store.value(state, second) is not None
    while len(store.values[first]) < 256:
        store.number(first, len(store.values[first]))
    moved = Symmetry(store, model.plan).canonical(state)
    assert (store.epoch, store.number_in(moved, first)) == (1, 256)
    assert store.value(moved, first) == store.value(state, second)._replace(cpu=0)
    assert store.value(moved, second) is None


def test_there_is_no_state_after_a_violation() -> None:
    found = searched(scenario("inner_map"), "used-allocators")
    assert isinstance(found.model, Model)
    ((_, seen), *_) = found.ledger.violations.items()
    (state,) = found.model.init_states()
    *way, last = found.trail.to(seen.first)
    for action in way:
        _, after = found.model.next_state(state, action)
        assert after is not None
        state = after
    effect, after = found.model.next_state(state, last)
    assert after is None
    assert effect.violation is not None


def test_what_the_runtime_refuses_cannot_be_done_now() -> None:
    player = Player(plan_of(scenario("inner_map")), policy_named("live-count")())
    for done in ("create inner", "create outer"):
        player.play(parse_action(done))
    with pytest.raises(UsageError, match="delete 0: "):
        player.play(Action("delete", "0"))


def test_regions_are_all_that_a_state_has() -> None:
    """That of an element that is gone, and that a program may still read, included."""
    of = read_scenario([Path(__file__).parent / "asymmetric" / "deleted.bpf.c"])
    model = model_of(bounded(of, cpus=2), "live-count")
    (state,) = model.init_states()
    for text in (
        *("create ma", "create m", "create seen", "load add", "load drop", "load keep"),
        *("run add cpu0", "step cpu0", "run keep cpu0", "run drop cpu1", "step cpu1"),
    ):
        _, after = model.next_state(state, parse_action(text))
        assert after is not None
        state = after
    view = StateView(model.store, state, model.constants, any_cpu=False)
    regions = view.memory.regions
    assert isinstance(regions, TrackedRegions)
    ids = set(regions)
    assert ids == {region.id for region in regions.values()}
    (gone,) = view.memory.retired
    assert ids > set(gone.regions) != set()


def test_a_system_has_no_other_attributes() -> None:
    model = model_of(ONE, "live-count")
    view = StateView(model.store, b"", model.constants, any_cpu=False)
    assert not hasattr(view.system, "made_up")


def test_an_object_that_is_left_is_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program that is verified leaves one, so a machine has to claim it."""
    player = Player(plan_of(ONE), policy_named("live-count")())
    machine = player.world.system.machine
    monkeypatch.setattr(machine, "allocator_objects", lambda _: [("it was made",)])
    found = player.world.leaks()
    assert found is not None
    assert ViolationKey.of(found) == ViolationKey(
        "leak", "an object of bpf_obj_new is left that nothing can reach any more"
    )
    assert found.life == ("it was made",)
