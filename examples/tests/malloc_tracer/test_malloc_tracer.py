"""Probes of a library's functions: their arguments, and what they return."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf


def malloc(bpf: Bpf, size: int, address: int) -> None:
    bpf.fire("uprobe/libc.so.6:malloc", [size])
    bpf.fire("uretprobe/libc.so.6:malloc", bpf.kprobe(ret=address))


def check(bpf: Bpf, file: str) -> None:
    maps = bpf.load(file).maps
    malloc(bpf, 64, 0x1000)
    malloc(bpf, 4096, 0x2000)
    bpf.fire("uprobe/libc.so.6:free", [0x1000])
    assert dict(maps["allocated"]) == {0x2000: 4096}
    # So much there is not.
    malloc(bpf, 1 << 50, 0)
    assert dict(maps["allocated"]) == {0x2000: 4096}
    assert len(maps["asked"]) == 0


def test_malloc_tracer(bpf: Bpf) -> None:
    check(bpf, "malloc_tracer.bpf.c")


def test_malloc_may_fail(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "malloc_tracer_broken.bpf.c")
