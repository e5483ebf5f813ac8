"""First pass: from slots to functions of basic blocks. What no path reaches is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from bpfheap.isa import ControlFlow, Insn, Op, op_of
from bpfheap.machine.native.jit.source import Source

#: What ends a block.
_ENDS = frozenset({ControlFlow.JUMP, ControlFlow.BRANCH, ControlFlow.END})


class Ins(NamedTuple):
    """One instruction.

    `slot`: where it stands.
    `op`: its row.
    `insn`: its fields.
    """

    slot: int
    op: Op
    insn: Insn


@dataclass(slots=True)
class Block:
    """Instructions that run one after the other (a basic block).

    `start`: the slot of the first one.
    `body`: the instructions.
    `after`: the slots of the blocks that may follow. Of a condition, the one where it is false
        comes first; if it is known which way it goes, only that one is there.
    """

    start: int
    body: list[Ins] = field(default_factory=list)
    after: tuple[int, ...] = ()


@dataclass(slots=True)
class Function:
    """A function of the program.

    `start`: its first slot.
    `blocks`: by the slot at which they start, in the order of the code.
    """

    start: int
    blocks: dict[int, Block]

    def __iter__(self) -> Iterator[Ins]:
        return (ins for block in self.blocks.values() for ins in block.body)


@dataclass(slots=True)
class Code:
    """The code of a program.

    `functions`: by their first slot, the program's entry first.
    """

    functions: dict[int, Function]


def target(ins: Ins) -> int:
    """Where a jump goes, or a local call."""
    return ins.op.target(ins.insn, ins.slot)


def split(source: Source) -> Code:
    """Of well-formed code."""
    seen = None if source.facts is None else source.facts.seen
    functions: dict[int, Function] = {}
    todo = [0]
    while todo:
        start = todo.pop()
        if start in functions:
            continue
        function = functions[start] = _function(source, start, seen)
        for ins in function:
            if ins.op.flow is ControlFlow.CALL:
                todo.append(target(ins))
            elif ins.slot in source.functions:
                callback = source.functions[ins.slot]
                # One that is never called back was never walked.
                if seen is None or seen[callback]:
                    todo.append(callback)
    return Code({start: functions[start] for start in sorted(functions)})


def _function(source: Source, start: int, seen: bytes | None) -> Function:
    reached: dict[int, Ins] = {}
    after: dict[int, tuple[int, ...]] = {}
    starts = {start}
    todo = [start]
    while todo:
        slot = todo.pop()
        while slot not in reached:
            insn = source.insns[slot]
            op = op_of(insn, slot)
            ins = reached[slot] = Ins(slot, op, insn)
            if op.flow is ControlFlow.END:
                after[slot] = ()
                break
            if op.flow not in _ENDS:
                slot += op.slots
                continue
            ways = [target(ins)]
            if op.flow is ControlFlow.BRANCH:
                ways = [way for way in (slot + 1, *ways) if seen is None or seen[way]]
            after[slot] = tuple(ways)
            starts.update(ways)
            todo += ways
            break
    blocks: dict[int, Block] = {}
    block = Block(start)
    for slot in sorted(reached):
        ins = reached[slot]
        if slot in starts:
            if block.body and not block.after and block.body[-1].op.flow is not ControlFlow.END:
                block.after = (slot,)
            block = blocks[slot] = Block(slot)
        block.body.append(ins)
        if slot in after:
            block.after = after[slot]
    return Function(start, blocks)


def check(code: Code, source: Source) -> None:
    """The legal form. Raises AssertionError with what is wrong."""
    slots: set[int] = set()
    for start, function in code.functions.items():
        assert start in function.blocks, f"function {start} has no block at its start"
        for at, block in function.blocks.items():
            assert block.start == at
            assert at not in slots, f"block {at} is there twice"
            slots.add(at)
            for after in block.after:
                assert after in function.blocks, f"block {at} goes on to {after}, which is none"
            for ins in block.body[:-1]:
                assert ins.op.flow not in _ENDS, f"slot {ins.slot} ends the block in its middle"
            last = block.body[-1].op.flow if block.body else None
            # Of a condition it may be known which way it goes.
            most = 0 if last is ControlFlow.END else 2 if last is ControlFlow.BRANCH else 1
            least = min(most, 1)
            assert least <= len(block.after) <= most, f"block {at} goes on to {block.after}"
        for ins in function:
            if ins.op.flow is ControlFlow.CALL:
                assert target(ins) in code.functions, f"slot {ins.slot} calls nothing"
            if source.facts is not None:
                assert source.facts.seen[ins.slot], f"slot {ins.slot} is never reached"
