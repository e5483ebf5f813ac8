"""Programs of sockets, of netfilter and of infrared receivers.

Sources: sock_ops_verifier_ops and its like in net/core/filter.c, net/netfilter/nf_bpf_link.c and
drivers/media/rc/bpf-lirc.c of Linux 6.18.
"""

from __future__ import annotations

from dataclasses import replace

from bpfheap.platform.programs.attach import AttachType as At
from bpfheap.platform.programs.fields import kernel, socket, whole, words
from bpfheap.platform.programs.row import (
    CtxField,
    CtxKind,
    Offer,
    PacketKind,
    ProgramType,
    Section,
)

# sock_ops_is_valid_access
_SOCK_OPS_FIELDS = (
    *whole("op", start=0),
    CtxField("reply", 4, 4, CtxKind.SCALAR, writable=True),
    CtxField("args[1]", 8, 4, CtxKind.SCALAR),
    CtxField("args[2]", 12, 4, CtxKind.SCALAR),
    CtxField("args[3]", 16, 4, CtxKind.SCALAR),
    *whole(
        "family", "remote_ip4", "local_ip4", "remote_ip6[4]", "local_ip6[4]", "remote_port",
        "local_port", "is_fullsock", "snd_cwnd", "srtt_us", "bpf_sock_ops_cb_flags", "state",
        "rtt_min", "snd_ssthresh", "rcv_nxt", "snd_nxt", "snd_una", "mss_cache", "ecn_flags",
        "rate_delivered", "rate_interval_us", "packets_out", "retrans_out", "total_retrans",
        "segs_in", "data_segs_in", "segs_out", "data_segs_out", "lost_out", "sacked_out",
        start=20,
    ),
    CtxField("sk_txhash", 164, 4, CtxKind.SCALAR, writable=True),
    CtxField("bytes_received", 168, 8, CtxKind.SCALAR),
    CtxField("bytes_acked", 176, 8, CtxKind.SCALAR),
    socket("sk", 184, "sock", or_null=True),
    CtxField("skb_data", 192, 8, CtxKind.PACKET),
    CtxField("skb_data_end", 200, 8, CtxKind.PACKET_END),
    *whole("skb_len", start=208),
    CtxField("skb_tcp_flags", 212, 4, CtxKind.SCALAR, narrow=True, from_start=True),
    CtxField("skb_hwtstamp", 216, 8, CtxKind.SCALAR),
)  # fmt: skip

#: Read by way of the socket, if that is whole (SOCK_OPS_GET_FIELD and SOCK_OPS_GET_SK).
_OF_WHOLE_SOCKETS = frozenset({
    "snd_cwnd", "srtt_us", "bpf_sock_ops_cb_flags", "snd_ssthresh", "rcv_nxt", "snd_nxt", "snd_una",
    "mss_cache", "ecn_flags", "rate_delivered", "rate_interval_us", "packets_out", "retrans_out",
    "total_retrans", "segs_in", "data_segs_in", "segs_out", "data_segs_out", "lost_out",
    "sacked_out", "sk_txhash", "bytes_received", "bytes_acked", "sk",
})  # fmt: skip
_SOCK_OPS = tuple(
    replace(field, unset=field.name in _OF_WHOLE_SOCKETS) for field in _SOCK_OPS_FIELDS
)

# sk_msg_is_valid_access
_SK_MSG = (
    CtxField("data", 0, 8, CtxKind.PACKET),
    CtxField("data_end", 8, 8, CtxKind.PACKET_END),
    *whole(
        "family", "remote_ip4", "local_ip4", "remote_ip6[4]", "local_ip6[4]", "remote_port",
        "local_port", "size", start=16,
    ),
    socket("sk", 72, "sock"),
)  # fmt: skip

# sk_reuseport_is_valid_access: half of eth_protocol is all of skb->protocol.
_REUSEPORT = (
    CtxField("data", 0, 8, CtxKind.PACKET),
    CtxField("data_end", 8, 8, CtxKind.PACKET_END),
    *words("len", start=16),
    *(replace(field, least=2) for field in words("eth_protocol", start=20)),
    *words("ip_protocol", "bind_inany", start=24),
    *whole("hash", start=32),
    socket("sk", 40, "sock"),
    socket("migrating_sk", 48, "sock_common", or_null=True),
)

# sk_lookup_is_valid_access
_LOOKUP = (
    socket("sk", 0, "sock", or_null=True),
    *words("family", "protocol", "remote_ip4", "remote_ip6[4]", start=8),
    CtxField("remote_port", 36, 2, CtxKind.SCALAR, narrow=True, padded=True),
    CtxField("(padding)", 38, 2, CtxKind.SCALAR, narrow=True),
    *words("local_ip4", "local_ip6[4]", "local_port", "ingress_ifindex", start=40),
)

SOCKETS: tuple[ProgramType, ...] = (
    ProgramType("sock_ops", 13,
                (Section("sockops", At.CGROUP_SOCK_OPS, attach_optional=True),),
                "bpf_sock_ops", 224, _SOCK_OPS, objects=True, packet_args=False, sleepable=False,
                interrupts=False, packet=PacketKind.OTHER, caller=Offer.SOCK_OPS, returns=(0, 1),
                test_run=None),
    ProgramType("sk_msg", 16, (Section("sk_msg", At.SK_MSG_VERDICT, attach_optional=True),),
                "sk_msg_md", 80, _SK_MSG, writes_packet=True, sleepable=False, interrupts=False,
                packet=PacketKind.OTHER, caller=Offer.SK_MSG, returns=None, test_run=None),
    ProgramType("sk_reuseport", 21, (
                    Section("sk_reuseport", At.SK_REUSEPORT_SELECT),
                    Section("sk_reuseport/migrate", At.SK_REUSEPORT_SELECT_OR_MIGRATE),
                ), "sk_reuseport_md", 56, _REUSEPORT, sleepable=False, interrupts=False,
                packet=PacketKind.OTHER,
                caller=Offer.SK_REUSEPORT, returns=None, test_run=None),
    ProgramType("sk_lookup", 30, (Section("sk_lookup", At.SK_LOOKUP),), "bpf_sk_lookup", 72,
                _LOOKUP, sleepable=False, interrupts=False, packet=PacketKind.NONE,
                caller=Offer.SK_LOOKUP, returns=(0, 1), test_run=None),
    # NF_DROP and NF_ACCEPT
    ProgramType("netfilter", 32, (Section("netfilter", At.NETFILTER),), "bpf_nf_ctx", 16,
                (kernel("state", 0, "nf_hook_state"), kernel("skb", 8, "sk_buff")),
                sleepable=False, interrupts=False, packet=PacketKind.NONE,
                caller=Offer.NETFILTER, returns=(0, 1), test_run=None),
    ProgramType("lirc_mode2", 20, (Section("lirc_mode2", At.LIRC_MODE2, attach_optional=True),),
                "void", 4, tuple(whole("sample", start=0)), sleepable=False, interrupts=False,
                packet=PacketKind.NONE, caller=Offer.LIRC, returns=None,
                test_run=None),
)  # fmt: skip
