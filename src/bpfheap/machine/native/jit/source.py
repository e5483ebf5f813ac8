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
    """What of a map is the same as long as it lives, besides addresses. `symbol` stands for its
    struct bh_map, `symbol`.memory for its `memory` bytes of values or buckets. `mask` and
    `value_at` are those of struct bh_map."""

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
    """A unit that objects of a type come from. `heap` is "" for that behind bpf_obj_new, else the
    name of the allocator's map. `plain`: a new object is zeros, and nobody is told."""

    symbol: str
    heap: str
    type_id: int
    size: int
    plain: bool


@dataclass(frozen=True, slots=True)
class Source:
    """`insns` are well-formed (isa.check_structure). By slot: `maps` names the map whose address a
    lddw loads, `values` the map and the offset of an address in its only value, `functions` the
    slot of a subprogram, `calls` the helper or kfunc, None for one by number.

    Without `facts` nothing is taken for granted. `counted`: the budget is asked for in every loop,
    not only in those that the verifier has not walked to their end. `watched`: somebody is told of
    each object. `cpus` are as many as the machine has.
    """

    name: str
    insns: tuple[Insn, ...]
    facts: Facts | None = None
    maps: Mapping[int, str] = field(default_factory=dict)
    values: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    functions: Mapping[int, int] = field(default_factory=dict)
    calls: Mapping[int, str | None] = field(default_factory=dict)
    shapes: Mapping[str, MapShape] = field(default_factory=dict)
    sites: tuple[Site, ...] = ()
    counted: bool = False
    watched: bool = False
    cpus: int = 1
    lines: Mapping[int, SourceLine] = field(default_factory=dict)
    file: str = ""
