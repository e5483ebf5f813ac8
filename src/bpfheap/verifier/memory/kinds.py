"""What must hold of an access to memory, for each kind of pointer.

Sources: check_stack_access_within_bounds, check_stack_range_initialized, check_ptr_alignment,
check_map_access, check_map_kptr_access, check_ctx_access, check_packet_access and
check_ptr_to_btf_access in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from mypy_extensions import i64

from bpfheap.btf import KptrField, KptrKind, PlainPointer
from bpfheap.platform.kernel_writes import ONLY_READ, OTHER_STRUCTS, WRITABLE
from bpfheap.platform.maps import BY_NUMBER
from bpfheap.platform.programs import (
    FLOW_KEYS_SIZE,
    FULL_SOCK,
    SOCK_COMMON,
    CtxField,
    CtxKind,
    ProgramType,
    SocketType,
)
from bpfheap.verifier import hints
from bpfheap.verifier.domain.scalar import bits_text
from bpfheap.verifier.memory.kernel_kptrs import check_stored
from bpfheap.verifier.memory.obligations import (
    MEM_TYPES,
    Obligations,
    Start,
    check_aligned,
    check_unmoved,
    invalid_access,
    no_pointer,
    within,
)
from bpfheap.verifier.memory.rewrites import is_probed
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.kernel import KernelType
from bpfheap.verifier.state.layouts import Layout
from bpfheap.verifier.state.state import (
    ALL_DYNPTR,
    ALL_SPILL,
    ARENA,
    CTX,
    DYNPTR,
    FLOW_KEYS,
    FUNC,
    IN_DYNPTR,
    IN_USER,
    IRQ,
    ITER,
    KERNEL,
    LAPSED,
    MAP,
    MAP_KEY,
    MAP_VALUE,
    MAX_VAR,
    MEM,
    OBJECT,
    OPAQUE,
    PACKET,
    PACKET_END,
    PACKET_META,
    PER_CPU,
    SCALAR,
    SLOT,
    SLOT_MASK,
    SOCKET,
    STACK,
    STACK_SIZE,
    TRUSTED,
    UNTRUSTED,
    Buffer,
    FuncState,
    KernelObject,
    MapRef,
    Object,
    Reg,
    Slot,
    State,
    is_null,
    is_trusted,
    type_name,
)

_POINTER = 8


class NoMemory(Obligations):
    """A scalar, or what must not be looked into."""

    def __init__(self, hint: str) -> None:
        self._hint = hint

    def _reject(self, env: Env, n: i64, reg: Reg) -> Reject:
        error = invalid_access(n, reg)
        if reg.kind == SCALAR and reg.what is not None:
            error.detail, error.hint = no_pointer(env, reg)
        else:
            error.hint = self._hint
        return error

    def load(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool
    ) -> Start:
        raise self._reject(env, n, reg)

    def store(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg
    ) -> Start:
        raise self._reject(env, n, reg)


class StackMemory(Obligations):
    """`reg.what` is the number of the frame. Bytes never written may be read, as by any privileged
    program."""

    for_helpers = True

    def load(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool
    ) -> Start:
        check_aligned(n, reg, off, size)
        low, high = within_stack(n, reg, off, size, "read from")
        frame = st.frames[reg.what]
        if low != high:
            _check_readable(frame, n, reg, low, high, size)
            return low, high
        slot = frame.stack.get(low >> 3)
        if slot is not None:
            if slot.kinds[0] in OPAQUE:
                raise _nothing_to_read(slot, n, f"off {low}+0 size {size}")
            spilled = slot.reg
            if (
                spilled is not None
                and spilled.kind != SCALAR
                and (size != SLOT or slot.kinds != ALL_SPILL)
            ):
                raise Reject("invalid size of register fill", hint=hints.WHOLE_POINTER)
        return low, high

    def store(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg
    ) -> Start:
        check_aligned(n, reg, off, size)
        low, high = within_stack(n, reg, off, size, "write to")
        # At an offset that is not known nothing is spilled: what is there becomes any number.
        if value.kind != SCALAR and low == high:
            if value.kind == STACK and reg.what != st.top.number:
                raise Reject(
                    "cannot spill pointers to stack into stack frame of the caller",
                    hint="return a value instead",
                )
            if size != SLOT:
                raise Reject("invalid size of register spill", hint=hints.WHOLE_POINTER)
        return low, high

    def helper(self, env: Env, st: State, n: i64, reg: Reg, size: i64, write: bool) -> Start:
        low, high = within_stack(n, reg, 0, size, "write to" if write else "read from")
        if not write:
            _check_readable(st.frames[reg.what], n, reg, low, high, size)
        elif st.dynptrs:
            _check_no_dynptr(st.frames[reg.what], n, low, high + size)
        return low, high


def within_stack(n: i64, reg: Reg, off: i64, size: i64, what: str) -> Start:
    """An access to the function's own stack; `what` is "read from" or "write to". Raises Reject."""
    scalar = reg.scalar
    if scalar.is_const:
        low = reg.off + off + scalar.smin
        # Even no bytes begin within the stack (check_stack_slot_within_bounds).
        if low < -STACK_SIZE or low > -max(size, 1):
            hint = hints.STACK if low < -STACK_SIZE else "it is outside the function's own stack"
            raise Reject(f"invalid {what} stack R{n} off={low} size={size}", register=n, hint=hint)
        return low, low
    if scalar.smin <= -MAX_VAR or scalar.smax >= MAX_VAR:
        raise Reject(
            f"invalid unbounded variable-offset {what} stack R{n}",
            register=n,
            hint=hints.CHECK_INDEX,
        )
    low = reg.off + off + scalar.smin
    high = reg.off + off + scalar.smax
    if low < -STACK_SIZE or high + size > 0:
        raise Reject(
            f"invalid variable-offset {what} stack R{n} var_off={bits_text(scalar)} "
            f"off={reg.off + off} size={size}",
            detail=f"it may begin at fp{low:+d} to fp{high:+d}",
            register=n,
            hint=hints.CHECK_INDEX,
        )
    return low, high


def _check_readable(frame: FuncState, n: i64, reg: Reg, low: i64, high: i64, size: i64) -> None:
    """What iterators, dynptrs and flags for interrupts hold is the kernel's. Raises Reject."""
    at: i64 = low >> 3
    while at <= (high + size - 1) >> 3:
        slot = frame.stack.get(at)
        if slot is not None and slot.kinds[0] in OPAQUE:
            byte = max(at * 8 - low, 0)
            begin = f"off {low}" if reg.scalar.is_const else f"var_off {bits_text(reg.scalar)}"
            raise _nothing_to_read(slot, n, f"R{n} {begin}+{byte} size {size}")
        at += 1


_KEPT = {ITER: "an iterator", IN_DYNPTR: "a dynptr", IRQ: "a flag for interrupt"}


def _nothing_to_read(slot: Slot, n: i64, where: str) -> Reject:
    what = _KEPT[slot.kinds[0]]
    return Reject(
        f"invalid read from stack {where}",
        detail=f"{what} is there",
        register=n,
        hint=f"only the functions for {what.partition(' ')[2]}s may look into it",
    )


def _check_no_dynptr(frame: FuncState, n: i64, low: i64, end: i64) -> None:
    """A helper writes there (check_stack_range_initialized). Raises Reject."""
    at: i64 = low >> 3
    while at <= (end - 1) >> 3:
        slot = frame.stack.get(at)
        if slot is not None and slot.kinds == ALL_DYNPTR:
            raise Reject(
                f"potential write to dynptr at off={max(at * 8, low)} disallowed",
                register=n,
                hint="give the call a variable of its own",
            )
        at += 1


class CtxMemory(Obligations):
    """What a context holds is the program type's to say."""

    atomic = False

    def load(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool
    ) -> Start:
        if env.attached is not None:
            check_unmoved(n, reg, _CTX_FIELDS)
            env.attached.at(off, size)
            return off, off
        field = _ctx_field(env.type, n, reg, off, size, write=False)
        if signed and field is not None and field.kind is not CtxKind.SCALAR:
            raise Reject(
                f"invalid bpf_context access off={off} size={size}",
                register=n,
                hint=f"{field.name} is a pointer: read it as an unsigned number",
            )
        return off, off

    def store(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg
    ) -> Start:
        if env.attached is not None:
            raise Reject(
                f"invalid bpf_context access off={off} size={size}",
                register=n,
                hint="arguments are read only: use a local variable",
            )
        _ctx_field(env.type, n, reg, off, size, write=True)
        return off, off


#: What to change where the context's address was changed.
_CTX_FIELDS = (
    "access the context's fields directly: ctx->field; where the source does, the compiler has "
    "moved the address: read the field into a local variable first"
)


def _ctx_field(
    row: ProgramType, n: i64, reg: Reg, off: i64, size: i64, *, write: bool
) -> CtxField | None:
    """The field that is accessed, None where any bytes may be."""
    check_unmoved(n, reg, _CTX_FIELDS)
    if row.raw_ctx is not None and off >= row.raw_ctx:
        outside = off + size > row.ctx_size or off & (size - 1)
        if outside or (write and not row.ctx_writable):
            raise _no_ctx_field(row, n, off, size, write=write)
        return None
    for field in row.fields:
        if field.offset <= off < field.offset + field.size:
            if not field.allows(off, size, write=write):
                break
            return field
    raise _no_ctx_field(row, n, off, size, write=write)


def _no_ctx_field(row: ProgramType, n: i64, off: i64, size: i64, *, write: bool) -> Reject:
    return Reject(
        f"invalid bpf_context access off={off} size={size}",
        register=n,
        hint=f"struct {row.ctx_struct} of {row.name} programs has no such "
        f"{'writable ' if write else ''}field",
    )


class MapValueMemory(Obligations):
    """`reg.what` is the MapRef."""

    for_helpers = True

    def load(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool
    ) -> Start:
        ref: MapRef = reg.what
        low, high = within(ref.spec.value_size, "map value", "value_size", n, reg, off, size)
        _may_access(ref, n, low, size, write=False)
        if ref.numbers:
            return low, high
        field = ref.layout.kptr_in(low, high + size)
        if field is not None:
            _whole_kptr(field, n, reg, low, size)
            _plain(env, st, field)
        else:
            shared = _whole_shared(ref.layout, n, reg, low, high + size, size)
            if shared is not None:
                _plain(env, st, shared)
            _no_special(ref.layout, n, low, high + size)
        return low, high

    def store(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg
    ) -> Start:
        ref: MapRef = reg.what
        low, high = within(ref.spec.value_size, "map value", "value_size", n, reg, off, size)
        _may_access(ref, n, low, size, write=True)
        if ref.numbers:
            return low, high
        field = ref.layout.kptr_in(low, high + size)
        if field is not None:
            _whole_kptr(field, n, reg, low, size)
            _plain(env, st, field)
            if field.kind is not KptrKind.UNTRUSTED:
                raise Reject(
                    "store to referenced kptr disallowed",
                    detail=f"R{n}: kptr {field.path} is written by a plain instruction",
                    register=n,
                    hint=hints.XCHG_ONLY,
                )
            of_kernel = ref.layout.kernel.get(field.offset)
            if of_kernel is not None:
                check_stored(env, st, field, of_kernel, value)
            elif not is_null(value):
                raise Reject(
                    f"R{n}: store to {field.path} of anything but NULL",
                    register=n,
                    hint=f"{field.path} is tagged __kptr_untrusted: it can only be set to NULL",
                )
        shared = _whole_shared(ref.layout, n, reg, low, high + size, size)
        if shared is not None:
            _plain(env, st, shared)
            raise Reject(
                "store to uptr disallowed",
                detail=f"R{n}: {shared.path} is one",
                register=n,
                hint="user space sets it, when it updates the map",
            )
        _no_special(ref.layout, n, low, high + size)
        return low, high

    def helper(self, env: Env, st: State, n: i64, reg: Reg, size: i64, write: bool) -> Start:
        ref: MapRef = reg.what
        low, high = within(ref.spec.value_size, "map value", "value_size", n, reg, 0, size)
        _may_access(ref, n, low, size, write=write)
        if ref.numbers:
            return low, high
        field = ref.layout.kptr_in(low, high + size)
        if field is not None:
            raise Reject(
                "kptr cannot be accessed indirectly by helper",
                detail=f"R{n}: {field.path} is one",
                register=n,
                hint="pass a copy without the pointer, from the stack",
            )
        shared = ref.layout.shared_in(low, high + size)
        if shared is not None:
            raise Reject(
                "uptr cannot be accessed indirectly by helper",
                detail=f"R{n}: {shared.path} is one",
                register=n,
                hint="pass a copy without the pointer, from the stack",
            )
        _no_special(ref.layout, n, low, high + size)
        return low, high


def _may_access(ref: MapRef, n: i64, low: i64, size: i64, *, write: bool) -> None:
    if ref.readonly if write else ref.unreadable:
        done = "write into" if write else "read from"
        raise Reject(
            f"{done} map forbidden, value_size={ref.spec.value_size} off={low} size={size}",
            register=n,
            hint=f"{ref} is {'read' if write else 'write'}-only for programs",
        )


def _no_field(layout: Layout, n: i64, start: i64, end: i64, done: str) -> None:
    field = layout.kptr_in(start, end)
    if field is not None:
        raise _xchg_only(field, n, done)
    _no_special(layout, n, start, end, owned=True)


def _xchg_only(field: KptrField, n: i64, done: str) -> Reject:
    kind = "percpu_kptr" if field.kind is KptrKind.PERCPU else "kptr"
    return Reject(
        f"direct access to {kind} is disallowed",
        detail=f"R{n}: kptr {field.path} is {done} by a plain instruction",
        register=n,
        hint=f"{hints.XCHG_ONLY}; {hints.TAKE_KPTR}" if done == "read" else hints.XCHG_ONLY,
    )


def _whole_shared(
    layout: Layout, n: i64, reg: Reg, low: i64, end: i64, size: i64
) -> PlainPointer | None:
    """The pointer to memory of a process that is accessed, as a whole; None if none is. Raises
    Reject for a part."""
    field = layout.shared_in(low, end)
    if field is not None:
        _whole_kptr(field, n, reg, low, size, "uptr")
    return field


def _whole_kptr(
    field: KptrField | PlainPointer, n: i64, reg: Reg, low: i64, size: i64, kind: str = "kptr"
) -> None:
    """check_mem_access of a map value: a kptr is accessed as a whole, or not at all."""
    if not reg.scalar.is_const:
        raise Reject(
            f"{kind} access cannot have variable offset",
            detail=f"R{n}: {field.path} may be hit",
            register=n,
            hint=hints.CONST_OFFSET,
        )
    if low != field.offset or size != _POINTER:
        aligned = low == field.offset
        where = f"expected={field.offset} off={low}"
        raise Reject(
            f"{kind} access size must be BPF_DW"
            if aligned
            else f"{kind} access misaligned {where}",
            detail=f"R{n}: {size} bytes at off={low}",
            register=n,
            hint=f"{field.path} is a pointer: access all of its 8 bytes",
        )


def _plain(env: Env, st: State, field: KptrField | PlainPointer) -> None:
    """check_map_kptr_access: no atomic operation may go there. Raises Reject."""
    if env.cfg.at(st.trail.entries[-1] & SLOT_MASK).atomic:
        raise Reject(
            "kptr in map can only be accessed using BPF_MEM instruction mode",
            detail=f"{field.path} is one",
            hint=hints.XCHG_ONLY,
        )


def _no_special(layout: Layout, n: i64, start: i64, end: i64, *, owned: bool = False) -> None:
    """`owned`: in an object of the program's, where Linux says it in other words."""
    special = layout.special_in(start, end)
    if special is not None:
        raise Reject(
            f"direct access to {special.kind} is disallowed"
            if owned
            else f"{special.kind} cannot be accessed directly by load/store",
            detail=f"R{n}: {special.path} is one",
            register=n,
            hint=f"only the functions for a {special.kind} may touch it",
        )


class MapKeyMemory(Obligations):
    """`reg.what` is the MapRef; the key belongs to the map, so it is read-only."""

    for_helpers = True

    def load(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool
    ) -> Start:
        return within(reg.what.spec.key_size, "map key", "key_size", n, reg, off, size)

    def store(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg
    ) -> Start:
        raise Reject(
            f"write to change key R{n} not allowed", register=n, hint="copy the key to the stack"
        )

    def helper(self, env: Env, st: State, n: i64, reg: Reg, size: i64, write: bool) -> Start:
        if write:
            raise Reject(
                f"R{n} cannot write into map_key",
                register=n,
                hint="copy the key to the stack",
            )
        return within(reg.what.spec.key_size, "map key", "key_size", n, reg, 0, size)


_LENT = "some call of this function gives it an object of the kernel, or a packet that is only read"


class RegionMemory(Obligations):
    """`reg.what` is the Mem (PTR_TO_MEM)."""

    for_helpers = True

    def load(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool
    ) -> Start:
        if reg.what.anywhere:
            return off, off
        if reg.what.buffer is not None:
            return _in_buffer(n, reg, off, size)
        return within(reg.what.size, "memory", "mem_size", n, reg, off, size)

    def store(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg
    ) -> Start:
        self._writable(n, reg)
        if reg.what.buffer is not None:
            return _in_buffer(n, reg, off, size)
        return within(reg.what.size, "memory", "mem_size", n, reg, off, size)

    def helper(self, env: Env, st: State, n: i64, reg: Reg, size: i64, write: bool) -> Start:
        unknown = reg.what.anywhere or reg.what.buffer is Buffer.TRACEPOINT
        if unknown or (write and reg.what.readonly):
            raise Reject(
                f"R{n} type={type_name(reg)} expected={MEM_TYPES}",
                register=n,
                hint=hints.PROBE_READ if unknown else hints.COPY_POINTED,
            )
        if write:
            self._writable(n, reg)
        if reg.what.buffer is not None:
            return _in_buffer(n, reg, 0, size)
        return within(reg.what.size, "memory", "mem_size", n, reg, 0, size)

    @staticmethod
    def _writable(n: i64, reg: Reg) -> None:
        if reg.what.readonly or reg.what.unwritable:
            raise Reject(
                f"R{n} cannot write into {type_name(reg)}",
                detail=_LENT if reg.what.unwritable else "",
                register=n,
                hint=hints.COPY_POINTED,
            )


def _in_buffer(n: i64, reg: Reg, off: i64, size: i64) -> Start:
    """__check_buffer_access: how long it is, is asked when the program is attached."""
    at = reg.off + off
    if at < 0:
        raise Reject(
            f"R{n} invalid {reg.what} access: off={at}, size={size}",
            register=n,
            hint=hints.IN_FRONT,
        )
    if not reg.scalar.is_const or reg.scalar.v:
        raise Reject(
            f"R{n} invalid variable buffer offset: off={at}, var_off={bits_text(reg.scalar)}",
            register=n,
            hint=hints.CONST_OFFSET,
        )
    return at, at


class PacketMemory(Obligations):
    """`reg.what` is how many bytes of the packet are known to be there (check_packet_access)."""

    for_helpers = True
    atomic = False

    def load(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool
    ) -> Start:
        return self._known(n, reg, off, size)

    def store(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg
    ) -> Start:
        if not env.type.writes_packet:
            raise Reject(
                "cannot write into packet",
                register=n,
                hint=f"{env.type.name} programs can only read it",
            )
        return self._known(n, reg, off, size)

    def helper(self, env: Env, st: State, n: i64, reg: Reg, size: i64, write: bool) -> Start:
        return self._known(n, reg, 0, size)

    @staticmethod
    def _known(n: i64, reg: Reg, off: i64, size: i64) -> Start:
        if reg.scalar.smin < 0:
            raise Reject(
                f"R{n} min value is negative, either use unsigned index or do a if (index >=0) "
                "check.",
                register=n,
                hint=hints.UNSIGNED,
            )
        at = reg.off + off
        known = max(reg.what, 0)
        if at < 0 or at + size > known:
            raise Reject(
                f"R{n} offset is outside of the packet",
                before=f"invalid access to packet, off={at} size={size}, R{n}(id={reg.id},off={at},"
                f"r={known})",
                register=n,
                hint=hints.IN_FRONT if at < 0 else hints.CHECK_END,
            )
        return at, at


class ObjectMemory(Obligations):
    """`reg.what` is the Object. Its pointers are numbers to the program, its kptrs untouchable
    (check_ptr_to_btf_access)."""

    def load(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool
    ) -> Start:
        if reg.what.standing == UNTRUSTED:
            return self._inside(n, reg, off, size)
        return self._check(n, reg, off, size, "read")

    def store(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg
    ) -> Start:
        if reg.what.standing >= UNTRUSTED:
            raise Reject(
                "only read is supported",
                detail=f"R{n} is {type_name(reg)}",
                register=n,
                hint=_DISTRUSTED,
            )
        return self._check(n, reg, off, size, "written")

    def helper(self, env: Env, st: State, n: i64, reg: Reg, size: i64, write: bool) -> Start:
        if reg.what.standing >= UNTRUSTED:
            raise invalid_access(n, reg)
        return self._check(n, reg, 0, size, "written" if write else "read")

    @staticmethod
    def _inside(n: i64, reg: Reg, off: i64, size: i64) -> Start:
        object_: Object = reg.what
        layout = object_.layout
        low = reg.off + off + reg.scalar.smin
        if reg.scalar.is_const and low < 0:
            raise Reject(
                f"R{n} is ptr_{layout.name} invalid negative access: off={low}",
                register=n,
                hint=hints.IN_FRONT,
            )
        if not reg.scalar.is_const:
            raise Reject(
                f"R{n} is ptr_{layout.name} invalid variable offset: off={reg.off + off}, "
                f"var_off={bits_text(reg.scalar)}",
                register=n,
                hint=hints.CONST_OFFSET,
            )
        if object_.per_cpu:
            raise Reject(
                f"R{n} is ptr_{layout.name} access percpu memory: off={reg.off + off}",
                register=n,
                hint="there is one for each CPU: get this one's with bpf_this_cpu_ptr",
            )
        _within_object(layout, n, low, size)
        crossed = layout.crossed(low, size)
        if crossed is not None:
            raise Reject(crossed, register=n, hint="access one member at a time")
        return low, low

    @classmethod
    def _check(cls, n: i64, reg: Reg, off: i64, size: i64, done: str) -> Start:
        layout = reg.what.layout
        if reg.what.standing == LAPSED:
            raise Reject(
                f"R{n} invalid mem access '{type_name(reg)}'",
                detail="its time ended with the section that it was seen in",
                register=n,
                hint=hints.IN_SECTION,
            )
        if reg.scalar.is_const and not reg.what.per_cpu:
            low = reg.off + off + reg.scalar.smin
            if low >= 0:
                _within_object(layout, n, low, size)
                _no_field(layout, n, low, low + size, done)
        return cls._inside(n, reg, off, size)


def _within_object(layout: Layout, n: i64, low: i64, size: i64) -> None:
    """btf_struct_walk. Raises Reject."""
    if low + size > layout.size:
        raise Reject(
            f"access beyond struct {layout.name} at off {low} size {size}",
            register=n,
            hint=f"the struct {layout.name} has {layout.size} bytes, no more",
        )


def _not_written(env: Env, type_: KernelType, at: i64, size: i64) -> tuple[str, str]:
    """Why programs do not write there, in Linux's words, and what to do; "" if they do."""
    for row in WRITABLE:
        if env.type.has(row.programs) and type_.name in row.structs:
            names = ", ".join(member.name for member in row.members if member.path)
            hint = f"programs write {names or 'the bytes'} of a struct {row.struct} alone"
            for member in row.members:
                place = type_.extent(member.path)
                if place is None or not (at in range(*place) if member.inside else at == place[0]):
                    continue
                end = place[1] - member.kept
                if at + size <= end:
                    return "", ""
                return row.beyond.format(at=at, size=size, struct=row.struct, end=end), hint
            return row.elsewhere.format(at=at, size=size, struct=row.struct), hint
    said = next((why for programs, why in OTHER_STRUCTS if env.type.has(programs)), ONLY_READ)
    return said, "programs write no such objects of the kernel"


class KernelMemory(Obligations):
    """`reg.what` is the KernelObject. Programs read its members, and write few
    (check_ptr_to_btf_access)."""

    for_helpers = True

    def load(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool
    ) -> Start:
        return self._read(env, n, reg, off, size, is_probed(reg))

    def store(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg
    ) -> Start:
        at = self._reached(env, n, reg, off)
        why, hint = _not_written(env, reg.what.type, at, size)
        if why or not is_trusted(reg):
            # Linux lets programs write what a pointer leads to that may lead nowhere.
            raise Reject(
                why or "only read is supported",
                register=n,
                hint=f"R{n} is {type_name(reg)}: {hint or 'it may be gone'}",
            )
        return at, at

    def helper(self, env: Env, st: State, n: i64, reg: Reg, size: i64, write: bool) -> Start:
        if reg.what.flags != TRUSTED:
            raise Reject(
                f"R{n} type={type_name(reg)} expected={MEM_TYPES}",
                register=n,
                hint=hints.PROBE_READ,
            )
        return self._read(env, n, reg, 0, size, False)

    @classmethod
    def _read(cls, env: Env, n: i64, reg: Reg, off: i64, size: i64, guarded: bool) -> Start:
        at = cls._reached(env, n, reg, off)
        _check_member(n, reg.what.type, at, size, guarded)
        return at, at

    @staticmethod
    def _reached(env: Env, n: i64, reg: Reg, off: i64) -> i64:
        """The place in the object."""
        object_: KernelObject = reg.what
        name = object_.type.name
        if not env.gpl:
            raise Reject(
                f"Cannot access kernel 'struct {name}' from non-GPL compatible program",
                register=n,
                hint=hints.LICENSE,
            )
        at = reg.off + off
        if at < 0:
            raise Reject(
                f"R{n} is ptr_{name} invalid negative access: off={at}",
                register=n,
                hint="what is before the object is not known",
            )
        if not reg.scalar.is_const or reg.scalar.v:
            raise Reject(
                f"R{n} is ptr_{name} invalid variable offset: off={at}, "
                f"var_off={bits_text(reg.scalar)}",
                register=n,
                hint=f"{hints.CONST_OFFSET}, or read it with bpf_probe_read_kernel()",
            )
        if object_.flags & IN_USER:
            raise Reject(
                f"R{n} is ptr_{name} access user memory: off={at}",
                register=n,
                hint="read it with bpf_probe_read_user()",
            )
        if object_.flags & PER_CPU:
            raise Reject(
                f"R{n} is ptr_{name} access percpu memory: off={at}",
                register=n,
                hint="there is one for each CPU: get this one's with bpf_this_cpu_ptr",
            )
        return at


_LOOK_UP = "look the element up: bpf_map_lookup_elem(&map, &key)"


class MapMemory(Obligations):
    """`reg.what` is the MapRef. Programs may read what the kernel keeps the map in
    (check_ptr_to_map_access)."""

    def load(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool
    ) -> Start:
        type_ = self._type(env, n, reg, off)
        _check_member(n, type_, off, size, False)
        return off, off

    def store(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg
    ) -> Start:
        type_ = self._type(env, n, reg, off)
        raise Reject(
            f"only read from {type_.name} is supported",
            register=n,
            hint=f"this is a map, not an element: {_LOOK_UP}",
        )

    @staticmethod
    def _type(env: Env, n: i64, reg: Reg, off: i64) -> KernelType:
        row = BY_NUMBER[reg.what.spec.type]
        if env.kernel is None:
            raise Reject(
                "map_ptr access not supported without CONFIG_DEBUG_INFO_BTF",
                register=n,
                hint=f"{_LOOK_UP}, or give the types of a kernel with --kernel-btf",
            )
        if not row.struct:
            raise Reject(
                f"map_ptr access not supported for map type {row.number}",
                register=n,
                hint=_LOOK_UP,
            )
        type_ = env.struct_of_map(row)
        if off < 0:
            raise Reject(
                f"R{n} is {type_.name} invalid negative access: off={off}",
                register=n,
                hint=hints.IN_FRONT,
            )
        return type_


class SocketMemory(Obligations):
    """`reg.what` is the SocketType (check_sock_access)."""

    atomic = False

    def load(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool
    ) -> Start:
        type_: SocketType = reg.what
        if not type_.readable(off, size):
            raise Reject(
                f"R{n} invalid {type_.name} access off={off} size={size}",
                register=n,
                hint=_FULL_SOCK
                if type_ is SOCK_COMMON and FULL_SOCK.readable(off, size)
                else f"{type_} has no such field",
            )
        return off, off

    def store(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg
    ) -> Start:
        raise Reject(
            f"R{n} cannot write into {type_name(reg)}",
            register=n,
            hint="programs change sockets by bpf_setsockopt, where that is offered",
        )


class FlowKeysMemory(Obligations):
    """What a flow dissector found (check_flow_keys_access)."""

    atomic = False

    def load(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool
    ) -> Start:
        return self._within(n, reg, off, size)

    def store(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg
    ) -> Start:
        return self._within(n, reg, off, size)

    @staticmethod
    def _within(n: i64, reg: Reg, off: i64, size: i64) -> Start:
        at = reg.off + off
        if at < 0 or at + size > FLOW_KEYS_SIZE:
            raise Reject(
                f"invalid access to flow keys off={at} size={size}",
                register=n,
                hint=f"struct bpf_flow_keys has {FLOW_KEYS_SIZE} bytes, no more",
            )
        return at, at


_FULL_SOCK = "it may be no full socket: get one with bpf_sk_fullsock()"


def _check_member(n: i64, type_: KernelType, at: i64, size: i64, guarded: bool) -> None:
    """There are bytes to be read (btf_struct_walk). Raises Reject."""
    place = type_.place(at, size)
    if isinstance(place, str):
        raise Reject(place, register=n, hint=_member_hint(place))
    if at + size > type_.size and not guarded:
        # Linux lets any element be read, and guards only loads through pointers that may lead
        # nowhere.
        raise Reject(
            f"nothing says how many elements the array at the end of struct {type_.name} has, and "
            "this load is not guarded",
            register=n,
            hint="read it with bpf_probe_read_kernel()",
        )


def _member_hint(wrong: str) -> str:
    if wrong.startswith("access beyond struct"):
        return "the kernel's struct ends before; read it as it is, or with bpf_probe_read_kernel()"
    return "access one member at a time, as a whole"


_DISTRUSTED = (
    "this pointer was only looked at, outside of bpf_rcu_read_lock: the object may be gone. "
    + hints.TAKE_KPTR
)


#: By kind of pointer; UNINIT never gets here.
class ArenaMemory(Obligations):
    """Whatever a pointer into an arena leads to is there: Linux takes the address' lower half, and
    reads 0 where there is no page."""

    def load(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool
    ) -> Start:
        return off, off

    def store(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg
    ) -> Start:
        return off, off


OBLIGATIONS: dict[int, Obligations] = {
    SCALAR: NoMemory("this is a number, not a pointer that the verifier knows"),
    STACK: StackMemory(),
    CTX: CtxMemory(),
    MAP: MapMemory(),
    MAP_VALUE: MapValueMemory(),
    OBJECT: ObjectMemory(),
    MAP_KEY: MapKeyMemory(),
    MEM: RegionMemory(),
    FUNC: NoMemory("a function can only be called"),
    PACKET: PacketMemory(),
    PACKET_META: PacketMemory(),
    KERNEL: KernelMemory(),
    SOCKET: SocketMemory(),
    FLOW_KEYS: FlowKeysMemory(),
    ARENA: ArenaMemory(),
    DYNPTR: NoMemory("read what it leads to with bpf_dynptr_read() or bpf_dynptr_data()"),
    PACKET_END: NoMemory("this is where the packet ends: it can only be compared with"),
}


def obligations_of(n: i64, reg: Reg) -> Obligations:
    """What must hold of a load or a store; a pointer that may be NULL allows none. Raises
    Reject."""
    if reg.or_null:
        raise Reject(
            f"R{n} invalid mem access '{type_name(reg)}'", register=n, hint=hints.CHECK_NULL
        )
    return OBLIGATIONS[reg.kind]
