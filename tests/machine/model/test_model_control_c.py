"""Loops and sections from C give what their names say, here and, where it may run, on Linux."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfheap.compile import object_spec
from bpfheap.kernel import Kernel, available
from bpfheap.machine.model import ModelMachine
from bpfheap.runtime.machine import Done
from bpfheap.spec import ObjectSpec

SOURCE = Path(__file__).with_name("control.bpf.c")


@pytest.fixture(scope="module")
def spec() -> ObjectSpec:
    return object_spec(SOURCE, cflags=("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"))


def expected(spec: ObjectSpec) -> dict[str, int]:
    return {name: int(name.rpartition("_")[2]) for name in spec.programs if name[-1].isdigit()}


def test_on_the_model_machine(spec: ObjectSpec) -> None:
    found = {}
    machine = ModelMachine()
    for number, made in enumerate(spec.maps.values(), 1):
        machine.map_create(number, made, None, {})
    maps = {name: number for number, name in enumerate(spec.maps, 1)}
    ids = {name: number for number, name in enumerate(spec.programs, 1)}
    for name, program in spec.programs.items():
        machine.program_load(ids[name], program, maps)
    for slot, callee in enumerate(spec.maps["jumps"].inner_names):
        if callee is not None:
            key, value = (n.to_bytes(4, "little") for n in (slot, ids[callee]))
            machine.map_update(maps["jumps"], key, value)
    for name in expected(spec):
        number = ids[name]
        execution = machine.start(number, b"")
        while not isinstance(stop := machine.step(execution), Done):
            pass
        found[name] = stop.retval
    assert found == expected(spec)


@pytest.mark.skipif(available() is not None, reason=available() or "")
def test_on_linux(spec: ObjectSpec) -> None:
    with Kernel() as kernel:
        found = {name: kernel.test_run(spec, spec.programs[name]).retval for name in expected(spec)}
    assert found == expected(spec)
