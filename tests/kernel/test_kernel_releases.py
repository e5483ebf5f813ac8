"""The tables of releases, beside what a kernel has: the live one, or that of --oracle."""

from __future__ import annotations

import pytest

from bpfheap.btf import Enum, Func, LazyBtf
from bpfheap.kernel import Kernel
from bpfheap.platform.linux import (
    HELPER_NAMES,
    KFUNCS_SINCE,
    MAP_TYPE_NAMES,
    NEWEST,
    attach_type_since,
    helper_since,
    map_type_since,
    program_type_since,
    release_of,
)
from bpfheap.platform.programs import AttachType


def enum_of(types: LazyBtf, name: str, prefix: str) -> set[int]:
    """The values of an enum, without that which ends it."""
    found = types.find(name, Enum)
    assert found is not None
    kind = types[found]
    assert isinstance(kind, Enum)
    return {value for text, value in kind.values if text.startswith(prefix)}


@pytest.mark.parametrize(
    ("name", "prefix", "since"),
    [
        ("bpf_func_id", "BPF_FUNC_", {n: helper_since(n) or (0, 0) for n in HELPER_NAMES}),
        ("bpf_map_type", "BPF_MAP_TYPE_", {0: (0, 0)} | {
            n: map_type_since(n) or (0, 0) for n in MAP_TYPE_NAMES
        }),
        ("bpf_prog_type", "BPF_PROG_TYPE_", {0: (0, 0)} | {
            n: program_type_since(n) for n in range(1, 33)
        }),
        ("bpf_attach_type", "BPF_", {int(n): attach_type_since(n) for n in AttachType}),
    ],
)  # fmt: skip
def test_enums(kernel: Kernel, name: str, prefix: str, since: dict[int, tuple[int, int]]) -> None:
    release = release_of(kernel.transport.release)
    if release > NEWEST:
        pytest.skip("the tables do not know so much")
    there = enum_of(kernel.transport.types(), name, prefix)
    assert there == {number for number, first in since.items() if first <= release}


def test_no_kfunc_came_earlier(kernel: Kernel) -> None:
    """A configuration can leave one out, and a module have it, so not the other way round."""
    release, types = release_of(kernel.transport.release), kernel.transport.types()
    early = [name for name, since in KFUNCS_SINCE.items() if since > release]
    assert [name for name in early if types.find(name, Func) is not None] == []
    assert len(early) < len(KFUNCS_SINCE)
