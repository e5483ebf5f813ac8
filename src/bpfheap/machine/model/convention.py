"""What the functions behind calls share: how they get arguments and give results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bpfheap.machine.faults import Fault
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.records import MapRecord
from bpfheap.machine.model.values import U64, Value
from bpfheap.machine.played import refusals
from bpfheap.machine.tables.common import check_op

#: The call entered a function of the program: r0 comes later.
CALLBACK = "callback"
#: The call has to wait: nothing happened yet, and it is tried again.
AGAIN = "again"

Arguments = Sequence[Value]
Implementation = Callable[[Core, Arguments], Value | str]


def error(name: str) -> int:
    """A negative errno as r0 has it."""
    return refusals.error(name) & U64


def map_of(core: Core, value: Value, op: str) -> MapRecord:
    """The map that an argument is. Raises Fault if its type does not have `op`."""
    record = core.map_at(value)
    check_op(record, op)
    return record


def number(core: Core, value: Value, place: int) -> int:
    """Argument r`place` as a number. Raises Fault if nothing was written to it."""
    if value is None:
        raise Fault("invalid-access", f"r{place} is an argument, but nothing was written to it")
    return core.state.number(value)
