"""Samples of stacks."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf

MAIN, PARSE, DRAW = 0x401000, 0x402000, 0x403000


def check(bpf: Bpf, file: str) -> None:
    obj = bpf.load(file)

    def tick(pid: int, *stack: int) -> None:
        bpf.current.tgid = pid
        bpf.current.user_stack = list(stack)
        obj.programs["sample"].run()

    for _ in range(3):
        tick(42, PARSE, MAIN)
    tick(42, DRAW, MAIN)
    tick(0)
    tick(7)

    seen = {}
    for key, count in obj.maps["samples"].items():
        stack = obj.maps["stacks"][key.stack] if key.stack >= 0 else []
        seen[key.pid, *stack] = count
    assert seen == {(42, PARSE, MAIN): 3, (42, DRAW, MAIN): 1, (7,): 1}


def test_cpu_sampler(bpf: Bpf) -> None:
    check(bpf, "cpu_sampler.bpf.c")


def test_a_sample_without_a_stack(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "cpu_sampler_broken.bpf.c")
