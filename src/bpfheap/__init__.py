"""Typed BPF heaps in user space: run, verify and check the lifetimes of BPF programs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bpfheap.api import (
        Allocator,
        Attachment,
        CallInfo,
        Clock,
        CurrentTask,
        Given,
        Kernel,
        KernelObject,
        Leftover,
        LoadedObject,
        Map,
        PolicyInfo,
        Program,
        Provided,
        RunResult,
        Runtime,
        StubMemory,
        calls,
        check,
        machines,
        policies,
    )

__version__ = "0.1.0"

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


def __getattr__(name: str) -> Any:
    """Import the API when it is first used: the layers below import this package too, and a
    pytest run that never touches BPF should not pay for it."""
    if name in __all__:
        return getattr(import_module("bpfheap.api"), name)
    raise AttributeError(f"module 'bpfheap' has no attribute {name!r}")
