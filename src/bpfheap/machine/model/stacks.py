"""The call that puts the current task's stack into a map (kernel/bpf/stackmap.c)."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.model.convention import Arguments, Implementation, error, map_of, number
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.maps.stacks import keep
from bpfheap.machine.model.values import Value
from bpfheap.machine.played.stacks import ADDRESS, BUILD_ID, SKIP, USER, addresses, walked
from bpfheap.platform.maps import MapFlag

#: BPF_F_FAST_STACK_CMP, BPF_F_REUSE_STACKID.
_FAST, _REUSE = 1 << 9, 1 << 10


def _get_stackid(core: Core, args: Arguments) -> Value:
    record = map_of(core, args[1], "stack")
    flags = number(core, args[2], 3)
    if flags & ~(SKIP | USER | _FAST | _REUSE):
        return error("EINVAL")
    build_ids = bool(record.spec.flags & MapFlag.STACK_BUILD_ID)
    room = record.spec.value_size // (BUILD_ID if build_ids else ADDRESS)
    found = walked(core.state.world.current, flags, room)
    if not found:
        return error("EFAULT")
    data = addresses(found, build_ids=build_ids)
    kept = keep(core.state, record, data, fast=bool(flags & _FAST), reuse=bool(flags & _REUSE))
    return error(kept) if isinstance(kept, str) else kept


CALLS: Mapping[str, Implementation] = {"bpf_get_stackid": _get_stackid}
