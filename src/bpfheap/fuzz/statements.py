"""Statements on numbers, the stack and the context: arithmetic, branches, loops, helper calls."""

from __future__ import annotations

from typing import Final

from bpfheap.fuzz import code
from bpfheap.fuzz.pieces import BranchPiece, CodePiece, LoopPiece, Pieces
from bpfheap.fuzz.surroundings import MAPS
from bpfheap.fuzz.writer import (
    BUFFER,
    COUNTERS,
    CTX_SLOT,
    KEY,
    SCRATCH,
    Pointee,
    ScopedPointer,
    Writer,
)
from bpfheap.isa import Insn, Op
from bpfheap.platform.maps import BY_NAME
from bpfheap.platform.programs import CtxKind
from bpfheap.spec import Ref, RefKind

_SHIFTS: Final = frozenset({"lsh", "rsh", "arsh"})
_DIVISIONS: Final = frozenset({"div", "mod", "sdiv", "smod"})
_SIMPLE: Final = tuple(op for op in code.ALU if op.name in ("add", "sub", "and"))
#: The frame's scratch space, as a pointer in scope.
FRAME: Final = ScopedPointer(Pointee.STACK, code.FP, SCRATCH)


def arithmetic(w: Writer) -> Pieces:
    """One to three ALU operations on numbers."""
    count = w.rng.choice((1, 1, 2, 3))
    return (CodePiece(tuple(_operation(w) for _ in range(count))),)


def _operation(w: Writer) -> Insn:
    op = w.rng.choice(code.ALU if "alu" in w.features else _SIMPLE)
    if op.reg:
        return code.insn(op, w.number(), w.number())
    imm = w.immediate()
    if op.name in _SHIFTS:
        imm = w.rng.randrange(op.width)
    elif op.name in _DIVISIONS and not imm:
        imm = 3
    return code.insn(op, w.number(), imm=imm)


def move(w: Writer) -> Pieces:
    """A register gets a constant, another register (perhaps sign extended), or is negated or
    swapped."""
    match w.rng.randrange(4):
        case 0:
            return (CodePiece((code.put(w.number(), w.immediate()),)),)
        case 1 if "alu" in w.features:
            return (CodePiece((code.insn(w.rng.choice(code.UNARY), w.number()),)),)
        case 2:
            return (CodePiece((code.mov(w.number(), w.number()),)),)
    return (CodePiece((code.insn(w.rng.choice(code.MOVES), w.number(), w.number()),)),)


def context(w: Writer) -> Pieces:
    """Load a field of the context into a register; seldom store one."""
    if not w.has_ctx:
        return ()
    fetch = code.load(8, 1, code.FP, CTX_SLOT)
    row = w.row
    if row.raw_ctx is not None:
        size = w.size(8)
        off = w.rng.randrange(0, 64, size)
        write = row.ctx_writable and w.chance(0.2)
        return (CodePiece((fetch,)), w.memory_insn(1, off, size, write=write))
    if w.chance(0.15):
        writable = [f for f in row.fields if f.writable]
        if writable:
            field = w.rng.choice(writable)
            return (CodePiece((fetch,)), w.memory_insn(1, field.offset, field.size, write=True))
    # Only programs attached to a device map may read the egress interface.
    odd = w.chance(0.05)
    fields = [
        f for f in row.fields if f.kind is CtxKind.SCALAR and (odd or f.name != "egress_ifindex")
    ]
    field = w.rng.choice(fields)
    size = w.size(field.size) if field.narrow else field.size
    off = field.offset + w.rng.randrange(0, field.size, size)
    return (CodePiece((fetch,)), w.memory_insn(1, off, size, write=False))


def stack(w: Writer) -> Pieces:
    """Spills, fills and narrower accesses of the scratch space."""
    if w.chance(0.25):
        return w.access(FRAME)
    size = w.rng.choice((8, 8, 4, 4, 2, 1))
    off = w.rng.randrange(SCRATCH[0], SCRATCH[1], size)
    return (w.memory_insn(code.FP, off, size, write=w.chance(0.5)),)


def branch(w: Writer) -> Pieces:
    """A condition on numbers, with statements on one or both sides."""
    skip = _condition(w)
    body = w.block(w.rng.randint(1, 3))
    otherwise = w.block(w.rng.randint(1, 2)) if w.chance(0.35) else ()
    return (BranchPiece(skip, body, otherwise),) if body or otherwise else ()


def _condition(w: Writer) -> Insn:
    op: Op = w.rng.choice(code.JUMPS)
    if op.reg:
        return code.insn(op, w.number(), w.number())
    return code.insn(op, w.number(), imm=w.immediate())


def loop(w: Writer) -> Pieces:
    """A counted loop; the counter is on the stack or in a register, the bound known or masked."""
    if w.loops >= len(COUNTERS):
        return ()
    count = w.rng.choice((1, 2, 2, 3, 3, 4, 5, 8))
    slot = COUNTERS[w.loops]
    w.loops += 1
    style = w.rng.randrange(3)
    register = w.number() if style and len(w.numbers) > 2 else None
    if register is None:
        body = w.block(w.rng.randint(1, 2))
        pieces = _counter_on_stack(w, slot, count, body)
    else:
        w.claim_register(register)
        body = w.block(w.rng.randint(1, 2))
        pieces = (_known_bound if style == 1 else _masked_bound)(w, register, count, body)
        pieces = (*pieces, *w.release_home(register))
    w.loops -= 1
    return pieces


def _counter_on_stack(w: Writer, slot: int, count: int, body: Pieces) -> Pieces:
    size = w.rng.choice((4, 8))
    start = CodePiece((code.store_imm(size, code.FP, slot, count),))
    step = CodePiece(
        (
            code.load(size, 1, code.FP, slot),
            code.alu("add", 1, -1),
            code.store(size, code.FP, slot, 1),
        )
    )
    name = w.rng.choice(("jne", "jgt", "jsgt"))
    return (start, LoopPiece((), None, (*body, step), code.jump(name, 1, 0)))


def _known_bound(w: Writer, register: int, count: int, body: Pieces) -> Pieces:
    by = w.rng.choice((1, 1, 2))
    step = CodePiece((code.alu("add", register, by),))
    name = w.rng.choice(("jlt", "jslt", "jlt"))
    width = w.rng.choice((64, 64, 32))
    back = code.jump(name, register, count, width)
    return (CodePiece((code.put(register, 0),)), LoopPiece((), None, (*body, step), back))


def _masked_bound(w: Writer, register: int, count: int, body: Pieces) -> Pieces:
    """The bound is an unknown number of at most 7."""
    limit = w.number()
    mask = 3 if count < 4 else 7
    start = (
        CodePiece((code.alu("and", limit, mask),)),
        CodePiece((code.put(register, 0),)),
    )
    leave = code.jump_reg(w.rng.choice(("jge", "jsge")), register, limit)
    # What the body does to the limit must not make the loop endless.
    stop = CodePiece((code.alu("and", limit, mask),))
    step = CodePiece((code.alu("add", register, 1),))
    return (*start, LoopPiece((), leave, (*body, stop, step), code.ja(0)))


def call_helper(w: Writer) -> Pieces:
    """Call a helper without arguments, or one that changes a map."""
    if not w.may_call:
        return ()
    if "maps" in w.features and w.chance(0.6):
        return change_map(w)
    name = w.rng.choice(("bpf_ktime_get_ns", "bpf_get_prandom_u32", "bpf_get_smp_processor_id"))
    insns = [code.helper(name)]
    if w.chance(0.7):
        insns.append(code.mov(w.number(), 0))
    return (CodePiece(tuple(insns)),)


def change_map(w: Writer) -> Pieces:
    """bpf_map_update_elem or bpf_map_delete_elem."""
    maps = [p for p in MAPS if p.feature in w.features and p.value and p.feature != "locks"]
    map_ = w.rng.choice(maps)
    insns, refs = [*key(w, map_.max_entries)], []
    insns += [code.mov(2, code.FP), code.alu("add", 2, KEY)]
    refs.append((len(insns), Ref(RefKind.MAP, map_.name)))
    insns += [code.wide("map", 1), code.SECOND]
    assert map_.value is not None
    if "delete" in BY_NAME[map_.type].ops and w.chance(0.3):
        insns.append(code.helper("bpf_map_delete_elem"))
    else:
        head = tuple(
            code.store_imm(8, code.FP, BUFFER + at, w.immediate())
            for at in range(0, map_.value.size, 8)
            if w.chance(0.5)
        )
        insns += [*head, code.mov(3, code.FP), code.alu("add", 3, BUFFER)]
        insns += [code.put(4, w.rng.choice((0, 0, 0, 1, 2))), code.helper("bpf_map_update_elem")]
    if w.chance(0.5):
        insns.append(code.mov(w.number(), 0))
    return (CodePiece(tuple(insns), tuple(refs)),)


def key(w: Writer, entries: int) -> tuple[Insn, ...]:
    """Store a key on the stack, mostly one that the map has."""
    if w.chance(0.6):
        return (code.store_imm(4, code.FP, KEY, w.rng.choice((0, 0, 1, entries - 1, entries))),)
    return (code.store(4, code.FP, KEY, w.number()),)
