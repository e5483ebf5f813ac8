"""Sections without preemption, and without interrupts. Nothing interrupts a program here but what
somebody lets run between two of its steps."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.faults import Fault
from bpfheap.machine.model.convention import Arguments, Implementation
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.progress import Flag
from bpfheap.machine.model.records import RegionKind
from bpfheap.machine.model.values import NULL, Pointer, Value

#: Of a flag, in bytes; and what is in one: that interrupts were enabled (X86_EFLAGS_IF).
_SIZE = 8
_ENABLED, _DISABLED = 0x202, 0x2


def _preempt_disable(core: Core, args: Arguments) -> Value:
    progress = core.execution.progress
    core.execution.progress = progress._replace(preempt=progress.preempt + 1)
    return NULL


def _preempt_enable(core: Core, args: Arguments) -> Value:
    progress = core.execution.progress
    if not progress.preempt:
        raise Fault("bad-call", "bpf_preempt_enable where preemption is not disabled")
    core.execution.progress = progress._replace(preempt=progress.preempt - 1)
    return NULL


def save(core: Core, at: Value, what: str) -> None:
    """A section begins; what was before is written to the stack. Raises Fault."""
    place = _place(core, at, what)
    progress = core.execution.progress
    flag = Flag(place.region, place.offset)
    if flag in progress.irqs:
        raise Fault("bad-call", f"{what} over a flag that is not restored")
    core.state.store(place, _SIZE, _DISABLED if progress.irqs else _ENABLED)
    core.execution.progress = progress._replace(irqs=(*progress.irqs, flag))


def restore(core: Core, at: Value, what: str) -> None:
    """The section that began last ends. Raises Fault."""
    place = _place(core, at, what)
    progress = core.execution.progress
    if Flag(place.region, place.offset) not in progress.irqs:
        raise Fault("bad-call", f"{what} of memory that is no flag")
    if progress.irqs[-1] != Flag(place.region, place.offset):
        raise Fault("bad-call", f"{what} of another section than the one that began last")
    before = _DISABLED if len(progress.irqs) > 1 else _ENABLED
    if core.state.load(place, _SIZE) != before:
        raise Fault("bad-call", f"{what} of a flag that was written over")
    core.execution.progress = progress._replace(irqs=progress.irqs[:-1])


def _place(core: Core, at: Value, what: str) -> Pointer:
    region = core.state.access(at, _SIZE, "write")
    assert isinstance(at, Pointer)
    if region.kind is not RegionKind.STACK or at.offset % _SIZE:
        raise Fault("bad-call", f"{what}: a flag is 8 aligned bytes of the stack")
    return at


def _save(core: Core, args: Arguments) -> Value:
    save(core, args[0], "bpf_local_irq_save")
    return NULL


def _restore(core: Core, args: Arguments) -> Value:
    restore(core, args[0], "bpf_local_irq_restore")
    return NULL


CALLS: Mapping[str, Implementation] = {
    "bpf_preempt_disable": _preempt_disable,
    "bpf_preempt_enable": _preempt_enable,
    "bpf_local_irq_save": _save,
    "bpf_local_irq_restore": _restore,
}
