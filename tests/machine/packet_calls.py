"""Programs in assembly that make one call on a packet, on our machines and on Linux."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from bpfheap.btf import Btf
from bpfheap.isa import assemble
from bpfheap.kernel import Kernel
from bpfheap.machine.frames import unseen
from bpfheap.machine.model import ModelMachine
from bpfheap.machine.native.machine import NativeMachine
from bpfheap.platform.calls import HELPERS
from bpfheap.platform.programs import program_type
from bpfheap.runtime.machine import Done
from bpfheap.runtime.world import Playing
from bpfheap.spec import ObjectSpec, ProgramSpec, SubprogSpec

_NUMBERS = {row.name: row.number for row in HELPERS}
_M32 = (1 << 32) - 1

#: An IPv4 packet with TCP, and one of IPv6 with UDP, behind Ethernet headers.
IP = (
    bytes.fromhex("000000000000 02aabbccddee 0800")
    + bytes.fromhex("4500 0034 1234 4000 4006 a1b2 0a000001 0a000002")
    + bytes.fromhex("1f90 0050 00000001 00000002 5010 1000 abcd 0000")
    + bytes(range(20))
)
IPV6 = (
    bytes.fromhex("000000000000 02aabbccddee 86dd")
    + bytes.fromhex("6012 3456 0014 11 40")
    + bytes.fromhex("20010db8000000000000000000000001 20010db8000000000000000000000002")
    + bytes.fromhex("1f90 0035 0014 0000")
    + bytes(range(12))
)
#: IPv4 behind a VLAN tag, and behind two of them.
VLAN = IP[:12] + bytes.fromhex("8100 2064") + IP[12:]
TWO_VLANS = IP[:12] + bytes.fromhex("88a8 0007 8100 2064") + IP[12:]
#: No protocol, but a length.
RAW = IP[:12] + bytes.fromhex("0010 ffff") + bytes(30)


class Seen(NamedTuple):
    """What a run gave: r0's lower half, and the packet with the Ethernet header."""

    retval: int
    data: bytes


def call(name: str, *args: int | str) -> str:
    """A call with the context in r6 as its first argument; texts among the others are code that
    ends with a value in r0, or a register."""
    lines = []
    for place, arg in enumerate(args, 2):
        if isinstance(arg, str) or -(1 << 31) <= arg < 1 << 31:
            lines.append(f"r{place} = {arg}")
        else:
            lines.append(f"r{place} = {arg:#x} ll")
    return "\n".join([*lines, "r1 = r6", f"call {name}", ""])


def on_stack(raw: bytes, at: int) -> str:
    """Put bytes at r10 - `at`."""
    raw = raw.ljust(-(-len(raw) // 8) * 8, b"\0")
    words = [int.from_bytes(raw[i : i + 8], "little") for i in range(0, len(raw), 8)]
    return "".join(
        f"r1 = {word:#x} ll\n*(u64 *)(r10 -{at - 8 * i}) = r1\n" for i, word in enumerate(words)
    )


@cache
def program(text: str, section: str = "tc") -> tuple[ObjectSpec, ProgramSpec]:
    """The context is in r6."""
    insns = assemble(f"r6 = r1\n{text}\nexit", helper_number=_NUMBERS.get).insns
    made = ProgramSpec(
        "p", section, insns, {}, (SubprogSpec("p", 0, len(insns), 0, True),), {}, Btf(()),
        license="GPL",
    )  # fmt: skip
    return ObjectSpec("p.bpf.o", Btf(()), {}, {"p": made}, "GPL"), made


def on_model(
    text: str,
    data: bytes,
    section: str = "tc",
    ctx: bytes = b"",
    machine: ModelMachine | NativeMachine | None = None,
) -> Seen:
    _, spec = program(text, section)
    machine = machine or ModelMachine()
    assert isinstance(machine, Playing)
    machine.program_load(1, spec, {})
    execution = machine.start(1, ctx, data=data)
    through = not isinstance(machine, ModelMachine)
    while not isinstance(stop := machine.step(execution, through=through), Done):
        pass
    machine.program_free(1)
    return Seen(stop.retval & _M32, stop.data or b"")


def on_linux(kernel: Kernel, text: str, data: bytes, section: str = "tc", ctx: bytes = b"") -> Seen:
    obj, spec = program(text, section)
    row = program_type(section)
    assert row is not None
    found = kernel.test_run(obj, spec, data, ctx)
    return Seen(found.retval, found.data_out[unseen(row) :])
