"""The clock, and members of the current task's struct."""

from __future__ import annotations

from ctypes import Structure, c_uint32, c_uint64

import pytest

from bpfheap.testing.plugin import Bpf


class Event(Structure):
    _fields_ = (("pid", c_uint32), ("status", c_uint32), ("lived_ms", c_uint64))


def check(bpf: Bpf, file: str) -> None:
    events = bpf.load(file).maps["events"]
    leader = bpf.kernel.task_struct(pid=42, tgid=42, start_time=bpf.clock.now, exit_code=3 << 8)
    thread = bpf.kernel.task_struct(pid=43, tgid=42, start_time=bpf.clock.now)
    bpf.clock.advance(ms=250)
    for task in (thread, leader):
        bpf.current = task
        bpf.fire("sched:sched_process_exit")

    ended = [Event.from_buffer_copy(record) for record in events.drain()]
    assert [(e.pid, e.status, e.lived_ms) for e in ended] == [(42, 3, 250)]


def test_exit_snoop(bpf: Bpf) -> None:
    check(bpf, "exit_snoop.bpf.c")


def test_threads_are_no_processes(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "exit_snoop_broken.bpf.c")
