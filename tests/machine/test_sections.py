"""Sections without preemption and interrupts: programs that have them run the same everywhere, and
the model machine sees those that do not end, or end out of order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bpfheap.api import Runtime
from bpfheap.compile import object_spec
from bpfheap.kernel import Kernel
from bpfheap.spec import ObjectSpec
from on_machines import MACHINES, why_not

SOURCE = Path(__file__).with_name("sections.bpf.c")
RESULTS = {"nested": {60: 66, 64: 0, 66: 1}, "one_after_the_other": {60: 70, 64: 74, 66: 76}}


@pytest.fixture(scope="module")
def obj() -> ObjectSpec:
    return object_spec(SOURCE)


@pytest.mark.parametrize("options", MACHINES.values(), ids=MACHINES)
def test_results(obj: ObjectSpec, options: dict[str, Any]) -> None:
    if (reason := why_not(options)) is not None:
        pytest.skip(reason)
    with Runtime(**options) as runtime:
        programs = runtime.load(obj).programs
        for name, expected in RESULTS.items():
            found = {n: programs[name].run(data=bytes(n)).retval for n in expected}
            assert (name, found) == (name, expected)


def test_results_on_the_kernel(obj: ObjectSpec, kernel: Kernel) -> None:
    for name, expected in RESULTS.items():
        program = obj.programs[name]
        found = {n: kernel.test_run(obj, program, data=bytes(n)).retval for n in expected}
        assert (name, found) == (name, expected)
