"""Functions that a helper calls: each iteration is walked from the call and back to it, until one
ends within the state in which an earlier one began.

Sources: push_callback_call, set_loop_callback_state, set_map_elem_callback_state,
set_find_vma_callback_state and prepare_func_exit in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Callable

from bpfheap.platform.dynptrs import DynptrKind
from bpfheap.verifier.analysis.cfg import check_depth
from bpfheap.verifier.calls.graph import compared
from bpfheap.verifier.calls.meta import Meta
from bpfheap.verifier.domain.scalar import UNKNOWN_SCALAR, ends
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import (
    DYNPTR,
    KERNEL,
    MAP_KEY,
    SCALAR,
    STACK,
    UNKNOWN,
    ZERO_OFFSET,
    Dynptr,
    FuncState,
    Gone,
    Invalidation,
    KernelObject,
    Reg,
    State,
)

#: What a callback may return: 0 to go on, 1 to stop.
_LAST_RESULT = 1
_EACH = "bpf_for_each_map_elem"


def _loop(env: Env, st: State, meta: Meta) -> list[Reg]:
    """(u32 index, void *ctx)"""
    return [UNKNOWN, st.regs[3]]


def _for_each(env: Env, st: State, meta: Meta) -> list[Reg]:
    """(struct bpf_map *map, const void *key, void *value, void *ctx)"""
    ref = st.regs[1].what
    key = Reg(MAP_KEY, ZERO_OFFSET, id=_lent_to(len(st.frames)), what=ref)
    # Another iteration has another value, with a lock of its own.
    value = env.map_value(ref)
    return [st.regs[1], key, value, st.regs[3]]


def _lent_to(frame: int) -> int:
    """The id of the key of a callback, by the number of its frame. No other ids are below 0."""
    return -frame


def _with_area(env: Env, st: State, meta: Meta) -> list[Reg]:
    """(struct task_struct *task, struct vm_area_struct *vma, void *ctx)"""
    area = KernelObject(env.struct("vm_area_struct", meta.call.name), 0)
    return [st.regs[1], Reg(KERNEL, ZERO_OFFSET, what=area), st.regs[4]]


def _drained(env: Env, st: State, meta: Meta) -> list[Reg]:
    """(const struct bpf_dynptr *dynptr, void *ctx)"""
    dynptr = Reg(DYNPTR, ZERO_OFFSET, id=env.new_id(), what=Dynptr(DynptrKind.LOCAL))
    return [dynptr, st.regs[3]]


#: By the caller's name, the callback's arguments from those of the call.
ARGUMENTS: dict[str, Callable[[Env, State, Meta], list[Reg]]] = {
    "bpf_loop": _loop,
    _EACH: _for_each,
    "bpf_find_vma": _with_area,
    "bpf_user_ringbuf_drain": _drained,
    "bpf_rbtree_add_impl": compared,
}


def enter_callback(env: Env, st: State, meta: Meta) -> None:
    """Leave one more iteration to be walked; `st` goes on as if there was none. Raises Reject."""
    top = st.top
    env.callbacks.add(env.cfg.starts[meta.callback])
    if meta.count:
        # No more iterations than there can be.
        mark_register(env.cfg, st, meta.count)
        count = st.regs[meta.count].scalar.top
        if top.iterations >= count:
            top.iterations = 0
            return
    check_depth(st, meta.slot)
    iteration = st.copy()
    given = ARGUMENTS[meta.call.name](env, st, meta)
    iteration.push_callback(env.cfg.starts[meta.callback], meta.slot, given)
    iteration.trail.crossed()
    top.iterations = 0
    env.fork(iteration, meta.callback, meta.slot)


def check_tail_call(st: State) -> None:
    """May the program end here, and another one begin? Raises Reject within a callback, however
    deep: the helper waits for it to return. (Linux 6.18 looks at the callback itself only.)"""
    if any(frame.callback for frame in st.frames):
        raise Reject(
            "cannot tail call within callback",
            hint="the callback cannot return to the helper: note what to do, and do it after it",
        )


def leave_callback(env: Env, st: State) -> int:
    """The callback at the top of the stack returns; gives the slot to go on with, that of the
    call. Raises Reject for a result that no callback may have."""
    result = st.regs[0]
    if result.kind == STACK:
        raise Reject(
            "cannot return stack pointer to the caller",
            register=0,
            hint="return 0 to go on, 1 to stop",
        )
    if result.kind != SCALAR:
        raise Reject(
            "R0 not a scalar value",
            register=0,
            hint="return 0 to go on, 1 to stop",
        )
    mark_register(env.cfg, st, 0)
    low, high = result.scalar.smin, result.scalar.smax
    if low < 0 or high > _LAST_RESULT:
        raise Reject(
            f"At callback return the register R0 has {ends(low, high)} should have been in "
            f"[0, {_LAST_RESULT}]",
            register=0,
            hint="return 0 to go on, 1 to stop",
        )
    st.trail.crossed()
    left = st.pop()
    call = env.cfg.at(left.callsite).row
    if call is not None and call.name == _EACH:
        _take_back(st, left, call.name)
    env.stored.widen(st, left.callsite, None)
    return left.callsite


def _take_back(st: State, left: FuncState, call: str) -> None:
    """The key is a variable of the helper, or belongs to an element that may go. (Linux lets the
    program keep it.)"""
    id_ = _lent_to(left.number)
    gone = Gone(left.callsite, call, "map key", Invalidation.RETURNED)
    after = Reg(SCALAR, UNKNOWN_SCALAR, what=gone)
    st.rewrite(lambda reg: after if reg.kind == MAP_KEY and reg.id == id_ else reg)
