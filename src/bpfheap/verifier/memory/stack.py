"""The stack: spills, fills, and what is left of them after narrower accesses.

Sources: check_stack_write_fixed_off, check_stack_write_var_off and check_stack_read_fixed_off in
kernel/bpf/verifier.c of Linux 6.18. What must hold of these accesses is in obligations.py.
Bytes never written may be read, as by any privileged program; they are unknown.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from bpfheap.verifier.domain.arith import cast, load_bounds
from bpfheap.verifier.domain.scalar import UNKNOWN_SCALAR, Scalar
from bpfheap.verifier.domain.word import shl, ult
from bpfheap.verifier.state.state import (
    ALL_MISC,
    ALL_SPILL,
    ITER,
    MISC,
    NULL,
    SCALAR,
    SLOT,
    SPILL,
    ZERO,
    FuncState,
    Reg,
    Slot,
    is_null,
    linked,
    number,
)

#: Of maps whose elements a constant key finds.
_KEY = 4
#: What an atomic operation leaves in memory: the value of no register.
ANY_BYTES: Final = Reg(SCALAR, UNKNOWN_SCALAR)
#: What a number that was spilled in its lowest bytes, so many, makes of a slot that held nothing.
_SPILLS = tuple(ALL_SPILL[:size] + ALL_MISC[size:] for size in range(9))
#: Kinds of bytes, as they are where nothing but zeros is known any more.
_ZEROS = bytes(ZERO if kind == ZERO else MISC for kind in range(256))


def write(frame: FuncState, low: int, high: int, size: int, value: Reg) -> None:
    """Store `size` bytes of `value` at an offset from `low` to `high`."""
    if low != high:
        _write_somewhere(frame, low, high + size, value)
        return
    at, byte = low >> 3, low & 7
    if size == SLOT:
        if value.kind == SCALAR and value.scalar is UNKNOWN_SCALAR and not value.id:
            frame.stack.pop(at, None)
        else:
            frame.stack[at] = Slot(value, ALL_SPILL)
        return
    old = frame.stack.get(at)
    if byte == 0:
        kinds = _SPILLS[size]
        if old is not None:
            # Zeros beside what is spilled stay (mark_stack_slot_misc).
            spills = value is not ANY_BYTES
            rest = old.kinds.translate(_ZEROS) if spills else _scrubbed(old)
            kinds = kinds[:size] + rest[size:]
        # Of a number that is longer all is kept, for it is compared (save_register_state).
        spilled = linked(value.scalar, value) if fits(value.scalar, size) else number(value.scalar)
        frame.stack[at] = Slot(spilled, kinds)
        return
    kinds = ALL_MISC if old is None else _scrubbed(old)
    # A zero byte of another number is not looked at: nobody would know that it matters.
    written = bytes([ZERO if is_null(value) else MISC]) * size
    _set(frame, at, Slot(None, kinds[:byte] + written + kinds[byte + size :]))


def as_zeros(to: Reg, off: i64, size: i64) -> bool:
    """Would `write` know a 0 as zero bytes, which name no scalar that may turn out to matter?"""
    return to.scalar.m != 0 or (size < SLOT and (to.off + to.scalar.smin + off) & 7 != 0)


def fits(scalar: Scalar, size: i64) -> bool:
    """Are so many bytes all that there is of it?"""
    return ult(scalar.umax, shl(1, size * 8))


def _part(reg: Reg, size: i64) -> Reg:
    """The low bytes of a number, which is what it was if they were all."""
    if fits(reg.scalar, size):
        return linked(reg.scalar, reg)
    return number(cast(reg.scalar, size * 8, False))


def _scrubbed(slot: Slot) -> bytes:
    """The slot's bytes once what was spilled there is no longer whole: Linux forgets zeros beside
    it, too (scrub_special_slot)."""
    # An iterator of several slots has its state in the first one.
    return slot.kinds if slot.reg is None and slot.kinds[0] < ITER else ALL_MISC


def _set(frame: FuncState, at: int, slot: Slot) -> None:
    if slot.reg is None and slot.kinds == ALL_MISC:
        frame.stack.pop(at, None)
    else:
        frame.stack[at] = slot


def _write_somewhere(frame: FuncState, start: int, end: int, value: Reg) -> None:
    zero = is_null(value)
    for at in range(start >> 3, ((end - 1) >> 3) + 1):
        old = frame.stack.get(at)
        if old is None:
            continue
        low, high = max(start - at * 8, 0), min(end - at * 8, 8)
        spilled = old.reg is not None and old.kinds[low:high] == ALL_SPILL[low:high]
        if zero and spilled and old.reg is not None and is_null(old.reg):
            # It stays one, unless other bytes of the slot may be hit, too.
            continue
        kinds = bytearray(_scrubbed(old))
        if not zero:
            kinds[low:high] = bytes(high - low)
        _set(frame, at, Slot(None, bytes(kinds)))


def clobber(frame: FuncState, start: int, end: int) -> None:
    """Somebody else writes there: nothing is known of the bytes any more."""
    for at in range(start >> 3, ((end - 1) >> 3) + 1):
        old = frame.stack.get(at)
        if old is None:
            continue
        kinds = bytearray(_scrubbed(old))
        low, high = max(start - at * 8, 0), min(end - at * 8, 8)
        kinds[low:high] = bytes(high - low)
        _set(frame, at, Slot(None, bytes(kinds)))


def read(frame: FuncState, low: int, high: int, size: int, sx: bool) -> Reg:
    """What a load of `size` bytes from an offset from `low` to `high` gives."""
    if low != high:
        if all(_zero(frame, at) for at in range(low, high + size)):
            return NULL
        return number(load_bounds(size * 8, sx))
    slot = frame.stack.get(low >> 3)
    if slot is None:
        return number(load_bounds(size * 8, sx))
    reg = slot.reg
    if reg is not None:
        if size == SLOT and slot.kinds == ALL_SPILL:
            return reg
        if low & 7 == 0 and slot.kinds[size - 1] == SPILL:
            if not sx:
                return _part(reg, size)
            return number(cast(reg.scalar, size * 8, sx))
    if _zeros(frame, low, size):
        return NULL
    return number(load_bounds(size * 8, sx))


def fills(frame: FuncState, at: int, size: int) -> bool:
    """Does a load from a fixed offset give what was spilled there, or a part of it? If not, what it
    gives is the same whatever was spilled."""
    slot = frame.stack.get(at >> 3)
    if slot is None or slot.reg is None:
        return False
    return (at & 7 == 0 and slot.kinds[size - 1] == SPILL) or _zeros(frame, at, size)


def _zero(frame: FuncState, at: int) -> bool:
    slot = frame.stack.get(at >> 3)
    return slot is not None and slot.kinds[at & 7] == ZERO


def constant_key(frame: FuncState, low: int) -> int | None:
    """The map key of 4 bytes at offset `low`, None if it is not known (get_constant_map_key, which
    looks at zeros and at what was spilled, if as many bytes of it were: at the whole number)."""
    slot, byte = frame.stack.get(low >> 3), low & 7
    if slot is None:
        return None
    kinds = slot.kinds[byte : byte + _KEY]
    if kinds == bytes([ZERO]) * _KEY:
        return 0
    reg = slot.reg
    if reg is None or reg.kind != SCALAR or not reg.scalar.is_const:
        return None
    if kinds != bytes([SPILL]) * _KEY or slot.kinds[byte + _KEY : byte + _KEY + 1] == bytes(
        [SPILL]
    ):
        return None
    return reg.scalar.const_value


def _zeros(frame: FuncState, low: int, size: int) -> bool:
    """Are the bytes from offset `low` on all known as zeros, or all of a 0 that was spilled? No
    part of another constant is looked at (check_stack_read_fixed_off)."""
    if all(_zero(frame, at) for at in range(low, low + size)):
        return True
    for at in range(low, low + size):
        slot = frame.stack.get(at >> 3)
        if slot is None or slot.kinds[at & 7] != SPILL:
            return False
        if slot.reg is None or not is_null(slot.reg):
            return False
    return True
