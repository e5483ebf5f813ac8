"""The clock, and members of the current task's struct."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf


def check(bpf: Bpf, file: str) -> None:
    events = bpf.load(file).maps["events"]
    leader = bpf.kernel.task_struct(pid=42, tgid=42, start_time=bpf.clock.now, exit_code=3 << 8)
    thread = bpf.kernel.task_struct(pid=43, tgid=42, start_time=bpf.clock.now)
    bpf.clock.advance(ms=250)
    for task in (thread, leader):
        bpf.current = task
        bpf.fire("sched:sched_process_exit")

    ended = events.records("struct event")
    assert [(e.pid, e.status, e.lived_ms) for e in ended] == [(42, 3, 250)]


def test_exit_snoop(bpf: Bpf) -> None:
    check(bpf, "exit_snoop.bpf.c")


def test_threads_are_no_processes(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "exit_snoop_broken.bpf.c")
