"""What is compiled: a program's code, what is known of it, and what it refers to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bpfheap.errors import BpfheapError
from bpfheap.isa import Insn
from bpfheap.spec import SourceLine
from bpfheap.verifier.facts import Facts


class CannotCompile(BpfheapError):
    """The program has what the compiler does not know; the interpreter runs it."""


@dataclass(frozen=True, slots=True)
class MapShape:
    """What of a map is the same as long as it lives, besides addresses.

    `symbol`: stands for its struct bh_map, and with ".memory" behind it for values or buckets.
    `shape`: its name in the core's SHAPES.
    `key_size`, `value_size`, `max_entries`: as its definition has them.
    `stride`: bytes of one CPU's value, and of an array's element.
    `per_cpu`: has an element a value for each CPU?
    `pointers`: are values 8 bytes, of which 0 means that there is none?
    `memory`: bytes of values or buckets.
    `mask`, `value_at`: as in struct bh_map.
    """

    symbol: str
    shape: str
    key_size: int
    value_size: int
    max_entries: int
    stride: int
    per_cpu: bool
    pointers: bool
    memory: int
    mask: int
    value_at: int


@dataclass(frozen=True, slots=True)
class Site:
    """A unit that objects of a type come from.

    `symbol`: stands for its struct bh_unit.
    `heap`: the name of the allocator's map, "" for the allocator behind bpf_obj_new.
    `type_id`: the type's number in the program's BTF.
    `size`: bytes of an object.
    `plain`: a new object is zeros, and nobody is told.
    `bare`: plain, and its objects own nothing.
    """

    symbol: str
    heap: str
    type_id: int
    size: int
    plain: bool
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A program that is to be compiled.

    `name`: for people.
    `insns`: well-formed (isa.check_structure).
    `facts`: what the verifier proved; without them nothing is taken for granted.
    `maps`: by slot of a lddw, the map whose address it loads.
    `values`: by slot of a lddw, the map, and the offset in its only value, of the address it loads.
    `functions`: by slot of a lddw, the slot of the subprogram whose address it loads.
    `calls`: by slot, the helper or kfunc that is called, None for one by number.
    `asked`: the names of calls that Python performs.
    `variables`: by slot of a lddw, what stands for the variable of the kernel whose address it
        loads, and its size.
    `shapes`: by name, the maps.
    `sites`: the units that its objects come from.
    `counted`: is the budget asked for in every loop, not only in those that the verifier has not
        walked to their end?
    `hardened`: does the program reach its core's region alone, whatever the verifier proved?
    `watched`: is somebody told of each object?
    `cpus`: as many as the machine has.
    `lines`, `file`: where it comes from, for people.
    """

    name: str
    insns: tuple[Insn, ...]
    facts: Facts | None = None
    maps: Mapping[int, str] = field(default_factory=dict)
    values: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    functions: Mapping[int, int] = field(default_factory=dict)
    calls: Mapping[int, str | None] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    variables: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    shapes: Mapping[str, MapShape] = field(default_factory=dict)
    sites: tuple[Site, ...] = ()
    counted: bool = False
    hardened: bool = False
    watched: bool = False
    cpus: int = 1
    lines: Mapping[int, SourceLine] = field(default_factory=dict)
    file: str = ""
