"""A tracepoint that tells of two tasks."""

from __future__ import annotations

from signal import SIGKILL

import pytest

from bpfheap.testing.plugin import Bpf


def check(bpf: Bpf, file: str) -> None:
    events = bpf.load(file).maps["events"]
    bpf.current = {"tgid": 7, "comm": "bash"}
    bpf.fire("signal:signal_generate", sig=SIGKILL, pid=42, comm="sleep")

    (event,) = events.records("struct event")
    assert (event.sender, event.target, event.signal) == (7, 42, SIGKILL)
    assert event.comm == b"bash"


def test_signal_snoop(bpf: Bpf) -> None:
    check(bpf, "signal_snoop.bpf.c")


def test_the_name_is_the_senders(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match="sleep"):
        check(bpf, "signal_snoop_broken.bpf.c")
