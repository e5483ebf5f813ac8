"""Instructions to test with: real code of clang's, and random fields for every row."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from bpfheap.isa import Insn, Kind, Op, Uses

#: Machine code of real_code.c, a program each.
REAL_CODE: tuple[bytes, ...] = tuple(
    bytes.fromhex(line)
    for line in Path(__file__).with_name("real_code.hex").read_text().splitlines()
)

_REGISTER = st.integers(0, 10)
_S16 = st.integers(-(1 << 15), (1 << 15) - 1)
_S32 = st.integers(-(1 << 31), (1 << 31) - 1)
_FIELDS = {Uses.DST: _REGISTER, Uses.SRC: _REGISTER, Uses.OFF: _S16, Uses.IMM: _S32}


@st.composite
def instruction(draw: st.DrawFn, op: Op) -> tuple[Insn, ...]:
    """The slots of one instruction of a row, with random values in the fields it uses."""
    chosen = dict(op.select)
    fields = {
        str(use): chosen[use] if use in chosen else draw(_FIELDS[use])
        for use in Uses
        if use in op.uses
    }
    first = Insn(op.opcode, **fields)
    if op.kind is not Kind.LDDW:
        return (first,)
    return (first, Insn(0, imm=draw(_S32) if op.wide_imm else 0))
