"""Locks, list heads, roots, nodes and counts are not the program's to touch."""

from __future__ import annotations

import pytest

from bpfheap.btf import SpecialKind, special_fields
from bpfheap.compile import object_spec
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import verify

_SOURCE = """
#include "bpfheap.h"
struct item { __u64 data; struct bpf_list_node link; };
struct part { __u32 before; struct bpf_spin_lock lock; };
struct val {
    __u64 data;
    struct part part;
    struct bpf_list_head items __contains(item, link);
    __u64 after;
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct val);
} table SEC(".maps");
__kptr_type(struct item);

#define PROGRAM(name, access)                                   \\
SEC("tc") int name(struct __sk_buff *ctx)                       \\
{                                                               \\
    __u32 key = 0;                                              \\
    char *v = bpf_map_lookup_elem(&table, &key);                \\
    return v ? access : 0;                                      \\
}
PROGRAM(before, *(volatile __u64 *)v)
PROGRAM(beside, *(volatile __u32 *)(v + 8))
PROGRAM(lock, *(volatile __u32 *)(v + 12))
PROGRAM(over_lock, *(volatile __u64 *)(v + 8))
PROGRAM(head, *(volatile __u8 *)(v + 31))
PROGRAM(behind, (*(volatile __u64 *)(v + 32) = 1))
PROGRAM(helper, bpf_trace_printk(v, 20))
struct bare { struct bpf_res_spin_lock lock; struct bpf_list_head items __contains(item, link); };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct bare);
} unlocked SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct val);
} percpu SEC(".maps");

#define PUSH(name, map, type)                                   \\
SEC("tc") int name(struct __sk_buff *ctx)                       \\
{                                                               \\
    __u32 key = 0;                                              \\
    struct type *v = bpf_map_lookup_elem(&map, &key);           \\
    struct item *i = v ? bpf_obj_new(struct item) : 0;          \\
    if (i)                                                      \\
        bpf_list_push_back(&v->items, &i->link);                \\
    return 0;                                                   \\
}
PUSH(push, table, val)
PUSH(push_unlocked, unlocked, bare)
PUSH(push_percpu, percpu, val)
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def obj(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    path = tmp_path_factory.mktemp("special") / "special.bpf.c"
    path.write_text(_SOURCE)
    return object_spec(path)


def test_fields_are_found_with_what_they_contain(obj: ObjectSpec) -> None:
    table = obj.maps["table"]
    lock, head = special_fields(table.btf, table.value)
    assert (lock.path, lock.offset, lock.kind) == ("part.lock", 12, SpecialKind.SPIN_LOCK)
    assert (head.path, head.offset, head.kind) == ("items", 16, SpecialKind.LIST_HEAD)
    assert head.contains is not None
    assert table.btf.c_name(head.contains.type) == "struct item"
    assert (head.contains.member, head.contains.offset) == ("link", 8)
    [link] = special_fields(table.btf, head.contains.type)
    assert (link.kind, link.size) == (SpecialKind.LIST_NODE, 24)


@pytest.mark.parametrize(
    ("program", "field"),
    [
        ("before", None),
        ("beside", None),
        ("lock", "bpf_spin_lock part.lock"),
        ("over_lock", "bpf_spin_lock part.lock"),
        ("head", "bpf_list_head items"),
        ("behind", None),
        ("helper", "bpf_spin_lock part.lock"),
    ],
)
def test_plain_accesses_are_refused(obj: ObjectSpec, program: str, field: str | None) -> None:
    error = verify(obj, obj.programs[program]).error
    if field is None:
        assert error is None
    else:
        assert error is not None
        kind, _, path = field.partition(" ")
        assert error.message == f"{kind} cannot be accessed directly by load/store"
        assert error.detail.endswith(f": {path} is one")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("push", "bpf_spin_lock at off=12 must be held for bpf_list_head"),
        ("push_unlocked", "bpf_spin_lock at off=-22 must be held for bpf_list_head"),
        ("push_percpu", "bpf_list_head not found at offset=16"),
    ],
)
def test_a_list_has_a_lock_beside_it(obj: ObjectSpec, program: str, message: str) -> None:
    """Linux takes the third map for one of bytes."""
    error = verify(obj, obj.programs[program]).error
    assert error is not None
    assert message in error.message
