"""Timers and work queues: fields of map values, by which functions are called apart from the
program that names them.

Sources: process_timer_func, process_wq_func, push_async_cb, set_timer_callback_state and
check_return_code in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from bpfheap.btf import SpecialKind
from bpfheap.platform.calls import Arg
from bpfheap.verifier import hints
from bpfheap.verifier.calls.meta import Meta, const_offset, expected
from bpfheap.verifier.domain.scalar import ends
from bpfheap.verifier.flows import Holder
from bpfheap.verifier.memory.obligations import readable
from bpfheap.verifier.memory.ownership import without_btf
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.reject import NotKnown, Reject
from bpfheap.verifier.state.state import (
    MAP,
    MAP_KEY,
    MAP_VALUE,
    NOTHING,
    SCALAR,
    ZERO_OFFSET,
    MapRef,
    Reg,
    State,
    type_name,
)


def timer(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """A bpf_timer."""
    if reg.kind != MAP_VALUE or reg.or_null:
        raise expected(n, reg, "map_value", _address(reg, SpecialKind.TIMER))
    _field(n, reg, meta, SpecialKind.TIMER)


def workqueue(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """A bpf_wq."""
    if reg.kind != MAP_VALUE or reg.or_null:
        raise Reject(
            f"arg#{n - 1} doesn't point to a map value",
            register=n,
            hint=_address(reg, SpecialKind.WORKQUEUE),
        )
    _field(n, reg, meta, SpecialKind.WORKQUEUE)


def _address(reg: Reg, kind: SpecialKind) -> str:
    return hints.CHECK_NULL if reg.or_null else f"pass the address of a {kind} in a map value"


def _field(n: int, reg: Reg, meta: Meta, kind: SpecialKind) -> None:
    offset = const_offset(n, reg, kind)
    ref: MapRef = reg.what
    field = ref.layout.one(kind)
    if field is None:
        if not ref.typed:
            raise without_btf(ref, n, kind)
        raise Reject(
            f"map '{ref}' has no valid {kind}",
            register=n,
            hint=f"give its values a member of type struct {kind}",
        )
    if offset != field.offset:
        raise Reject(
            f"off {offset} doesn't point to 'struct {kind}' that is at {field.offset}",
            register=n,
            hint=f"pass the address of the {kind}",
        )
    if ref.holder is Holder.INNER:
        raise NotKnown(
            f"bpfheap does not know which inner map of {ref.name} a {kind} is in", str(kind),
            register=n,
        )  # fmt: skip
    meta.map = ref


#: By argument: how messages call it.
_NAMES = {Arg.TIMER: "timer", Arg.WORKQUEUE: "workqueue"}


def its_map(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """The map in whose value the argument before that is."""
    if reg.kind != MAP or reg.or_null:
        if meta.call.number is not None:
            raise expected(n, reg, "map_ptr")
        raise Reject(f"pointer in R{n} isn't map pointer", register=n, hint="pass the map: &map")
    if reg.what is not meta.map_of():
        raise Reject(
            f"{_NAMES[meta.args[n - 2]]} pointer in R{n - 1} map_uid=0 doesn't match map pointer "
            f"in R{n} map_uid=0",
            detail=f"R{n - 1} points into {meta.map}, and R{n} is {reg.what}",
            register=n,
            hint=f"pass &{meta.map}",
        )


def call_later(env: Env, meta: Meta) -> None:
    """Somebody calls a function when this program, or another one, has started the work."""
    number = env.cfg.starts[meta.callback]
    env.callbacks.add(number)
    # bpf_wq_work is called by a thread of the kernel.
    sleeps = Arg.WORKQUEUE in meta.args
    env.later.setdefault((number, meta.map_of(), sleeps))


def later_arguments(env: Env, ref: MapRef) -> list[Reg]:
    """r0 to r5 of such a function: (struct bpf_map *map, void *key, void *value)."""
    key = Reg(MAP_KEY, ZERO_OFFSET, what=ref)
    return [NOTHING, Reg(MAP, ZERO_OFFSET, what=ref), key, env.map_value(ref), NOTHING, NOTHING]


def check_later_result(env: Env, st: State, n: int) -> None:
    """It returns 0, in register `n`. Raises Reject."""
    result = readable(env, st, n)
    if result.kind != SCALAR:
        raise Reject(
            f"At async callback return the register R{n} is not a known value "
            f"({type_name(result)})",
            register=n,
            hint="return 0",
        )
    mark_register(env.cfg, st, n)
    low, high = result.scalar.smin, result.scalar.smax
    if low or high:
        raise Reject(
            f"At async callback return the register R{n} has {ends(low, high)} should have been in "
            "[0, 0]",
            register=n,
            hint="return 0",
        )
