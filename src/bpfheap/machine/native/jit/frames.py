"""Second pass: which bytes of each function's stack belong together.

A variable whose address only goes where its size is known gets memory of its own, which LLVM can
turn into a register. Where an address goes elsewhere, the frame is one piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from bpfheap.isa import Kind
from bpfheap.machine.native._core import LAYOUT
from bpfheap.machine.native.jit.blocks import Code, Function, Ins
from bpfheap.machine.native.jit.source import MapShape, Source
from bpfheap.platform.calls import CALL_BY_NAME, Arg, Call
from bpfheap.verifier.facts import CallFacts

STACK: Final = LAYOUT["BH_STACK"]
_FP: Final = 10
_ITERATOR: Final = 8
#: What need not be checked, as the core does.
_NUMBERS: Final = frozenset(
    {Arg.ANYTHING, Arg.SCALAR, Arg.COUNT, Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO, Arg.CTX,
     Arg.ALLOC_SIZE, Arg.TYPE_ID, Arg.UNUSED}
)  # fmt: skip
_SIZED: Final = frozenset({Arg.MEM, Arg.MEM_OR_NULL, Arg.UNINIT_MEM})


@dataclass(frozen=True, slots=True)
class StackFrame:
    """`regions` are disjoint (from, to), counted from the frame pointer down, so both are at most
    0. `offsets` has what the frame pointer plus a constant is in: slot and register.

    Of a hardened program, which takes nothing for granted, `calls` has what the code itself shows
    of its calls, and `proven` the slots of those whose arguments need no check."""

    regions: tuple[tuple[int, int], ...]
    offsets: dict[tuple[int, int], int]
    calls: dict[int, CallFacts] = field(default_factory=dict)
    proven: set[int] = field(default_factory=set)

    @property
    def whole(self) -> bool:
        return self.regions == ((-STACK, 0),)

    def region(self, offset: int) -> int:
        """The number of the region with a byte."""
        for number, (start, end) in enumerate(self.regions):
            if start <= offset < end:
                return number
        raise AssertionError(f"no region has fp{offset}")


#: A register's value: ("fp", offset), ("=", number), ("fp?", 0), ("map", slot of the lddw),
#: ("code", slot of a function), or None for any other.
Value = tuple[str, int] | None
_MAYBE: Final = ("fp?", 0)


class _Whole(Exception):
    """Somebody else may see any byte."""


def frame_of(function: Function, source: Source) -> StackFrame:
    """Where the stack of a function may be divided."""
    before = values_of(function, source)
    calls: dict[int, CallFacts] = {}
    proven: set[int] = set()
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
            row = _row(ins, source)
            if source.hardened and row is not None:
                calls[ins.slot] = _shown(ins, row, values, source)
                if _is_proven(row, values, source):
                    proven.add(ins.slot)
            try:
                accesses += _accesses(ins, values, source)
            except _Whole:
                whole = True
            step(ins, values, source)
    if whole or any(not -STACK <= start < end <= 0 for start, end in accesses):
        return StackFrame(((-STACK, 0),), offsets, calls, proven)
    return StackFrame(tuple(_merged(accesses)), offsets, calls, proven)


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


def values_of(function: Function, source: Source) -> dict[int, list[Value]]:
    """What registers are when a block begins."""
    start: list[Value] = [None] * 11
    start[_FP] = ("fp", 0)
    before = {function.start: start}
    todo = [function.start]
    while todo:
        block = function.blocks[todo.pop()]
        values = list(before[block.start])
        for ins in block.body:
            step(ins, values, source)
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


def _join(a: Value, b: Value) -> Value:
    if a == b:
        return a
    return _MAYBE if _is_stack(a) or _is_stack(b) else None


def _is_stack(value: Value) -> bool:
    return value is not None and value[0] in ("fp", "fp?")


def step(ins: Ins, values: list[Value], source: Source) -> None:
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
        case Kind.LDDW:
            values[insn.dst] = None
            if ins.slot in source.maps:
                values[insn.dst] = ("map", ins.slot)
            elif ins.slot in source.functions:
                values[insn.dst] = ("code", source.functions[ins.slot])
            elif ins.slot not in source.values:
                low, high = insn.imm & 0xFFFFFFFF, source.insns[ins.slot + 1].imm & 0xFFFFFFFF
                values[insn.dst] = ("=", high << 32 | low)
        case Kind.NEG | Kind.END | Kind.LOAD:
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


def _accesses(ins: Ins, values: list[Value], source: Source) -> Iterator[tuple[int, int]]:
    """The bytes of the stack that an instruction is about. Raises _Whole."""
    op, insn = ins.op, ins.insn
    match op.kind:
        case Kind.LOAD:
            yield from _at(values[insn.src], insn.off, op.size)
        case Kind.STORE_IMM:
            yield from _at(values[insn.dst], insn.off, op.size)
        case Kind.STORE_REG | Kind.ATOMIC:
            value = values[insn.dst]
            if op.kind is Kind.ATOMIC and value is not None and (value[1] + insn.off) % op.size:
                _not(value)
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


def _at(value: Value, off: int, size: int) -> Iterator[tuple[int, int]]:
    if value is not None and value[0] == "fp":
        yield value[1] + off, value[1] + off + size
    else:
        _not(value)


def _not(value: Value) -> None:
    if _is_stack(value):
        raise _Whole


def _of_call(ins: Ins, values: list[Value], source: Source) -> Iterator[tuple[int, int]]:
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
        # The core checks addresses in the region.
        checked = source.hardened and not (row is not None and _is_proven(row, values, source))
        if size is None or checked:
            raise _Whole
        if size:
            yield from _at(value, 0, size)


def _size(arg: Arg, ins: Ins, n: int, values: list[Value], source: Source) -> int | None:
    """How many bytes a call looks at there, None if that is not known."""
    if arg is Arg.UNUSED:
        return 0
    if arg in (Arg.ITER, Arg.ITER_NEW):
        return _ITERATOR
    if arg in _SIZED and n < 5:
        length = values[n + 1]
        return length[1] if length is not None and length[0] == "=" and length[1] >= 0 else None
    shape = None
    if source.hardened:
        shape = _map_at(values[1], source)
    elif source.facts is not None:
        shape = source.shapes.get(source.facts.call(ins.slot).map or "")
    if shape is None or arg not in (Arg.MAP_KEY, Arg.MAP_VALUE):
        return None
    return shape.key_size if arg is Arg.MAP_KEY else shape.value_size


# -- what the code itself shows, for hardened programs


def _map_at(value: Value, source: Source) -> MapShape | None:
    """The map that a register holds on all paths."""
    if value is None or value[0] != "map":
        return None
    return source.shapes.get(source.maps[value[1]])


def _shown(ins: Ins, row: Call, values: list[Value], source: Source) -> CallFacts:
    known = CallFacts() if source.facts is None else source.facts.call(ins.slot)
    named: str | None = None
    type_id, callback = 0, -1
    for n, arg in enumerate(row.args, 1):
        value = values[n]
        if value is None:
            continue
        if value[0] == "map" and arg in (Arg.MAP, Arg.ALLOCATOR):
            named = source.maps[value[1]]
        elif value[0] == "=" and arg is Arg.TYPE_ID:
            type_id = value[1]
        elif value[0] == "code" and arg in (Arg.CALLBACK, Arg.LESS):
            callback = value[1]
    return CallFacts(named, type_id, known.plain, callback, known.size)


def _is_proven(row: Call, values: list[Value], source: Source) -> bool:
    """Are the arguments what the core would let pass?"""
    return all(_fits(row, arg, n, values, source) for n, arg in enumerate(row.args, 1))


def _fits(row: Call, arg: Arg, n: int, values: list[Value], source: Source) -> bool:
    if arg in _NUMBERS:
        return True
    shape, value = _map_at(values[1], source), values[n]
    if arg is Arg.MAP:
        needs = row.map_op
        return (
            n == 1
            and shape is not None
            and needs != "tail_call"
            and (needs != "output" or shape.shape == "ring")
            and (needs != "update" or not shape.pointers)
        )
    if value is None or value[0] != "fp":
        return False
    if arg in (Arg.MAP_KEY, Arg.MAP_VALUE) and shape is not None:
        size = shape.key_size if arg is Arg.MAP_KEY else shape.value_size
    elif arg in _SIZED and n < 5:
        length = values[n + 1]
        if length is None or length[0] != "=" or length[1] < 0:
            return False
        size = length[1]
    else:
        return False
    return size > 0 and -STACK <= value[1] <= -size
