"""What becomes of each helper and kfunc on each machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module

from bpfheap.machine import played
from bpfheap.machine.model.calls import CALLS
from bpfheap.platform.calls import CALL_BY_NAME, Sees


class Provided(StrEnum):
    """How a machine performs a call."""

    REAL = "real"  # as Linux does
    PLAYED = "played"  # by what a test made up, and by a clock and chance of its own
    STUB = "to be stubbed"  # by a Python function that a test brings


@dataclass(frozen=True, slots=True)
class CallInfo:
    """One row of `bpfheap calls`: a helper, with its number, or a kfunc. `machines`: by the name of
    each machine."""

    name: str
    number: int | None
    machines: Mapping[str, Provided]


def calls() -> tuple[CallInfo, ...]:
    """Every helper, then every kfunc that has facts of its own or that a machine performs. All
    others are to be stubbed."""
    offered = {"model": frozenset(CALLS), "native": _native()}
    names = dict.fromkeys((*CALL_BY_NAME, *sorted(CALLS)))
    found = []
    for name in names:
        row = CALL_BY_NAME.get(name)
        machines = {
            machine: _provided(name) if name in there else Provided.STUB
            for machine, there in offered.items()
        }
        found.append(CallInfo(name, None if row is None else row.number, machines))
    return tuple(found)


def _native() -> frozenset[str]:
    try:
        core = import_module("bpfheap.machine.native._core")
    except ImportError:
        return frozenset()
    return frozenset({*core.CALLS, *played.CALLS})


def _provided(name: str) -> Provided:
    row = CALL_BY_NAME.get(name)
    if row is None:
        return Provided.PLAYED if name in played.CALLS else Provided.REAL
    around = row.sees in (Sees.CHANCE, Sees.TIME)
    return Provided.PLAYED if around else Provided.REAL
