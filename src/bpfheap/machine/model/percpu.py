"""Objects with a copy for each CPU (bpf_percpu_obj_new_impl, bpf_per_cpu_ptr).

A pointer to such an object leads to no memory; the copies do, which these calls find. They can be
looked at without owning the object, and stay for those who run while it is freed.
"""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.faults import Fault
from bpfheap.machine.layout import ObjectType
from bpfheap.machine.model.convention import Arguments, Implementation, number
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.records import RegionKind
from bpfheap.machine.model.values import NULL, U32, Pointer, Value

#: BPF_GLOBAL_PERCPU_MA_MAX_SIZE.
_LARGEST = 512


def check(kind: ObjectType, what: str) -> None:
    """Raise Fault for a type that cannot have copies."""
    if kind.kptrs or kind.special:
        raise Fault("bad-call", f"{what}: struct {kind.name} has kptrs, locks or nodes")
    if kind.size > _LARGEST:
        raise Fault("bad-call", f"{what}: struct {kind.name} has more than {_LARGEST} bytes")


def _copies(core: Core, value: Value, what: str) -> tuple[Pointer, ...]:
    """The copies by CPU. Those of a freed object are memory that is gone, or about to go."""
    if not isinstance(value, Pointer):
        shown = "NULL" if not value else "a number"
        raise Fault("bad-call", f"{what} of {shown}, which is no {RegionKind.PERCPU}")
    region = core.state.regions.get(value.region)
    if region is None:
        raise Fault("use-after-free", f"{what} of memory that is gone")
    if region.kind is not RegionKind.PERCPU or value.offset:
        raise Fault(
            "bad-call", f"{what} of {region.name}, which is no {RegionKind.PERCPU}", region.id
        )
    return region.links[0]


def _this_cpu(core: Core, args: Arguments) -> Value:
    return _copies(core, args[0], "bpf_this_cpu_ptr")[core.execution.cpu]


def _per_cpu(core: Core, args: Arguments) -> Value:
    copies = _copies(core, args[0], "bpf_per_cpu_ptr")
    cpu = number(core, args[1], 2) & U32
    return copies[cpu] if cpu < len(copies) else NULL


CALLS: Mapping[str, Implementation] = {"bpf_per_cpu_ptr": _per_cpu, "bpf_this_cpu_ptr": _this_cpu}
