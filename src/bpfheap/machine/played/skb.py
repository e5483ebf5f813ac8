"""Calls on a struct sk_buff: bytes of the packet, and checksums; headers.py has those that make it
longer or shorter.

Source: net/core/filter.c of Linux 6.18. Packets come as
BPF_PROG_TEST_RUN makes them: in one piece, nobody else has them, and nobody has summed them up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bpfheap.machine import checksums
from bpfheap.machine.played.refusals import error
from bpfheap.machine.tables.caller import Played, TableCaller
from bpfheap.machine.words import signed32
from bpfheap.runtime.world import Redirect, Word

_INT_MAX = (1 << 31) - 1
#: More than that no packet gets.
LARGEST = 1 << 16
_U16, _U32 = (1 << 16) - 1, (1 << 32) - 1
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
#: Loads of classic BPF are no call: they are for the programs that may make this one.
AS_CLASSIC = "bpf_skb_load_bytes"
#: SKF_NET_OFF, SKF_LL_OFF: where offsets from these headers begin.
_NET_OFF, _LL_OFF = -0x100000, -0x200000


class Skb:
    """The packet of a program that stands at a call, as that call sees and changes it."""

    def __init__(self, call: TableCaller, ctx: Word) -> None:
        self._call, self._ctx = call, ctx
        self._frame = call.frame(ctx)
        self.bytes = self._frame.whole
        self.known = self._frame.skb

    def __getitem__(self, field: str) -> int:
        """A field of the context."""
        return self._call.number(self._call.field(field))

    def __setitem__(self, field: str, value: int) -> None:
        self._call.show(self._ctx, field, value)

    @property
    def protocol(self) -> int:
        return int.from_bytes(self["protocol"].to_bytes(4, "little")[:2], "big")

    @protocol.setter
    def protocol(self, new: int) -> None:
        self["protocol"] = int.from_bytes(new.to_bytes(2, "big"), "little")

    @property
    def unseen(self) -> bytes:
        """The bytes in front that the program does not see."""
        return self._frame.unseen

    @unseen.setter
    def unseen(self, new: bytes) -> None:
        self._frame = self._frame._replace(unseen=new)

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
        self._call.poke(at, data)

    def keep(self) -> None:
        """The packet stays where it is; what is known of it may have changed."""
        self._call.know(self._frame._replace(skb=self.known))

    def put(self, result: int = 0) -> int:
        """Let the program see what became of the packet, at another place. Gives `result`."""
        if len(self.bytes) > LARGEST:
            self.bytes, self.known = self._frame.whole, self._frame.skb
            result = error("ENOMEM")
        self._call.reframe(self._frame._replace(whole=self.bytes, skb=self.known))
        self["len"] = len(self.bytes)
        return result


def numbers(call: TableCaller, args: Sequence[Word], count: int) -> list[int]:
    """The arguments behind the context."""
    return [call.number(args[i]) for i in range(1, count + 1)]


# -- bytes


def _load_bytes(call: TableCaller, args: Sequence[Word]) -> Word:
    """What could not be read is cleared."""
    skb = Skb(call, args[0])
    at, size = call.number(args[1]) & _U32, call.number(args[3]) & _U32
    return _loaded(call, args[2], skb.bytes, at if at <= _INT_MAX else -1, size)


def _load_bytes_relative(call: TableCaller, args: Sequence[Word]) -> Word:
    skb = Skb(call, args[0])
    at, size = call.number(args[1]) & _U32, call.number(args[3]) & _U32
    start = call.number(args[4]) & _U32
    header = {_FROM_MAC: skb.known.mac, _FROM_NET: skb.known.network}.get(start)
    hidden = len(skb.unseen)
    found = -1 if header is None or at > _U16 else hidden + header + at
    return _loaded(call, args[2], skb.unseen + skb.bytes, found, size)


def load_classic(call: TableCaller, ctx: Word, at: int, size: int) -> int | None:
    """What an instruction for packet access of classic BPF loads; None where the packet has no
    such bytes. Negative offsets are from a header (bpf_skb_load_helper_8,
    bpf_internal_load_pointer_neg_helper)."""
    skb = Skb(call, ctx)
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


def classic(call: TableCaller, args: Sequence[Word]) -> Word:
    """The same, as a call: -1 where there are no such bytes."""
    found = load_classic(call, args[0], signed32(call.number(args[1])), call.number(args[2]))
    return -1 if found is None else found


def _loaded(call: TableCaller, to: Word, data: bytes, at: int, size: int) -> int:
    there = at >= 0 and at + size <= len(data)
    got = data[at : at + size] if there else bytes(size)
    call.write(to, got)
    return 0 if there else error("EFAULT")


def _store_bytes(call: TableCaller, args: Sequence[Word]) -> Word:
    skb = Skb(call, args[0])
    at, size = call.number(args[1]) & _U32, call.number(args[3]) & _U32
    flags = call.number(args[4])
    given = call.read(args[2], size)
    if flags & ~_STORE_FLAGS:
        return skb.put(error("EINVAL"))
    if at > _INT_MAX or at + size > len(skb.bytes):
        return skb.put(error("EFAULT"))
    skb.poke(at, given)
    if flags & _INVALIDATE_HASH:
        skb.forget_hash()
    return skb.put()


def _pull_data(call: TableCaller, args: Sequence[Word]) -> Word:
    """All of the packet is there already."""
    skb = Skb(call, args[0])
    missing = call.number(args[1]) & _U32 > len(skb.bytes)
    return skb.put(error("ENOMEM") if missing else 0)


def _clone_redirect(call: TableCaller, args: Sequence[Word]) -> Word:
    """A copy goes out at once."""
    skb = Skb(call, args[0])
    to, flags = call.number(args[1]) & _U32, call.number(args[2])
    world = call.world
    if flags & ~_INGRESS or world.network.device(to) is None:
        return skb.put(error("EINVAL"))
    if skb["gso_size"]:
        return skb.put(error("EBADMSG"))
    made = Redirect("bpf_clone_redirect", to, flags=flags, data=skb.bytes)
    call.world = world._replace(redirects=(*world.redirects, made))
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
        return None if before else checksums.by_difference(old, after & _U32)
    if size == 4:
        return checksums.replaced(old, before & _U32, after & _U32)
    return checksums.replaced16(old, before, after) if size == 2 else None


def _l3_csum_replace(call: TableCaller, args: Sequence[Word]) -> Word:
    skb = Skb(call, args[0])
    at, before, after, flags = numbers(call, args, 4)
    at &= _U32
    wrong = _check_at(skb, at, flags, _FIELD_SIZE)
    if wrong:
        return skb.put(error(wrong))
    new = _new_sum(int.from_bytes(skb.bytes[at : at + 2], "little"), before, after, flags)
    if new is None:
        return skb.put(error("EINVAL"))
    skb.poke(at, new.to_bytes(2, "little"))
    return skb.put()


def _l4_csum_replace(call: TableCaller, args: Sequence[Word]) -> Word:
    """With BPF_F_MARK_MANGLED_0, a sum of 0 means that there is none (UDP)."""
    skb = Skb(call, args[0])
    at, before, after, flags = numbers(call, args, 4)
    at &= _U32
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


def _csum_update(call: TableCaller, args: Sequence[Word]) -> Word:
    """The sum over a whole packet: a device would have made it."""
    call.frame(args[0])
    call.number(args[1])
    return error("ENOTSUPP")


def _csum_level(call: TableCaller, args: Sequence[Word]) -> Word:
    skb = Skb(call, args[0])
    level = call.number(args[1])
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


CALLS: Mapping[str, Played] = {
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
