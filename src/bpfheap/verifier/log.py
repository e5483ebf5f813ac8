"""The verifier's log, in the kernel's style: source lines, instructions, what changed."""

from __future__ import annotations

from bpfheap.errors import InsnError
from bpfheap.isa import Kind, format_insn
from bpfheap.platform.calls import HELPER_BY_NUMBER
from bpfheap.spec import ProgramSpec
from bpfheap.verifier.access import type_name
from bpfheap.verifier.program import Step
from bpfheap.verifier.scalar import UNKNOWN_SCALAR, Scalar, is_unknown
from bpfheap.verifier.state import FP, MAP, MAP_VALUE, SCALAR, STACK, UNINIT, ZERO, Reg, Slot, State
from bpfheap.verifier.word import unsigned

_MARKS = {0: "m", ZERO: "0"}


def show_scalar(s: Scalar) -> str:
    """A constant, or the ranges that say something (print_scalar_ranges)."""
    if s.is_const:
        return str(s.smin)
    if is_unknown(s):
        return "scalar()"
    parts = []
    for name, low, high, limits in (
        ("s", s.smin, s.smax, (UNKNOWN_SCALAR.smin, UNKNOWN_SCALAR.smax)),
        ("u", unsigned(s.umin), s.top, (0, UNKNOWN_SCALAR.top)),
    ):
        if low != limits[0]:
            parts.append(f"{name}min={low}")
        if high != limits[1]:
            parts.append(f"{name}max={high}")
    if s.m != -1:
        parts.append(f"var_off=({unsigned(s.v):#x}; {unsigned(s.m):#x})")
    return f"scalar({','.join(parts)})"


def show_register(reg: Reg) -> str:
    """As "map_value(map=hash,off=4)"."""
    if reg.kind == UNINIT:
        return "?"
    if reg.kind == SCALAR:
        return show_scalar(reg.scalar)
    if reg.kind == STACK:
        offset = show_scalar(reg.scalar) if not reg.scalar.is_const else ""
        return f"fp{reg.off + (reg.scalar.smin if reg.scalar.is_const else 0)}{offset}"
    parts = []
    if reg.or_null and not reg.ref:
        parts.append(f"id={reg.id}")
    if reg.ref:
        parts.append(f"ref_obj_id={reg.ref}")
    if reg.kind in (MAP, MAP_VALUE):
        parts.append(f"map={reg.what.name}")
    if reg.off:
        parts.append(f"off={reg.off}")
    if not (reg.scalar.m == 0 == reg.scalar.v):
        parts.append(f"var={show_scalar(reg.scalar)}")
    return f"{type_name(reg)}({','.join(parts)})"


def show_slot(slot: Slot) -> str:
    if slot.reg is not None:
        return show_register(slot.reg)
    return "".join(_MARKS.get(kind, "r") for kind in reversed(slot.kinds))


class Log:
    """Collects lines; `text` is the whole log."""

    def __init__(self, spec: ProgramSpec) -> None:
        self._spec = spec
        self._lines: list[str] = []
        self._shown: str | None = None
        self._known: dict[str, str] = {}

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)

    def say(self, line: str) -> None:
        self._lines.append(line)

    def path(self, slot: int, jump: int, st: State) -> None:
        """A path begins at a slot; `jump` is the instruction that leads there, -1 at the start."""
        self._known = _summary(st)
        self._shown = None
        origin = f"{slot}" if jump < 0 else f"\nfrom {jump} to {slot}"
        self.say(f"{origin}: {_line(self._known)}")

    def step(self, step: Step, st: State) -> None:
        """An instruction was walked; `st` is what is known after it."""
        changed = self._instruction(step)
        after = _summary(st)
        new = {k: v for k, v in after.items() if self._known.get(k) != v}
        self._known = after
        self.say(f"{changed}  ; {_line(new)}" if new else changed)

    def refused(self, step: Step) -> None:
        """The instruction that is not allowed."""
        self.say(self._instruction(step))

    def _instruction(self, step: Step) -> str:
        source = self._spec.line_of(step.slot)
        if source is not None:
            shown = f"; {source.text.strip()} @ {source}"
            if shown != self._shown:
                self.say(shown)
                self._shown = shown
        return f"{step.slot}: {instruction(self._spec, step)}"


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


def _summary(st: State) -> dict[str, str]:
    known = {
        f"R{n}": show_register(reg)
        for n, reg in enumerate(st.regs)
        if reg.kind != UNINIT or n == FP
    }
    for at, slot in sorted(st.top.stack.items(), reverse=True):
        known[f"fp{at * 8}"] = show_slot(slot)
    if len(st.frames) > 1:
        known["frame"] = str(st.top.number)
    if st.refs:
        known["refs"] = ",".join(str(held.id) for held in st.refs)
    return known


def _line(known: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in known.items())
