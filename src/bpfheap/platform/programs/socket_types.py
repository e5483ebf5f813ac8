"""What programs may read of sockets: one row for each struct that stands for one.

Sources: bpf_sock_common_is_valid_access, bpf_sock_is_valid_access, bpf_tcp_sock_is_valid_access and
bpf_xdp_sock_is_valid_access in net/core/filter.c of Linux 6.18.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bpfheap.platform.programs.fields import SOCK, pick, whole
from bpfheap.platform.programs.row import CtxField, CtxKind


@dataclass(frozen=True, slots=True)
class SocketType:
    """`name` is the verifier log's word. `view`: the struct that programs see in its place
    (uapi/linux/bpf.h), of which they may read `fields`. `never_null`: may a comparison with NULL be
    decided (reg_not_null)?"""

    name: str
    view: str
    fields: tuple[CtxField, ...] = field(repr=False)
    never_null: bool = True

    def __str__(self) -> str:
        return f"struct {self.view}"

    def readable(self, off: int, size: int) -> bool:
        """May a program read `size` bytes at `off`?"""
        return any(
            found.offset <= off < found.offset + found.size and found.allows(off, size, write=False)
            for found in self.fields
        )


_TCP_SOCK = (
    *whole(
        "snd_cwnd", "srtt_us", "rtt_min", "snd_ssthresh", "rcv_nxt", "snd_nxt", "snd_una",
        "mss_cache", "ecn_flags", "rate_delivered", "rate_interval_us", "packets_out",
        "retrans_out", "total_retrans", "segs_in", "data_segs_in", "segs_out", "data_segs_out",
        "lost_out", "sacked_out", start=0,
    ),
    CtxField("bytes_received", 80, 8, CtxKind.SCALAR),
    CtxField("bytes_acked", 88, 8, CtxKind.SCALAR),
    *whole("dsack_dups", "delivered", "delivered_ce", "icsk_retransmits", start=96),
)  # fmt: skip

SOCK_COMMON = SocketType(
    "sock_common", "bpf_sock", pick(SOCK, hidden={"type", "protocol", "mark", "priority"})
)
FULL_SOCK = SocketType("sock", "bpf_sock", SOCK)
TCP_SOCK = SocketType("tcp_sock", "bpf_tcp_sock", _TCP_SOCK)
XDP_SOCK = SocketType(
    "xdp_sock", "bpf_xdp_sock", tuple(whole("queue_id", start=0)), never_null=False
)

#: Of struct bpf_flow_keys, in bytes.
FLOW_KEYS_SIZE = 56
#: Its members (uapi/linux/bpf.h): where each is, and its bytes. Addresses of both versions of IP
#: lie in one place; of those of version 6, which are arrays of four, the bytes are an element's.
FLOW_KEYS = {
    "nhoff": (0, 2), "thoff": (2, 2), "addr_proto": (4, 2), "is_frag": (6, 1),
    "is_first_frag": (7, 1), "is_encap": (8, 1), "ip_proto": (9, 1), "n_proto": (10, 2),
    "sport": (12, 2), "dport": (14, 2), "ipv4_src": (16, 4), "ipv4_dst": (20, 4),
    "flags": (48, 4), "flow_label": (52, 4),
}  # fmt: skip
FLOW_ARRAYS = {"ipv6_src": (16, 4), "ipv6_dst": (32, 4)}

SOCKET_TYPES: dict[str, SocketType] = {
    row.name: row for row in (SOCK_COMMON, FULL_SOCK, TCP_SOCK, XDP_SOCK)
}
