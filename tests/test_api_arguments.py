"""Whatever a user passes to the API that makes no sense is an error of ours, which says so."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from bpfheap import Runtime
from bpfheap.compile import object_spec
from bpfheap.errors import BpfheapError, UsageError
from bpfheap.spec import ObjectSpec

SOURCE = """
#include <bpfheap.h>
struct foo { int var; };
struct val { int a; char s[8]; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4);
         __type(key, __u32); __type(value, struct val); } hash SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4);
         __type(key, __u32); __type(value, __u64); } array SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 4);
         __type(key, __u32); __type(value, __u64); } percpu SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ALLOCATOR); __uint(max_entries, 2); } ma SEC(".maps");
SEC("syscall") int sys(void *ctx)
{
    __u32 key = 0;
    __u64 *value = bpf_map_lookup_elem(&array, &key);
    struct foo *p = bpf_mem_alloc(&ma, type_id_local(struct foo));
    if (p)
        unit_free(p);
    bpf_map_delete_elem(&hash, &key);
    bpf_map_delete_elem(&percpu, &key);
    bpf_ringbuf_output(&ring, &key, 4, 0);
    return value ? *value : 0;
}
SEC("tc") int packet(struct __sk_buff *skb) { return skb->len; }
SEC("xdp") int frame(struct xdp_md *ctx) { return 2; }
SEC("perf_event") int sampled(void *ctx) { return 1; }
char LICENSE[] SEC("license") = "GPL";
"""

RELEASED = memoryview(b"abcd")
RELEASED.release()

#: Of every kind: what is nowhere right, and what is right in some places only.
VALUES = {
    "None": None,
    "negative": -1,
    "huge": 1 << 70,
    "float": 3.5,
    "nan": float("nan"),
    "text": "x",
    "NUL": "\0",
    "no bytes": b"",
    "odd bytes": b"x" * 11,
    "many bytes": b"x" * 200_000,
    "dict": {"field": 3},
    "list": [1],
    "tuple": (1, 2),
    "object": object(),
    "function": len,
    "bytearray": bytearray(b"abc"),
    "released": RELEASED,
}


class Loaded(NamedTuple):
    runtime: Any
    programs: dict[str, Any]
    maps: dict[str, Any]
    obj: ObjectSpec


def _set(of: Any, key: Any, value: Any) -> None:
    of[key] = value


def _delete(of: Any, key: Any) -> None:
    del of[key]


_OF_PROGRAMS: dict[str, Callable[[Any, Any], object]] = {
    "run": lambda p, v: p.run(v),
    "run on a CPU": lambda p, v: p.run(cpu=v),
    "run in a context": lambda p, v: p.run(context=v),
    "run with data": lambda p, v: p.run(data=v),
    "run again": lambda p, v: p.run(repeat=v) if v != 1 << 70 else None,
    "entry": lambda p, v: p.entry()(v),
    "entry on a CPU": lambda p, v: p.entry(cpu=v)(),
    "entry with more": lambda p, v: p.entry()(b"", v),
    "run_batch": lambda p, v: p.run_batch(v),
    "run_batch on a CPU": lambda p, v: p.run_batch(bytes(8), cpu=v),
    "dump": lambda p, v: p.dump(v),
}
_OF_MAPS: dict[str, Callable[[Any, Any], object]] = {
    "look up": lambda m, v: m[v],
    "is in": lambda m, v: v in m,
    "set a key": lambda m, v: _set(m, v, 1),
    "set a value": lambda m, v: _set(m, 0, v),
    "update with flags": lambda m, v: m.update(0, 0, v),
    "delete": _delete,
    "lookup_batch": lambda m, v: m.lookup_batch(v),
    "update_batch": lambda m, v: m.update_batch(v, v),
    "update_batch of values": lambda m, v: m.update_batch(bytes(4), v),
    "update_batch with flags": lambda m, v: m.update_batch(bytes(4), bytes(8), v),
    "delete_batch": lambda m, v: m.delete_batch(v),
}
_OF_RUNTIMES: dict[str, Callable[[Loaded, Any], object]] = {
    "load": lambda on, v: on.runtime.load(v),
    "load programs": lambda on, v: on.runtime.load(on.obj, programs=v),
    "prefill": lambda on, v: on.runtime.allocators["ma"].prefill(v),
    "attach": lambda on, v: on.runtime.attach(v, signal=signal.SIGUSR1),
    "attach to": lambda on, v: on.runtime.attach(on.programs["sampled"], signal=v).detach(),
    "attach at": lambda on, v: on.runtime.attach(
        on.programs["sampled"], signal=signal.SIGUSR1, hz=v
    ).detach(),
}


@pytest.fixture(scope="module")
def obj(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    source = tmp_path_factory.mktemp("arguments") / "all.bpf.c"
    source.write_text(SOURCE)
    return object_spec(source)


@pytest.fixture(params=["model", "native"], scope="module")
def loaded(request: pytest.FixtureRequest, obj: ObjectSpec) -> Iterator[Loaded]:
    jit = False if request.param == "native" else None
    with Runtime(machine=request.param, jit=jit) as runtime:
        made = runtime.load(obj)
        yield Loaded(runtime, dict(made.programs), dict(made.maps), obj)


def ours(call: Callable[[], object]) -> None:
    """It may be right, or an error of ours; of a mapping, also that a key is not there."""
    with suppress(BpfheapError, KeyError):
        call()


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("name", _OF_PROGRAMS)
def test_programs(loaded: Loaded, name: str, value: Any) -> None:
    for program in loaded.programs.values():
        ours(lambda program=program: _OF_PROGRAMS[name](program, value))  # type: ignore[misc]


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("name", _OF_MAPS)
def test_maps(loaded: Loaded, name: str, value: Any) -> None:
    for of in loaded.maps.values():
        ours(lambda of=of: _OF_MAPS[name](of, value))  # type: ignore[misc]


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("name", _OF_RUNTIMES)
def test_runtimes(loaded: Loaded, name: str, value: Any) -> None:
    ours(lambda: _OF_RUNTIMES[name](loaded, value))


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("name", ["policy", "machine", "cpus", "seed", "grace", "budget", "memory"])
def test_options(name: str, value: Any) -> None:
    ours(lambda: Runtime(**{name: value}).close())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda on: on.programs["sys"].run({"field": 3}),
         "nothing says what the context of sys is (declare its parameter as a pointer to a struct, "
         "or give bytes)"),
        (lambda on: on.programs["frame"].run(5),
         "the context of frame is given as bytes, not as 5 (struct.pack makes them)"),
        (lambda on: on.programs["frame"].run(bytes(25)),
         "a context of 25 bytes for a program of type xdp (at most 24; a packet is given a"),
        (lambda on: on.programs["frame"].run(cpu=2), "there is no CPU 2 (0 to 1)"),
        (lambda on: on.programs["frame"].run(repeat="2"), "the number of runs is a whole numb"),
        (lambda on: on.programs["frame"].run(context="irk"), "there is no context irk (one of t"),
        (lambda on: on.runtime.load(3), "a file is given by its path, not as 3"),
        (lambda on: on.runtime.load(on.obj, programs="sys"),
         "programs are given as a list of names, not as sys"),
        (lambda on: on.runtime.attach(on.programs["sampled"], signal=signal.SIGUSR1, hz=-1),
         "the runs in a second cannot be -1 (0 to 1000000)"),
        (lambda on: Runtime(cpus=257), "the number of CPUs cannot be 257 (1 to 256)"),
    ],
)  # fmt: skip
def test_messages(loaded: Loaded, call: Callable[[Loaded], object], message: str) -> None:
    with pytest.raises(UsageError) as seen:
        call(loaded)
    assert str(seen.value).startswith(message)
