"""The scheduler: tasks that wake, run, and are preempted."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf

RUNNING, SLEEPS = 0, 1


def check(bpf: Bpf, file: str) -> None:
    maps = bpf.load(file).maps
    idle = bpf.kernel.task_struct(pid=0)
    one, other = (bpf.kernel.task_struct(pid=pid) for pid in (41, 42))
    for task in (one, other):
        bpf.fire("tp_btf/sched_wakeup", [task])
    bpf.clock.advance(us=100)
    bpf.fire("tp_btf/sched_switch", [False, idle, one])
    # The other one takes the CPU away from it, for 5 ms.
    bpf.clock.advance(us=200)
    bpf.fire("tp_btf/sched_switch", [True, one, other])
    bpf.clock.advance(ms=5)
    other["__state"] = SLEEPS
    bpf.fire("tp_btf/sched_switch", [False, other, one])

    longest = maps["longest_us"]
    assert 300 <= longest[42] < 310
    assert 5000 <= longest[41] < 5010
    assert len(maps["waiting"]) == 0


def test_run_queue_latency(bpf: Bpf) -> None:
    check(bpf, "run_queue_latency.bpf.c")


def test_preempted_tasks_wait(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "run_queue_latency_broken.bpf.c")
