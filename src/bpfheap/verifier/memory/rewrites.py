"""Accesses that Linux rewrites for the kind of pointer they go through: one instruction, one kind.

Sources: save_aux_ptr_type, reg_type_mismatch and btf_ld_kptr_type in kernel/bpf/verifier.c, Linux
6.18.
"""

from __future__ import annotations

from typing import Final

from bpfheap.platform.programs import SOCKET_TYPES
from bpfheap.verifier.analysis.cfg import PLAIN, Step
from bpfheap.verifier.facts import ANYWHERE, NULL_OR_OBJECT, UNGUARDED
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import (
    ARENA,
    CTX,
    DISTRUSTED,
    IN_RCU,
    KERNEL,
    LAPSED,
    MEM,
    OBJECT,
    READ,
    SOCKET,
    TRUSTED,
    UNTRUSTED,
    KernelObject,
    Object,
    Reg,
    type_name,
)

# What `Step.through` says, beside PLAIN: memory that is not rewritten.
_SIZED: Final = 2  # PTR_TO_MEM: not rewritten either, but may be merged with objects
_CTX: Final = 3
_MERGED: Final = 4  # objects of different standing; they are read as if they might be gone
_EITHER: Final = 5  # memory and objects, likewise
_UNKNOWN: Final = 6  # memory whose address may be any; all is read as if it might be gone
_ARENA: Final = 7
_OBJECT: Final = 8  # and above: by standing
_KERNEL: Final = 32  # and above: by flags
_SOCKET: Final = 64  # and above: by type
_SOCKETS: Final = {name: at for at, name in enumerate(SOCKET_TYPES)}


def same_kind(step: Step, n: int, reg: Reg, load: bool) -> None:
    """Note what the access goes through. Raises Reject if another path goes through what it
    cannot be merged with."""
    kind, before = _kind(reg), step.through
    if before == 0:
        step.through = kind
    elif kind == before or (_as_it_is(kind) and _as_it_is(before)):
        if kind == _UNKNOWN:
            step.through = kind
    elif load and _mergeable(kind) and _mergeable(before):
        either = _is_sized(kind) or _is_sized(before)
        step.through = _EITHER if either else _MERGED
    else:
        raise Reject(
            "same insn cannot be used with different pointers",
            register=n,
            hint=f"R{n} is {type_name(reg)} here and {_words(before)} on another path: access "
            "each in its own branch, and keep the compiler from joining them with barrier_var",
        )


def guard(through: int) -> int:
    """How a load through such a pointer is guarded (BPF_PROBE_MEM); see `Facts.guarded`."""
    if through >= _KERNEL:
        return ANYWHERE
    standing = (through - _OBJECT) // 2
    if through in (_MERGED, _EITHER, _UNKNOWN) or standing == UNTRUSTED:
        return ANYWHERE
    return NULL_OR_OBJECT if standing in (READ, LAPSED) else UNGUARDED


def is_probed(reg: Reg) -> bool:
    """Are ordinary loads through such a pointer guarded by Linux, since it may lead nowhere? Those
    that acquire are not (convert_ctx_accesses)."""
    if reg.kind == KERNEL:
        flags = reg.what.flags
        owned = reg.ref != 0 or flags & (TRUSTED | IN_RCU) != 0
        return flags & DISTRUSTED != 0 or not owned
    if reg.kind == MEM:
        return bool(reg.what.anywhere)
    return reg.kind == OBJECT and reg.what.standing == UNTRUSTED


def is_context(through: int) -> bool:
    return through == _CTX


def _kind(reg: Reg) -> int:
    if reg.kind == CTX:
        return _CTX
    if reg.kind == MEM and not reg.what.buffer:
        return _UNKNOWN if reg.what.anywhere else _SIZED
    if reg.kind == KERNEL:
        of_kernel: KernelObject = reg.what
        return _KERNEL + of_kernel.flags
    if reg.kind == SOCKET:
        return _SOCKET + _SOCKETS[reg.what.name]
    if reg.kind == ARENA:
        return _ARENA
    if reg.kind != OBJECT:
        return PLAIN
    object_: Object = reg.what
    node = object_.standing == READ and object_.layout.nodes
    return _OBJECT + 2 * object_.standing + node


def _as_it_is(kind: int) -> bool:
    return kind == PLAIN or _is_sized(kind)


def _is_sized(kind: int) -> bool:
    return kind in (_SIZED, _EITHER, _UNKNOWN)


def _mergeable(kind: int) -> bool:
    return kind == _SIZED or (_MERGED <= kind < _SOCKET and kind != _ARENA)


def _words(kind: int) -> str:
    if kind == _CTX:
        return "ctx"
    if kind == _ARENA:
        return "an arena"
    if kind >= _SOCKET:
        return "a socket"
    return "memory" if _as_it_is(kind) else "an object of another standing"
