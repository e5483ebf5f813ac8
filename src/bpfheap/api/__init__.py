"""What users import: a Runtime, the objects loaded into it, and checks without a runtime."""

from bpfheap.api.map import Map
from bpfheap.api.names import PolicyInfo, machines, policies
from bpfheap.api.program import Attachment, Program, RunResult
from bpfheap.api.runtime import Allocator, Leftover, LoadedObject, Runtime, check

__all__ = [
    "Allocator",
    "Attachment",
    "Leftover",
    "LoadedObject",
    "Map",
    "PolicyInfo",
    "Program",
    "RunResult",
    "Runtime",
    "check",
    "machines",
    "policies",
]
