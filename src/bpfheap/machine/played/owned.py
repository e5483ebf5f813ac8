"""Calls for values that belong to something else than a map: to objects of the kernel
(kernel/bpf/bpf_task_storage.c and its like), and to control groups (bpf_get_local_storage,
bpf_current_task_under_cgroup)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from errno import E2BIG, EAGAIN, EINVAL

from bpfheap.machine.played.refusals import answer
from bpfheap.machine.tables.caller import Played, TableCaller
from bpfheap.machine.tables.common import Table
from bpfheap.machine.tables.owners import OwnerElements, StorageElements, key_of_owner
from bpfheap.platform.maps import CREATE, NOEXIST
from bpfheap.platform.programs import section_def
from bpfheap.runtime.world import Word

_U32 = (1 << 32) - 1
_OWNERS, _STORAGE = OwnerElements(), StorageElements()
#: Of struct bpf_cgroup_storage_key; a key of 8 bytes is its first member alone.
_WITH_ATTACH_TYPE = 16


def _get(op: str) -> Played:
    def get(call: TableCaller, args: Sequence[Word]) -> Word:
        table = call.table(args[0], op)
        owner, flags = call.owner(args[1], f"bpf_{op}_get"), call.number(args[3])
        if flags & ~CREATE or owner is None:
            return 0
        key = key_of_owner(owner)
        if key not in table.entries:
            if not flags & CREATE:
                return 0
            size = table.spec.value_size
            value = call.read(args[2], size) if call.number(args[2]) else bytes(size)
            _OWNERS.update(call.keeper, table, key, (value,), NOEXIST)
            table = call.table(args[0], op)
        return call.value(table, table.entries[key])

    return get


def _delete(op: str) -> Played:
    def delete(call: TableCaller, args: Sequence[Word]) -> Word:
        table = call.table(args[0], op)
        owner = call.owner(args[1], f"bpf_{op}_delete")
        if owner is None:
            return -EINVAL
        return answer(lambda: _OWNERS.delete(call.keeper, table, key_of_owner(owner)))

    return delete


def _get_local_storage(call: TableCaller, args: Sequence[Word]) -> Word:
    """Of the control group that the current task is in."""
    table = call.table(args[0], "storage")
    key = call.world.current.cgroups[-1].to_bytes(8, "little")
    if table.spec.key_size == _WITH_ATTACH_TYPE:
        section = section_def(call.section)
        attach = 0 if section is None else section.attach
        key = (key + attach.to_bytes(4, "little")).ljust(_WITH_ATTACH_TYPE, b"\0")
    return call.value(table, _STORAGE.made(call.keeper, table, key))


def _under(call: TableCaller, table: Table, index: Word) -> Word:
    at = call.number(index) & _U32
    if at >= table.spec.max_entries:
        return -E2BIG
    found = table.inner.get(at.to_bytes(4, "little"))
    if found is None:
        return -EAGAIN
    return int(found in call.world.current.cgroups)


def _task_under_cgroup(call: TableCaller, args: Sequence[Word]) -> Word:
    return _under(call, call.table(args[0], "cgroup"), args[1])


def _skb_under_cgroup(call: TableCaller, args: Sequence[Word]) -> Word:
    """Packets are of a socket of the current task."""
    return _under(call, call.table(args[1], "cgroup"), args[2])


_KINDS = ("sk", "inode", "task", "cgrp")
CALLS: Mapping[str, Played] = {
    **{f"bpf_{kind}_storage_get": _get(f"{kind}_storage") for kind in _KINDS},
    **{f"bpf_{kind}_storage_delete": _delete(f"{kind}_storage") for kind in _KINDS},
    "bpf_get_local_storage": _get_local_storage,
    "bpf_current_task_under_cgroup": _task_under_cgroup,
    "bpf_skb_under_cgroup": _skb_under_cgroup,
}
