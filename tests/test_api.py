"""What users import, from C source to typed values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import LoadRefused, MapError, UsageError, VerifierError, Violation
from bpfheap.lifetime import LiveCount, Policy
from bpfheap.machine.model import ModelMachine
from bpfheap.runtime.system import System
from bpfheap.spec import ObjectSpec

EXAMPLES = Path(__file__).parents[1] / "examples"
THREE = EXAMPLES / "three_programs"

MAPS_C = r"""
#include <bpfheap.h>
struct foo { int var; };
struct val { int count; struct foo *ptr __kptr __local; };
struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__uint(max_entries, 2);
} ma SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 2);
	__type(key, __u32); __type(value, struct val);
} hash SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1);
	__type(key, __u32); __type(value, __u64);
} percpu SEC(".maps");
struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1);
	__type(key, __u32); __type(value, struct val);
} inner SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [0] = (void *)&inner } };
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096);
} events SEC(".maps");
int counter = 5;
const volatile int limit = 10;
struct foo __kptr *global;

SEC("tc") int fill(struct __sk_buff *skb)
{
	__u32 key = 0; __u64 *cell;
	struct val *v = bpf_map_lookup_elem(&hash, &key);
	void *in = bpf_map_lookup_elem(&outer, &key);
	struct foo *p;
	if (!v || !in) return 1;
	counter += limit;
	cell = bpf_map_lookup_elem(&percpu, &key);
	if (cell) *cell += skb->len;
	bpf_ringbuf_output(&events, &counter, sizeof(counter), 0);
	p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	if (!p) return 2;
	p->var = counter;
	p = bpf_kptr_xchg(&v->ptr, p);
	if (p) unit_free(p);
	v = bpf_map_lookup_elem(in, &key);
	if (!v) return 3;
	p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	if (!p) return 2;
	p = bpf_kptr_xchg(&v->ptr, p);
	if (p) unit_free(p);
	p = bpf_obj_new(struct foo);
	if (!p) return 4;
	p = bpf_kptr_xchg(&global, p);
	if (p) bpf_obj_drop(p);
	bpf_printk("counter %d", counter);
	return -1;
}
SEC("?tc") int later(struct __sk_buff *skb) { return 0; }
char _license[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="session")
def maps(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    path = tmp_path_factory.mktemp("maps") / "maps.bpf.c"
    path.write_text(MAPS_C)
    return object_spec(path)


@pytest.fixture(params=bpfheap.machines())
def rt(request: pytest.FixtureRequest) -> bpfheap.Runtime:
    return bpfheap.Runtime(machine=request.param)


def named(shown: Any, name: str) -> bool:
    """The native machine names objects by their addresses."""
    return bool(shown.object == name or shown.object.startswith(f"{name.partition('#')[0]}@"))


def test_a_program_fills_maps_that_python_reads(rt: bpfheap.Runtime, maps: ObjectSpec) -> None:
    obj = rt.load(maps)
    assert set(obj.programs) == {"fill"}
    table = obj.maps["hash"]
    table[0] = {"count": 7}
    result = obj.programs["fill"].run(ctx=(64).to_bytes(4, "little"))
    assert result.retval == 0xFFFFFFFF
    assert result.printk == ["counter 15"]
    assert rt.printk == result.printk
    assert table[0] == {"count": 7, "ptr": {"var": 15}}
    assert named(table[0].ptr, "foo#1")
    assert list(table) == [0]
    assert len(table) == 1
    assert obj.maps["percpu"][0] == [64, 0]
    assert obj.maps["events"].drain() == [b"\x0f\0\0\0"]
    assert obj.maps["events"].drain() == []
    assert obj.maps[".data"][0] == {"counter": 15}
    assert obj.maps[".rodata"][0].limit == 10
    assert named(obj.maps[".bss"][0]["global"], "foo#3")
    assert named(obj.maps["outer"][0][0].ptr, "foo#2")
    stats = rt.allocators["ma"].stats()
    assert (stats.live, stats.peak, stats.failures) == (2, 2, 0)
    assert len(rt.allocators["ma"].objects()) == 2
    assert rt.close() == []
    assert rt.allocators == {}


def test_writing_from_python(rt: bpfheap.Runtime, maps: ObjectSpec) -> None:
    obj = rt.load(maps)
    table = obj.maps["hash"]
    table[1] = {}
    table.update(2, {"count": 1})
    with pytest.raises(MapError) as full:
        table[3] = {}
    assert full.value.errno_name == "E2BIG"
    with pytest.raises(MapError) as exists:
        table.update(1, {}, flags=1)
    assert exists.value.errno_name == "EEXIST"
    del table[1]
    assert list(table.items()) == [(2, {"count": 1, "ptr": None})]
    with pytest.raises(KeyError):
        table[1]
    with pytest.raises(KeyError):
        del table[1]
    with pytest.raises(UsageError, match="for each of 2 CPUs, and has 1"):
        obj.maps["percpu"][0] = [1]
    obj.maps["percpu"][0] = [1, 2]
    assert obj.maps["percpu"][0] == [1, 2]
    outer = obj.maps["outer"]
    open_before = len(rt.system.fds)
    outer[1] = obj.maps["inner"]
    assert sorted(outer) == [0, 1]
    outer[0][0] = {"count": 9}
    assert obj.maps["inner"][0].count == 9
    assert len(rt.system.fds) == open_before
    looked_up = outer[0]
    del outer[0]
    assert sorted(outer) == [1]
    looked_up[0] = {"count": 8}
    assert obj.maps["inner"][0].count == 8
    with pytest.raises(UsageError, match="is another map"):
        outer[0] = 5
    with pytest.raises(LoadRefused, match="cannot be an inner map"):
        outer[0] = table
    with pytest.raises(UsageError, match="no ring buffer"):
        table.drain()


def test_prefill_from_user_space(rt: bpfheap.Runtime, maps: ObjectSpec) -> None:
    obj = rt.load(maps)
    allocator = rt.allocators["ma"]
    assert allocator.stats().cached >= 2
    allocator.prefill(5)
    assert allocator.stats().cached >= 5
    if rt.system.machine.name == "model":
        assert allocator.stats().cached == 5
    with pytest.raises(UsageError, match="the number of objects cannot be -1"):
        allocator.prefill(-1)
    obj.close()
    with pytest.raises(UsageError, match="is gone"):
        allocator.prefill(1)
    assert allocator.objects() == ()


def test_the_history_is_bounded() -> None:
    machine = ModelMachine(history_limit=10)
    system = System(LiveCount(), machine)
    spec = object_spec(THREE / "p3.bpf.c")
    btf = system.btf_load(spec.btf)
    for _ in range(50):
        system.close(system.map_create(spec.maps["m2"], btf, {}))
    assert len(machine.history) <= 10


def test_deleting_an_element_frees_its_object(rt: bpfheap.Runtime, maps: ObjectSpec) -> None:
    obj = rt.load(maps)
    obj.maps["hash"][0] = {}
    obj.programs["fill"].run()
    del obj.maps["hash"][0]
    assert rt.allocators["ma"].stats().live == 1


def test_an_inner_map_lives_on_in_its_outer_map(rt: bpfheap.Runtime, maps: ObjectSpec) -> None:
    obj = rt.load(maps)
    obj.maps["hash"][0] = {}
    obj.programs["fill"].run()
    obj.maps["inner"].close()
    assert named(obj.maps["outer"][0][0].ptr, "foo#2")
    del obj.maps["outer"][0]
    assert rt.allocators["ma"].stats().live == 1


def test_optional_programs_load_by_name(rt: bpfheap.Runtime, maps: ObjectSpec) -> None:
    obj = rt.load(maps, programs=["later"])
    assert set(obj.programs) == {"later"}
    assert obj.programs["later"].run(repeat=3).retval == 0
    with pytest.raises(UsageError, match="there is no program nothing"):
        rt.load(maps, programs=["nothing"])
    with pytest.raises(UsageError, match="cannot run 0 times"):
        obj.programs["later"].run(repeat=0)
    obj.programs["later"].unload()
    obj.programs["later"].unload()
    with pytest.raises(UsageError, match="was unloaded"):
        obj.programs["later"].run()


def test_maps_of_one_name_are_one_map(rt: bpfheap.Runtime) -> None:
    first, second = rt.load(THREE / "p2.bpf.c"), rt.load(THREE / "p1.bpf.c")
    first.programs["p2"].run()
    assert second.maps["m1"][0].ptr.var == 42
    second.programs["p1"].run()
    assert first.maps["m1"][0].ptr is None
    assert second.maps["m2"][0].ptr.var == 42


def test_maps_of_one_name_that_differ_are_refused(rt: bpfheap.Runtime, tmp_path: Path) -> None:
    rt.load(THREE / "p3.bpf.c")
    other = tmp_path / "other.bpf.c"
    source = (THREE / "p3.bpf.c").read_text()
    (tmp_path / "foo.h").write_text((THREE / "foo.h").read_text().replace("int var", "long var"))
    other.write_text(source)
    with pytest.raises(LoadRefused, match="m2 exists already and differs"):
        rt.load(other)
    assert len(rt.system.programs) == 1


def test_a_rejected_program_leaves_nothing(rt: bpfheap.Runtime, tmp_path: Path) -> None:
    leak = tmp_path / "leak.bpf.c"
    leak.write_text((THREE / "p2.bpf.c").read_text().replace("bpf_kptr_xchg(&v->ptr, p)", "NULL"))
    (tmp_path / "foo.h").write_text((THREE / "foo.h").read_text())
    with pytest.raises(VerifierError) as seen:
        rt.load(leak)
    assert seen.value.file is not None
    assert seen.value.file.endswith("leak.bpf.c")
    assert seen.value.line is not None
    assert rt.system.maps == {}
    assert rt.system.btfs == {}
    assert rt.allocators == {}


@pytest.mark.parametrize("policy", [p.name for p in bpfheap.policies() if p.asks is not None])
def test_what_a_policy_asks_for_has_to_be_there(policy: str) -> None:
    rt = bpfheap.Runtime(policy=policy)
    with pytest.raises(LoadRefused, match="first stores objects there"):
        rt.load(EXAMPLES / "first.bpf.c")
    assert rt.close() == []


@pytest.mark.parametrize("policy", [p.name for p in bpfheap.policies() if p.asks is None])
def test_every_policy_runs_the_first_example(policy: str) -> None:
    rt = bpfheap.Runtime(policy=policy)
    with rt.load(EXAMPLES / "first.bpf.c") as obj:
        assert obj.programs["first"].run().retval == 0
        assert obj.maps["slots"][0].ptr.var == 42
    assert rt.close() == []


def test_close_tells_of_violations() -> None:
    rt = bpfheap.Runtime(policy="used-allocators")
    p1, p3, p2 = (rt.load(THREE / f"{name}.bpf.c") for name in ("p1", "p3", "p2"))
    p2.programs["p2"].run()
    p1.programs["p1"].run()
    p2.close()
    p1.close()
    assert rt.allocators == {}
    (left,) = rt.close()
    assert left.kind == "use-after-free"
    assert any("p2.bpf.c" in sentence for sentence in left.life)
    assert p3.maps["m2"].name == "m2"


TWO_FIELDS_C = r"""
#include <bpfheap.h>
struct foo { int var; };
struct val { struct foo *a __kptr __local; struct foo *b __kptr __local; };
struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
} ma SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 2);
	__type(key, __u32); __type(value, struct val);
} hash SEC(".maps");
SEC("tc") int fill(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct val empty = {}, *v;
	struct foo *p;
	bpf_map_update_elem(&hash, &key, &empty, BPF_NOEXIST);
	v = bpf_map_lookup_elem(&hash, &key);
	if (!v) return 1;
	p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	if (p) p = bpf_kptr_xchg(&v->a, p);
	if (p) unit_free(p);
	p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	if (p) p = bpf_kptr_xchg(&v->b, p);
	if (p) unit_free(p);
	return 0;
}
"""


class KeepsNothing(Policy):
    """The hole in its purest form: an allocator goes with its map."""

    name = "keeps-nothing"
    rule = thread = ""


@pytest.mark.parametrize("how", ["close", "delete"])
def test_nothing_is_stuck_behind_a_violation(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bpfheap.api.names.POLICIES", (KeepsNothing,))
    (tmp_path / "two.bpf.c").write_text(TWO_FIELDS_C)
    rt = bpfheap.Runtime(policy="keeps-nothing")
    obj = rt.load(tmp_path / "two.bpf.c")
    for mark in (0, 1):
        obj.programs["fill"].run(mark.to_bytes(4, "little").rjust(12, b"\0"))
    obj.programs["fill"].unload()
    obj.maps["ma"].close()
    assert not rt.allocators
    if how == "delete":
        with pytest.raises(Violation, match="foo#1, whose allocator ma is gone"):
            del obj.maps["hash"][0]
    left = rt.close()
    assert {one.kind for one in left} == {"use-after-free"}
    assert len(left) == (4 if how == "close" else 3)
    system = rt.system
    assert (system.maps, system.programs, system.btfs, system.deferred) == ({}, {}, {}, ())


def test_misuse_of_maps(rt: bpfheap.Runtime, maps: ObjectSpec) -> None:
    obj = rt.load(maps)
    with bpfheap.Runtime() as other, pytest.raises(UsageError, match="map of the same runtime"):
        # Its descriptor is a number that means something here too.
        obj.maps["outer"][1] = other.load(maps).maps["inner"]
    with pytest.raises(UsageError, match="a list with one value for each CPU, not 5"):
        obj.maps["percpu"][0] = 5
    with pytest.raises(UsageError, match="1 does not fit the 0 bits of the key of ma"):
        obj.maps["ma"][1]


def test_what_the_runtime_closed_can_be_closed(maps: ObjectSpec) -> None:
    rt = bpfheap.Runtime()
    obj = rt.load(maps)
    assert rt.close() == []
    obj.programs["fill"].unload()
    obj.maps["hash"].close()
    obj.close()


def test_what_a_running_program_holds_is_no_leak() -> None:
    rt = bpfheap.Runtime()
    obj = rt.load(EXAMPLES / "first.bpf.c")
    execution = rt.system.start(obj.programs["first"].fd)
    while not rt.allocators["ma"].stats().live:
        rt.system.step(execution)
    left = rt.close()
    assert [(one.kind, one.message) for one in left] == [
        ("immortal-allocator", "allocator ma is still alive: program first is still running")
    ]
    while rt.system.running:
        rt.system.step(execution)
    assert rt.close() == []
    assert rt.allocators == {}


def test_the_end_of_a_with_block_tells_of_violations() -> None:
    def body(mistake: bool) -> None:
        with bpfheap.Runtime(policy="used-allocators") as rt:
            p1, _, p2 = (rt.load(THREE / f"{name}.bpf.c") for name in ("p1", "p3", "p2"))
            p2.programs["p2"].run()
            p1.programs["p1"].run()
            p2.close()
            p1.close()
            if mistake:
                raise ZeroDivisionError

    with pytest.raises(Violation) as seen:
        body(mistake=False)
    assert seen.value.kind == "use-after-free"
    assert seen.value.life
    with pytest.raises(ZeroDivisionError):
        body(mistake=True)


def test_used_allocators_forgets_inner_maps_with_their_outer_one(maps: ObjectSpec) -> None:
    """Pinned, since it is the policy's known hole: the reference is on the outer map."""
    rt = bpfheap.Runtime(policy="used-allocators")
    obj = rt.load(maps)
    obj.maps["hash"][0] = {}
    obj.programs["fill"].run()
    rt.system.pin(obj.maps["inner"].fd, "/inner")
    obj.close()
    assert rt.allocators == {}
    rt.system.unpin("/inner")
    with pytest.raises(Violation, match="whose allocator ma is gone"):
        rt.grace_period()


def test_flags_that_a_map_type_does_not_have(rt: bpfheap.Runtime, maps: ObjectSpec) -> None:
    for name, flags in (("hash", 1 << 10), ("ma", 1), ("events", 1), ("percpu", 1 << 10)):
        changed = replace(maps.maps[name], flags=flags)
        with pytest.raises(MapError, match=rf"map_flags 0x{flags:x} are not for type") as seen:
            rt.load(replace(maps, maps={**maps.maps, name: changed}))
        assert seen.value.errno_name == "EINVAL"
    assert rt.system.maps == {}


def test_manual_grace_periods() -> None:
    rt = bpfheap.Runtime(grace="manual")
    obj = rt.load(THREE / "p3.bpf.c")
    obj.close()
    assert len(rt.system.maps) == 1
    rt.grace_period()
    assert rt.system.maps == {}
    with pytest.raises(UsageError, match="was freed"):
        obj.maps["m2"][0]


def test_wrong_names() -> None:
    with pytest.raises(UsageError, match=r"no policy x.*live-count"):
        bpfheap.Runtime(policy="x")
    with pytest.raises(UsageError, match=r"no machine x.*model"):
        bpfheap.Runtime(machine="x")
    with pytest.raises(AttributeError):
        bpfheap.nothing  # noqa: B018


def test_policies_and_machines() -> None:
    assert [p.name for p in bpfheap.policies() if p.default] == ["live-count"]
    assert bpfheap.machines()[0] == "model"


def test_check_loads_nothing() -> None:
    ((program, verdict),) = bpfheap.check(THREE / "p1.bpf.c")
    assert program.name == "p1"
    assert verdict.accepted
    flows = [(f.kind, str(f.source), str(f.field)) for f in verdict.flows]
    assert ("move", "m1.ptr", "m2.ptr") in flows


def test_the_life_of_an_object() -> None:
    rt = bpfheap.Runtime()
    rt.load(THREE / "p2.bpf.c").programs["p2"].run()
    (life,) = rt.allocators["ma"].objects()
    assert len(life) == 2
    assert "allocated from ma by p2 at" in life[0]
    assert "stored into m1[0].ptr by p2 at" in life[1]
