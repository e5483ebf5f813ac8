"""Typed tracepoints, and a histogram in an array."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf


def check(bpf: Bpf, file: str) -> None:
    maps = bpf.load(file).maps
    requests = [bpf.kernel.request() for _ in range(3)]
    for request in requests:
        bpf.fire("tp_btf/block_rq_issue", [request])
    # The last one waits for a disk that begins to turn.
    for request, after in zip(requests, ({"us": 70}, {"ms": 2}, {"s": 9}), strict=True):
        bpf.clock.advance(**after)
        bpf.fire("tp_btf/block_rq_complete", [request, 0, 4096])

    histogram = {slot: count for slot, count in maps["histogram"].items() if count}
    assert histogram == {6: 1, 11: 1, 19: 1}
    assert len(maps["issued"]) == 0


def test_block_latency(bpf: Bpf) -> None:
    check(bpf, "block_latency.bpf.c")


def test_a_request_that_was_issued_before(bpf: Bpf) -> None:
    maps = bpf.load("block_latency.bpf.c").maps
    bpf.fire("tp_btf/block_rq_complete", [bpf.kernel.request(), 0, 4096])
    assert not any(maps["histogram"].values())


def test_the_slowest_requests_count(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "block_latency_broken.bpf.c")
