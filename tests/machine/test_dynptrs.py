"""Dynptrs, on our machines and on Linux."""

from __future__ import annotations

from errno import E2BIG, EINVAL, ERANGE
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from two_sides import SIDES, Linux, Ours, compiled, play

from bpfheap.spec import ObjectSpec
from bpfheap.vmlinux import NONE, VMLINUX, Vmlinux

SOURCE = """
extern int bpf_dynptr_from_skb(struct __sk_buff *s, __u64 flags, struct bpf_dynptr *p) __ksym;
extern int bpf_dynptr_from_skb_meta(struct __sk_buff *s, __u64 flags,
			struct bpf_dynptr *p) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *x, __u64 flags, struct bpf_dynptr *p) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, __u32 at, void *b, __u32 n) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, __u32 at, void *b, __u32 n) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *p, __u32 start, __u32 end) __ksym;
extern _Bool bpf_dynptr_is_null(const struct bpf_dynptr *p) __ksym;
extern _Bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p) __ksym;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *p) __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *c) __ksym;
extern int bpf_dynptr_copy(struct bpf_dynptr *d, __u32 at, struct bpf_dynptr *s, __u32 of,
			__u32 n) __ksym;
extern int bpf_dynptr_memset(struct bpf_dynptr *p, __u32 at, __u32 n, __u8 v) __ksym;
extern int bpf_probe_read_kernel_dynptr(struct bpf_dynptr *p, __u32 at, __u32 n,
					const void *from) __ksym;
extern int bpf_probe_read_kernel_str_dynptr(struct bpf_dynptr *p, __u32 at, __u32 n,
			const void *from) __ksym;

struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } records SEC(".maps");
__u8 bytes[32], others[16];
const char text[12] = "hello world";

struct four { __u32 a, b, c, d; };
#define OF(size, of) \\
	ARGS(four, x); struct bpf_dynptr ptr; \\
	for (int i = 0; i < 32; i++) bytes[i] = i; \\
	if (bpf_dynptr_from_mem(bytes, size, of, &ptr)) (void)0

SEC("tc") int make(struct __sk_buff *skb)
{
	ARGS(four, x);
	struct bpf_dynptr ptr;
	int made = bpf_dynptr_from_mem(bytes, x.a & 31, x.b, &ptr);
	return made ? made : bpf_dynptr_size(&ptr);
}
SEC("tc") int made_of_nothing(struct __sk_buff *skb)
{
	OF(32, 1);
	__u32 found = 7;
	switch (x.a) {
	case 0: return bpf_dynptr_is_null(&ptr);
	case 1: return bpf_dynptr_size(&ptr);
	case 2: return bpf_dynptr_is_rdonly(&ptr);
	case 3: return bpf_dynptr_read(&found, 4, &ptr, 0, 0);
	case 4: return bpf_dynptr_write(&ptr, 0, &found, 4, 0);
	case 5: return bpf_dynptr_data(&ptr, 0, 4) != 0;
	case 6: return bpf_dynptr_adjust(&ptr, 0, 0);
	case 7: { struct bpf_dynptr copy; return bpf_dynptr_clone(&ptr, &copy); }
	case 8: return bpf_dynptr_memset(&ptr, x.b, x.c, 1);
	case 9: return bpf_dynptr_slice(&ptr, 0, 0, 4) != 0;
	}
	return -1;
}
SEC("tc") int read(struct __sk_buff *skb)
{
	OF(16, 0);
	__u32 found = 0x01010101;
	int wrong = bpf_dynptr_read(&found, x.b & 3, &ptr, x.a, x.c);
	return wrong ? wrong : found;
}
SEC("tc") int write(struct __sk_buff *skb)
{
	OF(16, 0);
	__u32 given = 0x0a0b0c0d;
	int wrong = bpf_dynptr_write(&ptr, x.a, &given, x.b & 3, x.c);
	return wrong ? wrong : *(__u32 *)(bytes + 12);
}
SEC("tc") int data(struct __sk_buff *skb)
{
	OF(16, 0);
	__u32 *slice = bpf_dynptr_data(&ptr, x.a, 4);
	if (!slice)
		return -1;
	*slice += 1;
	return *(__u32 *)(bytes + 4);
}
SEC("tc") int adjust(struct __sk_buff *skb)
{
	OF(16, 0);
	__u8 first = 99;
	int wrong = bpf_dynptr_adjust(&ptr, x.a, x.b);
	if (wrong)
		return wrong;
	bpf_dynptr_read(&first, 1, &ptr, x.c, 0);
	return bpf_dynptr_size(&ptr) << 8 | first;
}
SEC("tc") int adjust_twice(struct __sk_buff *skb)
{
	OF(16, 0);
	struct bpf_dynptr copy;
	__u8 first = 99;
	bpf_dynptr_clone(&ptr, &copy);
	bpf_dynptr_adjust(&copy, x.a, x.b);
	bpf_dynptr_adjust(&copy, x.c, x.d);
	bpf_dynptr_read(&first, 1, &copy, 0, 0);
	return bpf_dynptr_size(&ptr) << 16 | bpf_dynptr_size(&copy) << 8 | first;
}
SEC("tc") int copy(struct __sk_buff *skb)
{
	OF(16, 0);
	struct bpf_dynptr other;
	__builtin_memset(others, 0, sizeof(others));
	bpf_dynptr_from_mem(others, sizeof(others), 0, &other);
	int wrong = bpf_dynptr_copy(&other, x.a, &ptr, x.b, x.c);
	return wrong ? wrong : others[4] << 8 | others[5];
}
SEC("tc") int overlapping(struct __sk_buff *skb)
{
	OF(16, 0);
	bpf_dynptr_copy(&ptr, x.a, &ptr, x.b, 8);
	return bytes[4] << 24 | bytes[5] << 16 | bytes[6] << 8 | bytes[7];
}
SEC("tc") int fill(struct __sk_buff *skb)
{
	OF(16, 0);
	int wrong = bpf_dynptr_memset(&ptr, x.a, x.b, x.c);
	return wrong ? wrong : bytes[4] << 8 | bytes[5];
}
SEC("tc") int probed(struct __sk_buff *skb)
{
	OF(16, 0);
	int wrong = bpf_probe_read_kernel_dynptr(&ptr, x.a, x.b, text);
	return wrong ? wrong : bytes[4] << 8 | bytes[5];
}
SEC("tc") int probed_text(struct __sk_buff *skb)
{
	OF(16, 0);
	int size = bpf_probe_read_kernel_str_dynptr(&ptr, x.a, x.b, text);
	return size < 0 ? size : size << 16 | bytes[4] << 8 | bytes[5];
}
SEC("tc") int record(struct __sk_buff *skb)
{
	ARGS(four, x);
	struct bpf_dynptr ptr, copy;
	__u32 given = 7, found = 0;
	int made = bpf_ringbuf_reserve_dynptr(&records, x.a, x.b, &ptr);
	int wrote = bpf_dynptr_write(&ptr, 4, &given, 4, 0);
	bpf_dynptr_clone(&ptr, &copy);
	__u32 *slice = bpf_dynptr_data(&copy, 4, 4);
	if (slice)
		found = *slice;
	if (x.c)
		bpf_ringbuf_submit_dynptr(&copy, 0);
	else
		bpf_ringbuf_discard_dynptr(&ptr, 0);
	return made ? made : wrote ? wrote : found;
}
SEC("tc") int left(struct __sk_buff *skb)
{
	return bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA);
}
SEC("tc") int packet_read(struct __sk_buff *skb)
{
	ARGS(four, x);
	struct bpf_dynptr ptr;
	__u32 found = 0;
	bpf_dynptr_from_skb(skb, x.d, &ptr);
	int wrong = bpf_dynptr_read(&found, 4, &ptr, x.b, x.c);
	return wrong ? wrong : found;
}
SEC("tc") int packet_sizes(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr, meta;
	bpf_dynptr_from_skb(skb, 0, &ptr);
	bpf_dynptr_from_skb_meta(skb, 0, &meta);
	return bpf_dynptr_size(&ptr) << 16 | bpf_dynptr_size(&meta) << 8 | bpf_dynptr_is_rdonly(&ptr);
}
SEC("tc") int packet_write(struct __sk_buff *skb)
{
	ARGS(four, x);
	struct bpf_dynptr ptr;
	__u32 found = 0;
	bpf_dynptr_from_skb(skb, 0, &ptr);
	int wrong = bpf_dynptr_write(&ptr, x.b, &x.a, 4, x.c);
	if (wrong)
		return wrong;
	bpf_skb_load_bytes(skb, 14, &found, 4);
	return found;
}
SEC("tc") int packet_slice(struct __sk_buff *skb)
{
	ARGS(four, x);
	struct bpf_dynptr ptr;
	__u32 buffer, found = 0;
	bpf_dynptr_from_skb(skb, 0, &ptr);
	bpf_dynptr_adjust(&ptr, x.c, bpf_dynptr_size(&ptr));
	__u32 *slice = bpf_dynptr_slice_rdwr(&ptr, x.b, &buffer, 4);
	if (!slice)
		return -1;
	*slice += 1;
	if (slice == &buffer)
		bpf_dynptr_write(&ptr, x.b, &buffer, 4, 0);
	bpf_skb_load_bytes(skb, 14, &found, 4);
	return found;
}
SEC("tc") int packet_fill(struct __sk_buff *skb)
{
	ARGS(four, x);
	struct bpf_dynptr ptr;
	__u32 found = 0;
	bpf_dynptr_from_skb(skb, 0, &ptr);
	int wrong = bpf_dynptr_memset(&ptr, x.b, x.c, 0x11);
	if (wrong)
		return wrong;
	bpf_skb_load_bytes(skb, 14, &found, 4);
	return found;
}
SEC("cgroup_skb/egress") int packet_read_only(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;
	__u32 value = 0;
	if (bpf_dynptr_from_skb(skb, 0, &ptr))
		return 0;
	return bpf_dynptr_is_rdonly(&ptr) && bpf_dynptr_write(&ptr, 0, &value, 4, 0) == -22
		&& bpf_dynptr_slice(&ptr, 0, 0, 4) && !bpf_dynptr_slice(&ptr, 2000, 0, 4);
}
SEC("xdp") int frame_write(struct xdp_md *ctx)
{
	struct bpf_dynptr ptr;
	struct four x = {};
	__u32 buffer, value = 0x41424344;
	bpf_dynptr_from_xdp(ctx, 0, &ptr);
	bpf_dynptr_read(&x, sizeof(x), &ptr, 14, 0);
	int wrong = bpf_dynptr_write(&ptr, x.b, &value, 4, x.c);
	if (wrong)
		return wrong;
	__u32 *slice = bpf_dynptr_slice(&ptr, 14, &buffer, 4);
	return slice ? *slice : -1;
}
"""

_M32 = (1 << 32) - 1
A = 0x0A0B0C0D


def no(number: int) -> int:
    """An error, as r0 has it."""
    return -number & _M32


#: The program, its arguments, and what it returns.
RUNS = [
    ("make", (5, 0), 5), ("make", (0, 0), 0), ("make", (5, 1), no(EINVAL)),
    *(("made_of_nothing", (n,), result) for n, result in enumerate((
        1, no(EINVAL), 0, no(EINVAL), no(EINVAL), 0, no(EINVAL), no(EINVAL),
    ))),
    ("made_of_nothing", (8, 0, 4), no(E2BIG)), ("made_of_nothing", (9,), 0),
    ("read", (0, 3), 0x01020100), ("read", (13, 3), 0x010F0E0D), ("read", (14, 3), no(E2BIG)),
    ("read", (16, 0), 0x01010101), ("read", (17, 0), no(E2BIG)), ("read", (0, 1, 1), no(EINVAL)),
    ("read", (_M32, 3), no(E2BIG)),
    ("write", (12, 3), 0x0F0B0C0D), ("write", (13, 3), 0x0B0C0D0C),
    ("write", (14, 3), no(E2BIG)), ("write", (0, 3, 1), no(EINVAL)), ("write", (16, 0), 0x0F0E0D0C),
    ("data", (4,), 0x07060505), ("data", (12,), 0x07060504), ("data", (13,), _M32),
    ("data", (_M32,), _M32),
    ("adjust", (0, 16, 0), 16 << 8), ("adjust", (3, 5, 1), 2 << 8 | 4),
    ("adjust", (3, 5, 2), 2 << 8 | 99), ("adjust", (5, 3, 0), no(EINVAL)),
    ("adjust", (0, 17, 0), no(ERANGE)), ("adjust", (16, 16, 0), 99),
    ("adjust_twice", (4, 12, 2, 5), 16 << 16 | 3 << 8 | 6),
    ("adjust_twice", (4, 12, 2, 9), 16 << 16 | 8 << 8 | 4),
    ("copy", (4, 8, 2), 0x0809), ("copy", (4, 8, 1), 0x0800), ("copy", (0, 9, 8), no(E2BIG)),
    ("copy", (9, 0, 8), no(E2BIG)), ("copy", (0, 0, 0), 0),
    ("overlapping", (4, 0), 0x00010203), ("overlapping", (0, 4), 0x08090A0B),
    ("fill", (4, 1, 7), 0x0705), ("fill", (5, 1, 0x107), 0x0407), ("fill", (0, 17, 0), no(E2BIG)),
    ("fill", (16, 0, 0), 0x0405),
    ("probed", (4, 2), ord("h") << 8 | ord("e")), ("probed", (15, 2), no(E2BIG)),
    ("probed", (0, 0), 0x0405),
    ("probed_text", (4, 12), 12 << 16 | ord("h") << 8 | ord("e")),
    ("probed_text", (4, 2), 2 << 16 | ord("h") << 8), ("probed_text", (4, 1), 1 << 16 | 5),
    ("probed_text", (4, 0), 0x0405), ("probed_text", (10, 7), no(E2BIG)),
    ("record", (8, 0, 0), 7), ("record", (8, 0, 1), 7), ("record", (7, 0, 1), no(E2BIG)),
    ("record", (8, 1, 1), no(EINVAL)), ("record", (4096, 0, 1), no(EINVAL)),
    ("record", (1 << 24, 0, 1), no(E2BIG)), ("record", (0, 0, 1), no(E2BIG)),
    ("packet_read", (A, 14, 0, 0), A), ("packet_read", (A, 18, 0, 0), 18),
    ("packet_read", (A, 61, 0, 0), no(E2BIG)), ("packet_read", (A, 14, 1, 0), no(EINVAL)),
    ("packet_read", (A, 14, 0, 1), no(EINVAL)),
    ("packet_sizes", (), 64 << 16),
    ("packet_write", (A, 14, 0), A), ("packet_write", (A, 13, 0), 0x0A0A0B0C),
    ("packet_write", (A, 14, 1), A), ("packet_write", (A, 14, 4), no(EINVAL)),
    ("packet_write", (A, 61, 0), no(E2BIG)),
    ("packet_slice", (A, 14, 0), A + 1), ("packet_slice", (A, 4, 10), A + 1),
    ("packet_slice", (A, 61, 0), _M32), ("packet_slice", (A, 51, 10), _M32),
    ("packet_fill", (A, 14, 2), 0x0A0B1111), ("packet_fill", (A, 60, 5), no(E2BIG)),
    ("packet_read_only", (), 1),
    ("frame_write", (A, 14, 0), 0x41424344), ("frame_write", (A, 18, 0), A),
    ("frame_write", (A, 14, 1), no(EINVAL)), ("frame_write", (A, 61, 0), no(E2BIG)),
]  # fmt: skip


_KERNEL = Vmlinux(VMLINUX if VMLINUX.exists() else NONE)


@cache
def spec() -> ObjectSpec:
    with TemporaryDirectory() as folder:
        return compiled(Path(folder), "dynptrs", SOURCE, _KERNEL)


@pytest.mark.parametrize("side", SIDES)
def test_what_they_do(side: type[Ours | Linux]) -> None:
    if _KERNEL.types() is None:
        pytest.skip("there are no types of a kernel here")
    made = side(spec())
    try:
        play(made, [("run", name, *args, result) for name, args, result in RUNS])
    finally:
        made.close()
