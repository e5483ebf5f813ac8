"""A helper that the test stands in for: what it answers, and when it fails."""

from __future__ import annotations

import errno

import pytest

from bpfheap import StubMemory
from bpfheap.testing.plugin import Bpf


def check(bpf: Bpf, file: str) -> None:
    setting = ""

    @bpf.stub("bpf_sysctl_get_name")
    def get_name(ctx: object, buffer: StubMemory, size: int, flags: int) -> int:
        name = setting.encode() + b"\0"
        buffer.write(name[:size].ljust(size, b"\0"))
        return len(name) - 1 if len(name) <= size else -errno.E2BIG

    program = bpf.load(file).programs["guard_sysctl"]
    for setting, may_write in (
        ("net/ipv4/ip_forward", True),
        ("kernel/core_pattern", False),
        ("net", False),
        ("kernel/" + "x" * 64, False),
    ):
        assert program.run(bpf.context(write=0)).retval == 1
        assert program.run(bpf.context(write=1)).retval == may_write, setting


def test_sysctl_guard(bpf: Bpf) -> None:
    check(bpf, "sysctl_guard.bpf.c")


def test_long_names_are_no_way_around_it(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match="kernel/x"):
        check(bpf, "sysctl_guard_broken.bpf.c")
