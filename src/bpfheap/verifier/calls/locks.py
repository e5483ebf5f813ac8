"""Locks, RCU sections and those without preemption: what they allow, and what ends with them.

Sources: process_spin_lock, acquire_lock_state, invalidate_non_owning_refs and the RCU part of
check_kfunc_call in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from typing import Final

from bpfheap.btf import SpecialKind
from bpfheap.platform.calls import Arg, Call
from bpfheap.platform.maps import BY_NUMBER, CREATE
from bpfheap.platform.releases import Rule
from bpfheap.verifier import hints
from bpfheap.verifier.analysis.cfg import Step
from bpfheap.verifier.analysis.release import follows
from bpfheap.verifier.calls.meta import Meta, const_offset, expected
from bpfheap.verifier.domain.refine import between
from bpfheap.verifier.domain.scalar import UNKNOWN_SCALAR
from bpfheap.verifier.memory.ownership import check_none_held, without_btf
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.layouts import Layout
from bpfheap.verifier.state.state import (
    BORROWED,
    DISTRUSTED,
    IN_RCU,
    ITERATOR,
    KERNEL,
    LAPSED,
    MAP_VALUE,
    NOTHING,
    OBJECT,
    OWNED,
    READ,
    SCALAR,
    SECTION,
    TRUSTED,
    FuncState,
    Gone,
    Invalidation,
    Lock,
    Locking,
    MapRef,
    Reg,
    State,
    number,
)

#: Results of the kernel from -MAX_ERRNO to -1 are errors.
MAX_ERRNO: Final = 4095


def spin_lock(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """The argument of bpf_spin_lock and bpf_spin_unlock, which do no more than that."""
    holder = lockable(reg)
    if holder is None:
        raise expected(n, reg, "map_value, ptr_", "pass the lock's address: &v->lock")
    _check_lock(env, st, n, reg, holder, SpecialKind.SPIN_LOCK)
    if meta.call.waits:
        # That none is held yet, check_call has seen.
        st.lock = Lock(holder, reg.id, meta.slot)
        return
    _unlock(env, st, n, reg, meta, holder, Locking.SPIN)


def res_spin_lock(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """That of bpf_res_spin_lock: on another path somebody else has it, or one that waits for this
    program. Then nothing has happened."""
    failed = st.copy()
    known = between(UNKNOWN_SCALAR, -MAX_ERRNO, -1)
    assert known is not None
    failed.regs[:6] = [number(known), *[NOTHING] * 5]
    env.fork(failed, env.cfg.at(meta.slot).next, meta.slot)
    holder = _resilient(env, st, n, reg)
    if st.lock is not None and st.lock.find(holder, reg.id) is not None:
        raise Reject(
            "Acquiring the same lock again, AA deadlock detected",
            detail=f"it was taken at {env.place(st.lock.insn)}",
            register=n,
            hint="it would always fail: look whether the first call did, and unlock it before",
        )
    st.lock = Lock(holder, reg.id, meta.slot, _how(meta), st.lock)


def res_spin_unlock(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """That of bpf_res_spin_unlock, which is about the lock that was taken last."""
    _unlock(env, st, n, reg, meta, _resilient(env, st, n, reg), _how(meta))


def _how(meta: Meta) -> Locking:
    return Locking.RES_IRQ if len(meta.args) > 1 else Locking.RES


def _resilient(env: Env, st: State, n: int, reg: Reg) -> MapRef | Layout:
    """What has the lock (process_kf_arg_ptr_to_res_spin_lock). Raises Reject."""
    holder = lockable(reg)
    if holder is None:
        raise Reject(
            f"arg#{n - 1} doesn't point to map value or allocated object",
            register=n,
            hint=hints.CHECK_NULL if reg.or_null else "pass the lock's address: &v->lock",
        )
    _check_lock(env, st, n, reg, holder, SpecialKind.RES_SPIN_LOCK)
    return holder


def _check_lock(
    env: Env, st: State, n: int, reg: Reg, holder: MapRef | Layout, kind: SpecialKind
) -> None:
    """Does it point at the lock of that kind (process_spin_lock)? Raises Reject."""
    offset = const_offset(n, reg, kind)
    layout = holder.layout if isinstance(holder, MapRef) else holder
    place = layout.lock if kind is SpecialKind.SPIN_LOCK else layout.res_lock
    if place < 0:
        if isinstance(holder, MapRef) and not holder.typed:
            raise without_btf(holder, n, kind)
        raise Reject(
            f"map '{holder}' has no valid {kind}"
            if isinstance(holder, MapRef)
            else f"local 'kptr' has no valid {kind}",
            detail="" if isinstance(holder, MapRef) else f"it is of type {holder}",
            register=n,
            hint=f"give it a member of type struct {kind}",
        )
    if offset != place:
        raise Reject(
            f"off {offset} doesn't point to 'struct {kind}' that is at {place}",
            register=n,
            hint="pass the lock's address: &v->lock",
        )
    if isinstance(holder, MapRef) or holder.one(SpecialKind.REFCOUNT) is not None:
        # Of a map that is named env.py asks it; Linux does not ask it of inner maps, nor of
        # objects, which others may own, too.
        env.check_locks(str(holder))
    if kind is SpecialKind.SPIN_LOCK and compares(env, st):
        raise Reject(
            "can't spin_{lock,unlock} in rbtree cb",
            register=n,
            hint="the lock is that of the tree, and held until the comparison's caller is done",
        )


def _unlock(
    env: Env, st: State, n: int, reg: Reg, meta: Meta, holder: MapRef | Layout, how: Locking
) -> None:
    """Raises Reject."""
    name = SpecialKind.SPIN_LOCK if how is Locking.SPIN else SpecialKind.RES_SPIN_LOCK
    name_ = f"{name.removesuffix('_lock')}_unlock"
    held = st.lock
    if held is None:
        raise Reject(f"{name_} without taking a lock", register=n, hint="lock it on every path")
    found = held.find(holder, reg.id)
    if found is None or found.how is not how:
        detail = f"the one that is held was taken at {env.place(held.insn)}"
        hint = (
            "unlock through the pointer that was used to lock: another lookup may have found "
            "another element"
        )
        if found is not None:
            detail = f"it was taken at {env.place(found.insn)} by a function of the other kind"
            hint = "what was taken with _irqsave is released with _irqrestore, and nothing else"
        raise Reject(f"{name_} of different lock", detail=detail, register=n, hint=hint)
    if found is not held:
        raise Reject(
            f"{name_} cannot be out of order",
            detail=f"the lock taken at {env.place(held.insn)} is still held",
            register=n,
            hint="release locks in the opposite order",
        )
    st.lock = held.before
    _invalidate_borrowed(st, Gone(meta.slot, meta.call.name, "", Invalidation.UNLOCKED))
    if not env.in_section(st):
        # The lock was the section. Linux lets what was seen in it be used further.
        _end_section(st)


def compares(env: Env, st: State) -> bool:
    """Is this within the comparison of a bpf_rbtree_add (in_rbtree_lock_required_cb, which does
    not look at the callers of the function at hand)?"""
    return any(frame.callback and _sorts(env, frame.callsite) for frame in st.frames)


def _sorts(env: Env, slot: int) -> bool:
    row = env.cfg.at(slot).row
    return row is not None and Arg.LESS in row.args


def lockable(reg: Reg) -> MapRef | Layout | None:
    """What a register points into, if that may have a lock."""
    if reg.or_null:
        return None
    if reg.kind == MAP_VALUE:
        ref: MapRef = reg.what
        return ref
    if reg.kind == OBJECT and reg.what.standing == OWNED and not reg.what.per_cpu:
        layout: Layout = reg.what.layout
        return layout
    return None


def _invalidate_borrowed(st: State, gone: Gone) -> None:
    """Others may take objects out of lists and trees now (invalidate_non_owning_refs). To Linux
    what was seen in a map is such an object, too, if it has a node (NON_OWN_REF in
    btf_ld_kptr_type)."""

    def invalidated(reg: Reg) -> Reg:
        if reg.kind == OBJECT and (
            reg.what.standing == BORROWED or (reg.what.standing == READ and reg.what.layout.nodes)
        ):
            what = gone._replace(type_name=str(reg.what.layout))
            return Reg(SCALAR, UNKNOWN_SCALAR, what=what)
        return reg

    st.rewrite(invalidated)


def rcu_lock(env: Env, st: State, meta: Meta) -> None:
    """bpf_rcu_read_lock()"""
    if st.rcu:
        raise Reject(
            f"nested rcu read lock (kernel function {meta.call.name})",
            hint="unlock the section that is open first",
        )
    st.rcu = True


def rcu_unlock(env: Env, st: State, meta: Meta) -> None:
    """bpf_rcu_read_unlock(): what was seen in map values may go now."""
    if not st.rcu:
        raise Reject(
            f"unmatched rcu read unlock (kernel function {meta.call.name})",
            hint="lock it on every path",
        )
    st.rcu = False
    _end_section(st)


def _end_section(st: State) -> None:
    """Objects that were seen in it may go now."""

    def invalidated(reg: Reg) -> Reg:
        if reg.kind == OBJECT and reg.what.standing == READ:
            what = reg.what._replace(standing=LAPSED, per_cpu=False)
            return Reg(OBJECT, reg.scalar, reg.off, reg.id, 0, what, False)
        if reg.kind == ITERATOR and reg.what.standing == IN_RCU:
            return reg.of(reg.what._replace(standing=DISTRUSTED), reg.ref)
        if reg.kind == KERNEL and (reg.what.flags & IN_RCU or reg.what.owner == SECTION):
            # In Linux, what is trusted stays so.
            flags = (reg.what.flags & ~(IN_RCU | TRUSTED)) | DISTRUSTED
            what = reg.what._replace(flags=flags, owner=0)
            return Reg(KERNEL, reg.scalar, reg.off, reg.id, reg.ref, what, False)
        return reg

    st.rewrite(invalidated)


def preempt_disable(env: Env, st: State, meta: Meta) -> None:
    """bpf_preempt_disable()"""
    st.preempt += 1


def preempt_enable(env: Env, st: State, meta: Meta) -> None:
    """bpf_preempt_enable()"""
    if not st.preempt:
        raise Reject(
            f"unmatched attempt to enable preemption (kernel function {meta.call.name})",
            hint="disable it on every path",
        )
    st.preempt -= 1


def check_call(env: Env, st: State, step: Step, call: Call) -> None:
    """May it be called here? Raises Reject."""
    locked = call.locked and (
        not call.name.startswith("bpf_iter_num_") or follows(env.release, Rule.ITERATE_LOCKED)
    )
    if st.lock is not None and not locked:
        raise Reject(
            "function calls are not allowed while holding a lock",
            detail=f"{call.name} is called with the lock taken at {env.place(st.lock.insn)}",
            hint="call it before bpf_spin_lock or after bpf_spin_unlock",
        )
    if not env.sleeps_at(step):
        return
    section, detail = _no_sleep(env, st)
    # Linux sees to it that nothing waits for memory in a section that the program opened
    # (storage_get_func_atomic), and to wait for it while that of a task is locked is allowed.
    opened = st.rcu or st.preempt or st.irqs
    allowed = call.sleeps_with == CREATE and (opened or section == _MEMORY)
    if section and not allowed:
        raise Reject(
            f"sleepable helper {call.title} in {section} region"
            if call.number is not None
            else f"kernel func {call.name} is sleepable within {section} region",
            detail=detail,
            hint="call it outside of the section",
        )


def _no_sleep(env: Env, st: State) -> tuple[str, str]:
    """What a program that may sleep is in here where it may not, and why; "" for nothing. What
    helpers and iterators hold while the program runs Linux does not look at."""
    if st.rcu:
        return "rcu_read_lock", ""
    if st.preempt:
        return "non-preemptible", ""
    if st.irqs:
        return "IRQ-disabled", f"interrupts were disabled at {env.place(st.irqs[-1].insn)}"
    if st.later and not st.sleeps:
        return "timer callback", "timers call functions in interrupts"
    if env.held and not st.later:
        return env.held, f"{env.target} calls the program in one"
    for frame in st.frames:
        if frame.callback:
            called = env.cfg.at(frame.callsite).row
            assert called is not None
            if called.holds and not _over_array(called, st.frames[frame.number - 1]):
                return called.holds, f"{called.name} calls the function in one"
        for slot in frame.stack.values():
            if slot.reg is not None and slot.reg.kind == ITERATOR:
                kind = slot.reg.what.type
                if kind in KEEPING:
                    return _MEMORY, f"it lasts until bpf_iter_{kind}_destroy is called"
    return "", ""


def _over_array(call: Call, caller: FuncState) -> bool:
    """Does it walk over elements that cannot go (bpf_for_each_array_elem)?"""
    return call.args[0] is Arg.MAP and BY_NUMBER[caller.regs[1].what.spec.type].fixed


#: The memory of a task is locked: to sleep may be to wait for it (bpf_iter_task_vma_new).
_MEMORY = "mmap_lock"
#: Iterators that hold it until they end.
KEEPING = frozenset({"task_vma"})


def check_left(env: Env, st: State, where: str, *, ends: bool = False) -> None:
    """Nothing is held and no section is open (check_resource_leak). Raises Reject."""
    if ends or len(st.frames) == 1:
        # What a function leaves behind is its caller's to give away, if that goes on.
        check_none_held(env, st, where)
    if st.lock is not None:
        raise Reject(
            f"{where} cannot be used inside bpf_spin_lock-ed region",
            detail=f"the lock was taken at {env.place(st.lock.insn)}",
            hint="unlock it on every path",
        )
    if st.irqs:
        raise Reject(
            f"{where} cannot be used inside bpf_local_irq_save-ed region",
            detail=f"interrupts were disabled at {env.place(st.irqs[-1].insn)}",
            hint="restore them on every path",
        )
    if st.rcu:
        raise Reject(
            f"{where} cannot be used inside bpf_rcu_read_lock-ed region",
            hint="call bpf_rcu_read_unlock() on every path",
        )
    if st.preempt:
        raise Reject(
            f"{where} cannot be used inside bpf_preempt_disable-ed region",
            hint="call bpf_preempt_enable() on every path, as often as it was disabled",
        )


def check_local(env: Env, st: State) -> None:
    """May functions of the program be called here? Raises Reject."""
    if st.lock is not None and not follows(env.release, Rule.CALL_LOCKED):
        raise Reject(
            "function calls are not allowed while holding a lock",
            detail=f"the lock was taken at {env.place(st.lock.insn)}",
            hint="call it after bpf_spin_unlock, or let the compiler inline it",
        )


def check_global(env: Env, st: State, number: int, name: str) -> None:
    """May the global function `name`, which is subprogram `number`, be called here? Raises
    Reject."""
    section, detail = _no_sleep(env, st) if env.sleeps(number) else ("", "")
    if section or (env.sleeps(number) and not st.sleeps):
        raise Reject(
            "global functions that may sleep are not allowed in non-sleepable context, i.e., in a "
            "RCU/IRQ/preempt-disabled section, or in a non-sleepable BPF program context",
            detail=f"{name}() may sleep{', and this is in a ' if detail else ''}"
            f"{section + ' region: ' + detail if detail else ''}",
            hint="call it outside of the section",
        )
    if st.lock is not None:
        raise Reject(
            "global function calls are not allowed while holding a lock, use static function "
            "instead",
            detail=f"{name}() is global",
            hint=f"make {name}() static, or call it after bpf_spin_unlock",
        )
