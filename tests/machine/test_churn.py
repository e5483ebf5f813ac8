"""Runs that make and free many objects end, nothing of what they freed is left, and the next ones
take the same memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bpfheap.api import Runtime
from bpfheap.compile import object_spec
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID
from bpfheap.spec import ObjectSpec

SOURCE = Path(__file__).with_name("churn.bpf.c")
#: An owner, and what it owns.
OWNED = 3
#: What is in their maps after a run. Which elements an LRU map evicts is its own business.
KEPT = {
    "through_a_list": {150},
    "in_a_list_and_a_tree": {300},
    "in_a_field": {OWNED},
    "elements_of_a_cpu": {4 * OWNED},
    "elements_of_an_lru": {n * OWNED for n in range(5)},
}
#: Those of which each run adds as much.
GROWING = ("through_a_list", "in_a_list_and_a_tree")
NAMES = (
    "counts", "counted_twice", "of_each_cpu", "plain_ones", "owners", "in_a_list", "in_a_tree",
    "in_a_counted_list", "through_a_list", "through_a_tree", "in_a_list_and_a_tree", "in_a_field",
    "elements_deleted", "elements_updated", "elements_of_an_lru", "elements_of_a_cpu",
    "units_of_an_allocator", "by_an_iterator",
)  # fmt: skip
NATIVE = [
    pytest.param({"jit": False}, id="interpreted"),
    pytest.param({"jit": True}, id="compiled"),
    pytest.param({"jit": False, "hardened": True}, id="hardened-interpreted"),
    pytest.param({"jit": True, "hardened": True}, id="hardened-compiled"),
]


@pytest.fixture(scope="module")
def obj() -> ObjectSpec:
    return object_spec(SOURCE)


def live(runtime: Runtime) -> int:
    return runtime.system.machine.allocator_stats(GLOBAL_ALLOCATOR_ID).live


@pytest.mark.parametrize("name", NAMES)
def test_on_the_model_machine(obj: ObjectSpec, name: str) -> None:
    runtime = Runtime()
    assert runtime.load(obj, programs=[name]).programs[name].run().retval == 0
    runtime.grace_period()
    assert live(runtime) in KEPT.get(name, {0})
    assert runtime.close() == []


@pytest.mark.parametrize("options", NATIVE)
@pytest.mark.parametrize("name", NAMES)
def test_on_the_native_machine(obj: ObjectSpec, options: dict[str, Any], name: str) -> None:
    runtime = Runtime(machine="native", cpus=2, **options)
    program = runtime.load(obj, programs=[name]).programs[name]
    memory = []
    for turn in range(1, 9):
        assert program.run().retval == 0
        runtime.grace_period()
        runs = turn if name in GROWING else 1
        assert live(runtime) in {runs * kept for kept in KEPT.get(name, {0})}
        memory.append(runtime.system.machine.allocator_stats(GLOBAL_ALLOCATOR_ID).memory)
    if name not in GROWING:
        assert memory[-1] <= 2 * memory[1]
    assert runtime.close() == []


def test_none_is_left_out(obj: ObjectSpec) -> None:
    assert set(NAMES) == set(obj.programs)
