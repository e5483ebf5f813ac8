"""Kernels, through bpf(2): what one says of a program, and what the program does there.

The live kernel, unless a transport leads to another, which boots in a virtual machine. Programs are
loaded and run by BPF_PROG_TEST_RUN; nothing is ever attached.
"""

from bpfheap.kernel.bpf import Transport
from bpfheap.kernel.live import available, possible_cpus
from bpfheap.kernel.load import Kernel
from bpfheap.kernel.log import KernelVerdict
from bpfheap.kernel.named import opened

__all__ = ["Kernel", "KernelVerdict", "Transport", "available", "opened", "possible_cpus"]
