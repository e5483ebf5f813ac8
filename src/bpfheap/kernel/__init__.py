"""The live kernel, through bpf(2): what it says of a program, and what the program does there.

Programs are loaded and run by BPF_PROG_TEST_RUN; nothing is ever attached.
"""

from bpfheap.kernel.live import available, possible_cpus
from bpfheap.kernel.load import Kernel
from bpfheap.kernel.log import KernelVerdict

__all__ = ["Kernel", "KernelVerdict", "available", "possible_cpus"]
