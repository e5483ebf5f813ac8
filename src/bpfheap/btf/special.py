"""Special fields, which programs pass to helpers and kfuncs but never access themselves: locks,
timers, list heads, tree roots, nodes, reference counts (btf_find_field and btf_parse_fields in
kernel/bpf/btf.c)."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from bpfheap.btf.fields import kptr_fields
from bpfheap.btf.table import Btf
from bpfheap.btf.types import Array, Datasec, Struct, Union, Var
from bpfheap.errors import BtfError

#: As many as kptrs (see fields.MAX_FIELDS); the kernel allows 11 in all.
MAX_SPECIAL = 512
_MAX_DEPTH = 64


class SpecialKind(StrEnum):
    """The kinds of special fields, by the name of their struct."""

    SPIN_LOCK = "bpf_spin_lock"
    RES_SPIN_LOCK = "bpf_res_spin_lock"
    TIMER = "bpf_timer"
    WORKQUEUE = "bpf_wq"
    TASK_WORK = "bpf_task_work"
    LIST_HEAD = "bpf_list_head"
    LIST_NODE = "bpf_list_node"
    RB_ROOT = "bpf_rb_root"
    RB_NODE = "bpf_rb_node"
    REFCOUNT = "bpf_refcount"


#: What a program's own function is tagged with that has an exception callback; the name follows.
_EXCEPTION_CALLBACK = "exception_callback:"

#: The node that links an object into a list or tree.
NODE_OF = {SpecialKind.LIST_HEAD: SpecialKind.LIST_NODE, SpecialKind.RB_ROOT: SpecialKind.RB_NODE}
_LOCKS = frozenset({SpecialKind.SPIN_LOCK, SpecialKind.RES_SPIN_LOCK})
#: Kinds of which a struct or value may have at most one.
_SINGLE = frozenset(
    {
        SpecialKind.SPIN_LOCK,
        SpecialKind.RES_SPIN_LOCK,
        SpecialKind.TIMER,
        SpecialKind.WORKQUEUE,
        SpecialKind.TASK_WORK,
        SpecialKind.REFCOUNT,
    }
)
_KINDS = {str(kind): kind for kind in SpecialKind}
#: What Linux 6.18 takes them to have, in bytes, whatever a program says of their structs; and of
#: what their offsets are multiples (btf_field_type_size, btf_field_type_align).
_SIZES = {
    SpecialKind.SPIN_LOCK: 4,
    SpecialKind.RES_SPIN_LOCK: 4,
    SpecialKind.TIMER: 16,
    SpecialKind.WORKQUEUE: 16,
    SpecialKind.TASK_WORK: 8,
    SpecialKind.LIST_HEAD: 16,
    SpecialKind.LIST_NODE: 24,
    SpecialKind.RB_ROOT: 16,
    SpecialKind.RB_NODE: 32,
    SpecialKind.REFCOUNT: 4,
}
#: A struct with some of these has to have one that is as Linux's are (btf_parse_struct_metas).
_LOOKED_FOR = frozenset({*NODE_OF, *NODE_OF.values(), SpecialKind.SPIN_LOCK, SpecialKind.REFCOUNT})


class Contains(NamedTuple):
    """What a list head or tree root holds: objects of struct `type`, linked through the node at
    byte `offset`, which is called `member`."""

    type: int
    member: str
    offset: int


class SpecialField(NamedTuple):
    """A special field of a value."""

    #: As C would write it.
    path: str
    #: In bytes, as is `size`.
    offset: int
    size: int
    kind: SpecialKind
    #: Of list heads and tree roots only.
    contains: Contains | None = None
    #: The declaration tags.
    tags: tuple[str, ...] = ()


class _UncheckedField(NamedTuple):
    """A special field before it is checked, without `contains`."""

    path: str
    offset: int
    size: int
    kind: SpecialKind
    tags: tuple[str, ...]


def special_fields(btf: Btf, type_id: int) -> tuple[SpecialField, ...]:
    """The special fields of a map value, struct or data section, by offset. One of another size
    than Linux's, or that is not aligned, is none, but mere bytes.

    Raises BtfError, with the path, for a second lock (timer, count), one in a union, a head
    without a `__contains` tag or with one that names no such struct or node, nesting beyond 64
    levels, and more than MAX_SPECIAL fields. Raises it, too, for a struct with a head and no lock,
    for one with both kinds of nodes and no count (btf_parse_fields, Linux 6.18), and for one with a
    node whose heads hold what has heads (btf_check_and_fixup_fields), and for one with nothing
    special in it but what is no such field.
    """
    found: list[SpecialField] = []
    single: dict[SpecialKind, str] = {}
    odd: list[_UncheckedField] = []
    for raw in sorted(_fields_within(btf, btf.resolve(type_id), {}, 0), key=lambda r: r.offset):
        if not _fits(raw.kind, raw.size, raw.offset):
            odd.append(raw)
            continue
        where = f"{btf.c_name(type_id)}: {raw.kind} {raw.path}"
        if raw.kind in _SINGLE:
            if raw.kind in single:
                raise BtfError(
                    f"{where} is a second one, after {single[raw.kind]}",
                    file=btf.file,
                    hint="a value has one of a kind at most",
                )
            single[raw.kind] = raw.path
        contains = _contains(btf, raw, where) if raw.kind in NODE_OF else None
        found.append(SpecialField(*raw[:4], contains, raw.tags))
    if isinstance(btf[btf.resolve(type_id)], Struct):
        if not found:
            _check_odd(btf, type_id, odd)
        _check_together(btf, type_id, {field.kind for field in found})
        _check_owners(btf, type_id, found)
    return tuple(found)


def _fits(kind: SpecialKind, size: int, offset: int) -> bool:
    """Is it as Linux has it (btf_find_struct, btf_find_field_one)?"""
    return size == _SIZES[kind] and not offset % min(size, 8)


def _check_odd(btf: Btf, type_id: int, odd: list[_UncheckedField]) -> None:
    for raw in odd:
        if raw.kind in _LOOKED_FOR and not kptr_fields(btf, type_id):
            where = f"{btf.c_name(type_id)}: {raw.kind} {raw.path}"
            size = _SIZES[raw.kind]
            if raw.size != size:
                raise BtfError(
                    f"{where} has {raw.size} bytes, and Linux's has {size} (EFAULT)",
                    file=btf.file,
                    hint=f"define no struct {raw.kind} of your own: vmlinux.h and <linux/bpf.h> "
                    "have it",
                )
            raise BtfError(
                f"{where} is at byte {raw.offset}, not a multiple of {min(size, 8)} (EFAULT)",
                file=btf.file,
            )


def _check_together(btf: Btf, type_id: int, kinds: set[SpecialKind]) -> None:
    heads = sorted(kinds & NODE_OF.keys())
    if heads and not kinds & _LOCKS:
        raise BtfError(
            f"{btf.c_name(type_id)} has a {heads[0]} but no lock",
            file=btf.file,
            hint="put a struct bpf_spin_lock beside it",
        )
    if kinds >= set(NODE_OF.values()) and SpecialKind.REFCOUNT not in kinds:
        raise BtfError(
            f"{btf.c_name(type_id)} has a {' and a '.join(NODE_OF.values())} but no bpf_refcount",
            file=btf.file,
            hint="what is in a list and in a tree has two owners: add a struct bpf_refcount",
        )


def _check_owners(btf: Btf, type_id: int, fields: list[SpecialField]) -> None:
    """Objects shall not own one another in a circle. Linux does not look for circles: what can be
    in a list or tree has none itself of objects that have."""
    if not any(field.kind in NODE_OF.values() for field in fields):
        return
    for field in fields:
        if field.contains is None:
            continue
        inside = _fields_within(btf, field.contains.type, {}, 0)
        if any(raw.kind in NODE_OF and _fits(raw.kind, raw.size, raw.offset) for raw in inside):
            owned = btf.c_name(field.contains.type)
            raise BtfError(
                f"{btf.c_name(type_id)} is in lists or trees, and its {field.path} holds "
                f"{owned}, which has such itself (ELOOP)",
                file=btf.file,
                hint="objects could own one another in a circle: let one of them have no list or "
                "tree, or be in none",
            )


def _fields_within(
    btf: Btf, at: int, known: dict[int, tuple[_UncheckedField, ...]], depth: int
) -> tuple[_UncheckedField, ...]:
    """The fields in a value of type `at`, paths and offsets relative to it."""
    if at in known:
        return known[at]
    if depth > _MAX_DEPTH:
        return ()
    kind = btf[at]
    found: list[_UncheckedField] = []
    match kind:
        case Struct(members=members) | Union(members=members):
            for i, member in enumerate(members):
                tags = btf.decl_tags(at, i)
                inner = btf.resolve(member.type)
                found += _fields_of_member(
                    btf, inner, member.name, member.bit_offset // 8, tags, known, depth
                )
            if isinstance(kind, Union):
                # The kernel does not look into unions, so nothing there is special.
                found = []
        case Array(type=element, count=count):
            inner = btf.resolve(element)
            one = _fields_of_member(btf, inner, "", 0, (), known, depth)
            size = btf.size_of(inner) if one else 0
            for i in range(min(count, MAX_SPECIAL + 1) if one else 0):
                found += [
                    raw._replace(path=f"[{i}]{_dotted(raw.path)}", offset=raw.offset + i * size)
                    for raw in one
                ]
        case Datasec(vars=variables):
            for var in variables:
                declared = btf[var.type]
                assert isinstance(declared, Var)
                inner = btf.resolve(declared.type)
                tags = btf.decl_tags(var.type)
                found += _fields_of_member(
                    btf, inner, declared.name, var.offset, tags, known, depth
                )
    if len(found) > MAX_SPECIAL:
        raise BtfError(
            f"{btf.c_name(at)} has more than {MAX_SPECIAL} locks, heads and nodes", file=btf.file
        )
    known[at] = tuple(found)
    return known[at]


def _fields_of_member(
    btf: Btf, inner: int, name: str, offset: int, tags: tuple[str, ...],
    known: dict[int, tuple[_UncheckedField, ...]], depth: int,
) -> list[_UncheckedField]:  # fmt: skip
    """The fields of one member, of type `inner`."""
    kind = btf[inner]
    if isinstance(kind, Struct) and kind.name in _KINDS:
        return [_UncheckedField(name, offset, kind.size, _KINDS[kind.name], tags)]
    return [
        raw._replace(
            path=f"{name}{_dotted(raw.path)}" if name else raw.path,
            offset=offset + raw.offset,
            tags=raw.tags or tags,
        )
        for raw in _fields_within(btf, inner, known, depth + 1)
    ]


def _dotted(path: str) -> str:
    return f".{path}" if path and not path.startswith("[") else path


def _contains(btf: Btf, raw: _UncheckedField, where: str) -> Contains:
    tags = [tag for tag in raw.tags if tag.startswith("contains:")]
    hint = "tag it __contains(struct_name, node_member)"
    if len(tags) != 1:
        raise BtfError(f"{where} does not say what it contains", file=btf.file, hint=hint)
    _, _, rest = tags[0].partition(":")
    struct_name, colon, member = rest.partition(":")
    node = NODE_OF[raw.kind]
    for type_id in range(1, len(btf)):
        kind = btf[type_id]
        if not isinstance(kind, Struct) or kind.name != struct_name:
            continue
        for m in kind.members:
            target = btf[btf.resolve(m.type)]
            if (
                m.name == member
                and isinstance(target, Struct)
                and target.name == node
                and _fits(node, target.size, m.bit_offset // 8)
            ):
                return Contains(type_id, member, m.bit_offset // 8)
        raise BtfError(
            f"{where} contains struct {struct_name} by {member}, which is no {node} of it",
            file=btf.file,
            hint=hint,
        )
    raise BtfError(
        f"{where} contains struct {struct_name}{colon}, which is not in the BTF",
        file=btf.file,
        hint=f"define struct {struct_name} and use it, so that the compiler keeps it",
    )


def exception_callbacks(btf: Btf, func_id: int) -> tuple[str, ...]:
    """The names of the exception callbacks that a function says it has; one is right."""
    tags = btf.decl_tags(func_id) if func_id else ()
    return tuple(
        tag.removeprefix(_EXCEPTION_CALLBACK) for tag in tags if tag.startswith(_EXCEPTION_CALLBACK)
    )
