"""Which differences between the verifier and the kernel's are known, and which are not."""

import pytest

from bpfheap.btf import Btf
from bpfheap.fuzz.differences import HOLES, section_of
from bpfheap.isa import assemble
from bpfheap.spec import ProgramSpec

_OURS = "R7 max value is outside of the allowed memory range"


def _program(text: str) -> ProgramSpec:
    insns = assemble(text, helper_number={"bpf_loop": 181}.get).insns
    return ProgramSpec("p", "tc", insns, {}, (), {}, Btf((), "p"))


@pytest.mark.parametrize(
    ("condition", "section"),
    [
        ("if w0 == 0x0 goto pc+1", HOLES),
        ("if w0 != 0x0 goto pc+1", HOLES),
        ("if w0 == w6 goto pc+1", HOLES),
        ("if w6 == w0 goto pc+1", HOLES),
        ("if w8 == 0x0 goto pc+1", HOLES),
        ("if w9 == 0x0 goto pc+1", HOLES),
        ("if r0 == 0x0 goto pc+1", None),
        ("if w0 == 0x1 goto pc+1", None),
        ("if w7 == 0x0 goto pc+1", None),
        ("if w0 > 0x0 goto pc+1", None),
    ],
)
def test_half_of_a_pointer(condition: str, section: str | None) -> None:
    text = f"""
        r7 = 0x5
        r6 = 0x0
        call #1
        r8 = r0
        r9 = *(u64 *)(r10 -8)
        {condition}
        r0 = 0x0
        exit
    """
    program = _program(text)
    assert section_of(_OURS, "", program) == section
    # It is Linux that takes a way for dead.
    assert section_of("", _OURS, program) is None


@pytest.mark.parametrize(
    ("number", "move", "section"),
    [
        ("r2 += r8", "r3 += 1", HOLES),
        ("r2 += r8", "r3 += -1", HOLES),
        ("r2 += r8", "r3 -= 1", HOLES),
        ("r2 += 4", "r3 += -1", HOLES),
        ("r2 += 4", "r3 -= 1", HOLES),
        ("r2 += 4", "r3 += 1", None),
        ("r2 += r8", "r3 += r4", HOLES),
        ("r2 += r8", "r4 += 1", None),
        ("r2 += r8", "r4 += r3", None),
    ],
)
def test_beyond_the_packet(number: str, move: str, section: str | None) -> None:
    text = f"""
        r6 = *(u32 *)(r1 +76)
        r7 = *(u32 *)(r1 +80)
        r8 = *(u32 *)(r1 +0)
        r2 = r6
        {number}
        if r2 > r7 goto pc+1
        exit
        r3 = r2
        {move}
        if r3 > r7 goto pc+1
        r0 = *(u8 *)(r3 +0)
        exit
    """
    program = _program(text)
    assert section_of("R3 offset is outside of the packet", "", program) == section


@pytest.mark.parametrize(
    ("count", "ours", "section"),
    [
        ("r1 = r8", "R1 min value is outside of the allowed memory range", HOLES),
        ("r1 = r8", "BPF program is too large. Processed 1000001 insn", HOLES),
        ("r1 = 5", "R1 min value is outside of the allowed memory range", None),
        ("r1 = r8", "R1 !read_ok", None),
    ],
)
def test_a_number_of_calls(count: str, ours: str, section: str | None) -> None:
    program = _program(f"{count}\nr2 = 0\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit")
    assert section_of(ours, "", program) == section
    # Linux refuses nothing for it.
    assert section_of("", ours, program) != HOLES
