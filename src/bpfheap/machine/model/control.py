"""Calls that steer a program: iterators, tail calls, exceptions, RCU sections, and the scheduler's
clock."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.faults import Fault
from bpfheap.machine.model import iterators
from bpfheap.machine.model.convention import CALLBACK, Arguments, Implementation, error, number
from bpfheap.machine.model.interp import MAX_LOOPS, Core
from bpfheap.machine.model.values import NULL, U32, Pointer, Value
from bpfheap.machine.words import signed32
from bpfheap.platform.maps import Holds

#: Nanoseconds of a jiffy: HZ is 1,000 here.
_JIFFY = 1_000_000
_TICK = 1000
#: MAX_TAIL_CALL_CNT.
MAX_TAIL_CALLS = 33


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
    sections = execution.progress.rcu_sections + 1
    execution.progress = execution.progress._replace(rcu_sections=sections)
    return NULL


def _rcu_read_unlock(core: Core, args: Arguments) -> Value:
    execution = core.execution
    sections = execution.progress.rcu_sections - 1
    if sections < 0:
        raise Fault("bad-call", "bpf_rcu_read_unlock in no RCU section")
    execution.progress = execution.progress._replace(rcu_sections=sections)
    return NULL


def _tail_call(core: Core, args: Arguments) -> Value | str:
    """Goes on behind the call if there is no such program, or after MAX_TAIL_CALL_CNT of them. What
    r0 is then Linux leaves open."""
    execution, what = core.execution, "bpf_tail_call"
    if args[0] != Pointer(execution.ctx, 0):
        raise Fault("bad-call", f"{what} with something else than the program's context")
    record = core.map_at(args[1])
    if record.type.holds is not Holds.PROGRAMS:
        raise Fault("bad-call", f"{what} into map {record.spec.name}, which holds no programs")
    index = number(core, args[2], 3) & U32
    if any(frame.after is not None for frame in execution.frames):
        raise Fault("bad-call", f"{what} in a callback")
    iterators.check_frame(execution, execution.registers[10], core.program.name)
    if not execution.frames:
        # From a function it is that one which is replaced: its callers go on with what they own.
        core.owes_nothing(f"{what} is made")
    target = core.programs.get(record.inner.get(index.to_bytes(4, "little"), -1))
    if target is None or execution.progress.tail_calls >= MAX_TAIL_CALLS:
        return error("ENOENT")
    core.enter_program(target)
    return CALLBACK


def _throw(core: Core, args: Arguments) -> Value | str:
    core.throw(number(core, args[0], 1))
    return CALLBACK


CALLS: Mapping[str, Implementation] = {
    "bpf_jiffies64": _jiffies,
    "bpf_tail_call": _tail_call,
    "bpf_iter_num_new": _iter_num_new,
    "bpf_iter_num_next": _iter_num_next,
    "bpf_iter_num_destroy": _iter_num_destroy,
    "bpf_rcu_read_lock": _rcu_read_lock,
    "bpf_rcu_read_unlock": _rcu_read_unlock,
    "bpf_throw": _throw,
}
