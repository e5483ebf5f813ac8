"""A tracepoint's record, the current task, and what arrives in a ring buffer."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf


def check(bpf: Bpf, file: str) -> None:
    events = bpf.load(file).maps["events"]
    # A thread of the shell, 7, forks 42, which executes ls.
    shell = bpf.kernel.task_struct(pid=8, tgid=7, comm="sh")
    bpf.current = bpf.kernel.task_struct(pid=42, tgid=42, comm="ls", real_parent=shell)
    bpf.current.uid = 1000
    bpf.fire("sched:sched_process_exec", filename="/bin/ls", pid=42)

    (event,) = events.records("struct event")
    assert (event.pid, event.ppid, event.uid) == (42, 7, 1000)
    assert (event.comm, event.filename) == (b"ls", b"/bin/ls")


def test_exec_snoop(bpf: Bpf) -> None:
    check(bpf, "exec_snoop.bpf.c")


def test_the_parent_is_a_process(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match="8"):
        check(bpf, "exec_snoop_broken.bpf.c")
