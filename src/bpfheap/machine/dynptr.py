"""How a dynptr lies on the stack of a program (struct bpf_dynptr_kern), for both machines."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from bpfheap.machine.faults import Fault
from bpfheap.platform.dynptrs import DynptrKind
from bpfheap.runtime.world import Word

#: DYNPTR_MAX_SIZE.
LONGEST = (1 << 24) - 1
#: DYNPTR_RDONLY_BIT, DYNPTR_TYPE_SHIFT: in the same 32 bits as the size.
_READONLY, _KIND = 1 << 31, 28
_KINDS = {
    DynptrKind.LOCAL: 1,
    DynptrKind.RINGBUF: 2,
    DynptrKind.SKB: 3,
    DynptrKind.XDP: 4,
    DynptrKind.SKB_META: 5,
}
_BY_NUMBER = {number: kind for kind, number in _KINDS.items()}
_U32 = (1 << 32) - 1
_POINTER = 8


class Places(Protocol):
    """What reads and writes memory of a program: raises Fault where that may not."""

    name: str

    def number(self, value: Word) -> int: ...

    def load(self, at: Word) -> Word:
        """Eight bytes; a pointer as a pointer."""

    def store(self, at: Word, value: Word) -> None: ...

    def moved(self, at: Word, by: int) -> Word: ...


class Dynptr(NamedTuple):
    """A dynptr.

    `kind`: what it leads to. `data`: the memory that begins there, or the context of a packet.
    `size`, `offset`: the part of it, in bytes. `readonly`: may that only be read?
    """

    kind: DynptrKind
    data: Word
    size: int
    offset: int = 0
    readonly: bool = False

    def holds(self, offset: int, size: int) -> bool:
        """Does it have so many bytes there (bpf_dynptr_check_off_len)?"""
        return offset <= self.size and size <= self.size - offset


def load(call: Places, at: Word) -> Dynptr | None:
    """The one at that place; None for one that leads nowhere. Raises Fault for what is none."""
    data, rest = call.load(at), call.number(call.load(call.moved(at, _POINTER)))
    if not call.number(data):
        return None
    size, offset = rest & _U32, rest >> 32
    # Three bits say which kind.
    kind = _BY_NUMBER.get((size >> _KIND) & 7)
    if kind is None or size & ~(LONGEST | 7 << _KIND | _READONLY):
        raise Fault("bad-call", f"{call.name} of memory that is no dynptr")
    return Dynptr(kind, data, size & LONGEST, offset, bool(size & _READONLY))


def store(call: Places, at: Word, dynptr: Dynptr | None) -> None:
    """Set one up, or one that leads nowhere (bpf_dynptr_set_null)."""
    if dynptr is None:
        call.store(at, 0)
        call.store(call.moved(at, _POINTER), 0)
        return
    size = dynptr.size | _KINDS[dynptr.kind] << _KIND
    if dynptr.readonly:
        size |= _READONLY
    call.store(at, dynptr.data)
    call.store(call.moved(at, _POINTER), size | dynptr.offset << 32)
