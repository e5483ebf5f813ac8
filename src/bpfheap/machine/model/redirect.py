"""Calls that send packets and connections where a map says (net/core/filter.c,
net/core/sock_map.c). Nothing goes anywhere: where it would go is noted."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.errors import MapError
from bpfheap.machine.model.convention import Arguments, Implementation, error, map_of, number
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.maps import elements
from bpfheap.machine.model.maps.devices import first_word
from bpfheap.machine.model.maps.sockets import block_of
from bpfheap.machine.model.records import MapRecord
from bpfheap.machine.model.values import U32, Pointer, Value
from bpfheap.platform.maps import Holds
from bpfheap.platform.programs import program_type
from bpfheap.runtime.world import Redirect

#: enum xdp_action; the low bits of the flags are what is returned if there is nothing.
_XDP_ABORTED, _XDP_REDIRECT, _ACTION = 0, 4, 3
#: BPF_F_BROADCAST, BPF_F_EXCLUDE_INGRESS.
_BROADCAST, _NOT_BACK = 1 << 3, 1 << 4
#: Where struct xdp_md has the interface that the packet came from.
_INGRESS = 12
#: enum sk_action, BPF_F_INGRESS.
_SK_DROP, _SK_PASS, _INGRESS_FLAG = 0, 1, 1
#: BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
#: BPF_SOCK_OPS_TCP_LISTEN_CB.
_BEGINS = (4, 5, 11)


def note(core: Core, call: str, to: int, record: MapRecord, flags: int) -> None:
    """What was sent where."""
    world = core.state.world
    made = Redirect(call, to, record.spec.name, flags)
    core.state.world = world._replace(redirects=(*world.redirects, made))


def _redirect_map(core: Core, args: Arguments) -> Value:
    record = map_of(core, args[0], "redirect")
    key = (number(core, args[1], 2) & U32).to_bytes(4, "little")
    flags = number(core, args[2], 3)
    known = _ACTION | (_BROADCAST | _NOT_BACK if record.type.holds is Holds.DEVICES else 0)
    if flags & ~known:
        return _XDP_ABORTED
    if flags & _BROADCAST:
        came_from = core.state.load(Pointer(core.execution.ctx, _INGRESS), 4)
        for one in elements(record.type).keys(record):
            to = _target(core, record, one)
            if not (flags & _NOT_BACK and to == came_from):
                note(core, "bpf_redirect_map", to, record, flags)
        return _XDP_REDIRECT
    if key not in record.entries:
        return flags & _ACTION
    note(core, "bpf_redirect_map", _target(core, record, key), record, flags)
    return _XDP_REDIRECT


def _target(core: Core, record: MapRecord, key: bytes) -> int:
    match record.type.holds:
        case Holds.DEVICES:
            return first_word(core.state.read(Pointer(record.entries[key][0], 0), 4))
        case Holds.CPUS:
            return int.from_bytes(key, "little")
        case _:
            return record.entries[key][0]


def _socket_at(core: Core, record: MapRecord, key: Value, op: str, place: int) -> int | None:
    """The block of an element; None if there is none. `op` says whether the key is an index."""
    raw = (
        (number(core, key, place) & U32).to_bytes(4, "little")
        if op == "socket_at"
        else core.state.read(key, record.spec.key_size)
    )
    found = record.entries.get(raw)
    return None if found is None else found[0]


def _redirect_socket(call: str, op: str) -> Implementation:
    """Of a packet, or a message, to a socket (bpf_sk_redirect_map and its like)."""

    def redirect(core: Core, args: Arguments) -> Value:
        record = map_of(core, args[1], op)
        flags = number(core, args[3], 4)
        found = _socket_at(core, record, args[2], op, 3)
        if flags & ~_INGRESS_FLAG or found is None:
            return _SK_DROP
        note(core, call, found, record, flags)
        return _SK_PASS

    return redirect


def _select_reuseport(core: Core, args: Arguments) -> Value:
    """Whether sockets share a port is not asked."""
    record = map_of(core, args[1], "select")
    if number(core, args[3], 4) & U32:
        return error("EINVAL")
    found = _socket_at(core, record, args[2], "select", 3)
    if found is None:
        return error("ENOENT")
    note(core, "bpf_sk_select_reuseport", found, record, 0)
    return 0


def _update_socket(op: str) -> Implementation:
    """Put the socket of a connection that has begun, or that listens, into a map
    (sock_map_op_okay)."""

    def update(core: Core, args: Arguments) -> Value:
        record = map_of(core, args[1], op)
        key = core.state.read(args[2], record.spec.key_size)
        flags = number(core, args[3], 4)
        socket = _member(core, "sk")
        if _member(core, "op") not in _BEGINS or not isinstance(socket, Pointer):
            return error("EOPNOTSUPP")
        try:
            elements(record.type).update(core.mutator, record, key, (block_of(socket),), flags)
        except MapError as refused:
            return error(refused.errno_name)
        return 0

    return update


def _member(core: Core, name: str) -> Value:
    """A field of the program's context; None if it has no such field."""
    row = None if core.program.spec is None else program_type(core.program.spec.section)
    for field in () if row is None else row.fields:
        if field.name == name:
            return core.state.load(Pointer(core.execution.ctx, field.offset), field.size)
    return None


CALLS: Mapping[str, Implementation] = {
    "bpf_redirect_map": _redirect_map,
    "bpf_sk_redirect_map": _redirect_socket("bpf_sk_redirect_map", "socket_at"),
    "bpf_sk_redirect_hash": _redirect_socket("bpf_sk_redirect_hash", "socket_of"),
    "bpf_msg_redirect_map": _redirect_socket("bpf_msg_redirect_map", "socket_at"),
    "bpf_msg_redirect_hash": _redirect_socket("bpf_msg_redirect_hash", "socket_of"),
    "bpf_sk_select_reuseport": _select_reuseport,
    "bpf_sock_map_update": _update_socket("socket_at"),
    "bpf_sock_hash_update": _update_socket("socket_of"),
}
