"""A variable of a struct of functions (struct_ops): what tests call in the kernel's place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bpfheap.api.program import Program, RunResult
from bpfheap.btf import Struct
from bpfheap.errors import UsageError
from bpfheap.runtime.values import unpack
from bpfheap.spec import StructOpsSpec


@dataclass(frozen=True, slots=True)
class Function:
    """A member of a struct that is a program: a call runs it, with the member's arguments in their
    order or by their names. What is left out is an object of zeros, an empty text or 0."""

    program: Program

    def __call__(self, *values: Any, **named: Any) -> RunResult:
        if values and named:
            raise UsageError(
                f"{self.program.name} is given its arguments in their order, or by their names"
            )
        return self.program.run(named if named else list(values))


class StructOps(Mapping[str, Any]):
    """Its members by their names, as items and as attributes: programs are Functions, all others
    what the file initialises them with."""

    def __init__(self, spec: StructOpsSpec, programs: Mapping[str, Program]) -> None:
        self.spec = spec
        self._programs = programs
        kind = spec.btf[spec.type]
        assert isinstance(kind, Struct)
        self._members = {member.name: member for member in kind.members if member.name}

    def __getitem__(self, name: str) -> Any:
        held = self.spec.programs.get(name)
        if held is not None and held in self._programs:
            return Function(self._programs[held])
        member = self._members.get(name)
        if member is None or held is not None:
            raise UsageError(
                f"{self.spec.name} has no member {name}"
                if held is None
                else f"program {held}, which {self.spec.name}.{name} is, was not loaded",
                hint=", ".join(self),
            )
        at = member.bit_offset // 8
        size = self.spec.btf.size_of(member.type)
        return unpack(self.spec.btf, member.type, self.spec.data[at : at + size])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Any:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"struct {self.spec.struct} {self.spec.name}"
