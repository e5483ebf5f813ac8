"""A raw tracepoint, settings in .rodata, and counters in .bss."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf

WRITE, GETTID, OPENAT, UNKNOWN = 1, 186, 257, 100_000


def check(bpf: Bpf, file: str) -> None:
    obj = bpf.load(file, rodata={"wanted": b"cat"})
    for comm, calls in (("cat", [OPENAT, WRITE, WRITE, UNKNOWN]), ("cats", [GETTID])):
        bpf.current.comm = comm
        for number in calls:
            bpf.fire("raw_tp/sys_enter", [bpf.kernel.pt_regs(), number])

    counts = obj.maps[".bss"][0]["counts"]
    assert {i: count for i, count in enumerate(counts) if count} == {WRITE: 2, OPENAT: 1}


def test_syscall_counts(bpf: Bpf) -> None:
    check(bpf, "syscall_counts.bpf.c")


def test_each_call_has_a_counter_of_its_own(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "syscall_counts_broken.bpf.c")
