"""Results of explorations, made by hand, and a search that gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from bpfheap.explore import (
    Breach,
    Finding,
    FindingKind,
    History,
    HistoryStep,
    Loads,
    Progress,
    Reductions,
    Result,
    Retention,
    Scenario,
    VerdictKind,
)

CLEAN = Result(
    "first",
    "live-count",
    VerdictKind.CLEAN,
    1234,
    5678,
    9,
    0.5,
    loads={"first": Loads(7, 0)},
)
STORED = "foo#1 was stored into m[0].ptr by p2 at p2.bpf.c:37"
STORE = HistoryStep("step cpu0", (STORED,), "d/p2.bpf.c", 37, "x = y;")
LOOK = HistoryStep("step cpu0", ("p2 calls bpf_map_lookup_elem",), "d/p2.bpf.c", 30, "v = look(m);")
VIOLATION = replace(
    CLEAN,
    verdict=VerdictKind.VIOLATION,
    breaches=(
        Breach(
            "use-after-free",
            "foo#1 is gone",
            History(
                (
                    HistoryStep("create m", ("m was created",)),
                    HistoryStep("grace", ()),
                    LOOK,
                    STORE,
                ),
                "bpfheap-1 short",
                ("foo#1 was allocated", "foo#1 was freed"),
            ),
        ),
        Breach(
            "leak", "foo#2 is left", History((HistoryStep("unload p2", ()),) * 5, "bpfheap-1 long")
        ),
    ),
    findings=(
        Finding(FindingKind.STUCK_FIELD, "m.ptr is stuck", History((STORE,), "bpfheap-1 stuck")),
    ),
    retention=Retention(4, 2, 128),
    loads={"first": Loads(7, 0), "second": Loads(0, 3)},
)
BOUNDED = replace(CLEAN, verdict=VerdictKind.BOUNDED, states=100, finished=False)
FULL = replace(BOUNDED, full=True)


class FakeSearch:
    """Stands for `explore_all`; remembers what it was asked."""

    def __init__(self, *results: Result, interrupt: bool = False) -> None:
        self.results = results
        self.interrupt = interrupt
        self.tasks: list[tuple[Scenario, str]] = []
        self.jobs = 0
        self.reductions = Reductions()
        self.first = False
        self.memory: int | None = None

    def __call__(
        self,
        tasks: Sequence[tuple[Scenario, str]],
        *,
        jobs: int,
        reductions: Reductions,
        first: bool,
        memory: int | None,
        progress: Callable[[int, Progress], None],
    ) -> Iterator[tuple[int, Result]]:
        self.tasks, self.jobs = list(tasks), jobs
        self.reductions, self.first, self.memory = reductions, first, memory
        for number, (scenario, policy) in enumerate(tasks):
            progress(number, Progress(1000, 3000, 20, 4, 500.0, 3 << 20))
            if self.interrupt and number == len(self.results):
                raise KeyboardInterrupt
            result = self.results[number % len(self.results)]
            yield number, replace(result, scenario=scenario.name, policy=policy)
