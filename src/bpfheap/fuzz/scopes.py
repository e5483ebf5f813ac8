"""Statements that get hold of something, do more with it, and give it back: values of maps,
objects, packets, records, locks."""

from __future__ import annotations

from typing import Final

from bpfheap.fuzz import code
from bpfheap.fuzz.pieces import Branch, Code, Pieces
from bpfheap.fuzz.statements import key
from bpfheap.fuzz.surroundings import MAPS, OBJECTS, Place, Target, types
from bpfheap.fuzz.writer import CTX_SLOT, KEY, Held, Memory, Writer
from bpfheap.isa import Insn
from bpfheap.platform.programs import CtxKind
from bpfheap.spec import Ref, RefKind

#: Objects are only for these (the kernel registers its generic kfuncs for them).
OBJECT_TYPES: Final = frozenset({"sched_cls", "xdp", "syscall", "cgroup_skb"})


def through_pointer(w: Writer) -> Pieces:
    """An access through some pointer in scope."""
    held = w.pointers()
    return w.access(w.rng.choice(held)) if held else ()


# -- values of maps


def lookup(w: Writer, place: Place) -> tuple[Code, bool]:
    """r0 = a value or NULL; and whether it surely is a value."""
    insns = [*key(w, place.max_entries), code.mov(2, code.FP), code.alu("add", 2, KEY)]
    at = len(insns)
    insns += [code.wide("map", 1), code.SECOND, code.helper("bpf_map_lookup_elem")]
    stored = insns[0]
    sure = place.type == "array" and not stored.src and 0 <= stored.imm < place.max_entries
    return Code(tuple(insns), ((at, Ref(RefKind.MAP, place.name)),)), sure


def value(w: Writer) -> Pieces:
    """Look an element up, and do something with it."""
    places = [p for p in MAPS if p.feature in w.features and p.value is not None]
    if not w.calls or not places:
        return ()
    place = w.rng.choice(places)
    assert place.value is not None
    home = w.claim()
    if home is None:
        return ()
    found, sure = lookup(w, place)
    held = Held(Memory.VALUE, home, place.value.plain, place.value, place)
    keep = Code((held.keep(0),))
    with w.scope(held):
        body = (*w.access(held), *w.block(w.rng.randint(0, 3)))
    after = w.give_back(home)
    if sure and w.chance(0.4):
        return (found, keep, *body, *after)
    return (found, *_unless_null(w, held, keep, body), *after)


def _unless_null(w: Writer, held: Held, keep: Code, body: Pieces) -> Pieces:
    """`body` if r0, of which `keep` brings a copy home, is not NULL."""
    if held.home > 0 and w.chance(0.3):
        return (keep, Branch(code.jump("jeq", held.home, 0), body))
    if w.chance(0.15):
        return (Branch(code.jump("jne", 0, 0), (), (keep, *body)),)
    return (Branch(code.jump("jeq", 0, 0), (keep, *body)),)


# -- objects


def drop(fetch: Insn) -> Code:
    """Free the object that `fetch` brings into r1."""
    return Code(
        (fetch, code.put(2, 0), code.kfunc()), ((2, Ref(RefKind.KFUNC, "bpf_obj_drop_impl")),)
    )


def object_(w: Writer) -> Pieces:
    """Allocate an object, use it, and give it away."""
    if not w.calls or w.row.name not in OBJECT_TYPES:
        return ()
    target = w.rng.choice(tuple(OBJECTS.values()))
    _, ids = types()
    new = Code(
        (code.put(1, ids[target.name]), code.put(2, 0), code.kfunc()),
        ((2, Ref(RefKind.KFUNC, "bpf_obj_new_impl")),),
    )
    return _owned(w, new, target)


def taken(w: Writer) -> Pieces:
    """Take the object out of a field, perhaps put it back."""
    fields = _fields(w, None)
    if not w.calls or not fields or w.row.name not in OBJECT_TYPES:
        return ()
    held, offset, name = w.rng.choice(fields)
    take = Code((*_field(held, offset), code.put(2, 0), code.helper("bpf_kptr_xchg")))
    return _owned(w, take, OBJECTS[name])


def _owned(w: Writer, get: Code, target: Target) -> Pieces:
    """`get` gives an object or NULL in r0."""
    if w.chance(0.2):
        return (get, Branch(code.jump("jeq", 0, 0), (drop(code.mov(1, 0)),)))
    home = w.claim()
    if home is None:
        return ()
    held = Held(Memory.OBJECT, home, target.plain, target, owned=True)
    keep = Code((held.keep(0),))
    with w.scope(held):
        body = (*w.access(held), *w.block(w.rng.randint(0, 2)))
    release = _release(w, held)
    after = w.give_back(home)
    return (get, *_unless_null(w, held, keep, (*body, *release)), *after)


def _fields(w: Writer, name: str | None) -> list[tuple[Held, int, str]]:
    """The kptr fields behind pointers in scope, for objects of that struct or any."""
    return [
        (held, offset, target)
        for held in w.pointers(Memory.VALUE, Memory.OBJECT)
        if held.target is not None
        for offset, target in held.target.kptrs
        if name in (None, target)
    ]


def _field(held: Held, offset: int) -> tuple[Insn, ...]:
    """r1 = the address of a field"""
    fetch = held.fetch(1)
    return (fetch, code.alu("add", 1, offset)) if offset else (fetch,)


_EXCHANGED: Final = Branch(code.jump("jeq", 0, 0), (drop(code.mov(1, 0)),))


def _release(w: Writer, held: Held) -> Pieces:
    """Free the object, or put it into a field and free what was there."""
    assert held.target is not None
    fields = _fields(w, held.target.name)
    if fields and w.chance(0.5):
        other, offset, _ = w.rng.choice(fields)
        store = (*_field(other, offset), held.fetch(2), code.helper("bpf_kptr_xchg"))
        return (Code(store), _EXCHANGED)
    if w.chance(0.4):
        return _release_into_map(w, held, held.target)
    return (drop(held.fetch(1)),)


def _release_into_map(w: Writer, held: Held, target: Target) -> Pieces:
    place = w.rng.choice([p for p in MAPS if p.value is not None and p.value.kptrs])
    assert place.value is not None
    offset = next(offset for offset, name in place.value.kptrs if name == target.name)
    found, _ = lookup(w, place)
    add = (code.alu("add", 1, offset),) if offset else ()
    store = Code((code.mov(1, 0), *add, held.fetch(2), code.helper("bpf_kptr_xchg")))
    skip = code.jump("jeq", 0, 0)
    return (found, Branch(skip, (store, _EXCHANGED), (drop(held.fetch(1)),)))


# -- packets


def packet(w: Writer) -> Pieces:
    """Compare a place in the packet with its end, and use what is in front."""
    fields = {f.name: f for f in w.row.fields if f.kind is not CtxKind.SCALAR}
    if not w.has_ctx or not fields:
        return ()
    home = w.claim()
    if home is None:
        return ()
    length = w.rng.choice((1, 2, 4, 8, 14, 20, 34, 64))
    writable = w.row.name != "cgroup_skb"
    held = Held(Memory.PACKET, home, (0, length), writable=writable)
    start, end = fields["data"], fields["data_end"]
    if "data_meta" in fields and w.chance(0.1):
        start, end = fields["data_meta"], fields["data"]
    begin = Code(
        (
            code.load(8, 1, code.FP, CTX_SLOT),
            code.load(4, 2, 1, end.offset),
            code.load(4, 3, 1, start.offset),
        )
    )

    def check() -> Pieces:
        keep = Code((held.keep(3), code.mov(5, 3), code.alu("add", 5, length)))
        with w.scope(held):
            body = (*w.access(held), *w.block(w.rng.randint(0, 2)))
        op, swapped, negated = w.rng.choice(_IN_FRONT)
        skip = code.jump_reg(op, *((2, 5) if swapped else (5, 2)))
        return (keep, Branch(skip, (), body) if negated else Branch(skip, body))

    if w.chance(0.3):
        # Behind a header whose length is in the packet, say.
        most = w.rng.choice((1, 15, 60, 255, 1500))
        pieces = (begin, *w.index(most, lambda: (Code((code.alu_reg("add", 3, 4),)), *check())))
    else:
        pieces = (begin, *check())
    return (*pieces, *w.give_back(home))


#: Ways to ask whether the place is behind the end: the jump, whether the end stands in front, and
#: whether it is taken where there is room.
_IN_FRONT: Final = (
    ("jgt", False, False), ("jgt", False, False), ("jlt", True, False), ("jle", False, True),
    ("jge", True, True), ("jge", False, False), ("jlt", False, True),
)  # fmt: skip


# -- records of ring buffers


def record(w: Writer) -> Pieces:
    """Reserve a record, fill it, and submit or discard it."""
    if not w.calls:
        return ()
    home = w.claim()
    if home is None:
        return ()
    size = w.rng.choice((1, 8, 16, 20, 64))
    reserve = Code(
        (code.wide("map", 1), code.SECOND, code.put(2, size), code.put(3, 0),
         code.helper("bpf_ringbuf_reserve")),
        ((0, Ref(RefKind.MAP, "ring")),),
    )  # fmt: skip
    held = Held(Memory.RECORD, home, (0, size), owned=True)
    with w.scope(held):
        body = (*w.access(held), *w.block(w.rng.randint(0, 2)))
    name = w.rng.choice(("bpf_ringbuf_submit", "bpf_ringbuf_discard"))
    finish = Code((held.fetch(1), code.put(2, w.rng.choice((0, 0, 1, 2))), code.helper(name)))
    keep = Code((held.keep(0),))
    after = w.give_back(home)
    return (reserve, *_unless_null(w, held, keep, (*body, finish)), *after)


# -- locks


def locked(w: Writer) -> Pieces:
    """Use a value while its lock is held; nothing may be called meanwhile."""
    guarded = [h for h in w.pointers(Memory.VALUE) if h.target is not None and h.target.lock == 0]
    if not w.calls or not guarded:
        return ()
    held = w.rng.choice(guarded)
    w.calls = False
    body = (*w.access(held), *w.block(w.rng.randint(0, 2)))
    w.calls = True
    return (
        Code((held.fetch(1), code.helper("bpf_spin_lock"))),
        *body,
        Code((held.fetch(1), code.helper("bpf_spin_unlock"))),
    )
