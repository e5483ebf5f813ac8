"""What keeps an allocator alive: the policies. Knows flows and events, no memory."""

from bpfheap.lifetime.edge_propagation import EdgePropagation
from bpfheap.lifetime.facts import (
    FieldFact,
    FieldId,
    FlowFact,
    LoadFacts,
    ObjectEvent,
    ObjectKind,
    Refusal,
    View,
)
from bpfheap.lifetime.global_ import Global
from bpfheap.lifetime.live_count import LiveCount
from bpfheap.lifetime.policy import Policy
from bpfheap.lifetime.prog_allocators import ProgAllocators
from bpfheap.lifetime.used_allocators import UsedAllocators
from bpfheap.lifetime.used_allocators_strict import UsedAllocatorsStrict

#: Every policy there is. The first is the default.
POLICIES: tuple[type[Policy], ...] = (
    LiveCount,
    ProgAllocators,
    UsedAllocators,
    UsedAllocatorsStrict,
    EdgePropagation,
    Global,
)

__all__ = [
    "POLICIES",
    "EdgePropagation",
    "FieldFact",
    "FieldId",
    "FlowFact",
    "Global",
    "LiveCount",
    "LoadFacts",
    "ObjectEvent",
    "ObjectKind",
    "Policy",
    "ProgAllocators",
    "Refusal",
    "UsedAllocators",
    "UsedAllocatorsStrict",
    "View",
]
