"""A path as source lines: which way each condition went, with repetitions folded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from bpfheap.errors import PathStep
from bpfheap.isa import CALL_OPCODE, ControlFlow, Kind
from bpfheap.spec import ProgramSpec, RefKind, SourceLine
from bpfheap.verifier.explain.log import instruction
from bpfheap.verifier.explain.path import Path
from bpfheap.verifier.state.state import SCALAR

#: As many rows are kept at either end; a longer path loses its middle.
_FIRST, _LAST = 8, 16
#: As many instructions, from the end back, are looked at.
_SEARCHED = 8_000
#: A loop that takes more rows than this is not folded.
_MAX_PERIOD = 40
#: No more rows than this are not worth folding.
_MIN_FOLDED = 2

#: Condition -> how it is written when it holds, and when it does not.
_OPERATORS = {
    "jeq": ("==", "!="), "jne": ("!=", "=="),
    "jgt": (">", "<="), "jge": (">=", "<"), "jlt": ("<", ">="), "jle": ("<=", ">"),
    "jsgt": (">", "<="), "jsge": (">=", "<"), "jslt": ("<", ">="), "jsle": ("<=", ">"),
}  # fmt: skip
_SIGNED = frozenset({"jsgt", "jsge", "jslt", "jsle"})


def condition(path: Path, at: int) -> str:
    """What the conditional jump at `at`, which is not the last instruction, found to hold."""
    step = path.step(at)
    taken = path.taken(at)
    if step.kind is Kind.MAY_GOTO:
        return f"may_goto {'ends the loop' if taken else 'goes on'}"
    left = f"{'r' if step.width == 64 else 'w'}{step.dst}"
    if step.name == "jset":
        mask = f"{left[0]}{step.src}" if step.with_reg else f"{step.imm & 0xFFFFFFFF:#x}"
        return f"{left} & {mask} is {'not 0' if taken else '0'}"
    if not step.with_reg and step.imm == 0 and step.name in ("jeq", "jne"):
        st = path.state(at)
        if st is not None and st.regs[step.dst].kind != SCALAR:
            return f"{left} is {'NULL' if (step.name == 'jeq') == taken else 'not NULL'}"
    right = f"{left[0]}{step.src}" if step.with_reg else str(step.imm)
    if step.name in _SIGNED:
        left = f"(signed) {left}"
    elif not step.with_reg and step.imm < 0:
        right = hex(step.imm & ((1 << step.width) - 1))
    return f"{left} {_OPERATORS[step.name][0 if taken else 1]} {right}"


#: BPF_PSEUDO_CALL.
_LOCAL = 1


class _Visit(NamedTuple):
    """One visit of a source line: where in the path it begins, and the condition at its end, -1
    if there is none. Two visits with the same `key` went the same way."""

    at: int
    jump: int
    key: tuple[object, ...]


class _Repetition(NamedTuple):
    """The `rows` rows in front of it come `times` more times."""

    rows: int
    times: int


def route(path: Path) -> tuple[PathStep, ...]:
    """The rows of a path, oldest first."""
    first = max(0, len(path) - _SEARCHED)
    rows = _folded(_rows(path, first))
    shown = [_shown(path, row) for row in rows[:_FIRST]]
    rest = rows[_FIRST:]
    if len(rest) > _LAST + 1:
        shown.append(PathStep(note=f"... {len(rest) - _LAST} lines left out ..."))
        rest = rest[-_LAST:]
    shown += [_shown(path, row) for row in rest]
    before = path.skipped + first
    if before:
        shown.insert(0, PathStep(note=f"... {before} instructions before that ..."))
    return tuple(shown)


def _rows(path: Path, first: int) -> list[_Visit]:
    has_lines = bool(path.env.spec.lines)
    slots, depths = path.slots, path.depths
    found: list[_Visit] = []
    previous: tuple[object, ...] = ()
    # A long path is a loop: each slot is looked up once.
    known: dict[int, tuple[SourceLine | None, bool]] = {}
    for at in range(first, len(path)):
        slot = slots[at]
        if slot not in known:
            line = path.line(at)
            branches = path.step(at).op.flow is ControlFlow.BRANCH
            known[slot] = (line if line is not None and line.line > 0 else None, branches)
        line, branches = known[slot]
        if line is not None:
            here: tuple[object, ...] = (depths[at], line.file, line.line)
        else:
            here = previous if has_lines else (depths[at], slot)
        back = at > first and slot <= slots[at - 1]
        if here and (here != previous or back):
            found.append(_Visit(at, -1, here))
        previous = here
        if branches and at + 1 < len(path) and found:
            if found[-1].jump >= 0:
                found.append(_Visit(at, -1, here))
            key = (*here, slot, path.taken(at))
            found[-1] = found[-1]._replace(jump=at, key=key)
    return found


def _folded(rows: list[_Visit]) -> list[_Visit | _Repetition]:
    """The last row, which is the refused one, always stays."""
    keys = [row.key for row in rows[:-1]]
    out: list[_Visit | _Repetition] = []
    at = 0
    while at < len(keys):
        period, times = _repeated(keys, at)
        out += rows[at : at + period]
        if times > 1:
            out.append(_Repetition(period, times - 1))
        at += period * times
    return out + rows[-1:]


def _repeated(keys: list[tuple[object, ...]], at: int) -> tuple[int, int]:
    """How long what is repeated from `at` on is, and how often it comes; (1, 1) if nothing is."""
    for period in range(1, min(_MAX_PERIOD, (len(keys) - at) // 2) + 1):
        if keys[at] != keys[at + period]:
            continue
        block = keys[at : at + period]
        times = 1
        while keys[at + period * times : at + period * (times + 1)] == block:
            times += 1
        if period * (times - 1) > _MIN_FOLDED:
            return period, times
    return 1, 1


def _shown(path: Path, row: _Visit | _Repetition) -> PathStep:
    if isinstance(row, _Repetition):
        above = "the line above" if row.rows == 1 else f"the {row.rows} lines above"
        return PathStep(note=f"{above} {row.times} more time{'s' if row.times > 1 else ''}")
    step = path.step(row.at)
    shown = _place(path.env.spec, step.slot, path.depths[row.at])
    if shown.line is None:
        shown = replace(shown, text=instruction(path.env.spec, step))
    if row.jump >= 0:
        way = "jump taken" if path.taken(row.jump) else "jump not taken"
        shown = replace(shown, went=f"{condition(path, row.jump)} ({way})")
    return shown


def calls_to(spec: ProgramSpec, insn: int) -> tuple[PathStep, ...]:
    """The calls that lead from the program's start to an instruction, and that one: where there is
    no path, since no instruction was walked. Empty if nothing calls its function."""
    target = _function(spec, insn)
    came: dict[int, tuple[int, int]] = {0: (-1, -1)}
    todo = [0]
    for start in todo:
        for at, callee in _calls(spec, start):
            if callee not in came and 0 <= callee < len(spec.insns):
                came[callee] = (start, at)
                todo.append(callee)
    if target not in came:
        return ()
    chain = [insn]
    while target > 0:
        target, at = came[target]
        chain.append(at)
    return tuple(_place(spec, slot, depth) for depth, slot in enumerate(reversed(chain)))


def _function(spec: ProgramSpec, insn: int) -> int:
    return max((sub.start for sub in spec.subprogs if sub.start <= insn), default=0)


def _calls(spec: ProgramSpec, start: int) -> Iterator[tuple[int, int]]:
    """The functions that one calls or names: the instruction, and where they start."""
    end = min((s.start for s in spec.subprogs if s.start > start), default=len(spec.insns))
    for at in range(start, end):
        ref = spec.refs.get(at)
        if ref is not None and ref.kind is RefKind.FUNC:
            yield at, ref.target
        elif spec.insns[at].opcode == CALL_OPCODE and spec.insns[at].src == _LOCAL:
            yield at, at + 1 + spec.insns[at].imm


def _place(spec: ProgramSpec, slot: int, depth: int) -> PathStep:
    line = spec.line_of(slot)
    if line is None:
        return PathStep(insn=slot, depth=depth)
    return PathStep(line.file, line.line, slot, line.text.strip(), depth=depth)
