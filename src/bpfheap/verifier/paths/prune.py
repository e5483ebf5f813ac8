"""State pruning: does a stored state subsume what is known here? Does a path run in circles?

Sources: is_state_visited, explored_state, incomplete_read_marks, states_equal, regsafe, stacksafe,
refsafe and check_ids in kernel/bpf/verifier.c of Linux 6.18. Scalars that no verdict rests on are
not compared (see precision), nor is what nobody reads any more (see liveness).
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from bpfheap.verifier import hints
from bpfheap.verifier.analysis.cfg import CALLBACK_LOOP, ITERATOR_LOOP, MAY_GOTO_LOOP, NO_LOOP, Cfg
from bpfheap.verifier.analysis.liveness import FIRST_SLOT
from bpfheap.verifier.domain.scalar import is_unknown, same, subset
from bpfheap.verifier.domain.word import pattern, shl
from bpfheap.verifier.paths.precision import inherit
from bpfheap.verifier.paths.widening import Widening
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import (
    ARENA,
    ITERATOR,
    KERNEL,
    MAP_KEY,
    MAP_VALUE,
    MAX_VAR,
    MEM,
    MISC,
    OPAQUE,
    PACKET,
    PACKET_META,
    SCALAR,
    SPILL,
    UNINIT,
    UNKNOWN,
    ZERO,
    FuncState,
    KernelObject,
    Lock,
    Mem,
    Reg,
    Slot,
    State,
    Stored,
    Trail,
    iterator_at,
)

# A state is stored only after this much has happened since the last one; storing costs time at
# every later visit. Within a loop the next iterations rarely meet it.
_MIN_JUMPS: Final = 2
_MIN_INSNS: Final = 8
_MIN_LOOP_JUMPS: Final = 20
_MIN_LOOP_INSNS: Final = 100
#: A trail with more jumps ends in a stored state, so that walking back stays short.
_MAX_TRAIL: Final = 40
#: A state that was compared more often than this without use is forgotten.
_MISSES_PER_HIT: Final = 3
_MISSES_PER_ITERATION: Final = 64

# How states may be compared (enum exact_level): does the old one subsume the new one in what
# matters, in all scalars, or are they the same?
NOT_EXACT: Final = 0
RANGE_WITHIN: Final = 1
EXACT: Final = 2


#: Below all slots.
_ALL_SLOTS: Final = -65
#: Bytes of stack that have to be the same again.
_OWN = OPAQUE | {ZERO}
#: Pointers whose range of offsets may shrink.
_RANGED = frozenset({MAP_VALUE, MAP_KEY, MEM})


class StoredStates(Widening):
    """All states that a walk has stored, by slot and call (see `_list`)."""

    def __init__(
        self,
        cfg: Cfg,
        live: list[int],
        loops: list[int],
        *,
        all_precise: bool,
        often: bool = False,
        as_linux: bool = False,
    ) -> None:
        """`live` has for each slot what the rest of its function reads (see liveness), `loops` the
        number of its loop (see loops); with
        `all_precise`, every scalar counts; with `often`, every state is stored; `as_linux` as in
        Options."""
        self._cfg = cfg
        self._live_regs = [bits & ((1 << FIRST_SLOT) - 1) for bits in live]
        self._live_slots = [pattern(bits >> FIRST_SLOT) for bits in live]
        self._points: dict[int, list[Stored]] = {}
        self._lists: i64 = len(cfg.steps)
        self._loops = loops
        self._last_jumps: i64 = 0
        self._last_insns: i64 = 0
        self._all_precise = all_precise
        self._often = often
        self._as_linux = as_linux
        self._looping = False
        self._ids = Ids()
        self.count = 0
        #: Did a path end without a verdict? See unpruned.py.
        self.cut = False

    def start(self, st: State, slot: i64) -> None:
        """The first path begins."""
        self._store(st, slot)

    def _store(self, st: State, slot: i64) -> Stored:
        frames = [frame.copy() for frame in st.frames]
        loop = self._loop_of(st, slot)
        stored = Stored(State(frames, st.refs, None, st.trail), st.parent, st.trail, loop)
        stored.state.like(st)
        st.parent = stored
        st.trail = Trail()
        return stored

    def _list(self, st: State, slot: i64) -> i64:
        """Which list of states. Linux has one for a slot and each call that led to it, but for some
        that share one (explored_state): states of one call should not keep those of others from
        being stored."""
        callsite = st.frames[len(st.frames) - 1].callsite
        return slot << 32 | ((slot ^ callsite) & 0xFFFFFFFF) % self._lists

    def visit(self, st: State, slot: i64, insns: i64, jumps: i64, loop: i64) -> bool:
        """May the path end here, because a stored state subsumes it? Stores the state otherwise,
        if that is worth it. With a `loop` (see Step.loop), an iteration that ends within the state
        in which an earlier one began is the last one. Raises Reject for an infinite loop."""
        where = self._list(st, slot)
        points = self._points.get(where)
        if points is None:
            points = self._points[where] = []
        force = self._often or loop != NO_LOOP or st.trail.jumps > _MAX_TRAIL
        jumped = jumps - self._last_jumps
        walked = insns - self._last_insns
        store = force or (jumped >= _MIN_JUMPS and walked >= _MIN_INSNS)
        # An iteration that differs: let some pass before the next one is stored.
        in_loop = not force and jumped < _MIN_LOOP_JUMPS and walked < _MIN_LOOP_INSNS
        useless = False
        # The newest first, as Linux has them.
        for stored in reversed(points):
            if stored.branches:
                if loop != NO_LOOP and self._converges(stored, st, slot, loop):
                    if not _goes_on(stored.state, st) and self._same(stored, st, slot, EXACT):
                        raise Reject(f"infinite loop detected at insn {slot}", hint=hints.LOOP)
                    stored.hits += 1
                    if self._as_linux and loop == CALLBACK_LOOP:
                        inherit(self._cfg, st, stored)
                    else:
                        self._add_backedge(stored, st)
                    return True
                if (
                    loop != CALLBACK_LOOP
                    and loop != ITERATOR_LOOP
                    and stored.state.unrolled == st.unrolled
                    and stored.state.may_gotos == st.may_gotos
                    and self._same(stored, st, slot, EXACT)
                ):
                    raise Reject(f"infinite loop detected at insn {slot}", hint=hints.LOOP)
                if in_loop:
                    store = False
            elif self._same(stored, st, slot, self._how(stored)):
                stored.hits += 1
                if self._in_open_loop(stored):
                    self._add_backedge(stored, st)
                else:
                    inherit(self._cfg, st, stored)
                return True
            if store:
                stored.misses += 1
                useless = useless or _useless(stored, loop)
        if useless:
            points = [stored for stored in points if not _useless(stored, loop)]
            self._points[where] = points
        if store:
            self._last_jumps, self._last_insns = jumps, insns
            self.count += 1
            points.append(self._store(st, slot))
        return False

    def _converges(self, stored: Stored, st: State, slot: i64, loop: i64) -> bool:
        """Is the loop at a fixed point: does the state in which an iteration began subsume the one
        in which this one ends?"""
        if loop == MAY_GOTO_LOOP and stored.state.may_gotos == st.may_gotos:
            return False
        if not self._same(stored, st, slot, RANGE_WITHIN):
            return False
        # An iterator that has come to its end has no further iterations.
        return loop != ITERATOR_LOOP or has_next(st)

    def _add_backedge(self, stored: Stored, st: State) -> None:
        """The path ends at a state of a loop that is still walked. What turns out to matter there
        has to matter here too (propagate_backedges)."""
        if stored.backedges is None:
            stored.backedges = []
            self._looping = True
        stored.backedges.append(st)
        inherit(self._cfg, st, stored)

    def _how(self, stored: Stored) -> i64:
        return RANGE_WITHIN if self._all_precise or self._in_open_loop(stored) else NOT_EXACT

    def _in_open_loop(self, stored: Stored) -> bool:
        """Is it part of a loop that is still walked, so that more may turn out to matter
        (incomplete_read_marks)?"""
        if self._looping and stored.loop is not None:
            at: Stored | None = stored
            # A path that has left a loop does not come back to it.
            while at is not None and at.loop == stored.loop:
                if at.branches and at.backedges is not None:
                    return True
                at = at.parent
        return False

    def _loop_of(self, st: State, slot: i64) -> tuple[int, ...] | None:
        """The outermost loop that a state is in: its number, and the calls that led to it; None for
        a state in no loop (compute_scc_callchain)."""
        calls: list[int] = []
        for i in range(1, len(st.frames)):
            callsite = st.frames[i].callsite
            if self._loops[callsite]:
                return (self._loops[callsite], *calls)
            calls.append(callsite)
        return (self._loops[slot], *calls) if self._loops[slot] else None

    def widen(self, st: State, slot: i64, but: Stored | None) -> None:
        before = self._previous_iteration(st, slot, but)
        if before is not None:
            _widen(before, st)

    def _previous_iteration(self, st: State, slot: i64, but: Stored | None) -> Stored | None:
        """The state in which the last iteration began at `slot` (find_prev_entry)."""
        for stored in reversed(self._points.get(self._list(st, slot), [])):
            old = stored.state
            if not stored.branches or stored is but or len(old.frames) != len(st.frames):
                continue
            if all(a.callsite == b.callsite for a, b in zip(old.frames, st.frames, strict=True)):
                return stored
        return None

    def _same(self, stored: Stored, st: State, slot: i64, how: i64) -> bool:
        old = stored.state
        if len(old.frames) != len(st.frames) or len(old.refs) != len(st.refs):
            return False
        if old.rcu != st.rcu or (old.lock is None) != (st.lock is None):
            return False
        if old.preempt != st.preempt or len(old.irqs) != len(st.irqs):
            return False
        last = len(st.frames) - 1
        ids = self._ids
        ids.forget()
        # Linux leaves slots that nobody reads out of a state once all that comes after it is known
        # (clean_live_states), which it is where not everything is compared.
        known = how == NOT_EXACT or (
            self._all_precise and not stored.branches and not self._in_open_loop(stored)
        )
        # The top frame differs most often.
        i: i64 = last
        while i >= 0:
            a, b = old.frames[i], st.frames[i]
            if a.callsite != b.callsite:
                return False
            at = slot
            # Of a caller's stack, what the function that was called may read counts, too.
            stack_at = slot
            if i != last:
                callee = st.frames[i + 1]
                at = stack_at = callee.callsite
                if not callee.callback:
                    at = self._cfg.at(at).next
            live_slots: i64 = self._live_slots[stack_at] if known else -1
            # One that had fewer iterations can have more from here on (func_states_equal).
            if a.callback != b.callback or a.iterations > b.iterations:
                return False
            if how == RANGE_WITHIN:
                # Linux does not compare what is below the slots that were in use (allocated_stack).
                if not _same_kinds(a, b, min(a.stack, default=0)):
                    return False
                if not _subsumes_frame(a, b, self._live_regs[at], live_slots, -1, -1, ids):
                    return False
            elif how == EXACT:
                if not _same_frame(a, b, self._live_regs[at], ids):
                    return False
            elif not _subsumes_frame(
                a,
                b,
                self._live_regs[at],
                live_slots,
                stored.precise_regs[i],
                stored.precise_slots[i],
                ids,
            ):
                return False
            i -= 1
        # zip() is Python's, and few hold anything.
        if old.refs:
            for held, held_now in zip(old.refs, st.refs, strict=True):
                if not ids.same(held.id, held_now.id) or held.object != held_now.object:
                    return False
        if old.irqs:
            for section, section_now in zip(old.irqs, st.irqs, strict=True):
                if not ids.same(section.id, section_now.id):
                    return False
        return old.lock is None or st.lock is None or _same_locks(old.lock, st.lock, ids)

    @staticmethod
    def path_done(st: State) -> None:
        """The path is walked to its end (update_branch_counts)."""
        stored: Stored | None = st.parent
        while stored is not None:
            stored.branches -= 1
            if stored.branches:
                break
            stored = stored.parent


def _same_locks(old: Lock, new: Lock, ids: Ids) -> bool:
    """Are as many held, of the same kinds, taken in the same order?"""
    a: Lock | None = old
    b: Lock | None = new
    while a is not None and b is not None:
        if a.holder is not b.holder or a.how is not b.how or not ids.same(a.id, b.id):
            return False
        a, b = a.before, b.before
    return a is b


def _goes_on(old: State, new: State) -> bool:
    """Did the kernel, between the two, begin one more iteration of a loop that goes on in both? It
    does not do so for ever. An ordinary loop around it, in which it begins anew each time, may:
    Linux does not look at that. (Iterators count in the comparison itself.)"""
    if old.may_gotos != new.may_gotos:
        return True
    return any(a.iterations < b.iterations for a, b in zip(old.frames, new.frames, strict=True))


def _useless(stored: Stored, loop: i64) -> bool:
    """Compared often and of no use: every later visit would pay for it."""
    often = _MISSES_PER_ITERATION if loop != NO_LOOP and stored.branches else _MISSES_PER_HIT
    return stored.misses > often * (stored.hits + 1)


def has_next(st: State) -> bool:
    """Has the iterator that r1 points at more elements, as far as is known?"""
    found = iterator_at(st, st.regs[1])
    return found is not None and bool(found.what.more)


def _widen(stored: Stored, st: State) -> None:
    """Numbers that differ from iteration to iteration, and that nothing rested on so far, may be
    any; those that are linked to others in one iteration only differ (widen_imprecise_scalars)."""
    ids = Ids()
    for i in range(len(st.frames) - 1, -1, -1):
        a, b = stored.state.frames[i], st.frames[i]
        precise, precise_slots = stored.precise_regs[i], stored.precise_slots[i]
        for n in range(10):
            one, two = a.regs[n], b.regs[n]
            if precise >> n & 1:
                continue
            if one.kind == SCALAR == two.kind and not _same_reg(one, two, ids):
                b.regs[n] = UNKNOWN
        for at, slot in list(b.stack.items()):
            was = a.stack.get(at)
            if precise_slots >> (-1 - at) & 1:
                continue
            if was is None or was.reg is None or slot.reg is None:
                continue
            if not was.reg.kind == SCALAR == slot.reg.kind:
                continue
            if not _same_reg(was.reg, slot.reg, ids):
                b.stack[at] = slot.of(UNKNOWN)


class Ids:
    """Which id of the old state stands for which of the new one (struct bpf_idmap)."""

    __slots__ = ("_back", "_forth", "_links")

    def __init__(self) -> None:
        self._forth: dict[int, int] | None = None
        self._back: dict[int, int] | None = None
        self._links: dict[int, int] | None = None

    def forget(self) -> None:
        """Begin with another pair of states."""
        self._forth = None
        self._back = None
        self._links = None

    def same(self, old: i64, new: i64) -> bool:
        """Each id of one side stands for one of the other (check_ids)."""
        if old == 0 or new == 0:
            return old == new
        if self._forth is None or self._back is None:
            self._forth, self._back = {old: new}, {new: old}
            return True
        return self._forth.setdefault(old, new) == new and self._back.setdefault(new, old) == old

    def linked(self, old: i64, new: i64) -> bool:
        """What was linked must be so again; more may be linked (check_scalar_ids)."""
        if old == 0:
            return True
        if self._links is None:
            self._links = {}
        if new == 0:
            # Linked to nothing: a name of its own, which no other register will have.
            new = -1 - len(self._links)
        return self._links.setdefault(old, new) == new


def _subsumes_frame(
    old: FuncState,
    new: FuncState,
    live: i64,
    live_slots: i64,
    precise: i64,
    precise_slots: i64,
    ids: Ids,
) -> bool:
    """Does the old state allow all that the new one allows (func_states_equal, NOT_EXACT)?"""
    a, b = old.regs, new.regs
    i: i64 = 0
    while i < 10:
        if live >> i & 1 and not _subsumes(a[i], b[i], precise >> i & 1 != 0, ids):
            return False
        i += 1
    stack = new.stack
    for at, slot in old.stack.items():
        if live_slots & shl(1, -1 - at) and not _subsumes_slot(
            slot, stack.get(at), precise_slots & shl(1, -1 - at) != 0, ids
        ):
            return False
    # Where the old state knows nothing of a slot, it took any bytes there, but no pointer is
    # read as one.
    return True


def _same_kinds(old: FuncState, new: FuncState, lowest: i64) -> bool:
    """Do all slots from the lowest on hold the same kinds of things, read or not? A loop whose
    first iteration writes what later ones find written begins anew with the second (stacksafe,
    RANGE_WITHIN)."""
    found = 0
    for at, slot in new.stack.items():
        if at >= lowest:
            was = old.stack.get(at)
            if was is None or was.kinds != slot.kinds:
                return False
            found += 1
    return found == len(old.stack)


def _subsumes(old: Reg, new: Reg, precise: bool, ids: Ids) -> bool:
    """regsafe."""
    kind = old.kind
    if kind == UNINIT:
        return True
    if kind != new.kind:
        return False
    if kind == ARENA:
        return True
    if kind == SCALAR:
        if not precise:
            return True
        if not subset(new.scalar, old.scalar):
            return False
        # To what was linked to nothing, a link only adds what is known; but no pointer takes a
        # number at a great distance (check_reg_sane_offset_scalar).
        if not old.id:
            return -MAX_VAR < new.off < MAX_VAR
        return old.off == new.off and old.narrow == new.narrow and ids.linked(old.id, new.id)
    if kind == ITERATOR:
        # How many iterations there were does not matter.
        return bool(old.what == new.what) and ids.same(old.ref, new.ref)
    if old.off != new.off or old.or_null != new.or_null:
        return False
    if PACKET <= kind <= PACKET_META:
        # More of the packet may be known to be there, but not that it ends before (regsafe).
        if (old.what < 0 or new.what < 0) and old.what != new.what:
            return False
        if old.what > new.what or not subset(new.scalar, old.scalar):
            return False
        return ids.same(old.id, new.id)
    if kind == KERNEL:
        if not _same_object(old.what, new.what, ids):
            return False
    elif kind == MEM:
        if not _same_memory(old.what, new.what, ids):
            return False
    elif old.what is not new.what and old.what != new.what:
        return False
    if kind in _RANGED:
        if not subset(new.scalar, old.scalar):
            return False
    elif not same(new.scalar, old.scalar):
        return False
    return ids.same(old.id, new.id) and ids.same(old.ref, new.ref)


def _same_object(old: KernelObject, new: KernelObject, ids: Ids) -> bool:
    if old.type is not new.type or old.flags != new.flags:
        return False
    if old.owner < 0 or new.owner < 0:
        return old.owner == new.owner
    return ids.same(old.owner, new.owner)


def _same_memory(old: Mem, new: Mem, ids: Ids) -> bool:
    if old is new and not old.dynptr:
        return True
    if not ids.same(old.dynptr, new.dynptr):
        return False
    return old == (new if old.dynptr == new.dynptr else new._replace(dynptr=old.dynptr))


def _subsumes_slot(old: Slot, new: Slot | None, precise: bool, ids: Ids) -> bool:
    """stacksafe, for one slot of which the old state knows something."""
    reg = old.reg
    if reg is not None:
        if reg.kind != SCALAR:
            return (
                new is not None
                and new.reg is not None
                and new.kinds == old.kinds
                and _subsumes(reg, new.reg, precise, ids)
            )
        if not precise:
            # A number, whatever it is. A pointer can be read as a number too, but not in parts.
            if new is not None and new.reg is not None and new.reg.kind != SCALAR:
                return False
            return _subsumes_bytes(old.kinds, None if new is None else new.kinds)
        if new is None or new.reg is None:
            return (
                is_unknown(reg.scalar)
                and reg.id == 0
                and _subsumes_bytes(old.kinds, None if new is None else new.kinds)
            )
        return new.kinds == old.kinds and _subsumes(reg, new.reg, precise, ids)
    # A spilled 0 is no zero bytes: whoever spilled it need not have been precise.
    return _subsumes_bytes(old.kinds, None if new is None else new.kinds)


def _subsumes_bytes(old: bytes, new: bytes | None) -> bool:
    """What is known to be 0 must be so again, and what the kernel keeps there must be, too, and
    nothing else; numbers that were spilled were looked at by the caller."""
    i: i64 = 0
    while i < 8:
        was = old[i]
        now = MISC if new is None else new[i]
        if was != now and (was in _OWN or (was == SPILL and now in OPAQUE)):
            return False
        i += 1
    return True


def _same_frame(old: FuncState, new: FuncState, live: i64, ids: Ids) -> bool:
    """Are all registers that are read from here on the same, and the whole stack
    (func_states_equal, EXACT)?"""
    a, b = old.regs, new.regs
    i: i64 = 9
    while i >= 0:
        if live >> i & 1 and not _same_reg(a[i], b[i], ids):
            return False
        i -= 1
    if not _same_kinds(old, new, _ALL_SLOTS):
        return False
    for at, slot in old.stack.items():
        now = new.stack[at].reg
        if slot.reg is not None and now is not None and not _same_reg(slot.reg, now, ids):
            return False
    return True


def _same_reg(old: Reg, new: Reg, ids: Ids) -> bool:
    """regs_exact."""
    return (
        old.kind == new.kind
        and old.off == new.off
        and old.or_null == new.or_null
        and (
            _same_memory(old.what, new.what, ids)
            if old.kind == MEM
            else old.what is new.what or old.what == new.what
        )
        and same(old.scalar, new.scalar)
        and ids.same(old.id, new.id)
        and ids.same(old.ref, new.ref)
    )
