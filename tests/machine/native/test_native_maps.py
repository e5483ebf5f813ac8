"""Maps of the native machine beside those of the model machine: the same operations, the same
answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bpfheap.btf import BtfBuilder
from bpfheap.errors import MapError
from bpfheap.machine.model import ModelMachine
from bpfheap.platform.maps import BY_NAME, MapFlag
from bpfheap.runtime.machine import Machine
from bpfheap.spec import MapSpec

pytest.importorskip("bpfheap.machine.native._core")
from bpfheap.machine.native import machine as native

MAP = 1
BTF = BtfBuilder().build()
CPUS = 2


def spec(kind: str, *, key_size: int = 4, entries: int = 4, flags: int = 0) -> MapSpec:
    row = BY_NAME[kind]
    return MapSpec("m", row.number, row.key_size or key_size, 8, entries, BTF, flags=flags)


def answer(machine: Machine, operation: str, *arguments: Any) -> object:
    """What comes back, or the name of the error."""
    try:
        return getattr(machine, operation)(MAP, *arguments)
    except MapError as error:
        return error.errno_name


KINDS = [
    ("hash", 4, 0),
    ("hash", 4, MapFlag.NO_PREALLOC),
    ("hash", 1, 0),
    ("hash", 8, 0),
    ("hash", 13, 0),
    ("percpu_hash", 4, 0),
    ("lru_hash", 4, 0),
    ("lru_hash", 20, 0),
    ("lru_percpu_hash", 4, 0),
    ("array", 4, 0),
    ("percpu_array", 4, 0),
    ("lpm_trie", 8, MapFlag.NO_PREALLOC),
    ("devmap_hash", 4, 0),
]
#: Prefixes: the same ones with other bits behind them, one in the other, and one that is too long.
PREFIXES = [
    (length, data.to_bytes(4, "big"))
    for length, data in (
        (0, 0), (0, 0xFFFF_FFFF), (8, 0x0A00_0000), (8, 0x0A01_0000), (9, 0x0A80_0000),
        (31, 0x0A80_0001), (32, 0x0A80_0001), (33, 0),
    )
]  # fmt: skip


class Maps(RuleBasedStateMachine):
    @initialize(kind=st.sampled_from(KINDS), entries=st.integers(1, 6))
    def create(self, kind: tuple[str, int, int], entries: int) -> None:
        name, key_size, flags = kind
        self.spec = spec(name, key_size=key_size, entries=entries, flags=flags)
        self.per_cpu = BY_NAME[name].per_cpu
        self.machines: list[Machine] = [ModelMachine(cpus=CPUS), native.NativeMachine(cpus=CPUS)]
        for machine in self.machines:
            machine.map_create(MAP, self.spec, None, {})

    def key(self, number: int) -> bytes:
        if self.spec.type == BY_NAME["lpm_trie"].number:
            length, data = PREFIXES[number]
            return length.to_bytes(4, "little") + data
        return number.to_bytes(self.spec.key_size, "little")

    def both(self, operation: str, *arguments: Any) -> None:
        model, ours = (answer(machine, operation, *arguments) for machine in self.machines)
        assert model == ours

    @rule(key=st.integers(0, 7), value=st.binary(min_size=8, max_size=8), flags=st.integers(0, 4))
    def update(self, key: int, value: bytes, flags: int) -> None:
        self.both("map_update", self.key(key), value * (CPUS if self.per_cpu else 1), flags)

    @rule(key=st.integers(0, 7))
    def delete(self, key: int) -> None:
        self.both("map_delete", self.key(key))

    @rule(key=st.integers(0, 7), cpu=st.sampled_from([None, 0, 1]))
    def lookup(self, key: int, cpu: int | None) -> None:
        self.both("map_lookup", self.key(key), cpu)

    @invariant()
    def same_content(self) -> None:
        if not hasattr(self, "machines"):
            return
        model, ours = self.machines
        keys = sorted(model.map_keys(MAP))
        assert sorted(ours.map_keys(MAP)) == keys
        for key in keys:
            assert ours.map_lookup(MAP, key) == model.map_lookup(MAP, key)

    def teardown(self) -> None:
        if hasattr(self, "machines"):
            for machine in self.machines:
                while not machine.map_free_step(MAP):
                    pass


TestMaps = Maps.TestCase
TestMaps.settings = settings(max_examples=150, stateful_step_count=30)


@pytest.mark.parametrize("make", [ModelMachine, native.NativeMachine])
@pytest.mark.parametrize("kind", ["lru_hash", "lru_percpu_hash"])
def test_what_is_not_used_goes(make: Any, kind: str) -> None:
    machine: Machine = make()
    machine.map_create(MAP, spec(kind, entries=3), None, {})
    value = bytes(8 * (2 if kind == "lru_percpu_hash" else 1))
    keys = [n.to_bytes(4, "little") for n in range(6)]
    for key in keys[:3]:
        machine.map_update(MAP, key, value)
    # To look at it from user space is no use, to update it is.
    machine.map_lookup(MAP, keys[1])
    machine.map_update(MAP, keys[0], value)
    machine.map_update(MAP, keys[3], value)
    assert sorted(machine.map_keys(MAP)) == [keys[0], keys[2], keys[3]]
    machine.map_update(MAP, keys[4], value)
    assert sorted(machine.map_keys(MAP)) == [keys[0], keys[3], keys[4]]
    machine.map_delete(MAP, keys[3])
    machine.map_update(MAP, keys[5], value)
    assert sorted(machine.map_keys(MAP)) == [keys[0], keys[4], keys[5]]
