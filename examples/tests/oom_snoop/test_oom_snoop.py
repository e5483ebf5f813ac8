"""An argument in a register, and what it leads to."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf


def check(bpf: Bpf, file: str) -> None:
    events = bpf.load(file).maps["events"]
    bpf.current = {"tgid": 42, "comm": "cc1"}
    victim = bpf.kernel.task_struct(pid=99, tgid=99, comm="browser")
    bpf.fire(
        "kprobe/oom_kill_process", [{"chosen": victim, "totalpages": 1 << 20}, "Out of memory"]
    )

    (event,) = events.records("struct event")
    assert (event.trigger, event.victim, event.pages) == (42, 99, 1 << 20)
    assert event.comm == b"browser"


def test_oom_snoop(bpf: Bpf) -> None:
    check(bpf, "oom_snoop.bpf.c")


def test_the_name_is_the_victims(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match="cc1"):
        check(bpf, "oom_snoop_broken.bpf.c")
