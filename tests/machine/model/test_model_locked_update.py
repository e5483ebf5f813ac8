"""Updates that take the value's lock: as Linux does them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from c_world import CWorld, skb

from bpfheap.compile import object_spec
from bpfheap.kernel import Kernel, available
from bpfheap.runtime.machine import AtCall
from bpfheap.spec import ObjectSpec

#: In this order; a program's result, with the packet's length 40.
STEPS = [
    ("array_any", 0),
    ("array_noexist", -errno.EEXIST),
    ("array_exist", 0),
    ("array_beyond", -errno.E2BIG),
    ("array_unknown", -errno.EINVAL),
    ("hash_exist", -errno.ENOENT),
    ("hash_any", 0),
    ("hash_noexist", -errno.EEXIST),
    ("plain_array_any", -errno.EINVAL),
    ("plain_array_noexist", -errno.EEXIST),
    ("plain_hash_any", -errno.EINVAL),
    # An array's objects are freed, a hash's stay.
    ("hash_put", 0), ("hash_any", 0), ("hash_take", 1040), ("hash_take", 40),
    ("array_put", 0), ("array_any", 0), ("array_take", 40),
]  # fmt: skip


@pytest.fixture(scope="module")
def spec() -> ObjectSpec:
    return object_spec(Path(__file__).with_name("locked_update.bpf.c"))


def signed(number: int) -> int:
    number &= 0xFFFF_FFFF
    return number - (1 << 32) if number >> 31 else number


def test_the_model_machine(spec: ObjectSpec) -> None:
    world = CWorld(spec)
    assert [(name, signed(world.run(name, skb(40)))) for name, _ in STEPS] == STEPS
    world.free_all()
    assert world.live() == 0


@pytest.mark.skipif(available() is not None, reason=str(available()))
def test_linux(spec: ObjectSpec) -> None:
    with Kernel() as kernel:
        found = [kernel.test_run(spec, spec.programs[name], bytes(40)) for name, _ in STEPS]
    assert [
        (name, signed(run.retval)) for (name, _), run in zip(STEPS, found, strict=True)
    ] == STEPS


@pytest.mark.parametrize("kind", ["array", "hash"])
def test_an_update_waits_for_the_lock(kind: str, spec: ObjectSpec) -> None:
    world = CWorld(spec)
    world.run(f"{kind}_any", skb(1))
    holder, waiting = world.start(f"{kind}_take", 0), world.start(f"{kind}_any", 1, skb(2))
    world.step_to(holder, "bpf_spin_unlock")
    for _ in range(3):
        assert isinstance(world.machine.step(waiting), AtCall)
    assert world.finish(holder) == 1
    assert world.finish(waiting) == 0
    assert world.run(f"{kind}_take") == 2
