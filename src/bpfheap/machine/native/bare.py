"""Bare programs: instructions on the core without maps, allocators or a verifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bpfheap.errors import BpfheapError
from bpfheap.isa import Insn, check_structure
from bpfheap.machine.native import _core
from bpfheap.machine.native.code import helper_numbers, make
from bpfheap.machine.relocations import Links


def prepared(
    insns: Sequence[Insn], *, step_limit: int = 10_000_000, compiles: bool = False
) -> Callable[[bytes], int]:
    """A bare program, ready to run from start to end as often as one likes: r1 points at the bytes
    that it is given, r2 is their number; r0 comes back. Nobody has verified it: it must be one
    that does no harm. With `compiles` it becomes machine code.

    Raises InsnError for what is no program; a run, BpfheapError if it does not end.
    """
    check_structure(insns)
    core = _core.Core()
    code, calls = make(insns, Links({}, {}))
    program = _core.Program(0, code, _core.Heap(core), (), helper_numbers(), ())
    if compiles:
        from bpfheap.machine.native import jit

        named = {slot: name if isinstance(name, str) else None for slot, name in calls.items()}
        made = jit.compiled(jit.Source("raw", tuple(insns), calls=named, counted=True), check=True)
        loaded = jit.load(made, {})
        program.compiled(loaded.address, loaded)

    def run(mem: bytes) -> int:
        execution = _core.Execution(core, program, mem, limit=step_limit)
        stop = _core.STOPS[execution.go()]
        if stop != "done":
            raise BpfheapError(f"the program stopped at slot {execution.slot}: {stop}")
        return execution.register(0)

    return run


def run_raw(
    insns: Sequence[Insn],
    mem: bytes = b"",
    *,
    step_limit: int = 10_000_000,
    compiles: bool = False,
) -> int:
    """Run a program once: see `prepared`."""
    return prepared(insns, step_limit=step_limit, compiles=compiles)(mem)
