"""Programs that have to load on earlier releases of Linux."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bpfheap.compile import compile_c
from bpfheap.compile.options import CompileOptions
from bpfheap.elf import load_spec
from bpfheap.errors import UsageError
from bpfheap.platform.linux import NEWEST, Release
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import VerdictKind, verify
from bpfheap.vmlinux import Earlier, Vmlinux, release_named

SOURCE = """
#include <bpfheap.h>
char _license[] SEC("license") = "GPL";
extern int LINUX_KERNEL_VERSION __kconfig;
extern int bpf_strlen(const char *s) __ksym __weak;
struct value { struct bpf_spin_lock lock; int n; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);
	__type(key, __u32); __type(value, struct value);
} values SEC(".maps");
SEC("tc") int plain(void *ctx) { return 0; }
SEC("tc") int calls(void *ctx) { return bpf_ktime_get_tai_ns() & 1; }
SEC("tc") int guarded(void *ctx)
{
	if (LINUX_KERNEL_VERSION < 0x060100)
		return 0;
	return bpf_ktime_get_tai_ns() & 1;
}
SEC("tc") int weak(void *ctx) { return bpf_strlen ? bpf_strlen("abc") : 3; }
SEC("tc") int constant_key(void *ctx)
{
	__u32 key = 0;
	struct value *v = bpf_map_lookup_elem(&values, &key);

	return v->n;
}
static __noinline int adds(struct value *v) { return ++v->n; }
SEC("tc") int calls_locked(void *ctx)
{
	__u32 key = 0;
	struct value *v = bpf_map_lookup_elem(&values, &key);
	int n;

	if (!v)
		return 0;
	bpf_spin_lock(&v->lock);
	n = adds(v);
	bpf_spin_unlock(&v->lock);
	return n & 1;
}
SEC("netfilter") int filter(void *ctx) { return 1; }
SEC("tc") int loops_locked(void *ctx)
{
	__u32 key = 0;
	struct value *v = bpf_map_lookup_elem(&values, &key);
	int i;

	if (!v)
		return 0;
	bpf_spin_lock(&v->lock);
	bpf_for(i, 0, 3)
		v->n++;
	bpf_spin_unlock(&v->lock);
	return 0;
}
"""
OTHERS = {
    "strong": "extern void *bpf_get_kmem_cache(__u64 a) __ksym;\n"
    'SEC("tc") int on(void *ctx) { return !bpf_get_kmem_cache(0); }',
    "map": "struct { __uint(type, BPF_MAP_TYPE_CGRP_STORAGE); __uint(map_flags, 1);\n"
    '__type(key, int); __type(value, int); } unused SEC(".maps");\n'
    'SEC("tc") int on(void *ctx) { return 0; }',
    "insn": 'SEC("tc") int on(struct __sk_buff *ctx) { return (signed char)ctx->mark; }',
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("releases") / "all.bpf.c"
    path.write_text(SOURCE)
    return compile_c(path, target=Vmlinux("none"))


def on(data: bytes, release: Release) -> ObjectSpec:
    return load_spec(data, file="all.bpf.c", target=Earlier(Vmlinux("none"), release))


@pytest.mark.parametrize(
    ("program", "since", "message"),
    [
        ("plain", (3, 19), ""),
        ("calls", (6, 1), "invalid func unknown#208"),
        ("guarded", (3, 19), ""),
        ("weak", (3, 19), ""),
        ("constant_key", (6, 14), "R0 invalid mem access 'map_value_or_null'"),
        ("calls_locked", (6, 9), "function calls are not allowed while holding a lock"),
        ("filter", (6, 4), "does not load programs of section netfilter"),
        ("loops_locked", (6, 14), "function calls are not allowed while holding a lock"),
    ],
)
def test_since(data: bytes, program: str, since: Release, message: str) -> None:
    for release in (
        (5, 2),
        (5, 15),
        (6, 0),
        (6, 1),
        (6, 3),
        (6, 4),
        (6, 8),
        (6, 9),
        (6, 13),
        (6, 14),
        NEWEST,
    ):
        obj = on(data, release)
        verdict = verify(obj, obj.programs[program])
        if release >= since:
            assert verdict.accepted, (release, str(verdict.error))
        elif program != "loops_locked" or release >= (6, 4):
            assert verdict.kind is VerdictKind.REJECT
            assert message in str(verdict.error)


def compiled(tmp_path: Path, name: str) -> bytes:
    path = tmp_path / "one.bpf.c"
    path.write_text(f"#include <bpfheap.h>\n{OTHERS[name]}\n")
    options = CompileOptions.of(cflags=["-mcpu=v4"] if name == "insn" else [])
    return compile_c(path, options, target=Vmlinux("none"))


@pytest.mark.parametrize(
    ("name", "release", "message"),
    [
        ("strong", (6, 12), "the kernel has no function bpf_get_kmem_cache"),
        # Loaders create all maps, used or not.
        ("map", (6, 1), "Linux 6.1 does not create map unused"),
        ("insn", (6, 5), "uses reserved fields"),
    ],
)
def test_refused(tmp_path: Path, name: str, release: Release, message: str) -> None:
    data = compiled(tmp_path, name)
    obj = on(data, release)
    verdict = verify(obj, obj.programs["on"])
    assert verdict.kind is VerdictKind.REJECT
    assert message in str(verdict.error)
    obj = on(data, (release[0], release[1] + 1))
    verdict = verify(obj, obj.programs["on"])
    assert verdict.error is None or message not in str(verdict.error)


def test_types_without_a_target_are_those_of_the_newest(data: bytes) -> None:
    obj = replace(on(data, (6, 1)), kernel=None)
    assert verify(obj, obj.programs["calls"]).accepted


@pytest.mark.parametrize(
    ("text", "message"), [("six", "no release"), ("6.19", "up to 6.18"), ("7.0", "up to 6.18")]
)
def test_names(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        release_named(text)
    assert release_named("6.18") == NEWEST
