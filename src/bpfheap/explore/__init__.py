"""Every order of events of a scenario, visited: a scheme is proved or broken, with the shortest
history that breaks it. Drives the runtime, policies and model machine that users run."""

from bpfheap.explore.reduce import Reductions
from bpfheap.explore.replay import Replay
from bpfheap.explore.results import (
    Breach,
    Finding,
    FindingKind,
    History,
    HistoryStep,
    Loads,
    Progress,
    Result,
    Retention,
    VerdictKind,
)
from bpfheap.explore.run import explore, explore_all
from bpfheap.explore.scenario import Bounds, KernelFiles, Scenario, read_scenario

__all__ = [
    "Bounds",
    "Breach",
    "Finding",
    "FindingKind",
    "History",
    "HistoryStep",
    "KernelFiles",
    "Loads",
    "Progress",
    "Reductions",
    "Replay",
    "Result",
    "Retention",
    "Scenario",
    "VerdictKind",
    "explore",
    "explore_all",
    "read_scenario",
]
