"""The kernel that calls ask, played: one function for each helper or kfunc that both machines
perform in Python, by its name (`api/provided.py` says which are real and which are played).
"""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.played import (
    checks,
    current,
    dynptrs,
    headers,
    network,
    owned,
    perf,
    probe,
    pushing,
    redirect,
    references,
    skb,
    sockets,
    stacks,
    syncookies,
    text,
    traced,
    tunnels,
    xdp,
)
from bpfheap.machine.tables.caller import Played

CALLS: Mapping[str, Played] = {
    **checks.CALLS,
    **current.CALLS,
    **dynptrs.CALLS,
    **headers.CALLS,
    **network.CALLS,
    **owned.CALLS,
    **perf.CALLS,
    **probe.CALLS,
    **pushing.CALLS,
    **redirect.CALLS,
    **references.CALLS,
    **text.CALLS,
    **traced.CALLS,
    **stacks.CALLS,
    **sockets.CALLS,
    **skb.CALLS,
    **syncookies.CALLS,
    **tunnels.CALLS,
    **xdp.CALLS,
}
