"""What is seen on the way into a function, and on the way out of it."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf


def check(bpf: Bpf, file: str) -> None:
    maps = bpf.load(file, rodata={"least_us": 1000}).maps
    slow, fast = (
        bpf.kernel.file(f_path={"dentry": {"d_name": {"name": name}}}) for name in ("slow", "fast")
    )
    # Two threads of one process read at the same time.
    bpf.current = {"pid": 42, "tgid": 42}
    bpf.fire("fentry/vfs_read", [slow])
    bpf.clock.advance(ms=20)
    bpf.current.pid = 43
    bpf.fire("fentry/vfs_read", [fast])
    bpf.fire("fexit/vfs_read", bpf.arguments(fast, ret=1))
    bpf.current.pid = 42
    bpf.fire("fexit/vfs_read", bpf.arguments(slow, ret=512))

    seen = maps["events"].records("struct event")
    assert [(e.tid, e.us // 1000, e.result, e.name) for e in seen] == [(42, 20, 512, b"slow")]
    assert len(maps["begun"]) == 0


def test_slow_reads(bpf: Bpf) -> None:
    check(bpf, "slow_reads.bpf.c")


def test_threads_read_at_the_same_time(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "slow_reads_broken.bpf.c")
