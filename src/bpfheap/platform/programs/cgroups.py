"""Programs of control groups.

Sources: cg_skb_verifier_ops, cg_sock_verifier_ops and cg_sock_addr_verifier_ops in
net/core/filter.c, kernel/bpf/cgroup.c, and check_return_code in kernel/bpf/verifier.c of Linux
6.18.
"""

from __future__ import annotations

from dataclasses import replace

from bpfheap.platform.programs.attach import AttachType as At
from bpfheap.platform.programs.fields import SKB, SOCK, array_of, pick, socket, whole, words
from bpfheap.platform.programs.row import (
    CtxField,
    CtxKind,
    Offer,
    PacketKind,
    ProgramType,
    Section,
)

#: Refuse or allow.
_EITHER = (0, 1)
#: Allow, and nothing else.
_ALLOW = (1, 1)

# cg_skb_is_valid_access
_SKB_FIELDS = pick(
    SKB,
    hidden={"tc_classid", "data_meta", "wire_len", "tstamp_type"},
    writable={"mark", "priority", "cb", "tstamp"},
)


def _skb(sections: tuple[Section, ...], returns: tuple[int, int]) -> ProgramType:
    return ProgramType("cgroup_skb", 8, sections, "__sk_buff", 192, _SKB_FIELDS, objects=True,
                       sleepable=False, interrupts=False, packet=PacketKind.SKB_PAYLOAD,
                       caller=Offer.CGROUP_SKB, returns=returns,
                       test_run=0)  # fmt: skip


_OF_MAKING = frozenset({"bound_dev_if", "mark", "priority"})


def _sock(sections: tuple[Section, ...], hidden: frozenset[str]) -> ProgramType:
    """__sock_filter_check_attach_type"""
    writable = _OF_MAKING - hidden
    return ProgramType("cgroup_sock", 9, sections, "bpf_sock", 80,
                       pick(SOCK, hidden=hidden, writable=writable), objects=True,
                       sleepable=False, interrupts=False, packet=PacketKind.NONE,
                       caller=Offer.CGROUP_SOCK, returns=_EITHER, test_run=None)  # fmt: skip


# sock_addr_is_valid_access
_ADDRESS = (
    *whole("user_family", start=0),
    *words("user_ip4", "user_ip6[4]", "user_port", start=4),
    *whole("family", "type", "protocol", start=28),
    *words("msg_src_ip4", "msg_src_ip6[4]", start=40),
    socket("sk", 64, "sock"),
)
_PEER = frozenset({"user_ip4", "user_ip6", "user_port"})
_SOURCE = frozenset({"msg_src_ip4", "msg_src_ip6"})
#: By the last of a section's name, what programs of other families do not see.
_OF_FAMILY = {
    "4": frozenset({"user_ip4", "msg_src_ip4"}),
    "6": frozenset({"user_ip6", "msg_src_ip6"}),
    "_unix": frozenset(),
}


def _addresses(
    what: str,
    attach: dict[str, At],
    returns: tuple[int, int] = _EITHER,
    *,
    caller: Offer = Offer.SETS_ADDRESS,
    sends: bool = False,
) -> list[ProgramType]:
    """A row for each family of addresses; those of messages that are sent see where from."""
    rows = []
    for family, number in attach.items():
        seen = _OF_FAMILY[family] | {"user_port"}
        hidden = (_PEER | _SOURCE) - (seen if sends else seen - _SOURCE)
        fields = tuple(
            replace(field, wide=array_of(field) in ("user_ip6", "msg_src_ip6"))
            for field in pick(_ADDRESS, hidden=hidden, writable=_PEER | _SOURCE)
        )
        rows.append(
            ProgramType("cgroup_sock_addr", 18, (Section(f"cgroup/{what}{family}", number),),
                        "bpf_sock_addr", 72, fields, objects=True, sleepable=False,
                        interrupts=False, packet=PacketKind.NONE, caller=caller,
                        returns=returns, test_run=None)
        )  # fmt: skip
    return rows


# cg_sockopt_is_valid_access
_OPTION = (
    socket("sk", 0, "sock"),
    CtxField("optval", 8, 8, CtxKind.PACKET),
    CtxField("optval_end", 16, 8, CtxKind.PACKET_END),
    *whole("level", "optname", "optlen", "retval", start=24),
)


def _option(section: Section, fields: tuple[CtxField, ...], caller: Offer) -> ProgramType:
    return ProgramType("cgroup_sockopt", 25, (section,), "bpf_sockopt", 40, fields, objects=True,
                       writes_packet=True, packet_args=True, sleepable=False, interrupts=False,
                       packet=PacketKind.OTHER, caller=caller, returns=_EITHER,
                       test_run=None)  # fmt: skip


CGROUPS: tuple[ProgramType, ...] = (
    # On the way out, 2 and 3 tell of congestion.
    _skb((Section("cgroup_skb/egress", At.CGROUP_INET_EGRESS, attach_optional=True),), (0, 3)),
    _skb((Section("cgroup/skb"),
          Section("cgroup_skb/ingress", At.CGROUP_INET_INGRESS, attach_optional=True)), _EITHER),
    _sock((Section("cgroup/sock", At.CGROUP_INET_SOCK_CREATE, attach_optional=True),
           Section("cgroup/sock_create", At.CGROUP_INET_SOCK_CREATE),
           Section("cgroup/sock_release", At.CGROUP_INET_SOCK_RELEASE)),
          frozenset({"src_ip4", "src_ip6", "src_port"})),
    _sock((Section("cgroup/post_bind4", At.CGROUP_INET4_POST_BIND),), _OF_MAKING | {"src_ip6"}),
    _sock((Section("cgroup/post_bind6", At.CGROUP_INET6_POST_BIND),), _OF_MAKING | {"src_ip4"}),
    # 2 and 3 let a program bind to a port that takes a privilege.
    *_addresses("bind", {"4": At.CGROUP_INET4_BIND, "6": At.CGROUP_INET6_BIND}, (0, 3)),
    *_addresses("connect", {"4": At.CGROUP_INET4_CONNECT, "6": At.CGROUP_INET6_CONNECT},
                caller=Offer.CONNECTS),
    *_addresses("connect", {"_unix": At.CGROUP_UNIX_CONNECT}),
    *_addresses("sendmsg", {"4": At.CGROUP_UDP4_SENDMSG, "6": At.CGROUP_UDP6_SENDMSG,
                            "_unix": At.CGROUP_UNIX_SENDMSG}, sends=True),
    *_addresses("recvmsg", {"4": At.CGROUP_UDP4_RECVMSG, "6": At.CGROUP_UDP6_RECVMSG,
                            "_unix": At.CGROUP_UNIX_RECVMSG}, _ALLOW, caller=Offer.TELLS_ADDRESS),
    *_addresses("getpeername", {"4": At.CGROUP_INET4_GETPEERNAME, "6": At.CGROUP_INET6_GETPEERNAME,
                                "_unix": At.CGROUP_UNIX_GETPEERNAME}, _ALLOW,
                caller=Offer.TELLS_ADDRESS),
    *_addresses("getsockname", {"4": At.CGROUP_INET4_GETSOCKNAME, "6": At.CGROUP_INET6_GETSOCKNAME,
                                "_unix": At.CGROUP_UNIX_GETSOCKNAME}, _ALLOW,
                caller=Offer.TELLS_ADDRESS),
    # cgroup_dev_is_valid_access
    ProgramType("cgroup_device", 15,
                (Section("cgroup/dev", At.CGROUP_DEVICE, attach_optional=True),),
                "bpf_cgroup_dev_ctx", 12,
                (*words("access_type", start=0), *whole("major", "minor", start=4)), objects=True,
                sleepable=False, interrupts=False, packet=PacketKind.NONE,
                caller=Offer.CGROUP_DEVICE, returns=_EITHER, test_run=None),
    # sysctl_is_valid_access
    ProgramType("cgroup_sysctl", 23, (Section("cgroup/sysctl", At.CGROUP_SYSCTL),), "bpf_sysctl",
                8, pick(tuple(words("write", "file_pos")), writable={"file_pos"}), objects=True,
                sleepable=False, interrupts=False, packet=PacketKind.NONE,
                caller=Offer.CGROUP_SYSCTL, returns=_EITHER, test_run=None),
    _option(Section("cgroup/getsockopt", At.CGROUP_GETSOCKOPT),
            pick(_OPTION, writable={"optlen", "retval"}), Offer.GETSOCKOPT),
    _option(Section("cgroup/setsockopt", At.CGROUP_SETSOCKOPT),
            pick(_OPTION, hidden={"retval"}, writable={"level", "optname", "optlen"}),
            Offer.SETSOCKOPT),
)  # fmt: skip
