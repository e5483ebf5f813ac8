"""What the model machine sees of sections without preemption and without interrupts."""

from __future__ import annotations

import pytest
from model_world import World

from bpfheap.errors import Violation

SAVE = "r1 = r10\nr1 += {}\ncall kfunc bpf_local_irq_save\n"
RESTORE = "r1 = r10\nr1 += {}\ncall kfunc bpf_local_irq_restore\n"
OFF, ON = "call kfunc bpf_preempt_disable\n", "call kfunc bpf_preempt_enable\n"
END = "r0 = 0\nexit"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (OFF, "the program ends inside a section without preemption"),
        (ON, "bpf_preempt_enable where preemption is not disabled"),
        (OFF + OFF + ON, "the program ends inside a section without preemption"),
        (SAVE.format(-8), "the program ends inside a section without interrupts"),
        (RESTORE.format(-8), "bpf_local_irq_restore of memory that is no flag"),
        (SAVE.format(-8) * 2, "bpf_local_irq_save over a flag that is not restored"),
        (SAVE.format(-8) + SAVE.format(-16) + RESTORE.format(-8), "than the one that began last"),
        (SAVE.format(-12), "a flag is 8 aligned bytes of the stack"),
        (f"{SAVE.format(-8)}*(u64 *)(r10 -8) = 7\n{RESTORE.format(-8)}", "was written over"),
    ],
)
def test_misuse(code: str, message: str) -> None:
    world = World()
    world.load("p", code + END)
    with pytest.raises(Violation, match=message):
        world.finish(world.start("p"))


@pytest.mark.parametrize(
    "code",
    [
        OFF + OFF + ON + ON,
        SAVE.format(-8) + SAVE.format(-16) + RESTORE.format(-16) + RESTORE.format(-8),
        SAVE.format(-8) + RESTORE.format(-8) + SAVE.format(-8) + RESTORE.format(-8),
        OFF + SAVE.format(-8) + ON + RESTORE.format(-8),
    ],
)
def test_use(code: str) -> None:
    world = World()
    world.load("p", code + END)
    assert world.finish(world.start("p")) == 0
