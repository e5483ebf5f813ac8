"""The object file that all random programs share: its types, maps and names of functions.

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
from bpfheap.fuzz.pieces import LinkedCode, RandomProgram
from bpfheap.platform.maps import BY_NAME
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec, SubprogSpec

#: The most functions that a program has, the entry included.
MAX_FUNCTIONS: Final = 6


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that programs may use, as `--features` names it."""

    name: str
    #: What it is, for the help text.
    about: str
    #: Features that it cannot be used without.
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
    Feature("outside", "copies from addresses that may lead nowhere, numbers in texts, checksums"),
)
ALL: Final = frozenset(feature.name for feature in FEATURES)


@dataclass(frozen=True, slots=True)
class FuzzStruct:
    """A struct that programs read and write: a map's value, or an object."""

    name: str
    size: int
    #: Start and end (exclusive) of the bytes that hold numbers.
    scalars: tuple[int, int]
    #: (offset of a kptr field, name of the struct that it points at).
    kptrs: tuple[tuple[int, str], ...] = ()
    #: Offset of a bpf_spin_lock, None if there is none.
    lock: int | None = None


LEAF: Final = FuzzStruct("fuzz_leaf", 16, (0, 16))
NODE: Final = FuzzStruct("fuzz_node", 32, (0, 24), ((24, "fuzz_leaf"),))
VALUE: Final = FuzzStruct("fuzz_value", 56, (16, 56), ((0, "fuzz_node"), (8, "fuzz_leaf")))
NUMBERS: Final = FuzzStruct("fuzz_numbers", 40, (0, 40))
GUARDED: Final = FuzzStruct("fuzz_guarded", 40, (4, 40), lock=0)
#: The structs that a program may allocate.
OBJECTS: Final = {target.name: target for target in (LEAF, NODE)}


@dataclass(frozen=True, slots=True)
class FuzzMap:
    """A map that programs may use; keys have 4 bytes."""

    name: str
    #: As in `platform/maps.py`, e.g. "hash".
    type: str
    max_entries: int
    #: None for a ring buffer.
    value: FuzzStruct | None
    #: The feature without which an object does not have this map.
    feature: str


MAPS: Final = (
    FuzzMap("values", "array", 2, VALUE, "kptrs"),
    FuzzMap("table", "hash", 4, VALUE, "kptrs"),
    FuzzMap("numbers", "array", 3, NUMBERS, "maps"),
    FuzzMap("counts", "hash", 4, NUMBERS, "maps"),
    FuzzMap("guarded", "array", 2, GUARDED, "locks"),
    FuzzMap("ring", "ringbuf", 4096, None, "ringbuf"),
)


class _Types:
    """Builds the BTF; `ids` are its type ids by name."""

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
        # A global function, of themes.
        one = add(FuncProto(self.ids["int"], params[:1]))
        self.ids["g1"] = add(Func("g1", one, 1))

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
    """The name of a program's function, by its index in `RandomProgram.functions`."""
    return f"f{number}" if number else "fuzzed"


def function_id(name: str) -> int:
    """The BTF id of a function by its name: that of `function_name`, or g1, which is global."""
    return types()[1][name]


def is_global(name: str) -> bool:
    """Is the function of that name a global one, which is verified apart?"""
    return name.startswith("g")


@cache
def surroundings(features: frozenset[str]) -> ObjectSpec:
    """The object file without a program, with the maps that the features need."""
    btf, ids = types()
    maps = {map_.name: _map(map_, btf, ids) for map_ in MAPS if map_.feature in features}
    return ObjectSpec("random", btf, maps, {}, "GPL")


def _map(map_: FuzzMap, btf: Btf, ids: dict[str, int]) -> MapSpec:
    row = BY_NAME[map_.type]
    if map_.value is None:
        return MapSpec(map_.name, row.number, 0, 0, map_.max_entries, btf)
    return MapSpec(
        map_.name,
        row.number,
        4,
        map_.value.size,
        map_.max_entries,
        btf,
        key=ids["__u32"],
        value=ids[map_.value.name],
    )


def linked(program: RandomProgram) -> ProgramSpec:
    """The program in the form that the verifier and machines take."""
    btf, ids = types()
    code = LinkedCode(program)
    ends = [*list(code.starts.values())[1:], len(code.insns)]
    named = ((program.functions[number].name, start) for number, start in code.starts.items())
    subprogs = tuple(
        SubprogSpec(name, start, end, ids[name], is_global(name))
        for (name, start), end in zip(named, ends, strict=True)
    )
    return ProgramSpec(
        function_name(0), program.section, code.insns, code.refs, subprogs, {}, btf, "GPL", "random"
    )
