"""One kernel for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bpfheap.machine.kernel import Kernel, available


@pytest.fixture(scope="session")
def kernel() -> Iterator[Kernel]:
    why = available()
    if why is not None:
        pytest.skip(why)
    with Kernel() as live:
        yield live
