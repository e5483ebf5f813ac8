"""Numbers and texts as arguments of a hook, and what a program prints."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf

MS_RDONLY, MS_NOSUID, MS_NODEV = 1, 2, 4
DENIED = -1 & 0xFFFFFFFF


def check(bpf: Bpf, file: str) -> None:
    program = bpf.load(file).programs["check_mount"]

    def mount(flags: int) -> int:
        arguments = bpf.arguments("/dev/sdb1", {}, "vfat", flags, None, ret=0)
        return program.run(arguments).retval

    bpf.current.uid = 1000
    assert mount(MS_NOSUID | MS_NODEV | MS_RDONLY) == 0
    assert mount(MS_RDONLY) == DENIED
    assert bpf.printk == ["/dev/sdb1 was not mounted"]
    assert mount(MS_NOSUID) == mount(MS_NODEV) == DENIED
    bpf.current.uid = 0
    assert mount(0) == 0


def test_mount_policy(bpf: Bpf) -> None:
    check(bpf, "mount_policy.bpf.c")


def test_both_flags_are_needed(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "mount_policy_broken.bpf.c")
