"""Tries, queues, stacks and bloom filters, on our machines and on Linux."""

from __future__ import annotations

from typing import Any

import pytest
from two_sides import SIDES, cannot_be_made, compiled, frame, play

import bpfheap
from bpfheap.btf import Btf
from bpfheap.errors import MapError, UsageError
from bpfheap.platform.maps import BY_NAME
from bpfheap.spec import MapSpec, ObjectSpec

SOURCE = """
struct prefix { __u32 length; __u8 bytes[4]; };
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 5);
	__uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct prefix); __type(value, __u32);
} routes SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 3); __type(value, __u32);
} queue SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_STACK); __uint(max_entries, 3); __type(value, __u32);
} stack SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER); __uint(max_entries, 100); __type(value, __u32);
} filter SEC(".maps");

struct route { struct prefix key; __u32 value; __u32 flags; };
struct number { __u32 value; __u32 flags; };

SEC("tc") int find(struct __sk_buff *skb)
{
	ARGS(route, args);
	__u32 *found = bpf_map_lookup_elem(&routes, &args.key);

	return found ? *found : -1;
}
SEC("tc") int change(struct __sk_buff *skb)
{
	ARGS(route, args);
	__u32 *found = bpf_map_lookup_elem(&routes, &args.key);

	if (found)
		*found = args.value;
	return found != 0;
}
SEC("tc") int put(struct __sk_buff *skb)
{
	ARGS(route, args);
	return bpf_map_update_elem(&routes, &args.key, &args.value, args.flags);
}
SEC("tc") int take(struct __sk_buff *skb)
{
	ARGS(route, args);
	return bpf_map_delete_elem(&routes, &args.key);
}
#define OF(map) \\
SEC("tc") int push_##map(struct __sk_buff *skb) \\
{ ARGS(number, args); return bpf_map_push_elem(&map, &args.value, args.flags); } \\
SEC("tc") int pop_##map(struct __sk_buff *skb) \\
{ __u32 v = 99; long e = bpf_map_pop_elem(&map, &v); return e ? e - (v != 0) * 1000 : v; } \\
SEC("tc") int peek_##map(struct __sk_buff *skb) \\
{ __u32 v = 99; long e = bpf_map_peek_elem(&map, &v); return e ? e - (v != 0) * 1000 : v; }
OF(queue)
OF(stack)
SEC("tc") int push_filter(struct __sk_buff *skb)
{ ARGS(number, args); return bpf_map_push_elem(&filter, &args.value, args.flags); }
SEC("tc") int peek_filter(struct __sk_buff *skb)
{ ARGS(number, args); return bpf_map_peek_elem(&filter, &args.value); }
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    return compiled(tmp_path_factory.mktemp("values"), "values", SOURCE)


def prefix(length: int, text: str) -> bytes:
    return length.to_bytes(4, "little") + bytes(map(int, text.split(".")))


def u32(value: int) -> bytes:
    return (value & 0xFFFFFFFF).to_bytes(4, "little")


ANY, NOEXIST, EXIST = 0, 1, 2
EPERM, ENOENT, E2BIG, EEXIST, EINVAL, ENOSPC = (
    (1 << 32) - number for number in (1, 2, 7, 17, 22, 28)
)
NONE = (1 << 32) - 1
NET, SUBNET, OTHER, HOST, ALL = (
    prefix(8, "10.0.0.0"), prefix(16, "10.1.0.0"), prefix(16, "10.128.0.0"),
    prefix(32, "10.1.2.3"), prefix(0, "0.0.0.0"),
)  # fmt: skip

TRIE: dict[str, list[tuple[Any, ...]]] = {
    "the longest prefix is found": [
        ("run", "find", HOST, NONE),
        ("run", "put", NET, 8, 0, 0),
        ("run", "put", SUBNET, 16, 0, 0),
        ("run", "find", HOST, 16),
        ("run", "find", prefix(16, "10.1.0.0"), 16),
        ("run", "find", prefix(15, "10.1.0.0"), 8),
        ("run", "find", prefix(32, "10.2.0.0"), 8),
        ("run", "find", prefix(32, "11.1.0.0"), NONE),
        ("run", "find", prefix(7, "10.0.0.0"), NONE),
        ("run", "put", ALL, 0xFF, 0, 0),
        ("run", "find", prefix(32, "11.1.0.0"), 0xFF),
        ("run", "find", prefix(0, "11.1.0.0"), 0xFF),
        ("lookup", "routes", HOST, u32(16)),
        ("lookup", "routes", prefix(33, "10.1.2.3"), None),
        ("run", "find", prefix(33, "10.1.2.3"), NONE),
    ],
    "flags": [
        ("update", "routes", NET, u32(1), EXIST, "ENOENT"),
        ("update", "routes", NET, u32(1), NOEXIST, ""),
        ("update", "routes", NET, u32(2), NOEXIST, "EEXIST"),
        ("update", "routes", NET, u32(2), EXIST, ""),
        ("update", "routes", NET, u32(3), 3, "EINVAL"),
        ("update", "routes", prefix(33, "10.0.0.0"), u32(3), ANY, "EINVAL"),
        ("run", "put", prefix(33, "10.0.0.0"), 3, 0, EINVAL),
        ("run", "put", NET, 3, NOEXIST, EEXIST),
        ("run", "put", SUBNET, 3, EXIST, ENOENT),
        ("run", "put", NET, 3, 8, EINVAL),
        ("lookup", "routes", NET, u32(2)),
    ],
    "it can be full": [
        *(("update", "routes", prefix(32, f"10.0.0.{n}"), u32(n), ANY, "") for n in range(5)),
        ("update", "routes", prefix(32, "10.0.0.9"), u32(9), ANY, "ENOSPC"),
        ("run", "put", prefix(32, "10.0.0.9"), 9, 0, ENOSPC),
        ("update", "routes", prefix(32, "10.0.0.3"), u32(33), ANY, ""),
        ("run", "take", prefix(32, "10.0.0.0"), 0),
        ("run", "put", prefix(32, "10.0.0.9"), 9, 0, 0),
    ],
    "deleting takes what is exactly that": [
        ("update", "routes", NET, u32(1), ANY, ""),
        ("delete", "routes", HOST, "ENOENT"),
        ("delete", "routes", prefix(9, "10.0.0.0"), "ENOENT"),
        ("delete", "routes", prefix(33, "10.0.0.0"), "EINVAL"),
        ("run", "take", HOST, ENOENT),
        ("run", "take", prefix(40, "10.0.0.0"), EINVAL),
        ("run", "take", prefix(8, "10.7.7.7"), 0),
        ("run", "find", HOST, NONE),
        ("keys", "routes", []),
    ],
    "keys: what is longer first, and 0 before 1": [
        *(("update", "routes", key, u32(1), ANY, "") for key in (ALL, OTHER, NET, HOST, SUBNET)),
        ("keys", "routes", [HOST, SUBNET, OTHER, NET, ALL]),
        ("delete", "routes", NET, ""),
        ("keys", "routes", [HOST, SUBNET, OTHER, ALL]),
    ],
    "what is behind the prefix is kept as the last update had it": [
        ("update", "routes", prefix(8, "10.1.2.3"), u32(1), ANY, ""),
        ("keys", "routes", [prefix(8, "10.1.2.3")]),
        ("update", "routes", prefix(8, "10.9.9.9"), u32(2), ANY, ""),
        ("keys", "routes", [prefix(8, "10.9.9.9")]),
        ("run", "find", HOST, 2),
    ],
    "a program writes to what it finds": [
        ("update", "routes", NET, u32(1), ANY, ""),
        ("run", "change", HOST, 5, 1),
        ("lookup", "routes", NET, u32(5)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("steps", TRIE.values(), ids=TRIE)
def test_tries(spec: ObjectSpec, side: Any, steps: list[tuple[Any, ...]]) -> None:
    world = side(spec)
    play(world, steps)
    world.close()


QUEUES: dict[str, list[tuple[Any, ...]]] = {
    "programs": [
        ("run", "pop_queue", ENOENT),
        ("run", "peek_queue", ENOENT),
        *(("run", "push_queue", n, 0, 0) for n in (1, 2, 3)),
        ("run", "push_queue", 4, ANY, E2BIG),
        ("run", "push_queue", 4, NOEXIST, EINVAL),
        ("run", "push_queue", 4, 3, EINVAL),
        ("run", "push_queue", 4, EXIST, 0),
        ("run", "peek_queue", 2),
        ("run", "pop_queue", 2),
        ("run", "pop_queue", 3),
        ("run", "pop_queue", 4),
        ("run", "pop_queue", ENOENT),
    ],
    "programs and stacks": [
        ("run", "pop_stack", ENOENT),
        *(("run", "push_stack", n, 0, 0) for n in (1, 2, 3)),
        ("run", "push_stack", 4, ANY, E2BIG),
        ("run", "push_stack", 4, EXIST, 0),
        ("run", "peek_stack", 4),
        ("run", "pop_stack", 4),
        ("run", "pop_stack", 3),
        ("run", "pop_stack", 2),
        ("run", "pop_stack", ENOENT),
    ],
    "user space": [
        ("pop", "queue", None),
        ("peek", "queue", None),
        ("push", "queue", u32(1), ""),
        ("push", "queue", u32(2), EXIST, ""),
        ("push", "queue", u32(3), NOEXIST, "EINVAL"),
        ("push", "queue", u32(3), ""),
        ("push", "queue", u32(4), "E2BIG"),
        ("push", "queue", u32(4), EXIST, ""),
        ("peek", "queue", u32(2)),
        ("pop", "queue", u32(2)),
        ("run", "pop_queue", 3),
        ("push", "stack", u32(1), ""),
        ("push", "stack", u32(2), ""),
        ("peek", "stack", u32(2)),
        ("pop", "stack", u32(2)),
        ("run", "pop_stack", 1),
        ("keys", "queue", []),
    ],
    "filters": [
        ("run", "peek_filter", 7, 0, ENOENT),
        ("run", "push_filter", 7, ANY, 0),
        ("run", "push_filter", 8, EXIST, EINVAL),
        ("run", "push_filter", 8, NOEXIST, EINVAL),
        ("run", "peek_filter", 7, 0, 0),
        ("known", "filter", u32(7), True),
        ("known", "filter", u32(8), False),
        ("push", "filter", u32(8), ""),
        ("push", "filter", u32(8), ""),
        ("push", "filter", u32(9), EXIST, "EINVAL"),
        ("run", "peek_filter", 8, 0, 0),
    ],
}  # fmt: skip


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("steps", QUEUES.values(), ids=QUEUES)
def test_maps_without_keys(spec: ObjectSpec, side: Any, steps: list[tuple[Any, ...]]) -> None:
    world = side(spec)
    play(world, steps)
    world.close()


def test_in_python(machine: dict[str, Any], spec: ObjectSpec) -> None:
    with bpfheap.Runtime(**machine) as rt:
        obj = rt.load(spec)
        routes, queue, filter_ = (obj.maps[name] for name in ("routes", "queue", "filter"))
        routes[{"length": 8, "bytes": [10, 0, 0, 0]}] = 8
        assert routes[{"length": 32, "bytes": [10, 1, 2, 3]}] == 8
        assert [key.length for key in routes] == [8]
        with pytest.raises(KeyError):
            routes[{"length": 32, "bytes": [11, 1, 2, 3]}]
        with pytest.raises(MapError, match="ENOENT"):
            del routes[{"length": 32, "bytes": [10, 1, 2, 3]}]
        queue.push(4)
        queue.push(5)
        assert len(queue) == 2
        assert (queue.peek(), queue.pop(), queue.pop(), queue.pop()) == (4, 4, 5, None)
        with pytest.raises(MapError, match="push of map queue failed with EINVAL"):
            queue.push(1, flags=1)
        filter_.push(3)
        assert filter_.peek(3)
        assert not filter_.peek(4)
        for wrong, why in (
            (lambda: routes.push(1), "is a lpm_trie, which has no push"),
            (lambda: filter_.pop(), "is a bloom_filter, which has no pop"),
            (lambda: filter_.peek(), "peek takes a value"),
            (lambda: queue.peek(1), "is no filter"),
        ):
            with pytest.raises(UsageError, match=why):
                wrong()


def test_what_was_seen_stays_until_a_grace_period(
    machine: dict[str, Any], spec: ObjectSpec
) -> None:
    with bpfheap.Runtime(**machine) as rt:
        obj = rt.load(spec)
        under = rt.system.machine
        obj.maps["routes"].update(NET, u32(1))
        execution = rt.system.start(obj.programs["change"].fd, data=frame(HOST, 5))
        while getattr(under.step(execution), "name", "") != "bpf_map_lookup_elem":
            pass
        obj.maps["routes"].update(NET, u32(2))
        while execution in under.executions():
            under.step(execution)
        assert obj.maps["routes"][NET] == 5


@pytest.mark.parametrize(
    ("type_name", "key", "value", "entries", "flags"),
    [
        ("lpm_trie", 8, 4, 1, 0), ("lpm_trie", 4, 4, 1, 1), ("lpm_trie", 261, 4, 1, 1),
        ("lpm_trie", 8, 4, 0, 1), ("lpm_trie", 8, 0, 1, 1), ("queue", 4, 4, 1, 0),
        ("queue", 0, 0, 1, 0), ("queue", 0, 4, 0, 0), ("stack", 0, 4, 1, 1),
        ("bloom_filter", 4, 4, 1, 0), ("bloom_filter", 0, 4, 0, 0), ("bloom_filter", 0, 4, 1, 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("side", SIDES)
def test_maps_that_cannot_be(
    type_name: str, key: int, value: int, entries: int, flags: int, side: Any
) -> None:
    made = MapSpec("m", BY_NAME[type_name].number, key, value, entries, Btf((), "m"), flags=flags)
    assert cannot_be_made(side, made) == "EINVAL"
