"""C made from BTF: it compiles, and to the same types."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfheap.btf import (
    Btf,
    DeclTag,
    Enum,
    Fwd,
    Int,
    Member,
    Ptr,
    Struct,
    Typedef,
    TypeTag,
    Union,
    declare,
    dump_c,
    print_c,
    why_different,
)  # fmt: skip
from bpfheap.btf.types import KINDS, BtfType, name_of
from bpfheap.compile import compile_c
from bpfheap.errors import BtfError
from built_btf import built

from .conftest import btf_section
from .test_btf import INT, LONG

LAYOUTS = Path(__file__).with_name("layouts.c")
NAMED = (Struct, Union, Enum, KINDS[19], Typedef)


@pytest.fixture(scope="module")
def layouts() -> Btf:
    return Btf.parse(btf_section(compile_c(LAYOUTS)), "layouts.c")


def chain(btf: Btf, type_id: int) -> list[str]:
    """The kinds and tags behind a pointer, in order."""
    found = []
    kind = btf[type_id]
    while isinstance(kind, Ptr | TypeTag):
        found.append(f"{type(kind).__name__} {name_of(kind)}")
        kind = btf[kind.type]
    return found


def test_every_type_comes_back(layouts: Btf, sample: Btf, tmp_path: Path) -> None:
    for btf in (layouts, sample):
        text = dump_c(btf)
        named = [
            (i, k)
            for i, k in enumerate(btf)
            if isinstance(k, NAMED) and name_of(k) and btf.find(name_of(k), type(k)) == i
        ]
        word = {Struct: "struct ", Union: "union ", Typedef: ""}
        uses = "".join(f"{word.get(type(k), 'enum ')}{name_of(k)} *use{i};\n" for i, k in named)
        (tmp_path / "again.c").write_text(text + uses)
        again = Btf.parse(btf_section(compile_c(tmp_path / "again.c")))
        differences = {}
        for i, kind in named:
            there = again.find(name_of(kind), type(kind))
            assert there is not None, name_of(kind)
            differences[name_of(kind)] = why_different(btf, i, again, there)
            assert btf.decl_tags(i) == again.decl_tags(there)
        assert set(differences.values()) == {None}, differences
        assert len(differences) >= 8


def test_the_order_of_type_tags_comes_back(layouts: Btf, tmp_path: Path) -> None:
    here = layouts.find("tags", Struct)
    assert here is not None
    (tmp_path / "again.c").write_text(f"{dump_c(layouts)}\nstruct tags use;\n")
    again = Btf.parse(btf_section(compile_c(tmp_path / "again.c")))
    there = again.find("tags", Struct)
    assert there is not None
    one, two = layouts[here], again[there]
    assert isinstance(one, Struct)
    assert isinstance(two, Struct)
    assert [chain(layouts, m.type) for m in one.members] == [
        chain(again, m.type) for m in two.members
    ]
    assert len(chain(layouts, one.members[0].type)) == 3


def test_scoped_types_of_one_name_get_numbers(layouts: Btf) -> None:
    text = dump_c(layouts)
    assert "struct twice {\n\tint a;\n};" in text
    assert "struct twice___2 {\n\tlong b;\n};" in text


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((INT, Struct("s", 8, (Member("a", 1, 0),))),
         "struct s {\n\tint a;\n} __attribute__((aligned(8)));"),
        ((INT, Struct("s", 12, (Member("a", 1, 64),))),
         "struct s {\n\tunsigned long long : 64;\n\tint a;\n};"),
        ((INT, Struct("s", 6, (Member("a", 1, 16),))),
         "struct s {\n\tunsigned long long : 16;\n\tint a;\n} __attribute__((packed));"),
        ((INT, Struct("s", 16, (Member("a", 1, 0, 3), Member("b", 1, 96)))),
         "struct s {\n\tint a : 3;\n\tunsigned char : 5;\n\tunsigned char : 8;\n"
         "\tunsigned short : 16;\n\tunsigned int : 32;\n\tunsigned int : 32;\n\tint b;\n};"),
        ((INT, Struct("s", 4, (Member("a", 1, 0, 3), Member("b", 1, 3, 29)))),
         "struct s {\n\tint a : 3;\n\tint b : 29;\n};"),
        ((INT, Union("u", 8, (Member("a", 1, 0),)), Struct("s", 8, (Member("", 2, 0),))),
         "struct s {\n\tunion u;\n};"),
        ((Enum("e", 1, False, (("A", 1),)),), "enum e : unsigned char {\n\tA = 1,\n};"),
        ((Enum("e", 4, True, (("A", -1),)),), "enum e {\n\tA = -1,\n};"),
        ((Enum("e", 4, False, ()),), "enum e;"),
        ((INT, Typedef("t", 1), DeclTag('say "\n\\', 2, -1)),
         'typedef int t __attribute__((btf_decl_tag("say \\"\\012\\\\")));'),
        ((INT, Ptr(1)), "int *"),
        ((INT, TypeTag("address_space(1)", 1, True), Ptr(2)), "int *"),
        ((Int("bool", 1, 4, 0, 8),), "_Bool"),
    ],
)  # fmt: skip
def test_one_definition(types: tuple[BtfType, ...], expected: str) -> None:
    asked = next((i for i in range(len(types), 0, -1) if not isinstance(types[i - 1], DeclTag)), 0)
    # The last one that is no tag.
    assert print_c(built(*types), asked) == expected


def test_declarations() -> None:
    btf = built(INT, Ptr(1), TypeTag("kptr", 4), Struct("foo", 0, ()), Ptr(3))
    assert declare(btf, 2, "p") == "int *p"
    assert declare(btf, 5, "p") == '__attribute__((btf_type_tag("kptr"))) struct foo *p'
    assert declare(btf, 0, "") == "void"


def test_members_that_only_wild_btf_overlaps_are_printed_all_the_same() -> None:
    btf = built(INT, LONG, Struct("s", 8, (Member("a", 2, 0), Member("b", 1, 0))))
    assert (
        print_c(btf, 3)
        == "struct s {\n\tlong a;\n\tint b;\n\tunsigned long long : 32;\n} __attribute__((packed));"
    )


def test_gaps_too_large_to_write() -> None:
    size = 1 << 28
    with pytest.raises(BtfError, match="to be written as C"):
        print_c(built(INT, Struct("s", size, (Member("a", 1, (size - 4) * 8),))), 2)


def test_forward_declarations_are_declared_once() -> None:
    btf = built(Fwd("s", False), Ptr(1), Struct("t", 8, (Member("p", 2, 0),)), Fwd("s", False))
    assert dump_c(btf) == "struct s;\nstruct t;\nstruct t {\n\tstruct s *p;\n};\n"
