"""Programs with callbacks, from C to their results."""

from __future__ import annotations

from pathlib import Path

import bpfheap
from bpfheap.compile import object_spec

_SOURCE = """
#include "bpfheap.h"
struct val { __u64 n; };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 4);
    __type(key, __u32);
    __type(value, struct val);
} numbers SEC(".maps");

struct sum { __u64 total; __u64 rounds; };

static long add(__u32 i, struct sum *sum)
{
    sum->total += i;
    sum->rounds++;
    return i == 6;
}

static long visit(void *map, const void *key, struct val *val, struct sum *sum)
{
    val->n = sum->total + *(const __u32 *)key;
    sum->rounds++;
    return 0;
}

SEC("tc")
int count(struct __sk_buff *ctx)
{
    struct sum sum = {};
    bpf_loop(100, add, &sum, 0);
    bpf_for_each_map_elem(&numbers, visit, &sum, 0);
    return sum.rounds;
}
char LICENSE[] SEC("license") = "GPL";
"""


def test_rounds_share_their_callers_stack(tmp_path: Path) -> None:
    path = tmp_path / "rounds.bpf.c"
    path.write_text(_SOURCE)
    rt = bpfheap.Runtime()
    obj = rt.load(object_spec(path))
    # 0 + 1 + ... + 6, and four elements.
    assert obj.programs["count"].run().retval == 7 + 4
    assert [obj.maps["numbers"][i]["n"] for i in range(4)] == [21, 22, 23, 24]
