"""Slots to text, in the style of the kernel's verifier log (kernel/bpf/disasm.c)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from bpfheap.isa.insn import Insn
from bpfheap.isa.ops import Kind, op_of, second_of
from bpfheap.isa.syntax import FORMS, OPERANDS, SYMBOLIC


class Reference(Protocol):
    """What the immediate of a slot refers to; an `asm.AsmRef` or a `spec.Ref`."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def offset(self) -> int: ...


def format_insn(
    insn: Insn,
    next_slot: Insn | None = None,
    *,
    ref: Reference | None = None,
    helper_name: Callable[[int], str | None] | None = None,
    slot: int | None = None,
) -> str:
    """One instruction as "(b7) r0 = 0". `next_slot` is needed for a wide instruction only; `ref`
    names what the immediate refers to; `helper_name` names a helper's number ("unknown" where it
    knows none); `slot` is for errors.

    Raises InsnError for anything that is no instruction.
    """
    op = op_of(insn, slot)
    second = second_of(op, next_slot, slot).imm if op.kind is Kind.LDDW else 0
    form = SYMBOLIC.get((op.kind, ref.kind)) if ref is not None else None
    name, offset = "unknown", 0
    if form is not None and ref is not None:
        name, offset = ref.name, ref.offset
    else:
        form = FORMS[op][0]
        if op.kind is Kind.CALL_HELPER and helper_name is not None:
            name = helper_name(insn.imm) or name
    text = [f"({insn.opcode:02x}) "]
    for literal, operand in form.pieces():
        text.append(literal)
        if operand is not None:
            write = OPERANDS[operand].write
            if write is not None:
                text.append(write(insn, second))
            else:
                text.append(f"{offset:+d}" if operand == "at" else name)
    return "".join(text)


def disassemble(
    insns: Sequence[Insn],
    refs: Mapping[int, Reference] | None = None,
    *,
    helper_name: Callable[[int], str | None] | None = None,
) -> list[str]:
    """One line for each instruction, as "0: (b7) r0 = 0". `refs` is by slot.

    Raises InsnError, with the slot, for anything that is no instruction.
    """
    lines: list[str] = []
    slot = 0
    while slot < len(insns):
        insn = insns[slot]
        following = insns[slot + 1] if slot + 1 < len(insns) else None
        ref = refs.get(slot) if refs else None
        text = format_insn(insn, following, ref=ref, helper_name=helper_name, slot=slot)
        lines.append(f"{slot}: {text}")
        slot += op_of(insn, slot).slots
    return lines
