"""What must hold of an access to memory: the questions that kinds.py answers for each kind of
pointer, and what all answers share. What is so once they hold is in access.py.

Sources: check_mem_access, __check_mem_access, check_mem_region_access, check_reg_arg and
check_helper_mem_access in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from mypy_extensions import i64

from bpfheap.verifier import hints
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import (
    UNINIT,
    Gone,
    Reg,
    State,
    type_name,
)

#: BPF_MAX_VAR_OFF: offsets at or beyond it count as unbounded.
MAX_VAR = 1 << 29

#: The first and the last offset at which an access may start: from the frame pointer for the
#: stack, from the first byte for other memory.
Start = tuple[i64, i64]


class Obligations:
    """What must hold of accesses through pointers of one kind. `n` is the number of the pointer's
    register, `off` the instruction's offset. All methods raise Reject."""

    #: May a helper read or write through it?
    for_helpers = False
    #: May an atomic operation go there?
    atomic = True

    def load(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, signed: bool
    ) -> Start:
        """A load, which extends the sign if `signed`."""
        raise NotImplementedError

    def store(
        self, env: Env, st: State, n: i64, reg: Reg, off: i64, size: i64, value: Reg
    ) -> Start:
        """A store of `value`, whose register has been read already."""
        raise NotImplementedError

    def helper(self, env: Env, st: State, n: i64, reg: Reg, size: i64, write: bool) -> Start:
        """A helper reads, or with `write` writes, `size` bytes; asked only if `for_helpers`."""
        raise NotImplementedError


def invalid_access(n: i64, reg: Reg) -> Reject:
    return Reject(f"R{n} invalid mem access '{type_name(reg)}'", register=n)


def within(limit: i64, what: str, limit_name: str, n: i64, reg: Reg, off: i64, size: i64) -> Start:
    """An access within memory of `limit` bytes. Raises Reject."""
    scalar = reg.scalar
    low = reg.off + off + scalar.smin
    if scalar.is_const:
        if low < 0 or low + size > limit:
            raise Reject(
                _outside(what, limit_name, limit, low, size),
                register=n,
                hint=f"the {what} has {limit} bytes, no more",
            )
        return low, low
    if low < 0:
        where = _outside(what, limit_name, limit, low, size)
        raise Reject(f"R{n} min value is negative, {where}", register=n, hint=hints.UNSIGNED)
    if scalar.top >= MAX_VAR:
        raise Reject(
            f"R{n} unbounded memory access to {what}, {limit_name}={limit}",
            register=n,
            hint=hints.CHECK_INDEX,
        )
    high = reg.off + off + scalar.top
    if high + size > limit:
        where = _outside(what, limit_name, limit, high, size)
        raise Reject(
            f"R{n} max value is outside of the allowed memory range: {where}",
            register=n,
            hint=hints.CHECK_INDEX,
        )
    return low, high


def _outside(what: str, limit_name: str, limit: i64, off: i64, size: i64) -> str:
    return f"invalid access to {what}, {limit_name}={limit} off={off} size={size}"


def readable(env: Env, st: State, n: i64) -> Reg:
    """The register, which must hold something (check_reg_arg with SRC_OP)."""
    reg = st.regs[n]
    if reg.kind == UNINIT:
        if reg.what is None:
            raise Reject(f"R{n} !read_ok: nothing was written to it", register=n, hint=hints.INIT)
        why, hint = no_pointer(env, reg)
        raise Reject(f"R{n} !read_ok{why}", register=n, hint=hint)
    return reg


def no_pointer(env: Env, reg: Reg) -> tuple[str, str]:
    """Why what looks like a pointer is none: words to follow ": ", and what to change."""
    what = reg.what
    if not isinstance(what, Gone):
        return "", hints.untagged(*what)
    why = f": its {what.type_name} {what.why.value} {what.call} ({env.place(what.insn)})"
    return why, hints.INVALIDATED[what.why]
