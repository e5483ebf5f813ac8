"""Programs find the sockets on the model machine that they find on Linux, where the same ones are
made. `unshare -n python tests/machine/test_socket_lookups.py`, as root, prints what that is."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from ipaddress import ip_address
from typing import Any, NamedTuple

import pytest
from packet_calls import IP, on_linux, on_model, on_stack

import bpfheap
from bpfheap.kernel import Kernel, available
from bpfheap.machine.model import ModelMachine

#: Who binds and listens, in this order; a second end is who it is connected with.
SOCKETS: tuple[tuple[Any, ...], ...] = (
    ("tcp", ("127.0.0.1", 80)), ("tcp", ("0.0.0.0", 81)), ("tcp", ("127.0.0.1", 81)),
    ("tcp", ("::", 82)), ("tcp", ("::1", 83)), ("udp", ("127.0.0.1", 80)),
    ("udp", ("0.0.0.0", 81)), ("udp", ("127.0.0.1", 81), ("127.0.0.1", 900)), ("udp", ("::", 82)),
    ("udp", ("::1", 82)),
    # A connection's both ends.
    ("tcp", ("127.0.0.1", 901), ("127.0.0.1", 81)), ("tcp", ("127.0.0.1", 81), ("127.0.0.1", 901)),
)  # fmt: skip
#: What is looked for: who sent it, and to whom.
ENDS = tuple(
    ((address, sender), (address, port))
    for address in ("127.0.0.1", "127.0.0.2", "::1", "::2", "::ffff:127.0.0.1")
    for sender in (900, 901, 81)
    for port in (80, 81, 82, 83, 84, 900, 901)
)
CALLS = ("sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp")
#: What comes back of a socket in r7.
LOOKS = {
    "state": "r8 = *(u32 *)(r7 +72)", "family": "r8 = *(u32 *)(r7 +4)",
    "src_port": "r8 = *(u32 *)(r7 +44)", "dst_port": "r8 = *(u16 *)(r7 +48)",
    "src_ip4": "r8 = *(u32 *)(r7 +24)", "dst_ip4": "r8 = *(u32 *)(r7 +52)",
    "src_ip6": "r8 = *(u32 *)(r7 +40)", "dst_ip6": "r8 = *(u32 *)(r7 +68)",
    "full": "r1 = r7\ncall bpf_sk_fullsock\nr8 = 1\nif r0 != 0 goto ok\nr8 = 2\nok: r8 = r8",
    "tcp": "r1 = r7\ncall bpf_tcp_sock\nr8 = 1\nif r0 != 0 goto ok\nr8 = 2\nok: r8 = r8",
    "type": "r1 = r7\ncall bpf_sk_fullsock\nr8 = 99\nif r0 == 0 goto no\nr8 = *(u32 *)(r0 +8)\n"
    "no: r8 = r8",
    "protocol": "r1 = r7\ncall bpf_sk_fullsock\nr8 = 99\nif r0 == 0 goto no\n"
    "r8 = *(u32 *)(r0 +12)\nno: r8 = r8",
}  # fmt: skip


class Case(NamedTuple):
    call: str
    remote: tuple[str, int]
    local: tuple[str, int]
    look: str = "src_port"
    netns: int = -1
    flags: int = 0
    cut: int = 0

    @property
    def code(self) -> str:
        raw = b"".join(ip_address(end[0]).packed for end in (self.remote, self.local))
        raw += b"".join(end[1].to_bytes(2, "big") for end in (self.remote, self.local))
        size = len(raw) - self.cut
        return "\n".join([
            on_stack(raw.ljust(40, b"\0"), 40), "r1 = r6", "r2 = r10", "r2 += -40",
            f"r3 = {size}", f"r4 = {self.netns}",
            f"r5 = {self.flags}", f"call bpf_{self.call}", "if r0 == 0 goto out", "r7 = r0",
            LOOKS[self.look], "r1 = r7", "call bpf_sk_release", "r0 = r8", "out: r0 = r0",
        ])  # fmt: skip


FOUND = (
    ("127.0.0.1", 901), ("127.0.0.1", 81), ("127.0.0.1", 80), ("::1", 82), ("::1", 83),
)  # fmt: skip
CASES = [
    *(Case(call, *ends) for call in CALLS for ends in ENDS),
    *(Case(call, (end[0], sender), end, look) for call in CALLS for end in FOUND
      for sender in (81, 900, 901) for look in LOOKS
      # In the other family's addresses, Linux keeps what helps itself.
      if not look.endswith("ip6" if "." in end[0] else "ip4")),
    *(Case(call, ("127.0.0.1", 900), ("127.0.0.1", 81), netns=netns, flags=flags, cut=cut)
      for call in CALLS for netns, flags, cut in (
          (0, 0, 0), (7, 0, 0), (0x7FFFFFFF, 0, 0), (-5, 0, 0), (-1, 1, 0), (-1, 0, 4))),
]  # fmt: skip


def ours() -> list[int]:
    runtime = bpfheap.Runtime(machine="model", kernel_btf="none")
    for protocol, *ends in SOCKETS:
        runtime.net.socket(protocol, *ends)
    machine = runtime.system.machine
    assert isinstance(machine, ModelMachine)
    return [on_model(case.code, IP, machine=machine).retval for case in CASES]


def theirs() -> list[int]:
    """In a network namespace of its own."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with ExitStack() as open_ones, Kernel() as kernel:

        def made(protocol: str, *ends: tuple[str, int]) -> socket.socket:
            family = socket.AF_INET6 if ":" in ends[0][0] else socket.AF_INET
            kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
            one = open_ones.enter_context(socket.socket(family, kind))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(ends[0])
            if len(ends) > 1:
                one.connect(ends[1])
            elif protocol == "tcp":
                one.listen()
            return one

        # The last one is who accepts the connection.
        everyone = [made(*words) for words in SOCKETS[:-1]]
        open_ones.enter_context(everyone[2].accept()[0])
        return [on_linux(kernel, case.code, IP).retval for case in CASES]


def test_somebody_is_found() -> None:
    """On the model machine, which is compared where there is Linux."""
    found = ours()
    assert sum(map(bool, found)) > len(found) / 3
    assert not all(found)


@pytest.mark.skipif(available() is not None, reason=str(available()))
@pytest.mark.skipif(not all(map(shutil.which, ("ip", "unshare"))), reason="no ip, no unshare")
def test_linux_finds_the_same() -> None:
    run = subprocess.run(
        ["unshare", "-n", sys.executable, __file__], capture_output=True, text=True, check=False
    )
    if run.returncode:
        pytest.skip(f"no network of its own: {run.stderr.strip().splitlines()[-1]}")
    for case, mine, its in zip(CASES, ours(), json.loads(run.stdout), strict=True):
        assert (case, mine) == (case, its)


if __name__ == "__main__":
    print(json.dumps(theirs()))
