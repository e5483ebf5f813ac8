"""Sockets that calls take and give.

Sources: sock_types, fullsock_types and btf_id_sock_common_types of check_reg_type, the results of
check_helper_call, is_acquire_function and is_ptr_cast_function in kernel/bpf/verifier.c of Linux
6.18.
"""

from __future__ import annotations

from bpfheap.platform.calls import SOCK_STRUCT
from bpfheap.platform.programs import FULL_SOCK, SOCK_COMMON, SOCKET_TYPES, TCP_SOCK, SocketType
from bpfheap.verifier import hints
from bpfheap.verifier.calls.meta import Meta, check_there, expected
from bpfheap.verifier.calls.objects import found_or_null, of_struct
from bpfheap.verifier.memory.ownership import acquire_reference
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import (
    KERNEL,
    SOCKET,
    TRUSTED,
    ZERO_OFFSET,
    Reg,
    State,
    is_null,
)

_NAMES = ", ".join(SOCKET_TYPES)
#: btf_id_sock_common_types
_TAKEN = frozenset({0, TRUSTED})
_ANY = f"{_NAMES}, ptr_, trusted_ptr_"


def common(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """An argument: a socket, whatever is known of it. Raises Reject."""
    if reg.kind != SOCKET or reg.or_null:
        raise expected(n, reg, _NAMES, _hint(reg))
    refer(n, reg, meta)


def full_or_null(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """A full socket, or NULL. Raises Reject."""
    if is_null(reg):
        mark_register(env.cfg, st, n)
    elif reg.kind != SOCKET or reg.what is not FULL_SOCK:
        raise expected(n, reg, FULL_SOCK.name, "pass a full socket")
    else:
        refer(n, reg, meta)


def any_or_object(env: Env, st: State, n: int, reg: Reg, meta: Meta, or_null: bool = False) -> None:
    """A socket, or an object of the kernel that begins with one. Raises Reject."""
    known = or_null or not reg.or_null
    if reg.kind == KERNEL and known and reg.what.flags in _TAKEN:
        of_struct(env, n, reg, meta, SOCK_STRUCT)
        if not or_null:
            check_there(n, reg, meta)
    elif reg.kind != SOCKET or not known:
        raise expected(n, reg, _ANY, _hint(reg))
    refer(n, reg, meta)


def any_or_null(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """The same, or NULL. Raises Reject."""
    if is_null(reg):
        mark_register(env.cfg, st, n)
    else:
        any_or_object(env, st, n, reg, meta, or_null=True)


def released(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """A socket that the program has a reference to, which goes. Raises Reject."""
    any_or_object(env, st, n, reg, meta)
    if not reg.ref:
        raise Reject(
            f"R{n} must be referenced when passed to release function",
            register=n,
            hint="release what was looked up, and nothing else",
        )
    meta.given, meta.given_register = reg, n


def refer(n: int, reg: Reg, meta: Meta) -> None:
    """Of what the result is a part. Raises Reject for a second reference."""
    if not reg.ref:
        return
    if meta.referenced:
        raise Reject(
            f"more than one arg with ref_obj_id R{n} {reg.ref} {meta.referenced_id}",
            detail=f"R{meta.referenced} is another",
            register=n,
            hint="copy one of them to the stack first",
        )
    meta.referenced, meta.referenced_id = n, reg.ref


def _hint(reg: Reg) -> str:
    return hints.CHECK_NULL if reg.or_null else "pass a socket"


def _of_argument(st: State, meta: Meta) -> int:
    """The reference of what was given (is_ptr_cast_function)."""
    return st.regs[meta.referenced].ref if meta.referenced else 0


def _part(env: Env, ref: int, type_: SocketType) -> Reg:
    return Reg(SOCKET, ZERO_OFFSET, 0, env.new_id(), ref, type_, True)


def full(env: Env, st: State, meta: Meta) -> Reg:
    """The socket that was given, if it is a full one."""
    return _part(env, _of_argument(st, meta), FULL_SOCK)


def tcp(env: Env, st: State, meta: Meta) -> Reg:
    """The socket that was given, if it is one of TCP."""
    return _part(env, _of_argument(st, meta), TCP_SOCK)


def listener(env: Env, st: State, meta: Meta) -> Reg:
    """One that the program need not release."""
    return _part(env, 0, FULL_SOCK)


def found(type_: SocketType, env: Env, st: State, meta: Meta) -> Reg:
    """One that the program has to release, or NULL."""
    new = acquire_reference(env, st, type_, meta.slot)
    return Reg(SOCKET, ZERO_OFFSET, 0, new, new, type_, True)


def found_full(env: Env, st: State, meta: Meta) -> Reg:
    return found(FULL_SOCK, env, st, meta)


def found_common(env: Env, st: State, meta: Meta) -> Reg:
    return found(SOCK_COMMON, env, st, meta)


def cast(env: Env, st: State, meta: Meta) -> Reg:
    """The socket that was given, as another struct of the kernel, if it is that."""
    reg = found_or_null(env, st, meta)
    return Reg(KERNEL, ZERO_OFFSET, 0, reg.id, _of_argument(st, meta), reg.what, True)
