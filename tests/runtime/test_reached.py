"""Which programs one may jump to, as the arrays' definitions have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfheap.compile import object_spec
from bpfheap.runtime.loader import reached

SOURCE = """
#include <bpfheap.h>
#define PROGRAMS(name, ...) struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); \\
	__uint(max_entries, 3); __uint(key_size, 4); __array(values, int(void *)); } name \\
	SEC(".maps") = { .values = { __VA_ARGS__ } }
int first(struct __sk_buff *skb);
int second(struct __sk_buff *skb);
int third(struct __sk_buff *skb);
PROGRAMS(to_second, [1] = (void *)&second);
PROGRAMS(to_others, [0] = (void *)&first, [2] = (void *)&third);
SEC("tc") int first(struct __sk_buff *skb) { bpf_tail_call(skb, &to_second, 1); return 1; }
SEC("tc") int second(struct __sk_buff *skb) { bpf_tail_call(skb, &to_others, 0); return 2; }
SEC("tc") int third(struct __sk_buff *skb) { return 3; }
"""


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("first", ["first", "second", "third"]),
        ("second", ["second", "first", "third"]),
        ("third", ["third"]),
    ],
)
def test_reached(tmp_path: Path, name: str, found: list[str]) -> None:
    path = tmp_path / "jumps.bpf.c"
    path.write_text(SOURCE)
    assert reached(object_spec(path), name) == found
