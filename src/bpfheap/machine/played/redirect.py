"""Calls that send packets and connections where a map says (net/core/filter.c,
net/core/sock_map.c). Nothing goes anywhere: where it would go is noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from errno import EINVAL, ENOENT, EOPNOTSUPP

from bpfheap.machine.played.refusals import answer
from bpfheap.machine.tables import elements
from bpfheap.machine.tables.caller import Played, TableCaller
from bpfheap.machine.tables.common import Table
from bpfheap.machine.tables.devices import first_word
from bpfheap.machine.tables.sockets import element_of
from bpfheap.platform.maps import Holds
from bpfheap.runtime.world import Redirect, Word

_U32 = (1 << 32) - 1
#: enum xdp_action; the low bits of the flags are what is returned if there is nothing.
_XDP_ABORTED, _XDP_REDIRECT, _ACTION = 0, 4, 3
#: BPF_F_BROADCAST, BPF_F_EXCLUDE_INGRESS.
_BROADCAST, _NOT_BACK = 1 << 3, 1 << 4
#: enum sk_action, BPF_F_INGRESS.
_SK_DROP, _SK_PASS, _INGRESS_FLAG = 0, 1, 1
#: BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
#: BPF_SOCK_OPS_TCP_LISTEN_CB.
_BEGINS = (4, 5, 11)


def _note(call: TableCaller, to: int, table: Table, flags: int) -> None:
    """What was sent where."""
    world = call.world
    made = Redirect(call.name, to, table.spec.name, flags)
    call.world = world._replace(redirects=(*world.redirects, made))


def _redirect_map(call: TableCaller, args: Sequence[Word]) -> Word:
    table = call.table(args[0], "redirect")
    key = (call.number(args[1]) & _U32).to_bytes(4, "little")
    flags = call.number(args[2])
    known = _ACTION | (_BROADCAST | _NOT_BACK if table.type.holds is Holds.DEVICES else 0)
    if flags & ~known:
        return _XDP_ABORTED
    if flags & _BROADCAST:
        came_from = call.number(call.field("ingress_ifindex"))
        for one in elements(table.type).keys(table):
            to = _target(call, table, one)
            if not (flags & _NOT_BACK and to == came_from):
                _note(call, to, table, flags)
        return _XDP_REDIRECT
    if key not in table.entries:
        return flags & _ACTION
    _note(call, _target(call, table, key), table, flags)
    return _XDP_REDIRECT


def _target(call: TableCaller, table: Table, key: bytes) -> int:
    match table.type.holds:
        case Holds.DEVICES:
            return first_word(call.keeper.shown(table, table.entries[key][0]))
        case Holds.CPUS:
            return int.from_bytes(key, "little")
        case _:
            return table.entries[key][0]


def _socket_at(call: TableCaller, table: Table, key: Word, op: str) -> int | None:
    """The block of an element; None if there is none. `op` says whether the key is an index."""
    raw = (
        (call.number(key) & _U32).to_bytes(4, "little")
        if op == "socket_at"
        else call.read(key, table.spec.key_size)
    )
    found = table.entries.get(raw)
    return None if found is None else found[0]


def _redirect_socket(op: str) -> Played:
    """Of a packet, or a message, to a socket (bpf_sk_redirect_map and its like)."""

    def redirect(call: TableCaller, args: Sequence[Word]) -> Word:
        table = call.table(args[1], op)
        flags = call.number(args[3])
        found = _socket_at(call, table, args[2], op)
        if flags & ~_INGRESS_FLAG or found is None:
            return _SK_DROP
        _note(call, found, table, flags)
        return _SK_PASS

    return redirect


def _select_reuseport(call: TableCaller, args: Sequence[Word]) -> Word:
    """Whether sockets share a port is not asked."""
    table = call.table(args[1], "select")
    if call.number(args[3]) & _U32:
        return -EINVAL
    found = _socket_at(call, table, args[2], "select")
    if found is None:
        return -ENOENT
    _note(call, found, table, 0)
    return 0


def _update_socket(op: str) -> Played:
    """Put the socket of a connection that has begun, or that listens, into a map
    (sock_map_op_okay)."""

    def update(call: TableCaller, args: Sequence[Word]) -> Word:
        table = call.table(args[1], op)
        key = call.read(args[2], table.spec.key_size)
        flags = call.number(args[3])
        socket = call.block(call.field("sk"))
        if call.field("op") not in _BEGINS or socket is None:
            return -EOPNOTSUPP
        values = (element_of(socket.block),)
        return answer(lambda: elements(table.type).update(call.keeper, table, key, values, flags))

    return update


CALLS: Mapping[str, Played] = {
    "bpf_redirect_map": _redirect_map,
    "bpf_sk_redirect_map": _redirect_socket("socket_at"),
    "bpf_sk_redirect_hash": _redirect_socket("socket_of"),
    "bpf_msg_redirect_map": _redirect_socket("socket_at"),
    "bpf_msg_redirect_hash": _redirect_socket("socket_of"),
    "bpf_sk_select_reuseport": _select_reuseport,
    "bpf_sock_map_update": _update_socket("socket_at"),
    "bpf_sock_hash_update": _update_socket("socket_of"),
}
