"""Bare programs: instructions on the model machine without maps, allocators or a verifier."""

from __future__ import annotations

from collections.abc import Sequence

from bpfheap.isa import Insn, check_structure
from bpfheap.machine.model.code import make
from bpfheap.machine.model.interp import LoadedProgram
from bpfheap.machine.model.machine import ModelMachine
from bpfheap.machine.model.records import RegionKind
from bpfheap.machine.relocations import Links
from bpfheap.runtime.machine import Context, Done


def run_raw(insns: Sequence[Insn], mem: bytes = b"", *, step_limit: int = 10_000_000) -> int:
    """Run a bare program from start to end: r1 points at `mem`, r2 is its length. Gives r0.

    Raises InsnError for what is no program, Violation for a memory error.
    """
    check_structure(insns)
    machine = ModelMachine(cpus=1, step_limit=step_limit)
    code, calls = make(insns, Links({}, {}))
    state = machine._state
    region = state.add_region(RegionKind.CODE, "the code", 0)
    program = LoadedProgram(0, "(raw)", None, code, calls, region.id)
    machine._programs[0] = program
    memory = state.add_region(RegionKind.MEM, "the input", len(mem), mem)
    execution = machine._begin(program, memory, (len(mem),), 0, Context.TASK)
    while not isinstance(stop := machine.step(execution), Done):
        pass
    return stop.retval
