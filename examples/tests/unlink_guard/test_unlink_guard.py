"""A hook that sees what others returned before."""

from __future__ import annotations

import errno

import pytest

from bpfheap.testing.plugin import Bpf


def check(bpf: Bpf, file: str) -> None:
    obj = bpf.load(file)
    guarded = obj.maps["guarded"]
    guarded[4711] = 0

    def unlink(inode: int, before: int = 0) -> int:
        arguments = [{}, {"d_inode": {"i_ino": inode}}, before]
        return -obj.programs["guard_unlink"].run(arguments).retval & 0xFFFFFFFF

    assert unlink(4712) == 0
    assert unlink(4711) == errno.EPERM
    assert guarded[4711] == 1
    assert unlink(4712, before=-errno.EACCES) == errno.EACCES


def test_unlink_guard(bpf: Bpf) -> None:
    check(bpf, "unlink_guard.bpf.c")


def test_what_was_refused_stays_so(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "unlink_guard_broken.bpf.c")
