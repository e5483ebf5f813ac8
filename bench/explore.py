"""How fast the explorer is, and how much it keeps: python bench/explore.py [--large]

Prints JSON like that of `bpfheap bench`. The explorer remembers the outcomes of actions; its peer
is the same search without that, which plays every action anew. Both are timed in one run, on the
same states. `--large` also visits a space of some million states and takes minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bpfheap.explore import Reductions, Scenario, explore_all, read_scenario
from bpfheap.explore.model import Model
from bpfheap.explore.plan import plan_of
from bpfheap.explore.search import Search
from bpfheap.lifetime import POLICIES, LiveCount

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTHING = Reductions(partial_order=False, symmetry=False)
_ROUNDS = 5
#: Playing everything anew is some thirty times slower.
_PLAYED_STATES = 4_000


def searched(scenario: Scenario, *, remember: bool, limit: int | None) -> Search:
    model = Model(plan_of(scenario), LiveCount(), NOTHING, remember=remember)
    search = Search(model, limit=limit)
    search.run()
    return search


def measured(run: Callable[[], Search], rounds: int) -> dict[str, float]:
    """Nanoseconds for each state."""
    found = []
    for _ in range(rounds):
        search = run()
        found.append(search.seconds / search.states * 1e9)
    return {"min": round(min(found)), "median": round(statistics.median(found))}


def case(name: str, ours: dict[str, float], peers: dict[str, dict[str, float]]) -> dict[str, Any]:
    ratio = {peer: round(ours["median"] / times["median"], 4) for peer, times in peers.items()}
    return {"name": name, "unit": "ns", "ours": ours, "peers": peers, "ratio": ratio}


def without_reductions() -> dict[str, Any]:
    scenario = read_scenario([EXAMPLES / "three_programs"])
    ours = measured(lambda: searched(scenario, remember=True, limit=None), _ROUNDS)
    played = measured(lambda: searched(scenario, remember=False, limit=_PLAYED_STATES), _ROUNDS)
    return case("a state of three_programs, no reductions", ours, {"played anew": played})


def all_policies(jobs: int) -> dict[str, Any]:
    scenario = read_scenario([EXAMPLES / "three_programs"], runs=2, cpus=2)
    began = time.perf_counter()
    results = [r for _, r in explore_all([(scenario, p.name) for p in POLICIES], jobs=jobs)]
    seconds = time.perf_counter() - began
    return {
        "name": f"three_programs, 2 runs, 2 CPUs, {len(results)} policies, {jobs} jobs",
        "unit": "s",
        "ours": {"min": round(seconds, 1), "median": round(seconds, 1)},
        "peers": {},
        "ratio": {},
        "states": sum(r.states for r in results),
    }


def large() -> dict[str, Any]:
    scenario = read_scenario([EXAMPLES / "chain"])
    scenario = replace(scenario, bounds=replace(scenario.bounds, one_process=False, cpus=2))
    model = Model(plan_of(scenario), LiveCount(), Reductions())
    search = Search(model)
    search.run()
    per_state = round(search.seconds / search.states * 1e9)
    return {
        "name": "chain with descriptors of their own, 2 CPUs",
        "unit": "ns",
        "ours": {"min": per_state, "median": per_state},
        "peers": {},
        "ratio": {},
        "states": search.states,
        "transitions": search.transitions,
        "finished": search.finished,
        "seconds": round(search.seconds, 1),
        "bytes_per_state": round(search.memory() / search.states),
        "peak_rss_bytes_per_state": round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / search.states
        ),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--large", action="store_true", help="also a space of millions of states")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    cases = [without_reductions(), all_policies(given.jobs)]
    if given.large:
        cases.append(large())
    machine = {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    print(json.dumps({"bench": "explore", "machine_info": machine, "cases": cases}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
