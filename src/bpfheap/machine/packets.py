"""What a kernel knows of a packet: plain data."""

from __future__ import annotations

from typing import NamedTuple

from bpfheap.machine.frames import ETH_HLEN, unseen
from bpfheap.platform.programs import ProgramType


class Tunnel(NamedTuple):
    """What a program said of the tunnel that a packet is to take (struct ip_tunnel_info).

    `target`, `source`: the tunnel's ends, 4 or 16 bytes in the order of the network. `flags`: as
    TUNNEL_* has them. `options`: None as long as nobody set any.
    """

    id: int
    target: bytes
    source: bytes
    tos: int
    ttl: int
    label: int
    flags: int
    options: bytes | None = None


class Skb(NamedTuple):
    """What the kernel knows of a packet beside its bytes and the fields of the context (struct
    sk_buff). Offsets are from the packet's first byte that the program sees.

    `mac`, `network`: where these headers begin; `transport`: the same, None as long as nobody said.
    `mac_len`: the length of the first, if anybody asked for it.
    `encapsulated`: a program put headers around it.
    `checked`: how many checksums inside one another are known to be right, less one
        (skb->csum_level); -1 for none.
    `hashed`: its hash is known, also if that is 0.
    `tunnel`: the one that it is to take.
    """

    mac: int = 0
    network: int = 0
    transport: int | None = None
    mac_len: int = 0
    encapsulated: bool = False
    checked: int = -1
    hashed: bool = False
    tunnel: Tunnel | None = None


class Frame(NamedTuple):
    """A packet as calls see and change it.

    `whole`: its bytes, metadata first.
    `data`: the byte at which the packet itself begins.
    `room`, `tail`: free bytes before and behind it, to grow into.
    `unseen`: the bytes in front that the program does not see: its Ethernet header.
    """

    whole: bytes
    data: int
    room: int
    tail: int
    unseen: bytes
    skb: Skb


def known_of(row: ProgramType, frame: bytes) -> tuple[bytes, Skb]:
    """Of a packet that has just come: what its program does not see of it, and what is known."""
    hidden = unseen(row)
    return frame[:hidden], Skb(-hidden, ETH_HLEN - hidden)
