"""The reader of verifier cases is shared, and one kernel serves all tests of a process."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpfheap.machine.kernel import Kernel, available

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))

#: The cases say what this version does; older ones know less.
_VERSION = (6, 18)


@pytest.fixture(scope="session")
def kernel() -> Iterator[Kernel]:
    why = available()
    if why is not None:
        pytest.skip(why)
    release = platform.release()
    if tuple(int(n) for n in release.split("-")[0].split(".")[:2]) < _VERSION:
        pytest.skip(f"the cases are for Linux {_VERSION[0]}.{_VERSION[1]}, this is {release}")
    with Kernel() as live:
        yield live
