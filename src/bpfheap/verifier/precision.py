"""Which scalars a verdict rests on (mark_chain_precision and backtrack_insn, Linux 6.18).

A scalar of a stored state is precise if some path from there has relied on its value: as an
index, as a size, in a condition that went one way only. Other scalars are not compared when paths
meet. Where a value is relied on, the instructions that led there are walked backwards, and every
stored state on the way learns which of its registers and spilled ones the value came from.
"""

from __future__ import annotations

from bpfheap.isa import Kind
from bpfheap.verifier.program import Program, Step
from bpfheap.verifier.state import MAX_FRAMES, SCALAR, State, Stored, Tied, Trail

_SLOT_MASK = (1 << 24) - 1


class Wanted:
    """Registers and stack slots whose values matter, by frame: bit n for register n, bit -1 - at
    for slot `at`."""

    __slots__ = ("regs", "slots")

    def __init__(self) -> None:
        self.regs: list[int] = [0] * MAX_FRAMES
        self.slots: list[int] = [0] * MAX_FRAMES

    def none(self) -> bool:
        return not any(self.regs) and not any(self.slots)


def mark_register(program: Program, st: State, n: int) -> None:
    """The instruction at hand relies on the value of scalar register `n`."""
    wanted = Wanted()
    wanted.regs[len(st.frames) - 1] = 1 << n
    _walk_back(program, st, wanted, 1)


def mark_slot(program: Program, st: State, frame: int, at: int) -> None:
    """The instruction at hand relies on the scalar spilled to slot `at` of a frame."""
    wanted = Wanted()
    wanted.slots[frame] = 1 << (-1 - at)
    _walk_back(program, st, wanted, 1)


def inherit(program: Program, st: State, stored: Stored) -> None:
    """A path ends at a stored state: it relies on whatever was relied on from there
    (propagate_precision)."""
    wanted = Wanted()
    for i in range(len(stored.precise_regs)):
        wanted.regs[i] = stored.precise_regs[i]
        wanted.slots[i] = stored.precise_slots[i]
    if not wanted.none():
        _walk_back(program, st, wanted, 0)


def _walk_back(program: Program, st: State, wanted: Wanted, skip: int) -> None:
    """`skip` is 1 if the instruction at hand is the last one of the trail."""
    frame = len(st.frames) - 1
    trail: Trail = st.trail
    stored = st.parent
    steps = program.steps
    while True:
        entries = trail.entries
        at = len(entries) - 1 - skip
        while at >= 0:
            entry = entries[at]
            step = steps[entry & _SLOT_MASK]
            assert step is not None
            linked = trail.links.get(at) if trail.links is not None else None
            if linked is not None:
                _link(linked, wanted)
            frame = _step_back(step, entry >> 24, frame, wanted)
            if frame < 0:
                _everything(stored)
                return
            if linked is not None:
                _link(linked, wanted)
            if wanted.regs[frame] == 0 == wanted.slots[frame] and wanted.none():
                return
            at -= 1
        if stored is None or not _note(stored, wanted):
            return
        skip = 0
        trail = stored.trail
        stored = stored.parent


def _link(linked: tuple[Tied, ...], wanted: Wanted) -> None:
    """What was told of one of them was told of all (bt_sync_linked_regs)."""
    for frame, bit, in_stack in linked:
        if (wanted.slots if in_stack else wanted.regs)[frame] & bit:
            break
    else:
        return
    for frame, bit, in_stack in linked:
        if in_stack:
            wanted.slots[frame] |= bit
        else:
            wanted.regs[frame] |= bit


def _step_back(step: Step, access: int, frame: int, wanted: Wanted) -> int:
    """What must be known before the instruction, for what is wanted after it. `access` is the
    stack slot that it accessed (see Trail). Gives the frame before it, -1 if that cannot be
    told."""
    regs = wanted.regs
    mask = regs[frame]
    kind = step.kind
    dst = 1 << step.dst
    if kind is Kind.ALU:
        if mask & dst and step.op.reg:
            regs[frame] = mask | 1 << step.src
    elif kind is Kind.MOV:
        if mask & dst:
            mask &= ~dst
            regs[frame] = mask | 1 << step.src if step.op.reg else mask
    elif kind is Kind.LDDW:
        regs[frame] = mask & ~dst
    elif kind is Kind.LOAD:
        if mask & dst:
            regs[frame] = mask & ~dst
            if access:
                wanted.slots[access >> 8] |= 1 << ((access & 0xFF) - 1)
    elif kind is Kind.STORE_REG or kind is Kind.STORE_IMM:
        if access:
            bit = 1 << ((access & 0xFF) - 1)
            if wanted.slots[access >> 8] & bit:
                wanted.slots[access >> 8] &= ~bit
                if kind is Kind.STORE_REG:
                    regs[frame] = mask | 1 << step.src
    elif kind is Kind.JCOND:
        if step.op.reg:
            both = dst | 1 << step.src
            if mask & both:
                regs[frame] = mask | both
    elif kind is Kind.ATOMIC:
        if step.op.fetch:
            regs[frame] = mask & ~(1 if step.name == "cmpxchg" else 1 << step.src)
        if access:
            wanted.slots[access >> 8] &= ~(1 << ((access & 0xFF) - 1))
    elif kind is Kind.EXIT:
        if frame + 1 >= MAX_FRAMES:
            return -1
        regs[frame] = mask & ~0x3F
        regs[frame + 1] = mask & 1
        return frame + 1
    elif kind is Kind.CALL_LOCAL:
        if frame == 0:
            return -1
        regs[frame - 1] |= mask & 0x3E
        regs[frame] = 0
        wanted.slots[frame] = 0
        return frame - 1
    elif kind is Kind.CALL_HELPER or kind is Kind.CALL_KFUNC:
        regs[frame] = mask & ~0x3F
    return frame


def _note(stored: Stored, wanted: Wanted) -> bool:
    """Mark what is wanted of a stored state; False if nothing new is left to be followed."""
    left = False
    frames = stored.state.frames
    for i in range(len(frames)):
        mask = wanted.regs[i]
        if mask:
            new = 0
            regs = frames[i].regs
            for n in range(10):
                bit = 1 << n
                if mask & bit and regs[n].kind == SCALAR and not stored.precise_regs[i] & bit:
                    new |= bit
            stored.precise_regs[i] |= new
            wanted.regs[i] = new
            left = left or new != 0
        mask = wanted.slots[i]
        if mask:
            new = 0
            for at, slot in frames[i].stack.items():
                bit = 1 << (-1 - at)
                if not mask & bit or stored.precise_slots[i] & bit or slot.reg is None:
                    continue
                if slot.reg.kind == SCALAR:
                    new |= bit
            stored.precise_slots[i] |= new
            wanted.slots[i] = new
            left = left or new != 0
    for i in range(len(frames), MAX_FRAMES):
        wanted.regs[i] = wanted.slots[i] = 0
    return left


def _everything(stored: Stored | None) -> None:
    """All scalars of all states on the way (mark_all_scalars_precise)."""
    while stored is not None:
        for i in range(len(stored.precise_regs)):
            stored.precise_regs[i] = (1 << 10) - 1
            stored.precise_slots[i] = (1 << 64) - 1
        stored = stored.parent
