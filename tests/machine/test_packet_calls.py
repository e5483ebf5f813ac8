"""Calls on packets do on our machines what they do on Linux: packet_calls.json has what they
did there. `python tests/machine/test_packet_calls.py`, as root, writes it anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import pytest
from packet_calls import IP, IPV6, RAW, TWO_VLANS, VLAN, call, on_linux, on_model, on_stack

from bpfheap.kernel import Kernel, available
from bpfheap.machine.model import ModelMachine
from bpfheap.machine.native.machine import NativeMachine
from on_machines import MACHINES

RESULTS = Path(__file__).with_name("packet_calls.json")
M64 = (1 << 64) - 1
FRAMES = {"ip": IP, "ipv6": IPV6, "vlan": VLAN, "two vlans": TWO_VLANS, "raw": RAW}
#: By whom they go to.
ADDRESSED = {
    f"to {address}": bytes.fromhex(address) + IP[6:]
    for address in ("00" * 6, "01005e000001", "ff" * 6, "020000000001")
}
#: Fields of struct __sk_buff, as loads; and the length of the packet's memory.
FIELDS = {
    name: f"r0 = *({size} *)(r6 +{at})"
    for name, size, at in (
        ("len", "u32", 0), ("pkt_type", "u32", 4), ("protocol", "u32", 16),
        ("vlan_present", "u32", 20), ("vlan_tci", "u32", 24), ("vlan_proto", "u32", 28),
        ("hash", "u32", 68), ("tstamp", "u64", 152), ("gso_segs", "u32", 164),
        ("gso_size", "u32", 176), ("tstamp_type", "u8", 180),
    )
} | {"memory": "r0 = *(u32 *)(r6 +80)\nr1 = *(u32 *)(r6 +76)\nr0 -= r1"}  # fmt: skip


class Case(NamedTuple):
    """`code` leaves its result in r0. `fields`: ask for FIELDS afterwards, too. `ctx`: those fields
    of the context that Linux lets one give, by their offsets."""

    code: str
    frame: str = "ip"
    section: str = "tc"
    fields: bool = False
    ctx: tuple[tuple[int, int], ...] = ()

    @property
    def context(self) -> bytes:
        raw = bytearray(192 if self.ctx else 0)
        for at, value in self.ctx:
            raw[at : at + 4] = value.to_bytes(4, "little")
        return bytes(raw)


def sums() -> dict[str, Case]:
    found: dict[str, Case] = {}
    for layer, at in (("l3", 24), ("l4", 50), ("l4", 40)):
        for flags in (0, 2, 4, 1, 3, 8, 16, 32, 34, 36, 52, 64, 98, 100, 128, 148, 256, 1 << 32):
            for before, after in ((0, 0x1234), (0x0A000001, 0xC0A80107), (0x1F90, 0x0050)):
                code = call(f"bpf_{layer}_csum_replace", at, before, after, flags)
                found[f"{layer} at {at}: {before:#x} to {after:#x}, flags {flags:#x}"] = Case(code)
    for at in (-1, 0x10000, 0x10001, 25, 72, 71, 66, 72 - 2):
        for layer in ("l3", "l4"):
            code = call(f"bpf_{layer}_csum_replace", at, 1, 2, 2)
            found[f"{layer} at {at}"] = Case(code)
    # A sum that is 0, or becomes it.
    for flags in (4, 0x24, 0x64, 0x22, 0x62, 0x20, 0x60):
        for before, after in ((0, 0), (0xFFFF, 0), (0, 0xFFFF), (0x1234, 0x1234)):
            to_zero = call("bpf_skb_store_bytes", 60, "r10\nr3 += -8", 2, 0)
            code = f"*(u64 *)(r10 -8) = 0\n{to_zero}"
            code += call("bpf_l4_csum_replace", 60, before, after, flags)
            found[f"sum 0: {before:#x} to {after:#x}, flags {flags:#x}"] = Case(code)
    for frame in ("ipv6", "vlan"):
        code = call("bpf_l4_csum_replace", 60, 0x0A000001, 0xC0A80107, 0x34)
        found[f"l4 of {frame}"] = Case(code, frame)
    return found


#: Makes 32 bytes on the stack, in r7.
STACK = "\n".join(
    ["r7 = r10", "r7 += -32"]
    + [f"r1 = {0x9E3779B97F4A7C15 * n & M64:#x} ll\n*(u64 *)(r7 +{8 * (n - 1)}) = r1"
       for n in range(1, 5)]
)  # fmt: skip


def differences() -> dict[str, Case]:
    found = {}
    sizes = ((0, 0), (4, 0), (0, 4), (4, 4), (16, 8), (8, 32), (32, 32), (0, 28), (3, 0), (4, 2))
    for before, after in sizes:
        for seed in (0, 1, 0xFFFF, 0xFFFFFFFF, 0x12345678):
            for section in ("tc", "xdp"):
                code = f"{STACK}\nr1 = {'r7' if before else 0}\nr2 = {before}\n"
                code += f"r3 = {'r7' if after else 0}\nr4 = {after}\nr5 = {seed:#x} ll\n"
                code += "call bpf_csum_diff"
                name = f"diff of {before} and {after} bytes, seed {seed:#x}, {section}"
                found[name] = Case(code, section=section)
    nothing = "*(u64 *)(r10 -8) = 0\nr1 = r10\nr1 += -8\nr2 = 8\nr3 = r1\nr4 = 8\nr5 = {}\n"
    for seed in (0, -1):
        found[f"diff of zeros, seed {seed}"] = Case(nothing.format(seed) + "call bpf_csum_diff")
    return found


def levels() -> dict[str, Case]:
    found = {}
    for steps in ((), (1,), (2,), (3,), (4,), (1, 1), (1,) * 5, (1, 1, 2), (1, 2), (1, 1, 3)):
        code = "".join(call("bpf_csum_level", step) for step in steps)
        found[f"levels {steps}"] = Case(f"{code}{call('bpf_csum_level', 0)}")
        if steps:
            found[f"levels {steps}, the last result"] = Case(code)
    found["level 5"] = Case(call("bpf_csum_level", 5))
    found["csum_update"] = Case(call("bpf_csum_update", 0x1234))
    return found


#: What was loaded to the stack, or r0 if that says that it was not.
LOADED = "if r0 != 0 goto out\nr0 = *(u32 *)(r10 -8)\nout: r0 = r0"


def loads() -> dict[str, Case]:
    found = {}
    sections = ("tc", "socket")
    before = "*(u64 *)(r10 -8) = -1\n"
    for section in sections:
        for start in (0, 1, 2):
            for at in (0, 1, 14, 54, 68, 69, 0xFFFF, 0x10000, -1):
                code = before + call("bpf_skb_load_bytes_relative", at, "r10\nr3 += -8", 4, start)
                name = f"load from {start} +{at}, {section}"
                found[name] = Case(code + LOADED, section=section)
                found[f"{name}, afterwards"] = Case(f"{code}r0 = *(u32 *)(r10 -8)", section=section)
    for name in ("load", "store"):
        for at in (0, 1, 60, 64, 65, 0xFFFF, 0x10000, -1):
            code = before + call(f"bpf_xdp_{name}_bytes", at, "r10\nr3 += -8", 4)
            found[f"xdp {name} at {at}"] = Case(code, section="xdp")
            found[f"xdp {name} at {at}, afterwards"] = Case(
                f"{code}r0 = *(u32 *)(r10 -8)", section="xdp"
            )
    for by in (0, 20, -20):
        code = call("bpf_xdp_adjust_head", by) + call("bpf_xdp_get_buff_len")
        found[f"xdp length, {by} bytes less"] = Case(code, section="xdp")
    code = call("bpf_xdp_adjust_meta", -8) + call("bpf_xdp_get_buff_len")
    found["xdp length without metadata"] = Case(code, section="xdp")
    code = call("bpf_xdp_adjust_meta", -8) + before
    code += call("bpf_xdp_store_bytes", 2, "r10\nr3 += -8", 8)
    found["xdp store behind metadata"] = Case(code, section="xdp")
    return found


BE_8021Q, BE_8021AD, BE_IP, BE_IPV6 = 0x0081, 0xA888, 0x0008, 0xDD86
#: The first bytes at the network header.
AT_NET = call("bpf_skb_load_bytes_relative", 0, "r10\nr3 += -8", 4, 1)
AT_NET = f"*(u64 *)(r10 -8) = 0\n{AT_NET}r0 = *(u32 *)(r10 -8)\n"


def vlans() -> dict[str, Case]:
    push, pop = "bpf_skb_vlan_push", "bpf_skb_vlan_pop"
    one, two = call(push, BE_8021Q, 0x2064), call(push, BE_8021AD, 7)
    ways = {
        "push": one, "push of another": two, "push of nothing": call(push, 0, 0),
        "push of no VLAN": call(push, BE_IP, 0x12345), "pop": call(pop),
        "push, push": one + two, "push, push, push": one + two + one,
        "push, pop": one + call(pop), "push, push, pop": one + two + call(pop),
        "push, push, pop, pop": one + two + call(pop) * 2, "pop, pop": call(pop) * 2,
        "pop, pop, pop": call(pop) * 3, "pop, push": call(pop) + one,
        "push, change_proto": one + call("bpf_skb_change_proto", BE_IPV6, 0),
        "push, push, change_proto": one + two + call("bpf_skb_change_proto", BE_IPV6, 0),
        "push, ecn": one + call("bpf_skb_ecn_set_ce"),
        "push, push, ecn": one + two + call("bpf_skb_ecn_set_ce"),
        "pop, pop, ecn": call(pop) * 2 + call("bpf_skb_ecn_set_ce"),
        "ecn": call("bpf_skb_ecn_set_ce"),
        "push, head": one + call("bpf_skb_change_head", 8, 0),
    }  # fmt: skip
    found = {}
    for frame in FRAMES:
        for way, code in ways.items():
            found[f"{way}, {frame}"] = Case(code, frame, fields=True)
            found[f"{way}, {frame}, then at the network header"] = Case(code + AT_NET, frame)
    return found


#: gso_size, in the context.
GSO = ((176, 100),)


def sizes() -> dict[str, Case]:
    found = {}
    for size in (0, 1, 14, 100, 4000, 15992, 15993, 16000, -1, 1 << 31):
        for what in ("head", "tail"):
            code = call(f"bpf_skb_change_{what}", size & 0xFFFFFFFF, 0)
            found[f"change_{what} {size}"] = Case(code, fields=size in (0, 1, 14, 100))
    for size in (13, 14, 15, 71, 72, 73, 16064, 16065):
        found[f"change_tail {size}"] = Case(call("bpf_skb_change_tail", size, 0), fields=size < 100)
    for what in ("head", "tail"):
        found[f"change_{what}, flags 1"] = Case(call(f"bpf_skb_change_{what}", 40, 1))
        code = call(f"bpf_skb_change_{what}", 40, 0)
        found[f"change_{what}, xmit"] = Case(code, section="lwt_xmit")
        found[f"change_{what}, gso"] = Case(code, fields=True, ctx=GSO)
        found[f"change_{what}, then at the network header"] = Case(code + AT_NET)
    found["change_head far, gso"] = Case(call("bpf_skb_change_head", 16000, 0), ctx=GSO)
    head = call("bpf_skb_change_head", 20, 0)
    found["change_head, tail 33"] = Case(head + call("bpf_skb_change_tail", 33, 0))
    found["change_head, tail 34"] = Case(head + call("bpf_skb_change_tail", 34, 0))
    for frame in FRAMES:
        for proto in (BE_IP, BE_IPV6, BE_8021Q):
            for flags in (0, 1):
                code = call("bpf_skb_change_proto", proto, flags)
                name = f"change_proto {proto:#x}, flags {flags}, {frame}"
                found[name] = Case(code, frame, fields=not flags)
    found["change_proto of hashed"] = Case(
        call("bpf_set_hash", 5) + call("bpf_skb_change_proto", BE_IPV6, 0), fields=True
    )
    found["change_proto, gso"] = Case(
        call("bpf_skb_change_proto", BE_IPV6, 0), fields=True, ctx=GSO
    )
    return found


def rooms() -> dict[str, Case]:
    found = {}
    adjust = "bpf_skb_adjust_room"
    for mode in (0, 1, 2):
        for by in (0, 8, 100, 0xFFF, 0x1000, -1, -8, -20, -38, -39, -40, -57, -58, -59, -0x1000):
            for frame in ("ip", "ipv6"):
                found[f"room {by}, mode {mode}, {frame}"] = Case(call(adjust, by, mode, 0), frame)
    flags = (
        0x1, 0x2, 0x4, 0x6, 0x8, 0xA, 0xC, 0x1A, 0x12, 0x14, 0x20, 0x22, 0x40, 0x42,
        0x42 | 13 << 56, 0x42 | 14 << 56, 0x44 | 40 << 56, 0x44 | 41 << 56, 0x52 | 14 << 56,
        14 << 56, 0x80, 0x100, 0x180, 0x82, 0x101, 0x200, 0x400, 1 << 40,
    )  # fmt: skip
    for flag in flags:
        for by in (40, -10):
            for frame in ("ip", "ipv6"):
                mode = 1
                name = f"room {by}, flags {flag:#x}, {frame}"
                found[name] = Case(call(adjust, by, mode, flag), frame, fields=True)
                found[f"{name}, then at the network header"] = Case(
                    call(adjust, by, mode, flag) + AT_NET, frame
                )
    for frame in ("vlan", "raw"):
        found[f"room of {frame}"] = Case(call(adjust, 8, 1, 0), frame)
    for by in (8, -8):
        for flag in (0, 1):
            found[f"room {by}, flags {flag}, gso"] = Case(call(adjust, by, 1, flag), ctx=GSO)
    encap = call(adjust, 28, 1, 0x12)
    tail = {length: call("bpf_skb_change_tail", length, 0) for length in (30, 34, 70)}
    then = {
        "again": encap, "again, without": call(adjust, 28, 1, 0), "off": call(adjust, -28, 1, 0),
        "off with flags": call(adjust, -28, 1, 0x80),
        **{f"tail {length}": code for length, code in reversed(tail.items())},
        "head 10": call("bpf_skb_change_head", 10, 0),
        "to IPv6": call("bpf_skb_change_proto", BE_IPV6, 0), "ecn": call("bpf_skb_ecn_set_ce"),
        "vlan": call("bpf_skb_vlan_push", BE_8021Q, 5) * 2,
        "off, tail 30": call(adjust, -28, 1, 0) + tail[30],
        "vlan, tail 37": call("bpf_skb_vlan_push", BE_8021Q, 5) * 2
        + call("bpf_skb_change_tail", 37, 0),
    }  # fmt: skip
    for name, code in then.items():
        found[f"encapsulated, {name}"] = Case(encap + code, fields=True)
        found[f"encapsulated, {name}, then at the network header"] = Case(encap + code + AT_NET)
    level = call("bpf_csum_level", 1)
    for flag in (0, 0x20):
        for by in (8, 0x1000):
            code = level + call(adjust, by, 1, flag) + call("bpf_csum_level", 0)
            found[f"level after room {by}, flags {flag}"] = Case(code)
    return found


def facts() -> dict[str, Case]:
    found = {}
    for new in (0, 1, 2, 3, 4, 7, -1):
        found[f"type {new}"] = Case(call("bpf_skb_change_type", new), fields=True)
    for value in (0, 1, 0x12345678, -1):
        code = call("bpf_set_hash", value)
        found[f"hash {value}"] = Case(code, fields=True)
        found[f"hash {value}, recalculated"] = Case(code + call("bpf_get_hash_recalc"), fields=True)
        found[f"hash {value}, invalid"] = Case(code + call("bpf_set_hash_invalid"), fields=True)
        for flags in (0, 1, 2, 3):
            store = call("bpf_skb_store_bytes", 0, "r10\nr3 += -8", 4, flags)
            found[f"hash {value}, stored with flags {flags}"] = Case(
                f"*(u64 *)(r10 -8) = 0\n{code}{store}", fields=True
            )
    found["hash is never 0"] = Case(
        call("bpf_get_hash_recalc") + "r1 = *(u32 *)(r6 +68)\nr0 -= r1\nif r1 == 0 goto out\n"
        "r0 += 1\nout: r0 = r0"
    )
    for frame in FRAMES:
        for clock in (0, 1, 2, 3, -1):
            for stamp in (0, 12345):
                code = call("bpf_skb_set_tstamp", stamp, clock)
                found[f"tstamp {stamp}, clock {clock}, {frame}"] = Case(code, frame, fields=True)
    for section in ("tc", "socket", "lwt_in"):
        for frame in FRAMES:
            for at in (*range(0, 76, 4), 164, 176):
                if at == 72 and section != "tc":
                    continue
                found[f"field at {at}, {frame}, {section}"] = Case(
                    f"r0 = *(u32 *)(r6 +{at})", frame, section
                )
    for frame in FRAMES:
        found[f"wire_len, {frame}"] = Case("r0 = *(u32 *)(r6 +160)", frame)
    for at in (12, 16):
        found[f"field of XDP at {at}"] = Case(f"r0 = *(u32 *)(r6 +{at})", section="xdp")
    for frame in ADDRESSED:
        found[f"type of a packet {frame}"] = Case("r0 = *(u32 *)(r6 +4)", frame)
    for frame, at in (("ip", 15), ("ipv6", 15)):
        for tos in (0, 1, 2, 3, 0x10, 0x20, 0x30, 0xFD, 0xFE):
            store = call("bpf_skb_store_bytes", at, "r10\nr3 += -8", 1, 0)
            code = f"*(u64 *)(r10 -8) = {tos}\n{store}{call('bpf_skb_ecn_set_ce')}"
            found[f"ecn of {tos:#x}, {frame}"] = Case(code, frame)
    for check in (0, 0xFFFF, 1, 0x0100, 0xFEFF, 0xFDFF):
        store = call("bpf_skb_store_bytes", 24, "r10\nr3 += -8", 2, 0)
        store += "*(u64 *)(r10 -8) = 1\n" + call("bpf_skb_store_bytes", 15, "r10\nr3 += -8", 1, 0)
        code = f"*(u64 *)(r10 -8) = {check}\n{store}{call('bpf_skb_ecn_set_ce')}"
        found[f"ecn with check {check:#x}"] = Case(code)
    return found


def ways() -> dict[str, Case]:
    """Only to lo, which is there on Linux, too."""
    found = {}
    for section in ("tc", "xdp", "lwt_xmit"):
        for to, flags in ((1, 0), (1, 1), (1, 2), (77, 0), (1, 8), (0, 1 << 16), (1, 1 << 40)):
            code = f"r1 = {to}\nr2 = {flags:#x} ll\ncall bpf_redirect"
            found[f"redirect to {to}, flags {flags:#x}, {section}"] = Case(code, section=section)
    for flags in (0, 1):
        code = f"r1 = 1\nr2 = {flags}\ncall bpf_redirect_peer"
        found[f"redirect_peer, flags {flags}"] = Case(code)
        for size in (0, 1, 19, 20, 24):
            memory = "*(u64 *)(r10 -8) = 0\n*(u64 *)(r10 -16) = 0\n*(u64 *)(r10 -24) = 0\n"
            memory += "r2 = r10\nr2 += -24\n" if size else "r2 = 0\n"
            code = f"{memory}r1 = 1\nr3 = {size}\nr4 = {flags}\ncall bpf_redirect_neigh"
            found[f"redirect_neigh, {size} bytes, flags {flags}"] = Case(code)
    for to, flags in ((1, 0), (1, 1), (1, 2), (7777, 0), (0, 0), (1, 1 << 40)):
        for section in ("tc", "lwt_xmit"):
            code = call("bpf_clone_redirect", to, flags)
            name = f"clone_redirect to {to}, flags {flags:#x}, {section}"
            found[name] = Case(code, section=section)
    found["clone_redirect, gso"] = Case(call("bpf_clone_redirect", 1, 1), ctx=GSO)
    for section in ("tc", "xdp"):
        for given in (0, 100, 65535, 65536, 65537, 70000, 0x7FFFFFF0, 0xFFFFFFF0):
            for by in (0, 100, -100, 65536, 65476, 65477, 0x7FFFFFFF, -0x80000000):
                for flags in (0, 1, 2):
                    if flags and by and given:
                        continue
                    code = f"r1 = {given:#x} ll\n*(u64 *)(r10 -8) = r1\n"
                    for ifindex in (0, 1, 7777) if given == 0 and not by else (0,):
                        mtu = call("bpf_check_mtu", ifindex, "r10\nr3 += -8", by, flags)
                        name = f"mtu of {ifindex}: {given} + {by}, flags {flags}, {section}"
                        found[name] = Case(code + mtu, section=section)
                        found[f"{name}, afterwards"] = Case(
                            f"{code}{mtu}r0 = *(u32 *)(r10 -8)", section=section
                        )
    for by in (0, 70000):
        for flags in (0, 1):
            code = "*(u64 *)(r10 -8) = 0\n"
            code += call("bpf_check_mtu", 0, "r10\nr3 += -8", by, flags)
            found[f"mtu, gso, + {by}, flags {flags}"] = Case(code, ctx=GSO)
    return found


def cookies() -> dict[str, Case]:
    found = {}
    tcp = bytearray(IP[34:54])
    options = {
        "": b"", "mss 1400": b"\x02\x04\x05\x78", "mss 1460": b"\x01\x01\x02\x04\x05\xb4\1\1",
        "mss 9000": b"\x02\x04\x23\x28", "mss 100": b"\x02\x04\x00\x64",
        "mss behind the end": b"\x00\1\1\1\x02\x04\x05\xb4", "cut": b"\x01\x01\x01\x02",
        "of no length": b"\x08\x00\x02\x04", "two": b"\x02\x04\x05\x78\x02\x04\x02\x58",
        "too long": b"\x01\x01\x02\x08", "mss 0": b"\x02\x04\0\0",
    }  # fmt: skip
    for version, ip in ((4, IP[14:34]), (6, IPV6[14:54])):
        both = {name: f"bpf_tcp_raw_{name}_syncookie_ipv{version}" for name in ("gen", "check")}
        for name, option in options.items():
            for size in sorted({20 + len(option), 20}):
                head = bytes(tcp[:12]) + bytes([(20 + len(option)) << 2]) + bytes(tcp[13:])
                code = on_stack(ip, 48) + on_stack(head + option, 96)
                gen = f"{code}r1 = r10\nr1 += -48\nr2 = r10\nr2 += -96\nr3 = {size}\n"
                gen += f"call {both['gen']}\n"
                title = f"syncookie, IPv{version}, option {name}, {size} bytes"
                found[f"{title}: error or size"] = Case(
                    f"{gen}r1 = r0\nr1 s>>= 63\nif r1 != 0 goto out\nr0 >>= 32\nout: r0 = r0"
                )
                for by in (0, 4, 1 << 25):
                    check = f"{gen}if r0 s< 0 goto out\nr0 += {1 + by}\nr0 = be32 r0\n"
                    check += "*(u32 *)(r10 -88) = r0\nr1 = *(u32 *)(r10 -92)\nr1 = be32 r1\n"
                    check += "r1 += 1\nr1 = be32 r1\n*(u32 *)(r10 -92) = r1\n"
                    check += f"r1 = r10\nr1 += -48\nr2 = r10\nr2 += -96\ncall {both['check']}\n"
                    found[f"{title}: taken {by} later"] = Case(f"{check}out: r0 = r0")
    for name in ("bpf_get_route_realm", "bpf_get_cgroup_classid"):
        found[name] = Case(call(name))
    return found


def tunnels() -> dict[str, Case]:
    found = {}
    key = (
        bytes.fromhex("78563412 0200000a")
        + bytes(range(1, 13))
        + bytes.fromhex("1040 0000 00000000")
    )
    key += bytes.fromhex("0100000a") + bytes(range(21, 33))
    labelled = key[:24] + bytes.fromhex("785634f2") + key[28:]
    extended = key[:22] + b"\1" + key[23:]
    # What is given lies at r10 - 96, what comes back at r10 - 48.
    there = on_stack(b"\xff" * 48, 48)
    keys = {"key": key, "labelled": labelled, "extended": extended}
    put = {name: on_stack(raw, 96) + there for name, raw in keys.items()}
    back = call("bpf_skb_store_bytes", 0, "r10\nr3 += -48", 44, 0)

    def sets(size: int, flags: int) -> str:
        return call("bpf_skb_set_tunnel_key", "r10\nr2 += -96", size, flags)

    def gets(size: int, flags: int) -> str:
        return call("bpf_skb_get_tunnel_key", "r10\nr2 += -48", size, flags)

    for name, code in put.items():
        for size in (44, 28, 24, 22, 8, 4, 40):
            for flags in (0, 1, 2, 4, 8, 16, 31, 32):
                found[f"tunnel {name}, {size} bytes, flags {flags}"] = Case(
                    code + sets(size, flags)
                )
    for flags in (0, 1, 2, 4, 8, 16, 30, 31):
        for name in ("key", "labelled"):
            for how in (0, 1, 16, 17, 2):
                code = put[name] + sets(44, flags) + gets(44, how)
                title = f"tunnel {name}, flags {flags}, asked with {how}"
                found[title] = Case(f"{code}r7 = r0\n{back}r0 = r7")
    for size in (44, 28, 24, 22, 8, 4, 40):
        for flags in (0, 1):
            code = put["key"] + sets(44, flags) + gets(size, flags)
            found[f"tunnel, flags {flags}, asked for {size} bytes"] = Case(
                f"{code}r7 = r0\n{back}r0 = r7"
            )
    found["no tunnel"] = Case(f"{put['key']}{gets(44, 0)}r7 = r0\n{back}r0 = r7")
    opt = "bpf_skb_{}_tunnel_opt"
    for given in (4, 8, 7, 16):
        set_opt = call(opt.format("set"), "r10\nr2 += -96", given)
        found[f"options, {given} bytes, no tunnel"] = Case(put["key"] + set_opt)
        found[f"options, {given} bytes"] = Case(put["key"] + sets(44, 0) + set_opt)
        for size in (4, 8, 20):
            code = put["key"] + sets(44, 0) + set_opt
            code += call(opt.format("get"), "r10\nr2 += -48", size)
            found[f"options, {given} bytes, asked for {size}"] = Case(
                f"{code}r7 = r0\n{back}r0 = r7"
            )
        code = put["key"] + sets(44, 0) + set_opt + gets(44, 16)
        found[f"options, {given} bytes, asked for the key"] = Case(f"{code}{back}r0 = 0")
    return found


def encapsulations() -> dict[str, Case]:
    """Only where packets come in: elsewhere Linux asks for a route, which test runs do not have."""
    found = {}
    heads = {
        "ip": IP[14:24] + bytes(2) + IP[26:34], "ip with check": IP[14:34],
        "ip with options": b"\x46" + IP[15:24] + bytes(2) + IP[26:38],
        "ip with 0": b"\x40" + IP[15:34],
        "ip with odd bytes behind": IP[14:24] + bytes(2) + IP[26:34] + b"\1\2\3",
        "ipv6": IPV6[14:54], "ipv6 of TCP": IPV6[14:20] + b"\6" + IPV6[21:54],
        "udp": IP[14:23] + b"\x11" + IP[24:41], "udp, all of it": IP[14:23] + b"\x11" + IP[24:42],
        "ipv6 with udp": IPV6[14:62], "ipv5": b"\x50" + IP[15:34],
    }  # fmt: skip
    for frame in FRAMES:
        for name, head in heads.items():
            for size in sorted({len(head), 20, 19, 39}):
                if size > len(head):
                    continue
                code = on_stack(head, 64)
                code += call("bpf_lwt_push_encap", 2, "r10\nr3 += -64", size)
                title = f"encapsulation of {frame}: {name}, {size} bytes"
                found[title] = Case(code, frame, "lwt_in")
                for at, field in ((0, "len"), (16, "protocol")):
                    code_of = f"{code}r0 = *(u32 *)(r6 +{at})"
                    found[f"{title}, {field}"] = Case(code_of, frame, "lwt_in")
    code = on_stack(IP[14:34], 64) + call("bpf_lwt_push_encap", 9, "r10\nr3 += -64", 20)
    found["encapsulation of no kind"] = Case(code, section="lwt_in")
    return found


def classic() -> dict[str, Case]:
    """Loads of classic BPF. Where there are no such bytes, the result is 0, which nothing adds 1
    to."""
    found = {}
    bits = {1: "u8", 2: "u16", 4: "u32"}
    for section in ("tc", "socket", "action"):
        for frame in ("ip", "vlan"):
            for size, at in (
                (1, 23), (2, 12), (4, 26), (4, 0), (2, 1), (1, 65), (1, 66), (2, 65), (4, 63),
                (4, 1 << 30), (4, (1 << 31) - 1), (1, -1), (4, -4), (2, -0x100000), (4, -0xFFFF4),
                (1, -0x200000), (2, -0x1FFFF4), (2, -0x1FFFFF), (4, -0x200001), (1, -0xFFFFF + 60),
            ):  # fmt: skip
                load = f"r0 = *({bits[size]} *)skb[{at}]\nr0 += 1"
                found[f"{size} at {at} of {frame}, {section}"] = Case(load, frame, section)
            for size, index, at in (
                (1, 14, 9), (2, -2, 14), (4, 14, -14), (1, 1 << 32, 0), (2, 0x100000, -0x100000),
                (4, 1 << 31, 0), (1, -1, 0), (4, 0x7FFFFFFF, 1),
            ):  # fmt: skip
                load = f"r7 = {index:#x} ll\nr0 = *({bits[size]} *)skb[r7 + {at}]\nr0 += 1"
                title = f"{size} at {index:#x} and {at} of {frame}, {section}"
                found[title] = Case(load, frame, section)
    return found


GROUPS = (
    sums, differences, levels, loads, vlans, sizes, rooms, facts, ways, cookies, tunnels,
    encapsulations, classic,
)  # fmt: skip
CASES: dict[str, Case] = {name: case for group in GROUPS for name, case in group().items()}


def codes(case: Case) -> dict[str, str]:
    """What is run: the call, and again with each field after it."""
    fields = FIELDS if case.fields else {}
    return {"": case.code} | {name: f"{case.code}\n{load}" for name, load in fields.items()}


def _shown(data: bytes) -> str:
    """What is equal for equal packets, and not too long."""
    return data.hex() if len(data) < 256 else f"{len(data)} bytes, {crc32(data):x}"


def seen(case: Case, run: Any) -> list[Any]:
    """As it is in the file: r0, the packet if it changed, and fields."""
    frame = (FRAMES | ADDRESSED)[case.frame]
    found = {name: run(code, frame, case.section, case.context)
             for name, code in codes(case).items()}  # fmt: skip
    retval, data = found.pop("")
    same = data == frame[14 if case.section.startswith(("socket", "lwt")) else 0 :]
    shown: list[Any] = [retval if retval < 1 << 31 else retval - (1 << 32)]
    if found or not same:
        shown.append("" if same else _shown(data))
    if found:
        shown.append(" ".join(f"{field.retval:x}" for field in found.values()))
    return shown


@cache
def results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text())
    return found


def test_all_cases_are_recorded() -> None:
    assert list(results()) == list(CASES)


#: Nobody has verified these programs: without that, only a hardened machine compiles any.
WAYS = {name: options for name, options in MACHINES.items() if name not in ("compiled", "hardened")}


def made(options: Mapping[str, Any]) -> ModelMachine | NativeMachine:
    if options["machine"] == "model":
        return ModelMachine()
    return NativeMachine(compiles=options["jit"], cached=False, hardened="hardened" in options)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("group", GROUPS)
def test_machines_do_it(group: Callable[[], dict[str, Case]], way: str) -> None:
    cases, machine = group(), made(WAYS[way])
    found = {name: seen(case, partial(on_model, machine=machine)) for name, case in cases.items()}
    assert found == {name: results()[name] for name in cases}


@pytest.mark.parametrize("group", GROUPS)
def test_compiled_programs_do_it(group: Callable[[], dict[str, Case]]) -> None:
    """Some of them: each is a program of its own."""
    pytest.importorskip("llvmlite")
    cases, machine = group(), made(MACHINES["hardened"])
    for name in list(cases)[::29]:
        found = on_model(*_run(cases[name]), machine=machine).retval
        assert (name, found) == (name, results()[name][0] & 0xFFFF_FFFF)


def _run(case: Case) -> tuple[str, bytes, str, bytes]:
    return case.code, (FRAMES | ADDRESSED)[case.frame], case.section, case.context


@pytest.mark.skipif(available() is not None, reason=str(available()))
def test_linux_does_it() -> None:
    assert on_this_linux() == results()


def on_this_linux() -> dict[str, list[Any]]:
    with Kernel() as kernel:
        return {
            name: seen(case, lambda *run: on_linux(kernel, *run)) for name, case in CASES.items()
        }


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in on_this_linux().items()]
    RESULTS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
