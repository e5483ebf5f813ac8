"""Small BTF that describes huge things. Each of these would run for hours, or fill the memory, if
the work were that of what is described; so each test also holds that it ends."""

from __future__ import annotations

import struct

import pytest

from bpfheap.btf import (
    Array,
    Btf,
    BtfType,
    Const,
    CoreKind,
    Datasec,
    DeclTag,
    Enum,
    Float,
    Int,
    Member,
    Ptr,
    SecVar,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Var,
    Void,
    core_value,
    dump_c,
    kptr_fields,
    plain_pointers,
    print_c,
    same_type,
    why_different,
)  # fmt: skip
from bpfheap.errors import BtfError, RelocationError
from built_btf import built

from .test_btf import INT, LONG, struct_of

TARGET = Struct("t", 8, ())
KPTR = (TARGET, TypeTag("kptr", 1), Ptr(2))


def doubled(leaf: tuple[BtfType, ...], kind: type[Struct] | type[Union], size: int) -> Btf:
    """Forty types of two members each, of the type before; the last of `leaf` is the first."""
    types = [*leaf, kind("d", size, (Member("p", len(leaf), 0),))]
    for i in range(40):
        inner = len(types)
        types.append(kind(f"d{i}", size, (Member("a", inner, 0), Member("b", inner, 0))))
    return built(*types)


def test_unions_that_double() -> None:
    plain = doubled((TARGET, Ptr(1)), Union, 8)
    assert kptr_fields(plain, len(plain) - 1) == ()
    assert len(plain_pointers(plain, len(plain) - 1)) == 512
    tagged = doubled(KPTR, Union, 8)
    with pytest.raises(BtfError, match="is in a union"):
        kptr_fields(tagged, len(tagged) - 1)


def test_structs_of_no_size_that_double() -> None:
    nothing = doubled((TARGET, Ptr(1), INT, Array(2, 3, 0)), Struct, 0)
    assert kptr_fields(nothing, len(nothing) - 1) == ()
    assert plain_pointers(nothing, len(nothing) - 1) == ()
    tagged = doubled((*KPTR, INT, Array(3, 4, 0)), Struct, 0)
    with pytest.raises(BtfError, match="in an array without a length"):
        kptr_fields(tagged, len(tagged) - 1)


def test_arrays_of_arrays() -> None:
    shape = (Array(3, 4, 600), Array(5, 4, 600), Array(6, 4, 600))
    cube = built(TARGET, Const(1), Ptr(2), INT, *shape)
    assert kptr_fields(cube, 7) == ()
    assert len(plain_pointers(cube, 7)) == 512
    with pytest.raises(BtfError, match="more than 512 kptrs"):
        kptr_fields(built(*KPTR, INT, *shape), 7)


def nested(leaf: tuple[BtfType, ...], depth: int) -> Btf:
    """A struct in a struct, `depth` deep, around the last of `leaf`."""
    inner = (Struct(f"n{i}", 8, (Member("in", len(leaf) + i, 0),)) for i in range(depth))
    return built(*leaf, *inner)


def test_nesting_has_a_limit_where_it_matters() -> None:
    assert len(kptr_fields(nested(KPTR, 60), 63)) == 1
    deep = nested(KPTR, 3000)
    with pytest.raises(BtfError, match="nested deeper than 64"):
        kptr_fields(deep, len(deep) - 1)
    plain = nested((TARGET, Ptr(1)), 3000)
    assert kptr_fields(plain, len(plain) - 1) == ()
    assert plain_pointers(plain, len(plain) - 1) == ()
    assert plain.size_of(len(plain) - 1) == plain.align_of(len(plain) - 1) == 8


def ring(length: int, extra: tuple[BtfType, ...] = ()) -> Btf:
    """`length` structs of one name, each of which points at the next."""
    types: list[BtfType] = []
    for i in range(length):
        types.append(Struct("s", 8, (Member("n", 2 * i + 2, 0),)))
        types.append(Ptr(2 * i + 3 if i + 1 < length else 1))
    return built(*types, *extra)


def test_two_rings_of_different_length() -> None:
    assert same_type(ring(30), 1, ring(37), 1)
    why = why_different(ring(1009), 1, ring(1013), 1)
    assert why is not None
    assert "too many types" in why


def test_a_difference_far_away_is_told_briefly() -> None:
    def far(last: BtfType) -> Btf:
        steps = [
            kind
            for i in range(5000)
            for kind in (Struct(f"s{i}", 8, (Member("n", 2 * i + 2, 0),)), Ptr(2 * i + 3))
        ]
        return built(*steps, last)

    why = why_different(far(INT), 1, far(LONG), 1)
    assert why is not None
    assert why.startswith("struct s0 ... *, member n *, member n *")
    assert why.endswith("int (signed, 4 bytes) here, long (signed, 8 bytes) there")
    assert len(why) < 300


def test_many_members_behind_one_long_chain() -> None:
    long = [Const(i) for i in range(1, 20_000)]
    end = len(long) + 1
    many = Struct("s", 4, tuple(Member("m", end, 0) for _ in range(20_000)))
    btf = built(INT, *long, many)
    assert same_type(btf, end + 1, built(INT, *long, many, LONG), end + 1)
    assert kptr_fields(btf, end + 1) == ()


def test_many_tags() -> None:
    tags = tuple(DeclTag(f"tag{i % 7}", 1, -1) for i in range(30_000))
    assert len(built(TARGET, *tags).decl_tags(1)) == 30_000
    with pytest.raises(BtfError, match="more than 16 type tags"):
        built(TARGET, *(TypeTag("x", i) for i in range(1, 20)))


def test_many_structs_of_one_name() -> None:
    text = dump_c(ring(2000))
    assert len(text) < 10_000_000
    assert text.startswith("struct s;\n")


def test_anonymous_structs_that_double() -> None:
    types: list[BtfType] = [INT, Struct("", 0, ())]
    types += [Struct("", 0, (Member("a", i, 0), Member("b", i, 0))) for i in range(2, 42)]
    with pytest.raises(BtfError, match="nested too deep or too often"):
        print_c(built(*types), len(types))


def raw(types: bytes, strings: bytes, flags: int = 0) -> bytes:
    head = struct.pack("<HBBIIIII", 0xEB9F, 1, flags, 24, 0, len(types), len(types), len(strings))
    return head + types + strings


def test_names_that_overlap() -> None:
    strings = b"\0" + b"a" * 500 + b"\0"
    twice = b"".join(struct.pack("<III", 1 + i, 7 << 24, 0) for i in range(5))
    assert len(Btf.parse(raw(twice, strings))) == 6
    types = b"".join(struct.pack("<III", 1 + i, 7 << 24, 0) for i in range(500))
    with pytest.raises(BtfError, match="names overlap"):
        Btf.parse(raw(types, strings))


@pytest.mark.parametrize(
    "info",
    [2 << 24 | 1, 2 << 24 | 1 << 31, 8 << 24 | 1 << 16, 8 << 24 | 1 << 29],
    ids=["vlen", "flag", "upper bits", "reserved"],
)
def test_what_a_kind_does_not_have(info: int) -> None:
    with pytest.raises(BtfError, match="its kind does not have"):
        Btf.parse(raw(struct.pack("<III", 0 if info >> 24 & 31 == 2 else 1, info, 0), b"\0a\0"))


def test_unknown_flags_of_the_header() -> None:
    with pytest.raises(BtfError, match="flags 0x04"):
        Btf.parse(raw(b"", b"\0", flags=4))


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ((Struct("a\nb", 0, ()),), "odd characters"),
        ((Struct("\x1b[2J", 0, ()),), "odd characters"),
        ((Struct("a\0b", 0, ()),), "odd characters"),
        ((Struct("a" * 512, 0, ()),), "longer than 511"),
        ((Struct("s", 0, (Member("\ud800", 0, 0),)),), "odd characters"),
        ((TARGET, TypeTag("\ud800", 1)), "odd characters"),
        ((INT, Typedef("", 1)), "has no name"),
        ((Void(),), "void is type 0 only"),
        ((Struct("s", -4, ()),), "s has -4 bytes"),
        ((Int("i", 3, 0, 0, 24),), "24 bits at 0 in 3 bytes"),
        ((Int("i", 4, 0, 8, 32),), "32 bits at 8 in 4 bytes"),
        ((Int("i", 4, 99, 0, 32),), "encoding 99"),
        ((Float("f", 7),), "float f has 7 bytes"),
        ((Enum("e", 3, False, ()),), "enum e has 3 bytes"),
        ((Enum("e", 4, False, (("A", -1),)),), "A of enum e needs over 32 bits"),
        ((INT, Array(1, 1, -1)), "has -1 elements"),
        ((INT, Var("v", 1, 7)), "linkage 7"),
        ((INT, DeclTag("x", 1, -7)), "component -7"),
        ((TARGET, Ptr(1), Struct("s", 1, (Member("p", 2, 0, 1),))), "bitfield, but no integer"),
        ((INT, Struct("s", 8, (Member("m", 1, 0, 33),))), "33 of 32 bits"),
        ((INT, Struct("s", 8, (Member("m", 1, 32), Member("n", 1, 0)))), "before the member"),
        ((INT, Union("u", 8, (Member("m", 1, 32),))), "of a union starts at bit 32"),
        ((INT, Var("v", 1, 1), Datasec(".data", 4, (SecVar(2, 0, 1),))), "has 1 bytes, its type 4"),
        ((INT, Var("v", 1, 1), Datasec(".data", 4, (SecVar(2, 4, 4),))), "beyond the 4 bytes"),
        (
            (INT, Struct("s", 4 << 20, (Member("a", 1, 0, 3), Member("m", 1, 1 << 24)))),
            "too far for a struct with bitfields",
        ),
    ],
)  # fmt: skip
def test_numbers_and_names_out_of_range(types: tuple[BtfType, ...], message: str) -> None:
    with pytest.raises(BtfError, match=message) as seen:
        built(*types)
    assert "\n" not in str(seen.value)


@pytest.mark.parametrize(
    ("types", "asked", "message"),
    [
        ((*KPTR, Struct("s", 8, (Member("p", 3, 0), Member("q", 3, 0)))), 4, "p and q overlap"),
        ((INT, struct_of(("x", 1, 0)), DeclTag("kptr", 2, 0)), 2, "kptr x is no pointer but int"),
        (
            (TARGET, struct_of(("x", 1, 0)), DeclTag("kptr", 2, 0)), 2,
            "kptr x is no pointer but struct t",
        ),
    ],
)  # fmt: skip
def test_more_kptrs_that_cannot_be(types: tuple[BtfType, ...], asked: int, message: str) -> None:
    with pytest.raises(BtfError, match=message):
        kptr_fields(built(*types), asked)


@pytest.mark.parametrize("wild", [-1, 2, 1 << 40])
def test_ids_that_are_not_there(wild: int) -> None:
    btf = built(INT)
    for ask in (btf.__getitem__, btf.resolve, btf.size_of, btf.align_of, btf.c_name, btf.type_tags):
        with pytest.raises(BtfError, match=f"no type {wild}"):
            ask(wild)
    assert btf.decl_tags(wild) == ()


@pytest.mark.parametrize(
    ("access", "kind", "message"),
    [
        ("999999999:0", CoreKind.FIELD_BYTE_OFFSET, "too far away"),
        ("0:1", CoreKind.FIELD_RSHIFT_U64, "no 64-bit number"),
        ("0:1", CoreKind.TYPE_SIZE, "whole type is not 0"),
        ("0:0", CoreKind.ENUMVAL_VALUE, "names no value"),
    ],
)
def test_relocations_to_nothing(access: str, kind: CoreKind, message: str) -> None:
    btf = built(INT, Array(1, 1, 8), Struct("s", 36, (Member("n", 1, 0), Member("a", 2, 32))))
    with pytest.raises(RelocationError, match=message):
        core_value(btf, 3, access, kind)


_WITHOUT_SIZE = (CoreKind.TYPE_ID_LOCAL, CoreKind.TYPE_ID_TARGET, CoreKind.TYPE_EXISTS)


@pytest.mark.parametrize("kind", sorted({*CoreKind} - {*_WITHOUT_SIZE, CoreKind.TYPE_MATCHES}))
def test_relocations_of_what_has_no_size(kind: CoreKind) -> None:
    with pytest.raises(
        RelocationError, match=r"CO-RE access 0: (const )?void has no size|names no value"
    ):
        core_value(built(Const(0)), 1, "0", kind)


def test_relocations_that_need_no_size() -> None:
    assert [core_value(built(Const(0)), 1, "0", kind) for kind in _WITHOUT_SIZE] == [1, 1, 1]
    assert core_value(built(Const(0)), 1, "0", CoreKind.TYPE_MATCHES) == 1
