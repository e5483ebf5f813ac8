"""What keeps an allocator alive: the policies. Knows flows and events, no memory."""

from bpfheap.lifetime.annotated import Annotated
from bpfheap.lifetime.btf_slot import BtfSlot
from bpfheap.lifetime.dependency_table import DependencyTable
from bpfheap.lifetime.edge_propagation import EdgePropagation
from bpfheap.lifetime.facts import (
    FieldFact,
    FieldId,
    FlowFact,
    LoadFacts,
    MapFacts,
    Refusal,
    View,
)
from bpfheap.lifetime.field_slot import FieldSlots
from bpfheap.lifetime.global_ import Global
from bpfheap.lifetime.live_count import LiveCount
from bpfheap.lifetime.percpu_ref import PercpuRef
from bpfheap.lifetime.policy import Policy
from bpfheap.lifetime.prog_allocators import ProgAllocators
from bpfheap.lifetime.static import Static
from bpfheap.lifetime.unload_walk import UnloadWalk
from bpfheap.lifetime.used_allocators import UsedAllocators
from bpfheap.lifetime.used_allocators_strict import UsedAllocatorsStrict

#: Every policy there is. The first is the default.
POLICIES: tuple[type[Policy], ...] = (
    LiveCount,
    UnloadWalk,
    ProgAllocators,
    UsedAllocators,
    UsedAllocatorsStrict,
    EdgePropagation,
    Annotated,
    BtfSlot,
    FieldSlots,
    DependencyTable,
    PercpuRef,
    Static,
    Global,
)

__all__ = [
    "POLICIES",
    "Annotated",
    "BtfSlot",
    "DependencyTable",
    "EdgePropagation",
    "FieldFact",
    "FieldId",
    "FieldSlots",
    "FlowFact",
    "Global",
    "LiveCount",
    "LoadFacts",
    "MapFacts",
    "PercpuRef",
    "Policy",
    "ProgAllocators",
    "Refusal",
    "Static",
    "UnloadWalk",
    "UsedAllocators",
    "UsedAllocatorsStrict",
    "View",
]
