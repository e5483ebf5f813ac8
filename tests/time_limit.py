"""The last resort against a test that hangs where no signal reaches it."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Generator

import pytest

#: Seconds after its time limit until a test that did not end is ended with its process.
GRACE = 20


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """pytest-timeout raises an exception in a test past its limit, which needs the interpreter. A
    test that waits in C code does not come back to it; it may even keep the interpreter's lock, so
    no thread of Python can help. faulthandler's watchdog needs neither: it prints all stacks and
    ends the process. xdist then names the test and goes on with a new worker."""
    limit = _limit(item)
    if not limit or item.config.getoption("usepdb"):
        return (yield)
    # Nothing is captured between the phases of a test, so this is where people look.
    stderr = os.dup(2)
    faulthandler.dump_traceback_later(limit + GRACE, exit=True, file=stderr)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
        os.close(stderr)


def _limit(item: pytest.Item) -> float:
    """Seconds, 0 for none; as pytest-timeout takes them."""
    marker = item.get_closest_marker("timeout")
    if marker is not None:
        return float(marker.args[0] if marker.args else marker.kwargs.get("timeout") or 0)
    given = item.config.getoption("timeout")
    return float((item.config.getini("timeout") if given is None else given) or 0)
