"""What the native machine keeps of maps, programs and executions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfheap.btf import KptrField, SpecialField
from bpfheap.machine.native import _core
from bpfheap.machine.native.code import helper_name
from bpfheap.machine.native.compiling import NamedMap, Origin
from bpfheap.machine.native.heaps import NativeAllocator
from bpfheap.machine.native.tables import NativeTable
from bpfheap.machine.offers import implementation
from bpfheap.machine.tables import TABLES
from bpfheap.platform.maps import Holds, MapType, Shape
from bpfheap.spec import MapSpec, ProgramSpec
from bpfheap.verifier.facts import Facts

if TYPE_CHECKING:
    from bpfheap.machine.native.jit import Compilation

#: As users name it.
MACHINE = "native"

_NUMBER_OF_SHAPE = {name: number for number, name in enumerate(_core.SHAPES)}
#: The core's shape for maps whose elements Python keeps.
PLAYED = "played"
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
    **dict.fromkeys(TABLES, PLAYED),
    # Packet filters look up in these as often as in hashes.
    (Shape.TRIE, Holds.VALUES): "trie",
}


def shape_number(spec: MapSpec, row: MapType) -> int:
    """The core's number of how a map is laid out. Raises MachineUnsupported if it has none."""
    return _NUMBER_OF_SHAPE[implementation(MACHINE, spec, row, SHAPES)]


@dataclass(slots=True)
class NativeMap:
    """What the native machine keeps of a map.

    `id`: the runtime's number for it.
    `spec`: its definition.
    `row`: its type's.
    `map`: the core's.
    `kptrs`: those of its values.
    `special`: the other special fields of its values: locks, lists, trees.
    `allocator`: the one that an allocator map names.
    `elements`: the one whose memory elements are.
    `table`: its elements, if Python keeps them.
    """

    id: int
    spec: MapSpec
    row: MapType
    map: _core.Map
    kptrs: tuple[KptrField, ...]
    special: tuple[SpecialField, ...]
    allocator: int | None
    elements: NativeAllocator | None
    table: NativeTable | None = None


@dataclass(slots=True)
class NativeProgram:
    """What the native machine keeps of a program.

    `name`: for people.
    `spec`: what its file says.
    `program`: the core's.
    `calls`: by slot, what is called: its name, or the register that holds a helper's number.
    `asked`: the names of those that Python performs.
    `facts`: what the verifier proved; without them it cannot be compiled.
    `maps`: those that it names.
    `origins`: where its objects may come from.
    `variables`: those of the kernel that it names: where each is, and its size.
    `entries`: the ways to run it that were handed out.
    `compilation`: how it became machine code, None if nobody tried.
    `address`: where that is.
    """

    name: str
    spec: ProgramSpec
    program: _core.Program
    calls: dict[int, str | int]
    facts: Facts | None
    maps: dict[str, NamedMap]
    origins: tuple[Origin, ...]
    asked: frozenset[str] = frozenset()
    variables: dict[str, tuple[int, int]] = field(default_factory=dict)
    entries: list[_core.Entry] = field(default_factory=list)
    compilation: Compilation | None = None
    address: int = 0

    def call_name(self, run: _core.Execution) -> str:
        """What a run of it that has stopped at a call calls."""
        called = self.calls[run.slot]
        return called if isinstance(called, str) else helper_name(run.register(called))


@dataclass(slots=True)
class Running:
    """An execution.

    `run`: the core's.
    `cpu`: where it runs.
    `waits`: how often it found a lock held by somebody else.
    """

    run: _core.Execution
    cpu: int
    waits: int = field(default=0)
