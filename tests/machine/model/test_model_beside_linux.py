"""The same programs, in the same order, on the model machine and on the live kernel."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from c_world import CWorld, skb

from bpfheap.compile import object_spec
from bpfheap.kernel import Kernel, available

#: What a program returns that depends on nothing but the order of what happened.
PROGRAMS = (
    "push_front", "push_back", "pop_front", "pop_back", "front", "back", "change_front",
    "add", "first", "remove_first", "remove_found",
    "both", "twice_listed", "twice_in_tree", "unlist", "untree", "three", "not_there", "no_child",
    "to_map_and_list", "fill_bag",
)  # fmt: skip


@pytest.mark.skipif(available() is not None, reason=str(available()))
@pytest.mark.parametrize("seed", [1, 2])
def test_linux_does_the_same(seed: int) -> None:
    spec = object_spec(Path(__file__).with_name("graph.bpf.c"))
    world = CWorld(spec)
    rng = random.Random(seed)
    with Kernel() as kernel:
        for _ in range(400):
            name, length = rng.choice(PROGRAMS), rng.randrange(14, 40)
            theirs = kernel.test_run(spec, spec.programs[name], bytes(length)).retval
            assert (name, world.run(name, skb(length)) & 0xFFFF_FFFF) == (name, theirs)
