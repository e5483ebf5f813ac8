"""Second pass: which bytes of each function's stack belong together.

A variable whose address only goes where its size is known gets memory of its own, which LLVM can
turn into a register. Where an address goes elsewhere, the frame is one piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bpfheap.isa import Kind
from bpfheap.machine.native._core import LAYOUT
from bpfheap.machine.native.jit.blocks import Code, Function, Ins
from bpfheap.machine.native.jit.source import Source
from bpfheap.platform.calls import CALL_BY_NAME, Arg, Call

STACK: Final = LAYOUT["BH_STACK"]
_FP: Final = 10
_ITERATOR: Final = 8
_SIZED: Final = frozenset({Arg.MEM, Arg.MEM_OR_NULL, Arg.UNINIT_MEM})


@dataclass(frozen=True, slots=True)
class StackFrame:
    """`regions` are disjoint (from, to), counted from the frame pointer down, so both are at most
    0. `offsets` has what the frame pointer plus a constant is in: slot and register."""

    regions: tuple[tuple[int, int], ...]
    offsets: dict[tuple[int, int], int]

    @property
    def whole(self) -> bool:
        return self.regions == ((-STACK, 0),)

    def region(self, offset: int) -> int:
        """The number of the region with a byte."""
        for number, (start, end) in enumerate(self.regions):
            if start <= offset < end:
                return number
        raise AssertionError(f"no region has fp{offset}")


#: A register's value: ("fp", offset), ("=", number), ("fp?", 0), or None for any other.
_Value = tuple[str, int] | None
_MAYBE: Final = ("fp?", 0)


class _Whole(Exception):
    """Somebody else may see any byte."""


def frame_of(function: Function, source: Source) -> StackFrame:
    """Where the stack of a function may be divided."""
    before = _values(function)
    accesses: list[tuple[int, int]] = []
    offsets: dict[tuple[int, int], int] = {}
    whole = False
    for block in function.blocks.values():
        values = list(before[block.start])
        for ins in block.body:
            for n in _read(ins, source):
                value = values[n]
                if value is not None and value[0] == "fp":
                    offsets[ins.slot, n] = value[1]
            try:
                accesses += _accesses(ins, values, source)
            except _Whole:
                whole = True
            _step(ins, values)
    if whole or any(not -STACK <= start < end <= 0 for start, end in accesses):
        return StackFrame(((-STACK, 0),), offsets)
    return StackFrame(tuple(_merged(accesses)), offsets)


def check(code: Code, frames: dict[int, StackFrame]) -> None:
    """The legal form. Raises AssertionError."""
    assert frames.keys() == code.functions.keys()
    for frame in frames.values():
        last = -STACK
        for start, end in frame.regions:
            assert last <= start < end <= 0, f"regions {frame.regions} overlap or leave the stack"
            last = end


def _merged(accesses: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    at: tuple[int, int] | None = None
    for start, end in sorted(accesses):
        if at is not None and start < at[1]:
            at = (at[0], max(at[1], end))
            continue
        if at is not None:
            yield at
        at = (start, end)
    if at is not None:
        yield at


def _values(function: Function) -> dict[int, list[_Value]]:
    """What registers are when a block begins."""
    start: list[_Value] = [None] * 11
    start[_FP] = ("fp", 0)
    before = {function.start: start}
    todo = [function.start]
    while todo:
        block = function.blocks[todo.pop()]
        values = list(before[block.start])
        for ins in block.body:
            _step(ins, values)
        for after in block.after:
            known = before.get(after)
            if known is None:
                before[after] = list(values)
                todo.append(after)
                continue
            joined = [_join(a, b) for a, b in zip(known, values, strict=True)]
            if joined != known:
                before[after] = joined
                todo.append(after)
    return before


def _join(a: _Value, b: _Value) -> _Value:
    if a == b:
        return a
    stack = (a is not None and a[0] != "=") or (b is not None and b[0] != "=")
    return _MAYBE if stack else None


def _is_stack(value: _Value) -> bool:
    return value is not None and value[0] != "="


def _step(ins: Ins, values: list[_Value]) -> None:
    """What an instruction makes of the registers."""
    op, insn = ins.op, ins.insn
    match op.kind:
        case Kind.MOV:
            if not op.reg:
                values[insn.dst] = ("=", insn.imm if op.width == 64 else insn.imm & 0xFFFFFFFF)
            else:
                values[insn.dst] = values[insn.src] if op.width == 64 and not op.sx else None
        case Kind.ALU:
            value = values[insn.dst]
            plain = op.width == 64 and not op.reg and op.name in ("add", "sub")
            if plain and value is not None and value[0] == "fp":
                change = insn.imm if op.name == "add" else -insn.imm
                values[insn.dst] = ("fp", value[1] + change)
            else:
                values[insn.dst] = None
        case Kind.NEG | Kind.END | Kind.LDDW | Kind.LOAD:
            values[insn.dst] = None
        case Kind.ATOMIC if op.fetch:
            values[0 if op.name == "cmpxchg" else insn.src] = None
        case Kind.CALL_HELPER | Kind.CALL_KFUNC | Kind.CALL_LOCAL | Kind.CALL_REG:
            values[:6] = [None] * 6


def _read(ins: Ins, source: Source) -> tuple[int, ...]:
    """The registers that may be addresses when an instruction reads them."""
    op, insn = ins.op, ins.insn
    match op.kind:
        case Kind.LOAD:
            return (insn.src,)
        case Kind.STORE_IMM:
            return (insn.dst,)
        case Kind.STORE_REG | Kind.ATOMIC:
            return (insn.dst, insn.src)
        case Kind.MOV | Kind.ALU | Kind.JCOND:
            return (insn.dst, insn.src) if op.reg else (insn.dst,)
        case Kind.NEG | Kind.END:
            return (insn.dst,)
        case Kind.CALL_LOCAL | Kind.CALL_REG:
            return (1, 2, 3, 4, 5)
        case Kind.CALL_HELPER | Kind.CALL_KFUNC:
            row = _row(ins, source)
            return tuple(range(1, (5 if row is None else len(row.args)) + 1))
        case Kind.EXIT:
            return (0,)
    return ()


def _row(ins: Ins, source: Source) -> Call | None:
    return CALL_BY_NAME.get(source.calls.get(ins.slot) or "")


def _accesses(ins: Ins, values: list[_Value], source: Source) -> Iterator[tuple[int, int]]:
    """The bytes of the stack that an instruction is about. Raises _Whole."""
    op, insn = ins.op, ins.insn
    match op.kind:
        case Kind.LOAD:
            yield from _at(values[insn.src], insn.off, op.size)
        case Kind.STORE_IMM:
            yield from _at(values[insn.dst], insn.off, op.size)
        case Kind.STORE_REG | Kind.ATOMIC:
            yield from _at(values[insn.dst], insn.off, op.size)
            _not(values[insn.src])
        case Kind.MOV:
            if op.reg and (op.width != 64 or op.sx):
                _not(values[insn.src])
        case Kind.ALU:
            plain = op.width == 64 and not op.reg and op.name in ("add", "sub")
            if not plain:
                _not(values[insn.dst])
            if op.reg:
                _not(values[insn.src])
        case Kind.JCOND:
            _not(values[insn.dst])
            if op.reg:
                _not(values[insn.src])
        case Kind.CALL_HELPER | Kind.CALL_KFUNC:
            yield from _of_call(ins, values, source)
        case _:
            for n in _read(ins, source):
                _not(values[n])


def _at(value: _Value, off: int, size: int) -> Iterator[tuple[int, int]]:
    if value is not None and value[0] == "fp":
        yield value[1] + off, value[1] + off + size
    else:
        _not(value)


def _not(value: _Value) -> None:
    if _is_stack(value):
        raise _Whole


def _of_call(ins: Ins, values: list[_Value], source: Source) -> Iterator[tuple[int, int]]:
    row = _row(ins, source)
    args = () if row is None else row.args
    if row is None:
        for n in range(1, 6):
            _not(values[n])
    for n, arg in enumerate(args, 1):
        value = values[n]
        if not _is_stack(value):
            continue
        size = _size(arg, ins, n, values, source)
        if size is None:
            raise _Whole
        if size:
            yield from _at(value, 0, size)


def _size(arg: Arg, ins: Ins, n: int, values: list[_Value], source: Source) -> int | None:
    """How many bytes a call looks at there, None if that is not known."""
    if arg is Arg.UNUSED:
        return 0
    if arg in (Arg.ITER, Arg.ITER_NEW):
        return _ITERATOR
    if arg in _SIZED and n < 5:
        length = values[n + 1]
        return length[1] if length is not None and length[0] == "=" and length[1] >= 0 else None
    shape = None
    if source.facts is not None:
        shape = source.shapes.get(source.facts.call(ins.slot).map or "")
    if shape is None or arg not in (Arg.MAP_KEY, Arg.MAP_VALUE):
        return None
    return shape.key_size if arg is Arg.MAP_KEY else shape.value_size
