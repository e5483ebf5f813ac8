"""What maps hold is a part of the model machine's state: it is copied, compared and hashed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from two_sides import compiled, frame, words

import bpfheap
from bpfheap.machine.model import ModelMachine
from bpfheap.machine.model.frozen import constants_of, freeze_map, thaw_map
from bpfheap.spec import ObjectSpec

SOURCE = """
struct prefix { __u32 length; __u8 bytes[4]; };
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 5);
	__uint(map_flags, BPF_F_NO_PREALLOC); __type(key, struct prefix); __type(value, __u32);
} trie SEC(".maps");
#define KEYLESS(NAME, map) \\
struct { __uint(type, BPF_MAP_TYPE_##NAME); __uint(max_entries, 3); __type(value, __u32); } \\
	map SEC(".maps")
#define NUMBERED(NAME, map, size) \\
struct { __uint(type, BPF_MAP_TYPE_##NAME); __uint(max_entries, 3); __uint(key_size, 4); \\
	__uint(value_size, size); } map SEC(".maps")
KEYLESS(QUEUE, queue);
KEYLESS(BLOOM_FILTER, filter);
NUMBERED(PERF_EVENT_ARRAY, events, 4);
NUMBERED(STACK_TRACE, stacks, 16);
NUMBERED(DEVMAP, devices, 4);
NUMBERED(CGROUP_ARRAY, groups, 4);
NUMBERED(SOCKMAP, sockets, 4);
SEC("tc") int write(struct __sk_buff *skb)
{
	__u32 one = 1;

	return bpf_perf_event_output(skb, &events, BPF_F_CURRENT_CPU, &one, sizeof(one));
}
SEC("raw_tp/x") int walk(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_get_stackid(ctx, &stacks, 0);
}
SEC("xdp") int send(struct xdp_md *ctx) { return bpf_redirect_map(&devices, 0, 0); }
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    return compiled(tmp_path_factory.mktemp("states"), "states", SOURCE)


def machine_of(rt: bpfheap.Runtime) -> ModelMachine:
    machine = rt.system.machine
    assert isinstance(machine, ModelMachine)
    return machine


CHANGES: dict[str, Callable[[Any, Any], object]] = {
    "trie": lambda rt, obj: obj.maps["trie"].update(bytes(8), bytes(4)),
    "queue": lambda rt, obj: obj.maps["queue"].push(1),
    "filter": lambda rt, obj: obj.maps["filter"].push(1),
    "events": lambda rt, obj: obj.programs["write"].run(data=frame()),
    "stacks": lambda rt, obj: obj.programs["walk"].run(words(0)),
    "devices": lambda rt, obj: obj.maps["devices"].update(1, 4),
    "groups": lambda rt, obj: obj.maps["groups"].update(1, 4),
    "sockets": lambda rt, obj: obj.maps["sockets"].update(0, rt.kernel.new("struct bpf_sock")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_makes_another_state(spec: ObjectSpec, name: str) -> None:
    with bpfheap.Runtime() as rt:
        obj = rt.load(spec)
        machine = machine_of(rt)
        before, kept = machine.snapshot()
        CHANGES[name](rt, obj)
        assert machine.key() != before
        assert kept.key() == before
        after, again = machine.snapshot()
        assert hash(after) == hash(again.key())
        record = machine._state.maps[obj.maps[name].id]
        frozen = freeze_map(record)
        thawed = thaw_map(
            machine._state, record.id, frozen, constants_of(record.spec, None), record.region
        )
        assert freeze_map(thawed) == frozen != freeze_map(kept._state.maps[record.id])
        hash(frozen)


def test_in_which_order_prefixes_came_does_not_matter(spec: ObjectSpec) -> None:
    keys = []
    for order in ((0, 1), (1, 0)):
        with bpfheap.Runtime() as rt:
            trie = rt.load(spec).maps["trie"]
            for length in order:
                trie.update(length.to_bytes(4, "little") + bytes(4), bytes(4))
            keys.append(machine_of(rt).key())
    assert keys[0] == keys[1]


def test_redirects_are_those_of_one_run(spec: ObjectSpec) -> None:
    with bpfheap.Runtime() as rt:
        obj = rt.load(spec)
        obj.maps["devices"][0] = 5
        for _ in range(2):
            assert [one.to for one in obj.programs["send"].run(data=frame()).redirects] == [5]
