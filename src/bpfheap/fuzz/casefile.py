"""A finding as a file of cases, in the form of tests/verifier/cases."""

from __future__ import annotations

import json
import re
from typing import Final

from bpfheap.btf import Array, Btf, Int, Ptr, Struct, TypeTag
from bpfheap.fuzz.hunt import listing_of
from bpfheap.fuzz.results import FuzzResult, Outcome
from bpfheap.platform.maps import BY_NUMBER
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec

#: Ours was wrong to refuse; whatever else is wrong with an accepted program, it was to be refused.
_TO_BE_ACCEPTED: Final = frozenset({Outcome.OURS_REFUSES})
_SCALARS: Final = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}
_SLOT: Final = re.compile(r"^\d+: \([0-9a-f]{2}\) ")
_ALLOCATED: Final = re.compile(r"^r1 = (\d+)$")


def case_file(title: str, result: FuzzResult, obj: ObjectSpec, program: ProgramSpec) -> str:
    """The file. Its one case is named by `title`."""
    types: dict[str, dict[str, str]] = {}
    maps = [_map(map_, types) for map_ in obj.maps.values() if _used(map_, program)]
    code = "\n".join(f"      {line}" for line in _code(program, obj.btf, types))
    told = " ".join(f"{result.ours} {result.theirs}".split())
    # Types come after those that they hold.
    laid_out = [
        f"  {name}: {{{', '.join(f'{m}: {_quoted(t)}' for m, t in members.items())}}}"
        for name, members in types.items()
    ]
    lines = [f"# {result.outcome}: {told}"]
    lines += ["types:", *laid_out] if laid_out else []
    lines += ["maps:", *maps] if maps else []
    lines += ["cases:", f"  - name: {_quoted(title)}"]
    lines += [f"    section: {_quoted(program.section)}", "    code: |", code, "    variants:"]
    if result.outcome in _TO_BE_ACCEPTED:
        lines.append("      - {verdict: accept}")
    else:
        lines.append(f"      - {{verdict: reject, message: {_quoted(result.theirs or '?')}}}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # A JSON string is one of YAML.
    return json.dumps(text)


def _used(map_: MapSpec, program: ProgramSpec) -> bool:
    return any(ref.name == map_.name for ref in program.refs.values())


def _map(map_: MapSpec, types: dict[str, dict[str, str]]) -> str:
    parts = [f"type: {BY_NUMBER[map_.type].name}"]
    if map_.value:
        parts.append("key: u32")
        parts.append(f"value: {_quoted(_type(map_.btf, map_.value, types))}")
    parts.append(f"max_entries: {map_.max_entries}")
    return f"  {map_.name}: {{{', '.join(parts)}}}"


def _type(btf: Btf, type_id: int, types: dict[str, dict[str, str]]) -> str:
    """A type as the files have it; the structs that it is made of become entries of `types`."""
    kind = btf[type_id]
    match kind:
        case Int():
            return _SCALARS[kind.size]
        case Array():
            return f"{_type(btf, kind.type, types)}[{kind.count}]"
        case Ptr():
            tag = btf[kind.type]
            if isinstance(tag, TypeTag):
                return f"{_type(btf, tag.type, types)} __{tag.name} *"
            return f"{_type(btf, kind.type, types)} *"
        case Struct():
            if kind.name not in types:
                members = {m.name: _type(btf, m.type, types) for m in kind.members}
                types[kind.name] = members
            return f"struct {kind.name}"
    raise ValueError(f"type {type_id} has no form in a file of cases")


def _code(program: ProgramSpec, btf: Btf, types: dict[str, dict[str, str]]) -> list[str]:
    """The program as assembly, with functions named as the readers of cases want them."""
    names = {
        sub.name: f"{'global' if sub.is_global else 'sub'}{number}"
        for number, sub in enumerate(program.subprogs)
        if number
    }
    lines = []
    for line in listing_of(program):
        text = _SLOT.sub("", line)
        for old, new in names.items():
            text = re.sub(rf"\b{old}\b", new, text)
        lines.append(text)
    for at, line in enumerate(lines):
        if not line.startswith("call kfunc bpf_obj_new_impl"):
            continue
        # The type's number differs from file to file.
        for before in range(at - 1, -1, -1):
            found = _ALLOCATED.match(lines[before])
            if found is not None:
                target = btf[int(found[1])]
                if isinstance(target, Struct):
                    _type(btf, int(found[1]), types)
                    lines[before] = f"r1 = ${target.name}"
                break
    return lines
