"""bpf_fib_lookup finds on the model machine what it finds on Linux, with the same devices, routes
and neighbours: fib.json has what it found there. `unshare -n python tests/machine/test_fib.py`, as
root, prints it anew."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest
from packet_calls import IP, call, on_linux, on_model

import bpfheap
from bpfheap.kernel import Kernel, available
from bpfheap.machine.model import ModelMachine

RESULTS = Path(__file__).with_name("fib.json")
#: What both have, as ip has it.
SETUP = """
link add v2 index 12 address 02:00:00:00:00:12 type veth peer name v3 index 13
link set v3 address 02:00:00:00:00:13
link set v3 mtu 1400
link add v4 index 14 address 02:00:00:00:00:14 type veth peer name v5 index 15
link set lo up
link set v2 up
link set v3 up
link set v4 up
link set v5 up
addr add 10.1.0.1/24 dev v2
addr add 10.1.0.7/24 dev v2
addr add 10.3.0.1/24 dev v3
addr add fd00:1::1/64 dev v2 nodad
route add 10.0.0.0/8 via 10.1.0.9 dev v2
route add 10.9.0.0/16 via 10.3.0.9 dev v3 metric 50
route add 10.9.0.0/16 via 10.1.0.9 dev v2 metric 60
route add 10.9.9.0/24 dev v3
route add blackhole 10.20.0.0/16
route add unreachable 10.21.0.0/16
route add prohibit 10.22.0.0/16
route add 10.30.0.0/16 via 10.3.0.9 dev v3 table 100
route add 10.31.0.0/16 via inet6 fd00:1::9 dev v2
route add default via 10.1.0.9 dev v2
route add fd00:2::/32 via fd00:1::9 dev v2
route add fd00:3::/48 dev v3
route add fd00:4::/48 via fd00:1::8 dev v2 metric 5
route add blackhole fd00:20::/32
route add unreachable fd00:21::/32
route add prohibit fd00:22::/32
route add fd00:30::/32 via fd00:1::9 dev v2 table 100
neigh add 10.1.0.9 lladdr 02:aa:00:00:00:09 dev v2 nud permanent
neigh add 10.3.0.9 lladdr 02:aa:00:00:00:39 dev v3 nud permanent
neigh add 10.1.0.20 lladdr 02:aa:00:00:00:20 dev v2 nud permanent
neigh add fd00:1::9 lladdr 02:aa:00:00:00:69 dev v2 nud permanent
"""
FORWARDING = {"v2": True, "v3": True, "v4": False}


class Case(NamedTuple):
    to: str
    dev: int = 12
    flags: int = 0
    section: str = "xdp"
    length: int = 0
    source: str = ""
    table: int = 0
    family: int = 0
    size: int = 64
    extra: int = 0

    @property
    def code(self) -> str:
        """The struct, the call, and the struct put into the packet's beginning."""
        raw = bytearray(64)
        address = ip_address(self.to).packed
        source = ip_address(self.source).packed if self.source else bytes(len(address))
        raw[0] = self.family or (2 if len(address) == 4 else 10)
        raw[6:8], raw[8:12] = self.length.to_bytes(2, "little"), self.dev.to_bytes(4, "little")
        raw[16 : 16 + len(source)], raw[32 : 32 + len(address)] = source, address
        raw[48:52] = self.table.to_bytes(4, "little")
        lines = []
        for at in range(0, 64, 8):
            word = int.from_bytes(raw[at : at + 8], "little")
            lines.append(f"r1 = {word:#x} ll\n*(u64 *)(r10 -{64 - at}) = r1")
        lines.append(call("bpf_fib_lookup", "r10\nr2 += -64", self.size, self.flags))
        lines.append("r7 = r0")
        if self.section == "xdp":
            lines.append(call("bpf_xdp_store_bytes", 0, "r10\nr3 += -64", 64))
        else:
            lines.append(call("bpf_skb_store_bytes", 0, "r10\nr3 += -64", 64, 0))
        return "\n".join([*lines, "r0 = r7"])

    def frame(self) -> bytes:
        return IP + bytes(self.extra)


def _cases() -> list[Case]:
    found = [
        Case(to, 12, flags)
        for to in (
            "10.5.0.1", "10.9.1.1", "10.9.9.1", "10.1.0.20", "10.1.0.21", "10.1.0.7", "10.3.0.1",
            "10.20.1.1", "10.21.1.1", "10.22.1.1", "10.30.1.1", "8.8.8.8", "10.31.1.1",
            "fd00:2::5", "fd00:3::5", "fd00:4::5", "fd00:20::1", "fd00:21::1", "fd00:22::1",
            "fd00:1::9", "fd00:1::1", "fd00:77::1", "fe80::1", "ff02::1", "::1", "fd00:30::1",
        )
        for flags in (0, 1, 2, 4, 16, 20)
    ]  # fmt: skip
    for table in (254, 100, 77, 0):
        for to in ("10.30.1.1", "10.5.0.1", "fd00:30::1"):
            for flags in (8, 9, 13):
                found.append(Case(to, 12, flags, table=table))
    for dev in (1, 13, 14, 77, 0):
        for to in ("10.5.0.1", "10.9.1.1", "fd00:2::5"):
            for flags in (0, 2):
                found.append(Case(to, dev, flags))
    for length in (1, 1399, 1400, 1401, 1500, 1501, 65535):
        for section in ("xdp", "tc"):
            for to in ("10.5.0.1", "10.9.1.1", "fd00:2::5"):
                found.append(Case(to, length=length, section=section))
    for extra in (0, 1330, 1344, 1345, 1444, 1445):
        for to in ("10.5.0.1", "10.9.1.1", "fd00:2::5"):
            found.append(Case(to, section="tc", extra=extra))
    found += [
        Case("10.5.0.1", size=60), Case("10.5.0.1", family=3), Case("10.5.0.1", flags=64),
        Case("10.5.0.1", flags=32), Case("fd00:2::5", source="fe80::1"), Case("10.5.0.1", flags=63),
        Case("fd00:2::5", source="fd00:1::1", flags=16), Case("10.5.0.1", flags=1 << 30),
    ]  # fmt: skip
    return found


CASES = _cases()


def made_up() -> ModelMachine:
    """The same for the model machine: what SETUP says, by the API."""
    runtime = bpfheap.Runtime(machine="model", kernel_btf="none")
    net = runtime.net
    addresses: dict[str, list[str]] = {}
    devices: dict[str, dict[str, str]] = {"v3": {"ifindex": "13"}, "v5": {"ifindex": "15"}}
    for words in map(str.split, SETUP.strip().splitlines()):
        if words[:2] == ["addr", "add"]:
            addresses.setdefault(words[4], []).append(words[2])
        elif words[:2] == ["link", "add"]:
            devices[words[2]] = {"ifindex": words[4], "mac": words[6]}
        elif words[:2] == ["link", "set"] and words[2] in devices and words[3] != "up":
            devices[words[2]] |= {"mac" if words[3] == "address" else words[3]: words[4]}
    for name, facts in devices.items():
        net.device(
            name, int(facts["ifindex"]), mtu=int(facts.get("mtu", 1500)), mac=facts.get("mac"),
            addresses=addresses.get(name, ()), forwards=FORWARDING.get(name, True),
        )  # fmt: skip
    net.device("lo", 1, mtu=65536, mac=bytes(6), forwards=False)
    for words in map(str.split, SETUP.strip().splitlines()):
        if words[:2] == ["neigh", "add"]:
            net.neighbour(words[2], words[4], dev=words[6])
        elif words[:2] == ["route", "add"]:
            kind = words.pop(2) if words[2] in ("blackhole", "unreachable", "prohibit") else ""
            if "inet6" in words:
                words.remove("inet6")
            facts = dict(zip(words[3::2], words[4::2], strict=True))
            net.route(
                words[2], facts.get("via"), dev=facts.get("dev"), kind=kind or "unicast",
                metric=int(facts["metric"]) if "metric" in facts else None,
                table=int(facts.get("table", 254)),
            )  # fmt: skip
    machine = runtime.system.machine
    assert isinstance(machine, ModelMachine)
    return machine


def ours() -> list[list[object]]:
    machine = made_up()
    found = []
    for case in CASES:
        seen = on_model(case.code, case.frame(), case.section, machine=machine)
        found.append([seen.retval, seen.data[:64].hex()])
    return found


def theirs() -> list[list[object]]:
    """In a network namespace of its own."""
    for line in SETUP.strip().splitlines():
        words = line.split()
        if line.startswith("route add") and any(":" in w for w in words) and "inet6" not in words:
            words.insert(0, "-6")
        subprocess.run(["ip", *words], check=True)
    for family in ("ipv4", "ipv6"):
        for name in ("all", "v2", "v3", "v4", "v5"):
            on = FORWARDING.get(name, name != "all")
            Path(f"/proc/sys/net/{family}/conf/{name}/forwarding").write_text(str(int(on)))
    found: list[list[object]] = []
    with Kernel() as kernel:
        for case in CASES:
            seen = on_linux(kernel, case.code, case.frame(), case.section)
            found.append([seen.retval, seen.data[:64].hex()])
    return found


def test_the_model_machine_finds_it() -> None:
    check(ours(), json.loads(RESULTS.read_text()))


def check(found: list[list[object]], wanted: list[list[object]]) -> None:
    for case, one, other in zip(CASES, found, wanted, strict=True):
        assert (case, one) == (case, other)


@pytest.mark.skipif(available() is not None, reason=str(available()))
@pytest.mark.skipif(
    not (shutil.which("ip") and shutil.which("unshare")), reason="no ip, no unshare"
)
def test_linux_finds_the_same() -> None:
    run = subprocess.run(
        ["unshare", "-n", sys.executable, __file__], capture_output=True, text=True, check=False
    )
    if run.returncode:
        pytest.skip(f"no network of its own: {run.stderr.strip().splitlines()[-1]}")
    check(json.loads(run.stdout), json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    print("[\n" + ",\n".join(map(json.dumps, theirs())) + "\n]")
