"""Members of the kernel's structs that programs may write.

Sources, all of Linux 6.18: nfct_btf_struct_access, which tc_cls_act_btf_struct_access and
xdp_btf_struct_access ask; the btf_struct_access of each struct of functions (struct_ops):
bpf_tcp_ca_btf_struct_access, bpf_scx_btf_struct_access, hid_bpf_ops_btf_struct_access,
bpf_qdisc_btf_struct_access, bpf_dummy_ops_btf_struct_access.
"""

from __future__ import annotations

from typing import NamedTuple

from bpfheap.platform.programs import Offer


class Member(NamedTuple):
    """`path`: the steps to it, each a struct and a member of that, at whose place the next one
    begins; none for the whole struct. `inside`: may a write begin behind its first byte? `kept`: so
    many of its last bytes are not written."""

    path: tuple[tuple[str, str], ...]
    inside: bool = False
    kept: int = 0

    @property
    def name(self) -> str:
        return ".".join(member for _, member in self.path)


class Writable(NamedTuple):
    """`programs`: which ones. `struct`: what has the members; `structs`: that one and those that
    begin with it. `beyond`, `elsewhere`: what Linux says of a write that begins in a member and
    ends behind it, and of all others, with the places {at}, {size}, {end}, {struct}."""

    programs: Offer
    struct: str
    structs: frozenset[str]
    members: tuple[Member, ...]
    beyond: str = (
        "write access at off {at} with size {size} beyond the member of {struct} ended at {end}"
    )
    elsewhere: str = "no write support to {struct} at off {at}"


def _of(struct: str, *names: str, inside: bool = False, kept: int = 0) -> tuple[Member, ...]:
    return tuple(Member(((struct, name),), inside, kept) for name in names)


_CONNECTION, _CONTROL_BLOCK = "inet_connection_sock", "qdisc_skb_cb"
_READ_ONLY = "write access at off {at} with size {size} on read-only part of {struct}"

WRITABLE = (
    Writable(
        Offer.TC | Offer.XDP,
        "nf_conn",
        frozenset({"nf_conn", "nf_conn___init"}),
        _of("nf_conn", "mark"),
    ),
    Writable(
        Offer.TCP_CA,
        "tcp_sock",
        frozenset({"tcp_sock"}),
        (
            *_of("sock", "sk_pacing_rate", "sk_pacing_status"),
            *_of(_CONNECTION, "icsk_ca_priv", inside=True),
            *_of(_CONNECTION, "icsk_ack.pending"),
            *_of("tcp_sock", "snd_cwnd", "snd_cwnd_cnt", "snd_cwnd_stamp", "snd_ssthresh",
                 "ecn_flags", "app_limited"),
        ),
    ),
    Writable(
        Offer.SCHED_EXT,
        "task_struct",
        frozenset({"task_struct"}),
        _of("task_struct", "scx.slice", "scx.dsq_vtime", "scx.disallow", inside=True),
    ),
    Writable(
        Offer.HID,
        "hid_bpf_ctx",
        frozenset({"hid_bpf_ctx"}),
        _of("hid_bpf_ctx", "retval", inside=True),
        _READ_ONLY, _READ_ONLY,
    ),
    Writable(
        Offer.HID,
        "hid_device",
        frozenset({"hid_device"}),
        # Texts, whose last byte stays 0.
        _of("hid_device", "name", "uniq", "phys", inside=True, kept=1),
        _READ_ONLY, _READ_ONLY,
    ),
    Writable(
        Offer.QDISC,
        "sk_buff",
        frozenset({"sk_buff"}),
        (
            *_of("sk_buff", "tstamp"),
            Member((("sk_buff", "cb"), (_CONTROL_BLOCK, "data")), inside=True),
        ),
    ),
    Writable(
        Offer.QDISC,
        "Qdisc",
        frozenset({"Qdisc"}),
        (*_of("Qdisc", "limit", "q.qlen"), *_of("Qdisc", "qstats", inside=True)),
    ),
    Writable(
        Offer.DUMMY_OPS,
        "bpf_dummy_ops_state",
        frozenset({"bpf_dummy_ops_state"}),
        (Member((), inside=True),),
        "write access at off {at} with size {size}",
    ),
)  # fmt: skip

#: What Linux says of a write to any other struct, by programs that write some.
ONLY_READ = "only read is supported"
OTHER_STRUCTS: tuple[tuple[Offer, str], ...] = (
    (Offer.HID, "write access to this struct is not supported"),
    (Offer.DUMMY_OPS, "only access to bpf_dummy_ops_state is supported"),
)
