"""Objects that the program owns: where they come from, where they go, and the flows of that.

Sources: acquire_reference, release_reference, mark_ptr_or_null_regs, map_kptr_match_type and
process_kptr_func in kernel/bpf/verifier.c.
"""

from __future__ import annotations

from bpfheap.btf import KptrField, KptrKind
from bpfheap.platform.calls import DROPS
from bpfheap.platform.maps import ACCESS, BY_NUMBER
from bpfheap.platform.programs import SocketType
from bpfheap.verifier import hints
from bpfheap.verifier.domain.scalar import UNKNOWN_SCALAR
from bpfheap.verifier.facts import Foreign
from bpfheap.verifier.flows import Field, FlowKind
from bpfheap.verifier.memory.kernel_kptrs import mismatch
from bpfheap.verifier.memory.obligations import OBJECT_TYPES, no_pointer
from bpfheap.verifier.paths.env import Env, field_of
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.kernel import KernelType
from bpfheap.verifier.state.layouts import Layout
from bpfheap.verifier.state.state import (
    BORROWED,
    KERNEL,
    LAPSED,
    MAP_VALUE,
    NULL,
    OBJECT,
    OWNED,
    READ,
    SCALAR,
    UNTRUSTED,
    ZERO_OFFSET,
    Dynptr,
    Gone,
    Held,
    KernelObject,
    MapRef,
    Mem,
    Object,
    Reg,
    State,
    full_type_name,
    is_trusted,
    type_name,
)


def acquire_reference(
    env: Env, st: State, what: Object | Mem | KernelObject | SocketType | Dynptr | None, slot: int
) -> int:
    """A reference that the program has to give away; gives its id."""
    new = env.new_id()
    st.refs = (*st.refs, Held(new, slot, what))
    return new


def release_reference_nomark(st: State, ref: int) -> None:
    """The program has not to give it away any more; registers stay as they are."""
    st.refs = tuple(held for held in st.refs if held.id != ref)


def acquire_object(env: Env, st: State, object_: Object, slot: int) -> Reg:
    """An owned object, or NULL."""
    new = acquire_reference(env, st, object_, slot)
    return Reg(OBJECT, ZERO_OFFSET, 0, new, new, object_, True)


def release_reference(st: State, ref: int, gone: Gone) -> None:
    """The object is not the program's any more, whatever still points at it: that is a mere number
    now (mark_reg_invalid)."""
    after = Reg(SCALAR, UNKNOWN_SCALAR, what=gone)
    release_reference_nomark(st, ref)
    st.rewrite(lambda reg: after if reg.ref == ref or _rests_on(reg, ref) else reg)


def _rests_on(reg: Reg, ref: int) -> bool:
    """Is it trusted for that reference alone?"""
    return reg.kind == KERNEL and reg.what.owner == ref


def forget_elements(st: State, ref: int, gone: Gone) -> None:
    """An iterator lets go of what it gave."""
    after = Reg(SCALAR, UNKNOWN_SCALAR, what=gone)
    st.rewrite(lambda reg: after if _rests_on(reg, ref) else reg)


def make_borrowed(st: State, ref: int) -> None:
    """The object belongs to a list or tree now, but may be used until the lock is released
    (ref_convert_owning_non_owning)."""
    release_reference_nomark(st, ref)
    st.rewrite(lambda reg: borrowed(reg) if reg.ref == ref else reg)


def borrowed(reg: Reg) -> Reg:
    """The same object, known to be in a list or tree."""
    object_: Object = reg.what
    return reg.of(object_._replace(standing=BORROWED), 0)


def mark_null(st: State, checked: Reg, null: bool) -> None:
    """What a check for NULL says of all registers that came from the same call."""
    id_ = checked.id
    if null:
        # What a call made of an object is NULL by itself.
        if checked.ref and checked.ref == id_:
            release_reference_nomark(st, checked.ref)
        st.rewrite(lambda reg: NULL if reg.or_null and reg.id == id_ else reg)
    else:
        st.rewrite(lambda reg: reg.non_null() if reg.or_null and reg.id == id_ else reg)


class Kptr:
    """A kptr field that a register points at, in a map value or in an object."""

    __slots__ = ("field", "layout", "name", "ref")

    def __init__(self, name: Field, field: KptrField, layout: Layout, ref: int) -> None:
        self.name = name
        self.field = field
        self.layout = layout
        self.ref = ref

    @property
    def target(self) -> str:
        """The name of what it points at."""
        return getattr(self.layout.btf[self.field.target], "name", "") or "(anonymous)"


def without_btf(ref: MapRef, n: int, call: str) -> Reject:
    """Of a map that says of its values no more than how long they are (process_spin_lock,
    process_kptr_func)."""
    detail = ""
    hint = 'define it in SEC(".maps"), with __type(value, ...), and compile with -g'
    if ref.bytes:
        access = ref.spec.readonly or ref.spec.flags & ACCESS
        kind = f"of type {BY_NUMBER[ref.spec.type].c_name}"
        kind = "that programs may only read or only write" if access else kind
        detail = f"to Linux there are no such fields in maps {kind}: they are bytes like others"
        hint = "use another map"
    return Reject(
        f"map '{ref}' has to have BTF in order to use {call}", detail=detail, register=n, hint=hint
    )


def kptr_at(n: int, reg: Reg, call: str) -> Kptr:
    """The kptr field at the address in a register, which `call` is given. Raises Reject."""
    if reg.or_null:
        raise Reject(
            f"R{n} type={type_name(reg)} expected=map_value, ptr_",
            register=n,
            hint=hints.CHECK_NULL,
        )
    if reg.kind == MAP_VALUE:
        if not reg.what.typed:
            raise without_btf(reg.what, n, call)
        layout: Layout = reg.what.layout
    elif reg.kind == OBJECT and reg.what.standing == OWNED and not reg.what.per_cpu:
        layout = reg.what.layout
    else:
        raise Reject(
            f"R{n} type={type_name(reg)} expected=map_value, ptr_",
            register=n,
            hint=hints.FIXED_FIELD,
        )
    if not reg.scalar.is_const:
        raise Reject(
            f"R{n} doesn't have constant offset. kptr has to be at the constant offset",
            register=n,
            hint=hints.CONST_OFFSET,
        )
    offset = reg.off + reg.scalar.smin
    field = layout.kptrs.get(offset)
    if field is None:
        plain = layout.plain.get(offset)
        message = f"off={offset} doesn't point to kptr"
        if not layout.kptrs:
            message = f"R{n} has no valid kptr"
        if plain is not None:
            raise Reject(
                message,
                detail=f"in {_holder(reg)}, {plain.path} is an ordinary pointer",
                register=n,
                hint=hints.untagged(plain, layout),
            )
        known = ", ".join(f"{f.path} at {o}" for o, f in layout.kptrs.items())
        raise Reject(
            message,
            detail=f"R{n} points into {_holder(reg)}",
            register=n,
            hint=f"its kptr fields: {known}" if known else "it has no kptr fields",
        )
    if field.kind is KptrKind.UNTRUSTED:
        raise Reject(
            f"off={offset} kptr isn't referenced kptr",
            detail=f"{field.path} is tagged {field.kind}, which owns no object",
            register=n,
            hint=f"tag it __kptr to exchange objects through it, not __{field.kind}",
        )
    return Kptr(field_of(reg.what, field.path), field, layout, reg.ref)


def _holder(reg: Reg) -> str:
    if reg.kind == MAP_VALUE:
        return f"a value of {reg.what}"
    return str(reg.what.layout)


def exchange(env: Env, st: State, kptr: Kptr, n: int, given: Reg, slot: int, call: str) -> Reg:
    """bpf_kptr_xchg: `given`, in register `n`, is NULL or an owned object. Gives r0.

    Raises Reject if the object's type is not the field's.
    """
    of_kernel = kptr.layout.kernel.get(kptr.field.offset)
    if of_kernel is not None:
        return _exchange_kernel(env, st, kptr, n, given, slot, call, of_kernel)
    layout, target = kptr.layout, kptr.field.target
    declared = env.layouts.incomplete(layout.btf, target)
    if declared is not None:
        raise Reject(
            f"R1 {kptr.name} holds {declared}, which this object only declares",
            register=1,
            hint=f"define it, and write __kptr_type({declared}); behind the definition: the "
            "compiler leaves out what is behind pointers",
        )
    if given.kind == OBJECT:
        if given.ref == kptr.ref:
            raise Reject(
                f"R{n} would be stored in a field of itself: nobody could ever free it",
                register=n,
                hint="store it in a map value or in another object",
            )
        object_: Object = given.what
        given_layout = object_.layout
        per_cpu = kptr.field.kind is KptrKind.PERCPU
        expected = f"expected=ptr_{kptr.target}"
        if object_.per_cpu != per_cpu:
            # Linux does not look at the struct of what is per CPU where no such thing may be.
            name = full_type_name(given) if per_cpu else type_name(given)
            raise Reject(
                f"invalid kptr access, R{n} type={name} {expected}",
                register=n,
                hint=f"{kptr.name} takes what "
                f"{'bpf_percpu_obj_new' if per_cpu else 'an allocator'} gives",
            )
        strict = env.options.strict_identity
        why = env.layouts.why_other(
            given_layout.btf, given_layout.type_id, layout.btf, target, strict=strict
        )
        if why is not None:
            raise Reject(
                f"invalid kptr access, R{n} type={full_type_name(given)} {expected}",
                detail=why,
                register=n,
                hint=f"{kptr.name} takes struct {kptr.target} only",
            )
        if given.off or not given.scalar.is_const or given.scalar.v:
            raise Reject(
                f"invalid kptr access, R{n} type={full_type_name(given)} {expected}",
                detail=f"it points behind the object's start, off={given.off}",
                register=n,
                hint=hints.MAIN_POINTER,
            )
        kind = FlowKind.MOVE if isinstance(object_.origin, Field) else FlowKind.STORE
        env.flow(kind, object_.origin, kptr.name, slot)
        release_reference(st, given.ref, Gone(slot, call, str(given_layout)))
    env.flow(FlowKind.TAKE, None, kptr.name, slot)
    per_cpu = kptr.field.kind is KptrKind.PERCPU
    taken = Object(env.layouts.of(layout.btf, target), kptr.name, per_cpu=per_cpu)
    return acquire_object(env, st, taken, slot)


def _exchange_kernel(
    env: Env, st: State, kptr: Kptr, n: int, given: Reg, slot: int, call: str, type_: KernelType
) -> Reg:
    """The same for an object of the kernel, which no allocator of the program's knows: flows leave
    it out."""
    if given.kind == OBJECT:
        raise mismatch(n, given, kptr.field, type_)
    env.foreign[slot] = Foreign(f"{kptr.name}, a kptr to {type_} of the kernel")
    if given.kind == KERNEL:
        # That it may go there, the argument's check has seen.
        release_reference(st, given.ref, Gone(slot, call, str(type_)))
    taken = KernelObject(type_, 0)
    new = acquire_reference(env, st, taken, slot)
    return Reg(KERNEL, ZERO_OFFSET, 0, new, new, taken, True)


def free(env: Env, st: State, given: Reg, slot: int, call: str) -> None:
    """The object goes back to its allocator."""
    object_: Object = given.what
    origin = object_.origin
    if isinstance(origin, Field):
        env.flow(FlowKind.FREE, None, origin, slot)
    else:
        env.flow(FlowKind.FREE, origin, None, slot)
    release_reference(st, given.ref, Gone(slot, call, str(object_.layout)))


def check_owned(env: Env, n: int, reg: Reg, *, call: str, per_cpu: bool) -> None:
    """The register holds an object of the program's own, at its start. Raises Reject."""
    # One of the kernel's is trusted, but no allocator's.
    of_kernel = reg.kind == KERNEL and is_trusted(reg)
    message = f"arg#{n - 1} expected pointer to allocated object"
    _check_own(env, n, reg, call, message if of_kernel else f"R{n} must be referenced or trusted")
    if reg.what.per_cpu != per_cpu:
        raise Reject(
            f"arg#{n - 1} expected for {DROPS[not per_cpu].name}()",
            detail=f"R{n} type={type_name(reg)} is not expected for {call}",
            register=n,
            hint="what bpf_percpu_obj_new gave is for bpf_percpu_obj_drop, other objects are not",
        )
    if reg.or_null:
        raise Reject(
            f"Possibly NULL pointer passed to trusted arg{n - 1}",
            detail=f"R{n}, given to {call}, is {type_name(reg)}",
            register=n,
            hint=hints.CHECK_NULL,
        )
    if reg.off or not reg.scalar.is_const or reg.scalar.v:
        raise Reject(
            f"R{n} must have zero offset when passed to release func or trusted arg to kfunc",
            detail=f"given to {call}, it has off={reg.off}",
            register=n,
            hint=hints.MAIN_POINTER,
        )


def check_exchanged(env: Env, n: int, reg: Reg, *, call: str) -> None:
    """The register holds an object of the program's own, or NULL. Raises Reject."""
    _check_own(env, n, reg, call, f"R{n} type={type_name(reg)} expected={OBJECT_TYPES}")


def _check_own(env: Env, n: int, reg: Reg, call: str, message: str) -> None:
    if reg.kind == OBJECT and reg.what.standing == OWNED:
        return
    detail = f"it is {type_name(reg)}, and no object of the program's own"
    hint = f"{call} takes what an allocator or bpf_kptr_xchg returned"
    if reg.kind == SCALAR and reg.what is not None:
        detail, hint = no_pointer(env, reg)
    elif reg.kind == OBJECT:
        hint = _NOT_OWNED[reg.what.standing]
    raise Reject(message, detail=detail, register=n, hint=hint)


#: Why an object that is not the program's own is not, and what to do.
_NOT_OWNED = {
    BORROWED: "it is in a list or tree: take it out first (pop, or bpf_rbtree_remove)",
    READ: hints.TAKE_KPTR,
    UNTRUSTED: hints.TAKE_KPTR,
    LAPSED: hints.IN_SECTION,
}


def check_none_held(env: Env, st: State, where: str) -> None:
    """Nothing is owned any more `where` (check_reference_leak). Raises Reject."""
    if st.refs:
        held = st.refs[0]
        more = f" (and {len(st.refs) - 1} more)" if len(st.refs) > 1 else ""
        told = [f"Unreleased reference id={each.id} alloc_insn={each.insn}" for each in st.refs]
        at = "exit" if where.startswith("BPF_EXIT") else f"the {where}"
        raise Reject(
            f"{where} would lead to reference leak",
            before="\n".join(told),
            detail=f"{told[0]}: the {held} from {env.place(held.insn)} is still owned at {at}"
            f"{more}",
            hint=_give_back(held),
        )


def _give_back(held: Held) -> str:
    if isinstance(held.object, Object):
        return hints.GIVE_AWAY
    if isinstance(held.object, (KernelObject, SocketType)):
        return "release it on every path to the exit"
    if isinstance(held.object, Dynptr):
        return (
            "give it to bpf_ringbuf_submit_dynptr or bpf_ringbuf_discard_dynptr on every path to "
            "the exit, even where it could not be reserved"
        )
    if held.object is None:
        return "call bpf_iter_num_destroy on every path that follows bpf_iter_num_new"
    return "give it to bpf_ringbuf_submit or bpf_ringbuf_discard on every path to the exit"
