"""Calls for dynptrs (kernel/bpf/helpers.c, and bpf_dynptr_from_skb and its like in
net/core/filter.c of Linux 6.18). Records of ring buffers are each machine's own.

Packets are in one piece, so that slices lead into them, and copies are made only where a program of
the type sees no packet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from errno import E2BIG, EFAULT, EINVAL, ERANGE

from bpfheap.machine.dynptr import LONGEST, Dynptr, load, store
from bpfheap.machine.tables.caller import Played, TableCaller
from bpfheap.platform.dynptrs import DynptrKind
from bpfheap.platform.programs import program_type
from bpfheap.runtime.world import Space, Word

_U32 = (1 << 32) - 1
#: BPF_F_RECOMPUTE_CSUM, BPF_F_INVALIDATE_HASH.
_SKB_FLAGS = 3
_K = DynptrKind


def _u32(call: TableCaller, value: Word) -> int:
    return call.number(value) & _U32


def _begin(call: TableCaller, dynptr: Dynptr) -> int | None:
    """Where the bytes of one that leads into a packet begin among those of the packet, metadata
    first; None if the packet has them no more."""
    frame = call.frame(dynptr.data)
    begin = 0 if dynptr.kind is _K.SKB_META else frame.data
    end = frame.data if dynptr.kind is _K.SKB_META else len(frame.whole)
    at = begin + dynptr.offset
    return at if at + dynptr.size <= end else None


def _bytes(call: TableCaller, dynptr: Dynptr, offset: int, size: int) -> bytes | int:
    """What is there, or an error (__bpf_dynptr_read)."""
    if not dynptr.kind.of_packet:
        return call.read(call.moved(dynptr.data, dynptr.offset + offset), size) if size else b""
    part = dynptr._replace(offset=dynptr.offset + offset, size=size)
    at = _begin(call, part)
    if at is None:
        return -EFAULT if dynptr.kind is _K.SKB else -EINVAL
    return call.frame(dynptr.data).whole[at : at + size]


def _change(call: TableCaller, dynptr: Dynptr, offset: int, data: bytes, flags: int) -> int:
    """__bpf_dynptr_write"""
    if dynptr.readonly or flags & ~(_SKB_FLAGS if dynptr.kind is _K.SKB else 0):
        return -EINVAL
    if not dynptr.holds(offset, len(data)):
        return -E2BIG
    if not dynptr.kind.of_packet:
        call.write(call.moved(dynptr.data, dynptr.offset + offset), data)
        return 0
    part = dynptr._replace(offset=dynptr.offset + offset, size=len(data))
    at = _begin(call, part)
    if at is None:
        return -EFAULT if dynptr.kind is _K.SKB else -EINVAL
    if dynptr.kind.moved:
        frame = call.frame(dynptr.data)
        whole = frame.whole[:at] + data + frame.whole[at + len(data) :]
        call.reframe(frame._replace(whole=whole))
    else:
        call.poke(at, data)
    return 0


def _from_mem(call: TableCaller, args: Sequence[Word]) -> Word:
    size = _u32(call, args[1])
    refused = -E2BIG if size > LONGEST else -EINVAL if call.number(args[2]) else 0
    store(call, args[3], None if refused else Dynptr(_K.LOCAL, args[0], size))
    return refused


def _from_packet(kind: DynptrKind) -> Played:
    def make(call: TableCaller, args: Sequence[Word]) -> Word:
        frame = call.frame(args[0])
        if call.number(args[1]):
            store(call, args[2], None)
            return -EINVAL
        size = frame.data if kind is _K.SKB_META else len(frame.whole) - frame.data
        row = program_type(call.section)
        readonly = kind is not _K.XDP and (row is None or not row.writes_packet)
        store(call, args[2], Dynptr(kind, args[0], size, readonly=readonly))
        return 0

    return make


def _read(call: TableCaller, args: Sequence[Word]) -> Word:
    dynptr = load(call, args[2])
    size, offset = _u32(call, args[1]), _u32(call, args[3])
    if dynptr is None or call.number(args[4]):
        return -EINVAL
    if not dynptr.holds(offset, size):
        return -E2BIG
    found = _bytes(call, dynptr, offset, size)
    if isinstance(found, int):
        if dynptr.kind is _K.SKB:
            call.write(args[0], bytes(size))
        return found
    call.write(args[0], found)
    return 0


def _write(call: TableCaller, args: Sequence[Word]) -> Word:
    dynptr = load(call, args[0])
    data = call.read(args[2], _u32(call, args[3])) if _u32(call, args[3]) else b""
    if dynptr is None:
        return -EINVAL
    return _change(call, dynptr, _u32(call, args[1]), data, call.number(args[4]))


def _data(call: TableCaller, args: Sequence[Word]) -> Word:
    dynptr = load(call, args[0])
    offset, size = _u32(call, args[1]), _u32(call, args[2])
    if dynptr is None or dynptr.kind.of_packet or dynptr.readonly:
        return 0
    return _memory(call, dynptr, offset) if dynptr.holds(offset, size) else 0


def _memory(call: TableCaller, dynptr: Dynptr, offset: int) -> Word:
    return call.moved(dynptr.data, dynptr.offset + offset)


def _slice(*, writes: bool) -> Played:
    def take(call: TableCaller, args: Sequence[Word]) -> Word:
        dynptr = load(call, args[0])
        offset, size = _u32(call, args[1]), _u32(call, args[3])
        if dynptr is None or (writes and dynptr.readonly) or not dynptr.holds(offset, size):
            return 0
        if not dynptr.kind.of_packet:
            return _memory(call, dynptr, offset)
        at = _begin(call, dynptr._replace(offset=dynptr.offset + offset, size=size))
        if at is None:
            return 0
        found = call.within_packet(at)
        if call.number(found) or not call.number(args[2]):
            return found
        copy = _bytes(call, dynptr, offset, size)
        assert isinstance(copy, bytes)
        call.write(args[2], copy)
        return args[2]

    return take


def _adjust(call: TableCaller, args: Sequence[Word]) -> Word:
    dynptr = load(call, args[0])
    start, end = _u32(call, args[1]), _u32(call, args[2])
    if dynptr is None or start > end:
        return -EINVAL
    if end > dynptr.size:
        return -ERANGE
    store(call, args[0], dynptr._replace(offset=dynptr.offset + start, size=end - start))
    return 0


def _is_null(call: TableCaller, args: Sequence[Word]) -> Word:
    return int(load(call, args[0]) is None)


def _is_rdonly(call: TableCaller, args: Sequence[Word]) -> Word:
    dynptr = load(call, args[0])
    return int(dynptr is not None and dynptr.readonly)


def _size(call: TableCaller, args: Sequence[Word]) -> Word:
    dynptr = load(call, args[0])
    return -EINVAL if dynptr is None else dynptr.size


def _clone(call: TableCaller, args: Sequence[Word]) -> Word:
    dynptr = load(call, args[0])
    store(call, args[1], dynptr)
    return -EINVAL if dynptr is None else 0


def _copy(call: TableCaller, args: Sequence[Word]) -> Word:
    to, source = load(call, args[0]), load(call, args[2])
    at, of, size = (_u32(call, args[n]) for n in (1, 3, 4))
    if source is None or to is None:
        return _nowhere(to, source, at, of, size)
    if not source.holds(of, size) or not to.holds(at, size):
        return -E2BIG
    found = _bytes(call, source, of, size)
    return found if isinstance(found, int) else _change(call, to, at, found, 0)


def _nowhere(to: Dynptr | None, source: Dynptr | None, at: int, of: int, size: int) -> int:
    """One of them leads nowhere, and is taken for one of no bytes where there are slices of
    neither (bpf_dynptr_copy)."""
    if source is not None and source.holds(of, size):
        return -EINVAL
    if to is not None and not to.readonly and to.holds(at, size):
        return -EINVAL
    return -E2BIG if size else 0


def _memset(call: TableCaller, args: Sequence[Word]) -> Word:
    dynptr = load(call, args[0])
    at, size, value = _u32(call, args[1]), _u32(call, args[2]), _u32(call, args[3]) & 0xFF
    if dynptr is None:
        return -E2BIG if at or size else 0
    if dynptr.readonly:
        return -EINVAL
    if not dynptr.holds(at, size):
        return -E2BIG
    return _change(call, dynptr, at, bytes([value]) * size, 0)


def _copied(find: Callable[[TableCaller, Word, int], bytes | None]) -> Played:
    """What is read from an address that may lead nowhere (__bpf_dynptr_copy)."""

    def copy(call: TableCaller, args: Sequence[Word]) -> Word:
        dynptr = load(call, args[0])
        at, size = _u32(call, args[1]), _u32(call, args[2])
        if dynptr is None or not dynptr.holds(at, size):
            return -E2BIG
        if dynptr.readonly:
            return -EINVAL
        found = find(call, args[3], size) if size else b""
        return -EFAULT if found is None else _change(call, dynptr, at, found, 0)

    return copy


def _text(space: Space) -> Played:
    """Up to the NUL, which is there even if the text is cut (__bpf_dynptr_copy_str)."""

    def copy(call: TableCaller, args: Sequence[Word]) -> Word:
        dynptr = load(call, args[0])
        at, size = _u32(call, args[1]), _u32(call, args[2])
        if dynptr is None or not dynptr.holds(at, size):
            return -E2BIG
        if dynptr.readonly:
            return -EINVAL
        if not size:
            return 0
        found = call.text(args[3], size, space)
        if found is None:
            return -EFAULT
        text = found[: size - 1] + b"\0"
        return _change(call, dynptr, at, text, 0) or len(text)

    return copy


def _bytes_of(space: Space) -> Played:
    return _copied(lambda call, at, size: call.look(at, size, space))


CALLS: Mapping[str, Played] = {
    "bpf_dynptr_from_mem": _from_mem,
    "bpf_dynptr_from_skb": _from_packet(_K.SKB),
    "bpf_dynptr_from_xdp": _from_packet(_K.XDP),
    "bpf_dynptr_from_skb_meta": _from_packet(_K.SKB_META),
    "bpf_dynptr_read": _read,
    "bpf_dynptr_write": _write,
    "bpf_dynptr_data": _data,
    "bpf_dynptr_slice": _slice(writes=False),
    "bpf_dynptr_slice_rdwr": _slice(writes=True),
    "bpf_dynptr_adjust": _adjust,
    "bpf_dynptr_is_null": _is_null,
    "bpf_dynptr_is_rdonly": _is_rdonly,
    "bpf_dynptr_size": _size,
    "bpf_dynptr_clone": _clone,
    "bpf_dynptr_copy": _copy,
    "bpf_dynptr_memset": _memset,
    "bpf_probe_read_kernel_dynptr": _bytes_of(Space.KERNEL),
    "bpf_probe_read_kernel_str_dynptr": _text(Space.KERNEL),
    "bpf_probe_read_user_dynptr": _bytes_of(Space.USER),
    "bpf_probe_read_user_str_dynptr": _text(Space.USER),
    "bpf_copy_from_user_dynptr": _bytes_of(Space.USER),
    "bpf_copy_from_user_str_dynptr": _text(Space.USER),
    # Every task has the same memory here.
    "bpf_copy_from_user_task_dynptr": _bytes_of(Space.USER),
    "bpf_copy_from_user_task_str_dynptr": _text(Space.USER),
}
