"""A probe of a function of the kernel, and whose process it is that calls it."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf


def check(bpf: Bpf, file: str) -> None:
    events = bpf.load(file).maps["events"]
    root = bpf.kernel.cred()
    user = bpf.kernel.cred(uid={"val": 1000}, euid={"val": 1000})
    # A user's process of root's group.
    bpf.current = {"tgid": 42, "uid": 1000, "gid": 0, "comm": "exploit"}
    bpf.fire("kprobe/commit_creds", [user])
    bpf.fire("kprobe/commit_creds", [root])
    bpf.current = {"tgid": 1, "uid": 0, "gid": 0, "comm": "init"}
    bpf.fire("kprobe/commit_creds", [root])

    seen = events.records("struct event")
    assert [(e.pid, e.uid, e.comm) for e in seen] == [(42, 1000, b"exploit")]


def test_privilege_watch(bpf: Bpf) -> None:
    check(bpf, "privilege_watch.bpf.c")


def test_a_group_is_no_user(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "privilege_watch_broken.bpf.c")
