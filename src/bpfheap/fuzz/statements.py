"""Statements that need no pointer but the frame's and the context's: numbers, branches, loops."""

from __future__ import annotations

from typing import Final

from bpfheap.fuzz import code
from bpfheap.fuzz.pieces import Branch, Code, Loop, Pieces
from bpfheap.fuzz.surroundings import MAPS
from bpfheap.fuzz.writer import BUFFER, COUNTERS, CTX_SLOT, KEY, SCRATCH, Held, Memory, Writer
from bpfheap.isa import Insn, Op
from bpfheap.platform.maps import BY_NAME
from bpfheap.platform.programs import CtxKind
from bpfheap.spec import Ref, RefKind

_SHIFTS: Final = frozenset({"lsh", "rsh", "arsh"})
_DIVISIONS: Final = frozenset({"div", "mod", "sdiv", "smod"})
_SIMPLE: Final = tuple(op for op in code.ALU if op.name in ("add", "sub", "and"))
#: The frame's own scratch space as memory.
FRAME: Final = Held(Memory.STACK, code.FP, SCRATCH)


def arithmetic(w: Writer) -> Pieces:
    count = w.rng.choice((1, 1, 2, 3))
    return (Code(tuple(_operation(w) for _ in range(count))),)


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
    match w.rng.randrange(4):
        case 0:
            return (Code((code.put(w.number(), w.immediate()),)),)
        case 1 if "alu" in w.features:
            return (Code((code.insn(w.rng.choice(code.UNARY), w.number()),)),)
        case 2:
            return (Code((code.mov(w.number(), w.number()),)),)
    return (Code((code.insn(w.rng.choice(code.MOVES), w.number(), w.number()),)),)


def context(w: Writer) -> Pieces:
    """A field of the context into a register; seldom a write of one."""
    if not w.has_ctx:
        return ()
    fetch = code.load(8, 1, code.FP, CTX_SLOT)
    row = w.row
    if row.raw_ctx:
        size = w.size(8)
        off = w.rng.randrange(0, 64, size)
        write = row.ctx_writable and w.chance(0.2)
        return (Code((fetch,)), w.touch(1, off, size, write=write))
    if w.chance(0.15):
        writable = [f for f in row.fields if f.writable]
        if writable:
            field = w.rng.choice(writable)
            return (Code((fetch,)), w.touch(1, field.offset, field.size, write=True))
    # Only programs attached to a device map may read the egress interface.
    odd = w.chance(0.05)
    fields = [
        f for f in row.fields if f.kind is CtxKind.SCALAR and (odd or f.name != "egress_ifindex")
    ]
    field = w.rng.choice(fields)
    size = w.size(field.size) if field.narrow else field.size
    off = field.offset + w.rng.randrange(0, field.size, size)
    return (Code((fetch,)), w.touch(1, off, size, write=False))


def stack(w: Writer) -> Pieces:
    """Scratch space: spills, fills, and bytes in between."""
    if w.chance(0.25):
        return w.access(FRAME)
    size = w.rng.choice((8, 8, 4, 4, 2, 1))
    off = w.rng.randrange(SCRATCH[0], SCRATCH[1], size)
    return (w.touch(code.FP, off, size, write=w.chance(0.5)),)


def branch(w: Writer) -> Pieces:
    skip = _condition(w)
    body = w.block(w.rng.randint(1, 3))
    otherwise = w.block(w.rng.randint(1, 2)) if w.chance(0.35) else ()
    return (Branch(skip, body, otherwise),) if body or otherwise else ()


def _condition(w: Writer) -> Insn:
    op: Op = w.rng.choice(code.JUMPS)
    if op.reg:
        return code.insn(op, w.number(), w.number())
    return code.insn(op, w.number(), imm=w.immediate())


def loop(w: Writer) -> Pieces:
    """One that counts, on the stack or in a register, to a number that is known or bounded."""
    if w.loops >= len(COUNTERS):
        return ()
    count = w.rng.choice((1, 2, 2, 3, 3, 4, 5, 8))
    slot = COUNTERS[w.loops]
    w.loops += 1
    style = w.rng.randrange(3)
    register = w.number() if style and len(w.numbers) > 2 else None
    if register is None:
        body = w.block(w.rng.randint(1, 2))
        pieces = _on_stack(w, slot, count, body)
    else:
        w.take(register)
        body = w.block(w.rng.randint(1, 2))
        pieces = (_to_known if style == 1 else _to_bounded)(w, register, count, body)
        pieces = (*pieces, *w.give_back(register))
    w.loops -= 1
    return pieces


def _on_stack(w: Writer, slot: int, count: int, body: Pieces) -> Pieces:
    size = w.rng.choice((4, 8))
    start = Code((code.store_imm(size, code.FP, slot, count),))
    step = Code(
        (
            code.load(size, 1, code.FP, slot),
            code.alu("add", 1, -1),
            code.store(size, code.FP, slot, 1),
        )
    )
    name = w.rng.choice(("jne", "jgt", "jsgt"))
    return (start, Loop((), None, (*body, step), code.jump(name, 1, 0)))


def _to_known(w: Writer, register: int, count: int, body: Pieces) -> Pieces:
    by = w.rng.choice((1, 1, 2))
    step = Code((code.alu("add", register, by),))
    name = w.rng.choice(("jlt", "jslt", "jlt"))
    width = w.rng.choice((64, 64, 32))
    back = code.jump(name, register, count, width)
    return (Code((code.put(register, 0),)), Loop((), None, (*body, step), back))


def _to_bounded(w: Writer, register: int, count: int, body: Pieces) -> Pieces:
    """The loop ends at a number that is not known, but not large."""
    limit = w.number()
    mask = 3 if count < 4 else 7
    start = (
        Code((code.alu("and", limit, mask),)),
        Code((code.put(register, 0),)),
    )
    leave = code.jump_reg(w.rng.choice(("jge", "jsge")), register, limit)
    # What the body does to the limit must not make the loop endless.
    stop = Code((code.alu("and", limit, mask),))
    step = Code((code.alu("add", register, 1),))
    return (*start, Loop((), leave, (*body, stop, step), code.ja(0)))


def call_helper(w: Writer) -> Pieces:
    """One that takes nothing, or a change of a map."""
    if not w.calls:
        return ()
    if "maps" in w.features and w.chance(0.6):
        return change_map(w)
    name = w.rng.choice(("bpf_ktime_get_ns", "bpf_get_prandom_u32", "bpf_get_smp_processor_id"))
    insns = [code.helper(name)]
    if w.chance(0.7):
        insns.append(code.mov(w.number(), 0))
    return (Code(tuple(insns)),)


def change_map(w: Writer) -> Pieces:
    """bpf_map_update_elem or bpf_map_delete_elem."""
    places = [p for p in MAPS if p.feature in w.features and p.value and p.feature != "locks"]
    place = w.rng.choice(places)
    insns, refs = [*key(w, place.max_entries)], []
    insns += [code.mov(2, code.FP), code.alu("add", 2, KEY)]
    refs.append((len(insns), Ref(RefKind.MAP, place.name)))
    insns += [code.wide("map", 1), code.SECOND]
    assert place.value is not None
    if "delete" in BY_NAME[place.type].ops and w.chance(0.3):
        insns.append(code.helper("bpf_map_delete_elem"))
    else:
        head = tuple(
            code.store_imm(8, code.FP, BUFFER + at, w.immediate())
            for at in range(0, place.value.size, 8)
            if w.chance(0.5)
        )
        insns += [*head, code.mov(3, code.FP), code.alu("add", 3, BUFFER)]
        insns += [code.put(4, w.rng.choice((0, 0, 0, 1, 2))), code.helper("bpf_map_update_elem")]
    if w.chance(0.5):
        insns.append(code.mov(w.number(), 0))
    return (Code(tuple(insns), tuple(refs)),)


def key(w: Writer, entries: int) -> tuple[Insn, ...]:
    """A key on the stack, mostly one that is there."""
    if w.chance(0.6):
        return (code.store_imm(4, code.FP, KEY, w.rng.choice((0, 0, 1, entries - 1, entries))),)
    return (code.store(4, code.FP, KEY, w.number()),)
