"""The kernel around programs, as tests make it up."""

from bpfheap.api.kernel.around import Around
from bpfheap.api.kernel.current import Clock, CurrentTask
from bpfheap.api.kernel.inputs import (
    DEFAULT,
    Given,
    flow_keys,
    given_of,
    left_in,
    with_flow_keys,
)
from bpfheap.api.kernel.kernel import Kernel, Maker
from bpfheap.api.kernel.net import Net
from bpfheap.api.kernel.objects import KernelObject
from bpfheap.api.kernel.stubs import StubMemory, StubText

__all__ = [
    "DEFAULT",
    "Around",
    "Clock",
    "CurrentTask",
    "Given",
    "Kernel",
    "KernelObject",
    "Maker",
    "Net",
    "StubMemory",
    "StubText",
    "flow_keys",
    "given_of",
    "left_in",
    "with_flow_keys",
]
