"""Since when Linux has what programs are made of."""

from __future__ import annotations

import pytest

from bpfheap.isa import OPS, Kind, assemble
from bpfheap.isa import op_of as row_of
from bpfheap.platform.calls import CALL_BY_NAME
from bpfheap.platform.linux import (
    HELPER_NAMES,
    MAP_TYPE_NAMES,
    NEWEST,
    Release,
    attach_type_since,
    helper_since,
    kfunc_since,
    map_type_since,
    program_type_since,
    release_of,
    shown,
)
from bpfheap.platform.maps import ALLOCATOR_NUMBER, MAP_TYPES
from bpfheap.platform.programs import PROGRAM_TYPES, AttachType
from bpfheap.platform.releases import LONG_TERM, call_since, op_since, section_since


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("6.1", (6, 1)), ("v5.15", (5, 15)), ("6.12.3", (6, 12)), ("6.1.0-57-cloud-amd64", (6, 1)),
        ("6.18-rc3", (6, 18)), ("4.9+", (4, 9)),
    ],
)  # fmt: skip
def test_release_of(text: str, release: Release) -> None:
    assert release_of(text) == release


@pytest.mark.parametrize("text", ["", "6", "six", "6.x", "6.1x", "-6.1", "6.", "12345.1"])
def test_no_release(text: str) -> None:
    with pytest.raises(ValueError, match="is no release of Linux"):
        release_of(text)


def test_numbers_come_in_order() -> None:
    """Linux adds to its enums at the end."""
    helpers = [helper_since(n) or NEWEST for n in HELPER_NAMES if n]
    maps = [map_type_since(n) or NEWEST for n in MAP_TYPE_NAMES]
    types = [program_type_since(n) for n in range(1, 33)]
    attached = [attach_type_since(n) for n in AttachType]
    for since in (helpers, maps, types, attached):
        assert since == sorted(since)
        assert since[-1] <= NEWEST


def test_all_rows_of_linux_have_a_release() -> None:
    tests_of_the_kernel = "bpf_modify_return_test bpf_kfunc_call bpf_fentry_test"
    for call in CALL_BY_NAME.values():
        if not call.ours and not call.name.startswith(tuple(tests_of_the_kernel.split())):
            since = call_since(call.name, call.number)
            assert since is not None, call.name
            assert since <= NEWEST
    for kind in MAP_TYPES:
        assert (map_type_since(kind.number) is None) == (kind.number == ALLOCATOR_NUMBER)


@pytest.mark.parametrize(
    ("name", "number", "since"),
    [
        ("bpf_map_lookup_elem", 1, (3, 19)),
        ("bpf_get_prandom_u32", 7, (4, 1)),
        ("bpf_ringbuf_output", 130, (5, 8)),
        ("bpf_loop", 181, (5, 17)),
        ("bpf_kptr_xchg", 194, (5, 19)),
        ("bpf_cgrp_storage_delete", 211, (6, 2)),
        ("bpf_obj_new_impl", None, (6, 2)),
        ("bpf_rbtree_first", None, (6, 3)),
        ("bpf_iter_num_new", None, (6, 4)),
        ("bpf_throw", None, (6, 7)),
        ("bpf_strlen", None, (6, 17)),
        ("unit_free", None, None),
    ],
)
def test_calls(name: str, number: int | None, since: Release | None) -> None:
    assert call_since(name, number) == since


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("r1 += 2", (3, 19)),
        ("r1 s/= r2", (6, 6)),
        ("w1 s%= 3", (6, 6)),
        ("r1 = (s8)r2", (6, 6)),
        ("r1 = *(s16 *)(r2 +0)", (6, 6)),
        ("r1 = bswap64 r1", (6, 6)),
        ("r1 = be64 r1", (3, 19)),
        ("if r1 < r2 goto pc+0", (4, 14)),
        ("if r1 > r2 goto pc+0", (3, 19)),
        ("if w1 == w2 goto pc+0", (5, 1)),
        ("lock *(u64 *)(r1 +0) += r2", (3, 19)),
        ("lock *(u64 *)(r1 +0) |= r2", (5, 12)),
        ("r1 = atomic64_fetch_add((u64 *)(r2 +0), r1)", (5, 12)),
        ("r0 = load_acquire((u64 *)(r1 +0))", (6, 15)),
        ("may_goto pc+0", (6, 9)),
        ("gotol pc+0", (6, 6)),
        ("goto pc+0", (3, 19)),
    ],
)
def test_instructions(text: str, since: Release) -> None:
    assert op_since(row_of(assemble(text).insns[0])) == since


def test_all_instructions_have_a_release() -> None:
    assert {op_since(op) for op in OPS if op.kind is Kind.ALU} == {(3, 19), (6, 6)}
    assert all(op_since(op) <= NEWEST for op in OPS)


@pytest.mark.parametrize(
    ("section", "since"),
    [
        ("socket", (3, 19)),
        ("xdp", (4, 8)),
        # The kernel does not look at what it is attached to before it is.
        ("tcx/ingress", (4, 1)),
        ("kprobe.multi/x", (4, 1)),
        ("xdp/devmap", (4, 8)),
        ("fentry/vfs_read", (5, 5)),
        ("lsm/file_open", (5, 7)),
        ("lsm_cgroup/socket_bind", (6, 0)),
        ("syscall", (5, 14)),
        ("netfilter", (6, 4)),
        ("cgroup/connect_unix", (6, 7)),
        ("no/such", (3, 19)),
    ],
)
def test_sections(section: str, since: Release) -> None:
    assert section_since(section) == since


def test_all_sections_have_a_release() -> None:
    for row in PROGRAM_TYPES:
        for section in row.sections:
            assert section_since(section) <= NEWEST


def test_long_term_releases_are_in_order() -> None:
    assert list(LONG_TERM) == sorted(LONG_TERM)
    assert shown(LONG_TERM[-1]) == "6.18"
    assert kfunc_since("bpf_no_such") is None
