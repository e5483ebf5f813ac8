"""A machine refuses what it does not offer when it is loaded, by name."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TypeVar

from bpfheap.errors import MachineUnsupported
from bpfheap.isa.ops import CAST_OFFSET, CAST_OPCODE
from bpfheap.platform.called import names_of_calls
from bpfheap.platform.maps import Holds, MapType, Shape
from bpfheap.spec import MapSpec, ProgramSpec
from bpfheap.verifier.facts import Facts

_T = TypeVar("_T")


def check_program(
    machine: str,
    spec: ProgramSpec,
    offered: Container[str],
    facts: Facts | None,
) -> None:
    """Raises MachineUnsupported for a call of a helper or kfunc that is not `offered`, for a
    program whose context no machine makes, and for memory of the kernel that none plays."""
    for slot, name in names_of_calls(spec):
        if name not in offered:
            raise _not_offered(machine, spec, slot, f"calls {name}, which", stub=name)
    for slot, insn in enumerate(spec.insns):
        if insn.opcode == CAST_OPCODE and insn.off == CAST_OFFSET:
            raise _not_offered(machine, spec, slot, "works in an arena, which")
    if facts is not None:
        for slot, foreign in facts.foreign.items():
            if not foreign.around:
                raise _not_offered(machine, spec, slot, f"reads {foreign.what}, which")


def _not_offered(
    machine: str, spec: ProgramSpec, slot: int | None, what: str, stub: str | None = None
) -> MachineUnsupported:
    where = None if slot is None else spec.line_of(slot)
    return MachineUnsupported(
        f"program {spec.name} {what} the {machine} machine does not offer",
        hint=None if stub is None else how_to_stub(stub),
        file=spec.file or None if where is None else where.file,
        line=None if where is None else where.line,
    )


def how_to_stub(name: str) -> str:
    """For a call that nothing performs."""
    return (
        f"write what it does: @bpf.stub({name!r}) above a Python function, before the load; "
        "`bpfheap run` takes --stub FILE.py"
    )


def implementation(
    machine: str, spec: MapSpec, row: MapType, offered: Mapping[tuple[Shape, Holds], _T]
) -> _T:
    """What a machine has for maps of a type. Raises MachineUnsupported if that is nothing."""
    found = offered.get((row.shape, row.holds))
    if found is None:
        raise MachineUnsupported(
            f"map {spec.name} is of type {row.name}, which the {machine} machine does not offer",
            file=spec.file or None,
        )
    return found
