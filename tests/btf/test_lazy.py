"""Large BTF, of which a few types are read."""

from __future__ import annotations

import pytest

from bpfheap.btf import (
    KINDS,
    Array,
    Btf,
    BtfIndex,
    BtfType,
    Const,
    Datasec,
    Func,
    FuncProto,
    Int,
    LazyBtf,
    Member,
    Param,
    Ptr,
    SecVar,
    Struct,
    Typedef,
    Var,
    Volatile,
    essential_name,
)
from bpfheap.btf.lazy import index_of
from bpfheap.btf.raw import encode_types, open_types
from bpfheap.btf.types import Void, name_of
from bpfheap.errors import BtfError
from built_btf import built
from split_btf import split

INT = Int("int", 4, 1, 0, 32)


def lazy(*types: BtfType) -> LazyBtf:
    """Without the checks that a Btf makes."""
    return LazyBtf.parse(encode_types((Void(), *types)), "vmlinux")


@pytest.mark.parametrize(
    ("name", "essential"),
    [
        ("task_struct", "task_struct"),
        ("task_struct___old", "task_struct"),
        ("a___b___c", "a___b"),
        ("a____b", "a____b"),
        ("a___b____c", "a"),
        ("___b", "___b"),
        ("a___", "a___"),
        ("", ""),
    ],
)
def test_flavours_are_left_out_of_names(name: str, essential: str) -> None:
    assert essential_name(name) == essential


def test_names_are_found_without_reading_all_types() -> None:
    btf = lazy(
        INT,
        Struct("f", 0, ()),
        FuncProto(0, (Param("x", 1),)),
        Func("f", 3, 1),
        Func("g", 3, 0),
        Func("f___2", 3, 0),
        Var("v", 1, 1),
        Datasec(".data", 4, (SecVar(7, 0, 4),)),
    )
    assert (btf.find("f", Func), btf.find("g", Func), btf.find("v", Var)) == (4, 5, 7)
    assert btf.find("f___2", Func) == 6
    assert (btf.find("v", Func), btf.find("h", Func)) == (None, None)
    assert list(btf.named("f")) == [2, 4, 6]
    assert len(btf) == 9


@pytest.mark.parametrize("data", [b"", bytes(24), Btf.EMPTY.encode()[:20]])
def test_broken_types_are_refused(data: bytes) -> None:
    with pytest.raises(BtfError):
        LazyBtf.parse(data, "vmlinux")


def test_types_that_end_within_one_are_refused() -> None:
    data = bytearray(built(Struct("s", 0, ())).encode())
    data[24 + 4] = 1  # one member, which is not there
    with pytest.raises(BtfError, match="type 1 is not complete"):
        LazyBtf.parse(bytes(data))


@pytest.mark.parametrize("kind", KINDS[1:], ids=lambda kind: kind.__name__)
def test_each_kind_is_passed_over_and_read(sample: Btf, kind: type[BtfType]) -> None:
    btf = LazyBtf.parse(sample.encode())
    for type_id, found in enumerate(sample.types):
        if isinstance(found, kind):
            assert btf[type_id] == found
            if name_of(found):
                first = btf.find(name_of(found), kind)
                assert first is not None
                assert name_of(sample[first]) == name_of(found)


def test_it_says_what_the_whole_says(sample: Btf) -> None:
    btf = LazyBtf.parse(sample.encode())
    assert len(btf) == len(sample)
    for type_id in range(len(sample)):
        assert btf.resolve(type_id) == sample.resolve(type_id)
        assert btf.c_name(type_id) == sample.c_name(type_id)
        if sample.sizes[type_id] is None:
            with pytest.raises(BtfError, match="has no size"):
                btf.size_of(type_id)
        else:
            assert btf.size_of(type_id) == sample.size_of(type_id)


def test_an_index_can_be_kept(sample: Btf) -> None:
    data = sample.encode()
    index = index_of(open_types(data))
    again = BtfIndex.decode(index.encode())
    assert again is not None
    assert again.encode() == index.encode()
    assert LazyBtf(open_types(data), again).find("node", Struct) == sample.find("node", Struct)
    for wrong in (b"", index.encode()[:-1], index.encode() + bytes(4)):
        assert BtfIndex.decode(wrong) is None


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ((Const(2), Volatile(1)), "too long a chain"),
        ((Typedef("t", 1),), "too long a chain"),
        ((Const(9),), "there is no type 9"),
    ],
)
def test_chains_that_lead_nowhere(types: tuple[BtfType, ...], message: str) -> None:
    with pytest.raises(BtfError, match=message):
        lazy(*types).resolve(1)


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ((Array(1, 1, 2),), "has no end"),
        ((Array(2, 2, (1 << 30) - 1), INT, Array(1, 2, 4)), None),
        ((Array(2, 2, 1 << 31), INT), "8589934592 bytes large"),
        ((Const(0),), "const void has no size"),
        ((Array(9, 9, 1),), "there is no type 9"),
    ],
)
def test_sizes_of_broken_types(types: tuple[BtfType, ...], message: str | None) -> None:
    btf = lazy(*types)
    if message is None:
        assert btf.size_of(1) == (1 << 32) - 4
        return
    with pytest.raises(BtfError, match=message):
        btf.size_of(1)
    assert lazy(Ptr(0)).size_of(1) == 8


def test_types_of_a_module_go_on_where_the_kernels_end() -> None:
    base = lazy(INT, Struct("task", 4, (Member("pid", 1, 0),)))
    module = LazyBtf.parse(split(base, "extra", 2), "module", base)
    # The struct, and a pointer to it.
    assert len(module) == 5
    assert module[1] == INT
    assert module[3] == Struct("extra", 8, (Member("pid", 2, 0), Member("own", 1, 32)))
    assert module[4] == Ptr(3)
    assert module.c_name(4) == "struct extra *"
    assert (module.find("extra", Struct), module.find("task", Struct)) == (3, None)
    assert list(module.named("extra")) == [3]
    assert (module.size_of(3), module.size_of(2), module.resolve(2)) == (8, 4, 2)
    assert base.find("extra", Struct) is None
    with pytest.raises(BtfError, match="there is no type 5"):
        module[5]
    again = BtfIndex.decode(index_of(module.reader).encode())
    assert again is not None
    assert LazyBtf(module.reader, again, "module", base).find("extra", Struct) == 3


def test_a_module_without_its_kernel_is_refused() -> None:
    base = lazy(INT, Struct("task", 4, (Member("pid", 1, 0),)))
    with pytest.raises(BtfError, match="do not start and end with NUL"):
        LazyBtf.parse(split(base, "extra", 2), "module")
    empty = lazy(INT)
    with pytest.raises(BtfError, match="a name is at byte"):
        LazyBtf.parse(split(base, "extra", 2), "module", empty)[2]
