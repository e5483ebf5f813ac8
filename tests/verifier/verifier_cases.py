"""Reads verifier cases (see case_schema.json) and makes specs of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from bpfheap.btf import (
    Array,
    Btf,
    BtfType,
    Func,
    FuncProto,
    Int,
    LazyBtf,
    Member,
    Param,
    Ptr,
    Struct,
    TypeTag,
    Union,
    Void,
)
from bpfheap.isa import assemble
from bpfheap.platform.calls import HELPER_NUMBERS, Call
from bpfheap.platform.maps import BY_NAME, MapFlag
from bpfheap.platform.programs import PROGRAM_TYPES, Offer, ProgramType
from bpfheap.platform.programs.struct_ops import OPS_ROWS
from bpfheap.spec import (
    MapSpec,
    ObjectSpec,
    OpsMember,
    ProgramSpec,
    Ref,
    RefKind,
    SubprogSpec,
)
from bpfheap.vmlinux import NONE, VMLINUX, Vmlinux

FOLDER = Path(__file__).parent / "cases"
SCHEMA = json.loads((Path(__file__).parent / "case_schema.json").read_text())
_SCALARS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "int": 4}
_TYPE = re.compile(r"(?P<base>\w+|struct \w+)(?P<tag> __\w+)?(?P<star> \*)?(?:\[(?P<n>\d+)\])?")


class Types:
    """BTF from C-like member lists. A struct may be named before it is defined."""

    def __init__(self, structs: dict[str, dict[str, str]]) -> None:
        self._types: list[BtfType] = [Void()]
        self._known: dict[str, int] = {}
        for name in structs:
            self._known[f"struct {name}"] = self._add(Struct(name, 0, ()))
        for name, members in structs.items():
            self._define(name, members)

    def _add(self, kind: BtfType) -> int:
        self._types.append(kind)
        return len(self._types) - 1

    def _define(self, name: str, members: dict[str, str]) -> None:
        laid_out, at = [], 0
        for member, text in members.items():
            type_id, size, align = self.id_of(text), *self._extent(text)
            at = -(-at // align) * align
            laid_out.append(Member(member, type_id, at * 8))
            at += size
        # The kernel knows how large a lock is.
        unit = 4 if name == "bpf_spin_lock" else 8
        size = -(-at // unit) * unit
        self._types[self.id_of(f"struct {name}")] = Struct(name, size, tuple(laid_out))

    def id_of(self, text: str) -> int:
        """The type that a text names, added if it is new."""
        if text not in self._known:
            match = _TYPE.fullmatch(text)
            assert match, f"{text!r} is no type"
            if match["n"]:
                element = self.id_of(text[: text.index("[")])
                kind: BtfType = Array(element, self.id_of("u32"), int(match["n"]))
            elif match["star"]:
                target = self.id_of(match["base"])
                if match["tag"]:
                    target = self._add(TypeTag(match["tag"].removeprefix(" __"), target))
                kind = Ptr(target)
            else:
                size = _SCALARS[text]
                kind = Int(text, size, int(text == "int"), 0, 8 * size)
            self._known[text] = self._add(kind)
        return self._known[text]

    def _extent(self, text: str) -> tuple[int, int]:
        """Size and alignment."""
        match = _TYPE.fullmatch(text)
        assert match
        count = int(match["n"] or 1)
        if match["star"]:
            return 8 * count, 8
        if match["base"] in _SCALARS:
            return _SCALARS[match["base"]] * count, _SCALARS[match["base"]]
        struct = self._types[self._known[match["base"]]]
        assert isinstance(struct, Struct)
        assert struct.size, f"{text} is used before it is defined"
        return struct.size * count, 4 if struct.size == 4 else 8

    def build(self) -> Btf:
        """With functions main, sub and global at the end, for the programs and all that they call:
        the kernel looks up no types of a program whose functions have none."""
        integer = self.id_of("int")
        for name, linkage, params in (
            ("main", 1, (Param("ctx", self._add(Ptr(0))),)),
            ("sub", 0, ()),
            ("global", 1, (Param("number", self.id_of("u64")),)),
        ):
            self._add(Func(name, self._add(FuncProto(integer, params)), linkage))
        return Btf(tuple(self._types), "cases")


@dataclass(frozen=True)
class Case:
    """One program and what is to be said of it."""

    name: str
    obj: ObjectSpec
    program: ProgramSpec
    complexity_limit: int
    expected: dict[str, Any]


@cache
def cases() -> tuple[Case, ...]:
    """All cases of all files. Raises ValueError for one that breaks the schema."""
    return tuple(c for path in sorted(FOLDER.glob("*.yaml")) for c in cases_of(path))


def check_schema(document: Any, name: str, schema: Any = SCHEMA) -> None:
    for error in Draft202012Validator(schema).iter_errors(document):
        raise ValueError(f"{name}: {error.json_path}: {error.message}")


def cases_of(path: Path, schema: Any = SCHEMA, complexity_limit: int = 20_000) -> Iterator[Case]:
    """The cases of one file, with the limit for those that name none."""
    document = yaml.safe_load(path.read_text())
    check_schema(document, path.name, schema)
    types = Types(document.get("types", {}))
    maps = document.get("maps", {})
    for row in (*maps.values(), *(m["inner"] for m in maps.values() if "inner" in m)):
        for text in (row.get("key"), row.get("value")):
            if text:
                types.id_of(text)
    btf = types.build()
    specs = {name: _map(name, row, types, btf) for name, row in maps.items()}
    obj = ObjectSpec("cases", btf, specs, {})
    snippets = document.get("snippets", {})
    for case in document["cases"]:
        for i, variant in enumerate(case["variants"]):
            label = f"{path.stem}: {case['name']} #{i} {variant.get('with', '')}"
            code = expand(case["code"], variant.get("with", {}), snippets)
            code = placed(code)
            code = re.sub(r"\$(\w+)", lambda m: str(types.id_of(f"struct {m[1]}")), code)
            section = variant.get("section", case.get("section", "tc"))
            spec = program(code, btf, section)
            limit = case.get("complexity_limit", complexity_limit)
            yield Case(label, obj, spec, limit, variant)


def expand(code: str, values: dict[str, Any], snippets: dict[str, str]) -> str:
    for name, value in values.items():
        assert f"<{name}>" in code, f"<{name}> does not occur"
        code = code.replace(f"<{name}>", str(value))
    lines = []
    for line in code.splitlines():
        word, *arguments = line.split() or [""]
        if word.startswith("%"):
            lines.append(snippets[word[1:]].format(*arguments))
        else:
            lines.append(line)
    return "\n".join(lines)


def program(code: str, btf: Btf, section: str = "tc") -> ProgramSpec:
    """Assembly as a linked program, with a function at each label that is called: a global one
    where the label begins with `global`. What it is for, a section such as
    struct_ops/tcp_congestion_ops.ssthresh says."""
    done = assemble(code, helper_number=HELPER_NUMBERS.get)
    refs = {
        slot: Ref(RefKind(s.kind), s.name, s.offset, done.labels.get(s.name, -1))
        for slot, s in done.refs.items()
    }
    kinds = ("sub", "global")
    names = {slot: name for name, slot in done.labels.items() if name.startswith(kinds)}
    starts = [0, *sorted(names)]
    ends = [*starts[1:], len(done.insns)]
    ids = {name: btf.find(name, Func) or 0 for name in ("main", *kinds)}
    subprogs = tuple(
        _subprog(names.get(s, "main"), s, e, ids) for s, e in zip(starts, ends, strict=True)
    )
    kind, _, target = section.partition("/")
    struct, _, name = target.partition(".")
    member = OpsMember(struct, name) if kind.startswith("struct_ops") and name else None
    return ProgramSpec(
        "main", section, done.insns, refs, subprogs, {}, btf, "GPL", "cases", member=member
    )


#: What programs are attached to whose section has to name something.
_NAMED = {
    "tp_btf": "sched_switch", "fentry": "vfs_read", "fexit": "vfs_read", "iter": "task",
    "fmod_ret": "security_file_open", "lsm": "file_open", "lsm_cgroup": "socket_bind",
}  # fmt: skip
#: The kernel of this system, for programs that need the types of one. Named, as tests see none
#: otherwise.
SYSTEM = Vmlinux(VMLINUX if VMLINUX.exists() else NONE)
_PLACE = re.compile(r"@(\w+)\.([\w.]+)")


def section_of(row: ProgramType) -> str:
    """A section of that row, with a name if it has to have one."""
    name = row.sections[0]
    return f"{name}/{_NAMED[name]}" if name in _NAMED else name


def placed(code: str) -> str:
    """`@struct.member` as the member's offset in bytes in this system's kernel, 0 without its
    types."""
    return _PLACE.sub(lambda found: str(_offset(found[1], found[2].split("."))), code)


def _offset(struct: str, path: list[str]) -> int:
    types = SYSTEM.types()
    if types is None:
        return 0
    at, total = types.find(struct, Struct), 0
    assert at is not None, struct
    for name in path:
        at, offset = _member(types, at, name)
        total += offset
    return total


def _member(types: LazyBtf, at: int, name: str) -> tuple[int, int]:
    """Type and offset of a member, in anonymous ones too."""
    kind = types[types.resolve(at)]
    assert isinstance(kind, Struct | Union)
    for member in kind.members:
        if member.name == name:
            return member.type, member.bit_offset // 8
        if not member.name:
            try:
                found, offset = _member(types, member.type, name)
            except (AssertionError, KeyError):
                continue
            return found, offset + member.bit_offset // 8
    raise KeyError(name)


def section_for(call: Call, among: Offer = Offer.FEW) -> str:
    """A section of a type that may call it: of the most common one among these."""
    offered = [section_of(row) for row in PROGRAM_TYPES if row.has(call.offer & among)]
    offered += [
        f"struct_ops/{struct}.ssthresh"
        for struct, row in OPS_ROWS.items()
        if struct and row.has(call.offer & among & Offer.TCP_CA)
    ]
    usual = ("tc", "xdp", "raw_tracepoint")
    return min(offered, key=lambda name: usual.index(name) if name in usual else len(usual))


def _subprog(name: str, start: int, end: int, ids: dict[str, int]) -> SubprogSpec:
    kind = next(kind for kind in ids if name.startswith(kind))
    return SubprogSpec(name, start, end, ids[kind], kind != "sub")


def _map(name: str, row: dict[str, Any], types: Types, btf: Btf) -> MapSpec:
    key, value = (types.id_of(row[k]) if k in row else 0 for k in ("key", "value"))
    flags = 0
    for flag in row.get("flags", ()):
        flags |= MapFlag[flag]
    return MapSpec(
        name,
        BY_NAME[row["type"]].number,
        btf.size_of(key) if key else 4 if "inner" in row else 0,
        btf.size_of(value) if value else 4 if "inner" in row else 0,
        row.get("max_entries", 1),
        btf,
        flags,
        key,
        value,
        inner=_map(f"{name}.inner", row["inner"], types, btf) if "inner" in row else None,
        data=row["data"].encode("latin-1") if "data" in row else None,
        readonly=row.get("readonly", False),
    )
