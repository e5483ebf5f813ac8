"""Which scalars a verdict rests on (mark_chain_precision and backtrack_insn, Linux 6.18).

A scalar of a stored state is precise if some path from there has relied on its value: as an
index, as a size, in a condition that went one way only. Other scalars are not compared when paths
meet. Where a value is relied on, the instructions that led there are walked backwards, and every
stored state on the way learns which of its registers and spilled ones the value came from.
"""

from __future__ import annotations

from mypy_extensions import i64

from bpfheap.verifier.analysis.cfg import (
    ALU,
    ATOMIC,
    CALL,
    CALL_LOCAL,
    CAST,
    EXIT,
    JCOND,
    LDDW,
    LEGACY,
    LOAD,
    MOV,
    STORE_IMM,
    STORE_REG,
    Cfg,
    Step,
)
from bpfheap.verifier.domain.word import shl
from bpfheap.verifier.state.state import (
    ACCESS_SHIFT,
    MAX_FRAMES,
    RETURNED,
    SCALAR,
    SLOT_MASK,
    Link,
    State,
    Stored,
)


class Wanted:
    """Registers and stack slots whose values matter (struct backtrack_state): bit n for register n,
    bit -1 - at for slot `at`.

    `frame`: the number of the frame that the instructions are of.
    `regs`, `slots`: those of that frame.
    `others`: those of its callers, and of functions that it called, by frame; None for none.
    """

    __slots__ = ("frame", "others", "regs", "slots")

    def __init__(self, frame: i64) -> None:
        self.frame = frame
        self.regs: i64 = 0
        self.slots: i64 = 0
        self.others: dict[int, tuple[i64, i64]] | None = None

    def enter(self, frame: i64) -> None:
        """Speak of another frame from here on."""
        assert 0 <= frame < MAX_FRAMES, "the trail enters and leaves other functions than the path"
        if self.others is None:
            self.others = {}
        if self.regs | self.slots:
            self.others[self.frame] = (self.regs, self.slots)
        self.frame = frame
        found = self.others.pop(frame, None)
        self.regs = 0
        self.slots = 0
        if found is not None:
            self.regs, self.slots = found

    def add(self, frame: i64, regs: i64, slots: i64) -> None:
        if frame == self.frame:
            self.regs |= regs
            self.slots |= slots
            return
        if self.others is None:
            self.others = {}
        old = self.others.get(frame)
        self.others[frame] = (regs, slots) if old is None else (regs | old[0], slots | old[1])

    def has(self, frame: i64, regs: i64, slots: i64) -> bool:
        if frame == self.frame:
            return self.regs & regs != 0 or self.slots & slots != 0
        old = None if self.others is None else self.others.get(frame)
        return old is not None and (old[0] & regs != 0 or old[1] & slots != 0)

    def drop_slots(self, frame: i64, slots: i64) -> None:
        if frame == self.frame:
            self.slots &= ~slots
        elif self.others is not None:
            old = self.others.pop(frame, None)
            if old is not None and old[0] | (old[1] & ~slots):
                self.others[frame] = (old[0], old[1] & ~slots)

    def none(self) -> bool:
        return self.regs | self.slots == 0 and not self.others


def mark_register(cfg: Cfg, st: State, n: i64) -> None:
    """The instruction at hand relies on the value of scalar register `n`."""
    wanted = Wanted(len(st.frames) - 1)
    wanted.regs = shl(1, n)
    _walk_back(cfg, st, wanted, 1)


def mark_slot(cfg: Cfg, st: State, frame: i64, at: i64) -> None:
    """The instruction at hand relies on the scalar spilled to slot `at` of a frame."""
    wanted = Wanted(len(st.frames) - 1)
    wanted.add(frame, 0, shl(1, -1 - at))
    _walk_back(cfg, st, wanted, 1)


def inherit(cfg: Cfg, st: State, stored: Stored) -> None:
    """A path ends at a stored state: it relies on whatever was relied on from there
    (propagate_precision)."""
    wanted = Wanted(len(st.frames) - 1)
    for i in range(len(stored.precise_regs)):
        if stored.precise_regs[i] or stored.precise_slots[i]:
            wanted.add(i, stored.precise_regs[i], stored.precise_slots[i])
    if not wanted.none():
        _walk_back(cfg, st, wanted, 0)


def _walk_back(cfg: Cfg, st: State, wanted: Wanted, skip: i64) -> None:
    """`skip` is 1 if the instruction at hand is the last one of the trail."""
    trail = st.trail
    stored = st.parent
    steps = cfg.steps
    while True:
        entries = trail.entries
        links = trail.links
        at: i64 = len(entries) - 1 - skip
        while at >= 0:
            entry: i64 = entries[at]
            step = steps[entry & SLOT_MASK]
            assert step is not None
            linked = None if links is None else links.get(at)
            if linked is not None:
                _link(linked, wanted)
            if step.alters and not wanted.regs & step.alters:
                # Most steps are about other registers.
                at -= 1
                continue
            _step_back(step, entry >> ACCESS_SHIFT, wanted)
            if linked is not None:
                _link(linked, wanted)
            if wanted.regs | wanted.slots == 0 and wanted.none():
                return
            at -= 1
        if stored is None or not _note(stored, wanted):
            return
        if stored.backedges is not None:
            # What matters where an iteration begins matters where the one before it ends.
            for backedge in stored.backedges:
                inherit(cfg, backedge, stored)
        skip = 0
        trail = stored.trail
        stored = stored.parent


def _link(linked: tuple[Link, ...], wanted: Wanted) -> None:
    """What was told of one of them was told of all (bt_sync_linked_regs)."""
    for frame, regs, slots in linked:
        if wanted.has(frame, regs, slots):
            break
    else:
        return
    for frame, regs, slots in linked:
        wanted.add(frame, regs, slots)


def _step_back(step: Step, access: i64, wanted: Wanted) -> None:
    """What must be known before the instruction, for what is wanted after it. `access` is the
    stack slot that it accessed (see Trail)."""
    tag = step.tag
    mask = wanted.regs
    dst = shl(1, step.dst)
    if tag == ALU:
        if mask & dst and step.with_reg:
            wanted.regs = mask | shl(1, step.src)
    elif tag == MOV:
        if mask & dst:
            mask &= ~dst
            wanted.regs = mask | shl(1, step.src) if step.with_reg else mask
    elif tag == CAST:
        # What comes of it is any number, or a pointer.
        wanted.regs = mask & ~dst
    elif tag == JCOND:
        if step.with_reg:
            both = dst | shl(1, step.src)
            if mask & both:
                wanted.regs = mask | both
    elif tag == LOAD:
        if mask & dst:
            wanted.regs = mask & ~dst
            if access:
                wanted.add(access >> 8, 0, shl(1, (access & 0xFF) - 1))
    elif STORE_REG <= tag <= STORE_IMM:
        if access:
            bit = shl(1, (access & 0xFF) - 1)
            if wanted.has(access >> 8, 0, bit):
                wanted.drop_slots(access >> 8, bit)
                if tag == STORE_REG:
                    wanted.regs |= shl(1, step.src)
    elif tag == LDDW:
        wanted.regs = mask & ~dst
    elif access == RETURNED and tag in (CALL, LEGACY):
        # What it gives its caller is known without looking further back.
        wanted.regs = mask & ~0x3F
        wanted.enter(wanted.frame + 1)
    elif tag == CALL and access:
        # The callback's arguments are no scalars of the caller's.
        wanted.regs = 0
        wanted.slots = 0
        wanted.enter(wanted.frame - 1)
    elif tag == CALL:
        wanted.regs = mask & ~0x3F
    elif tag == ATOMIC:
        bit = shl(1, (access & 0xFF) - 1) if access else 0
        if access:
            wanted.drop_slots(access >> 8, bit)
        if step.op.fetch:
            fetched: i64 = 1 if step.name == "cmpxchg" else shl(1, step.src)
            wanted.regs = mask & ~fetched
            if mask & fetched and access:
                wanted.add(access >> 8, 0, bit)
    elif tag == EXIT:
        frame = wanted.frame
        if access:
            # A callback: its result is looked at right there, and the caller keeps r0 to r5.
            wanted.enter(frame + 1)
            return
        wanted.regs = mask & ~0x3F
        wanted.enter(frame + 1)
        wanted.regs |= mask & 1
    elif tag == CALL_LOCAL:
        wanted.regs = 0
        wanted.slots = 0
        wanted.enter(wanted.frame - 1)
        wanted.regs |= mask & 0x3E
    elif tag == LEGACY:
        wanted.regs = mask & ~0x3F


def _note(stored: Stored, wanted: Wanted) -> bool:
    """Mark what is wanted of a stored state; False if nothing new is left to be followed."""
    frames = stored.state.frames
    here = wanted.frame
    if wanted.others:
        others = list(wanted.others.items())
        wanted.others = None
        for i, (regs, slots) in others:
            if i < len(frames):
                regs, slots = _note_frame(stored, i, regs, slots)
                if regs | slots:
                    wanted.add(i, regs, slots)
    wanted.regs, wanted.slots = _note_frame(stored, here, wanted.regs, wanted.slots)
    return not wanted.none()


def _note_frame(stored: Stored, i: i64, regs: i64, slots: i64) -> tuple[i64, i64]:
    """Of what is wanted of a frame, that which is a scalar and was not wanted before."""
    frame = stored.state.frames[i]
    known: i64 = stored.precise_regs[i]
    regs &= ~known
    new: i64 = 0
    n: i64 = 0
    while regs:
        if regs & 1 and n < 10 and frame.regs[n].kind == SCALAR:
            new |= shl(1, n)
        regs = regs >> 1 & 0x7FF
        n += 1
    if new:
        stored.precise_regs[i] = known | new
    known = stored.precise_slots[i]
    slots &= ~known
    new_slots: i64 = 0
    if slots:
        for at, slot in frame.stack.items():
            bit = shl(1, -1 - at)
            if slots & bit and slot.reg is not None and slot.reg.kind == SCALAR:
                new_slots |= bit
        if new_slots:
            stored.precise_slots[i] = known | new_slots
    return new, new_slots
