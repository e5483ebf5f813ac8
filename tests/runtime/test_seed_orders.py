"""The seed's three programs under every policy, in its order and in the one that it calls safe."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import LoadRefused, Violation
from bpfheap.lifetime import POLICIES
from bpfheap.spec import ObjectSpec

EXAMPLES = Path(__file__).parents[2] / "examples" / "three_programs"
SEED, SAFE = ("p1", "p3", "p2"), ("p2", "p1", "p3")

#: policy -> what the seed's order and the safe one come to.
ENDS = {
    "live-count": ("clean", "clean"),
    # The object is in M2 by then, and the walk for P2, the last that knows A, looks at M1 alone.
    "unload-walk": ("use-after-free", "use-after-free"),
    "prog-allocators": ("use-after-free", "use-after-free"),
    "used-allocators": ("use-after-free", "clean"),
    "used-allocators-strict": ("p1 refused", "clean"),
    "edge-propagation": ("clean", "clean"),
    "annotated": ("clean", "clean"),
    "btf-slot": ("clean", "clean"),
    "field-slot": ("clean", "clean"),
    "dependency-table": ("clean", "clean"),
    "percpu-ref": ("clean", "clean"),
    "static": ("clean", "clean"),
    "global": ("kept", "kept"),
}

#: What a scheme wants to be told in the sources.
MACRO = {policy.name: policy.macro for policy in POLICIES}


@cache
def spec(name: str, macro: str | None = None) -> ObjectSpec:
    flags = () if macro is None else (f"-D{macro}",)
    return object_spec(EXAMPLES / f"{name}.bpf.c", cflags=flags)


def play(policy: str, order: tuple[str, ...], *, p3_runs: bool) -> str:
    """Load in that order, run P2 and P1, unload them, then let P3 run or just go."""
    rt = bpfheap.Runtime(policy=policy)
    macro = MACRO[policy]
    loaded = {}
    for name in order:
        try:
            loaded[name] = rt.load(spec(name, macro))
        except LoadRefused:
            return f"{name} refused"
    for name in ("p2", "p1"):
        loaded[name].programs[name].run()
    for name in ("p2", "p1"):
        loaded[name].close()
    try:
        if p3_runs:
            loaded["p3"].programs["p3"].run()
        loaded["p3"].close()
    except Violation as violation:
        return violation.kind
    return "kept" if rt.allocators else "clean"


@pytest.mark.parametrize("p3_runs", [True, False], ids=["P3 frees", "M2 goes"])
@pytest.mark.parametrize("policy", [p.name for p in POLICIES])
def test_ends(policy: str, p3_runs: bool) -> None:
    ends = tuple(play(policy, order, p3_runs=p3_runs) for order in (SEED, SAFE))
    assert ends == ENDS[policy]


def test_edges_end_with_their_program() -> None:
    """P1 is gone when P2 comes: nothing can move an object of `ma` to M2 any more."""
    rt = bpfheap.Runtime(policy="edge-propagation")
    kept = rt.load(spec("p3"))
    rt.load(spec("p1")).close()
    p2 = rt.load(spec("p2"))
    p2.programs["p2"].run()
    p2.close()
    assert rt.allocators == {}
    kept.close()


def test_every_policy_is_in_the_table() -> None:
    assert ENDS.keys() == {p.name for p in POLICIES}
