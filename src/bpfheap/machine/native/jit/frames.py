"""Second pass: which bytes of each function's stack belong together.

A variable whose address only goes where its size is known gets memory of its own, which LLVM can
turn into a register. Where an address goes elsewhere, the frame is one piece.

Of a hardened program, whose frames of one piece lie in its region, that holds for what a callback
gets as its context, too: its code shows which of its caller's bytes it is about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from bpfheap.isa import Kind
from bpfheap.machine.native._core import LAYOUT
from bpfheap.machine.native.jit.blocks import Code, Function, Ins, target
from bpfheap.machine.native.jit.source import MapShape, Source
from bpfheap.platform.calls import CALL_BY_NAME, Arg, Call, Course, Ret
from bpfheap.verifier.facts import CallFacts

STACK: Final = LAYOUT["BH_STACK"]
_FP: Final = 10
_ITERATOR: Final = 8
#: As much as an access may have to be.
_ALIGNED: Final = 8
#: What need not be checked, as the core does.
_NUMBERS: Final = frozenset(
    {Arg.ANYTHING, Arg.SCALAR, Arg.COUNT, Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO, Arg.CTX,
     Arg.ALLOC_SIZE, Arg.TYPE_ID, Arg.UNUSED}
)  # fmt: skip
_SIZED: Final = frozenset({Arg.MEM, Arg.MEM_OR_NULL, Arg.UNINIT_MEM})
#: Maps that have values to find, as the core calls their shapes.
_HOLD_VALUES: Final = frozenset({"array", "hash", "lru", "trie"})
#: The register in which a callback gets its context, by who calls it back.
CONTEXT: Final[Mapping[str, int]] = {"bpf_loop": 2, "bpf_for_each_map_elem": 4}


@dataclass(frozen=True, slots=True)
class Context:
    """What a callback does with its context, which is always on its caller's stack: it is in
    `register` when it begins, and all accesses are in [start, end) from there."""

    register: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class StackFrame:
    """`regions` are disjoint (from, to), counted from the frame pointer down, so both are at most
    0. `offsets` has what the frame pointer plus a constant is in: slot and register.

    Of a hardened program, which takes nothing for granted, `calls` has what the code itself shows
    of its calls, and `proven` the slots of those whose arguments need no check. `context` is what a
    callback is about on its caller's stack, and `outer` has what it plus a constant is in. `values`
    has what NULL or the address of a map's value is in, and the bytes of that."""

    regions: tuple[tuple[int, int], ...]
    offsets: dict[tuple[int, int], int]
    calls: dict[int, CallFacts] = field(default_factory=dict)
    proven: set[int] = field(default_factory=set)
    context: Context | None = None
    outer: dict[tuple[int, int], int] = field(default_factory=dict)
    values: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return self.regions == ((-STACK, 0),)

    def region(self, offset: int) -> int:
        """The number of the region with a byte."""
        for number, (start, end) in enumerate(self.regions):
            if start <= offset < end:
                return number
        raise AssertionError(f"no region has fp{offset}")


#: A register's value: ("fp", offset), ("ctx", offset) from a callback's context, ("=", number),
#: ("value", bytes) for NULL or the address of a map's value, ("map", slot of the lddw), ("code",
#: slot of a function), ("fp?", 0), ("ctx?", 0) or ("any?", 0) for what may be an address on one of
#: these stacks or both, or None for any other.
Value = tuple[str, int] | None
_BASES: Final[Mapping[str, tuple[str, ...]]] = {
    "fp": ("fp",), "fp?": ("fp",), "ctx": ("ctx",), "ctx?": ("ctx",), "any?": ("fp", "ctx"),
}  # fmt: skip
_MAYBE: Final[Mapping[tuple[str, ...], Value]] = {
    (): None, ("fp",): ("fp?", 0), ("ctx",): ("ctx?", 0), ("fp", "ctx"): ("any?", 0),
}  # fmt: skip
#: Bytes [start, end) from the frame pointer or the context. Without any, somebody else may see all.
Access = tuple[str, int, int]


def frames_of(code: Code, source: Source) -> dict[int, StackFrame]:
    """Of each function, where its stack may be divided."""
    calls_back = source.hardened and not CONTEXT.keys().isdisjoint(source.calls.values())
    contexts = _contexts(code, source) if calls_back else {}
    return {start: frame_of(f, source, contexts) for start, f in code.functions.items()}


def frame_of(
    function: Function, source: Source, contexts: Mapping[int, Context] | None = None
) -> StackFrame:
    """Where the stack of a function may be divided. `contexts` has those of callbacks."""
    contexts = {} if contexts is None else contexts
    context = contexts.get(function.start)
    calls: dict[int, CallFacts] = {}
    proven: set[int] = set()
    accesses: list[tuple[int, int]] = []
    known: dict[str, dict[tuple[int, int], int]] = {"fp": {}, "ctx": {}, "value": {}}
    whole = False
    for ins, values in _with_values(function, source, context):
        for n in _read(ins, source):
            value = values[n]
            if value is not None and value[0] in known:
                known[value[0]][ins.slot, n] = value[1]
        row = _row(ins, source)
        if source.hardened and row is not None:
            calls[ins.slot] = _shown(ins, row, values, source)
            if _is_proven(row, values, source):
                proven.add(ins.slot)
        for base, start, end in _accesses(ins, values, source, contexts):
            if base == "fp":
                accesses.append((start, end))
                whole = whole or not -STACK <= start < end <= 0
    regions = ((-STACK, 0),) if whole else tuple(_merged(accesses))
    return StackFrame(regions, known["fp"], calls, proven, context, known["ctx"], known["value"])


def _contexts(code: Code, source: Source) -> dict[int, Context]:
    """By callback, what it is about on its caller's stack; without those that may be called with
    something else, or let somebody else see its address."""
    given: dict[int, set[tuple[int, Value]]] = defaultdict(set)
    called = {0}
    for function in code.functions.values():
        for ins, values in _with_values(function, source):
            row = _row(ins, source)
            if ins.op.kind is Kind.CALL_LOCAL:
                called.add(target(ins))
            elif row is not None and row.name in CONTEXT:
                callback = values[row.args.index(Arg.CALLBACK) + 1]
                if callback is not None and callback[0] == "code":
                    value = values[row.args.index(Arg.CALLBACK_CTX) + 1]
                    given[callback[1]].add((CONTEXT[row.name], value))
    found: dict[int, Context] = {}
    for start, ways in given.items():
        registers = {register for register, _ in ways}
        offsets = [v[1] for _, v in ways if v is not None and v[0] == "fp"]
        # One that is never called back has no code.
        if start not in code.functions or start in called:
            continue
        if len(registers) > 1 or len(offsets) < len(ways):
            continue
        context = _context(code.functions[start], source, *registers)
        fits = context is not None and all(
            at + context.start >= -STACK and at + context.end <= 0 for at in offsets
        )
        if context is not None and fits:
            found[start] = context
    return found


def _context(callback: Function, source: Source, register: int) -> Context | None:
    """None if it lets somebody else see the address."""
    # The byte at the address itself makes it one of the variable that is meant.
    low, high = 0, 1
    for ins, values in _with_values(callback, source, Context(register, low, high)):
        for base, start, end in _accesses(ins, values, source, {}):
            if base == "ctx":
                if start >= end or ins.op.atomic:
                    return None
                low, high = min(low, start), max(high, end)
    return Context(register, low, high)


def check(code: Code, frames: dict[int, StackFrame]) -> None:
    """The legal form. Raises AssertionError."""
    assert frames.keys() == code.functions.keys()
    for frame in frames.values():
        last = -STACK
        for start, end in frame.regions:
            assert last <= start < end <= 0, f"regions {frame.regions} overlap or leave the stack"
            last = end


def _merged(accesses: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Each begins aligned, as what is in it is from there on."""
    at: tuple[int, int] | None = None
    for start, end in sorted((start & -_ALIGNED, end) for start, end in accesses):
        if at is not None and start < at[1]:
            at = (at[0], max(at[1], end))
            continue
        if at is not None:
            yield at
        at = (start, end)
    if at is not None:
        yield at


def values_of(
    function: Function, source: Source, context: Context | None = None
) -> dict[int, list[Value]]:
    """What registers are when a block begins."""
    start: list[Value] = [None] * 11
    start[_FP] = ("fp", 0)
    if context is not None:
        start[context.register] = ("ctx", 0)
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


def _with_values(
    function: Function, source: Source, context: Context | None = None
) -> Iterator[tuple[Ins, list[Value]]]:
    """Each instruction, and what registers are before it."""
    before = values_of(function, source, context)
    for block in function.blocks.values():
        values = list(before[block.start])
        for ins in block.body:
            yield ins, values
            step(ins, values, source)


def _join(a: Value, b: Value) -> Value:
    if a == b:
        return a
    either = {*_bases(a), *_bases(b)}
    return _MAYBE[tuple(base for base in ("fp", "ctx") if base in either)]


def _bases(value: Value) -> tuple[str, ...]:
    """What it may be an address of."""
    return () if value is None else _BASES.get(value[0], ())


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
            if value is not None and _moves(ins, values):
                change = insn.imm if op.name == "add" else -insn.imm
                values[insn.dst] = (value[0], value[1] + change)
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
        case Kind.LEGACY:
            values[:6] = [None] * 6
        case Kind.CALL_HELPER | Kind.CALL_KFUNC | Kind.CALL_LOCAL | Kind.CALL_REG:
            values[:6] = [_result(ins, values, source), *[None] * 5]


def _moves(ins: Ins, values: list[Value]) -> bool:
    """Is it an address on the stack, whose distance stays known?"""
    op, value = ins.op, values[ins.insn.dst]
    known = value is not None and value[0] in ("fp", "ctx")
    return known and op.width == 64 and not op.reg and op.name in ("add", "sub")


def _result(ins: Ins, values: list[Value], source: Source) -> Value:
    row, shape = _row(ins, source), _map_at(values[1], source)
    looked_up = row is not None and row.ret is Ret.MAP_VALUE_OR_NULL
    # Where values are pointers, what they lead to is found.
    if looked_up and shape is not None and shape.shape in _HOLD_VALUES and not shape.pointers:
        return "value", shape.value_size
    return None


def _read(ins: Ins, source: Source) -> tuple[int, ...]:
    """The registers that may be addresses when an instruction reads them."""
    op, insn = ins.op, ins.insn
    match op.kind:
        case Kind.LOAD:
            return (insn.src,)
        case Kind.LEGACY:
            return (insn.src,) if op.name == "ldind" else ()
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
    name = source.calls.get(ins.slot) or ""
    return None if name in source.asked else CALL_BY_NAME.get(name)


def _accesses(
    ins: Ins, values: list[Value], source: Source, contexts: Mapping[int, Context]
) -> Iterator[Access]:
    """The bytes of the stack, and of the caller's, that an instruction is about."""
    op, insn = ins.op, ins.insn
    match op.kind:
        case Kind.LOAD:
            yield from _access(values[insn.src], ins)
        case Kind.STORE_IMM:
            yield from _access(values[insn.dst], ins)
        case Kind.STORE_REG | Kind.ATOMIC:
            yield from _access(values[insn.dst], ins)
            yield from _escapes(values[insn.src])
            if op.name == "cmpxchg":
                # It compares r0.
                yield from _escapes(values[0])
        case Kind.MOV:
            if op.reg and (op.width != 64 or op.sx):
                yield from _escapes(values[insn.src])
        case Kind.ALU:
            if not _moves(ins, values):
                yield from _escapes(values[insn.dst])
            if op.reg:
                yield from _escapes(values[insn.src])
        case Kind.JCOND:
            yield from _escapes(values[insn.dst])
            if op.reg:
                yield from _escapes(values[insn.src])
        case Kind.CALL_HELPER | Kind.CALL_KFUNC:
            yield from _of_call(ins, values, source, contexts)
        case _:
            for n in _read(ins, source):
                yield from _escapes(values[n])


def _access(value: Value, ins: Ins) -> Iterator[Access]:
    op, off = ins.op, ins.insn.off
    if op.atomic and value is not None and (value[1] + off) % op.size:
        yield from _escapes(value)
    yield from _at(value, off, op.size)


def _at(value: Value, off: int, size: int) -> Iterator[Access]:
    if value is not None and value[0] in ("fp", "ctx"):
        yield value[0], value[1] + off, value[1] + off + size
    else:
        yield from _escapes(value)


def _escapes(value: Value) -> Iterator[Access]:
    for base in _bases(value):
        yield base, 0, 0


def _of_call(
    ins: Ins, values: list[Value], source: Source, contexts: Mapping[int, Context]
) -> Iterator[Access]:
    row = _row(ins, source)
    if row is None:
        for n in range(1, 6):
            yield from _escapes(values[n])
        return
    for n, arg in enumerate(row.args, 1):
        value = values[n]
        if not _bases(value):
            continue
        context = None
        if arg is Arg.CALLBACK_CTX:
            context = contexts.get(_shown(ins, row, values, source).callback)
        if context is not None:
            yield from _at(value, context.start, context.end - context.start)
            continue
        size = _size(arg, ins, n, values, source)
        # The core checks addresses in the region.
        checked = source.hardened and not _is_proven(row, values, source)
        if not size or checked:
            yield from _escapes(value)
        else:
            yield from _at(value, 0, size)


def _size(arg: Arg, ins: Ins, n: int, values: list[Value], source: Source) -> int | None:
    """How many bytes a call looks at there, None if that is not known."""
    if arg is Arg.UNUSED:
        return 0
    if arg in (Arg.ITER, Arg.ITER_NEW, Arg.IRQ_SAVE, Arg.IRQ_RESTORE):
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
    """Are the arguments what the core would let pass? Who prints reads them where the core would,
    in the region."""
    fit = (_fits(row, arg, n, values, source) for n, arg in enumerate(row.args, 1))
    return row.course is not Course.PRINTS and all(fit)


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
            and shape.shape != "played"
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
