"""BTF of a few types, for tests."""

from __future__ import annotations

from bpfheap.btf import Btf, BtfBuilder, BtfType


def built(*types: BtfType) -> Btf:
    builder = BtfBuilder()
    for kind in types:
        builder.add(kind)
    return builder.build()
