"""Maps that cannot be used, and types with fields that cannot be there together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bpfheap.compile import object_spec
from bpfheap.platform.maps import MapFlag
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import verify

_SOURCE = """
#include "bpfheap.h"
struct leaf { __u64 value; };
struct two {
    union {
        struct leaf __kptr *left;
        struct leaf __kptr *right;
    };
};
__kptr_type(struct two);
struct holder { struct two __kptr *two; };
#define MAP(name, kind, what)                                   \\
struct {                                                        \\
    __uint(type, kind);                                         \\
    __uint(max_entries, 1);                                     \\
    __type(key, __u32);                                         \\
    __type(value, what);                                        \\
} name SEC(".maps")
MAP(overlapping, BPF_MAP_TYPE_ARRAY, struct two);
MAP(holders, BPF_MAP_TYPE_ARRAY, struct holder);
MAP(plain, BPF_MAP_TYPE_ARRAY, __u64);
struct inner {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} inner SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 1);
    __type(key, __u32);
    __array(values, struct inner);
} outer SEC(".maps") = { .values = { &inner } };

#define LOOKUP(name, map)                                       \\
SEC("tc") int name(struct __sk_buff *ctx)                       \\
{                                                               \\
    __u32 key = 0;                                              \\
    return bpf_map_lookup_elem(&map, &key) ? 1 : 0;             \\
}
LOOKUP(looks, plain)
LOOKUP(looks_at_overlapping, overlapping)
LOOKUP(looks_into, outer)
SEC("tc") int takes(struct __sk_buff *ctx)
{
    __u32 key = 0;
    struct holder *h = bpf_map_lookup_elem(&holders, &key);
    struct two *t = h ? bpf_kptr_xchg(&h->two, 0) : 0;
    if (t)
        bpf_obj_drop(t);
    return 0;
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def obj(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    path = tmp_path_factory.mktemp("layouts") / "layouts.bpf.c"
    path.write_text(_SOURCE)
    return object_spec(path)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("looks", None),
        ("looks_at_overlapping", "struct two: kptr left is in a union"),
        ("takes", "struct two: kptr left is in a union"),
        ("looks_into", None),
    ],
)
def test_kptrs_of_a_union(obj: ObjectSpec, program: str, message: str | None) -> None:
    error = verify(obj, obj.programs[program]).error
    if message is None:
        assert error is None, error
    else:
        assert error is not None
        assert message in error.message


@pytest.mark.parametrize(
    ("program", "change", "message"),
    [
        ("looks", {"plain": {"type": 999}}, "map plain has unknown type 999"),
        ("looks_into", {"outer": {"inner": None}}, "map outer has no template for its inner maps"),
        (
            "looks_into",
            {"outer": {"flags": MapFlag.WRONLY_PROG}},
            "read from map forbidden",
        ),
    ],
)
def test_maps_that_cannot_be_used(
    obj: ObjectSpec, program: str, change: dict[str, dict[str, object]], message: str
) -> None:
    """No object file has them."""
    maps = {name: replace(spec, **change.get(name, {})) for name, spec in obj.maps.items()}  # type: ignore[arg-type]
    error = verify(replace(obj, maps=maps), obj.programs[program]).error
    assert error is not None
    assert message in error.message
