"""What a load brings with it in the explorer is what it brings in a runtime.

Each program here does its harm only if something that loading does was done; without, a search
would call the scenario clean.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from explore_samples import EVERYTHING, bounded, searched

import bpfheap
from bpfheap.errors import LoadRefused
from bpfheap.explore import Reductions, Replay, Scenario, VerdictKind, explore, read_scenario
from bpfheap.explore.plan import plan_of
from bpfheap.explore.results import FindingKind
from bpfheap.explore.world import Action, World
from bpfheap.lifetime import LiveCount
from bpfheap.machine.model import ModelMachine
from bpfheap.platform.maps import BY_NAME as MAP_TYPE
from bpfheap.runtime.loader import program_slots
from bpfheap.runtime.system import System

#: `store` puts an object of ma into m1, `move` takes it to m2: under used-allocators, m2 does not
#: keep ma if `move` was loaded before `store`.
MAPS = """
#include <bpfheap.h>
struct foo { int var; };
struct map_val { struct foo *ptr __kptr __local; };
struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct foo);
} ma SEC(".maps");
"""
VALUES = """
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct map_val);
} m1 SEC(".maps"), m2 SEC(".maps");
"""
STORE = """
SEC("tc") int store(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct map_val *v = bpf_map_lookup_elem(&m1, &key);
	struct foo *p;
	if (!v)
		return 0;
	p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	if (!p)
		return 0;
	p = bpf_kptr_xchg(&v->ptr, p);
	if (p)
		unit_free(p);
	return 0;
}
"""
MOVE = """
SEC("tc") int move(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct map_val *from, *to;
	struct foo *p;
	if (!(CONDITION))
		return 0;
	from = bpf_map_lookup_elem(&m1, &key);
	to = bpf_map_lookup_elem(&m2, &key);
	if (!from || !to)
		return 0;
	p = bpf_kptr_xchg(&from->ptr, NULL);
	if (!p)
		return 0;
	p = bpf_kptr_xchg(&to->ptr, p);
	if (p)
		unit_free(p);
	return 0;
}
"""
LICENSE = 'char _license[] SEC("license") = "GPL";\n'

TAIL_CALL = """
int move(struct __sk_buff *skb);
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int (void *));
} jumps SEC(".maps") = { .values = { [1] = (void *)&move } };
SEC("tc") int enter(struct __sk_buff *skb)
{
	skb->mark = 7;
	bpf_tail_call(skb, &jumps, 1);
	return 0;
}
"""
GLOBAL = """
int armed;
SEC("tc") int arm(struct __sk_buff *skb) { armed = 1; return 0; }
"""


def source(before: str, condition: str) -> str:
    return MAPS + VALUES + before + STORE + MOVE.replace("CONDITION", condition) + LICENSE


#: What comes before `store` and `move`, and when `move` moves.
LOADED = {
    "array of programs": (TAIL_CALL, "skb->mark == 7"),
    "global that another program sets": (GLOBAL, "*(volatile int *)&armed"),
    "initial data": ("int enabled = 1;", "*(volatile int *)&enabled"),
    "read-only data": ("const volatile int enabled = 1;", "enabled"),
}


def write(folder: Path, **files: str) -> Scenario:
    for name, text in files.items():
        (folder / f"{name}.bpf.c").write_text(text)
    return bounded(read_scenario([folder]), cpus=1, one_process=True)


INNER = """
struct inner_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct map_val);
} inner SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner_map);
} outer SEC(".maps") = { .values = { [1] = &inner } };
SEC("tc") int fill(struct __sk_buff *skb)
{
	__u32 one = 1, zero = 0;
	void *found = bpf_map_lookup_elem(&outer, &one);
	struct map_val *v;
	struct foo *p;
	if (!found)
		return 0;
	v = bpf_map_lookup_elem(found, &zero);
	if (!v)
		return 0;
	p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	if (!p)
		return 0;
	p = bpf_kptr_xchg(&v->ptr, p);
	if (p)
		unit_free(p);
	return 0;
}
"""
OTHER_TYPE = """
#include <bpfheap.h>
int other(struct xdp_md *ctx);
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int (void *));
} jumps SEC(".maps") = { .values = { [0] = (void *)&other } };
SEC("xdp") int other(struct xdp_md *ctx) { return 2; }
char _license[] SEC("license") = "GPL";
"""
MOVED = """
SEC("tc") int move(struct __sk_buff *skb) { return 1; }
"""
#: How many states a tail call has, in all orders and after the reductions.
STATES = {"used-allocators": (7556, 6189), "live-count": (4943, 3778)}
KEYLESS = {MAP_TYPE["allocator"].number}


@pytest.mark.parametrize("what", LOADED)
def test_what_is_loaded_has_its_effect(what: str, tmp_path: Path) -> None:
    scenario = write(tmp_path, a=source(*LOADED[what]))
    found = explore(scenario, "used-allocators", first=True)
    assert found.verdict is VerdictKind.VIOLATION
    (breach,) = found.breaches
    assert breach.kind == "use-after-free"
    replay = Replay(breach.history.replay)
    assert tuple(replay.steps()) == breach.history.steps
    assert str(replay.violation) == breach.message


def test_an_inner_map_is_there_from_the_beginning(tmp_path: Path) -> None:
    """Under used-allocators the outer map keeps the allocator, and goes before the inner one."""
    found = explore(write(tmp_path, a=MAPS + INNER + LICENSE), "used-allocators", first=True)
    assert found.verdict is VerdictKind.VIOLATION
    assert "free of inner frees foo#1" in found.breaches[0].message


@pytest.mark.parametrize("policy", ["used-allocators", "live-count"])
def test_reductions_lose_no_violation_of_a_tail_call(policy: str, tmp_path: Path) -> None:
    scenario = write(tmp_path, a=source(*LOADED["array of programs"]))
    every = searched(scenario, policy, EVERYTHING)
    reduced = searched(scenario, policy, Reductions())
    assert every.ledger.violations.keys() == reduced.ledger.violations.keys()
    assert bool(every.ledger.violations) == (policy == "used-allocators")
    assert (every.states, reduced.states) == STATES[policy]


def test_an_array_takes_programs_of_one_type(tmp_path: Path) -> None:
    """Whichever is loaded first decides; the other one does not stay."""
    scenario = write(tmp_path, a=MAPS + TAIL_CALL + MOVED + LICENSE, b=OTHER_TYPE)
    found = explore(scenario, "live-count")
    assert found.verdict is VerdictKind.CLEAN
    refused = [f for f in found.findings if f.kind is FindingKind.ORDER_DEPENDENT]
    assert {f.text.partition(" is let in")[0] for f in refused} == {"enter", "move", "other"}
    world = World(plan_of(scenario), System(LiveCount(), ModelMachine()))
    for verb, name in (("create", "jumps"), ("load", "enter"), ("load", "move")):
        assert world.do(Action(verb, name)) is None
    before = len(world.system.fds)
    refusal = world.do(Action("load", "other"))
    assert "array of sched_cls programs, and other is a xdp" in str(refusal)
    assert len(world.system.fds) == before
    while world.system.grace_period():
        pass
    assert {p.name for p in world.system.programs.values()} == {"enter", "move"}


def test_programs_that_are_not_loaded_with_their_file(tmp_path: Path) -> None:
    text = source(*LOADED["array of programs"]).replace('SEC("tc") int move', 'SEC("?tc") int move')
    scenario = write(tmp_path, a=text)
    assert list(plan_of(scenario).programs) == ["enter", "store"]
    assert explore(scenario, "used-allocators").verdict is VerdictKind.CLEAN


def test_maps_that_cannot_be_made_are_no_clean_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = write(tmp_path, a=source(*LOADED["initial data"]))
    (spec,) = scenario.objects
    for named, message in (("m1", "m1 names itself by way of m1"), ("none", "which is not there")):
        maps = spec.maps | {"m1": replace(spec.maps["m1"], kptr_allocator=named)}
        monkeypatch.setattr(Scenario, "compiled", lambda *_, m=maps: (replace(spec, maps=m),))
        with pytest.raises(LoadRefused, match=message):
            plan_of(scenario)
        with pytest.raises(LoadRefused, match=message):
            bpfheap.Runtime().load(replace(spec, maps=maps))


def contents(system: System) -> dict[str, object]:
    """What maps and programs there are: what they hold, and who holds them, by name."""
    found: dict[str, object] = {}
    for obj in system.maps.values():
        spec, machine = system.spec_of(obj.id), system.machine
        keys = () if spec.type in KEYLESS else machine.map_keys(obj.id)
        values = {key: machine.map_lookup(obj.id, key) for key in keys}
        if spec.inner is not None:
            named: dict[bytes, object] = {
                key: system.maps[int.from_bytes(value or b"", "little")].name
                for key, value in values.items()
            }
        elif program_slots(spec):
            named = {
                key: system.programs[int.from_bytes(value or b"", "little")].name
                for key, value in values.items()
            }
        else:
            named = dict(values)
        kinds = (obj.program_type, obj.kptr_allocator is None, obj.elem_allocator is None)
        found[obj.name] = (named, obj.refs, kinds)
    for program in system.programs.values():
        maps = [system.maps[m].name for m in program.maps]
        found[program.name] = (maps, program.users, program.type)
    return found


@pytest.mark.parametrize(
    "text",
    [*(source(*loaded) for loaded in LOADED.values()), MAPS + INNER + LICENSE],
    ids=[*LOADED, "inner map"],
)
def test_runtime_and_explorer_load_the_same(text: str, tmp_path: Path) -> None:
    scenario = write(tmp_path, a=text)
    runtime = bpfheap.Runtime(policy="live-count")
    runtime.load(scenario.objects[0])
    plan = plan_of(scenario)
    world = World(plan, System(LiveCount(), ModelMachine()))
    todo = [Action("create", name) for name in plan.maps]
    todo += [Action("load", name) for name in plan.programs]
    while todo:
        # A map comes after those that it names.
        action = next(a for a in todo if any(a in world.enabled(x) for x in world.actors()))
        todo.remove(action)
        assert world.do(action) is None
    assert contents(world.system) == contents(runtime.system)
