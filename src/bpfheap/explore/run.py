"""Explorations from beginning to end: a scenario and a policy in, a Result out."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from bpfheap.errors import BpfheapError
from bpfheap.explore.ledger import Sighting, ViolationKey
from bpfheap.explore.model import Model, Unstable
from bpfheap.explore.plan import Plan, plan_of
from bpfheap.explore.reduce import ALL, Reductions
from bpfheap.explore.replay import history_of, policy_named, shorten
from bpfheap.explore.results import (
    Breach,
    Finding,
    FindingKind,
    History,
    Loads,
    Progress,
    Result,
    Retention,
    VerdictKind,
)
from bpfheap.explore.scenario import Scenario
from bpfheap.explore.search import LOOK_AT_MEMORY, Full, Search
from bpfheap.explore.shards import ShardedSearch, SharedStore
from bpfheap.explore.world import Action
from bpfheap.host import ending_with_parent, memory_bound, memory_of
from bpfheap.lifetime import Policy

#: What an allocator without objects takes: one cache line of counts for each CPU.
_BYTES_A_CPU = 64


def explore(
    scenario: Scenario,
    policy: str,
    *,
    reductions: Reductions = ALL,
    first: bool = False,
    jobs: int = 1,
    memory: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Visit every state that a scenario can reach under a policy, in `jobs` processes. `first`:
    only up to the depth of the first violation. A KeyboardInterrupt ends the search early, with
    what is known by then; so do `memory` bytes that all its processes have together (None: any).

    Raises UsageError for an unknown policy, and what compiling and verifying the files raises.
    """
    kind = policy_named(policy)
    plan = plan_of(scenario, kind.macro)
    changing: frozenset[int] = frozenset()
    while True:
        model = Model(
            plan,
            kind(),
            reductions,
            changing=changing,
            store=SharedStore() if jobs > 1 else None,
        )
        limit = scenario.bounds.states
        search = (
            ShardedSearch(model, jobs, limit=limit, first=first, memory=memory)
            if jobs > 1
            else Search(model, limit=limit, first=first, memory=memory)
        )
        try:
            search.run(progress)
        except Unstable as unstable:
            changing = unstable.changing
            continue
        alone = Model(plan, kind(), reductions, changing=changing)
        return _ResultBuilder(scenario, plan, kind(), alone, search).result()


class _ResultBuilder:
    """Makes sentences of what a search has seen."""

    def __init__(
        self, scenario: Scenario, plan: Plan, policy: Policy, model: Model, search: Search
    ) -> None:
        self._scenario = scenario
        self._plan = plan
        self._policy = policy
        self._model = model
        self._search = search

    def result(self) -> Result:
        search = self._search
        breaches = sorted(
            (self._breach(wrong, seen) for wrong, seen in search.ledger.violations.items()),
            key=_length,
        )
        verdict = VerdictKind.CLEAN if search.finished else VerdictKind.BOUNDED
        return Result(
            self._scenario.name,
            self._policy.name,
            VerdictKind.VIOLATION if breaches else verdict,
            search.states,
            search.transitions,
            search.depth,
            search.seconds,
            tuple(breaches),
            tuple(self._findings()),
            Retention(
                search.retained.steps,
                search.retained.allocators,
                search.retained.allocators * _BYTES_A_CPU * self._plan.bounds.cpus,
            ),
            {label: self._loads(label) for label in self._plan.programs},
            search.ledger.together,
            search.ledger.reused,
            search.finished,
            search.full,
        )

    def _actions(self, seen: Sighting) -> list[Action]:
        return self._model.as_played(self._search.trail.to(seen.first))

    def _breach(self, wrong: ViolationKey, seen: Sighting) -> Breach:
        actions = shorten(self._plan, self._policy, self._actions(seen), wrong)
        history, played = history_of(self._scenario, self._plan, self._policy, actions)
        assert played is not None, "the runtime does not see what the explorer saw"
        return Breach(played.kind, str(played), history)

    def _history(self, seen: Sighting) -> History:
        return history_of(self._scenario, self._plan, self._policy, self._actions(seen))[0]

    def _loads(self, label: str) -> Loads:
        counts = {True: 0, False: 0}
        for (program, refused, _), seen in self._search.ledger.loads.items():
            if program == label:
                counts[refused] += seen.times
        return Loads(counts[False], counts[True])

    def _findings(self) -> Iterator[Finding]:
        ledger = self._search.ledger
        for (label, refused, stuck), seen in ledger.loads.items():
            if not refused:
                continue
            said = "" if seen.load is None else seen.load.refused or ""
            reason = said.partition(": ")[2]
            if stuck:
                text = f"{label} cannot use the field any more, although nobody else does: {reason}"
                yield Finding(FindingKind.STUCK_FIELD, text, self._history(seen))
            elif (label, False, False) in ledger.loads:
                text = f"{label} is let in in one order and refused in another: {reason}"
                yield Finding(FindingKind.ORDER_DEPENDENT, text, self._history(seen))
            else:
                text = f"no order lets {label} in: {reason}"
                yield Finding(FindingKind.REFUSED, text, self._history(seen))
        if ledger.immortal is not None:
            text = "everything is closed, and an allocator without objects is still there"
            yield Finding(FindingKind.IMMORTAL, text, self._history(ledger.immortal))


def _length(breach: Breach) -> tuple[int, str, str]:
    return len(breach.history.steps), breach.kind, breach.message


Task = tuple[Scenario, str]


def explore_all(
    tasks: Sequence[Task],
    *,
    jobs: int = 1,
    reductions: Reductions = ALL,
    first: bool = False,
    memory: int | None = None,
    progress: Callable[[int, Progress], None] | None = None,
) -> Iterator[tuple[int, Result]]:
    """Explore several scenarios and policies, `jobs` at a time, and give the results in the order
    of the tasks, with their numbers. The results are the same with any number of jobs. After a
    KeyboardInterrupt only the searches that had begun give one, with what is known by then.

    All processes have at most `memory` bytes together, by default three quarters of what there is;
    where that is not enough, the largest search ends, and the others go on.
    """
    memory = memory_bound() if memory is None else memory
    if jobs <= 1 or len(tasks) <= 1:
        for number, (scenario, policy) in enumerate(tasks):
            told = None if progress is None else _numbered(progress, number)
            result = explore(
                scenario,
                policy,
                reductions=reductions,
                first=first,
                jobs=jobs,
                memory=memory,
                progress=told,
            )
            yield number, result
            if _was_interrupted(result, scenario.bounds.states, first):
                return
        return
    # The children inherit the tasks: specs are large, and pickling them would take long.
    context = multiprocessing.get_context("fork")
    for scenario, policy in tasks:
        # Compile once, here.
        scenario.compiled(policy_named(policy).macro)
    queue: Any = context.Queue()
    stop = context.Event()
    largest = context.Value("q", 0)
    inherited = _Inherited(tasks, reductions, first, queue, stop, largest, ending_with_parent())
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(jobs, context, _child, (inherited,))
    waiting = [executor.submit(_explore_task, n) for n in range(len(tasks))]
    children = set(multiprocessing.active_children()) - others
    watch = _Watch(memory, children, largest)
    try:
        for number, pending in enumerate(waiting):
            while not pending.done():
                try:
                    _report(queue, progress)
                    watch.look()
                    wait([pending], 0.1)
                except KeyboardInterrupt:
                    stop.set()
            found = pending.result()
            if found is not None:
                yield number, found
    except BrokenProcessPool:
        raise BpfheapError("a process of the search was killed") from None
    finally:
        # Those that have nothing left to do end by themselves.
        if not all(pending.done() for pending in waiting):
            for child in children:
                child.terminate()
        executor.shutdown(cancel_futures=True)


def _numbered(progress: Callable[[int, Progress], None], number: int) -> Callable[[Progress], None]:
    return lambda seen: progress(number, seen)


def _was_interrupted(result: Result, limit: int | None, first: bool) -> bool:
    """Whether a search ended for no other reason."""
    bounded = limit is not None and result.states >= limit
    return not (result.finished or bounded or result.full or (first and result.breaches))


class _Watch:
    """Looks after the memory of several processes."""

    def __init__(self, memory: int, children: Collection[BaseProcess], largest: Any) -> None:
        self._most = memory
        self._children = children
        self._largest = largest
        self._looked = 0.0
        #: Were asked to end their search, and have none: they did not answer.
        self._idle: set[int] = set()

    def look(self) -> None:
        """Have the largest search end if all have too much."""
        now = time.monotonic()
        if now - self._looked < LOOK_AT_MEMORY:
            return
        self._looked = now
        if self._largest.value:
            self._idle.add(self._largest.value)
        else:
            self._idle.clear()
        has = {child.pid: memory_of(child.pid or 0) for child in self._children}
        if sum(has.values()) + memory_of(os.getpid()) > self._most:
            searching = has.keys() - self._idle
            self._largest.value = max(searching, key=lambda pid: has[pid], default=0)


def _report(queue: Any, progress: Callable[[int, Progress], None] | None) -> None:
    """Hand on what the children told since the last time."""
    while not queue.empty():
        number, seen = queue.get()
        if progress is not None:
            progress(number, seen)


class _Inherited(NamedTuple):
    """What a child has of its parent. `stop` is set when nobody wants to wait any more,
    `largest` to the process whose search is to end for the sake of the others."""

    tasks: Sequence[Task]
    reductions: Reductions
    first: bool
    queue: Any
    stop: Any
    largest: Any
    end_with_parent: Callable[[], None]


_inherited: _Inherited | None = None


def _child(inherited: _Inherited) -> None:
    global _inherited
    _inherited = inherited
    inherited.end_with_parent()
    # What was told last need not be heard; else the process would wait for that before it ends.
    inherited.queue.cancel_join_thread()
    # A terminal sends it to all processes, but it is the parent that decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _explore_task(number: int) -> Result | None:
    """None if it is too late to begin."""
    assert _inherited is not None
    tasks, reductions, first, queue, stop, largest, _ = _inherited

    def progress(seen: Progress) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        if largest.value == os.getpid():
            largest.value = 0
            raise Full
        queue.put((number, seen))

    if stop.is_set():
        return None
    if largest.value == os.getpid():
        # The search that was meant has ended.
        largest.value = 0
    scenario, policy = tasks[number]
    return explore(scenario, policy, reductions=reductions, first=first, progress=progress)
