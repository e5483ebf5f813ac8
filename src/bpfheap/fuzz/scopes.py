"""Statements that acquire something, use it in nested statements, and release it: map values,
objects, packets, ring buffer records, locks."""

from __future__ import annotations

from typing import Final

from bpfheap.fuzz import code
from bpfheap.fuzz.pieces import BranchPiece, CodePiece, Pieces
from bpfheap.fuzz.statements import key
from bpfheap.fuzz.surroundings import MAPS, OBJECTS, FuzzMap, FuzzStruct, types
from bpfheap.fuzz.writer import CTX_SLOT, KEY, Pointee, ScopedPointer, Writer
from bpfheap.isa import Insn
from bpfheap.platform.maps import BY_NAME
from bpfheap.platform.programs import CtxKind
from bpfheap.spec import Ref, RefKind


def through_pointer(w: Writer) -> Pieces:
    """An access through some pointer in scope."""
    held = w.pointers()
    return w.access(w.rng.choice(held)) if held else ()


# -- values of maps


def lookup(w: Writer, map_: FuzzMap) -> tuple[CodePiece, bool]:
    """Code that leaves a value's address or NULL in r0, and whether it cannot be NULL."""
    insns = [*key(w, map_.max_entries), code.mov(2, code.FP), code.alu("add", 2, KEY)]
    at = len(insns)
    insns += [code.wide("map", 1), code.SECOND, code.helper("bpf_map_lookup_elem")]
    stored = insns[0]
    sure = BY_NAME[map_.type].fixed and not stored.src and 0 <= stored.imm < map_.max_entries
    return CodePiece(tuple(insns), ((at, Ref(RefKind.MAP, map_.name)),)), sure


def value(w: Writer) -> Pieces:
    """Look an element up, and do something with it."""
    maps = [p for p in MAPS if p.feature in w.features and p.value is not None]
    if not w.may_call or not maps:
        return ()
    map_ = w.rng.choice(maps)
    assert map_.value is not None
    home = w.claim_home()
    if home is None:
        return ()
    found, sure = lookup(w, map_)
    held = ScopedPointer(Pointee.VALUE, home, map_.value.scalars, map_.value, map_)
    keep = CodePiece((held.save(0),))
    with w.scope(held):
        body = (*w.access(held), *w.block(w.rng.randint(0, 3)))
    after = w.release_home(home)
    if sure and w.chance(0.4):
        return (found, keep, *body, *after)
    return (found, *_unless_null(w, held, keep, body), *after)


def _unless_null(w: Writer, held: ScopedPointer, keep: CodePiece, body: Pieces) -> Pieces:
    """`body` if r0 is not NULL; `save` copies r0 to the pointer's home."""
    if held.home > 0 and w.chance(0.3):
        return (keep, BranchPiece(code.jump("jeq", held.home, 0), body))
    if w.chance(0.15):
        return (BranchPiece(code.jump("jne", 0, 0), (), (keep, *body)),)
    return (BranchPiece(code.jump("jeq", 0, 0), (keep, *body)),)


# -- objects


def drop(fetch: Insn) -> CodePiece:
    """Free the object that `fetch` loads into r1."""
    return CodePiece(
        (fetch, code.put(2, 0), code.kfunc()), ((2, Ref(RefKind.KFUNC, "bpf_obj_drop_impl")),)
    )


def object_(w: Writer) -> Pieces:
    """Allocate an object, use it, and free or store it."""
    if not w.may_call or not w.row.objects:
        return ()
    target = w.rng.choice(tuple(OBJECTS.values()))
    _, ids = types()
    new = CodePiece(
        (code.put(1, ids[target.name]), code.put(2, 0), code.kfunc()),
        ((2, Ref(RefKind.KFUNC, "bpf_obj_new_impl")),),
    )
    return _owned(w, new, target)


def taken(w: Writer) -> Pieces:
    """Take the object out of a kptr field, use it, and free or store it."""
    fields = _fields(w, None)
    if not w.may_call or not fields or not w.row.objects:
        return ()
    held, offset, name = w.rng.choice(fields)
    take = CodePiece((*_field(held, offset), code.put(2, 0), code.helper("bpf_kptr_xchg")))
    return _owned(w, take, OBJECTS[name])


def _owned(w: Writer, get: CodePiece, target: FuzzStruct) -> Pieces:
    """Use and release the object or NULL that `get` leaves in r0."""
    if w.chance(0.2):
        return (get, BranchPiece(code.jump("jeq", 0, 0), (drop(code.mov(1, 0)),)))
    home = w.claim_home()
    if home is None:
        return ()
    held = ScopedPointer(Pointee.OBJECT, home, target.scalars, target, owned=True)
    keep = CodePiece((held.save(0),))
    with w.scope(held):
        body = (*w.access(held), *w.block(w.rng.randint(0, 2)))
    release = _release(w, held)
    after = w.release_home(home)
    return (get, *_unless_null(w, held, keep, (*body, *release)), *after)


def _fields(w: Writer, name: str | None) -> list[tuple[ScopedPointer, int, str]]:
    """(pointer in scope, offset, struct) of the kptr fields behind pointers in scope that hold
    objects of struct `name`; None: of any struct."""
    return [
        (held, offset, target)
        for held in w.pointers(Pointee.VALUE, Pointee.OBJECT)
        if held.target is not None
        for offset, target in held.target.kptrs
        if name in (None, target)
    ]


def _field(held: ScopedPointer, offset: int) -> tuple[Insn, ...]:
    """r1 = the address of a field"""
    fetch = held.fetch(1)
    return (fetch, code.alu("add", 1, offset)) if offset else (fetch,)


#: Free what an exchange returned.
_EXCHANGED: Final = BranchPiece(code.jump("jeq", 0, 0), (drop(code.mov(1, 0)),))


def _release(w: Writer, held: ScopedPointer) -> Pieces:
    """Free the object, or store it into a kptr field and free what was there."""
    assert held.target is not None
    fields = _fields(w, held.target.name)
    if fields and w.chance(0.5):
        other, offset, _ = w.rng.choice(fields)
        store = (*_field(other, offset), held.fetch(2), code.helper("bpf_kptr_xchg"))
        return (CodePiece(store), _EXCHANGED)
    if w.chance(0.4):
        return _release_into_map(w, held, held.target)
    return (drop(held.fetch(1)),)


def _release_into_map(w: Writer, held: ScopedPointer, target: FuzzStruct) -> Pieces:
    map_ = w.rng.choice([p for p in MAPS if p.value is not None and p.value.kptrs])
    assert map_.value is not None
    offset = next(offset for offset, name in map_.value.kptrs if name == target.name)
    found, _ = lookup(w, map_)
    add = (code.alu("add", 1, offset),) if offset else ()
    store = CodePiece((code.mov(1, 0), *add, held.fetch(2), code.helper("bpf_kptr_xchg")))
    skip = code.jump("jeq", 0, 0)
    return (found, BranchPiece(skip, (store, _EXCHANGED), (drop(held.fetch(1)),)))


# -- packets


def packet(w: Writer) -> Pieces:
    """Compare a packet pointer with the packet's end, and access the bytes in front of it."""
    fields = {f.name: f for f in w.row.fields if f.kind is not CtxKind.SCALAR}
    if not w.has_ctx or not fields:
        return ()
    home = w.claim_home()
    if home is None:
        return ()
    length = w.rng.choice((1, 2, 4, 8, 14, 20, 34, 64))
    writable = w.row.writes_packet
    held = ScopedPointer(Pointee.PACKET, home, (0, length), writable=writable)
    start, end = fields["data"], fields["data_end"]
    if "data_meta" in fields and w.chance(0.1):
        start, end = fields["data_meta"], fields["data"]
    begin = CodePiece(
        (
            code.load(8, 1, code.FP, CTX_SLOT),
            code.load(4, 2, 1, end.offset),
            code.load(4, 3, 1, start.offset),
        )
    )

    def check() -> Pieces:
        keep = CodePiece((held.save(3), code.mov(5, 3), code.alu("add", 5, length)))
        with w.scope(held):
            body = (*w.access(held), *w.block(w.rng.randint(0, 2)))
        op, swapped, negated = w.rng.choice(_END_CHECKS)
        skip = code.jump_reg(op, *((2, 5) if swapped else (5, 2)))
        return (keep, BranchPiece(skip, (), body) if negated else BranchPiece(skip, body))

    if w.chance(0.3):
        # At a variable offset, as behind a header whose length is in the packet.
        most = w.rng.choice((1, 15, 60, 255, 1500))
        pieces = (
            begin,
            *w.bounded_index(most, lambda: (CodePiece((code.alu_reg("add", 3, 4),)), *check())),
        )
    else:
        pieces = (begin, *check())
    return (*pieces, *w.release_home(home))


#: Ways to compare a packet pointer with the end: the jump, whether the end is its first operand,
#: and whether the jump is taken if the bytes are within the packet. (Some are off by one byte.)
_END_CHECKS: Final = (
    ("jgt", False, False), ("jgt", False, False), ("jlt", True, False), ("jle", False, True),
    ("jge", True, True), ("jge", False, False), ("jlt", False, True),
)  # fmt: skip


# -- records of ring buffers


def record(w: Writer) -> Pieces:
    """Reserve a record, fill it, and submit or discard it."""
    if not w.may_call:
        return ()
    home = w.claim_home()
    if home is None:
        return ()
    size = w.rng.choice((1, 8, 16, 20, 64))
    reserve = CodePiece(
        (code.wide("map", 1), code.SECOND, code.put(2, size), code.put(3, 0),
         code.helper("bpf_ringbuf_reserve")),
        ((0, Ref(RefKind.MAP, "ring")),),
    )  # fmt: skip
    held = ScopedPointer(Pointee.RECORD, home, (0, size), owned=True)
    with w.scope(held):
        body = (*w.access(held), *w.block(w.rng.randint(0, 2)))
    name = w.rng.choice(("bpf_ringbuf_submit", "bpf_ringbuf_discard"))
    finish = CodePiece((held.fetch(1), code.put(2, w.rng.choice((0, 0, 1, 2))), code.helper(name)))
    keep = CodePiece((held.save(0),))
    after = w.release_home(home)
    return (reserve, *_unless_null(w, held, keep, (*body, finish)), *after)


# -- locks


def locked(w: Writer) -> Pieces:
    """Use a map value while its lock is held; nothing may be called meanwhile."""
    guarded = [h for h in w.pointers(Pointee.VALUE) if h.target is not None and h.target.lock == 0]
    if not w.may_call or not guarded:
        return ()
    held = w.rng.choice(guarded)
    w.may_call = False
    body = (*w.access(held), *w.block(w.rng.randint(0, 2)))
    w.may_call = True
    return (
        CodePiece((held.fetch(1), code.helper("bpf_spin_lock"))),
        *body,
        CodePiece((held.fetch(1), code.helper("bpf_spin_unlock"))),
    )
