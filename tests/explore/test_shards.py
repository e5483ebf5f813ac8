"""The processes of one search: what ends them, and what they say of it."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from explore_samples import bounded, scenario

from bpfheap.errors import BpfheapError, UsageError
from bpfheap.explore import (
    FindingKind,
    Progress,
    Reductions,
    explore,
    explore_all,
    read_scenario,
    shards,
)
from bpfheap.explore import run as running
from bpfheap.explore.model import Model, Unstable
from bpfheap.explore.plan import plan_of
from bpfheap.explore.replay import policy_named
from bpfheap.explore.scenario import Scenario
from bpfheap.explore.search import Full
from bpfheap.explore.shards import ShardedSearch, SharedStore

#: The reduction expects of an element that it stays.
COMES_AND_GOES = """
#include <bpfheap.h>
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} seen SEC(".maps");
SEC("tc") int add(struct __sk_buff *skb)
{
	__u32 key = 0;
	return bpf_map_update_elem(&seen, &key, &key, BPF_ANY);
}
SEC("tc") int drop(struct __sk_buff *skb)
{
	__u32 key = 0;
	return bpf_map_delete_elem(&seen, &key);
}
char _license[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    path = tmp_path_factory.mktemp("small") / "small.bpf.c"
    path.write_text(COMES_AND_GOES)
    return bounded(read_scenario([path]), cpus=2, one_process=True)


def sharded(of: Scenario, jobs: int = 2) -> ShardedSearch:
    model = Model(plan_of(of), policy_named("live-count")(), Reductions(), store=SharedStore())
    return ShardedSearch(model, jobs)


@pytest.fixture
def _own_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


class Answers:
    """In place of a Shard."""

    def double(self, number: int) -> int:
        return 2 * number

    def change(self, which: int) -> NoReturn:
        raise Unstable(frozenset({which}))

    def refuse(self, text: str) -> NoReturn:
        raise UsageError(text)

    def fail(self, text: str) -> NoReturn:
        raise RuntimeError(text)


@pytest.mark.parametrize(
    ("calls", "answers"),
    [
        ([], []),
        ([("double", 2), ("double", 5)], [("done", 4), ("done", 10)]),
        ([("change", 7), ("double", 1)], [("unstable", frozenset({7}))]),
        ([("refuse", "not so"), ("double", 1)], [("error", "not so")]),
    ],
)
@pytest.mark.usefixtures("_own_signals")
def test_a_process_answers_until_nobody_asks(
    calls: list[tuple[str, Any]], answers: list[tuple[str, Any]]
) -> None:
    assert served(calls) == answers


@pytest.mark.usefixtures("_own_signals")
def test_a_process_says_where_it_failed() -> None:
    ((what, trace),) = served([("fail", "no such thing")])
    assert what == "error"
    assert "in fail" in trace
    assert trace.endswith("RuntimeError: no such thing\n")


def served(calls: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    ours, theirs = multiprocessing.Pipe()
    inherited, _ = multiprocessing.Pipe()
    for call in calls:
        ours.send(call)
    # What was sent can be read; then there is nobody.
    with socket.socket(fileno=os.dup(ours.fileno())) as end:
        end.shutdown(socket.SHUT_WR)
    shards._serve(Answers, theirs, [inherited], lambda: None)  # type: ignore[arg-type]
    assert inherited.closed
    answers: list[tuple[str, Any]] = []
    while ours.poll():
        answers.append(ours.recv())
    return answers


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_assumption_that_was_wrong_begins_the_search_again(small: Scenario, jobs: int) -> None:
    """An element of a map goes, which the reduction does not expect."""
    found = explore(small, "live-count", jobs=jobs)
    without = explore(small, "live-count", reductions=Reductions(partial_order=False))
    assert found.finished
    assert (found.verdict, found.states) == (without.verdict, without.states)


def test_the_same_with_any_number_of_processes(small: Scenario) -> None:
    one, two = (replace(explore(small, "live-count", jobs=n), seconds=0) for n in (1, 2))
    assert one == two


def test_an_allocator_that_never_goes_is_seen_by_the_process_that_has_the_end() -> None:
    one, two = (
        replace(explore(scenario("stack_hold"), "global", jobs=n), seconds=0) for n in (1, 2)
    )
    assert one == two
    assert [finding.kind for finding in two.findings] == [FindingKind.IMMORTAL]


def test_a_bound_on_states_ends_all() -> None:
    few = bounded(scenario("walk_race"), states=50)
    found = [replace(explore(few, "live-count", jobs=n), seconds=0) for n in (1, 2)]
    assert found[0] == found[1]
    assert not found[0].finished


def test_progress_has_what_is_ahead(small: Scenario) -> None:
    search = sharded(small)
    assert search.progress().frontier == 1
    with pytest.raises(Unstable):
        search.run()
    assert search.progress().frontier > 0


def _kill(*_: object, **__: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _fail(*_: object) -> NoReturn:
    raise RuntimeError("out of order")


@pytest.mark.parametrize(
    ("does", "message"),
    [
        (_kill, "a process of the search was killed"),
        (_fail, "the search failed: "),
    ],
)
def test_a_process_that_ends_ends_the_search(
    small: Scenario, monkeypatch: pytest.MonkeyPatch, does: Callable[..., NoReturn], message: str
) -> None:
    monkeypatch.setattr(shards.Shard, "visit", does)
    with pytest.raises(BpfheapError, match=message):
        sharded(small).run()
    assert not multiprocessing.active_children()


def test_a_process_of_several_searches_that_ends(
    small: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "explore", _kill)
    with pytest.raises(BpfheapError, match="a process of the search was killed"):
        list(explore_all([(small, "live-count")] * 2, jobs=2))


def test_several_searches_that_nobody_waits_for(small: Scenario) -> None:
    results = explore_all([(small, "live-count")] * 8, jobs=2)
    assert next(results)[0] == 0
    results.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def test_a_process_without_a_search_gives_no_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next largest is asked then, and all of them anew when one has answered."""
    monkeypatch.setattr(running, "LOOK_AT_MEMORY", 0.0)
    monkeypatch.setattr(running, "memory_of", {1: 10, 2: 30, 3: 20, os.getpid(): 5}.get)
    largest = SimpleNamespace(value=0)
    children: Any = [SimpleNamespace(pid=pid) for pid in (1, 2, 3)]
    watch = running._Watch(64, children, largest)
    asked = []
    for _ in range(5):
        watch.look()
        asked.append(largest.value)
    largest.value = 0
    watch.look()
    assert (asked, largest.value) == ([2, 3, 1, 0, 2], 2)

    enough = SimpleNamespace(value=0)
    running._Watch(65, children, enough).look()
    assert enough.value == 0


# -- what a process of several searches does between two states


def inherit(
    monkeypatch: pytest.MonkeyPatch, *, stopped: bool = False, largest: int = 0
) -> running._Inherited:
    """What a process has of its parent, for a task that is not looked at."""
    stop = threading.Event()
    if stopped:
        stop.set()
    inherited = running._Inherited(
        [(scenario("walk_race"), "live-count")], Reductions(), False, queue.SimpleQueue(), stop,
        SimpleNamespace(value=largest), lambda: None,
    )  # fmt: skip
    monkeypatch.setattr(running, "_inherited", inherited)
    return inherited


def test_it_is_too_late_to_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    inherit(monkeypatch, stopped=True)
    assert running._explore_task(0) is None


def test_another_search_than_this_one_was_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    inherited = inherit(monkeypatch, largest=os.getpid())
    monkeypatch.setattr(running, "explore", lambda *_, **__: "explored")
    assert running._explore_task(0) == "explored"  # type: ignore[comparison-overlap]
    assert inherited.largest.value == 0


@pytest.mark.parametrize("why", ["stopped", "largest", None])
def test_what_progress_leads_to(monkeypatch: pytest.MonkeyPatch, why: str | None) -> None:
    inherited = inherit(monkeypatch)
    seen = Progress(1, 2, 3, 4, 5.0, 6)

    def told(*_: object, progress: Callable[[Progress], None], **__: object) -> None:
        if why == "stopped":
            inherited.stop.set()
        elif why == "largest":
            inherited.largest.value = os.getpid()
        progress(seen)

    monkeypatch.setattr(running, "explore", told)
    match why:
        case "stopped":
            with pytest.raises(KeyboardInterrupt):
                running._explore_task(0)
        case "largest":
            with pytest.raises(Full):
                running._explore_task(0)
            assert inherited.largest.value == 0
        case None:
            running._explore_task(0)
            assert inherited.queue.get() == (0, seen)
