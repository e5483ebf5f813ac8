"""Kinds of dynptrs: what a struct bpf_dynptr leads to (enum bpf_dynptr_type)."""

from __future__ import annotations

from enum import StrEnum


class DynptrKind(StrEnum):
    """By the verifier log's word (dynptr_type_str)."""

    LOCAL = "local"  # a value of a map
    RINGBUF = "ringbuf"  # a record that was reserved
    SKB = "skb"  # the packet of a struct sk_buff
    XDP = "xdp"  # that of a struct xdp_buff
    SKB_META = "skb_meta"  # the metadata in front of a packet

    @property
    def owned(self) -> bool:
        """Whether what it leads to has to be given away (dynptr_type_refcounted)."""
        return self is DynptrKind.RINGBUF

    @property
    def of_packet(self) -> bool:
        """Whether it leads into a packet, which may move."""
        return self in (DynptrKind.SKB, DynptrKind.XDP, DynptrKind.SKB_META)

    @property
    def copies(self) -> bool:
        """Whether a slice may be the copy in a buffer that the program gives."""
        return self in (DynptrKind.SKB, DynptrKind.XDP)

    @property
    def moved(self) -> bool:
        """Whether writing through it may move the packet (bpf_skb_store_bytes)."""
        return self in (DynptrKind.SKB, DynptrKind.SKB_META)


#: struct bpf_dynptr, on the stack of a program.
DYNPTR_SIZE = 16
