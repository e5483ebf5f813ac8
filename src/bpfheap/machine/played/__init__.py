"""The kernel that calls ask, played: one function for each helper or kfunc that both machines
perform in Python, by its name (`platform/provided.py` says which are real and which are played).
"""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.played import (
    checks,
    current,
    network,
    probe,
    references,
    sockets,
    stacks,
    syncookies,
    text,
    traced,
)
from bpfheap.runtime.world import Stub

CALLS: Mapping[str, Stub] = {
    **checks.CALLS,
    **current.CALLS,
    **network.CALLS,
    **probe.CALLS,
    **references.CALLS,
    **text.CALLS,
    **traced.CALLS,
    **stacks.CALLS,
    **sockets.CALLS,
    **syncookies.CALLS,
}
