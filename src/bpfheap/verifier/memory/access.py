"""What is so after an access to memory: what a load gives, and what is known of the memory then.

What must hold of the access is in obligations.py, which is asked first. Sources: check_mem_access,
btf_ld_kptr_type, check_ptr_to_btf_access and check_helper_mem_access in kernel/bpf/verifier.c of
Linux 6.18.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from bpfheap.btf import KptrField, KptrKind, Leads, Place
from bpfheap.platform.maps import BY_NUMBER
from bpfheap.platform.programs import PROGRAM_TYPES, SOCKET_TYPES, CtxField, CtxKind
from bpfheap.verifier.domain.arith import cast, load_bounds
from bpfheap.verifier.domain.refine import between
from bpfheap.verifier.domain.scalar import UNKNOWN_SCALAR, Scalar, constant
from bpfheap.verifier.flows import Field
from bpfheap.verifier.memory import dynptrs, stack
from bpfheap.verifier.memory.kernel_kptrs import seen
from bpfheap.verifier.memory.kinds import OBLIGATIONS, obligations_of
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.kernel import (
    SAFE_RCU,
    SAFE_RCU_OR_NULL,
    SAFE_TRUSTED,
    SAFE_TRUSTED_OR_NULL,
)
from bpfheap.verifier.state.state import (
    CTX,
    DISTRUSTED,
    DYNPTR,
    FLOW_KEYS,
    IN_RCU,
    IN_USER,
    KERNEL,
    MAP,
    MAP_VALUE,
    MEM,
    OBJECT,
    PACKET,
    PACKET_END,
    PACKET_META,
    PER_CPU,
    READ,
    SCALAR,
    SECTION,
    SLOT_MASK,
    SOCKET,
    STACK,
    TRUSTED,
    UNTRUSTED,
    ZERO_OFFSET,
    Buffer,
    KernelObject,
    MapRef,
    Mem,
    Object,
    Reg,
    State,
    is_trusted,
    number,
)

_POINTER = 8
#: Bytes of what hooks return.
_INT = 4

_TRACEPOINT_BUFFER: Final = Mem(0, buffer=Buffer.TRACEPOINT)
_POINTERS = {
    CtxKind.BUFFER: MEM,
    CtxKind.PACKET: PACKET,
    CtxKind.PACKET_END: PACKET_END,
    CtxKind.PACKET_META: PACKET_META,
    CtxKind.FLOW_KEYS: FLOW_KEYS,
    CtxKind.SOCKET: SOCKET,
    CtxKind.KERNEL: KERNEL,
}
#: By program type and offset in its context, the pointer that is read there as a whole: it is the
#: same in all rows of a type.
_CTX_POINTERS: dict[tuple[str, int], CtxField] = {
    (row.name, field.offset): field
    for row in PROGRAM_TYPES
    for field in row.fields
    if field.kind in _POINTERS
}


def load(env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool) -> Reg:
    """The register that a load of `size` bytes through register `n` gives. Raises Reject."""
    low, high = obligations_of(n, reg).load(env, st, n, reg, off, size, signed)
    kind = reg.kind
    pointer: Reg | None = None
    if kind == STACK:
        frame = st.frames[reg.what]
        _accessed(env, st, n, reg, low, high, low == high and stack.fills(frame, low, size))
        return stack.read(frame, low, high, size, signed)
    if kind == MAP_VALUE:
        if low == high and size == _POINTER:
            pointer = _value_pointer(env, st, reg.what, low)
        if pointer is None and reg.what.constant is not None and reg.scalar.is_const:
            pointer = _constant(reg.what.constant, low, size, signed)
    elif kind == CTX:
        if env.attached is None:
            pointer = _ctx_pointer(env, low)
        else:
            pointer = _argument(env, st, low, size, signed)
    elif kind == KERNEL and size == _POINTER:
        pointer = _kernel_pointer(env, st, reg, low)
    elif kind == MAP:
        pointer = _member_of_map(env, reg, low, size)
    elif kind == OBJECT and size == _POINTER:
        pointer = _member_pointer(env, reg.what, low, signed)
    return number(load_bounds(size * 8, signed)) if pointer is None else pointer


def store(env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg) -> None:
    """A store of `size` bytes of `value` through register `n`. Raises Reject."""
    if value.kind == DYNPTR:
        # is_spillable_regtype
        value = stack.ANY_BYTES
    low, high = obligations_of(n, reg).store(env, st, n, reg, off, size, value)
    if reg.kind == STACK:
        _accessed(env, st, n, reg, low, high, True)
        if st.dynptrs:
            slot = st.trail.entries[-1] & SLOT_MASK
            dynptrs.overwritten(st, st.frames[reg.what], low, high + size, slot)
        stack.write(st.frames[reg.what], low, high, size, value)
    elif reg.kind == MEM and reg.what.buffers:
        dynptrs.written_through(st, reg, n)


def helper_access(env: Env, st: State, n: i64, reg: Reg, size: i64, write: bool) -> None:
    """A helper reads, or with `write` writes, `size` bytes through register `n`. Raises Reject."""
    low, high = OBLIGATIONS[reg.kind].helper(env, st, n, reg, size, write)
    if reg.kind == STACK:
        frame = st.frames[reg.what]
        deepen(env, frame.subprog, low)
        if write:
            stack.clobber(frame, low, high + size)
    elif write and reg.kind == MEM and reg.what.buffers:
        dynptrs.written_through(st, reg, n)


def _accessed(env: Env, st: State, n: i64, reg: Reg, low: i64, high: i64, moved: bool) -> None:
    """What precision wants to know of an access to the stack, and how deep the stack is. `moved`:
    does what was in a register come to the stack, or back?"""
    deepen(env, st.frames[reg.what].subprog, low)
    if low != high:
        mark_register(env.cfg, st, n)
    elif moved:
        st.trail.accessed(reg.what, low >> 3)


def deepen(env: Env, subprog: i64, low: i64) -> None:
    """The function uses its stack down to offset `low`."""
    if -low > env.depth[subprog]:
        env.depth[subprog] = -low


def _constant(data: bytes, low: i64, size: i64, signed: bool) -> Reg:
    """What .rodata holds (bpf_map_direct_read); behind its content there are zeros."""
    value = int.from_bytes(data[low : low + size].ljust(size, b"\0"), "little", signed=signed)
    return number(constant(value))


def _value_pointer(env: Env, st: State, ref: MapRef, low: i64) -> Reg | None:
    """The pointer at an offset in a map value, None if there is none."""
    layout = ref.layout
    kptr = layout.kptrs.get(low)
    if kptr is not None:
        of_kernel = layout.kernel.get(low)
        if of_kernel is not None:
            return seen(env, st, kptr, of_kernel)
        return _seen(env, st, ref, kptr)
    shared = layout.shared.get(low)
    if shared is not None:
        memory = Mem(layout.btf.size_of(shared.target))
        return Reg(MEM, ZERO_OFFSET, 0, env.new_id(), 0, memory, True)
    plain = layout.plain.get(low)
    return None if plain is None else Reg(SCALAR, UNKNOWN_SCALAR, what=(plain, layout))


def _seen(env: Env, st: State, ref: MapRef, field: KptrField) -> Reg:
    """A kptr that was only looked at (btf_ld_kptr_type): the object stays in the map, and stays
    alive until the section ends, if there is one."""
    layout = env.layouts.of(ref.layout.btf, field.target)
    object_ = Object(
        layout,
        Field(ref.holder, ref.name, field.path),
        READ if field.kind is not KptrKind.UNTRUSTED and env.in_section(st) else UNTRUSTED,
        field.kind is KptrKind.PERCPU,
    )
    if object_.standing == UNTRUSTED:
        object_ = object_._replace(per_cpu=False)
    return Reg(OBJECT, ZERO_OFFSET, 0, env.new_id(), 0, object_, True)


def _ctx_pointer(env: Env, off: i64) -> Reg | None:
    """The pointer at an offset in the context, None if there is none."""
    field = _CTX_POINTERS.get((env.type.name, off))
    if field is None:
        return None
    kind = _POINTERS[field.kind]
    what: object = None
    if kind == MEM:
        what = _TRACEPOINT_BUFFER
    elif kind == SOCKET:
        what = SOCKET_TYPES[field.target]
    elif kind == KERNEL:
        what = KernelObject(env.struct(field.target, env.type.ctx_struct), TRUSTED)
    elif kind in (PACKET, PACKET_META):
        what = 0
    id_ = env.new_id() if field.or_null else 0
    return Reg(kind, ZERO_OFFSET, 0, id_, 0, what, field.or_null)


def _member_of_map(env: Env, reg: Reg, at: i64, size: i64) -> Reg | None:
    """The pointer in what the kernel keeps a map in, None if there is none."""
    if size != _POINTER:
        return None
    type_ = env.struct_of_map(BY_NUMBER[reg.what.spec.type])
    place = type_.place(at, _POINTER)
    assert not isinstance(place, str)
    if place.leads is not Leads.POINTER:
        return _no_struct(place)
    assert env.kernel is not None
    flags = _tagged(place)
    target = env.kernel.of(type_.btf, place.type_id)
    return Reg(KERNEL, ZERO_OFFSET, what=KernelObject(target, flags))


#: What a pointer to anything but a struct leads to.
ANYWHERE: Final = Mem(0, readonly=True, anywhere=True)


def _kernel_pointer(env: Env, st: State, reg: Reg, at: i64) -> Reg | None:
    """The pointer at a place in an object of the kernel, None if there is none."""
    object_: KernelObject = reg.what
    place = object_.type.place(at, _POINTER)
    # That the access fits, the obligations have seen.
    assert not isinstance(place, str)
    if place.leads is not Leads.POINTER:
        return _no_struct(place)
    assert env.kernel is not None
    target = env.kernel.of(object_.type.btf, place.type_id)
    flags, or_null = _walked(env, st, reg, object_, place)
    id_ = env.new_id() if or_null else 0
    # What is trusted since the object around it is, goes with that. (In Linux it stays.)
    kept = SECTION if object_.flags & IN_RCU else 0
    owner = (reg.ref or object_.owner or kept) if flags & TRUSTED else 0
    return Reg(KERNEL, ZERO_OFFSET, 0, id_, 0, KernelObject(target, flags, owner), or_null)


def _no_struct(place: Place) -> Reg | None:
    """The pointer at a place that leads to no struct, None for a number."""
    return Reg(MEM, ZERO_OFFSET, what=ANYWHERE) if place.leads is Leads.OPAQUE else None


_TAGS: Final = {"rcu": IN_RCU, "user": IN_USER, "percpu": PER_CPU}


def _tagged(place: Place) -> int:
    """What the kernel's types alone say of a pointer."""
    flags: int = _TAGS.get(place.tag, 0)
    if place.in_union:
        flags |= DISTRUSTED
    return flags


def _walked(env: Env, st: State, reg: Reg, of: KernelObject, place: Place) -> tuple[int, bool]:
    """The flags of a pointer that was read out of an object, and whether it may be NULL
    (check_ptr_to_btf_access)."""
    if of.flags & DISTRUSTED:
        return DISTRUSTED, False
    flags = _tagged(place)
    if not is_trusted(reg) and not of.flags & IN_RCU:
        return flags & ~IN_RCU, False
    kind = of.type
    if kind.is_safe(place, SAFE_TRUSTED):
        return flags | TRUSTED, False
    if kind.is_safe(place, SAFE_TRUSTED_OR_NULL):
        return flags | TRUSTED, True
    if not env.in_section(st):
        return DISTRUSTED, False
    if kind.is_safe(place, SAFE_RCU):
        return flags | IN_RCU, False
    if kind.is_safe(place, SAFE_RCU_OR_NULL):
        return (flags | IN_RCU) & ~DISTRUSTED, True
    # An RCU pointer may be NULL.
    return flags, bool(flags & IN_RCU)


def _argument(env: Env, st: State, off: i64, size: i64, signed: bool) -> Reg | None:
    """What is known of an argument of what the program is attached to, None for any number."""
    assert env.attached is not None
    found = env.attached.at(off, size)
    if found.ends is not None and size >= _INT:
        return number(_result(found.ends, size, signed))
    if found.what is None:
        return None
    kind = KERNEL if isinstance(found.what, KernelObject) else MEM
    id_ = env.new_id() if found.or_null else 0
    ref = env.attached.refs[found.start] if found.owned else 0
    if ref and all(held.id != ref for held in st.refs):
        raise Reject(
            f"invalid bpf_context access off={off}. Reference may already be released",
            hint="read the argument once, before it is given away",
        )
    return Reg(kind, ZERO_OFFSET, 0, ref or id_, ref, found.what, found.or_null)


def _result(ends: tuple[int, int], size: i64, signed: bool) -> Scalar:
    """What a hook returned, or its lower half, which is the int that it returned."""
    known = between(UNKNOWN_SCALAR, ends[0], ends[1])
    assert known is not None
    return known if size == _POINTER or signed else cast(known, 8 * _INT, False)


def _member_pointer(env: Env, object_: Object, low: i64, signed: bool) -> Reg | None:
    """The pointer at an offset in an object, None if there is none."""
    layout = object_.layout
    if object_.standing != UNTRUSTED:
        plain = layout.plain.get(low)
        return None if plain is None else Reg(SCALAR, UNKNOWN_SCALAR, what=(plain, layout))
    pointer = None if signed else layout.pointer_at(low)
    if pointer is None:
        return None
    # What is behind an untrusted pointer is not to be trusted either.
    target = env.layouts.of(layout.btf, pointer.target)
    return Reg(OBJECT, ZERO_OFFSET, 0, 0, 0, Object(target, object_.origin, UNTRUSTED))
