"""Parsing, encoding and asking, on a compiler's BTF and on BTF made by hand."""

from __future__ import annotations

import re
import struct

import pytest

from bpfheap.btf import (
    KINDS,
    Array,
    Btf,
    BtfType,
    Const,
    CoreKind,
    DeclTag,
    Enum,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Member,
    Param,
    Ptr,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Var,
    Void,
    core_value,
    dump_c,
    incomplete,
    kptr_fields,
    numbers_alone,
    plain_pointers,
    same_type,
    why_different,
)  # fmt: skip
from bpfheap.errors import BtfError, RelocationError
from built_btf import built

INT = Int("int", 4, 1, 0, 32)


def struct_of(*members: tuple[str, int, int], size: int = 64, name: str = "s") -> Struct:
    return Struct(name, size, tuple(Member(n, t, 8 * at) for n, t, at in members))


def test_the_sample_has_the_kinds_that_compilers_make(sample: Btf) -> None:
    never = {KINDS[11]} if not any(type(t) is KINDS[11] for t in sample.types) else set()
    assert set(KINDS) - {type(t) for t in sample.types} == never


def test_encode_is_the_inverse_of_parse(sample: Btf) -> None:
    again = Btf.parse(sample.encode())
    assert again == sample
    assert again.types == sample.types
    assert hash(again) == hash(sample)


@pytest.mark.parametrize(
    ("name", "kind", "size"),
    [("foo", Struct, 4), ("either", Union, 4), ("u32", Typedef, 4), ("double", Float, 8)],
)
def test_sizes(sample: Btf, name: str, kind: type[BtfType], size: int) -> None:
    type_id = sample.find(name, kind)
    assert type_id is not None
    assert sample.size_of(type_id) == size
    assert sample.align_of(type_id) == size


def test_find_without_a_kind_and_of_nothing(sample: Btf) -> None:
    assert sample.find("foo") == sample.find("foo", Struct)
    assert sample.find("nowhere") is None
    assert sample.find("foo", Union) is None


def test_tags(sample: Btf) -> None:
    variable, function = sample.find("node", Var), sample.find("use", Func)
    assert variable is not None
    assert function is not None
    assert sample.decl_tags(variable) == ("whole",)
    assert sample.decl_tags(function) == ("function",)
    assert sample.decl_tags(function, 0) == ("param",)
    assert sample.decl_tags(function, 1) == ()


@pytest.mark.parametrize(
    ("name", "kind", "alone"),
    [
        ("foo", Struct, True),
        ("small", Enum, True),
        ("node", Struct, False),
        ("value", Struct, False),
        (".data", None, False),
    ],
)
def test_what_is_made_of_numbers_alone(
    sample: Btf, name: str, kind: type[BtfType] | None, alone: bool
) -> None:
    found = sample.find(name, kind)
    assert found is not None
    assert numbers_alone(sample, found) is alone


def test_kptr_fields_in_both_positions_of_the_tags(sample: Btf) -> None:
    node, foo = sample.find("node", Struct), sample.find("foo", Struct)
    assert node is not None
    fields = kptr_fields(sample, node)
    assert [f.path for f in fields] == ["before", "after", "many[0]", "many[1]"]
    assert {f.target for f in fields} == {foo}
    assert [f.local for f in fields] == [False, True, False, False]
    assert [p.path for p in plain_pointers(sample, node)] == ["next", "plain"]


def test_kptrs_of_a_data_section_are_named_after_variables(sample: Btf) -> None:
    sections = [i for name in (".data", ".bss") if (i := sample.find(name)) is not None]
    paths = {f.path for section in sections for f in kptr_fields(sample, section)}
    assert "node.before" in paths


def test_a_struct_that_is_only_declared_is_incomplete(sample: Btf) -> None:
    value, node = sample.find("value", Struct), sample.find("node", Struct)
    assert value is not None
    assert node is not None
    assert incomplete(sample, value) == "struct undefined"
    assert incomplete(sample, node) is None


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ((INT, Ptr(1), TypeTag("kptr", 1), Ptr(3), struct_of(("p", 4, 0))), "not at a struct"),
        ((struct_of(("x", 0, 0), size=0),), "type without a size"),
        (
            (struct_of(name="t"), TypeTag("kptr", 1), Ptr(2), struct_of(("p", 3, 4))),
            "not a multiple of 8",
        ),
        (
            (
                struct_of(name="t"),
                TypeTag("kptr", 1),
                Ptr(2),
                Union("u", 8, (Member("p", 3, 0),)),
                struct_of(("u", 4, 0)),
            ),
            "is in a union",
        ),
        (
            (
                struct_of(name="t"),
                TypeTag("kptr", 1),
                TypeTag("percpu_kptr", 2),
                Ptr(3),
                struct_of(("p", 4, 0)),
            ),
            "is tagged kptr and percpu_kptr",
        ),
        ((Struct("t", 8, ()), TypeTag("kptr", 1), Ptr(2), Array(3, 2, 600), struct_of(("p", 4, 0),
          size=4800)), "more than 512"),
    ],
    ids=["int", "void", "misaligned", "union", "two tags", "too many"],
)  # fmt: skip
def test_kptrs_that_cannot_be(types: tuple[BtfType, ...], message: str) -> None:
    with pytest.raises(BtfError, match=message):
        kptr_fields(btf := built(*types), len(btf) - 1)


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ((Ptr(9),), "only 2.*base BTF"),
        ((Typedef("a", 2), Typedef("b", 1)), "contains itself"),
        ((struct_of(("s", 1, 0)),), "contains itself"),
        ((INT, Array(2, 1, 4)), "contains itself"),
        ((INT, struct_of(("a", 1, 62))), "ends beyond the 64 bytes"),
        ((INT, Func("f", 1, 0)), "prototype is type 1, a Int"),
        ((INT, Array(1, 1, 1 << 31), Array(2, 1, 1 << 31)), "bytes large"),
        ((struct_of(), DeclTag("x", 1, 3)), "on component 3 of type 1, which has 0"),
        ((FuncProto(0, ()), struct_of(("f", 1, 0))), "member f is type 1, a FuncProto"),
        ((INT, Struct("s", 4, (Member("m", 1, 3),))), "starts at bit 3"),
    ],
)
def test_types_that_do_not_fit_together(types: tuple[BtfType, ...], message: str) -> None:
    with pytest.raises(BtfError, match=f"(?s){message}"):
        built(*types)


def test_a_chain_of_modifiers_may_be_long() -> None:
    btf = built(INT, *(Const(i) for i in range(1, 100_000)))
    assert btf.resolve(len(btf) - 1) == 1
    assert btf.size_of(len(btf) - 1) == 4
    assert same_type(btf, len(btf) - 1, btf, 1)
    with pytest.raises(BtfError, match="nested deeper"):
        dump_c(built(INT, *(Ptr(i) for i in range(1, 200)), Typedef("deep", 200)))


HEADER = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 0, 0, 1)


def test_an_enum_that_is_only_declared_has_a_size() -> None:
    """Compilers say 0 bytes, with which no kernel takes the types of a program."""
    enum = struct.pack("<III", 1, Enum.KIND << 24, 0)
    sizes = (0, len(enum), len(enum), 3)
    data = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, *sizes) + enum + b"\0Z\0"
    assert Btf.parse(data).types == (Void(), Enum("Z", 4, False, ()))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "too short for a header"),
        (b"\xeb\x9f" + HEADER[2:] + b"\0", "big endian"),
        (b"\0\0" + HEADER[2:] + b"\0", "magic 0x0000"),
        (HEADER, "end beyond its end"),
        (HEADER + b"x", "start and end with NUL"),
        (struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 4, 4, 1) + b"\0\0\0\0\0", "within a type"),
        (
            struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 12, 12, 1)
            + struct.pack("<III", 0, 31 << 24, 0) + b"\0",
            "unknown kind 31",
        ),
        (
            struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 12, 12, 1)
            + struct.pack("<III", 7, 8 << 24, 0) + b"\0",
            "at byte 7 of 1 bytes of strings",
        ),
    ],
)  # fmt: skip
def test_broken_bytes(data: bytes, message: str) -> None:
    with pytest.raises(BtfError, match=message) as seen:
        Btf.parse(data, "x.o")
    assert str(seen.value).startswith("x.o: ")


def pair(one: Struct, two: Struct, *common: BtfType) -> str | None:
    a, b = built(*common, one), built(*common, two)
    return why_different(a, len(a) - 1, b, len(b) - 1)


LONG = Int("long", 8, 1, 0, 64)
PLAIN, UNSIGNED = struct_of(("var", 1, 0)), Int("u", 4, 0, 0, 32)


@pytest.mark.parametrize(
    ("one", "two", "why"),
    [
        (PLAIN, PLAIN, None),
        (PLAIN, struct_of(("var", 1, 0), name="t"), "struct s here, struct t there"),
        (PLAIN, struct_of(("var", 1, 0), size=72), "64 bytes here, 72 there"),
        (PLAIN, struct_of(("other", 1, 0)), "member var here, other there"),
        (PLAIN, struct_of(("var", 1, 4)), "at bit 0 here, 32 there"),
        (PLAIN, struct_of(("var", 2, 0)), "int .signed, 4 bytes. here, long .signed, 8 bytes"),
        (PLAIN, struct_of(("var", 3, 0)), "int .signed, 4 bytes. here, u .unsigned, 4 bytes"),
        (PLAIN, struct_of(("var", 4, 0)), None),
        (PLAIN, struct_of(), "1 members here, 0 there"),
    ],
)
def test_identity_is_by_name_and_layout(one: Struct, two: Struct, why: str | None) -> None:
    found = pair(one, two, INT, LONG, UNSIGNED, Typedef("word", 1))
    assert (found is None) if why is None else (found is not None and re.search(why, found))


def test_identity_of_recursive_types() -> None:
    a = built(INT, Ptr(3), struct_of(("next", 2, 0), ("var", 1, 8), name="node"))
    # The same list, written with a typedef in another order.
    b = built(struct_of(("next", 3, 0), ("var", 4, 8), name="node"), Typedef("n", 1), Ptr(2), INT)
    c = built(LONG, Ptr(3), struct_of(("next", 2, 0), ("var", 1, 8), name="node"))
    assert same_type(a, 3, b, 1)
    why = why_different(a, 3, c, 3)
    assert why is not None
    assert why.startswith("struct node, member var: int")


def test_strict_identity_is_that_of_the_btf_object() -> None:
    a, b = built(INT, PLAIN), built(INT, PLAIN)
    c = built(INT, PLAIN, LONG)
    assert same_type(a, 2, b, 2, strict=True)
    assert same_type(a, 2, c, 2)
    assert not same_type(a, 2, c, 2, strict=True)
    assert not same_type(a, 1, b, 2, strict=True)


def test_a_tag_counts_wherever_it_was_written() -> None:
    before = built(struct_of(), TypeTag("kptr", 1), Ptr(2), struct_of(("p", 3, 0), name="v"), INT)
    after = built(struct_of(), Ptr(1), INT, struct_of(("p", 2, 0), name="v"), DeclTag("kptr", 4, 0))
    none = built(struct_of(), Ptr(1), INT, struct_of(("p", 2, 0), name="v"))
    assert same_type(before, 4, after, 4)
    why = why_different(before, 4, none, 4)
    assert why is not None
    assert "tags kptr here, none there" in why


def test_a_declaration_agrees_with_a_definition_of_that_name() -> None:
    declared, defined = built(Fwd("s", False)), built(INT, PLAIN)
    assert same_type(declared, 1, defined, 2)
    assert not same_type(built(Fwd("t", False)), 1, defined, 2)
    assert not same_type(built(Fwd("s", True)), 1, defined, 2)


@pytest.mark.parametrize(
    ("access", "kind", "value"),
    [
        ("0", CoreKind.TYPE_SIZE, None),
        ("0:0", CoreKind.FIELD_BYTE_OFFSET, 0),
        ("0:1", CoreKind.FIELD_BYTE_OFFSET, 8),
        ("0:1", CoreKind.FIELD_BYTE_SIZE, 4),
        ("0:1", CoreKind.FIELD_SIGNED, 0),
        ("0:1", CoreKind.FIELD_EXISTS, 1),
        ("0:2", CoreKind.FIELD_BYTE_OFFSET, 12),
        ("0:2", CoreKind.FIELD_LSHIFT_U64, 61),
        ("0:2", CoreKind.FIELD_RSHIFT_U64, 61),
        ("0:3", CoreKind.FIELD_LSHIFT_U64, 32),
        ("0:3", CoreKind.FIELD_RSHIFT_U64, 35),
        ("0:4", CoreKind.FIELD_SIGNED, 1),
        ("0", CoreKind.TYPE_EXISTS, 1),
        ("0", CoreKind.TYPE_MATCHES, 1),
    ],
)
def test_core_relocations(sample: Btf, access: str, kind: CoreKind, value: int | None) -> None:
    node = sample.find("node", Struct)
    assert node is not None
    expected = sample.size_of(node) if value is None else value
    assert core_value(sample, node, access, kind) == expected
    if kind is CoreKind.TYPE_EXISTS:
        assert core_value(sample, node, access, CoreKind.TYPE_ID_LOCAL) == node
        assert core_value(sample, node, access, CoreKind.TYPE_ID_TARGET) == node


def test_core_relocations_of_enums(sample: Btf) -> None:
    small, big = sample.find("small"), sample.find("big")
    assert small is not None
    assert big is not None
    assert core_value(sample, small, "0", CoreKind.ENUMVAL_VALUE) == -1
    assert core_value(sample, big, "0", CoreKind.ENUMVAL_VALUE) == 0x123456789ABCDEF
    assert core_value(sample, small, "1", CoreKind.ENUMVAL_EXISTS) == 1
    with pytest.raises(RelocationError, match="names no value"):
        core_value(sample, small, "2", CoreKind.ENUMVAL_VALUE)


@pytest.mark.parametrize("access", ["", "x", "0:", "-1", "0:99", "0:1:0", "9" * 40, "0:" * 90])
def test_wild_access_strings(sample: Btf, access: str) -> None:
    node = sample.find("node", Struct)
    assert node is not None
    with pytest.raises(RelocationError):
        core_value(sample, node, access, CoreKind.FIELD_BYTE_OFFSET)
    with pytest.raises(RelocationError, match="not there"):
        core_value(sample, len(sample), "0", CoreKind.TYPE_SIZE)


def test_c_names(sample: Btf) -> None:
    node = sample.find("node", Struct)
    assert node is not None
    kind = sample[node]
    assert isinstance(kind, Struct)
    names = {m.name: sample.c_name(m.type) for m in kind.members}
    assert names["next"] == "struct node *"
    assert names["flags"] in ("const volatile u32", "volatile const u32")
    assert names["either"] == "union either"
    assert names["before"] == "struct foo *"
    assert sample.c_name(0) == "void"


def test_params_and_void(sample: Btf) -> None:
    function = sample.find("use", Func)
    assert function is not None
    kind = sample[function]
    assert isinstance(kind, Func)
    proto = sample[kind.type]
    assert isinstance(proto, FuncProto)
    assert [p.name for p in proto.params] == ["n", "p"]
    assert isinstance(proto.params[0], Param)
    assert Btf.EMPTY.types == (Void(),)
