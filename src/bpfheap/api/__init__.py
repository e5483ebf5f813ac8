"""What users import: a Runtime, the objects loaded into it, and checks without a runtime."""

from bpfheap.api.kernel import (
    Clock,
    CurrentTask,
    Given,
    Kernel,
    KernelObject,
    StubMemory,
)
from bpfheap.api.map import Map
from bpfheap.api.names import PolicyInfo, machines, policies
from bpfheap.api.program import Attachment, Program, RunResult
from bpfheap.api.provided import CallInfo, Provided, calls
from bpfheap.api.runtime import Allocator, Leftover, LoadedObject, Runtime, check

__all__ = [
    "Allocator",
    "Attachment",
    "CallInfo",
    "Clock",
    "CurrentTask",
    "Given",
    "Kernel",
    "KernelObject",
    "Leftover",
    "LoadedObject",
    "Map",
    "PolicyInfo",
    "Program",
    "Provided",
    "RunResult",
    "Runtime",
    "StubMemory",
    "calls",
    "check",
    "machines",
    "policies",
]
