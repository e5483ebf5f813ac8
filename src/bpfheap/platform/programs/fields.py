"""Fields of contexts: what several families have in common."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from bpfheap.platform.programs.row import CtxField, CtxKind, ProgramType


def words(*names: str, start: int = 0) -> list[CtxField]:
    """Consecutive __u32 fields; "name[5]" takes five."""
    fields: list[CtxField] = []
    at = start
    for name in names:
        base, _, count = name.partition("[")
        number = int(count.rstrip("]")) if count else 1
        until = at + 4 * number
        for i in range(number):
            label = f"{base}[{i}]" if count else base
            fields.append(CtxField(label, at, 4, CtxKind.SCALAR, narrow=True, until=until))
            at += 4
    return fields


def whole(*names: str, start: int) -> list[CtxField]:
    """The same, to be read as a whole only."""
    return [replace(field, narrow=False) for field in words(*names, start=start)]


def array_of(field: CtxField) -> str:
    """The name of the array that a field is in, or its own."""
    return field.name.partition("[")[0]


def pick(
    fields: tuple[CtxField, ...], *, hidden: Container[str] = (), writable: Container[str] = ()
) -> tuple[CtxField, ...]:
    """The fields less the hidden ones; both by the names of arrays."""
    return tuple(
        replace(field, writable=array_of(field) in writable)
        for field in fields
        if array_of(field) not in hidden
    )


def kernel(name: str, offset: int, struct: str) -> CtxField:
    """A pointer to an object of the kernel."""
    return CtxField(name, offset, 8, CtxKind.KERNEL, target=struct)


def socket(name: str, offset: int, target: str, *, or_null: bool = False) -> CtxField:
    """A pointer to a socket, of one of SOCKET_TYPES."""
    return CtxField(name, offset, 8, CtxKind.SOCKET, target=target, or_null=or_null)


# struct __sk_buff (uapi/linux/bpf.h); pointers into the packet are 4 bytes wide.
SKB = (
    *words(
        "len", "pkt_type", "mark", "queue_mapping", "protocol", "vlan_present", "vlan_tci",
        "vlan_proto", "priority", "ingress_ifindex", "ifindex", "tc_index",
    ),
    *(replace(field, joined=True) for field in words("cb[5]", start=48)),
    *words("hash", "tc_classid", start=68),
    CtxField("data", 76, 4, CtxKind.PACKET),
    CtxField("data_end", 80, 4, CtxKind.PACKET_END),
    *words("napi_id", "family", start=84),
    *whole("remote_ip4", "local_ip4", "remote_ip6[4]", "local_ip6[4]", start=92),
    *words("remote_port", "local_port", start=132),
    CtxField("data_meta", 140, 4, CtxKind.PACKET_META),
    CtxField("tstamp", 152, 8, CtxKind.SCALAR),
    *words("wire_len", "gso_segs", start=160),
    socket("sk", 168, "sock_common", or_null=True),
    *words("gso_size", start=176),
    CtxField("tstamp_type", 180, 1, CtxKind.SCALAR, narrow=True),
    CtxField("hwtstamp", 184, 8, CtxKind.SCALAR),
)  # fmt: skip


def _from_start(*names: str, start: int) -> list[CtxField]:
    return [replace(field, from_start=True) for field in words(*names, start=start)]


# struct bpf_sock (bpf_sock_is_valid_access): pieces of most fields are those at their start.
SOCK = (
    *whole("bound_dev_if", start=0),
    *_from_start("family", "type", "protocol", start=4),
    *whole("mark", "priority", start=16),
    *words("src_ip4", "src_ip6[4]", start=24),
    *_from_start("src_port", start=44),
    CtxField("dst_port", 48, 2, CtxKind.SCALAR, narrow=True, padded=True),
    *words("dst_ip4", "dst_ip6[4]", start=52),
    *_from_start("state", "rx_queue_mapping", start=72),
)

#: The ends of the connection.
ENDS = frozenset(
    {"family", "remote_ip4", "local_ip4", "remote_ip6", "local_ip6", "remote_port", "local_port"}
)


def field_of_calls(row: ProgramType, name: str) -> CtxField | None:
    """A field as what a program calls sees it, None if there is none: of struct __sk_buff, also
    what programs of that type may not see."""
    fields = SKB if row.of_skb else row.fields
    return next((field for field in fields if field.name == name), None)
