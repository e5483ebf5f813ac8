"""What the verifier knows, in words for people: values, pointers, and where bytes lie in a type."""

from __future__ import annotations

from bpfheap.btf import Array, BtfTypes, Datasec, Struct, Union
from bpfheap.errors import BtfError
from bpfheap.verifier.domain.scalar import Scalar, is_unknown
from bpfheap.verifier.domain.word import S32_MAX, S32_MIN, U32_MAX, unsigned
from bpfheap.verifier.state.state import (
    ALL_DYNPTR,
    ALL_IRQ,
    ALL_ITER,
    ARENA,
    AT_END,
    BEYOND_END,
    CTX,
    DISTRUSTED,
    FUNC,
    IN_RCU,
    IN_USER,
    KERNEL,
    MAP,
    MAP_KEY,
    MAP_VALUE,
    MEM,
    OBJECT,
    PACKET,
    PACKET_END,
    PACKET_META,
    PER_CPU,
    SCALAR,
    SPILL,
    STACK,
    TRUSTED,
    UNINIT,
    ZERO,
    Gone,
    KernelObject,
    Reg,
    Slot,
    full_type_name,
)

#: By `standing`: what the program may do with an object.
_STANDING = ("an owned", "a borrowed", "a protected", "an untrusted", "a lapsed")
PACKET_NAMES = {
    PACKET: "the packet", PACKET_META: "the packet's metadata", PACKET_END: "the packet's end",
}  # fmt: skip
#: A type is not nested deeper than this.
_MAX_NESTED = 32
#: Whole numbers from here on are easier to read in hexadecimal.
_LARGE = 1 << 20


def number_words(value: int) -> str:
    """Decimal, if that can be read at a glance."""
    return str(value) if -_LARGE < value < _LARGE else hex(value)


def scalar_words(s: Scalar) -> str:
    """As "0 to 31", "5", "any number"."""
    if s.is_const:
        return number_words(s.smin)
    if is_unknown(s):
        return "any number"
    low, high = unsigned(s.umin), s.top
    if s.smin < 0 and (high == (1 << 64) - 1 or s.smin > -(1 << 63) or s.smax < (1 << 63) - 1):
        low, high = s.smin, s.smax
    if (low, high) in ((0, (1 << 64) - 1), (-(1 << 63), (1 << 63) - 1)):
        for half in ((s.u32_min, s.u32_max), (s.s32_min, s.s32_max)):
            if half not in ((0, U32_MAX), (S32_MIN, S32_MAX)):
                ends = " to ".join(number_words(end) for end in half)
                return f"any number whose low half is {ends}"
        words = "any number"
    else:
        words = f"{number_words(low)} to {number_words(high)}"
    step = _multiple(s)
    return f"{words}, a multiple of {step}" if step > 1 else words


def _multiple(s: Scalar) -> int:
    """The power of two that all values are multiples of."""
    bits = s.v | s.m
    step = bits & -bits
    return step if 1 < step < _LARGE else 1


def offset_words(reg: Reg) -> str:
    """Where in its target a pointer points, "" for the start."""
    if reg.scalar.is_const:
        at = reg.off + reg.scalar.smin
        return f" at byte {at}" if at else ""
    if is_unknown(reg.scalar):
        return " at any offset"
    return f" at byte {_moved(reg)}"


def _moved(reg: Reg) -> str:
    """All offsets of a pointer."""
    s = reg.scalar
    if not reg.off:
        return scalar_words(s)
    low, high = _ends(reg)
    return f"{number_words(low)} to {number_words(high)}"


def _ends(reg: Reg) -> tuple[int, int]:
    s = reg.scalar
    low, high = (s.smin, s.smax) if s.smin < 0 else (unsigned(s.umin), s.top)
    return reg.off + low, reg.off + high


def _signed(value: int) -> str:
    return number_words(value) if value < 0 else f"+{number_words(value)}"


def pointer_words(reg: Reg) -> str:
    """What a pointer points at."""
    if reg.kind == STACK:
        if reg.scalar.is_const:
            return f"the stack at fp{reg.off + reg.scalar.smin:+d}"
        low, high = _ends(reg)
        return f"the stack at fp{_signed(low)} to fp{_signed(high)}"
    if reg.kind == ARENA:
        return "the arena"
    if reg.kind == CTX:
        return f"the context{offset_words(reg)}"
    if reg.kind == MAP_VALUE:
        return f"{_value(reg)}{offset_words(reg)}"
    if reg.kind == MAP_KEY:
        return f"a key of {reg.what}{offset_words(reg)}"
    if reg.kind == MEM:
        if reg.what.anywhere or reg.what.buffer:
            return f"{reg.what}{offset_words(reg)}"
        what = f"{reg.what}" if reg.what.record else f"{reg.what.size} bytes of {reg.what}"
        return f"{'a ' if reg.what.record else ''}{what}{offset_words(reg)}"
    if reg.kind == OBJECT:
        each = "per-CPU " if reg.what.per_cpu else ""
        return f"{_STANDING[reg.what.standing]} {each}{reg.what.layout}{offset_words(reg)}"
    if reg.kind == KERNEL:
        return f"{_kernel_words(reg.what)}{offset_words(reg)}"
    if reg.kind in PACKET_NAMES:
        return f"{PACKET_NAMES[reg.kind]}{offset_words(reg)}{_range(reg)}"
    return f"{full_type_name(reg)}{offset_words(reg)}"


#: By flag of a pointer to an object of the kernel.
_KERNEL_WORDS = (
    (TRUSTED, "trusted"),
    (IN_RCU, "RCU-protected"),
    (DISTRUSTED, "untrusted"),
    (IN_USER, "user-space"),
    (PER_CPU, "per-CPU"),
)


def _kernel_words(what: KernelObject) -> str:
    words = [word for flag, word in _KERNEL_WORDS if what.flags & flag]
    return " ".join(("a", *words, f"struct {what.type.name}", "of the kernel"))


def _range(reg: Reg) -> str:
    """How much of the packet is known to be there."""
    if reg.kind == PACKET_END:
        return ""
    if reg.what in (BEYOND_END, AT_END):
        return ", which is at or beyond its end"
    if reg.scalar.is_const:
        known, begin = reg.what, "its first "
    else:
        known, begin = reg.what - reg.off, "the next "
    if known <= 0:
        return ", and no byte there is known to exist"
    return f", and {begin}{known} bytes are known to exist"


def _value(reg: Reg) -> str:
    """A value of a map; a data section is one value."""
    return f"{'' if reg.what.spec.data is not None else 'a value of '}{reg.what}"


def extent(reg: Reg) -> tuple[str, int] | None:
    """The name and the size in bytes of the memory that a pointer points into, None for the stack
    and for what has no size."""
    if reg.kind == MAP_VALUE:
        return _value(reg), reg.what.spec.value_size
    if reg.kind == MAP_KEY:
        return f"a key of {reg.what}", reg.what.spec.key_size
    if reg.kind == MEM and not reg.what.anywhere and not reg.what.buffer:
        return f"the {reg.what}", reg.what.size
    if reg.kind == OBJECT:
        return f"a {reg.what.layout}", reg.what.layout.size
    return None


def register_words(reg: Reg) -> str:
    """What a register holds, as "pointer to a value of hash, or NULL"."""
    if reg.kind == UNINIT:
        if reg.what is None:
            return "nothing"
        return _invalidated(reg.what)
    if isinstance(reg.what, Gone):
        return _invalidated(reg.what)
    if reg.kind == SCALAR:
        return scalar_words(reg.scalar)
    if reg.kind == MAP:
        return f"map {reg.what}{', or NULL' if reg.or_null else ''}"
    if reg.kind == FUNC:
        return "the address of a function"
    return f"pointer to {pointer_words(reg)}{', or NULL' if reg.or_null else ''}"


def _invalidated(gone: Gone) -> str:
    return f"nothing: its {gone.type_name} {gone.why.value} {gone.call.removesuffix('_impl')}"


def slot_words(slot: Slot) -> str:
    """What eight bytes of stack hold."""
    if slot.kinds == ALL_ITER:
        return "an iterator"
    if slot.kinds == ALL_DYNPTR:
        assert slot.reg is not None
        return f"a {slot.reg.what}"
    if slot.kinds == ALL_IRQ:
        return "a flag for interrupts"
    if slot.reg is not None:
        size = slot.kinds.count(SPILL)
        return register_words(slot.reg) + (f" ({size} bytes)" if size < 8 else "")
    if slot.kinds.count(ZERO) == 8:
        return "0"
    return f"0 in {slot.kinds.count(ZERO)} of 8 bytes"


def member_at(btf: BtfTypes, type_id: int, offset: int) -> str | None:
    """The member that the byte at `offset` belongs to, as "list.head[2].next"; the variable, in a
    data section. None if there is none, or the type has none."""
    path = ""
    try:
        at = btf.resolve(type_id)
        for _ in range(_MAX_NESTED):
            kind = btf[at]
            if isinstance(kind, Datasec):
                for var in kind.vars:
                    if var.offset <= offset < var.offset + max(var.size, 1):
                        inner, first = getattr(btf[var.type], "type", 0), var.offset
                        name = getattr(btf[var.type], "name", "")
                        break
                else:
                    return None
            elif isinstance(kind, Struct | Union):
                for member in kind.members:
                    first = member.bit_offset // 8
                    inner = btf.resolve(member.type)
                    if first <= offset < first + max(btf.size_of(inner), 1):
                        name = member.name
                        break
                else:
                    break
            elif isinstance(kind, Array):
                inner = btf.resolve(kind.type)
                size = btf.size_of(inner)
                if not size:
                    break
                first = offset // size * size
                path += f"[{offset // size}]"
                at, offset = inner, offset - first
                continue
            else:
                break
            path += f"{'.' if path and name else ''}{name}"
            at, offset = btf.resolve(inner), offset - first
    except BtfError:
        return path or None
    return path or None
