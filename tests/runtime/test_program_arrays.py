"""Arrays of programs: who holds whom, and what may go in."""

from __future__ import annotations

import pytest

from bpfheap.compile import object_spec
from bpfheap.errors import LoadRefused, MapError, UsageError
from bpfheap.lifetime import LiveCount
from bpfheap.machine.model import ModelMachine
from bpfheap.runtime.system import System
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import Verdict

SOURCE = """
#include <bpfheap.h>
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 4);
} jumps SEC(".maps");
SEC("tc") int first(struct __sk_buff *skb) { bpf_tail_call(skb, &jumps, 0); return 1; }
SEC("tc") int second(struct __sk_buff *skb) { bpf_tail_call(skb, &jumps, 1); return 2; }
SEC("xdp") int other(struct xdp_md *ctx) { return 3; }
SEC("xdp") int jumping(struct xdp_md *ctx) { bpf_tail_call(ctx, &jumps, 1); return 4; }
"""
ZERO, ONE = bytes(4), b"\1\0\0\0"


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    path = tmp_path_factory.mktemp("arrays") / "jumps.bpf.c"
    path.write_text(SOURCE)
    return object_spec(path)


class Loaded:
    """A system with the array; programs are loaded by name, unverified."""

    def __init__(self, spec: ObjectSpec) -> None:
        self.spec = spec
        self.system = System(LiveCount(), ModelMachine())
        self.btf = self.system.btf_load(spec.btf)
        self.jumps = self.system.map_create(spec.maps["jumps"], self.btf, {})
        self.map_id = self.system.map_of(self.jumps).id

    def load(self, name: str) -> int:
        verdict = Verdict(name, 1, 1, ())
        program = self.spec.programs[name]
        return self.system.program_load(program, verdict, self.btf, {"jumps": self.map_id})

    def put(self, key: bytes, fd: int) -> None:
        self.system.map_update(self.jumps, key, fd.to_bytes(4, "little"))

    def names(self) -> set[str]:
        while self.system.grace_period():
            pass
        return {p.name for p in self.system.programs.values()}


@pytest.fixture
def loaded(spec: ObjectSpec) -> Loaded:
    return Loaded(spec)


def test_an_array_holds_its_programs(loaded: Loaded) -> None:
    first, second = loaded.load("first"), loaded.load("second")
    assert loaded.system.run(first) == 1
    loaded.put(ZERO, second)
    loaded.system.close(second)
    assert loaded.names() == {"first", "second"}
    assert loaded.system.run(first) == 2
    loaded.put(ZERO, first)
    assert loaded.names() == {"first"}
    loaded.put(ONE, first)
    loaded.system.map_delete(loaded.jumps, ZERO)
    loaded.system.close(first)
    assert loaded.names() == {"first"}
    loaded.system.map_delete(loaded.jumps, ONE)
    assert loaded.names() == set()


def test_it_is_emptied_with_its_last_descriptor(loaded: Loaded) -> None:
    """The program in it holds the array: nobody would ever be the first to go."""
    first = loaded.load("first")
    loaded.put(ZERO, first)
    loaded.system.close(first)
    loaded.system.pin(loaded.jumps, "/jumps")
    loaded.system.close(loaded.jumps)
    assert loaded.names() == {"first"}
    loaded.system.unpin("/jumps")
    assert loaded.names() == set()
    assert loaded.map_id not in loaded.system.maps


def test_programs_of_one_type_only(loaded: Loaded) -> None:
    first, other = loaded.load("first"), loaded.load("other")
    with pytest.raises(LoadRefused, match="array of sched_cls programs, and other is a xdp"):
        loaded.put(ZERO, other)
    with pytest.raises(LoadRefused, match="and jumping is a xdp"):
        loaded.load("jumping")
    loaded.put(ZERO, first)


def test_what_goes_in_is_a_program(loaded: Loaded) -> None:
    with pytest.raises(UsageError, match="is a map, not a program"):
        loaded.put(ZERO, loaded.jumps)
    with pytest.raises(MapError, match="E2BIG"):
        loaded.put(b"\2\0\0\0", loaded.load("first"))
    with pytest.raises(MapError, match="ENOENT"):
        loaded.system.map_delete(loaded.jumps, ZERO)
