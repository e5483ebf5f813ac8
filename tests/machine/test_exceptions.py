"""Programs that throw end the same on all machines, and as on the live kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bpfheap.api import Runtime
from bpfheap.compile import object_spec
from bpfheap.kernel import Kernel
from bpfheap.spec import ObjectSpec
from on_machines import MACHINES, why_not

SOURCE = Path(__file__).with_name("exceptions.bpf.c")
LENGTHS = (60, 61, 62, 120, 121, 122, 300, 301, 302)
#: What the packet's length gives, by program.
RESULTS = {
    "by_default": (67, 68, 69, 121, 122, 123, 301, 302, 303),
    "by_callback": (67, 68, 69, 3121, 3122, 3123, 3301, 3302, 3303),
    "by_narrow_callback": (3, 3, 3, 7, 7, 7, 18, 18, 18),
    "in_global_function": (124, 126, 128, 121, 122, 123, 301, 302, 303),
    "asserts": (7, 7, 7, 42, 42, 42, 0, 0, 0),
    "at_once": LENGTHS,
    "after_a_loop": tuple(45 + n for n in LENGTHS),
    "jumps_below": (100067, 100061, 100007, 103121, 100121, 100042, 3302, 302, 1),
    "jumps_away": (67, 61, 7, 3121, 121, 42, 3301, 301, 0),
}


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
            found = tuple(programs[name].run(data=bytes(n)).retval for n in LENGTHS)
            assert (name, found) == (name, expected)


def test_results_on_the_kernel(obj: ObjectSpec, kernel: Kernel) -> None:
    for name, expected in RESULTS.items():
        program = obj.programs[name]
        found = tuple(kernel.test_run(obj, program, data=bytes(n)).retval for n in LENGTHS)
        assert (name, found) == (name, expected)


@pytest.mark.parametrize("options", MACHINES.values(), ids=MACHINES)
def test_callbacks_run(obj: ObjectSpec, options: dict[str, Any]) -> None:
    """Its effects are seen, once for each exception."""
    if (reason := why_not(options)) is not None:
        pytest.skip(reason)
    with Runtime(**options) as runtime:
        loaded = runtime.load(obj)
        for n in LENGTHS:
            loaded.programs["by_callback"].run(data=bytes(n))
        assert int(loaded.maps[".bss"][0]["handled"]) == 6
