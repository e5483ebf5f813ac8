"""The verifier's log, as the kernel writes it: source lines, instructions, and what is known of the
registers and stack slots that each one used.

Sources: print_reg_state, print_scalar_ranges, print_verifier_state and print_insn_state in
kernel/bpf/log.c of Linux 6.18, and verbose_linfo. Two things differ. The kernel writes "?" for a
byte of stack that was never written; here it is any byte, "m", and a slot with nothing else is left
out. Which scalars turned out to be precise ("P", "mark_precise") is not told.
"""

from __future__ import annotations

from bpfheap.errors import InsnError
from bpfheap.isa import Kind, format_insn
from bpfheap.platform.calls import HELPER_BY_NUMBER
from bpfheap.spec import ProgramSpec
from bpfheap.verifier.analysis.cfg import Step
from bpfheap.verifier.domain.scalar import Scalar, bits_text
from bpfheap.verifier.domain.word import S32_MAX, S32_MIN, U32_MAX, unsigned
from bpfheap.verifier.state.state import (
    ALL_DYNPTR,
    ALL_ITER,
    BORROWED,
    CTX,
    DYNPTR,
    FUNC,
    IN_RCU,
    IRQ,
    IRQ_FLAG,
    MAP,
    MAP_KEY,
    MAP_VALUE,
    MEM,
    OBJECT,
    PACKET,
    PACKET_META,
    SCALAR,
    SPILL,
    STACK,
    UNINIT,
    ZERO,
    FuncState,
    Iterating,
    Reg,
    Slot,
    State,
    full_type_name,
)

#: Numbers in these ranges are written in decimal (UNUM_MAX_DECIMAL, SNUM_MIN_DECIMAL).
_DECIMAL = (1 << 16) - 1
_SIGNED_DECIMAL = (-(1 << 15), (1 << 15) - 1)
_S64 = (-(1 << 63), (1 << 63) - 1)
_U64_MAX = (1 << 64) - 1
_BYTES = {0: "m", ZERO: "0", IRQ: "f"}
_KINDS_OF_MAPS = frozenset({MAP, MAP_VALUE, MAP_KEY})
#: What a level keeps of the walk: the way to the rejection alone, or all paths (BPF_LOG_LEVEL1, 2).
REFUSED_PATH, ALL_PATHS = 1, 2

#: The registers that an instruction reads and writes, by its kind; a call leaves only r0.
_BOTH = frozenset({Kind.LOAD, Kind.STORE_REG, Kind.ATOMIC})
_DST = frozenset({Kind.NEG, Kind.END, Kind.LDDW, Kind.STORE_IMM})
_WITH_REG = frozenset({Kind.ALU, Kind.MOV, Kind.JCOND})
_CALLS = frozenset({Kind.CALL_HELPER, Kind.CALL_KFUNC, Kind.CALL_LOCAL, Kind.CALL_REG})


def _unsigned(value: int) -> str:
    return str(value) if value <= _DECIMAL else hex(value)


def _signed(value: int) -> str:
    if _SIGNED_DECIMAL[0] <= value <= _SIGNED_DECIMAL[1]:
        return str(value)
    return hex(value & _U64_MAX)


def scalar_ranges(s: Scalar) -> list[str]:
    """As ["smin=umin=1", "smax=umax=13"]: equal ends are written once (print_scalar_ranges)."""
    low, high = unsigned(s.umin), s.top
    narrow = [
        value if _SIGNED_DECIMAL[0] <= value <= _SIGNED_DECIMAL[1] else value & U32_MAX
        for value in (s.s32_min, s.s32_max)
    ]
    ends = [
        ("smin", s.smin, s.smin == _S64[0]),
        ("smax", s.smax, s.smax == _S64[1]),
        ("umin", low, low == 0),
        ("umax", high, high == _U64_MAX),
        ("smin32", narrow[0], s.s32_min == S32_MIN),
        ("smax32", narrow[1], s.s32_max == S32_MAX),
        ("umin32", s.u32_min, s.u32_min == 0),
        ("umax32", s.u32_max, s.u32_max == U32_MAX),
    ]
    found: list[str] = []
    written: set[str] = set()
    for i, (name, value, nothing) in enumerate(ends):
        if nothing or name in written:
            continue
        negative = name[0] == "s" and value < 0
        names = [name]
        for other, also, says_nothing in ends[i + 2 :: 2]:
            if says_nothing or other in written or also != value:
                continue
            if (other[0] == "s" and also < 0) == negative:
                names.append(other)
        written.update(names)
        shown = _signed(value) if name[0] == "s" else _unsigned(value)
        found.append(f"{'='.join(names)}={shown}")
    return found


def show_register(reg: Reg, frame: int = 0) -> str:
    """As "map_value(map=hash,ks=4,vs=8,off=4)", seen from frame number `frame`."""
    s = reg.scalar
    if reg.kind == UNINIT:
        return "?"
    if reg.kind == SCALAR and s.is_const:
        return _signed(s.smin)
    if reg.kind == STACK:
        of = "" if reg.what == frame else f"[{reg.what}]"
        if s.is_const:
            return f"fp{of}{_signed(reg.off + s.smin)}"
        return f"fp{of}({','.join(_pointer(reg))})"
    return f"{full_type_name(reg)}({','.join(_pointer(reg))})"


def _pointer(reg: Reg) -> list[str]:
    """What stands in the parentheses, also of a scalar."""
    parts = []
    s = reg.scalar
    shown = reg.or_null or reg.kind in (SCALAR, PACKET, PACKET_META)
    if reg.id and shown:
        more = f"{reg.off:+d}" if reg.kind == SCALAR and reg.off else ""
        parts.append(f"id={reg.id}{more}")
    if reg.ref:
        parts.append(f"ref_obj_id={reg.ref}")
    if reg.kind == OBJECT and reg.what.standing == BORROWED:
        parts.append("non_own_ref")
    if reg.kind in _KINDS_OF_MAPS:
        spec = reg.what.spec
        parts.append(f"map={reg.what.name},ks={spec.key_size},vs={spec.value_size}")
    if reg.kind != SCALAR and reg.off:
        parts.append(f"off={_signed(reg.off)}")
    if reg.kind in (PACKET, PACKET_META):
        parts.append(f"r={reg.what}")
    if reg.kind == MEM:
        parts.append(f"sz={_unsigned(reg.what.size)}")
    if reg.kind == DYNPTR:
        parts.append(f"type={reg.what.kind}")
    if reg.kind in (FUNC, CTX) and s.is_const:
        return parts
    if s.is_const:
        if s.smin:
            parts.append(f"imm={_signed(s.smin)}")
        return parts
    parts += scalar_ranges(s)
    if s.m != -1:
        parts.append(f"var_off={bits_text(s)}")
    return parts


def _follows(slot: Slot) -> bool:
    """Is it a further slot of an iterator or dynptr, of which the first one tells?"""
    if slot.kinds == ALL_DYNPTR:
        assert slot.reg is not None
        return not slot.reg.what.first
    return slot.reg is None and slot.kinds == ALL_ITER


def show_slot(slot: Slot, frame: int = 0) -> str:
    """As "mmmm0000", or the register that was spilled there."""
    if slot.kinds == ALL_DYNPTR:
        assert slot.reg is not None
        parts = [f"id={slot.reg.id}"] + ([f"ref_id={slot.reg.ref}"] if slot.reg.ref else [])
        return f"dynptr_{slot.reg.what.kind}({','.join(parts)})"
    if slot.kinds == ALL_ITER and slot.reg is not None:
        iterator: Iterating = slot.reg.what
        state = "active" if iterator.more else "drained"
        words = "rcu_" if iterator.standing == IN_RCU else ""
        return (
            f"{words}iter_{iterator.type}(ref_id={slot.reg.ref},state={state},depth={slot.reg.off})"
        )
    highest_first = slot.kinds[::-1]
    if slot.reg is None or slot.reg.kind == IRQ_FLAG:
        return "".join(_BYTES[kind] for kind in highest_first)
    above = highest_first[: highest_first.index(SPILL)]
    return "".join(_BYTES[kind] for kind in above) + show_register(slot.reg, frame)


#: What may end a function (prepare_func_exit).
_RETURNING = frozenset({Kind.EXIT, Kind.LEGACY})


class Log:
    """Collects lines; `text` is the whole log. Level 1 (BPF_LOG_LEVEL1) forgets paths that came to
    their end."""

    def __init__(self, spec: ProgramSpec, level: int = ALL_PATHS) -> None:
        self._spec = spec
        self._level = level
        self._lines: list[str] = []
        #: The source line shown last, and the stack when the last instruction was shown.
        self._shown: str | None = None
        self._stack: dict[int, Slot] = {}
        self._frame: FuncState | None = None
        #: For each path that waits: how many lines there were, and the last one, which is the
        #: instruction where it parts from others.
        self._marks: list[tuple[int, str]] = []
        #: May the state go behind the last line, which is the instruction?
        self._left = ""

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)

    def say(self, line: str) -> None:
        self._lines.append(line)

    def function(self, number: int, name: str) -> None:
        """A global function is going to be walked by itself."""
        self.say(f"Validating {name}() func#{number}...")

    def path(self, slot: int, jump: int, st: State) -> None:
        """A path begins at a slot; `jump` is the instruction that leads there, -1 at the start."""
        self._shown = None
        if jump < 0:
            self.say(f"{slot}:{_state(st)}")
        elif self._level == ALL_PATHS:
            self.say("")
            self.say(f"from {jump} to {slot}:{_state(st)}")
        elif self._marks:
            line, last = self._marks[-1]
            del self._lines[line:]
            self._lines[line - 1] = last
            self.say(f"{slot}:{_state(st)}")
        if jump >= 0 and self._marks:
            self._marks.pop()
        self._remember(st)

    def safe(self, slot: int) -> None:
        """The path ends: a stored state subsumes it."""
        begin, _, _ = self._lines[-1].partition(":")
        if begin.startswith("from ") and begin.endswith(f" to {slot}"):
            self._lines[-1] = f"{begin}: safe"
        else:
            self.say(f"{slot}: safe")

    def done(self) -> None:
        """All paths of a function were walked."""
        if self._level == REFUSED_PATH:
            self._lines.clear()

    def before(self, step: Step, st: State) -> None:
        """An instruction is going to be walked."""
        source = self._spec.line_of(step.slot)
        if source is not None:
            file = source.file.rpartition("/")[2]
            shown = f"; {source.text.lstrip()} @ {file}:{source.line}"
            if shown != self._shown:
                self.say(shown)
                self._shown = shown
        self.say(f"{step.slot}: {instruction(self._spec, step)}")
        if step.kind in _RETURNING and len(st.frames) > 1:
            self._left = _state(st)

    def after(self, step: Step, st: State, slot: int, waiting: int) -> None:
        """It was walked; `st` is what is known after it, `slot` where it goes on, `waiting` how
        many paths wait."""
        while len(self._marks) < waiting:
            self._marks.append((len(self._lines), self._lines[-1]))
        if st.top is not self._frame and step.kind is Kind.CALL_LOCAL:
            self.say("caller:")
            self.say(_state(st, len(st.frames) - 2))
            self.say("callee:")
            self.say(_state(st))
        elif st.top is not self._frame and step.kind in _RETURNING:
            self.say("returning from callee:")
            self.say(self._left)
            self.say(f"to caller at {slot}:")
            self.say(_state(st))
            # do_check asks for the state once more after an exit (do_print_state).
            if self._level == ALL_PATHS:
                self.say("")
                self.say(f"from {step.slot} to {slot}:{_state(st)}")
        else:
            self._changes(step, st)
        self._remember(st)

    def _changes(self, step: Step, st: State) -> None:
        """What is known of all that the instruction used."""
        top = st.top
        known = [
            f"R{n}={show_register(reg, top.number)}"
            for n in _used(step)
            if (reg := st.regs[n]).kind != UNINIT
        ]
        changed = {at for at, slot in top.stack.items() if self._stack.get(at) is not slot}
        entry = st.trail.entries[-1] if st.trail.entries else 0
        access = entry >> 24
        if access > 1 and access >> 8 == top.number:
            changed.add(-(access & 0xFF))
        known += [
            f"fp{at * 8}={show_slot(top.stack[at], top.number)}"
            for at in sorted(changed, reverse=True)
            if at in top.stack and not _follows(top.stack[at])
        ]
        if not known:
            return
        text = f"{_frame_name(top)}{' '.join(known)}{_rest(st)}"
        line = self._lines[-1]
        width = -(-max(len(line) + 5, 40) // 8) * 8 - len(line) - 2
        self._lines[-1] = f"{line}{' ' * width}; {text}"

    def _remember(self, st: State) -> None:
        self._frame = st.top
        self._stack = st.top.stack.copy()


def _used(step: Step) -> list[int]:
    kind = step.kind
    if kind in _CALLS or kind is Kind.LEGACY:
        return [0]
    found = set()
    if kind in _DST or kind in _BOTH or kind in _WITH_REG:
        found.add(int(step.dst))
    if kind in _BOTH or (kind in _WITH_REG and step.with_reg):
        found.add(int(step.src))
    if kind is Kind.ATOMIC and step.name == "cmpxchg":
        found.add(0)
    return sorted(found)


def _state(st: State, number: int = -1) -> str:
    """Everything that is known in a frame, with a space in front (print_verifier_state)."""
    frame = st.frames[number]
    known = [
        f"R{n}={show_register(reg, frame.number)}"
        for n, reg in enumerate(frame.regs)
        if reg.kind != UNINIT
    ]
    known += [
        f"fp{at * 8}={show_slot(slot, frame.number)}"
        for at, slot in sorted(frame.stack.items(), reverse=True)
        if not _follows(slot)
    ]
    return f" {_frame_name(frame)}{' '.join(known)}{_rest(st)}"


def _frame_name(frame: FuncState) -> str:
    return f"frame{frame.number}: " if frame.number else ""


def _rest(st: State) -> str:
    ids = sorted([*(held.id for held in st.refs), *(section.id for section in st.irqs)])
    held = f" refs={','.join(map(str, ids))}" if ids else ""
    return f"{held}{' cb' if st.top.callback else ''}"


def instruction(spec: ProgramSpec, step: Step) -> str:
    """One instruction as text, with the names of what it refers to."""
    insns, slot = spec.insns, step.slot
    following = insns[slot + 1] if step.kind is Kind.LDDW else None
    try:
        return format_insn(
            insns[slot], following, ref=spec.refs.get(slot), helper_name=_helper, slot=slot
        )
    except InsnError as error:
        return f"({error.message})"


def _helper(number: int) -> str | None:
    row = HELPER_BY_NUMBER.get(number)
    return None if row is None else row.name
