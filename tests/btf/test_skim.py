"""Names and ids, without reading all that BTF says."""

from __future__ import annotations

import pytest

from bpfheap.btf import (
    KINDS,
    Btf,
    BtfBuilder,
    BtfType,
    Datasec,
    Func,
    FuncProto,
    Int,
    Param,
    SecVar,
    Struct,
    Var,
)
from bpfheap.btf.skim import ids_by_name
from bpfheap.btf.types import name_of
from bpfheap.errors import BtfError

INT = Int("int", 4, 1, 0, 32)


def built(*types: BtfType) -> Btf:
    builder = BtfBuilder()
    for kind in types:
        builder.add(kind)
    return builder.build()


def test_names_are_found_without_reading_all_types() -> None:
    btf = built(
        INT,
        Struct("f", 0, ()),
        FuncProto(0, (Param("x", 1),)),
        Func("f", 3, 1),
        Func("g", 3, 0),
        Func("f", 3, 0),
        Var("v", 1, 1),
        Datasec(".data", 4, (SecVar(7, 0, 4),)),
    )
    data = btf.encode()
    assert ids_by_name(data, Func) == {"f": 4, "g": 5}
    assert ids_by_name(data, Var) == {"v": 7}


@pytest.mark.parametrize("data", [b"", bytes(24), Btf.EMPTY.encode()[:20]])
def test_broken_types_are_refused(data: bytes) -> None:
    with pytest.raises(BtfError):
        ids_by_name(data, Func, "vmlinux")


def test_types_that_end_within_one_are_refused() -> None:
    data = bytearray(built(Struct("s", 0, ())).encode())
    data[24 + 4] = 1  # one member, which is not there
    with pytest.raises(BtfError, match="type 1 is not complete"):
        ids_by_name(bytes(data), Func)


@pytest.mark.parametrize("kind", KINDS[1:], ids=lambda kind: kind.__name__)
def test_each_kind_is_passed_over_and_found(sample: Btf, kind: type[BtfType]) -> None:
    expected: dict[str, int] = {}
    for type_id, found in enumerate(sample.types):
        if isinstance(found, kind):
            expected.setdefault(name_of(found), type_id)
    assert ids_by_name(sample.encode(), kind) == expected
