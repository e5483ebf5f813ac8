"""Calls on a struct sk_buff: bytes of the packet, and checksums; headers.py has those that make it
longer or shorter.

Source: net/core/filter.c of Linux 6.18. Packets come as
BPF_PROG_TEST_RUN makes them: in one piece, nobody else has them, and nobody has summed them up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bpfheap.machine import checksums
from bpfheap.machine.model.convention import Arguments, Implementation, error, number
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.packets import change, packet_of, whole_of
from bpfheap.machine.model.progress import Packet
from bpfheap.machine.model.values import U32, Pointer, Value
from bpfheap.platform.programs.fields import SKB
from bpfheap.runtime.world import Redirect

_INT_MAX = (1 << 31) - 1
_U16 = (1 << 16) - 1
#: BPF_F_RECOMPUTE_CSUM, BPF_F_INVALIDATE_HASH.
_STORE_FLAGS, _INVALIDATE_HASH = 3, 2
#: BPF_F_INGRESS.
_INGRESS = 1
#: BPF_F_HDR_FIELD_MASK.
_FIELD_SIZE = 0xF
#: BPF_F_PSEUDO_HDR, BPF_F_IPV6: of sums over the whole packet, of which there are none.
_MANGLED_0, _ENFORCE = 1 << 5, 1 << 6
_L4_FLAGS = _FIELD_SIZE | 1 << 4 | _MANGLED_0 | _ENFORCE | 1 << 7
#: CSUM_MANGLED_0.
_NO_ZERO = b"\xff\xff"
#: SKB_MAX_CSUM_LEVEL.
_CHECKED_MOST = 3
#: BPF_HDR_START_MAC, BPF_HDR_START_NET.
_FROM_MAC, _FROM_NET = 0, 1
#: SKF_NET_OFF, SKF_LL_OFF: where offsets from these headers begin.
_NET_OFF, _LL_OFF = -0x100000, -0x200000
_FIELDS = {field.name: field for field in SKB}


class Skb:
    """The packet of a program that stands at a call, as that call sees and changes it."""

    def __init__(self, core: Core, ctx: Value, what: str) -> None:
        self._core = core
        self._packet: Packet = packet_of(core, ctx, what)
        self.bytes = whole_of(core.state, self._packet)
        self.known = self._packet.skb

    def __getitem__(self, field: str) -> int:
        """A field of the context."""
        at = _FIELDS[field]
        found = self._core.state.load(Pointer(self._core.execution.ctx, at.offset), at.size)
        return self._core.state.number(found)

    def __setitem__(self, field: str, value: int) -> None:
        at = _FIELDS[field]
        self._core.state.store(Pointer(self._core.execution.ctx, at.offset), at.size, value)

    @property
    def protocol(self) -> int:
        return int.from_bytes(self["protocol"].to_bytes(4, "little")[:2], "big")

    @protocol.setter
    def protocol(self, new: int) -> None:
        self["protocol"] = int.from_bytes(new.to_bytes(2, "big"), "little")

    @property
    def unseen(self) -> bytes:
        """The bytes in front that the program does not see."""
        return self._packet.unseen

    @unseen.setter
    def unseen(self, new: bytes) -> None:
        self._packet = self._packet._replace(unseen=new)

    def knows(self, **facts: Any) -> None:
        self.known = self.known._replace(**facts)

    def forget_hash(self) -> None:
        """skb_clear_hash"""
        self["hash"] = 0
        self.knows(hashed=False)
        self.keep()

    def poke(self, at: int, data: bytes) -> None:
        self.bytes = self.bytes[:at] + data + self.bytes[at + len(data) :]

    def write(self, at: int, data: bytes) -> None:
        """Change bytes of the packet, which stays where it is, and may be one that the program
        itself may not change."""
        self.poke(at, data)
        region = self._core.state.region(self._packet.region)
        region.data[at : at + len(data)] = data

    def keep(self) -> None:
        """The packet stays where it is; what is known of it may have changed."""
        progress = self._core.execution.progress
        packet = self._packet._replace(skb=self.known)
        self._core.execution.progress = progress._replace(packet=packet)

    def put(self, result: int = 0) -> int:
        """Let the program see what became of the packet, at another place. Gives `result`."""
        change(self._core, self._packet._replace(skb=self.known), self.bytes)
        self["len"] = len(self.bytes)
        return result


def numbers(core: Core, args: Arguments, count: int) -> list[int]:
    """The arguments behind the context."""
    return [number(core, args[i], i + 1) for i in range(1, count + 1)]


# -- bytes


def _load_bytes(core: Core, args: Arguments) -> Value:
    """What could not be read is cleared."""
    skb = Skb(core, args[0], "bpf_skb_load_bytes")
    at, size = number(core, args[1], 2) & U32, number(core, args[3], 4) & U32
    return _loaded(core, args[2], skb.bytes, at if at <= _INT_MAX else -1, size)


def _load_bytes_relative(core: Core, args: Arguments) -> Value:
    skb = Skb(core, args[0], "bpf_skb_load_bytes_relative")
    at, size = number(core, args[1], 2) & U32, number(core, args[3], 4) & U32
    start = number(core, args[4], 5) & U32
    header = {_FROM_MAC: skb.known.mac, _FROM_NET: skb.known.network}.get(start)
    hidden = len(skb.unseen)
    found = -1 if header is None or at > _U16 else hidden + header + at
    return _loaded(core, args[2], skb.unseen + skb.bytes, found, size)


def load_classic(core: Core, ctx: Value, at: int, size: int) -> int | None:
    """What an instruction for packet access of classic BPF loads; None where the packet has no
    such bytes. Negative offsets are from a header (bpf_skb_load_helper_8,
    bpf_internal_load_pointer_neg_helper)."""
    skb = Skb(core, ctx, "bpf_skb_load_bytes")
    data, hidden = skb.unseen + skb.bytes, len(skb.unseen)
    if at >= 0:
        start = hidden + at
    elif at >= _NET_OFF:
        start = hidden + skb.known.network + at - _NET_OFF
    elif at >= _LL_OFF:
        start = hidden + skb.known.mac + at - _LL_OFF
    else:
        return None
    there = start + size <= len(data)
    return int.from_bytes(data[start : start + size], "big") if there else None


def _loaded(core: Core, to: Value, data: bytes, at: int, size: int) -> int:
    there = at >= 0 and at + size <= len(data)
    got = data[at : at + size] if there else bytes(size)
    core.state.store(to, size, int.from_bytes(got, "little"))
    return 0 if there else error("EFAULT")


def _store_bytes(core: Core, args: Arguments) -> Value:
    skb = Skb(core, args[0], "bpf_skb_store_bytes")
    at, size = number(core, args[1], 2) & U32, number(core, args[3], 4) & U32
    flags = number(core, args[4], 5)
    given = core.state.read(args[2], size)
    if flags & ~_STORE_FLAGS:
        return skb.put(error("EINVAL"))
    if at > _INT_MAX or at + size > len(skb.bytes):
        return skb.put(error("EFAULT"))
    skb.poke(at, given)
    if flags & _INVALIDATE_HASH:
        skb.forget_hash()
    return skb.put()


def _pull_data(core: Core, args: Arguments) -> Value:
    """All of the packet is there already."""
    skb = Skb(core, args[0], "bpf_skb_pull_data")
    missing = number(core, args[1], 2) & U32 > len(skb.bytes)
    return skb.put(error("ENOMEM") if missing else 0)


def _clone_redirect(core: Core, args: Arguments) -> Value:
    """A copy goes out at once."""
    skb = Skb(core, args[0], "bpf_clone_redirect")
    to, flags = number(core, args[1], 2) & U32, number(core, args[2], 3)
    world = core.state.world
    if flags & ~_INGRESS or world.network.device(to) is None:
        return skb.put(error("EINVAL"))
    if skb["gso_size"]:
        return skb.put(error("EBADMSG"))
    made = Redirect("bpf_clone_redirect", to, flags=flags, data=skb.bytes)
    core.state.world = world._replace(redirects=(*world.redirects, made))
    return skb.put()


# -- checksums


def _check_at(skb: Skb, at: int, flags: int, known: int) -> str:
    """What is wrong with the place of a sum, if anything."""
    if flags & ~known:
        return "EINVAL"
    return "EFAULT" if at > _U16 or at & 1 or at + 2 > len(skb.bytes) else ""


def _new_sum(old: int, before: int, after: int, size: int) -> int | None:
    """The sum when `size` bytes changed; None where that is refused."""
    if size == 0:
        return None if before else checksums.by_difference(old, after & U32)
    if size == 4:
        return checksums.replaced(old, before & U32, after & U32)
    return checksums.replaced16(old, before, after) if size == 2 else None


def _l3_csum_replace(core: Core, args: Arguments) -> Value:
    skb = Skb(core, args[0], "bpf_l3_csum_replace")
    at, before, after, flags = numbers(core, args, 4)
    at &= U32
    wrong = _check_at(skb, at, flags, _FIELD_SIZE)
    if wrong:
        return skb.put(error(wrong))
    new = _new_sum(int.from_bytes(skb.bytes[at : at + 2], "little"), before, after, flags)
    if new is None:
        return skb.put(error("EINVAL"))
    skb.poke(at, new.to_bytes(2, "little"))
    return skb.put()


def _l4_csum_replace(core: Core, args: Arguments) -> Value:
    """With BPF_F_MARK_MANGLED_0, a sum of 0 means that there is none (UDP)."""
    skb = Skb(core, args[0], "bpf_l4_csum_replace")
    at, before, after, flags = numbers(core, args, 4)
    at &= U32
    wrong = _check_at(skb, at, flags, _L4_FLAGS)
    if wrong:
        return skb.put(error(wrong))
    old = int.from_bytes(skb.bytes[at : at + 2], "little")
    if flags & _MANGLED_0 and not flags & _ENFORCE and not old:
        return skb.put()
    size = flags & _FIELD_SIZE
    if size == 2:
        # inet_proto_csum_replace2
        before, after, size = before & _U16, after & _U16, 4
    new = _new_sum(old, before, after, size)
    if new is None:
        return skb.put(error("EINVAL"))
    raw = new.to_bytes(2, "little")
    skb.poke(at, _NO_ZERO if flags & _MANGLED_0 and not new else raw)
    return skb.put()


def _csum_update(core: Core, args: Arguments) -> Value:
    """The sum over a whole packet: a device would have made it."""
    packet_of(core, args[0], "bpf_csum_update")
    number(core, args[1], 2)
    return error("ENOTSUPP")


def _csum_level(core: Core, args: Arguments) -> Value:
    skb = Skb(core, args[0], "bpf_csum_level")
    level = number(core, args[1], 2)
    checked = skb.known.checked
    match level:
        case 0:  # BPF_CSUM_LEVEL_QUERY
            return error("EACCES") if checked < 0 else checked
        case 1:  # BPF_CSUM_LEVEL_INC
            skb.knows(checked=min(checked + 1, _CHECKED_MOST))
        case 2:  # BPF_CSUM_LEVEL_DEC
            skb.knows(checked=max(checked - 1, -1))
        case 3:  # BPF_CSUM_LEVEL_RESET
            skb.knows(checked=-1)
        case _:
            return error("EINVAL")
    skb.keep()
    return 0


CALLS: Mapping[str, Implementation] = {
    "bpf_clone_redirect": _clone_redirect,
    "bpf_skb_load_bytes": _load_bytes,
    "bpf_skb_load_bytes_relative": _load_bytes_relative,
    "bpf_skb_store_bytes": _store_bytes,
    "bpf_skb_pull_data": _pull_data,
    "bpf_l3_csum_replace": _l3_csum_replace,
    "bpf_l4_csum_replace": _l4_csum_replace,
    "bpf_csum_update": _csum_update,
    "bpf_csum_level": _csum_level,
}
