"""Locks, heads, roots, nodes and counts in types made by hand."""

from __future__ import annotations

import pytest

from bpfheap.btf import (
    Array,
    Btf,
    BtfBuilder,
    BtfType,
    Contains,
    Datasec,
    DeclTag,
    Int,
    Member,
    SecVar,
    SpecialKind,
    Struct,
    Typedef,
    Union,
    Var,
    numbers_alone,
    special_fields,
)  # fmt: skip
from bpfheap.errors import BtfError

# Ids 1 to 7; what a test adds comes after them.
U32, LOCK, HEAD, NODE, ROOT, RB_NODE, COUNT = range(1, 8)
ITEM = 8
SIZES = {LOCK: 4, HEAD: 16, NODE: 24, ROOT: 16, RB_NODE: 32, COUNT: 4}


def built(*types: BtfType) -> Btf:
    """The special structs; ITEM, a struct with a list node at 8 and a tree node at 32; `types`."""
    builder = BtfBuilder()
    builder.add(Int("unsigned int", 4, 0, 0, 32))
    names = ("spin_lock", "list_head", "list_node", "rb_root", "rb_node", "refcount")
    for name, size in zip(names, SIZES.values(), strict=True):
        builder.add(Struct(f"bpf_{name}", size, ()))
    builder.add(struct_of("item", ("key", U32, 0), ("link", NODE, 8), ("node", RB_NODE, 32)))
    for kind in types:
        builder.add(kind)
    return builder.build()


def struct_of(name: str, *members: tuple[str, int, int], size: int = 64) -> Struct:
    return Struct(name, size, tuple(Member(n, t, 8 * at) for n, t, at in members))


VALUE = ITEM + 1


def found(*types: BtfType, of: int = VALUE) -> list[tuple[str, int, str]]:
    btf = built(*types)
    fields = special_fields(btf, of)
    assert not (fields and numbers_alone(btf, of))
    return [(f.path, f.offset, f.kind) for f in fields]


def test_a_head_contains_a_struct_by_a_member() -> None:
    btf = built(
        struct_of("value", ("lock", LOCK, 0), ("head", HEAD, 8), ("root", ROOT, 24)),
        DeclTag("contains:item:link", VALUE, 1),
        DeclTag("contains:item:node", VALUE, 2),
        DeclTag("allocator:ma", VALUE, 1),
    )
    lock, head, root = special_fields(btf, VALUE)
    assert (lock.kind, lock.offset, lock.contains) == (SpecialKind.SPIN_LOCK, 0, None)
    assert (head.kind, head.contains) == (SpecialKind.LIST_HEAD, Contains(ITEM, "link", 8))
    assert (root.kind, root.contains) == (SpecialKind.RB_ROOT, Contains(ITEM, "node", 32))
    assert set(head.tags) == {"contains:item:link", "allocator:ma"}


def test_fields_are_found_in_structs_arrays_and_sections() -> None:
    inner = struct_of("inner", ("node", NODE, 8), size=32)
    pair = Array(VALUE, U32, 2)
    outer = struct_of("outer", ("in", VALUE, 0), ("pair", VALUE + 1, 64), size=128)
    assert found(inner, pair, outer, of=VALUE + 2) == [
        ("in.node", 8, "bpf_list_node"),
        ("pair[0].node", 72, "bpf_list_node"),
        ("pair[1].node", 104, "bpf_list_node"),
    ]
    section = Datasec(".data.x", 16, (SecVar(VALUE + 1, 8, 4),))
    assert found(Typedef("lock_t", LOCK), Var("l", VALUE, 0), section, of=VALUE + 2) == [
        ("l", 8, "bpf_spin_lock")
    ]


def test_what_is_in_a_union_is_not_looked_at() -> None:
    union = Union("u", 32, (Member("node", NODE, 0), Member("lock", LOCK, 0)))
    assert found(union) == []
    assert found(union, struct_of("value", ("u", VALUE, 0)), of=VALUE + 1) == []


def test_what_is_not_as_linux_has_it_is_bytes() -> None:
    small = Struct("bpf_refcount", 1, ())
    beside = (("lock", LOCK, 4), ("head", NODE, 12), ("small", VALUE, 36), ("count", COUNT, 42))
    assert found(small, struct_of("value", *beside), of=VALUE + 1) == [("lock", 4, "bpf_spin_lock")]
    inner = struct_of("inner", ("a", U32, 0), ("lock", LOCK, 4), size=8)
    outer = (("in", VALUE, 2), ("count", COUNT, 12))
    assert found(inner, struct_of("value", *outer), of=VALUE + 1) == [("count", 12, "bpf_refcount")]
    # In a section nothing else has to be there.
    section = Datasec(".data.x", 16, (SecVar(VALUE, 2, 4),))
    assert found(Var("l", LOCK, 0), section, of=VALUE + 1) == []


HEADED = struct_of("value", ("head", HEAD, 0))


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ([struct_of("v", ("a", LOCK, 0), ("b", LOCK, 4))], "bpf_spin_lock b is a second one"),
        ([struct_of("v", ("a", COUNT, 0), ("b", COUNT, 4))], "bpf_refcount b is a second one"),
        ([HEADED], "bpf_list_head head does not say what it contains"),
        ([HEADED, DeclTag("contains:item", VALUE, 0)], "contains struct item by , which is no"),
        ([HEADED, DeclTag("contains:item:key", VALUE, 0)], "by key, which is no bpf_list_node"),
        ([HEADED, DeclTag("contains:item:node", VALUE, 0)], "by node, which is no bpf_list_node"),
        ([HEADED, DeclTag("contains:thing:link", VALUE, 0)], "struct thing:, which is not in"),
        ([HEADED, DeclTag("contains:item:link", VALUE, 0)], "has a bpf_list_head but no lock"),
        (
            [struct_of("v", ("a", NODE, 0), ("b", RB_NODE, 24))],
            "struct v has a bpf_list_node and a bpf_rb_node but no bpf_refcount",
        ),
        (
            [HEADED, DeclTag("contains:item:link", VALUE, 0), DeclTag("contains:a:b", VALUE, 0)],
            "does not say what it contains",
        ),
        (
            [struct_of("v", ("a", VALUE + 1, 0)), Struct("bpf_spin_lock", 1, ())],
            "bpf_spin_lock a has 1 bytes, and Linux's has 4",
        ),
        ([struct_of("v", ("a", NODE, 4))], "bpf_list_node a is at byte 4, not a multiple of 8"),
        (
            [
                struct_of("v", ("lock", LOCK, 0), ("root", ROOT, 8)),
                struct_of("odd", ("key", NODE, 0), ("r", RB_NODE, 28)),
                DeclTag("contains:odd:r", VALUE, 1),
            ],
            "contains struct odd by r, which is no bpf_rb_node of it",
        ),
    ],
    ids=lambda p: p if isinstance(p, str) else "",
)
def test_errors_name_the_field(types: list[BtfType], message: str) -> None:
    with pytest.raises(BtfError) as caught:
        special_fields(built(*types), VALUE)
    assert message in str(caught.value)


@pytest.mark.parametrize("other", ["aa", "bb"], ids=["of itself", "of another"])
def test_objects_do_not_own_one_another_in_a_circle(other: str) -> None:
    """btf_check_and_fixup_fields: -ELOOP."""
    a = struct_of("aa", ("lock", LOCK, 0), ("head", HEAD, 8), ("link", NODE, 24))
    b = struct_of("bb", ("lock", LOCK, 0), ("head", HEAD, 8), ("link", NODE, 24))
    tags = (DeclTag(f"contains:{other}:link", VALUE, 1), DeclTag("contains:aa:link", VALUE + 1, 1))
    with pytest.raises(BtfError, match=r"struct aa is in lists .*ELOOP"):
        special_fields(built(a, b, *tags), VALUE)


def test_what_is_in_no_list_may_own_what_owns() -> None:
    """A chain has an end: who owns aa is not owned."""
    a = struct_of("aa", ("lock", LOCK, 0), ("head", HEAD, 8), ("link", NODE, 24))
    top = struct_of("top", ("lock", LOCK, 0), ("head", HEAD, 8))
    tags = (DeclTag("contains:item:link", VALUE, 1), DeclTag("contains:aa:link", VALUE + 1, 1))
    btf = built(a, top, *tags)
    for type_id in (VALUE, VALUE + 1):
        assert len(special_fields(btf, type_id)) >= 2


def test_many_nodes_are_too_many() -> None:
    with pytest.raises(BtfError, match="more than 512"):
        found(struct_of("one", ("n", NODE, 0), size=24), Array(VALUE, U32, 600), of=VALUE + 1)
