"""Statements that call what Python performs on machines: copies from addresses that may lead
nowhere, numbers in texts, sums of bytes."""

from __future__ import annotations

from typing import Final

from bpfheap.fuzz import code
from bpfheap.fuzz.pieces import CodePiece, Pieces
from bpfheap.fuzz.writer import BUFFER, SCRATCH, Pointee, Writer
from bpfheap.isa import Insn
from bpfheap.platform.calls import CALL_BY_NAME

#: Bytes of the frame that calls read, and, behind them, bytes that they write.
_FROM, _TO, _SIZE = BUFFER, BUFFER + 32, 32
#: What bpf_strtol writes.
_RESULT: Final = SCRATCH[1] - 8
_TEXTS: Final = (
    b"0", b"7", b"-42", b"  9", b"0x1f", b"017", b"-0x", b"999999999999999999999", b"12ab", b"x",
    b"9223372036854775808", b"\t-1 ",
)  # fmt: skip
_BASES: Final = (0, 0, 8, 10, 10, 16, 3, 32)
_COPIES: Final = (
    "bpf_probe_read_kernel", "bpf_probe_read_kernel", "bpf_probe_read_kernel_str",
    "bpf_probe_read_user", "bpf_probe_read_user_str",
)  # fmt: skip


def outside(w: Writer) -> Pieces:
    """One of those calls; its result, and what it wrote, go into numbers."""
    if not w.may_call:
        return ()
    sums = w.row.has(CALL_BY_NAME["bpf_csum_diff"].offer)
    return w.rng.choice((_copy, _copy, _number, _sum if sums else _number))(w)


def _text(w: Writer) -> list[Insn]:
    """A text in the frame, with zeros behind it."""
    text = w.rng.choice(_TEXTS).ljust(_SIZE, b"\0")
    words = [int.from_bytes(text[at : at + 4], "little", signed=True) for at in range(0, _SIZE, 4)]
    return [code.store_imm(4, code.FP, _FROM + 4 * i, word) for i, word in enumerate(words)]


def _kept(w: Writer) -> list[Insn]:
    return [code.mov(w.number(), 0)] if w.chance(0.8) else []


def _copy(w: Writer) -> Pieces:
    """From the frame, from a value of a map, or from the first page, where nothing is."""
    insns = _text(w)
    insns += [code.store_imm(8, code.FP, _TO + at, w.immediate()) for at in range(0, _SIZE, 8)]
    values = w.pointers(Pointee.VALUE)
    if values and w.chance(0.4):
        held = w.rng.choice(values)
        insns += [held.fetch(3), code.alu("add", 3, w.rng.randrange(*held.scalars))]
        most = held.scalars[1] - held.scalars[0]
    elif w.chance(0.3):
        insns += [code.mov(3, w.number()), code.alu("and", 3, 0xFFF)]
        most = _SIZE
    else:
        insns += [code.mov(3, code.FP), code.alu("add", 3, _FROM + w.rng.randrange(8))]
        most = _SIZE - 8
    insns += [code.mov(1, code.FP), code.alu("add", 1, _TO)]
    # Nothing behind a value is read: what is there, machines may say each for themselves.
    size = 1 if values else w.rng.randint(1, min(most, _SIZE))
    insns += [code.put(2, size), code.helper(w.rng.choice(_COPIES)), *_kept(w)]
    insns.append(code.load(w.rng.choice((1, 2, 4, 8)), w.number(), code.FP, _TO))
    return (CodePiece(tuple(insns)),)


def _number(w: Writer) -> Pieces:
    """bpf_strtol and bpf_strtoul."""
    insns = _text(w)
    insns += [code.mov(1, code.FP), code.alu("add", 1, _FROM), code.put(2, w.rng.randint(1, _SIZE))]
    insns += [code.put(3, w.rng.choice(_BASES)), code.mov(4, code.FP), code.alu("add", 4, _RESULT)]
    insns += [code.helper(w.rng.choice(("bpf_strtol", "bpf_strtoul"))), *_kept(w)]
    insns.append(code.load(8, w.number(), code.FP, _RESULT))
    return (CodePiece(tuple(insns)),)


def _sum(w: Writer) -> Pieces:
    """bpf_csum_diff of two halves of a text, one of which may be left out."""
    insns = _text(w)
    sizes = w.rng.choice(((16, 16), (4, 8), (0, 16), (12, 0), (8, 8)))
    for register, size, at in ((1, sizes[0], _FROM), (3, sizes[1], _FROM + 16)):
        if size:
            insns += [code.mov(register, code.FP), code.alu("add", register, at)]
        else:
            insns.append(code.put(register, 0))
        insns.append(code.put(register + 1, size))
    insns += [code.put(5, w.immediate()), code.helper("bpf_csum_diff"), *_kept(w)]
    return (CodePiece(tuple(insns)),)
