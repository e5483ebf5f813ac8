"""Nothing but a BtfError ever comes out of broken BTF, and what is accepted answers everything."""

from __future__ import annotations

import contextlib
import struct

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpfheap.btf import (
    Btf,
    CoreKind,
    Struct,
    core_value,
    declare,
    define,
    dump_c,
    incomplete,
    kptr_fields,
    plain_pointers,
    same_type,
)  # fmt: skip
from bpfheap.errors import BpfheapError

_HEADER = 24

#: (where, as a fraction of the bytes; how; a byte or word to put there)
_edits = st.lists(
    st.tuples(
        st.floats(0, 0.999),
        st.sampled_from(("byte", "word", "bit", "cut", "small")),
        st.integers(0, 0xFFFFFFFF),
    ),
    min_size=1,
    max_size=4,
)


def mutate(raw: bytes, edits: list[tuple[float, str, int]]) -> bytes:
    data = bytearray(raw)
    for where, how, value in edits:
        if len(data) <= _HEADER:
            break
        at = int(where * len(data))
        match how:
            case "byte":
                data[at] = value & 0xFF
            case "bit":
                data[at] ^= 1 << (value % 8)
            case "cut":
                del data[at:]
            case "word" | "small":
                at = min(_HEADER + (at - _HEADER) // 4 * 4, len(data) - 4) if at > _HEADER else at
                word = value if how == "word" else value % 80
                data[at : at + 4] = struct.pack("<I", word)[: len(data) - at]
    return bytes(data)


def interrogate(btf: Btf) -> None:
    """Ask everything of the types whose bytes a mutation may have changed."""
    for type_id in range(len(btf)):
        btf.resolve(type_id)
        btf.c_name(type_id)
        btf.decl_tags(type_id)
        btf.type_tags(type_id)
        assert same_type(btf, type_id, btf, type_id)
        for question in (btf.size_of, btf.align_of):
            with contextlib.suppress(BpfheapError):
                question(type_id)
        for ask in (kptr_fields, plain_pointers, incomplete, declare, define):
            if isinstance(btf[type_id], Struct):
                with contextlib.suppress(BpfheapError):
                    ask(btf, type_id)
        with contextlib.suppress(BpfheapError):
            core_value(btf, type_id, "0:1", CoreKind.FIELD_BYTE_OFFSET)
    with contextlib.suppress(BpfheapError):
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
def test_mutated_btf(raw: bytes, edits: list[tuple[float, str, int]]) -> None:
    btf = None
    with contextlib.suppress(BpfheapError):
        btf = Btf.parse(mutate(raw, edits))
    if btf is not None:
        interrogate(btf)
