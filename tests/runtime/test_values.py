"""Python values and bytes, by BTF."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfheap.btf import (
    Array,
    Btf,
    BtfBuilder,
    Const,
    Datasec,
    Enum,
    Float,
    FuncProto,
    Int,
    Member,
    Ptr,
    SecVar,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Var,
)  # fmt: skip
from bpfheap.errors import UsageError
from bpfheap.runtime.machine import KptrValue
from bpfheap.runtime.values import ObjectValue, StructValue, pack, unpack


class Types:
    """A few types, by attribute."""

    def __init__(self) -> None:
        b = BtfBuilder()
        self.u32 = b.add(Int("unsigned int", 4, 0, 0, 32))
        self.s8 = b.add(Int("signed char", 1, 1, 0, 8))
        self.char = b.add(Int("char", 1, 1, 0, 8))
        self.bool = b.add(Int("_Bool", 1, 4, 0, 8))
        self.double = b.add(Float("double", 8))
        self.enum = b.add(Enum("e", 4, True, (("A", -1), ("B", 1))))
        self.word = b.add(Typedef("word", self.u32))
        self.words = b.add(Array(self.word, self.u32, 3))
        self.name = b.add(Array(self.char, self.u32, 8))
        self.foo = b.add(Struct("foo", 4, (Member("var", self.u32, 0),)))
        self.ptr = b.add(Ptr(self.foo))
        self.kptr = b.add(Ptr(b.add(TypeTag("kptr", b.add(Const(self.foo))))))
        anonymous = b.add(Union("", 4, (Member("x", self.u32, 0), Member("y", self.enum, 0))))
        self.mixed = b.add(
            Struct(
                "mixed",
                48,
                (
                    Member("id", self.word, 0),
                    Member("low", self.u32, 32, 3),
                    Member("high", self.s8, 35, 5),
                    Member("ptr", self.ptr, 64),
                    Member("", anonymous, 128),
                    Member("name", self.name, 192),
                    Member("words", self.words, 256),
                ),
            )
        )
        section_var = b.add(Var("count", self.u32, 1))
        self.func = b.add(FuncProto(self.u32, ()))
        self.section = b.add(Datasec(".bss", 4, (SecVar(section_var, 0, 4),)))
        self.btf: Btf = b.build()


T = Types()


@pytest.mark.parametrize(
    ("type_id", "value", "raw"),
    [
        (T.u32, 7, b"\7\0\0\0"),
        (T.u32, 0xFFFFFFFF, b"\xff" * 4),
        (T.s8, -2, b"\xfe"),
        (T.bool, True, b"\1"),
        (T.double, 0.5, b"\0\0\0\0\0\0\xe0\x3f"),
        (T.enum, -1, b"\xff" * 4),
        (T.words, [1, 2, 3], b"\1\0\0\0\2\0\0\0\3\0\0\0"),
        (T.name, b"bpf", b"bpf\0\0\0\0\0"),
        (T.foo, {"var": 9}, b"\x09\0\0\0"),
    ],
)
def test_there_and_back(type_id: int, value: Any, raw: bytes) -> None:
    assert pack(T.btf, type_id, value, len(raw)) == raw
    assert unpack(T.btf, type_id, raw) == value


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 7),
    st.integers(-16, 15),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3),
)
def test_a_struct_with_bitfields(id_: int, low: int, high: int, x: int, words: list[int]) -> None:
    value = {"id": id_, "low": low, "high": high, "x": x, "name": b"n", "words": words}
    shown = unpack(T.btf, T.mixed, pack(T.btf, T.mixed, value, 48))
    assert isinstance(shown, StructValue)
    assert {k: shown[k] for k in value} == value
    assert shown.ptr is None
    assert shown.high == high


def test_pointers_are_numbers() -> None:
    raw = pack(T.btf, T.mixed, {"ptr": 0xFFFF888000001000}, 48)
    assert unpack(T.btf, T.mixed, raw).ptr == 0xFFFF888000001000
    assert pack(T.btf, T.ptr, None, 8) == pack(T.btf, T.kptr, 0, 8) == bytes(8)


def test_members_left_out_are_zero() -> None:
    assert pack(T.btf, T.mixed, {}, 48) == bytes(48)


def test_bytes_are_taken_as_they_are() -> None:
    assert pack(T.btf, T.mixed, b"\1" * 48, 48) == b"\1" * 48
    assert pack(Btf.EMPTY, 0, 5, 4) == b"\5\0\0\0"


@pytest.mark.parametrize(
    ("type_id", "value", "message"),
    [
        (T.u32, -(2**31) - 1, "does not fit the 32 bits of key"),
        (T.u32, 2**32, "does not fit"),
        (T.u32, "7", "key is an integer"),
        (T.mixed, {"nothing": 1}, "key has no member nothing"),
        (T.mixed, {"word": 1}, r"key has no member word \(did you mean words"),
        (T.name, "abc", r"key takes bytes, not text \(write b'abc'\)"),
        (T.mixed, {"ptr": "x"}, "key.ptr is an integer"),
        (T.kptr, 1, "key is a kptr, which user space cannot write"),
        (T.mixed, {"ptr": 2**64}, "does not fit the 64 bits of key.ptr"),
        (T.mixed, {"words": [1, 2, 3, 4]}, "key.words takes a sequence of at most 3"),
        (T.mixed, 5, "key takes a mapping of members"),
        (T.mixed, b"\0", "takes 48 bytes, not 1"),
        (T.words, [1, "x"], r"key\[1\] is an integer"),
        (T.mixed, {"low": 8}, "8 does not fit the 3 bits of key.low"),
        (T.mixed, {"high": -17}, "-17 does not fit the 5 bits of key.high"),
        (T.mixed, {"low": "x"}, "key.low is an integer, not 'x'"),
        (T.double, "x", "key is a number of 8 bytes, not 'x'"),
        (0, "x", "has no type"),
    ],
)
def test_values_that_do_not_fit(type_id: int, value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pack(T.btf, type_id, value, T.btf.size_of(type_id) if type_id else 4, what="key")


def test_a_kptr_shows_its_object() -> None:
    kptr = KptrValue("ptr", 8, "foo#1", "foo", 3, T.btf, T.foo, b"\x2a\0\0\0")
    shown = unpack(T.btf, T.mixed, bytes(48), (kptr,))
    assert isinstance(shown.ptr, ObjectValue)
    assert shown.ptr.var == 42
    assert shown.ptr == {"var": 42}
    assert shown.ptr.object == "foo#1"
    assert "foo#1" in repr(shown)


def test_what_cannot_be_shown_is_bytes() -> None:
    assert unpack(T.btf, T.func, b"\1\2") == b"\1\2"
    with pytest.raises(UsageError, match="key has a type that takes bytes only"):
        pack(T.btf, T.func, 5, 4, what="key")


def test_a_data_section_shows_variables() -> None:
    assert unpack(T.btf, T.section, b"\5\0\0\0") == {"count": 5}


def test_struct_values_behave() -> None:
    shown = unpack(T.btf, T.foo, b"\1\0\0\0")
    assert repr(shown) == "foo(var=1)"
    assert len(shown) == 1
    assert copy.copy(shown) == shown
    assert pickle.loads(pickle.dumps(shown)) == shown
    # Keys of a map are those of a dictionary.
    assert {shown: 7}[copy.copy(shown)] == 7
    listed = StructValue("listed", {"of": [[shown], [2]]})
    assert len({listed, StructValue("listed", {"of": [[shown], [2]]})}) == 1
    with pytest.raises(AttributeError, match="struct foo has no member nothing"):
        shown.nothing  # noqa: B018


def test_bytes_whose_memory_is_gone() -> None:
    view = memoryview(bytearray(8))
    view.release()
    with pytest.raises(UsageError, match="value is gone: its memory was released"):
        pack(Btf.EMPTY, 0, view, 8)
