"""What users change of a file before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import UsageError
from bpfheap.runtime.settings import (
    constants,
    read_value,
    sized,
    with_entries,
    with_open_sizes,
    with_rodata,
)
from bpfheap.runtime.values import unpack
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import verify

SOURCE = """#include <bpfheap.h>
enum mode { OFF, ON = 3, BELOW = -1 };
enum big { BIG = 0x100000000ULL };
struct point { short x, y; };
const volatile _Bool flag = 0;
const volatile unsigned cap = 99;
const volatile signed char small = -1;
const volatile unsigned char byte = 7;
const volatile enum mode mode = OFF;
const volatile enum big big = BIG;
const volatile char name[8] = "name";
const volatile int list[3] = { 1, 2, 3 };
const volatile _Bool flags[2];
const volatile struct point point = { 1, 2 };
const volatile float ratio = 1;
const char *const volatile pointer = (void *)0;
static const volatile long own = 5;
int counter = 1;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, char[16]);
} m SEC(".maps");

SEC("tc") int guarded(struct __sk_buff *skb)
{
	if (flag)
		return *(int *)(long)skb->len;
	return 2;
}
SEC("tc") int index(struct __sk_buff *skb)
{
	__u32 k = 0;
	char *v = bpf_map_lookup_elem(&m, &k);

	return v ? v[cap] : 0;
}
SEC("tc") int all(struct __sk_buff *skb)
{
	return small + byte + mode + (big == BIG) + name[0] + list[0] + flags[0] + point.x +
		(pointer != 0) + own + counter + *(volatile int *)&ratio;
}
"""


@pytest.fixture(scope="module")
def obj(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    path = tmp_path_factory.mktemp("settings") / "settings.bpf.c"
    path.write_text(SOURCE)
    return object_spec(path)


def rodata(obj: ObjectSpec) -> Mapping[str, Any]:
    spec = obj.maps[".rodata"]
    found = unpack(spec.btf, spec.value, spec.data or b"")
    assert isinstance(found, Mapping)
    return found


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("flag", True, True),
        ("flag", 1, True),
        ("cap", 0xFFFFFFFF, 0xFFFFFFFF),
        ("small", -128, -128),
        ("byte", 255, 255),
        ("mode", 3, 3),
        ("mode", "ON", 3),
        ("mode", "BELOW", -1),
        ("big", "BIG", 1 << 32),
        ("name", "other", b"other"),
        ("name", b"12345678", b"12345678"),
        ("name", "", b""),
        ("name", [65, 66], b"AB"),
        ("list", [7], [7, 0, 0]),
        ("list", (7, 8, 9), [7, 8, 9]),
        ("flags", [True, False], [True, False]),
        ("point", {"y": 3}, {"x": 0, "y": 3}),
        ("own", -1, -1),
    ],
)
def test_values(obj: ObjectSpec, name: str, value: Any, expected: Any) -> None:
    before = rodata(obj)
    after = rodata(with_rodata(obj, {name: value}))
    assert after[name] == expected
    assert {k: v for k, v in after.items() if k != name} == {
        k: v for k, v in before.items() if k != name
    }


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("flag", 2, "2 does not fit flag, which can be 0 to 1"),
        ("flag", "true", "flag is a bool, not 'true'"),
        ("cap", -1, "-1 does not fit cap, which can be 0 to 4294967295"),
        ("cap", 1 << 32, "does not fit cap"),
        ("cap", 1.5, "cap is an integer, not 1.5"),
        ("cap", True, "cap is an integer, not True"),
        ("cap", None, "cap is an integer, not None"),
        ("small", 128, "128 does not fit small, which can be -128 to 127"),
        ("mode", "OM", r"mode is enum mode, not 'OM' \(there is OFF, ON"),
        ("mode", 1 << 40, "does not fit mode"),
        ("name", "123456789", "name has room for 8 elements, not for 9"),
        ("name", 3, "name takes a list, not 3"),
        ("list", [1, 2, 3, 4], "list has room for 3 elements"),
        ("list", [1, "x"], r"list\[1\] is an integer, not 'x'"),
        ("list", {"a": 1}, "list takes a list"),
        ("point", 3, "point takes a mapping of members"),
        ("point", {"z": 3}, "point has no member z"),
        ("ratio", 1.5, "ratio is float, and cannot be set"),
        ("pointer", 0, r"pointer is const char \*, and cannot be set"),
        ("flga", 1, r"there is no constant flga \(did you mean flag"),
        ("zzz", 1, r"there is no constant zzz \(there is .*flag"),
        ("counter", 1, r"counter is in \.data, and is no constant"),
        (7, 1, "there is no constant 7"),
    ],
)
def test_what_does_not_fit(obj: ObjectSpec, name: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_rodata(obj, {name: value})


@pytest.mark.parametrize("given", [None, ["flag"], "flag"])
def test_names_are_given_as_a_mapping(obj: ObjectSpec, given: Any) -> None:
    with pytest.raises(UsageError, match="as a mapping, not as"):
        with_rodata(obj, given)
    with pytest.raises(UsageError, match="as a mapping, not as"):
        with_entries(obj, given)


def test_the_verifier_knows_them(obj: ObjectSpec) -> None:
    def accepted(**values: Any) -> dict[str, bool]:
        changed = with_rodata(obj, values)
        return {n: verify(changed, changed.programs[n]).accepted for n in ("guarded", "index")}

    assert accepted() == {"guarded": True, "index": False}
    assert accepted(flag=True, cap=15) == {"guarded": False, "index": True}
    assert accepted(cap=16) == {"guarded": True, "index": False}


def test_which_there_are(obj: ObjectSpec) -> None:
    found = constants(obj)
    assert found["flag"] == ".rodata"
    assert "counter" not in found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-1", -1), ("0x10", 16), ("true", True), ("[1, 2]", [1, 2]), ("ON", "ON"),
        ('"3"', "3"), ('{"x": 1}', {"x": 1}), ("1.5", 1.5), ("", ""), ("[" * 9999, "[" * 9999),
    ],
)  # fmt: skip
def test_values_of_the_command_line(text: str, value: Any) -> None:
    assert read_value(text) == value


def test_data_without_types_has_no_constants(obj: ObjectSpec) -> None:
    untyped = replace(obj, maps={".rodata": replace(obj.maps[".rodata"], value=0)})
    assert constants(untyped) == {}


def test_sizes_of_maps(obj: ObjectSpec) -> None:
    assert with_entries(obj, {"m": 7}).maps["m"].max_entries == 7
    assert obj.maps["m"].max_entries == 1


def test_sizes_of_inner_maps(obj: ObjectSpec) -> None:
    m = obj.maps["m"]
    nested = replace(obj, maps={"m": replace(m, inner=replace(m, name="m.inner"))})
    assert sized(nested) == ["m", "m.inner"]
    inner = with_entries(nested, {"m.inner": 7, "m": 3}).maps["m"]
    assert inner.max_entries == 3
    assert inner.inner is not None
    assert (inner.inner.max_entries, inner.inner.name) == (7, "m.inner")
    with pytest.raises(UsageError, match=r"no map m.inner \(there is m\)"):
        with_entries(obj, {"m.inner": 7})


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("m", 0, "map m cannot have 0 entries"),
        ("m", 1 << 32, "cannot have"),
        ("m", "7", "cannot have '7' entries"),
        ("m", True, "cannot have True"),
        (".rodata", 2, "there is no map .rodata"),
        ("x", 2, r"there is no map x \(there is m\)"),
    ],
)
def test_sizes_that_no_map_has(obj: ObjectSpec, name: str, count: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_entries(obj, {name: count})


def test_a_runtime_takes_them(obj: ObjectSpec) -> None:
    chosen = ["guarded", "index"]
    with bpfheap.Runtime() as rt:
        loaded = rt.load(obj, programs=chosen, rodata={"cap": 3}, max_entries={"m": 5})
        assert loaded.maps[".rodata"][0].cap == 3
        loaded.maps["m"][4] = b"x"
        assert loaded.programs["index"].run(data=bytes(14)).retval == 0
        with pytest.raises(UsageError, match="does not fit cap"):
            rt.load(obj, rodata={"cap": -1})


OPEN = """#include <bpfheap.h>
struct { __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(key_size, 4); } stacks SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(key_size, 4);
	__uint(value_size, 320);
	__uint(map_flags, 32);
} builds SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u64);
} start SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); } perf SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ALLOCATOR); __type(value, __u64); } ma SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 7);
	__type(key, __u32);
	__type(value, __u64);
} closed SEC(".maps");

SEC("tc") int sets(struct __sk_buff *skb)
{
	__u32 key = 1;
	__u64 value = 2;

	return bpf_map_update_elem(&start, &key, &value, 0);
}
char _license[] SEC("license") = "GPL";
"""


def test_sizes_that_a_file_leaves_open(tmp_path: Path) -> None:
    source = tmp_path / "open.bpf.c"
    source.write_text(OPEN)
    spec = object_spec(source)
    maps = with_open_sizes(spec).maps
    assert (maps["stacks"].value_size, maps["stacks"].max_entries) == (1016, 10240)
    assert (maps["builds"].value_size, maps["builds"].max_entries) == (320, 10240)
    assert maps["start"].max_entries == 10240
    assert maps["ring"].max_entries == 256 * 1024
    for name in ("perf", "ma", "closed"):
        assert maps[name] == spec.maps[name]
    assert (
        "map stacks leaves max_entries and value_size to whoever loads it, without which Linux "
        "makes none: 10240 and 1016 are taken"
    ) in with_open_sizes(spec).notes
    # Once is enough.
    again = with_open_sizes(with_open_sizes(spec))
    assert (again.maps, again.notes) == (maps, with_open_sizes(spec).notes)
    with bpfheap.Runtime() as rt:
        with pytest.warns(UserWarning, match="to whoever loads it") as warned:
            obj = rt.load(spec, max_entries={"stacks": 5, "builds": 5})
        said = [str(one.message) for one in warned]
        assert [text.partition("map ")[2].partition(" to ")[0] for text in said] == [
            f"{name} leaves {what}"
            for name, what in (("start", "max_entries"), ("stacks", "value_size"),
                               ("ring", "max_entries"))
        ]  # fmt: skip
        assert obj.spec.maps["stacks"].max_entries == 5
        assert obj.programs["sets"].run().retval == 0


def test_a_file_may_have_no_constants(tmp_path: Path) -> None:
    plain = tmp_path / "p.bpf.c"
    plain.write_text('#include <bpfheap.h>\nSEC("tc") int p(void *c) { return 0; }\n')
    with pytest.raises(UsageError, match=r"no constant x \(there is none\)"):
        with_rodata(object_spec(plain), {"x": 1})
