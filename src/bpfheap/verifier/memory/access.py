"""Memory by kind of pointer: one class each, with all obligations of its accesses.

Sources: check_mem_access, check_mem_region_access, check_map_access, check_map_kptr_access,
check_ctx_access, check_ptr_to_btf_access and check_helper_mem_access in kernel/bpf/verifier.c.
"""

from __future__ import annotations

from bpfheap.btf import KptrField, KptrKind
from bpfheap.platform.maps import MapFlag
from bpfheap.platform.programs import CtxField, CtxKind, ProgramType
from bpfheap.verifier import hints
from bpfheap.verifier.domain.arith import load_bounds
from bpfheap.verifier.domain.scalar import UNKNOWN_SCALAR
from bpfheap.verifier.flows import Field
from bpfheap.verifier.memory import stack
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.layouts import Layout
from bpfheap.verifier.state.state import (
    CTX,
    FUNC,
    KIND_NAMES,
    LAPSED,
    MAP,
    MAP_KEY,
    MAP_VALUE,
    MEM,
    OBJECT,
    PACKET,
    PACKET_END,
    PACKET_META,
    READ,
    SCALAR,
    STACK,
    UNINIT,
    UNTRUSTED,
    ZERO_OFFSET,
    Gone,
    MapRef,
    Object,
    Reg,
    Region,
    State,
    is_null,
    number,
)

_POINTER = 8


class Memory:
    """What a pointer of one kind may do. `n` is its register's number, `off` the instruction's
    offset; all methods raise Reject. By default nothing is allowed."""

    #: May a helper read or write through it?
    for_calls = False
    #: May an atomic operation go there?
    atomic = True

    def load(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, sx: bool) -> Reg:
        """The register that a load gives."""
        raise _invalid(n, reg)

    def store(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, value: Reg) -> None:
        """A store of `value`, whose register has been read already."""
        raise _invalid(n, reg)

    def pass_on(self, env: Env, st: State, n: int, reg: Reg, size: int, write: bool) -> None:
        """A helper reads, or with `write` writes, `size` bytes."""
        raise _invalid(n, reg)


def _invalid(n: int, reg: Reg) -> Reject:
    return Reject(f"R{n} invalid mem access '{type_name(reg)}'", register=n)


class Nowhere(Memory):
    """A scalar, or what must not be looked into."""

    def __init__(self, hint: str) -> None:
        self._hint = hint

    def _reject(self, env: Env, n: int, reg: Reg) -> Reject:
        error = _invalid(n, reg)
        if reg.kind == SCALAR and reg.what is not None:
            why, error.hint = no_pointer(env, reg)
            error.message += why
        else:
            error.hint = self._hint
        return error

    def load(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, sx: bool) -> Reg:
        raise self._reject(env, n, reg)

    def store(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, value: Reg) -> None:
        raise self._reject(env, n, reg)


class StackMemory(Memory):
    """`reg.what` is the number of the frame."""

    for_calls = True

    def load(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, sx: bool) -> Reg:
        stack.check_aligned(n, reg, off, size)
        low, high = stack.bounds(n, reg, off, size, "read from")
        frame = st.frames[reg.what]
        deepen(env, frame.subprog, low)
        if low == high:
            st.trail.accessed(reg.what, low >> 3)
        else:
            mark_register(env.program, st, n)
        stack.check_readable(frame, n, low, high + size)
        return stack.read(frame, low, high, size, sx)

    def store(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, value: Reg) -> None:
        stack.check_aligned(n, reg, off, size)
        low, high = stack.bounds(n, reg, off, size, "write to")
        frame = st.frames[reg.what]
        deepen(env, frame.subprog, low)
        if low == high:
            st.trail.accessed(reg.what, low >> 3)
        else:
            mark_register(env.program, st, n)
        stack.write(st, frame, low, high, size, value)

    def pass_on(self, env: Env, st: State, n: int, reg: Reg, size: int, write: bool) -> None:
        low, high = stack.bounds(n, reg, 0, size, "write to" if write else "read from")
        frame = st.frames[reg.what]
        deepen(env, frame.subprog, low)
        if write:
            stack.clobber(frame, low, high + size)
        else:
            stack.check_readable(frame, n, low, high + size)


def deepen(env: Env, subprog: int, low: int) -> None:
    """The function uses its stack down to offset `low`."""
    if -low > env.depth[subprog]:
        env.depth[subprog] = -low


class CtxMemory(Memory):
    """What a context holds is the program type's to say."""

    atomic = False

    def load(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, sx: bool) -> Reg:
        field = _ctx_field(env.type, n, reg, off, size, write=False)
        if field is not None and field.kind is not CtxKind.SCALAR:
            if sx:
                raise Reject(
                    f"invalid bpf_context access off={off} size={size}",
                    register=n,
                    hint=f"{field.name} is a pointer: read it as an unsigned number",
                )
            kind = _PACKET_POINTERS[field.kind]
            return Reg(kind, ZERO_OFFSET, what=None if kind == PACKET_END else 0)
        return number(load_bounds(size * 8, sx))

    def store(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, value: Reg) -> None:
        _ctx_field(env.type, n, reg, off, size, write=True)


_PACKET_POINTERS = {
    CtxKind.PACKET: PACKET,
    CtxKind.PACKET_END: PACKET_END,
    CtxKind.PACKET_META: PACKET_META,
}


def _ctx_field(
    row: ProgramType, n: int, reg: Reg, off: int, size: int, *, write: bool
) -> CtxField | None:
    """The field that is accessed, None where any bytes may be."""
    if reg.off or not reg.scalar.is_const or reg.scalar.v:
        raise Reject(
            f"dereference of modified ctx ptr R{n} off={reg.off} disallowed",
            register=n,
            hint="access the context's fields directly: ctx->field",
        )
    wrong = Reject(
        f"invalid bpf_context access off={off} size={size}",
        register=n,
        hint=f"struct {row.ctx_struct} of {row.name} programs has no such "
        f"{'writable ' if write else ''}field",
    )
    if row.raw_ctx:
        outside = off < row.ctx_first or off + size > row.ctx_size or off & (size - 1)
        if outside or (write and not row.ctx_writable):
            raise wrong
        return None
    joined = max((f.offset + f.size for f in row.fields if f.joined), default=0)
    for field in row.fields:
        end = joined if field.joined else field.offset + field.size
        if field.offset <= off < field.offset + field.size and off + size <= end:
            narrow = size < field.size
            if field.kind is CtxKind.KERNEL:
                wrong.hint = f"{field.name} is an object of the kernel: these are not supported"
                raise wrong
            if field.joined and off & (size - 1) == 0 and (field.writable or not write):
                return field
            if off & (size - 1) or (narrow and not field.narrow):
                raise wrong
            if write and (narrow or not field.writable):
                raise wrong
            return field
    raise wrong


class MapValueMemory(Memory):
    """`reg.what` is the MapRef."""

    for_calls = True

    def load(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, sx: bool) -> Reg:
        ref: MapRef = reg.what
        low, high = _inside(ref.spec.value_size, "map value", "value_size", n, reg, off, size)
        _may_access(ref, n, low, size, MapFlag.WRONLY_PROG, "read from")
        field = ref.layout.kptr_in(low, high + size)
        if field is not None:
            _whole_kptr(field, n, reg, low, size)
            if sx:
                raise _xchg_only(field, n, "read")
            return _seen(env, st, ref, field)
        _no_special(ref.layout, n, low, high + size)
        if size == _POINTER and low == high:
            pointer = ref.layout.plain.get(low)
            if pointer is not None:
                return Reg(SCALAR, UNKNOWN_SCALAR, what=(pointer, ref.layout))
        return number(load_bounds(size * 8, sx))

    def store(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, value: Reg) -> None:
        ref: MapRef = reg.what
        low, high = _inside(ref.spec.value_size, "map value", "value_size", n, reg, off, size)
        _may_access(ref, n, low, size, MapFlag.RDONLY_PROG, "write into")
        field = ref.layout.kptr_in(low, high + size)
        if field is not None:
            _whole_kptr(field, n, reg, low, size)
            if field.kind is not KptrKind.UNTRUSTED:
                raise _xchg_only(field, n, "written")
            if not is_null(value):
                raise Reject(
                    f"R{n}: store to {field.path} of anything but NULL",
                    register=n,
                    hint=f"{field.path} is tagged __kptr_untrusted: it can only be set to NULL",
                )
        _no_special(ref.layout, n, low, high + size)

    def pass_on(self, env: Env, st: State, n: int, reg: Reg, size: int, write: bool) -> None:
        ref: MapRef = reg.what
        low, high = _inside(ref.spec.value_size, "map value", "value_size", n, reg, 0, size)
        if write:
            _may_access(ref, n, low, size, MapFlag.RDONLY_PROG, "write into")
        else:
            _may_access(ref, n, low, size, MapFlag.WRONLY_PROG, "read from")
        field = ref.layout.kptr_in(low, high + size)
        if field is not None:
            raise Reject(
                f"R{n}: kptr {field.path} cannot be accessed indirectly by helper",
                register=n,
                hint="pass a copy without the pointer, from the stack",
            )
        _no_special(ref.layout, n, low, high + size)


def _inside(
    limit: int, what: str, limit_name: str, n: int, reg: Reg, off: int, size: int
) -> tuple[int, int]:
    """The first and the last offset at which an access of `size` bytes may start."""
    scalar = reg.scalar
    low = reg.off + off + scalar.smin
    where = f"invalid access to {what}, {limit_name}={limit} off={{}} size={size}"
    if scalar.is_const:
        if low < 0 or low + size > limit:
            raise Reject(
                where.format(low), register=n, hint=f"the {what} has {limit} bytes, no more"
            )
        return low, low
    if low < 0:
        raise Reject(
            f"R{n} min value is negative, {where.format(low)}",
            register=n,
            hint=hints.UNSIGNED,
        )
    if scalar.top >= stack.MAX_VAR:
        raise Reject(
            f"R{n} unbounded memory access to {what}, {limit_name}={limit}",
            register=n,
            hint=hints.CHECK_INDEX,
        )
    high = reg.off + off + scalar.top
    if high + size > limit:
        raise Reject(
            f"R{n} max value is outside of the allowed memory range: {where.format(high)}",
            register=n,
            hint=hints.CHECK_INDEX,
        )
    return low, high


def _may_access(ref: MapRef, n: int, low: int, size: int, forbidden: MapFlag, what: str) -> None:
    write = forbidden is MapFlag.RDONLY_PROG
    if ref.spec.flags & forbidden or (write and ref.spec.readonly):
        raise Reject(
            f"{what} map forbidden, value_size={ref.spec.value_size} off={low} size={size}",
            register=n,
            hint=f"{ref} is {'read' if write else 'write'}-only for programs",
        )


def _no_field(layout: Layout, n: int, start: int, end: int, done: str) -> None:
    field = layout.kptr_in(start, end)
    if field is not None:
        raise _xchg_only(field, n, done)
    _no_special(layout, n, start, end)


def _xchg_only(field: KptrField, n: int, done: str) -> Reject:
    return Reject(
        f"R{n}: kptr {field.path} is {done} by a plain instruction",
        register=n,
        hint=f"{hints.XCHG_ONLY}; {hints.TAKE_KPTR}" if done == "read" else hints.XCHG_ONLY,
    )


def _whole_kptr(field: KptrField, n: int, reg: Reg, low: int, size: int) -> None:
    """check_mem_access of a map value: a kptr is accessed as a whole, or not at all."""
    if not reg.scalar.is_const:
        raise Reject(
            f"R{n}: kptr access cannot have variable offset: {field.path} may be hit",
            register=n,
            hint=hints.CONST_OFFSET,
        )
    if low != field.offset or size != _POINTER:
        raise Reject(
            f"R{n}: kptr access misaligned expected={field.offset} off={low} size={size}",
            register=n,
            hint=f"{field.path} is a pointer: access all of its 8 bytes",
        )


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


def _no_special(layout: Layout, n: int, start: int, end: int) -> None:
    special = layout.special_in(start, end)
    if special is not None:
        raise Reject(
            f"R{n}: {special.kind} {special.path} cannot be accessed directly by load/store",
            register=n,
            hint=f"only the functions for a {special.kind} may touch it",
        )


class MapKeyMemory(Memory):
    """`reg.what` is the MapRef; the key belongs to the map, so it is read-only."""

    for_calls = True

    def load(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, sx: bool) -> Reg:
        _inside(reg.what.spec.key_size, "map key", "key_size", n, reg, off, size)
        return number(load_bounds(size * 8, sx))

    def store(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, value: Reg) -> None:
        raise Reject(
            f"write to change key R{n} not allowed", register=n, hint="copy the key to the stack"
        )

    def pass_on(self, env: Env, st: State, n: int, reg: Reg, size: int, write: bool) -> None:
        if write:
            raise Reject(
                f"write to change key R{n} not allowed",
                register=n,
                hint="copy the key to the stack",
            )
        _inside(reg.what.spec.key_size, "map key", "key_size", n, reg, 0, size)


class RegionMemory(Memory):
    """`reg.what` is the Region (PTR_TO_MEM)."""

    for_calls = True

    def load(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, sx: bool) -> Reg:
        _inside(reg.what.size, "memory", "mem_size", n, reg, off, size)
        return number(load_bounds(size * 8, sx))

    def store(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, value: Reg) -> None:
        self._writable(n, reg)
        _inside(reg.what.size, "memory", "mem_size", n, reg, off, size)

    def pass_on(self, env: Env, st: State, n: int, reg: Reg, size: int, write: bool) -> None:
        if write:
            self._writable(n, reg)
        _inside(reg.what.size, "memory", "mem_size", n, reg, 0, size)

    @staticmethod
    def _writable(n: int, reg: Reg) -> None:
        if reg.what.readonly:
            raise Reject(
                f"R{n} cannot write into {type_name(reg)}",
                register=n,
                hint="copy what it points at into a variable",
            )


class PacketMemory(Memory):
    """`reg.what` is how many bytes of the packet are known to be there (check_packet_access)."""

    for_calls = True
    atomic = False

    def load(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, sx: bool) -> Reg:
        self._check(n, reg, off, size)
        return number(load_bounds(size * 8, sx))

    def store(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, value: Reg) -> None:
        if not env.type.writes_packet:
            raise Reject(
                "cannot write into packet",
                register=n,
                hint=f"{env.type.name} programs can only read it",
            )
        self._check(n, reg, off, size)

    def pass_on(self, env: Env, st: State, n: int, reg: Reg, size: int, write: bool) -> None:
        self._check(n, reg, 0, size)

    @staticmethod
    def _check(n: int, reg: Reg, off: int, size: int) -> None:
        if reg.scalar.smin < 0:
            raise Reject(
                f"R{n} min value is negative, either use unsigned index or do a if (index >=0) "
                "check.",
                register=n,
                hint=hints.UNSIGNED,
            )
        at, known = reg.off + off, max(reg.what, 0)
        if at < 0 or at + size > known:
            raise Reject(
                f"invalid access to packet, off={at} size={size}, R{n}(id={reg.id},off={at},"
                f"r={known}): R{n} offset is outside of the packet",
                register=n,
                hint="compare the pointer with data_end first: if (p + size > data_end) return 0;",
            )


class ObjectMemory(Memory):
    """`reg.what` is the Object. Its pointers are numbers to the program, its kptrs untouchable
    (check_ptr_to_btf_access)."""

    def load(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, sx: bool) -> Reg:
        object_: Object = reg.what
        layout = object_.layout
        if object_.standing == UNTRUSTED:
            low = self._inside(n, reg, off, size)
            pointer = layout.pointer_at(low) if size == _POINTER and not sx else None
            if pointer is not None:
                # What is behind an untrusted pointer is not to be trusted either.
                target = env.layouts.of(layout.btf, pointer.target)
                return Reg(OBJECT, ZERO_OFFSET, 0, 0, 0, Object(target, object_.origin, UNTRUSTED))
            return number(load_bounds(size * 8, sx))
        low = self._check(n, reg, off, size, "read")
        plain = layout.plain.get(low) if size == _POINTER else None
        if plain is not None:
            return Reg(SCALAR, UNKNOWN_SCALAR, what=(plain, layout))
        return number(load_bounds(size * 8, sx))

    def store(self, env: Env, st: State, n: int, reg: Reg, off: int, size: int, value: Reg) -> None:
        if reg.what.standing >= UNTRUSTED:
            raise Reject(
                f"only read is supported: R{n} is {type_name(reg)}",
                register=n,
                hint=_DISTRUSTED,
            )
        self._check(n, reg, off, size, "written")

    def pass_on(self, env: Env, st: State, n: int, reg: Reg, size: int, write: bool) -> None:
        if reg.what.standing >= UNTRUSTED:
            raise _invalid(n, reg)
        self._check(n, reg, 0, size, "written" if write else "read")

    @staticmethod
    def _inside(n: int, reg: Reg, off: int, size: int) -> int:
        object_: Object = reg.what
        layout = object_.layout
        if not reg.scalar.is_const:
            raise Reject(
                f"R{n} is ptr_{layout.name} invalid variable offset: off={reg.off}",
                register=n,
                hint=hints.CONST_OFFSET,
            )
        if object_.per_cpu:
            raise Reject(
                f"R{n} is ptr_{layout.name} access percpu memory: off={reg.off + off}",
                register=n,
                hint="there is one for each CPU: get this one's with bpf_this_cpu_ptr",
            )
        low, _ = _inside(layout.size, f"struct {layout.name}", "size", n, reg, off, size)
        crossed = layout.crossed(low, size)
        if crossed is not None:
            raise Reject(crossed, register=n, hint="access one member at a time")
        return low

    @classmethod
    def _check(cls, n: int, reg: Reg, off: int, size: int, done: str) -> int:
        layout = reg.what.layout
        if reg.what.standing == LAPSED:
            raise Reject(
                f"R{n} is {type_name(reg)}: its time ended with bpf_rcu_read_unlock",
                register=n,
                hint="use it before bpf_rcu_read_unlock()",
            )
        if reg.scalar.is_const and not reg.what.per_cpu:
            low, _ = _inside(layout.size, f"struct {layout.name}", "size", n, reg, off, size)
            _no_field(layout, n, low, low + size, done)
        return cls._inside(n, reg, off, size)


_DISTRUSTED = (
    "this pointer was only looked at, outside of bpf_rcu_read_lock: the object may be gone. "
    + hints.TAKE_KPTR
)


#: What may be done through each kind of pointer; UNINIT never gets here.
MEMORY: dict[int, Memory] = {
    SCALAR: Nowhere("this is a number, not a pointer that the verifier knows"),
    STACK: StackMemory(),
    CTX: CtxMemory(),
    MAP: Nowhere("look the element up: bpf_map_lookup_elem(&map, &key)"),
    MAP_VALUE: MapValueMemory(),
    OBJECT: ObjectMemory(),
    MAP_KEY: MapKeyMemory(),
    MEM: RegionMemory(),
    FUNC: Nowhere("a function can only be called"),
    PACKET: PacketMemory(),
    PACKET_META: PacketMemory(),
    PACKET_END: Nowhere("this is where the packet ends: it can only be compared with"),
}


def readable(env: Env, st: State, n: int) -> Reg:
    """The register, which must hold something (check_reg_arg with SRC_OP)."""
    reg = st.regs[n]
    if reg.kind == UNINIT:
        if reg.what is None:
            raise Reject(f"R{n} !read_ok: nothing was written to it", register=n, hint=hints.INIT)
        why, hint = no_pointer(env, reg)
        raise Reject(f"R{n} !read_ok{why}", register=n, hint=hint)
    return reg


def no_pointer(env: Env, reg: Reg) -> tuple[str, str]:
    """Why what looks like a pointer is none: words to follow ": ", and what to change."""
    what = reg.what
    if not isinstance(what, Gone):
        return "", hints.untagged(*what)
    why = f": its {what.type_name} {what.lapse.value} {what.call} ({env.place(what.insn)})"
    return why, hints.LAPSED[what.lapse]


def memory_of(n: int, reg: Reg) -> Memory:
    """What may be done through the pointer; one that may be NULL allows nothing."""
    if reg.or_null:
        raise Reject(
            f"R{n} invalid mem access '{type_name(reg)}'", register=n, hint=hints.CHECK_NULL
        )
    return MEMORY[reg.kind]


_STANDING = ("", "non_own_", "rcu_", "untrusted_", "untrusted_")


def type_name(reg: Reg) -> str:
    """The log's word for a register's type (reg_type_str)."""
    if reg.kind == OBJECT:
        object_: Object = reg.what
        return (
            f"{'percpu_' if object_.per_cpu else ''}{_STANDING[object_.standing]}ptr_"
            f"{'or_null_' if reg.or_null else ''}{object_.layout.name}"
        )
    if reg.kind == MEM:
        region: Region = reg.what
        name = "ringbuf_mem" if region.record else "rdonly_mem" if region.readonly else "mem"
        return f"{name}{'_or_null' if reg.or_null else ''}"
    return f"{KIND_NAMES[reg.kind]}{'_or_null' if reg.or_null else ''}"
