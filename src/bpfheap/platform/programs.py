"""Program types: which section names select them and what their context holds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache


class CtxKind(StrEnum):
    """What a load of a context field gives."""

    SCALAR = "scalar"
    PACKET = "packet"  # a pointer to the packet's first byte
    PACKET_END = "packet-end"  # one behind its last byte
    PACKET_META = "packet-meta"  # to the metadata before it
    KERNEL = "kernel"  # a pointer to an object of the kernel: not to be had here


@dataclass(frozen=True, slots=True)
class CtxField:
    """`narrow`: may be read in smaller pieces (bpf_ctx_narrow_access_ok), which a pointer may not.
    Fields that are `joined` may be read and written like an array of bytes. Raises ValueError for
    a pointer that is narrow or joined."""

    name: str
    offset: int
    size: int
    kind: CtxKind
    writable: bool = False
    narrow: bool = False
    joined: bool = False

    def __post_init__(self) -> None:
        if (self.narrow or self.joined) and self.kind is not CtxKind.SCALAR:
            raise ValueError(f"{self.name} is a pointer: it is read as a whole only")


class PacketKind(StrEnum):
    """Which packet a program gets, as BPF_PROG_TEST_RUN makes it (net/bpf/test_run.c)."""

    NONE = "none"
    XDP = "xdp"  # the whole frame, with room around it (struct xdp_buff)
    SKB = "skb"  # the whole frame; the context tells its length and protocol
    SKB_PAYLOAD = "skb-payload"  # the same, without the Ethernet header


class Offer(StrEnum):
    """Helpers that go together: some types of programs have them, others have not (get_func_proto
    of struct bpf_verifier_ops)."""

    ALL = "all"  # every type has them
    READS_SKB = "reads-skb"
    CHANGES_SKB = "changes-skb"
    CHANGES_XDP = "changes-xdp"
    TRACES = "traces"  # what only tracing and syscall programs have (bpf_tracing_func_proto)
    LOCKS = "locks"  # and maps whose values have a bpf_spin_lock


_LOCKS = frozenset({Offer.LOCKS})
_TRACES = frozenset({Offer.TRACES})
_SKB = frozenset({PacketKind.SKB, PacketKind.SKB_PAYLOAD})
#: Which packets a program has to see for what it is offered.
_PACKETS = {
    Offer.READS_SKB: _SKB, Offer.CHANGES_SKB: _SKB, Offer.CHANGES_XDP: frozenset({PacketKind.XDP}),
}  # fmt: skip
#: BPF_PROG_TYPE_SOCKET_FILTER, SCHED_CLS, SCHED_ACT
_CLASSIC = frozenset({1, 3, 4})
_IN_PACKET = frozenset({CtxKind.PACKET, CtxKind.PACKET_END, CtxKind.PACKET_META})


@dataclass(frozen=True, slots=True)
class ProgramType:
    """`sections` are the names libbpf knows, exact or followed by "/...". `attach` has enum
    bpf_attach_type for those, and for longer ones, where libbpf's table (section_defs) has one.

    `ctx_size` is in bytes. With `raw_ctx`, any bytes of the context from there on may be
    read (and written, where `ctx_writable`): tracing contexts and syscall programs; with None only
    `fields`. Those that
    read packets may write them too with `writes_packet` (may_access_direct_pkt_data). With
    `private_stack`, functions with large frames have them elsewhere than on the kernel's stack
    (bpf_enable_priv_stack).
    `number` is enum bpf_prog_type's. `returns` are the least and the greatest result that a
    program may have, None for any (check_return_code). `test_run`: so many bytes of its context
    are what BPF_PROG_TEST_RUN is given, beyond them is what it makes itself; None if it does not
    run such programs. `objects`: Linux has bpf_obj_new and its like for them (generic_kfunc_set).
    `interrupts`: they run in interrupts, and so in signals. `sleepable`: in any section, they run
    where one may sleep, and so not in an RCU section. `offers` are the helpers that it has beyond
    those of all types.

    Raises ValueError for facts that exclude each other.
    """

    name: str
    number: int
    sections: tuple[str, ...]
    ctx_struct: str
    ctx_size: int
    fields: tuple[CtxField, ...] = ()
    raw_ctx: int | None = None
    ctx_writable: bool = False
    writes_packet: bool = False
    private_stack: bool = False
    attach: tuple[tuple[str, int], ...] = ()
    objects: bool = False
    sleepable: bool = field(kw_only=True)
    interrupts: bool = field(kw_only=True)
    packet: PacketKind = field(kw_only=True)
    offers: frozenset[Offer] = field(kw_only=True)
    returns: tuple[int, int] | None = field(kw_only=True)
    test_run: int | None = field(kw_only=True)

    @property
    def has_packet(self) -> bool:
        return self.packet is not PacketKind.NONE

    @property
    def classic(self) -> bool:
        """Whether Linux lets them access packets as classic BPF does (may_access_skb)."""
        return self.number in _CLASSIC

    def has(self, offer: Offer) -> bool:
        """Whether programs of this type may call helpers of that kind."""
        return offer is Offer.ALL or offer in self.offers

    def __post_init__(self) -> None:
        if any(f.kind in _IN_PACKET for f in self.fields) and not self.has_packet:
            raise ValueError(f"{self.name}: fields lead into a packet, and there is none")
        if self.writes_packet and not self.has_packet:
            raise ValueError(f"{self.name}: writes a packet, and there is none")
        if self.raw_ctx is not None and self.fields:
            raise ValueError(f"{self.name}: all bytes of the context are alike, or it has fields")
        if self.ctx_writable and self.raw_ctx is None:
            raise ValueError(f"{self.name}: each field tells whether it is writable")
        for offer in self.offers & _PACKETS.keys():
            if self.packet not in _PACKETS[offer]:
                raise ValueError(f"{self.name}: {offer} helpers want another packet")
        if self.sleepable and self.interrupts:
            raise ValueError(f"{self.name}: nobody sleeps in an interrupt")


def _words(*names: str, start: int = 0) -> list[CtxField]:
    """Consecutive __u32 fields; "name[5]" takes five."""
    fields: list[CtxField] = []
    at = start
    for name in names:
        base, _, count = name.partition("[")
        words = int(count.rstrip("]")) if count else 1
        for i in range(words):
            label = f"{base}[{i}]" if count else base
            field = CtxField(label, at, 4, CtxKind.SCALAR, narrow=True, joined=base == "cb")
            fields.append(field)
            at += 4
    return fields


def _whole(*names: str, start: int) -> list[CtxField]:
    """The same, to be read as a whole only."""
    return [replace(field, narrow=False) for field in _words(*names, start=start)]


# struct __sk_buff (uapi/linux/bpf.h); pointers into the packet are 4 bytes wide.
_SKB_FIELDS = (
    *_words(
        "len", "pkt_type", "mark", "queue_mapping", "protocol", "vlan_present", "vlan_tci",
        "vlan_proto", "priority", "ingress_ifindex", "ifindex", "tc_index", "cb[5]", "hash",
        "tc_classid",
    ),
    CtxField("data", 76, 4, CtxKind.PACKET),
    CtxField("data_end", 80, 4, CtxKind.PACKET_END),
    *_words("napi_id", "family", start=84),
    *_whole("remote_ip4", "local_ip4", "remote_ip6[4]", "local_ip6[4]", start=92),
    *_words("remote_port", "local_port", start=132),
    CtxField("data_meta", 140, 4, CtxKind.PACKET_META),
    CtxField("tstamp", 152, 8, CtxKind.SCALAR),
    *_words("wire_len", "gso_segs", start=160),
    CtxField("sk", 168, 8, CtxKind.KERNEL),
    *_words("gso_size", start=176),
    CtxField("tstamp_type", 180, 1, CtxKind.SCALAR, narrow=True),
    CtxField("hwtstamp", 184, 8, CtxKind.SCALAR),
)  # fmt: skip


def _skb(hidden: frozenset[str], writable: frozenset[str]) -> tuple[CtxField, ...]:
    """The fields of struct __sk_buff less the hidden ones."""
    return tuple(
        replace(field, writable=field.name.partition("[")[0] in writable)
        for field in _SKB_FIELDS
        if field.name.partition("[")[0] not in hidden
    )


# The ends of the connection.
_ENDS = frozenset(
    {"family", "remote_ip4", "local_ip4", "remote_ip6", "local_ip6", "remote_port", "local_port"}
)

# tc_cls_act_is_valid_access
_TC_FIELDS = _skb(
    _ENDS,
    frozenset({"mark", "priority", "tc_index", "cb", "tc_classid", "queue_mapping", "tstamp"}),
)
# cg_skb_is_valid_access
_CGROUP_FIELDS = _skb(
    frozenset({"tc_classid", "data_meta", "wire_len", "tstamp_type"}),
    frozenset({"mark", "priority", "cb", "tstamp"}),
)
# sk_filter_is_valid_access
_SOCKET_FIELDS = _skb(
    frozenset(
        {
            "tc_classid",
            "data",
            "data_meta",
            "data_end",
            "tstamp",
            "wire_len",
            "tstamp_type",
            "hwtstamp",
        }
    )
    | _ENDS,
    frozenset({"cb"}),
)

_XDP_FIELDS = (
    CtxField("data", 0, 4, CtxKind.PACKET),
    CtxField("data_end", 4, 4, CtxKind.PACKET_END),
    CtxField("data_meta", 8, 4, CtxKind.PACKET_META),
    # Whole words only; egress_ifindex is there for device maps only (xdp_is_valid_access).
    *_whole("ingress_ifindex", "rx_queue_index", start=12),
)

# struct pt_regs of x86-64.
_REGISTERS = (
    "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di",
    "orig_ax", "ip", "cs", "flags", "sp", "ss",
)  # fmt: skip

# pe_prog_is_valid_access: registers as a whole, the sample in any pieces.
_PERF_FIELDS = (
    *(CtxField(f"regs.{name}", 8 * i, 8, CtxKind.SCALAR) for i, name in enumerate(_REGISTERS)),
    CtxField("sample_period", 168, 8, CtxKind.SCALAR, narrow=True),
    CtxField("addr", 176, 8, CtxKind.SCALAR, narrow=True),
)

# BPF_TCX_INGRESS, BPF_TCX_EGRESS
_TCX = (("tc/ingress", 46), ("tc/egress", 47), ("tcx/ingress", 46), ("tcx/egress", 47))
# BPF_XDP_DEVMAP, BPF_XDP_CPUMAP, BPF_XDP
_XDP_ATTACH = (("xdp/devmap", 35), ("xdp/cpumap", 36), ("xdp", 37))

PROGRAM_TYPES: tuple[ProgramType, ...] = (
    ProgramType("socket_filter", 1, ("socket",), "__sk_buff", 192, _SOCKET_FIELDS,
                sleepable=False, interrupts=False, packet=PacketKind.SKB_PAYLOAD,
                offers=frozenset({Offer.READS_SKB}), returns=None, test_run=0),
    ProgramType("kprobe", 2, ("kprobe", "kretprobe", "ksyscall", "uprobe", "uretprobe"),
                "pt_regs", 168, raw_ctx=0, private_stack=True, sleepable=False, interrupts=False,
                packet=PacketKind.NONE, offers=_TRACES, returns=None, test_run=None),
    ProgramType("sched_cls", 3, ("tc", "classifier", "action", "tcx/ingress", "tcx/egress"),
                "__sk_buff", 192, _TC_FIELDS, writes_packet=True, objects=True, attach=_TCX,
                sleepable=False, interrupts=False, packet=PacketKind.SKB,
                offers=_LOCKS | {Offer.READS_SKB, Offer.CHANGES_SKB}, returns=None, test_run=0),
    ProgramType("tracepoint", 5, ("tracepoint", "tp"), "void", 8192, raw_ctx=8,
                private_stack=True, sleepable=False, interrupts=False, packet=PacketKind.NONE,
                offers=_TRACES, returns=None, test_run=None),
    ProgramType("xdp", 6, ("xdp",), "xdp_md", 24, _XDP_FIELDS, writes_packet=True, objects=True,
                attach=_XDP_ATTACH, sleepable=False, interrupts=False, packet=PacketKind.XDP,
                offers=_LOCKS | {Offer.CHANGES_XDP}, returns=None, test_run=8),
    ProgramType("perf_event", 7, ("perf_event",), "bpf_perf_event_data", 184, _PERF_FIELDS,
                private_stack=True, sleepable=False, interrupts=True, packet=PacketKind.NONE,
                offers=_TRACES, returns=None, test_run=None),
    # On the way out, 2 and 3 tell of congestion.
    ProgramType("cgroup_skb", 8, ("cgroup_skb/egress",), "__sk_buff", 192, _CGROUP_FIELDS,
                objects=True, attach=(("cgroup_skb/egress", 1),),  # BPF_CGROUP_INET_EGRESS
                sleepable=False, interrupts=False, packet=PacketKind.SKB_PAYLOAD,
                offers=_LOCKS | {Offer.READS_SKB}, returns=(0, 3), test_run=0),
    ProgramType("cgroup_skb", 8, ("cgroup_skb", "cgroup/skb"), "__sk_buff", 192, _CGROUP_FIELDS,
                objects=True, sleepable=False, interrupts=False, packet=PacketKind.SKB_PAYLOAD,
                offers=_LOCKS | {Offer.READS_SKB}, returns=(0, 1), test_run=0),
    ProgramType("raw_tracepoint", 17, ("raw_tracepoint", "raw_tp"), "bpf_raw_tracepoint_args",
                96, raw_ctx=0, private_stack=True, sleepable=False, interrupts=False,
                packet=PacketKind.NONE, offers=_TRACES, returns=None, test_run=96),
    ProgramType("syscall", 31, ("syscall",), "void", 65535, raw_ctx=0, ctx_writable=True,
                objects=True, sleepable=True, interrupts=False, packet=PacketKind.NONE,
                offers=_LOCKS | _TRACES, returns=None, test_run=65535),
)  # fmt: skip

BY_NAME: dict[str, ProgramType] = {t.name: t for t in PROGRAM_TYPES}


def types_with(offer: Offer) -> str:
    """The names of the types that have such helpers, for people."""
    return ", ".join(sorted({row.name for row in PROGRAM_TYPES if row.has(offer)}))


@lru_cache  # Every run of a program asks.
def program_type(section: str) -> ProgramType | None:
    """The type that a section's name selects, None if none does. A leading "?" (not loaded by
    default) and a suffix ".s" (sleepable) are libbpf's."""
    name = section.removeprefix("?")
    for row in PROGRAM_TYPES:
        for prefix in row.sections:
            for spelled in (prefix, f"{prefix}.s"):
                if name == spelled or name.startswith(f"{spelled}/"):
                    return row
    return None


def attach_type(section: str) -> int:
    """enum bpf_attach_type of a section, 0 where libbpf's table has none."""
    row, name = program_type(section), section.removeprefix("?")
    for prefix, number in () if row is None else row.attach:
        if name == prefix or name.startswith((f"{prefix}/", f"{prefix}.")):
            return number
    return 0


def may_sleep(section: str) -> bool:
    """Whether programs of that section run in a sleepable context."""
    row = program_type(section)
    head = section.removeprefix("?").partition("/")[0]
    return row is not None and (row.sleepable or head.endswith(".s"))
