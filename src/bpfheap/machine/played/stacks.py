"""The stacks of the current task, which are what somebody says they are.

Sources: __bpf_get_stack and its like in kernel/bpf/stackmap.c of Linux 6.18.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from errno import EFAULT, EINVAL, EOPNOTSUPP

from bpfheap.machine.tables.caller import Played, TableCaller
from bpfheap.machine.tables.stacks import keep
from bpfheap.platform.maps import DEEPEST_STACK, MapFlag, stack_entry
from bpfheap.runtime.world import Caller, Current, Word

_U32 = (1 << 32) - 1
#: BPF_F_SKIP_FIELD_MASK, BPF_F_USER_STACK, BPF_F_USER_BUILD_ID.
_SKIP, _USER, _BUILD_ID = 0xFF, 1 << 8, 1 << 11
#: BPF_F_FAST_STACK_CMP, BPF_F_REUSE_STACKID.
_FAST, _REUSE = 1 << 9, 1 << 10
#: BPF_STACK_BUILD_ID_IP: no file is known for an address.
_ONLY_ADDRESS = 2


def _addresses(stack: Sequence[int], *, build_ids: bool = False) -> bytes:
    """Their bytes, as programs and user space see them."""
    if build_ids:
        return b"".join(struct.pack("<i20xQ", _ONLY_ADDRESS, one) for one in stack)
    return b"".join(one.to_bytes(stack_entry(False), "little") for one in stack)


def _walked(current: Current, flags: int, room: int) -> tuple[int, ...] | None:
    """What is left of a stack after those to be skipped, and what of that `room` has room for; None
    if it does not go so far."""
    stack = current.user_stack if flags & _USER else current.stack
    skip = flags & _SKIP
    stack = stack[: min(room + skip, DEEPEST_STACK)]
    return None if len(stack) < skip else stack[skip:]


def _fill(call: Caller, current: Current, args: Sequence[Word], error: int = 0) -> Word:
    to, size, flags = args[0], call.number(args[1]) & _U32, call.number(args[2])
    build_ids = bool(flags & _BUILD_ID)
    each = stack_entry(build_ids)
    wrong = flags & ~(_SKIP | _USER | _BUILD_ID) or (build_ids and not flags & _USER) or size % each
    error = EINVAL if wrong else error
    found = None if error else _walked(current, flags, size // each)
    if found is None:
        call.write(to, bytes(size))
        return -(error or EFAULT)
    data = _addresses(found, build_ids=build_ids)
    call.write(to, data.ljust(size, b"\0"))
    return len(data)


def _get_stack(call: Caller, args: Sequence[Word]) -> Word:
    return _fill(call, call.world.current, args[1:])


def _get_stackid(call: TableCaller, args: Sequence[Word]) -> Word:
    """Put it into a map."""
    table = call.table(args[1], "stack")
    flags = call.number(args[2])
    if flags & ~(_SKIP | _USER | _FAST | _REUSE):
        return -EINVAL
    build_ids = bool(table.spec.flags & MapFlag.STACK_BUILD_ID)
    room = table.spec.value_size // stack_entry(build_ids)
    found = _walked(call.world.current, flags, room)
    if not found:
        return -EFAULT
    data = _addresses(found, build_ids=build_ids)
    fast, reuse = bool(flags & _FAST), bool(flags & _REUSE)
    return keep(call.keeper, table, data, fast=fast, reuse=reuse)


def _get_task_stack(call: Caller, args: Sequence[Word]) -> Word:
    """Of the current task; of another one there is the stack that tasks have if nobody says
    anything, and none of user space."""
    at = call.block(args[0])
    current = call.world.current
    if at is None or at.block == current.task:
        return _fill(call, current, args[1:])
    cannot = EOPNOTSUPP if call.number(args[3]) & _USER else 0
    return _fill(call, Current(), args[1:], cannot)


CALLS: Mapping[str, Played] = {
    "bpf_get_stackid": _get_stackid,
    "bpf_get_stack": _get_stack,
    "bpf_get_task_stack": _get_task_stack,
}
