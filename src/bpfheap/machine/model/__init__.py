"""The model machine: pure Python, in which every memory error is seen, and whose whole state is
data that can be copied, compared and hashed. It is the executable specification."""

from bpfheap.machine.model.bare import run_raw
from bpfheap.machine.model.machine import ModelMachine
from bpfheap.machine.model.options import ModelOptions

__all__ = ["ModelMachine", "ModelOptions", "run_raw"]
