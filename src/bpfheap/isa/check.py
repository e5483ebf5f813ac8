"""Checks the structure of a program: known instructions, jump targets, ends of functions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Sequence
from itertools import pairwise

from bpfheap.errors import InsnError
from bpfheap.isa.insn import Insn
from bpfheap.isa.ops import ControlFlow, Kind, Op, instructions, second_of

# After these execution does not go on to the next slot.
_NO_FALLTHROUGH = frozenset({ControlFlow.END, ControlFlow.JUMP})
# What Linux says of a function behind whose last instruction execution would go on.
_NO_END = "last insn is not an exit or jmp"
# Instructions whose immediate is the distance to a function, by kind or by name, and what they are
# called in messages.
_CODE_REFERENCES = {Kind.CALL_LOCAL: "call", "func": "function address"}
_JUMP = "jump"


def check_structure(insns: Sequence[Insn], refs: Container[int] = ()) -> dict[int, Op]:
    """The row of each instruction, by its first slot.

    Raises InsnError, with the slot, unless every slot is an instruction or the second half of
    one; every jump stays in its function and lands on an instruction; every local call and every
    function address lands on an instruction, but for the slots in `refs`, whose immediates are
    filled in later; and no function can run past its end.

    As check_subprogs in the kernel, a function reaches from its first slot to the next one that
    is called.
    """
    if not insns:
        raise InsnError("the program is empty", hint="it needs at least `exit`")
    ops: dict[int, Op] = {}
    starts = {0}
    jumps: list[int] = []
    calls: list[tuple[int, str]] = []
    for slot, op in instructions(insns):
        ops[slot] = op
        if op.slots > 1:
            second_of(op, insns[slot + 1] if slot + 1 < len(insns) else None, slot)
        what = _CODE_REFERENCES.get(op.name if op.kind is Kind.LDDW else op.kind)
        if what is not None:
            calls.append((slot, what))
        elif op.distance is not None:
            jumps.append(slot)
    for slot, what in calls:
        if slot not in refs:
            target = slot + 1 + insns[slot].imm
            _check_target(ops, slot, target, what, insns)
            starts.add(target)
    bounds = [*sorted(starts), len(insns)]
    for start, end in pairwise(bounds):
        inside = jumps[bisect_left(jumps, start) : bisect_left(jumps, end)]
        _check_function(insns, ops, inside, start, end)
    return ops


def _check_target(
    ops: dict[int, Op], slot: int, target: int, what: str, insns: Sequence[Insn]
) -> None:
    jumps = what == _JUMP
    if not 0 <= target < len(insns):
        raise InsnError(
            f"{what} out of range: slot {slot} leads to slot {target}, "
            f"but there are only slots 0 to {len(insns) - 1}",
            insn=slot,
            linux=_out_of_range(slot, target) if jumps else "call to invalid destination",
        )
    if target not in ops:
        raise InsnError(
            f"{what} into the middle of an instruction: slot {slot} leads to slot {target}, "
            f"the second half of {ops[target - 1].name}",
            insn=slot,
            # A function that begins there ends the one in front of it (check_subprogs).
            linux=f"jump into the middle of ldimm64 insn {target - 1}" if jumps else _NO_END,
        )


def _out_of_range(slot: int, target: int) -> str:
    return f"jump out of range from insn {slot} to {target}"


def _check_function(
    insns: Sequence[Insn], ops: dict[int, Op], jumps: Sequence[int], start: int, end: int
) -> None:
    for slot in jumps:
        target = ops[slot].target(insns[slot], slot)
        _check_target(ops, slot, target, _JUMP, insns)
        if not start <= target < end:
            raise InsnError(
                f"jump out of range: slot {slot} leads to slot {target}, "
                f"out of its function (slots {start} to {end - 1})",
                insn=slot,
                linux=_out_of_range(slot, target),
            )
    last = end - 1 if end - 1 in ops else end - 2
    if ops[last].flow not in _NO_FALLTHROUGH:
        whole = start == 0 and end == len(insns)
        raise InsnError(
            f"a {'program' if whole else 'function'} without end: execution runs past slot {last}",
            insn=last,
            linux=_NO_END,
            hint="the last instruction must be `exit` or `goto`",
        )
