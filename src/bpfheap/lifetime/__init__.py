"""What keeps an allocator alive: the policies. Knows flows and events, no memory."""

from bpfheap.lifetime.facts import FieldId, FlowFact, LoadFacts, View
from bpfheap.lifetime.global_ import Global
from bpfheap.lifetime.live_count import LiveCount
from bpfheap.lifetime.policy import Policy
from bpfheap.lifetime.used_allocators import UsedAllocators

#: Every policy there is. The first is the default.
POLICIES: tuple[type[Policy], ...] = (LiveCount, UsedAllocators, Global)

__all__ = [
    "POLICIES",
    "FieldId",
    "FlowFact",
    "Global",
    "LiveCount",
    "LoadFacts",
    "Policy",
    "UsedAllocators",
    "View",
]
