"""Objects that the program owns: where they come from, where they go, and the flows of that.

Sources: acquire_reference, release_reference, mark_ptr_or_null_regs, map_kptr_match_type and
process_kptr_func in kernel/bpf/verifier.c.
"""

from __future__ import annotations

from bpfheap.btf import KptrField, KptrKind
from bpfheap.verifier import hints
from bpfheap.verifier.access import type_name
from bpfheap.verifier.env import Env, field_of
from bpfheap.verifier.flows import Field, FlowKind
from bpfheap.verifier.layouts import Layout
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.scalar import UNKNOWN_SCALAR
from bpfheap.verifier.state import (
    MAP_VALUE,
    NULL,
    OBJECT,
    SCALAR,
    UNINIT,
    ZERO_OFFSET,
    Gone,
    Held,
    Object,
    Reg,
    State,
)


def acquire(env: Env, st: State, object_: Object, slot: int) -> Reg:
    """An owned object, or NULL."""
    new = env.new_id()
    st.refs = (*st.refs, Held(new, slot, object_))
    return Reg(OBJECT, ZERO_OFFSET, 0, new, new, object_, True)


def release(st: State, ref: int, gone: Gone) -> None:
    """The object is not the program's any more, whatever still points at it."""
    after = Reg(UNINIT, UNKNOWN_SCALAR, what=gone)
    st.refs = tuple(held for held in st.refs if held.id != ref)
    st.rewrite(lambda reg: after if reg.ref == ref else reg)


def settle_null(st: State, checked: Reg, null: bool) -> None:
    """What a check for NULL says of all registers that came from the same call."""
    id_ = checked.id
    if null:
        if checked.ref:
            st.refs = tuple(held for held in st.refs if held.id != checked.ref)
        st.rewrite(lambda reg: NULL if reg.or_null and reg.id == id_ else reg)
    else:
        st.rewrite(lambda reg: reg.sure() if reg.or_null and reg.id == id_ else reg)


class Kptr:
    """A kptr field that a register points at, in a map value or in an object."""

    __slots__ = ("field", "layout", "name", "ref")

    def __init__(self, name: Field, field: KptrField, layout: Layout, ref: int) -> None:
        self.name = name
        self.field = field
        self.layout = layout
        self.ref = ref


def kptr_at(n: int, reg: Reg) -> Kptr:
    """The kptr field at the address in a register. Raises Reject."""
    if reg.or_null:
        raise Reject(
            f"R{n} type={type_name(reg)} expected=map_value or ptr_",
            register=n,
            hint=hints.CHECK_NULL,
        )
    if reg.kind == MAP_VALUE:
        layout: Layout = reg.what.layout
    elif reg.kind == OBJECT:
        layout = reg.what.layout
    else:
        raise Reject(
            f"R{n} type={type_name(reg)} expected=map_value or ptr_",
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
        where = f"off={offset} in {_holder(reg)} is no kptr"
        if plain is not None:
            raise Reject(
                f"R{n} {where}: {plain.path} is an ordinary pointer",
                register=n,
                hint=hints.untagged(plain, layout),
            )
        known = ", ".join(f"{f.path} at {o}" for o, f in layout.kptrs.items())
        raise Reject(
            f"R{n} {where}",
            register=n,
            hint=f"its kptr fields: {known}" if known else "it has no kptr fields",
        )
    if field.kind is not KptrKind.KPTR:
        raise Reject(
            f"R{n} off={offset} {field.path} is tagged {field.kind}, which owns no object",
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
        own = object_.layout
        strict = env.options.strict_identity
        why = env.layouts.why_other(own.btf, own.type_id, layout.btf, target, strict=strict)
        if why is not None:
            raise Reject(
                f"invalid kptr access, R{n} type={type_name(given)} "
                f"expected=ptr_{_target_name(kptr)}: {why}",
                register=n,
                hint=f"{kptr.name} takes struct {_target_name(kptr)} only",
            )
        kind = FlowKind.MOVE if isinstance(object_.origin, Field) else FlowKind.STORE
        env.flow(kind, object_.origin, kptr.name, slot)
        release(st, given.ref, Gone(slot, call, str(own)))
    env.flow(FlowKind.TAKE, None, kptr.name, slot)
    taken = Object(env.layouts.of(layout.btf, target), kptr.name)
    return acquire(env, st, taken, slot)


def _target_name(kptr: Kptr) -> str:
    return getattr(kptr.layout.btf[kptr.field.target], "name", "") or "(anonymous)"


def free(env: Env, st: State, given: Reg, slot: int, call: str) -> None:
    """The object goes back to its allocator."""
    object_: Object = given.what
    origin = object_.origin
    if isinstance(origin, Field):
        env.flow(FlowKind.FREE, None, origin, slot)
    else:
        env.flow(FlowKind.FREE, origin, None, slot)
    release(st, given.ref, Gone(slot, call, str(object_.layout)))


def check_owned(n: int, reg: Reg, *, call: str, or_null: bool) -> None:
    """The register holds an object of the program's own, at its start. Raises Reject."""
    if reg.kind != OBJECT:
        hint = f"{call} takes what an allocator or bpf_kptr_xchg returned"
        if reg.kind == SCALAR and reg.what is not None:
            hint = hints.untagged(*reg.what)
        raise Reject(f"R{n} type={type_name(reg)} expected=ptr_", register=n, hint=hint)
    if reg.or_null and not or_null:
        raise Reject(
            f"possibly NULL pointer passed to {call}: R{n} is {type_name(reg)}",
            register=n,
            hint=hints.CHECK_NULL,
        )
    if reg.off or not reg.scalar.is_const or reg.scalar.v:
        raise Reject(
            f"R{n} must have zero offset when passed to {call}, but has off={reg.off}",
            register=n,
            hint=hints.MAIN_POINTER,
        )


def check_none_held(env: Env, st: State) -> None:
    """At the end of the program nothing is owned any more (check_reference_leak)."""
    if st.refs:
        held = st.refs[0]
        more = f" (and {len(st.refs) - 1} more)" if len(st.refs) > 1 else ""
        raise Reject(
            f"Unreleased reference id={held.id} alloc_insn={held.insn}: the "
            f"{held.object.layout} from {env.place(held.insn)} is still owned at exit{more}",
            hint=hints.GIVE_AWAY,
        )
