"""Storage of tasks, which Python asks for with the task as the key."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf

READ, FUTEX = 0, 202


def call(bpf: Bpf, number: int, ms: int, result: int = 0) -> None:
    """The current task makes a system call, which takes so long."""
    regs = bpf.kernel.pt_regs(orig_ax=number, ax=-38)
    bpf.fire("tp_btf/sys_enter", [regs, number])
    bpf.clock.advance(ms=ms)
    regs.ax = result
    bpf.fire("tp_btf/sys_exit", [regs, result])


def check(bpf: Bpf, file: str) -> None:
    tasks = bpf.load(file).maps["tasks"]
    one, other = bpf.kernel.task_struct(pid=1), bpf.kernel.task_struct(pid=2)
    bpf.current = one
    call(bpf, READ, ms=4, result=512)
    call(bpf, FUTEX, ms=30)
    call(bpf, READ, ms=2, result=512)
    bpf.current = other
    # It was in a call when the program came.
    bpf.fire("tp_btf/sys_exit", [bpf.kernel.pt_regs(orig_ax=READ), 0])

    assert (tasks[one].slowest, tasks[one].slowest_us // 1000) == (FUTEX, 30)
    assert other not in tasks


def test_syscall_latency(bpf: Bpf) -> None:
    check(bpf, "syscall_latency.bpf.c")


def test_which_register_has_the_number(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "syscall_latency_broken.bpf.c")
