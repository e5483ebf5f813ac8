"""A machine refuses what it does not offer when it is loaded, by name."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TypeVar

from bpfheap.errors import MachineUnsupported
from bpfheap.isa import Kind, instructions
from bpfheap.platform.called import calls_of
from bpfheap.platform.maps import Holds, MapType, Shape
from bpfheap.platform.programs import PacketKind, program_type
from bpfheap.spec import MapSpec, ProgramSpec

_T = TypeVar("_T")


def check_calls(machine: str, spec: ProgramSpec, offered: Container[str]) -> None:
    """Raises MachineUnsupported for a call of a helper or kfunc that is not `offered`. What has no
    row in platform/calls.py at all is left to the run."""
    for slot, row in calls_of(spec):
        if row is not None and row.name not in offered:
            where = spec.line_of(slot)
            raise MachineUnsupported(
                f"program {spec.name} calls {row.name}, which the {machine} machine does not offer",
                file=spec.file or None if where is None else where.file,
                line=None if where is None else where.line,
            )


def check_packet(machine: str, spec: ProgramSpec) -> None:
    """Raises MachineUnsupported for a program whose packets no machine makes, and for the loads
    of classic BPF, which no machine makes either. Raises InsnError for what is no program."""
    for slot, op in instructions(spec.insns):
        if op.kind is Kind.LEGACY:
            where = spec.line_of(slot)
            raise MachineUnsupported(
                f"program {spec.name} has {op.name}, packet access of classic BPF, which the "
                f"{machine} machine does not offer",
                file=spec.file or None if where is None else where.file,
                line=None if where is None else where.line,
            )
    row = program_type(spec.section)
    if row is not None and row.packet is PacketKind.OTHER:
        raise MachineUnsupported(
            f"program {spec.name} is of type {row.name}, whose packets the {machine} machine does "
            "not offer",
            file=spec.file or None,
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
