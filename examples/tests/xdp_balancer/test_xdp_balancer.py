"""What becomes of a packet: addresses that are rewritten, and checksums that have to fit."""

from __future__ import annotations

import struct
from socket import IPPROTO_TCP, inet_aton

import pytest

from bpfheap.testing.plugin import Bpf

TX = 3
CLIENT, SERVICE = inet_aton("198.51.100.7"), inet_aton("192.0.2.1")
BALANCER = bytes.fromhex("0200000000ff")


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    return -total % 0xFFFF  # 0 where there is a checksum that is right


def pseudo(ip: bytes) -> bytes:
    return ip[12:20] + struct.pack("!HH", IPPROTO_TCP, 20)


def packet(port: int) -> bytes:
    """The first segment from a port of the client's."""
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 7, 0, 64, IPPROTO_TCP, 0) + CLIENT + SERVICE
    tcp = struct.pack("!HHIIBBHHH", port, 443, 1, 0, 5 << 4, 2, 1024, 0, 0)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo(ip) + tcp)) + tcp[18:]
    return BALANCER + bytes(6) + b"\x08\x00" + ip + tcp


def check(bpf: Bpf, file: str) -> None:
    obj = bpf.load(file, rodata={"service": int.from_bytes(SERVICE, "little")})
    for i in range(4):
        address = int.from_bytes(bytes([10, 0, 0, i + 1]), "little")
        obj.maps["servers"][i] = {"address": address, "mac": bytes([2, 0, 0, 0, 0, i])}
    chosen: dict[int, int] = {}
    for port in [*range(1024, 1064), *range(1024, 1064)]:
        result = obj.programs["balance"].run(bpf.xdp(packet(port)))
        assert result.retval == TX
        assert result.data is not None
        ip, tcp = result.data[14:34], result.data[34:]
        server = chosen.setdefault(port, ip[19] - 1)
        assert ip[16:20] == bytes([10, 0, 0, server + 1])
        assert result.data[:12] == bytes([2, 0, 0, 0, 0, server]) + BALANCER
        assert checksum(ip) == 0, "IP's checksum"
        assert checksum(pseudo(ip) + tcp) == 0, "TCP's checksum"
    assert set(chosen.values()) == set(range(4))


def test_xdp_balancer(bpf: Bpf) -> None:
    check(bpf, "xdp_balancer.bpf.c")


def test_the_checksum_of_tcp(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match="TCP's checksum"):
        check(bpf, "xdp_balancer_broken.bpf.c")
