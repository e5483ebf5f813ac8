"""Loops and sections from C give what their names say, here and, where it may run, on Linux."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfheap.compile import object_spec
from bpfheap.machine.kernel import Kernel, available
from bpfheap.machine.model import ModelMachine
from bpfheap.runtime.machine import Done
from bpfheap.spec import ObjectSpec

SOURCE = Path(__file__).with_name("control.bpf.c")


@pytest.fixture(scope="module")
def spec() -> ObjectSpec:
    return object_spec(SOURCE, cflags=("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"))


def expected(spec: ObjectSpec) -> dict[str, int]:
    return {name: int(name.rpartition("_")[2]) for name in spec.programs}


def test_on_the_model_machine(spec: ObjectSpec) -> None:
    found = {}
    machine = ModelMachine()
    for number, made in enumerate(spec.maps.values(), 1):
        machine.map_create(number, made, None, {})
    maps = {name: number for number, name in enumerate(spec.maps, 1)}
    for number, (name, program) in enumerate(spec.programs.items(), 1):
        machine.program_load(number, program, maps)
        execution = machine.start(number, b"")
        while not isinstance(stop := machine.step(execution), Done):
            pass
        found[name] = stop.retval
    assert found == expected(spec)


@pytest.mark.skipif(available() is not None, reason=available() or "")
def test_on_linux(spec: ObjectSpec) -> None:
    with Kernel() as kernel:
        found = {name: kernel.test_run(spec, p).retval for name, p in spec.programs.items()}
    assert found == expected(spec)
