"""Is one program safe, and which flows does it have? Knows no other program and no policy."""

from bpfheap.verifier.flows import GLOBAL_ALLOCATOR, Field, Flow, FlowKind, Holder
from bpfheap.verifier.verdict import Options, Verdict
from bpfheap.verifier.walk import verify

__all__ = [
    "GLOBAL_ALLOCATOR",
    "Field",
    "Flow",
    "FlowKind",
    "Holder",
    "Options",
    "Verdict",
    "verify",
]
