"""bpf_spin_lock: at most one at a time, and hardly a call while it is held."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.btf import SpecialKind
from bpfheap.machine.faults import Fault
from bpfheap.machine.model.convention import AGAIN, Arguments, Implementation
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.mutator import LOCKED
from bpfheap.machine.model.records import TreeSearch
from bpfheap.machine.model.values import NULL, Pointer, Value
from bpfheap.platform.calls import HELPERS, KFUNCS

#: What may be called with a lock held.
_ALLOWED = frozenset(row.name for row in (*HELPERS, *KFUNCS) if row.locked)
#: What one look at a lock that somebody else holds counts for, in instructions.
_SPIN = 1000


def check_call(core: Core, name: str) -> None:
    """Raise Fault for a call that is not possible while a lock is held."""
    lock = core.execution.lock
    if lock is not None and name not in _ALLOWED:
        held = core.state.field_name(lock)
        raise Fault("bad-call", f"call of {name} while the lock {held} is held")


def require(core: Core, region_id: int, what: str) -> None:
    """Raise Fault unless the program holds the lock that lies in a region."""
    region = core.state.regions[region_id]
    for field in region.special:
        if field.kind is SpecialKind.SPIN_LOCK:
            if core.execution.lock == Pointer(region_id, field.offset):
                return
            lock = f"{region.name}.{field.path}"
            raise Fault("bad-call", f"{what} while the lock {lock} is not held", region_id)
    raise Fault("bad-call", f"{what}, but {region.name} has no bpf_spin_lock", region_id)


def is_held(core: Core, region_id: int) -> bool:
    """Whether somebody holds the lock that lies in a region. Then the call has to wait; raises
    Fault if that cannot end."""
    for field in core.state.regions[region_id].special:
        if field.kind is SpecialKind.SPIN_LOCK and core.state.word(region_id, field):
            _wait(core, Pointer(region_id, field.offset))
            return True
    return False


def _lock(core: Core, args: Arguments) -> Value | str:
    state, execution = core.state, core.execution
    region, field = state.special_field(args[0], SpecialKind.SPIN_LOCK, "bpf_spin_lock")
    if is_held(core, region.id):
        return AGAIN
    state.set_word(region.id, field, LOCKED)
    execution.lock = Pointer(region.id, field.offset)
    return NULL


def _wait(core: Core, at: Pointer) -> None:
    execution = core.execution
    name = core.state.field_name(at)
    for other in core.state.executions.values():
        if other.lock == at and other.cpu == execution.cpu:
            raise Fault(
                "bad-call",
                f"wait for {name}, which is held by what this program interrupted: a deadlock",
            )
    execution.steps += _SPIN
    if execution.steps > core.mutator.options.step_limit:
        raise Fault("bad-call", f"wait for {name}, which is never released")


def _unlock(core: Core, args: Arguments) -> Value:
    region, field = core.state.special_field(args[0], SpecialKind.SPIN_LOCK, "bpf_spin_unlock")
    held = core.execution.lock
    if held != Pointer(region.id, field.offset):
        other = "no lock is" if held is None else f"{core.state.field_name(held)} is"
        raise Fault("bad-call", f"bpf_spin_unlock of {region.name}.{field.path}, but {other} held")
    if any(isinstance(frame.after, TreeSearch) for frame in core.execution.frames):
        raise Fault("bad-call", "bpf_spin_unlock in the callback of bpf_rbtree_add")
    core.let_go()
    return NULL


CALLS: Mapping[str, Implementation] = {"bpf_spin_lock": _lock, "bpf_spin_unlock": _unlock}
