"""The native heap's bench: who takes part and what is said; not how fast anybody is."""

from __future__ import annotations

import pytest

pytest.importorskip("bpfheap.machine.native._core")

from bpfheap.bench import heap, mallocs
from bpfheap.bench.names import HeapCase


@pytest.fixture(autouse=True)
def _no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "available", lambda: "bpf(2) is not allowed")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the peers, there is libc's malloc."""
    monkeypatch.setattr(heap, "library", lambda name: None)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", [HeapCase.ALLOC_FREE_32, HeapCase.PRODUCER_CONSUMER])
def test_beside_libc(name: HeapCase) -> None:
    heard: list[tuple[str, int]] = []
    found = heap.bench([name], rounds=2, progress=lambda *news: heard.append(news))
    (case,) = found.cases
    assert heard == [(name, 0), ("", 1)]
    assert set(found.missing) == {"jemalloc", "mimalloc", "tcmalloc", "kernel"}
    assert {who: len(times) for who, times in case.peers.items()} == {"glibc": 2}
    assert len(case.ours_by_peer["glibc"]) == 2
    assert case.to_json()["ratio"] == {
        "glibc": pytest.approx(sum(case.ours_by_peer["glibc"]) / sum(case.peers["glibc"]), abs=1e-3)
    }


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    "name", [HeapCase.TRACKED_OVER_UNTRACKED, HeapCase.FREE_BY_POINTER_OVER_TOLD]
)
def test_ours_by_ours(name: HeapCase) -> None:
    (case,) = heap.bench([name], rounds=1).cases
    said = case.to_json()
    assert (said["unit"], said["peers"], said["ratio"]) == ("ratio", {}, {})
    assert len(case.ours) == 6


@pytest.mark.usefixtures("alone")
def test_a_million_go_away_again() -> None:
    (case,) = heap.bench([HeapCase.LIVE_64B_MILLION], rounds=1).cases
    assert case.extra["mapped_bytes"] >= 64_000_000
    assert case.passed
    assert case.extra["left_passed"]


def test_a_peer_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    # The loader complains about it, and goes on without it.
    monkeypatch.setattr(mallocs, "LIBRARIES", {"jemalloc": "jemalloc"})
    monkeypatch.setattr(mallocs, "library", lambda name: "libno_such_malloc.so")
    with mallocs.child("jemalloc") as child:
        assert not child.ready


def test_others_preloads_are_not_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "libno_such_malloc.so")
    with mallocs.child("glibc") as child:
        assert child.ready
