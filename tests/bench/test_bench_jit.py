"""The bench of compiled programs: what takes part and what is said; not how fast anybody is."""

from __future__ import annotations

import pytest

pytest.importorskip("bpfheap.machine.native._core")
pytest.importorskip("llvmlite")

from bpfheap.bench import jit, kernel_loops
from bpfheap.bench.names import JitCase
from bpfheap.kernel import Kernel

LOOPS = [
    JitCase.ALU_LOOP,
    JitCase.MEM_LOOP,
    JitCase.HASH_LOOKUP_LOOP,
    JitCase.ALLOC_XCHG_FREE_LOOP,
]


def test_without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_loops, "available", lambda: "bpf(2) is not allowed")
    heard: list[tuple[str, int]] = []
    found = jit.bench(LOOPS, rounds=1, progress=lambda *news: heard.append(news))
    assert heard == [(name, n) for n, name in enumerate(LOOPS)] + [("", 4)]
    assert found.missing == {"kernel": "bpf(2) is not allowed"}
    for case in found.cases:
        assert (len(case.ours), set(case.peers)) == (1, {"hardened"})


@pytest.mark.parametrize("name", LOOPS)
def test_beside_the_kernel(name: JitCase, kernel: Kernel) -> None:
    (case,) = jit.bench([name], rounds=2).cases
    times = {who: len(times) for who, times in case.peers.items()}
    assert times == {"kernel": 2, "hardened": 2}
    assert set(case.to_json()["ratio"]) == {"kernel", "hardened"}


def test_calls_stand_for_themselves() -> None:
    cases = jit.bench([JitCase.CALL_OVERHEAD, JitCase.BATCH_OVERHEAD], rounds=1).cases
    for case, most in zip(cases, (150.0, 10.0), strict=True):
        said = case.to_json()
        assert (said["unit"], said["peers"], said["ratio"]) == ("ns", {}, {})
        assert said["threshold"] == {"ns": most}
        assert said["passed"] == (case.ours[0] <= most)


def test_a_traced_program_counts() -> None:
    (case,) = jit.bench([JitCase.TRACED], rounds=2).cases
    assert (len(case.ours), case.peers) == (2, {})
    assert case.to_json()["threshold"] == {"ns": 2000.0}
    assert case.extra["program_run_ns"] > 0


def test_programs_are_as_long_as_they_are_called() -> None:
    cases = jit.bench([JitCase.COMPILE_200, JitCase.CACHE_HIT], rounds=1).cases
    for case in cases:
        assert 200 <= case.extra["slots"] < 260
        assert case.ours[0] > 0
    assert cases[1].ours[0] < cases[0].ours[0]
