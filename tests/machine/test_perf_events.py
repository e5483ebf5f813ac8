"""Records in the buffers of perf events, on our machines and on Linux."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from linux_events import Event, is_possible
from two_sides import Linux, Ours, compiled, frame, play, sides

import bpfheap
from bpfheap.errors import UsageError
from bpfheap.kernel import available
from bpfheap.spec import ObjectSpec

SOURCE = """
struct event { __u32 number; char name[4]; };
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(max_entries, 4);
	__uint(key_size, 4); __uint(value_size, 4);
} events SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096);
} ring SEC(".maps");
struct event *unused __attribute__((unused));
struct output *also __attribute__((unused));
struct output { __u32 number, low, high; };

SEC("tc") int write(struct __sk_buff *skb)
{
	ARGS(output, args);
	struct event event = { args.number, "abc" };

	return bpf_perf_event_output(skb, &events, args.low | (__u64)args.high << 32, &event,
					sizeof(event));
}
SEC("tc") int write_ring(struct __sk_buff *skb)
{
	ARGS(output, args);
	struct event event = { args.number, "abc" };

	return bpf_ringbuf_output(&ring, &event, sizeof(event), 0);
}
struct part { __u32 number; __u16 some[4]; };
struct part *a_part __attribute__((unused));
struct none { __u64 number; __u16 some[2]; };
struct none *none __attribute__((unused));
struct any { __u16 number; __u16 more[]; };
struct any *any __attribute__((unused));
struct octets { __u32 number; __u8 more[]; };
struct octets *octets __attribute__((unused));
SEC("xdp") int write_xdp(struct xdp_md *ctx)
{
	__u32 number = 7;

	return bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU | 20ULL << 32, &number, 4);
}
SEC("xdp") int write_much(struct xdp_md *ctx)
{
	__u32 number = 7;

	return bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU | 65ULL << 32, &number, 4);
}
"""
CURRENT = 0xFFFFFFFF
ENOENT, E2BIG, EFAULT, EINVAL, EOPNOTSUPP = ((1 << 32) - n for n in (2, 7, 14, 22, 95))


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    return compiled(tmp_path_factory.mktemp("perf"), "perf", SOURCE)


def event(number: int, more: bytes = b"") -> bytes:
    return number.to_bytes(4, "little") + b"abc\0" + more


class OurEvents(Ours):
    def events(self) -> list[bytes]:
        return self.object.maps["events"].drain()


class LinuxEvents(Linux):
    """On CPU 0; CPU 1 has an event, too, if there is a CPU 1."""

    def __init__(self, spec: ObjectSpec) -> None:
        super().__init__(spec)
        self._cpus = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {0})
        self._events = [Event(cpu) for cpu in (0, 1)]
        for cpu, made in enumerate(self._events):
            index, fd = cpu.to_bytes(4, "little"), made.fd.to_bytes(4, "little")
            assert self.update("events", index, fd) == ""

    def events(self) -> list[bytes]:
        return [record for made in self._events for record in made.records()]

    def close(self) -> None:
        os.sched_setaffinity(0, self._cpus)
        for made in self._events:
            made.close()
        super().close()


def padded(record: bytes) -> bytes:
    """What Linux makes of it: with the length in front it fills whole words
    (perf_prepare_sample)."""
    return record.ljust((len(record) + 4 + 7) // 8 * 8 - 4, b"\0")


WHY_NOT = available() or (
    None if is_possible() and (os.cpu_count() or 1) > 1 else "two CPUs with perf events are needed"
)
SIDES = sides(OurEvents, LinuxEvents, WHY_NOT)
FRAME = frame(5, CURRENT, 18)

STEPS: list[tuple[Any, ...]] = [
    ("run", "write", 1, CURRENT, 0, 0),
    ("run", "write", 2, 0, 0, 0),
    ("run", "write", 3, 1, 0, EOPNOTSUPP),
    ("run", "write", 4, 2, 0, ENOENT),
    ("run", "write", 4, 4, 0, E2BIG),
    ("run", "write", 4, CURRENT - 1, 0, E2BIG),
    ("run", "write", 5, CURRENT, 18, 0),
    ("run", "write", 6, CURRENT, 65, EFAULT),
    ("run", "write", 6, CURRENT, 1 << 20, EINVAL),
    ("run", "write", 6, 4, 65, EFAULT),
    ("run", "write", 6, 4, 1 << 31, EINVAL),
    ("run", "write_xdp", 5, CURRENT, 18, 0),
    ("run", "write_much", 5, CURRENT, 18, EFAULT),
]  # fmt: skip


@pytest.mark.parametrize("side", SIDES)
def test_output(spec: ObjectSpec, side: Any) -> None:
    world = side(spec)
    try:
        play(world, STEPS)
        wanted = [event(1), event(2), event(5, FRAME[:18]), (7).to_bytes(4, "little") + FRAME[:20]]
        found = world.events()
        if side is LinuxEvents:
            # What it fills records up with was there before.
            assert [len(one) for one in found] == [len(padded(one)) for one in wanted]
        assert [one[: len(w)] for one, w in zip(found, wanted, strict=True)] == wanted
        assert world.events() == []
        play(world, [("delete", "events", bytes(4), ""), ("delete", "events", bytes(4), "ENOENT"),
                     ("delete", "events", b"\4\0\0\0", "E2BIG"),
                     ("run", "write", 1, CURRENT, 0, ENOENT)])  # fmt: skip
    finally:
        world.close()


@contextmanager
def loaded(spec: ObjectSpec, machine: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    with bpfheap.Runtime(**machine) as rt:
        obj = rt.load(spec)
        yield obj.programs, obj.maps


def test_each_cpu_has_its_own(machine: dict[str, Any], spec: ObjectSpec) -> None:
    with loaded(spec, machine) as (programs, maps):
        for number, cpu in enumerate((0, 1, 0, 1)):
            programs["write"].run(data=frame(number, CURRENT, 0), cpu=cpu)
        assert maps["events"].drain(cpu=1) == [event(1), event(3)]
        programs["write"].run(data=frame(4, CURRENT, 0), cpu=1)
        assert maps["events"].drain() == [event(0), event(2), event(4)]


@pytest.mark.parametrize("name", ["events", "ring"])
def test_typed_records(machine: dict[str, Any], spec: ObjectSpec, name: str) -> None:
    program = {"events": "write", "ring": "write_ring"}[name]
    with loaded(spec, machine) as (programs, maps):
        for number in (1, 2):
            programs[program].run(data=frame(number, CURRENT, 3))
        found = maps[name].records("struct event")
        assert [(one.number, one.name) for one in found] == [(1, b"abc"), (2, b"abc")]
        programs[program].run(data=frame(3, CURRENT, 0))
        assert maps[name].records() == [event(3)]
        with pytest.raises(UsageError, match="there is no type struct missing in the file"):
            maps[name].records("struct missing")


def test_records_with_a_part_of_their_array(machine: dict[str, Any], spec: ObjectSpec) -> None:
    with loaded(spec, machine) as (programs, maps):

        def one(type_name: str) -> Any:
            programs["write"].run(data=frame(1, CURRENT, 0))
            (found,) = maps["events"].records(type_name)
            return found

        a, b, c = b"abc"
        first, second = a + 256 * b, c
        assert one("struct part").some == [first, second, 0, 0]
        assert one("struct any").more == [0, first, second]
        assert one("struct octets").more == b"abc\0"
        # All of it may be missing.
        assert one("struct none").some == [0, 0]
        # The packet, which is behind what the program says itself.
        programs["write_xdp"].run(data=frame(0))
        (found,) = maps["events"].records("struct octets")
        assert (found.number, found.more) == (7, frame(0)[:20])


def test_records_of_a_type_that_is_longer(machine: dict[str, Any], spec: ObjectSpec) -> None:
    with loaded(spec, machine) as (programs, maps):
        programs["write_xdp"].run(data=frame(0))
        assert maps["events"].records("__u32") == [7]
        programs["write"].run(data=frame(1, CURRENT, 0))
        with pytest.raises(UsageError, match="a record of events has 8 bytes, and struct output"):
            maps["events"].records("struct output")


def test_the_map_says_what_its_records_are(machine: dict[str, Any], tmp_path: Any) -> None:
    spec = compiled(tmp_path, "typed", """
        struct event { __u32 number; };
        struct {
            __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
            __type(key, int); __type(value, struct event);
        } events SEC(".maps");
        SEC("tc") int write(struct __sk_buff *skb)
        {
            struct event event = { 4 };
            return bpf_perf_event_output(skb, &events, BPF_F_CURRENT_CPU, &event, 4);
        }
    """)  # fmt: skip
    with loaded(spec, machine) as (programs, maps):
        assert programs["write"].run(data=frame(1), cpu=1).retval == 0
        assert [one.number for one in maps["events"].records()] == [4]


def test_other_maps_have_no_records(machine: dict[str, Any], tmp_path: Any) -> None:
    spec = compiled(tmp_path, "other", """
        struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int);
                 __type(value, int); } numbers SEC(".maps");
    """)  # fmt: skip
    with (
        loaded(spec, machine) as (_, maps),
        pytest.raises(UsageError, match="no array of perf events"),
    ):
        maps["numbers"].records()
