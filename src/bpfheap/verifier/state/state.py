"""What the verifier knows at one point of one path: registers, stack slots, frames, references.

Registers, slots and references are immutable and shared between states; a state itself is
changed in place by the path that owns it and copied where paths part.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, NamedTuple

from mypy_extensions import i64

from bpfheap.platform.dynptrs import DynptrKind
from bpfheap.platform.maps import BY_NUMBER, MapFlag
from bpfheap.platform.programs import SocketType
from bpfheap.spec import MapSpec
from bpfheap.verifier.domain.scalar import UNKNOWN_SCALAR, Scalar, const
from bpfheap.verifier.flows import Field, Holder
from bpfheap.verifier.state.kernel import KernelType
from bpfheap.verifier.state.layouts import Layout

#: BPF_REG_FP, MAX_BPF_STACK, MAX_CALL_FRAMES.
FP = 10
STACK_SIZE = 512
MAX_FRAMES = 8
#: BPF_MAX_VAR_OFF: offsets at or beyond it count as unbounded.
MAX_VAR = 1 << 29
SLOT = 8
#: Where the program goes on when it has ended.
END: Final = -1


# What a register holds (enum bpf_reg_type).
UNINIT: Final = 0
SCALAR: Final = 1
STACK: Final = 2
CTX: Final = 3
MAP: Final = 4
MAP_VALUE: Final = 5
OBJECT: Final = 6
FUNC: Final = 7
MAP_KEY: Final = 8
MEM: Final = 9
PACKET: Final = 10
PACKET_META: Final = 11
PACKET_END: Final = 12
ITERATOR: Final = 13
KERNEL: Final = 14
SOCKET: Final = 15
FLOW_KEYS: Final = 16
ARENA: Final = 17
DYNPTR: Final = 18
IRQ_FLAG: Final = 19

#: By kind: the verifier log's word.
KIND_NAMES = (
    "?", "scalar", "fp", "ctx", "map_ptr", "map_value", "ptr_", "func", "map_key", "mem", "pkt",
    "pkt_meta", "pkt_end", "iter_num", "ptr_", "sock", "flow_keys", "arena",
    "dynptr_ptr", "irq_flag",
)  # fmt: skip

# What the program may do with an object (MEM_ALLOC, NON_OWN_REF, MEM_RCU, PTR_UNTRUSTED).
OWNED: Final = 0  # anything; it has to give it away
BORROWED: Final = 1  # in a list or tree, until the lock is released
READ: Final = 2  # in a kptr field, until the RCU section ends
UNTRUSTED: Final = 3  # read where the pointer was loaded outside of any section: it may be gone
LAPSED: Final = 4  # nothing: its RCU section has ended

# What is known of a pointer to an object of the kernel (enum bpf_type_flag).
TRUSTED: Final = 1  # PTR_TRUSTED: it is valid as long as the program runs
IN_RCU: Final = 2  # MEM_RCU: until the RCU section ends
DISTRUSTED: Final = 4  # PTR_UNTRUSTED: it may lead anywhere
IN_USER: Final = 8  # MEM_USER: it is an address in user space
PER_CPU: Final = 16  # MEM_PERCPU: each CPU has its own

#: The owner of a trusted object that was read out of one which only an RCU section keeps.
SECTION: Final = -1
#: That of one which the program was given by the kernel, or by a call: it is there, though nothing
#: says so.
GIVEN: Final = -2

#: Where a packet pointer that was compared with the packet's end is known to be beyond it, or at
#: it or beyond (BEYOND_PKT_END, AT_PKT_END).
BEYOND_END: Final = -1
AT_END: Final = -2


class Reg:
    """One register (struct bpf_reg_state). Immutable, shared between states.

    `kind`: what it holds, UNINIT to IRQ_FLAG.
    `scalar`: its value, or the variable part of a pointer's offset.
    `off`: the fixed part of a pointer's offset; of a linked scalar, what has to be added to the
    value of the others.
    `narrow`: is that added in 32 bits (BPF_ADD_CONST32)?
    `id`: links registers that are known to be equal: scalars that were copied, pointers that are
    NULL together; 0 for none.
    `ref`: the reference that an owned object stands for, 0 for none.
    `or_null`: may the pointer be NULL?
    `what`: by kind:

    | kind            | what                                              |
    |-----------------|---------------------------------------------------|
    | UNINIT          | Gone, if an owned object was here; else None      |
    | SCALAR          | Gone; PlainPointer and Layout of the member it was loaded from; or None |
    | STACK           | number of the frame                               |
    | CTX, PACKET_END, FLOW_KEYS, ARENA | None                            |
    | MAP, MAP_VALUE, MAP_KEY | MapRef                                    |
    | MEM             | Mem                                               |
    | OBJECT          | Object                                            |
    | FUNC            | slot at which the subprogram starts               |
    | PACKET, PACKET_META | bytes from here on that are in the packet, or BEYOND_END, AT_END |
    | KERNEL          | KernelObject                                      |
    | SOCKET          | SocketType                                        |
    | IRQ_FLAG        | is it that of a lock? In a stack slot only; `id` is the section's |
    | ITERATOR        | Iterating; in the first stack slot only; `off` counts its iterations |
    | DYNPTR          | Dynptr; in both of its stack slots, or what a function was given |
    """

    __slots__ = ("id", "kind", "narrow", "off", "or_null", "ref", "scalar", "what")

    def __init__(
        self, kind: i64, scalar: Scalar, off: i64 = 0, id: i64 = 0, ref: i64 = 0,  # noqa: A002
        what: Any = None, or_null: bool = False, narrow: bool = False,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.scalar = scalar
        self.off = off
        self.id = id
        self.ref = ref
        self.what = what
        self.or_null = or_null
        self.narrow = narrow

    def with_id(self, id_: i64) -> Reg:
        """The same, by that id."""
        return Reg(self.kind, self.scalar, self.off, id_, self.ref, self.what, self.or_null)

    def moved(self, off: i64, scalar: Scalar) -> Reg:
        """The same pointer, to elsewhere."""
        return Reg(self.kind, scalar, off, self.id, self.ref, self.what, self.or_null)

    def non_null(self) -> Reg:
        """The same pointer, known not to be NULL. Which value or object it is matters for its
        lock only (reg_may_point_to_spin_lock)."""
        id_ = self.id
        if (self.kind != MAP_VALUE and self.kind != OBJECT) or not self.what.layout.locks:
            id_ = 0
        return Reg(self.kind, self.scalar, self.off, id_, self.ref, self.what, False)

    def of(self, what: Any, ref: i64) -> Reg:
        """The same address, of another standing."""
        return Reg(self.kind, self.scalar, self.off, self.id, ref, what, self.or_null)


class MapRef:
    """A map as a pointer's target; one instance per map, compared by identity.

    `holder`, `name`: those of flows; an inner map goes by the name of its outer map.
    `spec`: its definition.
    `layout`: that of its values.
    `bytes`: do they have fields that Linux does not take in such a map? It is one without types
    then, and `layout` has none.
    `numbers`: are these numbers alone?
    `readonly`, `unreadable`: programs may not change what is in it, or not read it.
    `constant`: the bytes of its value that nobody can change any more, None for none.
    `inner`: what a lookup in a map of maps finds, None until one was looked at.
    """

    __slots__ = (
        "bytes", "constant", "holder", "inner", "layout", "name", "numbers", "readonly", "spec",
        "unreadable",
    )  # fmt: skip

    def __init__(
        self, holder: Holder, name: str, spec: MapSpec, layout: Layout,
        bytes: bool = False,  # noqa: A002
    ) -> None:  # fmt: skip
        self.holder = holder
        self.name = name
        self.spec = spec
        self.layout = layout
        self.bytes = bytes
        self.numbers = not layout.kptrs and not layout.special and not layout.shared
        row = BY_NUMBER.get(spec.type)
        never = row is not None and row.readonly
        self.readonly = never or spec.readonly or bool(spec.flags & MapFlag.RDONLY_PROG)
        self.unreadable = bool(spec.flags & MapFlag.WRONLY_PROG)
        self.constant = spec.data if spec.readonly else None
        self.inner: MapRef | None = None

    @property
    def typed(self) -> bool:
        """Does Linux know of which type its values are?"""
        return self.spec.is_typed and not self.bytes

    def __str__(self) -> str:
        return self.name if self.holder is Holder.MAP else f"an inner map of {self.name}"


class Buffer(Enum):
    """Buffers by the words that messages have for them."""

    READONLY = "rdonly"
    WRITABLE = "rdwr"
    TRACEPOINT = "tracepoint"  # the record of one


class Mem(NamedTuple):
    """Memory that is neither stack nor map value nor object.

    `size`: in bytes.
    `readonly`: may the program only read it?
    `record`: is it a ring buffer's?
    `anywhere`: may the address be any? Then it is read as if nothing might be there, whatever its
    size.
    `buffer`: which buffer it is whose size is asked for later, where the program is attached; None
    for none.
    `packet`, `unwritable`: of a global function's parameter, does some call give a part of the
    packet for it, or what programs must not write?
    `align`: the address is a multiple of it, in bytes; of a parameter, in all calls.
    `dynptr`: the id of the dynptr that it is a slice of, and that it goes with; 0 for none.
    `sliced`: is it one of bpf_dynptr_slice, which Linux tells from other memory?
    `moves`: is it a slice of a packet, which goes when that moves?
    `buffers`: where on the stack it may be instead, as a copy: frames, and the offsets at which it
    begins and ends.
    """

    size: int
    readonly: bool = False
    record: bool = False
    anywhere: bool = False
    buffer: Buffer | None = None
    packet: bool = False
    unwritable: bool = False
    align: int = 8
    dynptr: int = 0
    sliced: bool = False
    moves: bool = False
    buffers: tuple[tuple[int, int, int], ...] = ()

    def __str__(self) -> str:
        if self.dynptr or self.sliced:
            return "slice of a dynptr"
        if self.buffer is not None:
            return f"{self.buffer.value} buffer"
        if self.anywhere:
            return "memory of the kernel that may not be there"
        return "ring buffer record" if self.record else "memory"


class Object(NamedTuple):
    """An object.

    `layout`: that of its type.
    `origin`: the allocator or field it came from. It is part of the state: two paths that differ in
    it have different flows.
    `standing`: OWNED to LAPSED.
    `per_cpu`: is there one for each CPU, which no instruction can access?
    """

    layout: Layout
    origin: str | Field
    standing: int = OWNED
    per_cpu: bool = False

    def __str__(self) -> str:
        return str(self.layout)


class KernelObject(NamedTuple):
    """What a pointer to an object of the kernel leads to (PTR_TO_BTF_ID).

    `type`: its struct.
    `flags`: TRUSTED to PER_CPU. With none, it was found by walking from one struct to the next,
    and is read as if nothing might be there.
    `owner`: the reference without which a trusted one is none: that of its iterator, or of the
    object that it was read out of; SECTION if that is none; 0 for none. GIVEN of one without flags
    that was not found by walking.
    """

    type: KernelType
    flags: int
    owner: int = 0

    def __str__(self) -> str:
        return f"struct {self.type.name} of the kernel"


class Dynptr(NamedTuple):
    """A dynptr (struct bpf_dynptr).

    `kind`: what it leads to, as far as Linux knows.
    `first`: is this its first slot?
    `moves`: may it lead into a packet? Of a global function's parameter, in any call.
    """

    kind: DynptrKind
    first: bool = True
    moves: bool = False

    def __str__(self) -> str:
        return f"dynptr of kind {self.kind}"


class Iterating(NamedTuple):
    """An iterator on the stack.

    `type`: what follows "bpf_iter_" in its name.
    `more`: is there a next element, as far as is known?
    `standing`: IN_RCU if it is valid until the RCU section ends, DISTRUSTED once that has ended; 0
    for one that asks for none.
    """

    type: str
    more: bool = True
    standing: int = 0


class Invalidation(Enum):
    """Why a call invalidates a pointer (mark_reg_invalid), in words that its name follows."""

    GIVEN = "was given away to"
    UNLOCKED = "was borrowed until"
    MOVED = "was valid until"
    RETURNED = "was lent to a callback by"


class Gone(NamedTuple):
    """What a register held until some call.

    `insn`: the slot of the call.
    `call`: the name of what was called.
    `type_name`: the type of what was held.
    `why`: what ended it.
    """

    insn: int
    call: str
    type_name: str
    why: Invalidation = Invalidation.GIVEN


class Held(NamedTuple):
    """A reference that the program must give away (struct bpf_reference_state).

    `id`: that of the registers that stand for it.
    `insn`: the slot of the call that gave it.
    `object`: what it refers to, None for an iterator.
    """

    id: int
    insn: int
    object: Object | Mem | KernelObject | SocketType | Dynptr | None

    def __str__(self) -> str:
        return "iterator" if self.object is None else str(self.object)


class Locking(Enum):
    """How a lock was taken (enum ref_state_type)."""

    SPIN = "bpf_spin"
    RES = "bpf_res_spin"
    RES_IRQ = "bpf_res_spin, without interrupts"


class Lock(NamedTuple):
    """A lock that is held: a bpf_spin_lock, or the bpf_res_spin_lock that was taken last.

    `holder`: of which map's values or of which type's objects it is one (active_lock_ptr).
    `id`: that of the register through which it was taken (active_lock_id).
    `insn`: the slot of the call that took it.
    `how`: how it was taken.
    `before`: the lock that was held already, None for none.
    """

    holder: MapRef | Layout
    id: int
    insn: int
    how: Locking = Locking.SPIN
    before: Lock | None = None

    def same(self, holder: MapRef | Layout, id_: int) -> bool:
        return self.holder is holder and self.id == id_

    def find(self, holder: MapRef | Layout, id_: int) -> Lock | None:
        """It, or the one before it that is that one, None for none (find_lock_state)."""
        at: Lock | None = self
        while at is not None and not at.same(holder, id_):
            at = at.before
        return at


class Interrupts(NamedTuple):
    """A section without interrupts.

    `id`: that of the flag which ends it.
    `insn`: the slot of the call that began it.
    """

    id: int
    insn: int


# What a byte of a stack slot holds (enum bpf_stack_slot_type). There is no word for bytes never
# written: a privileged program may read them, so they are MISC.
MISC: Final = 0
ZERO: Final = 1
SPILL: Final = 2
ITER: Final = 3
IN_DYNPTR: Final = 4
IRQ: Final = 5

ALL_MISC = bytes(8)
ALL_SPILL = bytes([SPILL]) * 8
ALL_ITER = bytes([ITER]) * 8
ALL_DYNPTR = bytes([IN_DYNPTR]) * 8
ALL_IRQ = bytes([IRQ]) * 8

# What the kernel keeps on the stack of a program: bytes of these kinds.
OPAQUE: Final = frozenset({ITER, IN_DYNPTR, IRQ})


class Slot:
    """Eight bytes of stack. Immutable.

    `kinds`: what each byte holds, MISC to IRQ, lowest address first.
    `reg`: what was spilled into the bytes marked SPILL, which then are the first ones; None for
    nothing.
    """

    __slots__ = ("kinds", "reg")

    def __init__(self, reg: Reg | None, kinds: bytes) -> None:
        self.reg = reg
        self.kinds = kinds

    def of(self, reg: Reg) -> Slot:
        """The same bytes, known to be of that register."""
        return Slot(reg, self.kinds)


ZERO_OFFSET = const(0)
NOTHING = Reg(UNINIT, UNKNOWN_SCALAR)
UNKNOWN = Reg(SCALAR, UNKNOWN_SCALAR)
NULL = Reg(SCALAR, ZERO_OFFSET)


def number(value: Scalar) -> Reg:
    """A scalar that is linked to no other."""
    return Reg(SCALAR, value)


def linked(value: Scalar, like: Reg) -> Reg:
    """The scalar register `like`, known to have `value`."""
    return Reg(SCALAR, value, like.off, like.id, 0, like.what, False, like.narrow)


def is_null(reg: Reg) -> bool:
    """Is it the constant 0?"""
    return reg.kind == SCALAR and reg.scalar.m == 0 and reg.scalar.v == 0


class FuncState:
    """What is known of one function's frame (struct bpf_func_state).

    `number`: its place on the call stack, 0 for the main function.
    `subprog`: the number of its function.
    `callsite`: the slot of the call that entered it, -1 for none.
    `regs`: r0 to r10.
    `stack`: each slot that is not all MISC, by offset // 8 (-1 to -64).
    `callback`: does it return to the call itself, which may then begin the next iteration?
    `iterations`: how many a call in this frame has begun.
    """

    __slots__ = ("callback", "callsite", "iterations", "number", "regs", "stack", "subprog")

    def __init__(
        self, number: i64, subprog: i64, callsite: i64, regs: list[Reg], stack: dict[int, Slot]
    ) -> None:
        self.number = number
        self.subprog = subprog
        self.callsite = callsite
        self.regs = regs
        self.stack = stack
        self.callback = False
        self.iterations: i64 = 0

    def copy(self) -> FuncState:
        new = FuncState(
            self.number, self.subprog, self.callsite, self.regs.copy(), self.stack.copy()
        )
        new.callback = self.callback
        new.iterations = self.iterations
        return new


#: A scalar that is linked to others: its frame, and its bit among registers or among stack slots
#: (see precision.Wanted).
Link = tuple[i64, i64, i64]

#: Where an entry of a trail has its parts.
SLOT_MASK: Final = (1 << 24) - 1
ACCESS_SHIFT: Final = 24
#: In an entry of a call or a classic load, where others have the slot that was accessed.
CROSSED: Final = 1
RETURNED: Final = 2


class Trail:
    """The instructions since the last stored state (bpf_jmp_history_entry).

    `entries`: the slot of each; if a fixed slot of the stack was accessed, also the frame << 32 and
    its number (see precision.Wanted) + 1 << 24.
    `jumps`: how many of them are jumps.
    `links`: by index in `entries`, all scalars that a condition told of because they are linked;
    None for none.
    """

    __slots__ = ("entries", "jumps", "links")

    def __init__(self) -> None:
        self.entries: list[int] = []
        self.links: dict[int, tuple[Link, ...]] | None = None
        self.jumps: i64 = 0

    def copy(self) -> Trail:
        new = Trail()
        new.entries = self.entries.copy()
        new.links = None if self.links is None else self.links.copy()
        new.jumps = self.jumps
        return new

    def accessed(self, frame: int, at: int) -> None:
        """The last instruction accessed stack slot `at` of a frame."""
        if not self.entries[-1] >> ACCESS_SHIFT:
            self.entries[-1] |= (frame << 8 | -at) << ACCESS_SHIFT

    def crossed(self) -> None:
        """The last instruction left a callback, or is the call that entered it."""
        self.entries[-1] |= CROSSED << ACCESS_SHIFT

    def returned(self) -> None:
        """The last instruction is a call, or a classic load, that left the function."""
        self.entries[-1] |= RETURNED << ACCESS_SHIFT

    def linked(self, scalars: tuple[Link, ...]) -> None:
        """The last instruction told of all these."""
        if self.links is None:
            self.links = {}
        self.links[len(self.entries) - 1] = scalars


class Stored:
    """A state stored at a slot (struct bpf_verifier_state_list).

    `state`: what was known there.
    `parent`: the stored state before it on its path, None for the first.
    `trail`: the instructions from there.
    `branches`: paths from it that are not walked to their ends yet. As long as there are any, it
    says nothing of safety, but can show a loop.
    `hits`, `misses`: how often it ended a path, and how often it was compared in vain.
    `loop`: the outermost loop that it is in, None for none.
    `backedges`: the states of iterations that ended in it (struct bpf_scc_backedge), None for none.
    `precise_regs`, `precise_slots`: the scalars that a verdict rests on; bit masks, by frame.
    """

    __slots__ = (
        "backedges",
        "branches",
        "hits",
        "loop",
        "misses",
        "parent",
        "precise_regs",
        "precise_slots",
        "state",
        "trail",
    )  # fmt: skip

    def __init__(
        self,
        state: State,
        parent: Stored | None,
        trail: Trail,
        loop: tuple[int, ...] | None,
    ) -> None:
        self.state = state
        self.parent = parent
        self.trail = trail
        self.loop = loop
        self.branches: i64 = 1
        self.hits: i64 = 0
        self.misses: i64 = 0
        self.backedges: list[State] | None = None
        self.precise_regs: list[int] = [0] * len(state.frames)
        self.precise_slots: list[int] = [0] * len(state.frames)


class State:
    """What is known at one point of one path (struct bpf_verifier_state).

    `frames`: the functions that were entered, the main function first.
    `regs`: the registers of the last one.
    `refs`: what the program has to give away.
    `parent`: the stored state that the path went through last, None for none.
    `trail`: the instructions since then.
    `unrolled`: how many callbacks were entered (callback_unroll_depth).
    `may_gotos`: how many may_goto went on (may_goto_depth).
    `lock`: the lock that is held, None for none.
    `rcu`: was bpf_rcu_read_lock called?
    `dynptrs`: were there any, so that stores have to look for them?
    `irqs`: the sections without interrupts that it is in, the last one last.
    `preempt`: in how many sections without preemption it is.
    `sleeps`: may what runs here sleep?
    `later`: is it a function that somebody else calls, apart from the program?
    """

    __slots__ = (
        "dynptrs",
        "frames",
        "irqs",
        "later",
        "lock",
        "may_gotos",
        "parent",
        "preempt",
        "rcu",
        "refs",
        "regs",
        "sleeps",
        "trail",
        "unrolled",
    )

    def __init__(
        self,
        frames: list[FuncState],
        refs: tuple[Held, ...],
        parent: Stored | None,
        trail: Trail,
    ) -> None:
        self.frames = frames
        self.regs = frames[-1].regs
        self.refs = refs
        self.parent = parent
        self.trail = trail
        self.unrolled: i64 = 0
        self.may_gotos: i64 = 0
        self.lock: Lock | None = None
        self.rcu = False
        self.dynptrs = False
        self.irqs: tuple[Interrupts, ...] = ()
        self.preempt: i64 = 0
        self.sleeps = False
        self.later = False

    def copy(self) -> State:
        new = State([f.copy() for f in self.frames], self.refs, self.parent, self.trail.copy())
        new.like(self)
        return new

    def like(self, other: State) -> None:
        """Take over what is neither in frames nor in references."""
        self.unrolled = other.unrolled
        self.may_gotos = other.may_gotos
        self.lock = other.lock
        self.rcu = other.rcu
        self.dynptrs = other.dynptrs
        self.irqs = other.irqs
        self.preempt = other.preempt
        self.sleeps = other.sleeps
        self.later = other.later

    @property
    def top(self) -> FuncState:
        return self.frames[-1]

    def push(self, subprog: int, callsite: int) -> None:
        """Enter a function; its arguments are the caller's."""
        number_ = len(self.frames)
        regs = [NOTHING] * 11
        regs[1:6] = self.regs[1:6]
        regs[FP] = Reg(STACK, ZERO_OFFSET, what=number_)
        self.regs[0:6] = [NOTHING] * 6
        self.frames.append(FuncState(number_, subprog, callsite, regs, {}))
        self.regs = regs

    def push_callback(self, subprog: int, callsite: int, arguments: list[Reg]) -> None:
        """Enter a function that a call in this one calls; the call keeps its own arguments."""
        number_ = len(self.frames)
        regs = [NOTHING] * 11
        regs[1 : len(arguments) + 1] = arguments
        regs[FP] = Reg(STACK, ZERO_OFFSET, what=number_)
        frame = FuncState(number_, subprog, callsite, regs, {})
        frame.callback = True
        self.frames[-1].iterations += 1
        self.frames.append(frame)
        self.regs = regs
        self.unrolled += 1

    def pop(self) -> FuncState:
        """Leave the top function; gives its frame. A caller gets the result in r0."""
        if self.dynptrs:
            number_ = self.top.number
            # Slices that may be copies in its stack are gone with it. (Linux keeps them.)
            self.rewrite(lambda reg: UNKNOWN if _copied_to(reg, number_) else reg)
        left = self.frames.pop()
        self.regs = self.frames[-1].regs
        if not left.callback:
            self.regs[0] = left.regs[0]
        return left

    def rewrite(self, change: Callable[[Reg], Reg]) -> None:
        """Put `change(reg)` in place of each register and each spilled one, in all frames."""
        for frame in self.frames:
            regs = frame.regs
            for i in range(10):
                reg = regs[i]
                if reg.kind != UNINIT:
                    regs[i] = change(reg)
            for at, slot in frame.stack.items():
                if slot.reg is not None:
                    new = change(slot.reg)
                    if new is not slot.reg:
                        frame.stack[at] = Slot(new, slot.kinds)


def _copied_to(reg: Reg, frame: i64) -> bool:
    """Is it a slice that may be in the stack of that frame?"""
    if reg.kind != MEM or not reg.what.buffers:
        return False
    return any(buffer[0] == frame for buffer in reg.what.buffers)


def iterator_at(st: State, reg: Reg) -> Reg | None:
    """The iterator at the place on the stack that a register points at, None if there is none."""
    assert reg.kind == STACK
    assert reg.scalar.m == 0
    at = reg.off + reg.scalar.smin
    slot = st.frames[reg.what].stack.get(at >> 3)
    found: Reg | None = None if at & 7 or slot is None else slot.reg
    return None if found is None or found.kind != ITERATOR else found


def is_trusted(reg: Reg) -> bool:
    """Does a pointer to an object of the kernel surely lead to one (is_trusted_reg)?"""
    return reg.ref != 0 or (not reg.or_null and reg.what.flags == TRUSTED)


def is_walked(reg: Reg) -> bool:
    """Was the object of the kernel found by walking from one struct to the next, so that it may be
    NULL, or gone?"""
    return not reg.what.flags and not reg.ref and reg.what.owner != GIVEN


#: By flag, in the order of the log: what it says before "ptr_".
_FLAGS = (
    (IN_USER, "user_"),
    (PER_CPU, "percpu_"),
    (IN_RCU, "rcu_"),
    (DISTRUSTED, "untrusted_"),
    (TRUSTED, "trusted_"),
)

_BUFFERS = {
    Buffer.READONLY: "rdonly_buf",
    Buffer.WRITABLE: "buf",
    Buffer.TRACEPOINT: "tp_buffer",
}
#: By standing: what the log says before "ptr_".
_STANDING = ("", "", "rcu_", "untrusted_", "untrusted_")


def type_name(reg: Reg) -> str:
    """The log's word for a register's type (reg_type_str)."""
    if reg.kind == OBJECT:
        object_: Object = reg.what
        return (
            f"{'percpu_' if object_.per_cpu else ''}{_STANDING[object_.standing]}ptr_"
            f"{'or_null_' if reg.or_null else ''}"
        )
    if reg.kind == KERNEL:
        kernel: KernelObject = reg.what
        words = "".join(word for flag, word in _FLAGS if kernel.flags & flag)
        return f"{words}ptr_{'or_null_' if reg.or_null else ''}"
    if reg.kind == MEM:
        region: Mem = reg.what
        if region.anywhere:
            return "rdonly_untrusted_mem"
        if region.buffer is not None:
            return f"{_BUFFERS[region.buffer]}{'_or_null' if reg.or_null else ''}"
        name = "ringbuf_mem" if region.record else "rdonly_mem" if region.readonly else "mem"
        return f"{name}{'_or_null' if reg.or_null else ''}"
    if reg.kind == MAP and reg.or_null:
        # What a lookup in a map of maps gives is known as a map once it is not NULL.
        return f"{KIND_NAMES[MAP_VALUE]}_or_null"
    name = reg.what.name if reg.kind == SOCKET else KIND_NAMES[reg.kind]
    return f"{name}{'_or_null' if reg.or_null else ''}"


def full_type_name(reg: Reg) -> str:
    """The same, with the struct that is pointed at (print_reg_state)."""
    if reg.kind == OBJECT:
        object_: Object = reg.what
        return f"{type_name(reg)}{object_.layout.name}"
    if reg.kind == KERNEL:
        kernel: KernelObject = reg.what
        return f"{type_name(reg)}{kernel.type.name}"
    return type_name(reg)
