"""What must hold of an access to memory: the questions that kinds.py answers for each kind of
pointer, and what all answers share. What is so once they hold is in access.py.

Sources: check_mem_access, __check_mem_access, check_mem_region_access, check_reg_arg and
check_helper_mem_access in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from mypy_extensions import i64

from bpfheap.verifier import hints
from bpfheap.verifier.domain.scalar import bits_text
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import (
    ARENA,
    CTX,
    FLOW_KEYS,
    MAP_KEY,
    MAP_VALUE,
    MAX_VAR,
    MEM,
    PACKET,
    PACKET_META,
    SOCKET,
    STACK,
    UNINIT,
    Gone,
    Reg,
    State,
    type_name,
)

#: What helpers take as memory (mem_types).
MEM_TYPES = "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_"
#: What they take as an object of the kernel (btf_ptr_types).
OBJECT_TYPES = "ptr_, trusted_ptr_, rcu_ptr_"

#: Where Linux takes packets to begin, to be aligned (check_pkt_ptr_alignment).
_NET_IP_ALIGN = 2
#: What Linux calls memory that is not aligned, by kind of pointer.
_ALIGNED = {
    STACK: "stack ", MAP_VALUE: "value ", MAP_KEY: "key ", CTX: "context ", PACKET: "packet ",
    PACKET_META: "packet ", FLOW_KEYS: "flow keys ",
}  # fmt: skip

_GIVEN = "a call of the function gives such an address"
_SLICE = "the slice may begin at such an address"


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
    """An access within memory of `limit` bytes (check_mem_region_access). Raises Reject."""
    scalar = reg.scalar
    at = reg.off + off
    low = at + scalar.smin
    if low < 0 and scalar.smin < 0:
        raise Reject(
            f"R{n} min value is negative, either use unsigned index or do a if (index >=0) check.",
            detail=_outside(what, limit_name, limit, low, size),
            register=n,
            hint=hints.IN_FRONT if scalar.is_const else hints.UNSIGNED,
        )
    if low < 0 or low + size > limit:
        hint = f"the {what} has {limit} bytes, no more" if scalar.is_const else hints.CHECK_INDEX
        raise Reject(
            f"R{n} min value is outside of the allowed memory range",
            before=_outside(what, limit_name, limit, low, size),
            register=n,
            hint=hints.IN_FRONT if low < 0 else hint,
        )
    if scalar.is_const:
        return low, low
    if scalar.top >= MAX_VAR:
        raise Reject(
            f"R{n} unbounded memory access, make sure to bounds check any such access",
            detail=f"the {what} has {limit} bytes",
            register=n,
            hint=hints.CHECK_INDEX,
        )
    high = at + scalar.top
    if high + size > limit:
        raise Reject(
            f"R{n} max value is outside of the allowed memory range",
            before=_outside(what, limit_name, limit, high, size),
            register=n,
            hint=hints.CHECK_INDEX,
        )
    return low, high


def _outside(what: str, limit_name: str, limit: i64, off: i64, size: i64) -> str:
    return f"invalid access to {what}, {limit_name}={limit} off={off} size={size}"


def check_unmoved(n: i64, reg: Reg, hint: str, *, fixed: bool = False) -> None:
    """The pointer is as it came, or `fixed`: at a known distance behind that (__check_ptr_off_reg).
    Raises Reject."""
    name = type_name(reg)
    if reg.off < 0:
        message = f"negative offset {name} ptr R{n} off={reg.off} disallowed"
    elif reg.off and not fixed:
        message = f"dereference of modified {name} ptr R{n} off={reg.off} disallowed"
    elif not reg.scalar.is_const or reg.scalar.v:
        message = f"variable {name} access var_off={bits_text(reg.scalar)} disallowed"
    else:
        return
    raise Reject(message, register=n, hint=hint)


def check_aligned(n: i64, reg: Reg, off: i64, size: i64) -> None:
    """An access at a multiple of its size (check_ptr_alignment, check_pkt_ptr_alignment). Raises
    Reject."""
    if reg.kind == ARENA:
        return
    packet = reg.kind in (PACKET, PACKET_META)
    start = _NET_IP_ALIGN if packet else 0
    scalar = reg.scalar
    given = reg.kind == MEM and size > reg.what.align
    # Bits that are not known make none of the others wrong (tnum_is_aligned of a sum).
    if not given and not (((start + reg.off + off + scalar.v) | scalar.m) & (size - 1)):
        return
    begin = f"{start}+" if packet else ""
    what = f"{reg.what.name} " if reg.kind == SOCKET else _ALIGNED.get(reg.kind, "")
    raise Reject(
        f"misaligned {'' if reg.or_null else what}access off {begin}{bits_text(scalar)}+{reg.off}"
        f"+{off} size {size}",
        detail=(_SLICE if reg.what.dynptr or reg.what.sliced else _GIVEN) if given else "",
        register=n,
        hint=f"align the variable to {size} bytes",
    )


def is_near(reg: Reg) -> bool:
    """Is it so near what it is relative to that no address in between is beyond the last one? That
    it is not far in front, its arithmetic has seen."""
    return reg.scalar.smax < MAX_VAR


def readable(env: Env, st: State, n: i64) -> Reg:
    """The register, which must hold something (check_reg_arg with SRC_OP)."""
    reg = st.regs[n]
    if reg.kind == UNINIT:
        why, hint = "nothing was written to it", hints.INIT
        if reg.what is not None:
            why, hint = no_pointer(env, reg)
        raise Reject(f"R{n} !read_ok", detail=why, register=n, hint=hint)
    return reg


def no_pointer(env: Env, reg: Reg) -> tuple[str, str]:
    """Why what looks like a pointer is none, and what to change."""
    what = reg.what
    if not isinstance(what, Gone):
        return "", hints.untagged(*what)
    why = f"its {what.type_name} {what.why.value} {what.call} ({env.place(what.insn)})"
    return why, hints.INVALIDATED[what.why]
