"""What random programs find around them: types, maps, and functions' names, the same for all.

Sizes and offsets are in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from bpfheap.btf import (
    Array,
    Btf,
    BtfBuilder,
    Func,
    FuncProto,
    Int,
    Member,
    Param,
    Ptr,
    Struct,
    TypeTag,
)
from bpfheap.fuzz.pieces import Linked, Program
from bpfheap.platform.maps import BY_NAME
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec, SubprogSpec

#: Functions that a program has at most, with the entry.
MAX_FUNCTIONS: Final = 6


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that programs may use. `needs` are other features that it is nothing without."""

    name: str
    about: str
    needs: frozenset[str] = frozenset()


FEATURES: Final = (
    Feature("alu", "arithmetic of both widths beyond moves and additions"),
    Feature("branches", "conditions on numbers"),
    Feature("loops", "bounded loops"),
    Feature("stack", "stores, spills and loads of all sizes, at variable offsets too"),
    Feature("calls", "static functions"),
    Feature("maps", "arrays and hash tables, and pointers into their values"),
    Feature("kptrs", "objects, in fields of map values and of objects", frozenset({"maps"})),
    Feature("packets", "direct access to packets"),
    Feature("ringbuf", "records of ring buffers"),
    Feature("callbacks", "bpf_loop and bpf_for_each_map_elem", frozenset({"maps"})),
    Feature("iterators", "loops over numbers by bpf_iter_num"),
    Feature("locks", "bpf_spin_lock in map values", frozenset({"maps"})),
)
ALL: Final = frozenset(feature.name for feature in FEATURES)


@dataclass(frozen=True, slots=True)
class Target:
    """A struct as memory that a program reads and writes: `plain` is the range of bytes that
    hold numbers, `kptrs` the offsets of the kptr fields, with the struct that each holds."""

    name: str
    size: int
    plain: tuple[int, int]
    kptrs: tuple[tuple[int, str], ...] = ()
    lock: int | None = None


LEAF: Final = Target("fuzz_leaf", 16, (0, 16))
NODE: Final = Target("fuzz_node", 32, (0, 24), ((24, "fuzz_leaf"),))
VALUE: Final = Target("fuzz_value", 56, (16, 56), ((0, "fuzz_node"), (8, "fuzz_leaf")))
NUMBERS: Final = Target("fuzz_numbers", 40, (0, 40))
GUARDED: Final = Target("fuzz_guarded", 40, (4, 40), lock=0)
#: The structs that a program may allocate.
OBJECTS: Final = {target.name: target for target in (LEAF, NODE)}


@dataclass(frozen=True, slots=True)
class Place:
    """A map: keys are 4 bytes."""

    name: str
    type: str
    max_entries: int
    value: Target | None
    feature: str


MAPS: Final = (
    Place("values", "array", 2, VALUE, "kptrs"),
    Place("table", "hash", 4, VALUE, "kptrs"),
    Place("numbers", "array", 3, NUMBERS, "maps"),
    Place("counts", "hash", 4, NUMBERS, "maps"),
    Place("guarded", "array", 2, GUARDED, "locks"),
    Place("ring", "ringbuf", 4096, None, "ringbuf"),
)


class _Types:
    """BTF, and the ids of what is in it by name."""

    def __init__(self) -> None:
        self._builder = BtfBuilder()
        self.ids: dict[str, int] = {}
        add = self._builder.add
        for name, size in (("__u32", 4), ("__u64", 8)):
            self.ids[name] = add(Int(name, size, bits=8 * size))
        self.ids["int"] = add(Int("int", 4, encoding=1, bits=32))
        self._struct("bpf_spin_lock", 4, ("val", "__u32", 0))
        self._struct("fuzz_leaf", 16, ("a", "__u64", 0), ("b", "__u64", 8))
        self._kptr("fuzz_leaf")
        self._words(2)
        self._struct(
            "fuzz_node", 32, ("a", "__u64", 0), ("words", "words2", 8),
            ("leaf", "kptr fuzz_leaf", 24),
        )  # fmt: skip
        self._kptr("fuzz_node")
        self._words(4)
        self._struct(
            "fuzz_value", 56, ("node", "kptr fuzz_node", 0), ("leaf", "kptr fuzz_leaf", 8),
            ("a", "__u32", 16), ("b", "__u32", 20), ("words", "words4", 24),
        )  # fmt: skip
        self._struct(
            "fuzz_numbers", 40, ("a", "__u32", 0), ("b", "__u32", 4), ("words", "words4", 8)
        )
        self._struct(
            "fuzz_guarded", 40, ("lock", "bpf_spin_lock", 0), ("a", "__u32", 4),
            ("words", "words4", 8),
        )  # fmt: skip
        params = tuple(Param(f"a{i}", self.ids["__u64"]) for i in range(4))
        proto = add(FuncProto(self.ids["int"], params))
        for number in range(MAX_FUNCTIONS):
            self.ids[function_name(number)] = add(Func(function_name(number), proto, 0))

    def _struct(self, name: str, size: int, *members: tuple[str, str, int]) -> None:
        laid_out = tuple(Member(m, self.ids[t], at * 8) for m, t, at in members)
        self.ids[name] = self._builder.add(Struct(name, size, laid_out))

    def _kptr(self, name: str) -> None:
        tag = self._builder.add(TypeTag("kptr", self.ids[name]))
        self.ids[f"kptr {name}"] = self._builder.add(Ptr(tag))

    def _words(self, count: int) -> None:
        array = Array(self.ids["__u64"], self.ids["__u32"], count)
        self.ids[f"words{count}"] = self._builder.add(array)

    def build(self) -> Btf:
        return self._builder.build("random")


@cache
def types() -> tuple[Btf, dict[str, int]]:
    """The BTF of all random programs, and its ids by name."""
    made = _Types()
    return made.build(), made.ids


def function_name(number: int) -> str:
    return f"f{number}" if number else "fuzzed"


@cache
def surroundings(features: frozenset[str]) -> ObjectSpec:
    """An object without a program. It has the maps that the features need."""
    btf, ids = types()
    maps = {place.name: _map(place, btf, ids) for place in MAPS if place.feature in features}
    return ObjectSpec("random", btf, maps, {}, "GPL")


def _map(place: Place, btf: Btf, ids: dict[str, int]) -> MapSpec:
    row = BY_NAME[place.type]
    if place.value is None:
        return MapSpec(place.name, row.number, 0, 0, place.max_entries, btf)
    return MapSpec(
        place.name,
        row.number,
        4,
        place.value.size,
        place.max_entries,
        btf,
        key=ids["__u32"],
        value=ids[place.value.name],
    )


def linked(program: Program) -> ProgramSpec:
    """The program as the verifier and machines take it."""
    btf, ids = types()
    code = Linked(program)
    ends = [*list(code.starts.values())[1:], len(code.insns)]
    subprogs = tuple(
        SubprogSpec(program.functions[number].name, start, end, ids[function_name(number)], False)
        for (number, start), end in zip(code.starts.items(), ends, strict=True)
    )
    return ProgramSpec(
        function_name(0), program.section, code.insns, code.refs, subprogs, {}, btf, "GPL", "random"
    )
