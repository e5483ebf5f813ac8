"""Calls for values that belong to something else than a map: to objects of the kernel
(kernel/bpf/bpf_task_storage.c and its like), and to control groups (bpf_get_local_storage,
bpf_current_task_under_cgroup)."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.errors import MapError
from bpfheap.machine.faults import Fault
from bpfheap.machine.model.convention import Arguments, Implementation, error, map_of, number
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.maps.owners import OwnerElements, StorageElements
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord, RegionKind, Status
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.model.values import NULL, U32, Pointer, Value
from bpfheap.platform.maps import CREATE, NOEXIST, Shape
from bpfheap.platform.programs import section_def

_OWNERS, _STORAGE = OwnerElements(), StorageElements()
#: Of struct bpf_cgroup_storage_key; a key of 8 bytes is its first member alone.
_WITH_ATTACH_TYPE = 16


def key_of_owner(block: int) -> bytes:
    """What stands for the descriptor of an object."""
    return block.to_bytes(4, "little")


def _owner(core: Core, value: Value, what: str) -> bytes | None:
    """The key of an object that an argument is; None for NULL."""
    if not isinstance(value, Pointer):
        if number(core, value, 2):
            raise Fault("bad-call", f"{what} of a number, which is no object")
        return None
    region = core.state.regions.get(value.region)
    if region is None or region.kind is not RegionKind.BLOCK:
        raise Fault("bad-call", f"{what} of what is no object of the kernel")
    if region.status is not Status.LIVE:
        raise core.state.dead(region, f"{what} of {region.name}")
    return key_of_owner(region.id)


def _get(op: str) -> Implementation:
    def get(core: Core, args: Arguments) -> Value:
        record = map_of(core, args[0], op)
        key = _owner(core, args[1], f"bpf_{op}_get")
        given = args[2]
        flags = number(core, args[3], 4)
        if flags & ~CREATE or key is None:
            return NULL
        if key not in record.entries:
            if not flags & CREATE:
                return NULL
            size = record.spec.value_size
            value = core.state.read(given, size) if isinstance(given, Pointer) else bytes(size)
            _OWNERS.update(core.mutator, record, key, (value,), NOEXIST)
        return Pointer(core.state.maps[record.id].entries[key][0], 0)

    return get


def _delete(op: str) -> Implementation:
    def delete(core: Core, args: Arguments) -> Value:
        record = map_of(core, args[0], op)
        key = _owner(core, args[1], f"bpf_{op}_delete")
        if key is None:
            return error("EINVAL")
        try:
            _OWNERS.delete(core.mutator, record, key)
        except MapError as refused:
            return error(refused.errno_name)
        return 0

    return delete


def forget(mutator: Mutator, state: MachineState, block: int) -> None:
    """An object goes, and what belongs to it."""
    key = key_of_owner(block)
    for record in tuple(state.maps.values()):
        if record.type.shape is Shape.OWNERS and key in record.entries:
            _OWNERS.delete(mutator, record, key)


def _get_local_storage(core: Core, args: Arguments) -> Value:
    """Of the control group that the current task is in."""
    record = map_of(core, args[0], "storage")
    key = core.state.world.current.cgroups[-1].to_bytes(8, "little")
    if record.spec.key_size == _WITH_ATTACH_TYPE:
        spec = core.program.spec
        section = None if spec is None else section_def(spec.section)
        attach = 0 if section is None else section.attach
        key = (key + attach.to_bytes(4, "little")).ljust(_WITH_ATTACH_TYPE, b"\0")
    found = _STORAGE.made(core.mutator, record, key)
    return Pointer(found[core.execution.cpu if len(found) > 1 else 0], 0)


def _under(core: Core, record: MapRecord, index: Value, place: int) -> Value:
    at = number(core, index, place) & U32
    if at >= record.spec.max_entries:
        return error("E2BIG")
    found = record.inner.get(at.to_bytes(4, "little"))
    if found is None:
        return error("EAGAIN")
    return int(found in core.state.world.current.cgroups)


def _task_under_cgroup(core: Core, args: Arguments) -> Value:
    return _under(core, map_of(core, args[0], "cgroup"), args[1], 2)


def _skb_under_cgroup(core: Core, args: Arguments) -> Value:
    """Packets are of a socket of the current task."""
    return _under(core, map_of(core, args[1], "cgroup"), args[2], 3)


_KINDS = ("sk", "inode", "task", "cgrp")
CALLS: Mapping[str, Implementation] = {
    **{f"bpf_{kind}_storage_get": _get(f"{kind}_storage") for kind in _KINDS},
    **{f"bpf_{kind}_storage_delete": _delete(f"{kind}_storage") for kind in _KINDS},
    "bpf_get_local_storage": _get_local_storage,
    "bpf_current_task_under_cgroup": _task_under_cgroup,
    "bpf_skb_under_cgroup": _skb_under_cgroup,
}
