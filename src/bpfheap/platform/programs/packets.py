"""Programs that see packets of a network device, a route or a stream.

Sources: sk_filter_verifier_ops and its like in net/core/filter.c of Linux 6.18.
"""

from __future__ import annotations

from bpfheap.platform.programs.attach import AttachType as At
from bpfheap.platform.programs.fields import ENDS, SKB, pick, whole
from bpfheap.platform.programs.row import (
    CtxField,
    CtxKind,
    Offer,
    PacketKind,
    ProgramType,
    Section,
)

_TIMES = frozenset({"tstamp", "tstamp_type", "hwtstamp"})

# sk_filter_is_valid_access
_SOCKET_FIELDS = pick(
    SKB,
    hidden=ENDS | _TIMES | {"tc_classid", "data", "data_meta", "data_end", "wire_len"},
    writable={"cb"},
)
# tc_cls_act_is_valid_access
_TC_FIELDS = pick(
    SKB,
    hidden=ENDS,
    writable={"mark", "priority", "tc_index", "cb", "tc_classid", "queue_mapping", "tstamp"},
)
# lwt_is_valid_access
_LWT_FIELDS = pick(
    SKB,
    hidden=ENDS | _TIMES | {"tc_classid", "data_meta", "wire_len"},
    writable={"mark", "priority", "cb"},
)
# sk_skb_is_valid_access
_STREAM_FIELDS = pick(
    SKB,
    hidden=_TIMES | {"tc_classid", "data_meta", "wire_len", "mark"},
    writable={"tc_index", "priority"},
)
# flow_dissector_is_valid_access
_FLOW_FIELDS = (
    CtxField("data", 76, 4, CtxKind.PACKET),
    CtxField("data_end", 80, 4, CtxKind.PACKET_END),
    CtxField("flow_keys", 144, 8, CtxKind.FLOW_KEYS),
)

# xdp_is_valid_access: whole words only.
_XDP_FIELDS = (
    CtxField("data", 0, 4, CtxKind.PACKET),
    CtxField("data_end", 4, 4, CtxKind.PACKET_END),
    CtxField("data_meta", 8, 4, CtxKind.PACKET_META),
    *whole("ingress_ifindex", "rx_queue_index", start=12),
)
#: Programs of a device map know where the packet goes, too.
_DEVMAP_FIELDS = (*_XDP_FIELDS, *whole("egress_ifindex", start=20))


def _xdp(sections: tuple[Section, ...], fields: tuple[CtxField, ...]) -> ProgramType:
    return ProgramType("xdp", 6, sections, "xdp_md", 24, fields, writes_packet=True, objects=True,
                       sleepable=False, interrupts=False, packet=PacketKind.XDP, caller=Offer.XDP,
                       returns=None, test_run=8)  # fmt: skip


def _lwt(name: str, number: int, caller: Offer) -> ProgramType:
    """Of a route (lightweight tunnels)."""
    return ProgramType(name, number, (Section(name),), "__sk_buff", 192, _LWT_FIELDS,
                       sleepable=False, interrupts=False, packet=PacketKind.SKB_PAYLOAD,
                       caller=caller, returns=None, test_run=0)  # fmt: skip


PACKETS: tuple[ProgramType, ...] = (
    ProgramType("socket_filter", 1, (Section("socket"),), "__sk_buff", 192, _SOCKET_FIELDS,
                loads_packet=True, sleepable=False, interrupts=False,
                packet=PacketKind.SKB_PAYLOAD, caller=Offer.SOCKET, returns=None, test_run=0),
    ProgramType("sched_cls", 3, (
                    Section("tc"),
                    Section("classifier"),
                    Section("tc/ingress", At.TCX_INGRESS),
                    Section("tc/egress", At.TCX_EGRESS),
                    Section("tcx/ingress", At.TCX_INGRESS),
                    Section("tcx/egress", At.TCX_EGRESS),
                    Section("netkit/primary", At.NETKIT_PRIMARY),
                    Section("netkit/peer", At.NETKIT_PEER),
                ), "__sk_buff", 192, _TC_FIELDS, writes_packet=True, loads_packet=True,
                objects=True, sleepable=False, interrupts=False, packet=PacketKind.SKB,
                caller=Offer.TC, returns=None, test_run=0),
    ProgramType("sched_act", 4, (Section("action"),), "__sk_buff", 192, _TC_FIELDS,
                writes_packet=True, loads_packet=True, sleepable=False, interrupts=False,
                packet=PacketKind.SKB, caller=Offer.TC, returns=None, test_run=0),
    _xdp((Section("xdp", At.XDP, attach_optional=True), Section("xdp.frags", At.XDP, frags=True),
          Section("xdp/cpumap", At.XDP_CPUMAP),
          Section("xdp.frags/cpumap", At.XDP_CPUMAP, frags=True)), _XDP_FIELDS),
    _xdp((Section("xdp/devmap", At.XDP_DEVMAP),
          Section("xdp.frags/devmap", At.XDP_DEVMAP, frags=True)), _DEVMAP_FIELDS),
    _lwt("lwt_in", 10, Offer.LWT_IN),
    _lwt("lwt_out", 11, Offer.LWT_OUT),
    ProgramType("lwt_xmit", 12, (Section("lwt_xmit"),), "__sk_buff", 192, _LWT_FIELDS,
                writes_packet=True, sleepable=False, interrupts=False,
                packet=PacketKind.SKB_PAYLOAD, caller=Offer.LWT_XMIT, returns=None,
                test_run=0),
    _lwt("lwt_seg6local", 19, Offer.LWT_SEG6),
    ProgramType("sk_skb", 14, (
                    Section("sk_skb"),
                    Section("sk_skb/stream_parser", At.SK_SKB_STREAM_PARSER, attach_optional=True),
                    Section("sk_skb/stream_verdict", At.SK_SKB_STREAM_VERDICT,
                            attach_optional=True),
                    Section("sk_skb/verdict", At.SK_SKB_VERDICT, attach_optional=True),
                ), "__sk_buff", 192, _STREAM_FIELDS, writes_packet=True, sleepable=False,
                interrupts=False, packet=PacketKind.OTHER, caller=Offer.SK_SKB, returns=None,
                test_run=None),
    ProgramType("flow_dissector", 22,
                (Section("flow_dissector", At.FLOW_DISSECTOR, attach_optional=True),),
                "__sk_buff", 192, _FLOW_FIELDS, sleepable=False, interrupts=False,
                packet=PacketKind.OTHER,
                caller=Offer.FLOW_DISSECTOR,
                returns=None, test_run=None),
)  # fmt: skip
