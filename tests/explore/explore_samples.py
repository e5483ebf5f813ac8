"""Small scenarios for the tests of the explorer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from bpfheap.explore import Bounds, Reductions, Scenario, read_scenario
from bpfheap.explore.model import Model, Unstable
from bpfheap.explore.plan import Plan, plan_of
from bpfheap.explore.replay import policy_named
from bpfheap.explore.search import Search
from bpfheap.lifetime import Policy

EXAMPLES = Path(__file__).parents[2] / "examples"
EVERYTHING = Reductions(partial_order=False, symmetry=False)


@cache
def scenario(name: str, *files: str) -> Scenario:
    """A folder of the examples, or some of its files."""
    folder = EXAMPLES / name
    return read_scenario([folder / f for f in files] if files else [folder])


def bounded(of: Scenario, **bounds: int) -> Scenario:
    return replace(of, bounds=replace(Bounds(), **bounds))  # type: ignore[arg-type]


def model_of(
    of: Scenario, policy: str, reductions: Reductions = EVERYTHING, *, remember: bool = True
) -> Model:
    kind = policy_named(policy)
    plan = plan_of(of, kind.macro)
    return Model(plan, kind(), reductions, remember=remember)


def searched(
    of: Scenario, policy: str, reductions: Reductions = EVERYTHING, *, remember: bool = True
) -> Search:
    """A search that was run to its end."""
    kind = policy_named(policy)
    return searched_under(plan_of(of, kind.macro), kind, reductions, remember=remember)


def searched_under(
    plan: Plan,
    policy: Callable[[], Policy],
    reductions: Reductions = EVERYTHING,
    *,
    remember: bool = True,
) -> Search:
    """The same, of a plan under a policy that need not have a name."""
    changing: frozenset[int] = frozenset()
    while True:
        search = Search(Model(plan, policy(), reductions, changing=changing, remember=remember))
        try:
            search.run()
        except Unstable as unstable:
            changing = unstable.changing
            continue
        return search


class KeepsNothing(Policy):
    """An object that is left in a map is a violation once the allocator map goes first."""

    name = "keeps-nothing"
    rule = thread = ""
