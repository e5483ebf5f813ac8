"""Statements that call functions of the program, and loops that the kernel counts."""

from __future__ import annotations

from bpfheap.fuzz import code
from bpfheap.fuzz.pieces import Address, Call, Code, Loop, Pieces
from bpfheap.fuzz.writer import ITERATORS, SCRATCH, Callee, Held, Memory, Role, Writer
from bpfheap.isa import Insn
from bpfheap.spec import Ref, RefKind

#: As much of the frame as a callee is lent: the upper part of the scratch space.
LENT = 16


def call(w: Writer) -> Pieces:
    """A static function, with what it wants in r1 to r5."""
    callees = [c for c in w.callees if c.role is Role.FUNCTION]
    if not w.calls or not callees:
        return ()
    callee = w.rng.choice(callees)
    arguments = _arguments(w, callee)
    if arguments is None:
        return ()
    result = (Code((code.mov(w.number(), 0),)),) if w.chance(0.8) else ()
    return (Code(arguments), Call(callee.number), *result)


def _arguments(w: Writer, callee: Callee) -> tuple[Insn, ...] | None:
    """None if there is nothing in scope that the function would take."""
    insns: list[Insn] = []
    for n, param in enumerate(callee.params, 1):
        if param is None:
            insns.append(code.mov(n, w.number()) if w.chance(0.7) else code.put(n, w.immediate()))
        elif param.memory is Memory.STACK:
            insns += [code.mov(n, code.FP), code.alu("add", n, _lent(w))]
        else:
            fitting = [h for h in w.pointers(param.memory) if h.map == param.map]
            if not fitting:
                return None
            insns.append(w.rng.choice(fitting).fetch(n))
    return tuple(insns)


def _lent(w: Writer) -> int:
    return w.rng.choice((SCRATCH[1] - LENT, SCRATCH[1] - LENT, SCRATCH[0]))


def bpf_loop(w: Writer) -> Pieces:
    """So many rounds of a callback."""
    callees = [c for c in w.callees if c.role is Role.LOOP]
    if not w.calls or not callees:
        return ()
    rounds = code.put(1, w.rng.choice((0, 1, 2, 5, 10, 100)))
    if w.chance(0.3):
        rounds = code.mov(1, w.number())
    return (
        Address(2, w.rng.choice(callees).number),
        Code((rounds, *_shared(w, 3), code.put(4, 0), code.helper("bpf_loop"), *_result(w))),
    )


def for_each(w: Writer) -> Pieces:
    """A round of a callback for every element of a map."""
    callees = [c for c in w.callees if c.role is Role.WALK]
    if not w.calls or not callees:
        return ()
    callee = w.rng.choice(callees)
    assert callee.walks is not None
    map_ = Code((code.wide("map", 1), code.SECOND), ((0, Ref(RefKind.MAP, callee.walks.name)),))
    tail = (*_shared(w, 3), code.put(4, 0), code.helper("bpf_for_each_map_elem"), *_result(w))
    return (map_, Address(2, callee.number), Code(tail))


def _shared(w: Writer, register: int) -> tuple[Insn, ...]:
    """What the caller shares with a callback: part of its frame."""
    return (code.mov(register, code.FP), code.alu("add", register, _lent(w)))


def _result(w: Writer) -> tuple[Insn, ...]:
    return (code.mov(w.number(), 0),) if w.chance(0.5) else ()


def iterate(w: Writer) -> Pieces:
    """A loop over the numbers that bpf_iter_num gives."""
    if not w.calls or w.iterators >= len(ITERATORS):
        return ()
    slot = ITERATORS[w.iterators]
    at = (code.mov(1, code.FP), code.alu("add", 1, slot))
    start = w.rng.choice((0, 0, 1, -3))
    bounds = (code.put(2, start), code.put(3, start + w.rng.choice((0, 1, 3, 10))))
    if w.chance(0.2):
        bounds = (code.put(2, start), code.mov(3, w.number()))
    home = w.claim()
    if home is None:
        return ()
    w.iterators += 1
    held = Held(Memory.RECORD, home, (0, 4), writable=False)
    number = Code((code.load(4, w.number(), 0, 0),))
    with w.scope(held):
        body = (Code((held.keep(0),)), number, *w.block(w.rng.randint(0, 2)))
    w.iterators -= 1
    return (
        _kfunc((*at, *bounds), "bpf_iter_num_new"),
        Loop((_kfunc(at, "bpf_iter_num_next"),), code.jump("jeq", 0, 0), body, code.ja(0)),
        _kfunc(at, "bpf_iter_num_destroy"),
        *w.give_back(home),
    )  # fmt: skip


def _kfunc(before: tuple[Insn, ...], name: str) -> Code:
    return Code((*before, code.kfunc()), ((len(before), Ref(RefKind.KFUNC, name)),))
