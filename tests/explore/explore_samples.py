"""Small scenarios for the tests of the explorer."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from bpfheap.explore import Bounds, Reductions, Scenario, read_scenario
from bpfheap.explore.model import Model, Unstable
from bpfheap.explore.plan import plan_of
from bpfheap.explore.replay import policy_named
from bpfheap.explore.search import Search

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
    model = model_of(of, policy, reductions, remember=remember)
    while True:
        search = Search(model)
        try:
            search.run()
        except Unstable as unstable:
            model = Model(
                model.plan, policy_named(policy)(), reductions,
                changing=unstable.changing, remember=remember,
            )  # fmt: skip
            continue
        return search
