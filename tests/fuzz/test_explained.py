"""Which differences between the verifier and the kernel's are known, and which are not."""

import pytest

from bpfheap.btf import Btf
from bpfheap.fuzz.differences import HOLES, section_of
from bpfheap.isa import assemble
from bpfheap.spec import ProgramSpec

_OURS = "R7 max value is outside of the allowed memory range"


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
    program = ProgramSpec("p", "tc", assemble(text).insns, {}, (), {}, Btf((), "p"))
    assert section_of(_OURS, "", program) == section
    # It is Linux that takes a way for dead.
    assert section_of("", _OURS, program) is None
