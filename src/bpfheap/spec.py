"""What a BPF object file says, as pure data: no file descriptors, no addresses, no clock.

Readers are deterministic; what depends on a machine is decided when a spec is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from bpfheap.btf import Btf
from bpfheap.isa import Insn


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A place in the C source, from .BTF.ext. `text` is the line itself, "" if unknown."""

    file: str
    line: int
    column: int = 0
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class RefKind(StrEnum):
    """What the immediate of a slot refers to, beyond numbers."""

    MAP = "map"  # lddw: the map itself (BPF_PSEUDO_MAP_FD)
    MAP_VALUE = "map-value"  # lddw: address inside the value of a one-element array map
    FUNC = "func"  # lddw: address of a subprogram, for callbacks (BPF_PSEUDO_FUNC)
    KFUNC = "kfunc"  # call: by name, from .ksyms
    KSYM = "ksym"  # lddw: a kernel variable; no machine in user space has any


@dataclass(frozen=True, slots=True)
class Ref:
    """`name` is a map's or kfunc's name; `offset` the byte offset inside the value for MAP_VALUE.
    For FUNC, `target` is the slot at which the subprogram starts, in the linked program."""

    kind: RefKind
    name: str
    offset: int = 0
    target: int = -1


@dataclass(frozen=True, slots=True)
class SubprogSpec:
    """A function inside a linked program, the entry point included (always the first).

    `start` and `end` are slots, end exclusive. `func_id` is the BTF FUNC's id, 0 if unknown.
    """

    name: str
    start: int
    end: int
    func_id: int
    is_global: bool


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map definition. `key` and `value` are type ids in `btf`, 0 where there is no type.

    `inner` is the template of an inner map; `inner_names` the initial content of a map of maps,
    by slot (None: empty). `data` is the initial content of a data section's map.
    `kptr_allocator` and `elem_allocator` name allocator maps.
    """

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    btf: Btf = field(compare=False, repr=False)
    flags: int = 0
    key: int = 0
    value: int = 0
    inner: MapSpec | None = None
    inner_names: tuple[str | None, ...] = ()
    kptr_allocator: str | None = None
    elem_allocator: str | None = None
    pinning: int = 0
    numa_node: int = 0
    map_extra: int = 0
    data: bytes | None = field(default=None, repr=False)
    readonly: bool = False  # for programs, as .rodata is
    file: str = ""

    @property
    def identity(self) -> str:
        """What tells it from other maps: its name, or, since every file has data sections of the
        same names, that and the file's."""
        return self.name if self.data is None else f"{self.file}:{self.name}"

    @property
    def names_kptr_allocator(self) -> str | None:
        """The allocator map of its values' kptrs, or of those in maps inside it."""
        if self.kptr_allocator is None and self.inner is not None:
            return self.inner.kptr_allocator
        return self.kptr_allocator

    @property
    def needs(self) -> tuple[str, ...]:
        """The maps that have to be there before it."""
        # The names in an array of programs are those of programs.
        inner = self.inner_names if self.inner is not None else ()
        names = (*inner, self.names_kptr_allocator, self.elem_allocator)
        return tuple(dict.fromkeys(name for name in names if name is not None))


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """A program, linked: the entry function, then every subprogram it reaches.

    `insns` are slots with CO-RE relocations applied and local calls resolved (`imm` is relative,
    as the kernel wants it); `refs` maps a slot to what its immediate refers to; `lines` maps a
    slot to its source line for each slot at which .BTF.ext starts one, in increasing order.
    """

    name: str
    section: str
    insns: tuple[Insn, ...] = field(repr=False)
    refs: dict[int, Ref] = field(repr=False, hash=False)
    subprogs: tuple[SubprogSpec, ...]
    lines: dict[int, SourceLine] = field(repr=False, hash=False)
    btf: Btf = field(compare=False, repr=False)
    license: str = ""
    file: str = ""

    def line_of(self, slot: int) -> SourceLine | None:
        """The source line that `slot` belongs to: the nearest one at or before it, in the same
        subprogram."""
        start = 0
        for sub in self.subprogs:
            if sub.start <= slot < sub.end:
                start = sub.start
        for s in range(slot, start - 1, -1):
            found = self.lines.get(s)
            if found is not None:
                return found
        return None


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """A whole object file. Maps and programs are by name, in file order."""

    file: str
    btf: Btf = field(compare=False, repr=False)
    maps: dict[str, MapSpec] = field(hash=False)
    programs: dict[str, ProgramSpec] = field(hash=False)
    license: str = ""
