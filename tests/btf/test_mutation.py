"""Nothing but a BtfError ever comes out of broken BTF, and what is accepted answers everything."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpfheap.btf import (
    Btf,
    BtfType,
    CoreKind,
    Datasec,
    FuncProto,
    Struct,
    Union,
    core_value,
    declare,
    dump_c,
    incomplete,
    kptr_fields,
    numbers_alone,
    plain_pointers,
    print_c,
    same_type,
    special_fields,
    user_pointers,
    why_different,
)  # fmt: skip
from bpfheap.errors import BtfError, FormatError

pytestmark = pytest.mark.long

_HEADER = 24

#: What is done to the bytes. Most edits put a plausible number into a word of the types, so that
#: the result is often accepted and has to be lived with; the others break what they can.
_EDITS = ("small", "small", "small", "copy", "copy", "word", "bit", "header", "string", "cut")

_edits = st.lists(
    st.tuples(st.sampled_from(_EDITS), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)),
    min_size=1,
    max_size=3,
)


def mutate(raw: bytes, edits: list[tuple[str, int, int]]) -> bytes:
    data = bytearray(raw)
    types, strings = struct.unpack_from("<II", raw, 12)[0], len(raw) - 1
    for how, where, value in edits:
        at = _HEADER + where % (types // 4) * 4
        match how:
            case "small" | "word":
                word = value % 80 if how == "small" else value
                data[at : at + 4] = struct.pack("<I", word)
            case "copy":
                other = _HEADER + value % (types // 4) * 4
                data[at : at + 4] = raw[other : other + 4]
            case "bit":
                data[at + value % 4] ^= 1 << value % 8
            case "header":
                data[where % _HEADER] = value & 0xFF
            case "string":
                data[_HEADER + types + where % (strings - _HEADER - types)] = value & 0xFF
            case "cut":
                return bytes(data[: where % len(data)])
    return bytes(data)


def interrogate(btf: Btf, original: Btf) -> None:
    """Ask everything of all types. Only BtfError and RelocationError may be the answer."""
    for type_id in range(len(btf)):
        btf.resolve(type_id)
        btf.c_name(type_id)
        btf.decl_tags(type_id)
        btf.type_tags(type_id)
        assert same_type(btf, type_id, btf, type_id)
        if type_id < len(original) and btf[type_id] != original[type_id]:
            why_different(btf, type_id, original, type_id)
        for ask in (
            btf.size_of,
            btf.align_of,
            partial(kptr_fields, btf),
            partial(plain_pointers, btf),
            partial(incomplete, btf),
            partial(declare, btf),
            partial(print_c, btf),
        ):
            with contextlib.suppress(FormatError):
                ask(type_id)
        if numbers_alone(btf, type_id):
            for look in (kptr_fields, plain_pointers, user_pointers, special_fields):
                assert look(btf, type_id) == ()
        for kind in (CoreKind.FIELD_BYTE_OFFSET, CoreKind.ENUMVAL_VALUE, CoreKind.TYPE_SIZE):
            with contextlib.suppress(FormatError):
                core_value(btf, type_id, "0:1" if kind is CoreKind.FIELD_BYTE_OFFSET else "0", kind)
    with contextlib.suppress(FormatError):
        dump_c(btf)
    assert Btf.parse(btf.encode()) == btf


@settings(
    max_examples=5000,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(edits=_edits)
def test_mutated_btf(raw: bytes, sample: Btf, edits: list[tuple[str, int, int]]) -> None:
    btf = None
    with contextlib.suppress(BtfError):
        btf = Btf.parse(mutate(raw, edits))
    if btf is not None and btf != sample:
        interrogate(btf, sample)


def redirect(kind: BtfType, which: int, to: int) -> BtfType:
    """The same type, with one of its references, if it has any, led elsewhere."""
    match kind:
        case Struct(members=parts) | Union(members=parts) if parts:
            at = which % len(parts)
            moved = parts[at]._replace(type=to)
            return replace(kind, members=(*parts[:at], moved, *parts[at + 1 :]))
        case FuncProto():
            return replace(kind, ret=to)
        case Datasec() | Struct() | Union():
            return kind
    has_type: Any = kind
    return replace(has_type, type=to) if hasattr(kind, "type") else kind


@settings(
    max_examples=1500,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 0xFFFF), st.integers(0, 31), st.integers(0, 0xFFFF)),
        min_size=1,
        max_size=3,
    )
)
def test_types_that_refer_to_others_than_they_did(
    sample: Btf, edits: list[tuple[int, int, int]]
) -> None:
    types = list(sample.types)
    for at, which, to in edits:
        types[at % len(types)] = redirect(types[at % len(types)], which, to % len(types))
    btf = None
    with contextlib.suppress(BtfError):
        btf = Btf(tuple(types))
    if btf is not None and btf != sample:
        interrogate(btf, sample)
