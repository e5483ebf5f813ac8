"""A BPF program's test: no root, no kernel. What it leaves behind would fail it."""

from __future__ import annotations

from bpfheap.testing.plugin import Bpf


def test_first_leaves_a_foo_in_the_map(bpf: Bpf) -> None:
    obj = bpf.load("first.bpf.c")
    assert obj.programs["first"].run().retval == 0
    assert obj.maps["slots"][0].ptr.var == 42
    assert bpf.printk == ["made a foo, var is 42"]
    assert bpf.runtime.allocators["ma"].stats().live == 1
