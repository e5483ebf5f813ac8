"""Kptrs to structs that an object only declares: they may lie in a map, but nobody who does not
know what they are may take them out."""

from __future__ import annotations

from pathlib import Path

import pytest

import bpfheap
from bpfheap.errors import LoadRefused

# The parentheses keep the header's macro, which would put the struct's name to use, from helping.
SOURCE = r"""
#include <bpfheap.h>
struct foo %(foo)s;
struct holder { struct foo *inner __kptr __local; };
%(keep)s
struct val { int n; struct foo *ptr __kptr __local; struct holder __kptr *holder; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4);
	__type(key, __u32); __type(value, struct val);
} m SEC(".maps");
SEC("tc") int prog(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct val *v = bpf_map_lookup_elem(&m, &key);
	void *p;
	if (!v) return 0;
	%(body)s
	return v->n;
}
char _license[] SEC("license") = "GPL";
"""
TAKE = "p = (bpf_kptr_xchg)(&v->%s, NULL); if (p) unit_free(p);"


def write(folder: Path, name: str, body: str = "", foo: str = "", keep: str = "") -> Path:
    path = folder / f"{name}.bpf.c"
    path.write_text(SOURCE % {"body": body, "foo": foo, "keep": keep})
    return path


def error(path: Path) -> str | None:
    ((_, verdict),) = bpfheap.check(path)
    return None if verdict.error is None else str(verdict.error)


def test_the_rest_of_such_a_value_may_be_used(tmp_path: Path) -> None:
    assert error(write(tmp_path, "a")) is None


@pytest.mark.parametrize(("field", "name"), [("ptr", "m.ptr"), ("holder", "m.holder")])
def test_what_is_only_declared_may_not_be_taken(tmp_path: Path, field: str, name: str) -> None:
    said = error(write(tmp_path, "a", TAKE % field))
    assert said is not None
    assert f"{name} holds struct " in said
    assert "which this object only declares" in said


def test_what_is_defined_and_named_may_be_taken(tmp_path: Path) -> None:
    keep = "__kptr_type(struct holder); __kptr_type(struct foo);"
    assert error(write(tmp_path, "a", TAKE % "holder", "{ int x; }", keep)) is None
    said = error(write(tmp_path, "b", TAKE % "holder", "{ int x; }", "__kptr_type(struct holder);"))
    assert said is not None
    assert "write __kptr_type(struct foo); behind the definition" in said


def test_the_header_s_exchange_names_the_struct(tmp_path: Path) -> None:
    body = (TAKE % "ptr").replace("(bpf_kptr_xchg)", "bpf_kptr_xchg")
    assert error(write(tmp_path, "a", body, "{ int x; }")) is None


def test_the_first_definition_decides_what_a_map_holds(tmp_path: Path) -> None:
    take = (TAKE % "ptr").replace("(bpf_kptr_xchg)", "bpf_kptr_xchg")
    with bpfheap.Runtime() as rt:
        rt.load(write(tmp_path, "declares"))
        rt.load(write(tmp_path, "defines", take, "{ int x; }"))
        rt.load(write(tmp_path, "agrees", take, "{ int x; }"))
        with pytest.raises(
            LoadRefused,
            match=r"m exists already and differs.*member ptr \*: it has 4 bytes here, 16 there",
        ):
            rt.load(write(tmp_path, "differs", take, "{ long x; long y; }"))


TWO = r"""
#include <bpfheap.h>
struct foo %(foo)s;
struct bar %(bar)s;
struct val { struct foo *foo __kptr __local; struct bar *bar __kptr __local; };
%(keep)s
struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);
	__type(key, __u32); __type(value, struct val);
} inner SEC(".maps");
%(outer)s
SEC("tc") int prog(struct __sk_buff *skb) { return bpf_map_lookup_elem(&inner, &(int){0}) != 0; }
char _license[] SEC("license") = "GPL";
"""
OUTER = r"""
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 1); __type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { &inner } };
"""


def two(folder: Path, name: str, foo: str = "", bar: str = "", outer: str = "") -> Path:
    """A file that defines the structs whose bodies are given, and only declares the others."""
    kept = [f"__kptr_type(struct {s});" for s, body in (("foo", foo), ("bar", bar)) if body]
    path = folder / f"{name}.bpf.c"
    path.write_text(TWO % {"foo": foo, "bar": bar, "keep": "\n".join(kept), "outer": outer})
    return path


def test_definitions_of_different_structs_add_up(tmp_path: Path) -> None:
    with bpfheap.Runtime() as rt:
        rt.load(two(tmp_path, "foo", foo="{ int x; }"))
        rt.load(two(tmp_path, "bar", bar="{ int y; }"))
        rt.load(two(tmp_path, "bar", bar="{ int y; }"))
        (map_id,) = rt.system.maps
        assert len(rt.system.definitions[map_id]) == 2
        for name, foo, bar in (("foo2", "{ long x; }", ""), ("bar2", "", "{ long y; }")):
            with pytest.raises(LoadRefused, match="inner exists already and differs"):
                rt.load(two(tmp_path, name, foo, bar))
        rt.load(two(tmp_path, "both", "{ int x; }", "{ int y; }"))
        assert len(rt.system.definitions[map_id]) == 1
        with pytest.raises(LoadRefused, match="inner exists already and differs"):
            rt.load(two(tmp_path, "foo3", "{ long x; }"))


def test_inner_maps_hold_nothing_that_is_only_declared(tmp_path: Path) -> None:
    with bpfheap.Runtime() as rt:
        with pytest.raises(LoadRefused, match=r"struct bar, .*only declared.*__kptr_type"):
            rt.load(two(tmp_path, "foo", foo="{ int x; }", outer=OUTER))
        assert rt.system.maps == {}
        rt.load(two(tmp_path, "both", "{ int x; }", "{ int y; }", OUTER))
