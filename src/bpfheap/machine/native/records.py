"""What the native machine keeps of maps, programs and executions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfheap.btf import KptrField, SpecialField
from bpfheap.machine.native import _core
from bpfheap.machine.native.code import helper_name
from bpfheap.machine.native.compiling import NamedMap, Origin
from bpfheap.machine.native.heaps import NativeAllocator
from bpfheap.machine.offers import implementation
from bpfheap.platform.maps import Holds, MapType, Shape
from bpfheap.spec import MapSpec, ProgramSpec
from bpfheap.verifier.facts import Facts

if TYPE_CHECKING:
    from bpfheap.machine.native.jit import Compilation

#: As users name it.
MACHINE = "native"

_NUMBER_OF_SHAPE = {name: number for number, name in enumerate(_core.SHAPES)}
#: The core's shape for maps of a shape that hold something.
SHAPES = {
    (Shape.HASH, Holds.VALUES): "hash",
    (Shape.LRU, Holds.VALUES): "lru",
    (Shape.ARRAY, Holds.VALUES): "array",
    (Shape.HASH, Holds.MAPS): "hash",
    (Shape.ARRAY, Holds.MAPS): "array",
    (Shape.ARRAY, Holds.PROGRAMS): "array",
    (Shape.NONE, Holds.RECORDS): "ring",
    (Shape.NONE, Holds.NOTHING): "none",
}


def shape_number(spec: MapSpec, row: MapType) -> int:
    """The core's number of how a map is laid out. Raises MachineUnsupported if it has none."""
    return _NUMBER_OF_SHAPE[implementation(MACHINE, spec, row, SHAPES)]


@dataclass(slots=True)
class NativeMap:
    spec: MapSpec
    row: MapType
    map: _core.Map
    kptrs: tuple[KptrField, ...]
    special: tuple[SpecialField, ...]
    #: That an allocator map names.
    allocator: int | None
    #: Whose memory elements are.
    elements: NativeAllocator | None


@dataclass(slots=True)
class NativeProgram:
    name: str
    spec: ProgramSpec
    program: _core.Program
    #: By slot: a name, or the register that holds a helper's number.
    calls: dict[int, str | int]
    #: What it takes to compile it; without facts it cannot be.
    facts: Facts | None
    maps: dict[str, NamedMap]
    origins: tuple[Origin, ...]
    entries: list[_core.Entry] = field(default_factory=list)
    compilation: Compilation | None = None

    def call_name(self, run: _core.Execution) -> str:
        """What a run of it that has stopped at a call calls."""
        called = self.calls[run.slot]
        return called if isinstance(called, str) else helper_name(run.register(called))


@dataclass(slots=True)
class Running:
    """An execution."""

    run: _core.Execution
    cpu: int
    #: How often it found a lock held by somebody else.
    waits: int = field(default=0)
