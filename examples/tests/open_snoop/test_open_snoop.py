"""Both ends of a system call, and texts in memory of user space."""

from __future__ import annotations

import errno

import pytest

from bpfheap.testing.plugin import Bpf


def open_file(bpf: Bpf, name: str, result: int) -> None:
    """What the kernel traces when somebody opens a file."""
    bpf.fire("syscalls:sys_enter_openat", args=[-100, name, 0])
    bpf.fire("syscalls:sys_exit_openat", ret=result)


def check(bpf: Bpf, file: str) -> None:
    maps = bpf.load(file).maps
    bpf.current = {"pid": 43, "tgid": 42}
    open_file(bpf, "/etc/passwd", 3)
    assert maps["events"].records() == []
    open_file(bpf, "/etc/shadow", -errno.EACCES)

    (event,) = maps["events"].records("struct event")
    assert (event.pid, event.error, event.filename) == (42, errno.EACCES, b"/etc/shadow")
    assert len(maps["opening"]) == 0


def test_open_snoop(bpf: Bpf) -> None:
    check(bpf, "open_snoop.bpf.c")


def test_the_name_is_in_user_space(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match="shadow"):
        check(bpf, "open_snoop_broken.bpf.c")
