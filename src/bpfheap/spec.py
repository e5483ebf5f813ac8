"""What a BPF object file says, as pure data: no file descriptors, no addresses, no clock.

Readers are deterministic; what depends on a machine is decided when a spec is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from bpfheap.btf import Btf, LazyBtf, Var, Void, exception_callbacks
from bpfheap.errors import BpfheapError
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


class KernelTypes(Protocol):
    """The kernel that an object is for: its types, read when somebody asks, and its release."""

    def release(self) -> tuple[int, int]:
        """The release of Linux that programs have to load on: (6, 1) for 6.1."""

    def types(self) -> LazyBtf | None:
        """Its BTF, None if there is none. Raises BpfheapError if that cannot be read."""

    def has_types(self) -> bool:
        """Is there BTF that can be read?"""

    def modules(self) -> Iterable[LazyBtf]:
        """The types of its modules, for what `types` does not have."""


class RefKind(StrEnum):
    """What the immediate of a slot refers to, beyond numbers."""

    MAP = "map"  # lddw: the map itself (BPF_PSEUDO_MAP_FD)
    MAP_VALUE = "map-value"  # lddw: address inside the value of a one-element array map
    FUNC = "func"  # lddw: address of a subprogram, for callbacks (BPF_PSEUDO_FUNC)
    KFUNC = "kfunc"  # call: by name, from .ksyms
    KFUNC_ADDR = "kfunc-addr"  # lddw: whether there is such a kfunc, any number but 0
    KSYM = "ksym"  # lddw: a kernel variable
    KCONFIG = "kconfig"  # lddw: a value of a configuration that is not known
    MISSING = "missing"  # call of no helper: what the kernel lacks, by name; never to be reached


@dataclass(frozen=True, slots=True)
class Ref:
    """What the immediate of one slot refers to."""

    kind: RefKind
    #: Of the map, kfunc, function or kernel variable; for MISSING, what is missing.
    name: str
    #: For MAP_VALUE: the byte offset inside the value.
    offset: int = 0
    #: For FUNC: the first slot of the subprogram, in the linked program.
    target: int = -1


@dataclass(frozen=True, slots=True)
class SubprogSpec:
    """A function inside a linked program; the first one is the entry."""

    name: str
    #: Its slots, `end` exclusive.
    start: int
    end: int
    #: The id of its BTF FUNC, 0 if unknown.
    func_id: int
    #: Verified by itself, from what it declares (not static).
    is_global: bool


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map definition. Members that are not explained are those of union bpf_attr."""

    name: str
    #: The number of the map type.
    type: int
    key_size: int
    value_size: int
    max_entries: int
    btf: Btf = field(compare=False, repr=False)
    flags: int = 0
    #: Type ids in `btf`, 0 where there is no type.
    key: int = 0
    value: int = 0
    #: For a map of maps: what an inner map has to be like.
    inner: MapSpec | None = None
    #: Initial content of a map of maps or array of programs, by slot (None: empty).
    inner_names: tuple[str | None, ...] = ()
    #: Names of allocator maps: for objects in kptr fields of values, and for elements.
    kptr_allocator: str | None = None
    elem_allocator: str | None = None
    pinning: int = 0
    numa_node: int = 0
    map_extra: int = 0
    #: The initial content of a data section's map.
    data: bytes | None = field(default=None, repr=False)
    #: Programs may not write it (.rodata).
    readonly: bool = False
    #: The initial content of an arena's first bytes: the variables in it.
    variables: bytes = field(default=b"", repr=False)
    file: str = ""

    @property
    def identity(self) -> str:
        """A key that is unique among maps of several files: the name, and for a data section the
        file's name too, since every file has a ".bss"."""
        return self.name if self.data is None else f"{self.file}:{self.name}"

    @property
    def is_typed(self) -> bool:
        """Does its definition say of which types keys or values are?"""
        return bool(self.key or self.value)

    @property
    def names_kptr_allocator(self) -> str | None:
        """The allocator map named for kptrs in its values, or in values of its inner maps."""
        if self.kptr_allocator is None and self.inner is not None:
            return self.inner.kptr_allocator
        return self.kptr_allocator

    @property
    def needs(self) -> tuple[str, ...]:
        """The maps that have to be created before it."""
        # Without a template it is an array of programs, whose names are no maps.
        inner = self.inner_names if self.inner is not None else ()
        names = (*inner, self.names_kptr_allocator, self.elem_allocator)
        return tuple(dict.fromkeys(name for name in names if name is not None))


@dataclass(frozen=True, slots=True)
class OpsMember:
    """A member of a struct of the kernel's that holds a function, which programs may be for."""

    struct: str
    name: str

    def __str__(self) -> str:
        return f"{self.struct}.{self.name}"


@dataclass(frozen=True, slots=True)
class StructOpsSpec:
    """A variable of a struct of functions, in section .struct_ops: a map of type STRUCT_OPS to the
    kernel."""

    name: str
    #: Its type: the name, as the kernel has it, and the id in `btf`.
    struct: str
    type: int
    btf: Btf = field(compare=False, repr=False)
    #: What it is initialised with, the functions left out.
    data: bytes = field(repr=False)
    #: By member, the name of the program that it holds.
    programs: dict[str, str] = field(hash=False)
    #: Is it registered by a link (.struct_ops.link)?
    link: bool = False
    file: str = ""


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """A linked program: the entry function, then every subprogram that it refers to."""

    name: str
    #: The ELF section, which tells the program type.
    section: str
    #: All slots, with CO-RE relocations applied and local calls resolved (`imm` is relative to the
    #: next slot, as the kernel wants it).
    insns: tuple[Insn, ...] = field(repr=False)
    #: What an immediate refers to, by slot.
    refs: dict[int, Ref] = field(repr=False, hash=False)
    subprogs: tuple[SubprogSpec, ...]
    #: The source line that starts at a slot, by slot, in increasing order.
    lines: dict[int, SourceLine] = field(repr=False, hash=False)
    btf: Btf = field(compare=False, repr=False)
    license: str = ""
    file: str = ""
    #: Why it could not be linked; its code is then as far as it was. Nothing runs it.
    broken: BpfheapError | None = field(default=None, compare=False, repr=False)
    #: Of a struct_ops program, what it is for: the member that a variable of the file has it in.
    member: OpsMember | None = None

    def is_untyped(self, name: str) -> bool:
        """Does it declare a variable of the kernel as `extern const void`? What loaders put in its
        place is a number, the address."""
        at = self.btf.find(name, Var)
        kind = None if at is None else self.btf[at]
        return isinstance(kind, Var) and isinstance(self.btf[self.btf.resolve(kind.type)], Void)

    @property
    def exception_callback(self) -> int:
        """The first slot of the function that is called when it throws, 0 for none."""
        names = exception_callbacks(self.btf, self.subprogs[0].func_id) if self.subprogs else ()
        return next((sub.start for sub in self.subprogs if (sub.name,) == names), 0)

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
    #: What users should know of how it was read, a line each.
    notes: tuple[str, ...] = field(default=(), compare=False)
    #: The kernel that it is for, None for none.
    kernel: KernelTypes | None = field(default=None, compare=False, repr=False)
    #: The variables in .struct_ops, by name, in file order.
    struct_ops: dict[str, StructOpsSpec] = field(default_factory=dict, hash=False)
