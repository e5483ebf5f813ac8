"""Exceptions: where a program may throw, and what it may return then.

Sources: check_return_code, check_resource_leak, check_max_stack_depth_subprog and the part of
check_kfunc_call for bpf_throw in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from mypy_extensions import i64

from bpfheap.isa import Kind
from bpfheap.platform.calls import KFUNCS
from bpfheap.verifier.analysis.cfg import Cfg
from bpfheap.verifier.analysis.signature import Parameter, Passing
from bpfheap.verifier.calls.locks import check_left
from bpfheap.verifier.calls.work import check_later_result
from bpfheap.verifier.domain.scalar import ends
from bpfheap.verifier.memory.obligations import readable
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import END, SCALAR, State, type_name

_THROW: Final = next(row.name for row in KFUNCS if row.throws)


def throw(env: Env, st: State) -> i64:
    """The path ends, however many functions deep it is. Raises Reject."""
    if not env.cfg.exception_cb:
        # The number in r1 is the program's result. In global functions Linux does not look at it.
        if st.later:
            check_later_result(env, st, 1)
        else:
            check_result(env, st, 1)
    check_nothing_left(env, st)
    return END


def check_nothing_left(env: Env, st: State) -> None:
    """A call may throw: nothing of what any function has to give back is held, and no section is
    open. Of global functions Linux does not ask that before 7.2. Raises Reject."""
    check_left(env, st, _THROW, ends=True)


def check_result(env: Env, st: State, n: int) -> None:
    """What the program returns, in register `n` (check_return_code). Raises Reject."""
    if env.attached is not None and env.attached.void:
        return
    result = readable(env, st, n)
    allowed = env.returns
    if allowed is None:
        return
    if result.kind != SCALAR:
        raise Reject(
            f"At program exit the register R{n} is not a known value ({type_name(result)})",
            register=n,
            hint="return a number",
        )
    mark_register(env.cfg, st, n)
    low, high = result.scalar.smin, result.scalar.smax
    if env.attached is not None and env.attached.half:
        low, high = result.scalar.s32_min, result.scalar.s32_max
    if low < allowed[0] or high > allowed[1]:
        thrown = "what is thrown is the program's result, and " if n else ""
        raise Reject(
            f"At program exit the register R{n} has {ends(low, high)} should have been in "
            f"[{allowed[0]}, {allowed[1]}]",
            register=n,
            hint=f"{thrown}{env.type.name} programs return {allowed[0]} to {allowed[1]}",
        )


def check_callback(start: int, declared: Collection[Parameter]) -> None:
    """What an exception callback, which starts at a slot, is given is one number
    (do_check_common). Raises Reject."""
    if [parameter.passing for parameter in declared] != [Passing.NUMBER]:
        raise Reject(
            "exception cb only supports single integer argument",
            insn=start,
            hint="give it one parameter, the __u64 that was thrown",
        )


def check_throws(cfg: Cfg, callbacks: Collection[int]) -> None:
    """Nothing throws within a function that the kernel calls back, whether a path leads there or
    not; nothing calls the exception callback, which ends the program, nor does that jump to
    another one (check_max_stack_depth_subprog). Raises Reject."""
    seen: set[tuple[int, bool, bool]] = set()
    #: Functions; are they called back; are they called by the exception callback?
    todo = [(cfg.exception_cb, True, True)] if cfg.exception_cb else []
    todo.append((0, False, False))
    while todo:
        number, called_back, ends = at = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        below = []
        for step in cfg.within(cfg.subprogs[number]):
            row = step.row
            if row is not None and row.throws and called_back:
                raise Reject(
                    f"{_THROW} kfunc (insn {step.slot}) cannot be called from callback subprog "
                    f"{number}",
                    insn=step.slot,
                    hint="let the callback return 1, and throw where it was passed to a call",
                )
            if row is not None and row.jumps and ends:
                raise Reject(
                    "cannot tail call within exception cb",
                    insn=step.slot,
                    hint="the program has ended then: note what to do, and let others do it",
                )
            callee = cfg.starts.get(step.enters)
            if callee is None:
                continue
            if callee != cfg.exception_cb:
                below.append((callee, called_back or callee in callbacks, ends))
            elif step.kind is Kind.CALL_LOCAL:
                raise Reject(
                    f"insn {step.slot} cannot call exception cb directly",
                    insn=step.slot,
                    hint="call another function that both use",
                )
        todo += reversed(below)
