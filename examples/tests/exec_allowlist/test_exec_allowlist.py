"""A policy in a map, whose keys are structs."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf

ROOT_DISK, USB_STICK = 8 << 20 | 1, 8 << 20 | 17


def execute(bpf: Bpf, inode: int, device: int) -> int:
    """What the hook says to a program that is a file on a device."""
    file = {"f_inode": {"i_ino": inode, "i_sb": {"s_dev": device}}}
    (result,) = bpf.fire("lsm/bprm_check_security", [{"file": file}, 0]).values()
    return result.retval


def check(bpf: Bpf, file: str) -> None:
    allowed = bpf.load(file).maps["allowed"]
    assert execute(bpf, 4711, ROOT_DISK) != 0
    allowed[{"inode": 4711, "device": ROOT_DISK}] = 1
    assert execute(bpf, 4711, ROOT_DISK) == 0
    # Another file system has an inode of that number, too.
    assert execute(bpf, 4711, USB_STICK) != 0


def test_exec_allowlist(bpf: Bpf) -> None:
    check(bpf, "exec_allowlist.bpf.c")


def test_inodes_are_of_a_device(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "exec_allowlist_broken.bpf.c")
