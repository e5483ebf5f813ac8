"""What the verifier knows at one point of one path: registers, stack slots, frames, references.

Registers, slots and references are immutable and shared between states; a state itself is
changed in place by the path that owns it and copied where paths part.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from bpfheap.spec import MapSpec
from bpfheap.verifier.flows import Field, Holder
from bpfheap.verifier.layouts import Layout
from bpfheap.verifier.scalar import UNKNOWN_SCALAR, Scalar, const

#: BPF_REG_FP, MAX_BPF_STACK, MAX_CALL_FRAMES.
FP = 10
STACK_SIZE = 512
MAX_FRAMES = 8
SLOT = 8


class RegKind(Enum):
    """What a register holds (enum bpf_reg_type); the value is the verifier log's word."""

    UNINIT = "?"
    SCALAR = "scalar"
    STACK = "fp"
    CTX = "ctx"
    MAP = "map_ptr"
    MAP_VALUE = "map_value"
    OBJECT = "ptr_"
    FUNC = "func"


# Looked up once: the walk compares kinds all the time.
UNINIT = RegKind.UNINIT
SCALAR = RegKind.SCALAR


class Reg(NamedTuple):
    """One register (struct bpf_reg_state).

    `scalar` is the value, or the variable part of a pointer's offset; `off` the fixed part.
    `id` ties registers that are known to be equal: scalars that were copied, pointers that are
    NULL together. `ref` is the reference that an owned object stands for, 0 if none.

    | kind            | what                                              |
    |-----------------|---------------------------------------------------|
    | UNINIT          | Gone, if an owned object was here; else None      |
    | SCALAR          | PlainPointer of the member it was loaded from, or None |
    | STACK           | number of the frame                               |
    | CTX             | None                                              |
    | MAP, MAP_VALUE  | MapRef                                            |
    | OBJECT          | Object                                            |
    | FUNC            | slot at which the subprogram starts               |
    """

    kind: RegKind
    scalar: Scalar
    off: int = 0
    id: int = 0
    ref: int = 0
    what: Any = None
    or_null: bool = False


class MapRef:
    """A map as a pointer's target; one instance per map, compared by identity.

    `holder` and `name` are those of flows: an inner map goes by the name of its outer map.
    """

    __slots__ = ("holder", "inner", "layout", "name", "spec")

    def __init__(self, holder: Holder, name: str, spec: MapSpec, layout: Layout) -> None:
        self.holder = holder
        self.name = name
        self.spec = spec
        self.layout = layout
        self.inner: MapRef | None = None

    def __str__(self) -> str:
        return self.name if self.holder is Holder.MAP else f"an inner map of {self.name}"


class Object(NamedTuple):
    """An owned object. `origin`, the allocator or field it came from, is part of the state: two
    paths that differ in it have different flows."""

    layout: Layout
    origin: str | Field


class Gone(NamedTuple):
    """Where an owned object went: the slot of the call, and the call's name."""

    insn: int
    call: str
    type_name: str


class Held(NamedTuple):
    """A reference that the program must give away (struct bpf_reference_state)."""

    id: int
    insn: int
    object: Object


# What a byte of a stack slot holds (enum bpf_stack_slot_type). There is no word for bytes never
# written: a privileged program may read them, so they are MISC.
MISC, ZERO, SPILL = 0, 1, 2

ALL_MISC = bytes(8)
ALL_SPILL = bytes([SPILL]) * 8


class Slot(NamedTuple):
    """Eight bytes of stack, lowest address first. `reg` is what was spilled into the bytes
    marked SPILL, which then are the first ones."""

    reg: Reg | None
    kinds: bytes


_new = tuple.__new__

ZERO_OFFSET = const(0)
NOTHING = Reg(UNINIT, UNKNOWN_SCALAR)
UNKNOWN = Reg(SCALAR, UNKNOWN_SCALAR)
NULL = Reg(SCALAR, ZERO_OFFSET)


def number(value: Scalar) -> Reg:
    """A scalar that is tied to no other."""
    return _new(Reg, (SCALAR, value, 0, 0, 0, None, False))


def linked(value: Scalar, like: Reg) -> Reg:
    """The scalar register `like`, known to have `value`."""
    return _new(Reg, (SCALAR, value, 0, like.id, 0, like.what, False))


def is_null(reg: Reg) -> bool:
    """Is it the constant 0?"""
    return reg.kind is SCALAR and reg.scalar.is_const and reg.scalar.const_value == 0


class Frame:
    """One function's registers and stack (struct bpf_func_state). `stack` has an entry for each
    slot that is not all MISC, by offset // 8 (-1 to -64); `callsite` is the slot of the call."""

    __slots__ = ("callsite", "number", "regs", "stack", "subprog")

    def __init__(
        self, number: int, subprog: int, callsite: int, regs: list[Reg], stack: dict[int, Slot]
    ) -> None:
        self.number = number
        self.subprog = subprog
        self.callsite = callsite
        self.regs = regs
        self.stack = stack

    def copy(self) -> Frame:
        return Frame(self.number, self.subprog, self.callsite, self.regs.copy(), self.stack.copy())


class State:
    """One path's knowledge (struct bpf_verifier_state). `regs` are those of the top frame;
    `parent` the stored state that the path went through last."""

    __slots__ = ("frames", "parent", "refs", "regs")

    def __init__(self, frames: list[Frame], refs: tuple[Held, ...], parent: Any = None) -> None:
        self.frames = frames
        self.regs = frames[-1].regs
        self.refs = refs
        self.parent = parent

    def copy(self) -> State:
        return State([f.copy() for f in self.frames], self.refs, self.parent)

    @property
    def top(self) -> Frame:
        return self.frames[-1]

    def push(self, subprog: int, callsite: int) -> None:
        """Enter a function; its arguments are the caller's."""
        number_ = len(self.frames)
        regs = [NOTHING] * 11
        regs[1:6] = self.regs[1:6]
        regs[FP] = Reg(RegKind.STACK, ZERO_OFFSET, what=number_)
        self.regs[0:6] = [NOTHING] * 6
        self.frames.append(Frame(number_, subprog, callsite, regs, {}))
        self.regs = regs

    def pop(self) -> Frame:
        """Leave the top function; gives its frame. The caller gets the result in r0."""
        left = self.frames.pop()
        self.regs = self.frames[-1].regs
        self.regs[0] = left.regs[0]
        return left

    def rewrite(self, change: Callable[[Reg], Reg]) -> None:
        """Put `change(reg)` in place of each register and each spilled one, in all frames."""
        for frame in self.frames:
            regs = frame.regs
            for i in range(10):
                reg = regs[i]
                if reg.kind is not UNINIT:
                    regs[i] = change(reg)
            for at, slot in frame.stack.items():
                if slot.reg is not None:
                    new = change(slot.reg)
                    if new is not slot.reg:
                        frame.stack[at] = Slot(new, slot.kinds)
