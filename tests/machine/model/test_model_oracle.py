"""What Linux accepts runs without a complaint, again and again, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from c_world import CWorld, skb

from bpfheap.compile import object_spec
from bpfheap.machine.model.calls import CALLS
from bpfheap.platform.calls import HELPER_BY_NUMBER
from bpfheap.runtime.machine import AtCall
from bpfheap.spec import ProgramSpec, RefKind

CASES = Path(__file__).parents[2] / "oracle" / "cases"
FAMILIES = ("spin_lock", "list", "rbtree", "refcount", "percpu_kptr")


def known(program: ProgramSpec) -> bool:
    """All calls of the program have an implementation."""
    helpers = {HELPER_BY_NUMBER[i.imm].name for i in program.insns if (i.opcode, i.src) == (133, 0)}
    kfuncs = {r.name for r in program.refs.values() if r.kind is RefKind.KFUNC}
    return helpers | kfuncs <= CALLS.keys()


def accepting(family: str) -> tuple[CWorld, list[str]]:
    """The file's programs that Linux accepts, on an empty machine."""
    spec = object_spec(CASES / f"{family}.bpf.c")
    world = CWorld(spec)
    for name, made in spec.maps.items():
        if made.type == 1:
            for key in range(4):
                world.machine.map_update(
                    world.maps[name], key.to_bytes(4, "little"), bytes(made.value_size)
                )
    chosen = [
        p.name
        for p in spec.programs.values()
        if "verdict:accept" in spec.btf.decl_tags(p.subprogs[0].func_id) and known(p)
    ]
    assert len(chosen) > 5
    return world, chosen


@pytest.mark.parametrize("family", FAMILIES)
def test_what_linux_accepts_keeps_the_rules(family: str) -> None:
    world, chosen = accepting(family)
    for turn in range(3):
        for n, name in enumerate(chosen):
            world.run(name, skb(turn * 100 + n))
    world.free_all()
    assert world.live() == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_two_at_a_time_keep_the_rules(family: str) -> None:
    """On two CPUs, one call each in turn; each pair in one order."""
    world, chosen = accepting(family)
    for one, two in zip(chosen, [*chosen[7:], *chosen[:7]], strict=True):
        running = [world.start(one, 0, skb(7)), world.start(two, 1, skb(90))]
        while running:
            running = [e for e in running if isinstance(world.machine.step(e), AtCall)]
    world.free_all()
    assert world.live() == 0
