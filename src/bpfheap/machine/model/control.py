"""Calls that steer a program: iterators, RCU sections, and the clock of the scheduler."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.model import iterators
from bpfheap.machine.model.convention import Arguments, Implementation, error, number
from bpfheap.machine.model.interp import MAX_LOOPS, Core
from bpfheap.machine.model.records import Fault
from bpfheap.machine.model.values import NULL, Value, signed32

#: Nanoseconds of a jiffy: HZ is 1,000 here.
_JIFFY = 1_000_000
_TICK = 1000


def _iter_num_new(core: Core, args: Arguments) -> Value:
    """A range that is refused leaves an empty iterator behind, which must be destroyed, too."""
    start, end = signed32(number(core, args[1], 2)), signed32(number(core, args[2], 3))
    wrong = "EINVAL" if start > end else "E2BIG" if end - start > MAX_LOOPS else None
    if wrong is not None:
        start, end = 1, 0
    iterators.create(core.state, core.execution, args[0], start, end)
    return error(wrong) if wrong is not None else 0


def _iter_num_next(core: Core, args: Arguments) -> Value:
    element = iterators.advance(core.state, core.execution, args[0])
    return NULL if element is None else element


def _iter_num_destroy(core: Core, args: Arguments) -> Value:
    iterators.destroy(core.state, core.execution, args[0])
    return NULL


def _jiffies(core: Core, args: Arguments) -> Value:
    core.state.clock += _TICK
    return core.state.clock // _JIFFY


def _rcu_read_lock(core: Core, args: Arguments) -> Value:
    execution = core.execution
    sections = execution.progress.sections + 1
    execution.progress = execution.progress._replace(sections=sections)
    return NULL


def _rcu_read_unlock(core: Core, args: Arguments) -> Value:
    execution = core.execution
    sections = execution.progress.sections - 1
    if sections < 0:
        raise Fault("bad-call", "bpf_rcu_read_unlock in no RCU section")
    execution.progress = execution.progress._replace(sections=sections)
    return NULL


CALLS: Mapping[str, Implementation] = {
    "bpf_jiffies64": _jiffies,
    "bpf_iter_num_new": _iter_num_new,
    "bpf_iter_num_next": _iter_num_next,
    "bpf_iter_num_destroy": _iter_num_destroy,
    "bpf_rcu_read_lock": _rcu_read_lock,
    "bpf_rcu_read_unlock": _rcu_read_unlock,
}
