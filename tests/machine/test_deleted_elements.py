"""What goes into an element of a hash map that was deleted, by whom still holds its pointer, is
freed: at the latest with the map, and no new element has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bpfheap.api import Runtime
from bpfheap.compile import object_spec
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID
from bpfheap.spec import ObjectSpec

ELEMENTS = 4


@pytest.fixture(scope="module")
def obj() -> ObjectSpec:
    return object_spec(Path(__file__).with_name("deleted_elements.bpf.c"))


@pytest.mark.parametrize("of", ["filled", "made"])
@pytest.mark.parametrize("how", ["late", "thrice"])
def test_it_is_freed(obj: ObjectSpec, machine: dict[str, Any], of: str, how: str) -> None:
    runtime = Runtime(**machine)
    programs = runtime.load(obj).programs
    for _ in range(3 * ELEMENTS):
        assert programs[f"{how}_{of}"].run().retval == 0
        assert programs[f"look_{of}"].run().retval == 0
    runtime.grace_period()
    live = runtime.system.machine.allocator_stats(GLOBAL_ALLOCATOR_ID).live
    # The native machine looks at an element when it is used again, and has as many as it may hold.
    assert live == 0 if machine["machine"] == "model" else live <= ELEMENTS
    assert runtime.close() == []
