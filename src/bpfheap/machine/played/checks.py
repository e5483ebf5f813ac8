"""Checksums of memory.

Source: bpf_csum_diff in net/core/filter.c of Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bpfheap.machine import checksums
from bpfheap.runtime.world import Caller, Stub, Word

_U32 = (1 << 32) - 1


def _csum_diff(call: Caller, args: Sequence[Word]) -> Word:
    """What has to be added to a sum, `seed`, over `old` for it to be one over `new`. Either may be
    missing."""
    old_size, new_size = call.number(args[1]) & _U32, call.number(args[3]) & _U32
    seed = call.number(args[4]) & _U32
    old = call.read(args[0], old_size) if old_size else b""
    new = call.read(args[2], new_size) if new_size else b""
    if old and new:
        total = checksums.sub(checksums.partial(new, seed), checksums.partial(old))
    elif old:
        total = ~checksums.partial(old, ~seed)
    else:
        total = checksums.partial(new, seed)
    return checksums.sum16(total & _U32)


CALLS: Mapping[str, Stub] = {"bpf_csum_diff": _csum_diff}
