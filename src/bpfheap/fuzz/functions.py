"""Statements that call functions of the program, directly or as callbacks, and iterator loops."""

from __future__ import annotations

from bpfheap.fuzz import code
from bpfheap.fuzz.pieces import AddressPiece, CallPiece, CodePiece, LoopPiece, Pieces
from bpfheap.fuzz.writer import ITERATORS, SCRATCH, Callee, Pointee, Role, ScopedPointer, Writer
from bpfheap.isa import Insn
from bpfheap.spec import Ref, RefKind

#: Bytes of the caller's frame (the upper end of the scratch space) that a callee gets a pointer to.
LENT = 16


def call(w: Writer) -> Pieces:
    """Call a static function, with fitting arguments in r1 to r5."""
    callees = [c for c in w.callees if c.role is Role.FUNCTION]
    if not w.may_call or not callees:
        return ()
    callee = w.rng.choice(callees)
    arguments = _arguments(w, callee)
    if arguments is None:
        return ()
    result = (CodePiece((code.mov(w.number(), 0),)),) if w.chance(0.8) else ()
    return (CodePiece(arguments), CallPiece(callee.number), *result)


def _arguments(w: Writer, callee: Callee) -> tuple[Insn, ...] | None:
    """Code that loads the arguments; None if no pointer in scope fits a parameter."""
    insns: list[Insn] = []
    for n, param in enumerate(callee.params, 1):
        if param is None:
            insns.append(code.mov(n, w.number()) if w.chance(0.7) else code.put(n, w.immediate()))
        elif param.pointee is Pointee.STACK:
            insns += [code.mov(n, code.FP), code.alu("add", n, _lent(w))]
        else:
            fitting = [h for h in w.pointers(param.pointee) if h.map == param.map]
            if not fitting:
                return None
            insns.append(w.rng.choice(fitting).fetch(n))
    return tuple(insns)


def _lent(w: Writer) -> int:
    return w.rng.choice((SCRATCH[1] - LENT, SCRATCH[1] - LENT, SCRATCH[0]))


def bpf_loop(w: Writer) -> Pieces:
    """bpf_loop: so many iterations of a callback."""
    callees = [c for c in w.callees if c.role is Role.LOOP]
    if not w.may_call or not callees:
        return ()
    iterations = code.put(1, w.rng.choice((0, 1, 2, 5, 10, 100)))
    if w.chance(0.3):
        iterations = code.mov(1, w.number())
    return (
        AddressPiece(2, w.rng.choice(callees).number),
        CodePiece(
            (iterations, *_shared(w, 3), code.put(4, 0), code.helper("bpf_loop"), *_result(w))
        ),
    )


def for_each(w: Writer) -> Pieces:
    """bpf_for_each_map_elem: an iteration of a callback for each element of a map."""
    callees = [c for c in w.callees if c.role is Role.WALK]
    if not w.may_call or not callees:
        return ()
    callee = w.rng.choice(callees)
    assert callee.walks is not None
    map_ = CodePiece(
        (code.wide("map", 1), code.SECOND), ((0, Ref(RefKind.MAP, callee.walks.name)),)
    )
    tail = (*_shared(w, 3), code.put(4, 0), code.helper("bpf_for_each_map_elem"), *_result(w))
    return (map_, AddressPiece(2, callee.number), CodePiece(tail))


def _shared(w: Writer, register: int) -> tuple[Insn, ...]:
    """register = a part of the caller's frame, which a callback gets as its context."""
    return (code.mov(register, code.FP), code.alu("add", register, _lent(w)))


def _result(w: Writer) -> tuple[Insn, ...]:
    return (code.mov(w.number(), 0),) if w.chance(0.5) else ()


def iterate(w: Writer) -> Pieces:
    """A loop over the numbers that bpf_iter_num gives."""
    if not w.may_call or w.iterators >= len(ITERATORS):
        return ()
    slot = ITERATORS[w.iterators]
    at = (code.mov(1, code.FP), code.alu("add", 1, slot))
    start = w.rng.choice((0, 0, 1, -3))
    bounds = (code.put(2, start), code.put(3, start + w.rng.choice((0, 1, 3, 10))))
    if w.chance(0.2):
        bounds = (code.put(2, start), code.mov(3, w.number()))
    home = w.claim_home()
    if home is None:
        return ()
    w.iterators += 1
    held = ScopedPointer(Pointee.RECORD, home, (0, 4), writable=False)
    number = CodePiece((code.load(4, w.number(), 0, 0),))
    with w.scope(held):
        body = (CodePiece((held.save(0),)), number, *w.block(w.rng.randint(0, 2)))
    w.iterators -= 1
    return (
        _kfunc((*at, *bounds), "bpf_iter_num_new"),
        LoopPiece((_kfunc(at, "bpf_iter_num_next"),), code.jump("jeq", 0, 0), body, code.ja(0)),
        _kfunc(at, "bpf_iter_num_destroy"),
        *w.release_home(home),
    )  # fmt: skip


def _kfunc(before: tuple[Insn, ...], name: str) -> CodePiece:
    return CodePiece((*before, code.kfunc()), ((len(before), Ref(RefKind.KFUNC, name)),))
