"""Two ways to say that two states of the model machine are the same, each the other's oracle.

`ModelMachine.key` numbers the regions that a walk from the roots meets; the explorer freezes a
state part by part. They share no code and must tell the same states apart, once what programs
cannot read any more is cleared: only freezing leaves that out.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable
from itertools import pairwise
from pathlib import Path

import pytest
from explore_samples import bounded, model_of, scenario
from test_explore_model import walk

from bpfheap.explore import Scenario, plan, read_scenario
from bpfheap.explore.model import Model
from bpfheap.explore.tracked import PlanConstants, PlannedIds
from bpfheap.explore.world import World
from bpfheap.lifetime import Policy
from bpfheap.machine.model import ModelMachine
from bpfheap.machine.model.frozen import FrozenMap, FrozenValue, region_id
from bpfheap.machine.model.interp import STACK_SIZE
from bpfheap.machine.model.records import RegionKind
from bpfheap.machine.model.values import Pointer
from bpfheap.runtime.objects import HandleType
from bpfheap.runtime.system import System
from bpfheap.verifier import Verdict
from bpfheap.verifier.analysis.liveness import FIRST_SLOT

#: The cells that hold the machine's state; the others are the runtime's and user space's.
MACHINE = frozenset(
    {"heap", "content", "execution", "code", "value", "object", "retired", "clock", "random",
     "growths", "next_address"}
)  # fmt: skip
CONTAINERS = Path(__file__).with_name("containers")


#: Numbers in memory, on stacks and in registers that depend on who comes first.
COUNTS = """
#include <bpfheap.h>
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");
volatile __u32 turns;
SEC("tc") int count(struct __sk_buff *skb)
{
	__u32 before = turns, key = before & 3;
	__u64 value = before + 5;

	skb->mark = before;
	bpf_map_lookup_elem(&seen, &key);
	turns = before + 1;
	key ^= 1;
	bpf_map_update_elem(&seen, &key, &value, BPF_ANY);
	return skb->mark;
}
char _license[] SEC("license") = "GPL";
"""


class PlannedSystem(System):
    """A plain system that gives the explorer's ids, which do not depend on the order of events."""

    def __init__(self, policy: Policy, machine: ModelMachine, ids: PlannedIds) -> None:
        super().__init__(policy, machine)
        self._ids = ids
        self._times: Counter[tuple[HandleType | None, str]] = Counter()

    def _new_id(self, kind: HandleType | None, name: str) -> int:
        self._times[kind, name] += 1
        return self._ids.of(kind, name, self._times[kind, name] - 1)


def frozen(model: Model, state: bytes) -> Hashable:
    """What the machine's cells hold. An element of an array that is all zeros is left out: its
    memory is made at the first look, and only the key takes it for what it was before."""
    store, constants = model.store, model.constants.maps
    cells = {
        name: value
        for name in store.names
        if name.kind in MACHINE and (value := store.value(state, store.cell(name))) is not None
    }
    blank = set()
    for name, value in tuple(cells.items()):
        if isinstance(value, FrozenValue) and not (value.data or value.slots or value.links):
            assert isinstance(name.id, tuple)
            map_id, index = name.id
            if constants[map_id].type.fixed:
                blank.add(region_id(RegionKind.VALUE, map_id, index))
                del cells[name]
    for name, value in tuple(cells.items()):
        if isinstance(value, FrozenMap):
            kept = tuple(e for e in value.entries if not blank.issuperset(e[1]))
            cells[name] = value._replace(entries=kept)
    return frozenset(cells.items())


def key(machine: ModelMachine, constants: PlanConstants) -> Hashable:
    """The machine's key, without what its executions cannot read any more."""
    machine = machine.copy()
    for number in machine.executions():
        execution = machine._state.execution(number)
        live = constants.live(execution.program, execution.slot)
        execution.registers[:10] = [
            value if live >> n & 1 else None for n, value in enumerate(execution.registers[:10])
        ]
        assert not execution.frames, "no program here calls another function"
        top = execution.registers[10]
        assert isinstance(top, Pointer)
        stack = machine._state.region(top.region)
        for slot in range(STACK_SIZE // 8):
            at = STACK_SIZE - 8 * (slot + 1)
            if not live >> (FIRST_SLOT + slot) & 1:
                stack.slots.pop(at, None)
                stack.data[at : at + 8] = bytes(8)
    return machine.key()


def visited(of: Scenario, policy: str, walks: int) -> list[tuple[Hashable, Hashable]]:
    """Both encodings of all states on some random ways."""
    model = model_of(of, policy)
    found = []
    for seed in range(walks):
        bounds = model.plan.bounds
        machine = ModelMachine(cpus=bounds.cpus, allocator_limit=bounds.objects)
        constants = model.constants
        world = World(model.plan, PlannedSystem(constants.policy, machine, constants.ids))
        for (_, _), (action, after) in pairwise(walk(model, random.Random(seed))):
            assert action is not None
            assert world.do(action) is None
            found.append((frozen(model, after), key(machine, constants)))
    return found


@pytest.mark.parametrize("name", ["three_programs", "inner_map", "nested", "walk_race", "counts"])
def test_the_encodings_tell_the_same_states_apart(name: str, tmp_path: Path) -> None:
    if name == "counts":
        (tmp_path / "counts.bpf.c").write_text(COUNTS)
        of = bounded(read_scenario([tmp_path]), cpus=2, runs=2, loads=2)
    else:
        of = scenario(name)
    keys: dict[Hashable, Hashable] = {}
    cells: dict[Hashable, Hashable] = {}
    pairs = visited(of, "live-count", 40)
    for state, number in pairs:
        assert keys.setdefault(state, number) == number
        assert cells.setdefault(number, state) == state
    # Different ways led to the same state, and to many.
    assert 50 <= len(keys) <= len(pairs) / 2


@pytest.mark.parametrize("name", ["lists", "percpu"])
def test_objects_with_numbers_are_no_fewer_states(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects that are parts by themselves have numbers, which the key knows nothing of."""
    monkeypatch.setattr(
        plan, "verify", lambda obj, program, options: Verdict(program.name, 0, 0, ())
    )
    keys: dict[Hashable, Hashable] = {}
    of = bounded(read_scenario([CONTAINERS / f"{name}.bpf.c"]), cpus=2, runs=2)
    for state, number in visited(of, "live-count", 40):
        assert keys.setdefault(state, number) == number
    assert len(set(keys.values())) > 50
