"""Tight loops of hardened programs: which there are, and which of them the code itself bounds.

Elsewhere a jump back asks the budget. Here LLVM is to see the loop as it is, since it does many
rounds at a time of loops that do little: see Body.begin.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bpfheap.isa import ControlFlow, Kind
from bpfheap.isa.ops import OUTSIDE
from bpfheap.machine.model.alu import JUMPS
from bpfheap.machine.native.jit.blocks import Block, Function, Ins
from bpfheap.machine.native.jit.frames import Value, step, values_of
from bpfheap.machine.native.jit.source import Source

_CALLS: Final = OUTSIDE | {Kind.CALL_LOCAL, Kind.MAY_GOTO, Kind.LEGACY}
#: Larger loops gain nothing.
_MOST_BLOCKS: Final = 16


@dataclass(frozen=True, slots=True)
class Loop:
    """One without loops, calls or ends in it, which is entered where it begins, and lies together.

    `start`: its first block.
    `bounded`: does it end after the steps that may be taken at a time?
    """

    start: int
    bounded: bool


def tight_loops(function: Function, source: Source, steps: int) -> dict[int, Loop]:
    """By each block that is in one. `steps` may be taken at a time."""
    last: dict[int, int] = {}
    before: dict[int, list[int]] = {}
    for block in function.blocks.values():
        for to in block.after:
            before.setdefault(to, []).append(block.start)
            if to <= block.start:
                last[to] = max(block.start, last.get(to, 0))
    found: dict[int, Loop] = {}
    values: dict[int, list[Value]] | None = None
    order, starts = sorted(function.blocks), sorted(last)
    for start, next_ in zip(starts, [*starts[1:], order[-1] + 1], strict=True) if starts else ():
        end = last[start]
        if next_ <= end:
            continue
        inside = order[bisect_left(order, start) : bisect_right(order, end)]
        if not all(_is_tight(function.blocks[b], start, end, before) for b in inside):
            continue
        if values is None:
            values = values_of(function, source)
        body = {b: function.blocks[b] for b in inside}
        outside = [function.blocks[b] for b in before[start] if b not in body]
        entered = _entered(outside, values, source, at_once=start == function.start)
        most = steps // sum(len(block.body) for block in body.values())
        loop = Loop(start, _is_bounded(body, start, entered, values, source, most))
        found |= dict.fromkeys(inside, loop)
    return found


def _is_tight(block: Block, start: int, end: int, before: Mapping[int, list[int]]) -> bool:
    calls = any(ins.op.kind in _CALLS for ins in block.body)
    entered = block.start != start and not all(start <= b <= end for b in before[block.start])
    return not calls and not entered and bool(block.after) and min(block.after) >= start


def _entered(
    outside: list[Block], values: Mapping[int, list[Value]], source: Source, *, at_once: bool
) -> list[Value]:
    """What registers are when a loop is entered. Nothing is known if the function begins there."""
    found: list[Value] | None = [None] * 11 if at_once else None
    for block in outside:
        now = list(values[block.start])
        for ins in block.body:
            step(ins, now, source)
        if found is not None:
            now = [a if a == b else None for a, b in zip(found, now, strict=True)]
        found = now
    return found or [None] * 11


def _is_bounded(
    body: Mapping[int, Block],
    start: int,
    entered: list[Value],
    values: Mapping[int, list[Value]],
    source: Source,
    most: int,
) -> bool:
    """Is there a test that each round comes to, of a register that each round changes by the same
    number and that is known at the beginning, and does it lead out in one of `most` rounds?"""
    if len(body) > _MOST_BLOCKS:
        return False
    always = [block for block in body.values() if _is_always_passed(block.start, body, start)]
    writes: dict[int, list[Ins]] = {}
    for block in body.values():
        for ins in block.body:
            for n in _written(ins):
                writes.setdefault(n, []).append(ins)
    changes = {ins.slot: ins for block in always for ins in block.body if _is_change(ins)}
    for block in always:
        test = block.body[-1]
        if test.op.flow is not ControlFlow.BRANCH or len(block.after) != 2:
            continue
        change = writes.get(test.insn.dst, [])
        begun = entered[test.insn.dst]
        limit = _limit(block, values, source)
        if len(change) != 1 or change[0].slot not in changes or begun is None or limit is None:
            continue
        leaves = [to not in body for to in block.after]
        if begun[0] == "=" and _ends(change[0], test, begun[1], limit, leaves, most):
            return True
    return False


def _is_always_passed(block: int, body: Mapping[int, Block], start: int) -> bool:
    """Does each round of a loop come to a block?"""
    todo, seen = [start] if block != start else [], {block}
    while todo:
        at = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        for to in body[at].after:
            if to == start:
                return False
            if to in body:
                todo.append(to)
    return True


def _written(ins: Ins) -> tuple[int, ...]:
    op, insn = ins.op, ins.insn
    if op.kind in (Kind.MOV, Kind.ALU, Kind.NEG, Kind.END, Kind.LOAD, Kind.LDDW):
        return (insn.dst,)
    if op.kind is Kind.ATOMIC and op.fetch:
        return (0 if op.name == "cmpxchg" else insn.src,)
    return ()


def _is_change(ins: Ins) -> bool:
    op = ins.op
    return op.kind is Kind.ALU and op.name in ("add", "sub") and not op.reg and ins.insn.imm != 0


def _limit(block: Block, values: Mapping[int, list[Value]], source: Source) -> int | None:
    """What a block's test compares with, if that is known."""
    test = block.body[-1]
    if test.op.kind is not Kind.JCOND:
        return None
    if not test.op.reg:
        return test.insn.imm
    now = list(values[block.start])
    for ins in block.body[:-1]:
        step(ins, now, source)
    found = now[test.insn.src]
    return found[1] if found is not None and found[0] == "=" else None


def _ends(change: Ins, test: Ins, begun: int, limit: int, leaves: list[bool], most: int) -> bool:
    """Whatever is guessed here, it is the number that is there in that round which counts."""
    by = change.insn.imm if change.op.name == "add" else -change.insn.imm
    bits = change.op.width
    distance = (limit - begun) & ((1 << bits) - 1)
    distance -= distance >> (bits - 1) << bits
    for guess in range(distance // by - 1, distance // by + 3):
        if not 1 <= guess <= most:
            continue
        # The test may come before the change.
        made = guess if change.slot < test.slot else guess - 1
        now = (begun + made * by) & ((1 << bits) - 1) if made else begun
        seen = (1 << test.op.width) - 1
        if leaves[JUMPS[test.op.width][test.op.name](now & seen, limit & seen)]:
            return True
    return False
