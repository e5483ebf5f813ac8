"""The names of what Linux has: complete, as the rows have them, and as the live kernel has them."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from bpfheap.btf import Enum
from bpfheap.btf.raw import parse_types
from bpfheap.platform.calls import HELPERS, LEFT_OUT, left_out
from bpfheap.platform.linux import HELPER_NAMES, MAP_TYPE_NAMES
from bpfheap.platform.maps import ALLOCATOR_NUMBER, MAP_TYPES
from bpfheap.platform.missing import missing_helper, section_name

VMLINUX = Path("/sys/kernel/btf/vmlinux")


def test_numbers_have_no_gaps() -> None:
    assert list(HELPER_NAMES) == list(range(212))
    assert list(MAP_TYPE_NAMES) == list(range(1, 34))


def test_rows_have_the_same_names() -> None:
    assert {c.number: c.name for c in HELPERS}.items() <= HELPER_NAMES.items()
    rows = {t.number: t.name.upper() for t in MAP_TYPES if t.number != ALLOCATOR_NUMBER}
    assert rows.items() <= MAP_TYPE_NAMES.items()


@pytest.mark.skipif(not VMLINUX.exists(), reason="the kernel has no BTF")
@pytest.mark.skipif(not platform.release().startswith("6.18."), reason="another kernel")
@pytest.mark.parametrize(
    ("enum", "prefix", "names"),
    [
        ("bpf_func_id", "BPF_FUNC_", {n: s.removeprefix("bpf_") for n, s in HELPER_NAMES.items()}),
        ("bpf_map_type", "BPF_MAP_TYPE_", {0: "UNSPEC", **MAP_TYPE_NAMES}),
    ],
)
def test_the_kernel_has_the_same_names(enum: str, prefix: str, names: dict[int, str]) -> None:
    types = parse_types(VMLINUX.read_bytes(), "vmlinux")
    kind = next(t for t in types if isinstance(t, Enum) and t.name == enum)
    there = {
        number: name.removeprefix(prefix)
        for name, number in kind.values
        if name.startswith(prefix) and not name.endswith("_DEPRECATED")
    }
    assert names == there


def test_families_are_of_helpers_that_are_missing() -> None:
    for family in LEFT_OUT:
        for number in family.numbers:
            assert missing_helper(number) is not None
            name = HELPER_NAMES[number]
            known = left_out(None, name)
            assert known is family


@pytest.mark.parametrize(
    ("number", "name"),
    [(172, None), (1, None), (0, None), (212, None), (-1, None)],
)
def test_missing_helpers(number: int, name: str | None) -> None:
    assert missing_helper(number) == name


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("fentry/vfs_read", 'SEC("fentry")'),
        ("?lsm.s/bpf", 'SEC("lsm.s")'),
        ("cgroup/connect4", 'SEC("cgroup/connect4")'),
        ("sk_skb/stream_parser", 'SEC("sk_skb/stream_parser")'),
        ("netfilter", 'SEC("netfilter")'),
        ("", 'SEC("")'),
    ],
)
def test_sections(section: str, name: str) -> None:
    assert section_name(section) == name
