"""Type identity: two types are the same if names and layouts agree, down to the last member."""

from __future__ import annotations

from typing import NamedTuple

from bpfheap.btf.table import Btf
from bpfheap.btf.types import (
    Array,
    Enum,
    Enum64,
    Float,
    FuncProto,
    Fwd,
    Int,
    Ptr,
    Struct,
    Union,
    Void,
)  # fmt: skip

#: The most pairs of types that one comparison looks at. Hostile BTF could ask for very many: two
#: cycles of types with coprime lengths need the product of the lengths.
MAX_PAIRS = 1 << 18
_MAX_STEPS = 16


class _ComparisonPath(NamedTuple):
    """The way from the compared types to a part of them, as a linked list: paths share their
    beginnings, and few are ever shown."""

    before: _ComparisonPath | None
    step: str

    def __str__(self) -> str:
        steps, at = [self.step], self.before
        while at is not None:
            steps.append(at.step)
            at = at.before
        if len(steps) > _MAX_STEPS:
            steps[_MAX_STEPS - 1 : -1] = [" ..."]
        return "".join(reversed(steps))


_Todo = list[tuple[int, int, _ComparisonPath]]


def same_type(a: Btf, ida: int, b: Btf, idb: int, *, strict: bool = False) -> bool:
    """Whether type `ida` of `a` and type `idb` of `b` are the same. See `why_different`."""
    return why_different(a, ida, b, idb, strict=strict) is None


def why_different(a: Btf, ida: int, b: Btf, idb: int, *, strict: bool = False) -> str | None:
    """The first difference, in words; None if the types are the same.

    Typedefs, const, volatile and restrict do not count: they change neither bytes nor ownership.
    Names of integers do not either. The tags of members do. A struct that one side only declares
    agrees with any struct of that name: who wants to look inside asks for `incomplete` first.
    Recursive types are compared by assuming that what is being compared agrees (the greatest
    bisimulation); what is too large to compare is not the same. With `strict`, two types are one
    only if they have the same id in BTF of the same content. Works without recursion.
    """
    if strict:
        if a != b:
            return "they come from different BTF, and identity is strict"
        return None if ida == idb else f"they have ids {ida} and {idb}, and identity is strict"
    return compare(a, ida, b, idb, MAX_PAIRS)[0]


def compare(a: Btf, ida: int, b: Btf, idb: int, limit: int) -> tuple[str | None, int]:
    """The first difference, and how many pairs of types it took to find it; more than `limit`
    are a difference."""
    if a == b and ida == idb:
        return None, 1
    assumed: set[tuple[int, int]] = set()
    todo: _Todo = [(ida, idb, _ComparisonPath(None, a.c_name(ida)))]
    while todo:
        x, y, path = todo.pop()
        x, y = a.resolve(x), b.resolve(y)
        if (x, y) in assumed:
            continue
        assumed.add((x, y))
        if len(assumed) > limit:
            return f"{a.c_name(ida)}: there are too many types in it to compare", limit
        why = _compare(a, x, b, y, path, todo)
        if why is not None:
            return f"{path}: {why}", len(assumed)
    return None, len(assumed)


def _compare(a: Btf, x: int, b: Btf, y: int, path: _ComparisonPath, todo: _Todo) -> str | None:
    """The difference between two types themselves; what they refer to goes on `todo`."""
    one, two = a[x], b[y]
    if type(one) is not type(two):
        if _is_forward_declaration(a, x, b, y):
            return None
        return f"{a.c_name(x)} here, {b.c_name(y)} there"
    match one, two:
        case (Int(), Int()):
            if (one.size, one.encoding, one.bits) != (two.size, two.encoding, two.bits):
                return f"{_int(one)} here, {_int(two)} there"
        case (Float(), Float()):
            if one.size != two.size:
                return f"{one.name} has {one.size} bytes here, {two.size} there"
        case (Ptr(), Ptr()):
            todo.append((one.type, two.type, _ComparisonPath(path, " *")))
        case (Array(), Array()):
            if one.count != two.count:
                return f"{one.count} elements here, {two.count} there"
            todo.append((one.type, two.type, _ComparisonPath(path, "[]")))
        case (Struct(), Struct()) | (Union(), Union()):
            return _compare_members(a, x, b, y, path, todo)
        case (Enum(), Enum()) | (Enum64(), Enum64()):
            if one != two:
                return f"{a.c_name(x)} has other values or another size there"
        case (Fwd(), Fwd()):
            if one != two:
                return f"{a.c_name(x)} here, {b.c_name(y)} there"
        case (FuncProto(), FuncProto()):
            if len(one.params) != len(two.params):
                return f"{len(one.params)} parameters here, {len(two.params)} there"
            todo.append((one.ret, two.ret, _ComparisonPath(path, "()")))
            todo += [
                (p.type, q.type, _ComparisonPath(path, f", parameter {i}"))
                for i, (p, q) in enumerate(zip(one.params, two.params, strict=True), 1)
            ]
        case (Void(), Void()):
            return None
        case _:
            if one != two:
                return f"{a.c_name(x)} here, {b.c_name(y)} there"
    return None


def _is_forward_declaration(a: Btf, x: int, b: Btf, y: int) -> bool:
    """Whether one is a forward declaration of the other."""
    for one, two in ((a[x], b[y]), (b[y], a[x])):
        if isinstance(one, Fwd) and isinstance(two, Union if one.is_union else Struct):
            return one.name == two.name
    return False


def _compare_members(
    a: Btf, x: int, b: Btf, y: int, path: _ComparisonPath, todo: _Todo
) -> str | None:
    one, two = a[x], b[y]
    assert isinstance(one, Struct | Union)
    assert isinstance(two, Struct | Union)
    if one.name != two.name:
        return f"{a.c_name(x)} here, {b.c_name(y)} there"
    if one.size != two.size:
        return f"it has {one.size} bytes here, {two.size} there"
    if len(one.members) != len(two.members):
        return f"it has {len(one.members)} members here, {len(two.members)} there"
    for i, (m, n) in enumerate(zip(one.members, two.members, strict=True)):
        if m.name != n.name:
            return f"member {m.name} here, {n.name} there"
        if m.bitfield_size != n.bitfield_size:
            widths = [
                f"{w} bits" if w else "no bitfield" for w in (m.bitfield_size, n.bitfield_size)
            ]
            return f"member {m.name} has {widths[0]} here, {widths[1]} there"
        if m.bit_offset != n.bit_offset:
            return f"member {m.name} is at bit {m.bit_offset} here, {n.bit_offset} there"
        here, there = _member_tags(a, x, i), _member_tags(b, y, i)
        if here != there:
            return f"member {m.name} has tags {_tags(here)} here, {_tags(there)} there"
    todo += [
        (m.type, n.type, _ComparisonPath(path, f", member {m.name}"))
        for m, n in zip(reversed(one.members), reversed(two.members), strict=True)
    ]
    return None


def _member_tags(btf: Btf, struct: int, member: int) -> list[str]:
    """A tag counts once, be it a type tag, a declaration tag or both: which of them the compiler
    keeps depends on where the author wrote it."""
    kind = btf[struct]
    assert isinstance(kind, Struct | Union)
    at = btf.resolve(kind.members[member].type)
    inner = btf[at]
    while isinstance(inner, Array):
        at = btf.resolve(inner.type)
        inner = btf[at]
    return sorted({*btf.decl_tags(struct, member), *btf.type_tags(at)})


def _int(kind: Int) -> str:
    sign = "signed" if kind.signed else "unsigned"
    return f"{kind.name} ({sign}, {kind.size} bytes)"


def _tags(tags: list[str]) -> str:
    return ", ".join(tags) or "none"
