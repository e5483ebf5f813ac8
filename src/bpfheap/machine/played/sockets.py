"""Sockets: found, given back, seen as what they are besides, and asked for facts.

Sources: net/core/filter.c, and for control groups kernel/bpf/cgroup.c, of Linux 6.18.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence

from bpfheap.platform.programs import Offer
from bpfheap.runtime.network import Socket
from bpfheap.runtime.world import Caller, Leads, Stub, Word

_U32 = (1 << 32) - 1
#: The length of addresses, by that of struct bpf_sock_tuple's half.
_TUPLES = {12: 4, 36: 16}
#: enum: TCP_TIME_WAIT, TCP_LISTEN, TCP_NEW_SYN_RECV.
_ESTABLISHED, _TIME_WAIT, _CLOSE, _LISTEN, _NEW_SYN_RECV = 1, 6, 7, 10, 12
#: The uid of what belongs to nobody (overflowuid).
_NOBODY = 65534
#: The cookie of the first network namespace, which is the only one (init_net).
_NETNS_COOKIE = 1


# -- which


def _at(call: Caller, word: Word) -> Socket | None:
    """The socket that an argument is."""
    leads = call.block(word)
    return None if leads is None else call.world.network.socket(leads.block)


def _given(call: Caller, word: Word) -> Socket | None:
    """The same, or the socket of the context if it is that."""
    return _at(call, word) or _at(call, call.field("sk"))


def _full(call: Caller, socket: Socket | None) -> Socket | None:
    """A connection that is about to be made is its listener's (sk_to_full_sk); one that is over is
    nothing."""
    if socket is not None and socket.state == _NEW_SYN_RECV:
        socket = call.world.network.socket(socket.listener)
    return socket if socket is not None and _is_full(socket) else None


def _is_full(socket: Socket) -> bool:
    return socket.state not in (_TIME_WAIT, _NEW_SYN_RECV)


def _pointer(call: Caller, block: int) -> Word:
    return call.pointer(Leads(block)) if block else 0


# -- found and given back


_Ends = tuple[tuple[bytes, int], tuple[bytes, int]]


def _ends(call: Caller, args: Sequence[Word]) -> _Ends | None:
    """Who sent a packet, and to whom it goes; None for what is refused (__bpf_skc_lookup)."""
    size, netns = call.number(args[2]) & _U32, call.number(args[3])
    length = _TUPLES.get(size)
    if length is None or call.number(args[4]):
        return None
    here = netns & 1 << 31
    if not here:
        # There is no other namespace.
        return None
    raw = call.read(args[1], size)
    ports = [int.from_bytes(raw[2 * length + at : 2 * length + at + 2], "big") for at in (0, 2)]
    return (raw[:length], ports[0]), (raw[length : 2 * length], ports[1])


def _score(socket: Socket, ends: _Ends, protocol: str, dev: int) -> int:
    """How well a socket fits; 0 for not at all (compute_score, inet_ehashfn's comparison)."""
    remote, local = ends
    if socket.protocol != protocol or socket.local[1] != local[1] or socket.dev not in (0, dev):
        return 0
    mine = socket.local[0]
    any_address = not any(mine)
    if not any_address and mine != local[0]:
        return 0
    if any_address and len(mine) < len(local[0]):
        return 0
    score = 1 + 2 * (len(mine) == len(local[0])) + 4 * (not any_address) + 8 * bool(socket.dev)
    if socket.remote[0]:
        return score + 16 if socket.remote == remote else 0
    connects = protocol == "tcp" and socket.state != _LISTEN
    return 0 if connects else score


def _find(call: Caller, args: Sequence[Word], protocol: str) -> Socket | None:
    ends = _ends(call, args)
    if ends is None:
        return None
    name = "ingress_ifindex" if call.kind is Offer.XDP else "ifindex"
    dev = call.number(call.field(name))
    found = max(
        call.world.network.sockets,
        key=lambda socket: _score(socket, ends, protocol, dev), default=None,
    )  # fmt: skip
    return found if found is not None and _score(found, ends, protocol, dev) else None


def _lookup(protocol: str, *, full: bool = True) -> Stub:
    def lookup(call: Caller, args: Sequence[Word]) -> Word:
        found = _find(call, args, protocol)
        if full:
            found = _full(call, found)
        if found is None:
            return 0
        call.acquire(found.block)
        return _pointer(call, found.block)

    return lookup


def _release(call: Caller, args: Sequence[Word]) -> Word:
    socket, leads = _at(call, args[0]), call.block(args[0])
    if leads is not None:
        call.release(leads.block if socket is None else socket.block)
    return 0


def _assign(call: Caller, args: Sequence[Word]) -> Word:
    """To a packet, or, in sk_lookup programs, to a connection that looks for its socket."""
    flags = call.number(args[2])
    socket = _at(call, args[1])
    if call.kind is not Offer.SK_LOOKUP:
        if socket is None or flags:
            return -errno.EINVAL
        if socket.state == _CLOSE and socket.protocol == "tcp":
            return -errno.EOPNOTSUPP
        return _assigned(call, args[0], socket)
    # BPF_SK_LOOKUP_F_REPLACE, BPF_SK_LOOKUP_F_NO_REUSEPORT
    if flags & ~3:
        return -errno.EINVAL
    if socket is not None:
        if socket.protocol == "tcp" and socket.state != _LISTEN:
            return -errno.ESOCKTNOSUPPORT
        if socket.protocol == "udp" and socket.state == _ESTABLISHED:
            return -errno.ESOCKTNOSUPPORT
        if _PROTOCOLS[socket.protocol] != call.number(call.field("protocol")):
            return -errno.EPROTOTYPE
        family = call.number(call.field("family"))
        if _FAMILIES[len(socket.local[0])] != family and family == _FAMILIES[16]:
            return -errno.EAFNOSUPPORT
    if call.block(call.field("sk")) is not None and not flags & 1:
        return -errno.EEXIST
    return _assigned(call, args[0], socket)


def _assigned(call: Caller, ctx: Word, socket: Socket | None) -> int:
    block = 0 if socket is None else socket.block
    world = call.world
    call.world = world._replace(network=world.network._replace(assigned=block))
    call.show(ctx, "sk", _pointer(call, block))
    return 0


#: IPPROTO_*; a Unix socket has none.
_PROTOCOLS = {"tcp": 6, "udp": 17, "unix": 0}
#: AF_UNIX, AF_INET, AF_INET6, by the lengths of addresses.
_FAMILIES = {0: 1, 4: 2, 16: 10}


# -- as what it is besides


def _fullsock(call: Caller, args: Sequence[Word]) -> Word:
    socket = _at(call, args[0])
    return args[0] if socket is not None and _is_full(socket) else 0


def _tcp_sock(call: Caller, args: Sequence[Word]) -> Word:
    socket = _at(call, args[0])
    is_tcp = socket is not None and _is_full(socket) and socket.protocol == "tcp"
    return _pointer(call, socket.view("bpf_tcp_sock")) if socket is not None and is_tcp else 0


def _listener(call: Caller, args: Sequence[Word]) -> Word:
    socket = _full(call, _at(call, args[0]))
    if socket is None or socket.state != _LISTEN:
        return 0
    return _pointer(call, socket.block)


def _cast(struct: str) -> Stub:
    def cast(call: Caller, args: Sequence[Word]) -> Word:
        socket = _at(call, args[0])
        return 0 if socket is None else _pointer(call, socket.view(struct))

    return cast


# -- facts


def _cookie(call: Caller, args: Sequence[Word]) -> Word:
    socket = _given(call, args[0])
    return 0 if socket is None else socket.cookie


def _uid(call: Caller, args: Sequence[Word]) -> Word:
    socket = _full(call, _given(call, args[0]))
    return _NOBODY if socket is None else socket.uid


def _cgroup_id(call: Caller, args: Sequence[Word]) -> Word:
    socket = _full(call, _given(call, args[0]))
    return 0 if socket is None else socket.cgroups[-1]


def _ancestor_cgroup_id(call: Caller, args: Sequence[Word]) -> Word:
    socket, level = _full(call, _given(call, args[0])), call.number(args[1]) & _U32
    return 0 if socket is None or level >= len(socket.cgroups) else socket.cgroups[level]


def _classid(call: Caller, args: Sequence[Word]) -> Word:
    socket = _full(call, _given(call, args[0])) if args else None
    return 0 if socket is None else socket.classid


def _netns_cookie(call: Caller, args: Sequence[Word]) -> Word:
    return _NETNS_COOKIE


def _no_realm(call: Caller, args: Sequence[Word]) -> Word:
    """No route has one here."""
    return 0


# -- options


_SOL_IP, _SOL_SOCKET, _SOL_TCP, _SOL_IPV6 = 0, 1, 6, 41
#: By level, the options that programs may get and set; all are numbers but for those in _TEXTS
#: (sol_socket_sockopt, sol_ip_sockopt, sol_ipv6_sockopt, sol_tcp_sockopt).
_OPTIONS: Mapping[int, frozenset[int]] = {
    _SOL_SOCKET: frozenset({2, 7, 8, 9, 12, 15, 18, 25, 36, 47, 62, 74}),
    _SOL_IP: frozenset({1}),
    _SOL_IPV6: frozenset({67, 70}),
    _SOL_TCP: frozenset({1, 2, 4, 5, 6, 7, 10, 13, 16, 18, 25, 27, *range(1001, 1009)}),
}
_TEXTS = frozenset({(_SOL_SOCKET, 25), (_SOL_TCP, 13)})
_WIDE = frozenset({(_SOL_SOCKET, 47)})
_NUMBER = 4
#: SO_MARK, SO_PRIORITY: fields of struct bpf_sock, and where they are there.
_MEMBERS = {(_SOL_SOCKET, 36): 16, (_SOL_SOCKET, 12): 20}


def _wrong_option(socket: Socket | None, level: int, name: int, size: int) -> int:
    """0, or why an option is refused: options of a protocol are for its sockets alone."""
    if socket is None or name not in _OPTIONS.get(level, ()):
        return -errno.EINVAL
    family = _FAMILIES[len(socket.local[0])]
    if (level, family) in ((_SOL_IP, _FAMILIES[16]), (_SOL_IPV6, _FAMILIES[4])):
        return -errno.EINVAL
    if level == _SOL_TCP and socket.protocol != "tcp":
        return -errno.EINVAL
    place = (level, name)
    sizes = (_NUMBER, 8) if place in _WIDE else (_NUMBER,)
    return 0 if place in _TEXTS or size in sizes else -errno.EINVAL


def _option(call: Caller, args: Sequence[Word]) -> tuple[Socket | None, int, int, int]:
    """The socket, level, name and length of a call."""
    numbers = [call.number(args[i]) & _U32 for i in (1, 2, 4)]
    return _full(call, _given(call, args[0])), *numbers  # type: ignore[return-value]


def _setsockopt(call: Caller, args: Sequence[Word]) -> Word:
    socket, level, name, size = _option(call, args)
    value = call.read(args[3], size)
    wrong = _wrong_option(socket, level, name, size)
    if wrong or socket is None:
        return wrong
    kept = tuple(one for one in socket.options if one[:2] != (level, name))
    changed = socket._replace(options=(*kept, (level, name, value)))
    world = call.world
    sockets = tuple(changed if s is socket else s for s in world.network.sockets)
    call.world = world._replace(network=world.network._replace(sockets=sockets))
    member = _MEMBERS.get((level, name))
    if member is not None:
        call.write(call.pointer(Leads(socket.block, member)), value)
    return 0


def _getsockopt(call: Caller, args: Sequence[Word]) -> Word:
    """What was set, else 0; what cannot be told is cleared."""
    socket, level, name, size = _option(call, args)
    wrong = _wrong_option(socket, level, name, size)
    found = b""
    if not wrong and socket is not None:
        found = next((v for at, of, v in socket.options if (at, of) == (level, name)), b"")
        member = _MEMBERS.get((level, name))
        if member is not None:
            found = call.read(call.pointer(Leads(socket.block, member)), size)
    call.write(args[3], found[:size].ljust(size, b"\0"))
    return wrong


def _callbacks(call: Caller, args: Sequence[Word]) -> Word:
    """Which events the program wants to hear of: in its context, as nobody else asks. Gives those
    that there are none of."""
    if not call.number(call.field("is_fullsock")):
        return -errno.EINVAL
    wanted = call.number(args[1]) & _U32
    call.show(args[0], "bpf_sock_ops_cb_flags", wanted & _CALLBACKS)
    unknown = wanted & ~_CALLBACKS
    return unknown - (unknown >> 31 << 32)


def _bytes_of_message(call: Caller, args: Sequence[Word]) -> Word:
    """For how many the verdict counts, or is waited for: each run is about one message here."""
    return 0


#: BPF_SOCK_OPS_ALL_CB_FLAGS
_CALLBACKS = 0x7F
_CASTS = (
    "tcp6_sock", "tcp_sock", "tcp_timewait_sock", "tcp_request_sock", "udp6_sock", "unix_sock",
    "mptcp_sock",
)  # fmt: skip

CALLS: Mapping[str, Callable[[Caller, Sequence[Word]], Word]] = {
    "bpf_sk_lookup_tcp": _lookup("tcp"),
    "bpf_sk_lookup_udp": _lookup("udp"),
    "bpf_skc_lookup_tcp": _lookup("tcp", full=False),
    "bpf_sk_release": _release,
    "bpf_sk_assign": _assign,
    "bpf_sk_fullsock": _fullsock,
    "bpf_tcp_sock": _tcp_sock,
    "bpf_get_listener_sock": _listener,
    **{f"bpf_skc_to_{struct}": _cast(struct) for struct in _CASTS},
    "bpf_get_socket_cookie": _cookie,
    "bpf_get_socket_uid": _uid,
    "bpf_skb_cgroup_id": _cgroup_id,
    "bpf_skb_ancestor_cgroup_id": _ancestor_cgroup_id,
    "bpf_sk_cgroup_id": _cgroup_id,
    "bpf_sk_ancestor_cgroup_id": _ancestor_cgroup_id,
    "bpf_get_cgroup_classid": _classid,
    "bpf_skb_cgroup_classid": _classid,
    "bpf_get_route_realm": _no_realm,
    "bpf_get_netns_cookie": _netns_cookie,
    "bpf_setsockopt": _setsockopt,
    "bpf_getsockopt": _getsockopt,
    "bpf_sock_ops_cb_flags_set": _callbacks,
    "bpf_msg_apply_bytes": _bytes_of_message,
    "bpf_msg_cork_bytes": _bytes_of_message,
}
