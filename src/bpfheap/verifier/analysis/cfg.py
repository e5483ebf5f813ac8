"""The control flow graph of a program: one Step per instruction, and what holds on every path.

Sources: check_subprogs, check_cfg and the checks of check_alu_op that need no state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from mypy_extensions import i64

from bpfheap.isa import OPS, ControlFlow, Insn, Kind, Op, check_structure
from bpfheap.platform.calls import HELPER_BY_NUMBER, Call, Ret
from bpfheap.platform.kfuncs import kfunc_row
from bpfheap.spec import ProgramSpec, RefKind, SubprogSpec
from bpfheap.verifier import hints
from bpfheap.verifier.analysis.exceptions import exception_callback
from bpfheap.verifier.domain.arith import ALU_CODE
from bpfheap.verifier.domain.refine import JUMP_CODE
from bpfheap.verifier.domain.scalar import const, constant
from bpfheap.verifier.domain.word import shl
from bpfheap.verifier.facts import CallFacts
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import FP, MAX_FRAMES, STACK_SIZE, Reg, State, number

# Kinds of instructions, as numbers that compiled code compares fast.
OTHER: Final = 0
ALU: Final = 1
MOV: Final = 2
JCOND: Final = 3
JA: Final = 4
LOAD: Final = 5
STORE_REG: Final = 6
STORE_IMM: Final = 7
LDDW: Final = 8
ATOMIC: Final = 9
EXIT: Final = 10
CALL_LOCAL: Final = 11
CALL: Final = 12
LEGACY: Final = 13
NEG: Final = 14
END: Final = 15
CALL_REG: Final = 16
MAY_GOTO: Final = 17
CAST: Final = 18

# Loops that the kernel drives. Every state is stored where an iteration begins.
NO_LOOP: Final = 0
CALLBACK_LOOP: Final = 1
ITERATOR_LOOP: Final = 2
MAY_GOTO_LOOP: Final = 3

#: Calls that come back behind themselves.
CALLS = frozenset({Kind.CALL_HELPER, Kind.CALL_KFUNC, Kind.CALL_LOCAL})

#: A pointer of which the kind does not matter to an access (Step.through).
PLAIN: Final = 1

TAGS: dict[Kind, int] = {
    Kind.ALU: ALU, Kind.MOV: MOV, Kind.JCOND: JCOND, Kind.JA: JA, Kind.LOAD: LOAD,
    Kind.STORE_REG: STORE_REG, Kind.STORE_IMM: STORE_IMM, Kind.LDDW: LDDW, Kind.ATOMIC: ATOMIC,
    Kind.EXIT: EXIT, Kind.CALL_LOCAL: CALL_LOCAL, Kind.CALL_HELPER: CALL, Kind.CALL_KFUNC: CALL,
    Kind.LEGACY: LEGACY, Kind.NEG: NEG, Kind.END: END, Kind.CALL_REG: CALL_REG,
    Kind.MAY_GOTO: MAY_GOTO, Kind.CAST: CAST,
}  # fmt: skip

#: round_up_stack_depth, for programs that are compiled.
_STACK_UNIT = 16
#: BPF_PRIV_STACK_MIN_SIZE.
_PRIVATE_STACK = 64
#: In check_max_stack_depth_subprog: 33 programs in a row shall have 8 KiB of stack.
_STACK_BEFORE_TAIL_CALL = 256

_SHIFTS = frozenset({"lsh", "rsh", "arsh"})
_DIVISIONS = frozenset({"div", "mod", "sdiv", "smod"})
_JUMPS = frozenset({ControlFlow.JUMP, ControlFlow.BRANCH})
# Constants of their own, since to look a member up in its enum takes compiled code long.
_CALL_HELPER: Final = Kind.CALL_HELPER
_TO_FUNC: Final = RefKind.FUNC
_TO_KFUNC: Final = RefKind.KFUNC
#: What Linux takes for jumps when it weighs whether to store a state.
_COUNTED = frozenset({Kind.CALL_HELPER, Kind.CALL_KFUNC, Kind.CALL_REG})
_WRITES_DST = frozenset({
    Kind.ALU, Kind.MOV, Kind.CAST, Kind.NEG, Kind.END, Kind.LDDW, Kind.LOAD, Kind.LEGACY,
})  # fmt: skip


class _Shape:
    """What all instructions of one row of isa/ops.py have in common, as Step has it."""

    __slots__ = (
        "alters", "atomic", "calls", "code", "counts", "ends", "falls", "jumps", "kind", "leads",
        "name", "op", "size", "slots", "sx", "tag", "width", "with_reg", "writes_dst",
        "writes_other",
    )  # fmt: skip

    def __init__(self, op: Op) -> None:
        self.op = op
        self.kind = op.kind
        self.name = op.name
        self.tag: i64 = TAGS.get(op.kind, OTHER)
        self.code: i64 = JUMP_CODE[op.name] if self.tag == JCOND else ALU_CODE.get(op.name, -1)
        self.width: i64 = op.width
        self.size: i64 = op.size
        self.sx: i64 = op.sx
        self.atomic = op.atomic
        self.slots: i64 = op.slots
        self.with_reg = op.reg
        self.jumps = op.flow in _JUMPS
        self.counts = op.flow is not ControlFlow.NEXT or op.kind in _COUNTED
        self.leads = op.distance is not None
        self.calls = op.flow is ControlFlow.CALL
        self.ends = op.flow is ControlFlow.END
        self.falls = op.flow is not ControlFlow.JUMP and not self.ends
        self.writes_dst = op.kind in _WRITES_DST
        self.alters = self.writes_dst and op.kind is not Kind.LEGACY
        self.writes_other = op.kind is Kind.ATOMIC and op.fetch


#: By the id of the row: its hash would be that of all its fields.
_SHAPES: dict[int, _Shape] = {id(op): _Shape(op) for op in OPS}


class Step:
    """One instruction. What is not listed is as in its row of isa/ops.py.

    `slot`, `next`: where it stands, and where the instruction behind it does.
    `tag`: its kind as one of the numbers above; OTHER if it is wrong, CALL if it calls a function
    that is walked apart.
    `jumps`: is it a jump?
    `counts`: does Linux take it for one when it weighs whether to store a state?
    `code`: its operation or condition as a number, -1 if it has none.
    `operand`: its immediate as a register.
    `alters`: the register that it changes, as a bit, if it does nothing else; 0 for none.
    `row`: the helper or kfunc that it calls, None if that is unknown, or if it is no such call.
    `target`: the slot that it jumps to or calls, -1 if none.
    `after`: the slots that may run next in the same function.
    `enters`: the slot of the function that it calls or names, -1 if none.
    `join`: may paths meet here?
    `loop`: CALLBACK_LOOP, ITERATOR_LOOP or MAY_GOTO_LOOP if iterations begin here, else NO_LOOP.
    `through`: the kind of pointer that an access has gone through so far (insn_aux_data.ptr_type):
    0 for none, PLAIN, or what rewrites.py says.
    `seen`: has a path come by?
    `pointers`: which operands were pointers, as facts.py has it.
    `called`: what the call was called with, as facts.py has it.
    `wrong`: why it is refused wherever it is walked, None if it is not.
    """

    __slots__ = (
        "after", "alters", "atomic", "called", "code", "counts", "dst", "enters", "imm", "join",
        "jumps", "kind", "loop", "name", "next", "off", "op", "operand", "pointers", "row", "seen",
        "shape", "size", "slot", "src", "sx", "tag", "target", "through", "width", "with_reg",
        "wrong",
    )  # fmt: skip

    def __init__(self, slot: int, insn: Insn, op: Op) -> None:
        shape = _SHAPES[id(op)]
        self.slot: i64 = slot
        self.shape = shape
        self.op = op
        self.kind = shape.kind
        self.tag = shape.tag
        self.jumps = shape.jumps
        self.counts = shape.counts
        self.name = shape.name
        self.code = shape.code
        self.width = shape.width
        self.size = shape.size
        self.sx = shape.sx
        self.atomic = shape.atomic
        self.with_reg = shape.with_reg
        self.dst: i64 = insn.dst
        self.src: i64 = insn.src
        self.off: i64 = insn.off
        self.imm = insn.imm
        self.operand: Reg = number(const(insn.imm))
        self.alters: i64 = shl(1, insn.dst) if shape.alters else 0
        self.next: i64 = self.slot + shape.slots
        self.target: i64 = -1
        self.row: Call | None = None
        self.join = False
        self.loop: i64 = NO_LOOP
        self.enters: i64 = -1
        self.through: i64 = 0
        self.seen = False
        self.pointers: i64 = 0
        self.called: CallFacts | None = None
        self.wrong: Reject | None = None
        if shape.leads:
            self.target = op.target(insn, slot)
        if shape.calls:
            self.enters = self.target
        self.after: tuple[int, ...]
        if shape.falls:
            self.after = (self.next, self.target) if shape.jumps else (self.next,)
        else:
            self.after = () if shape.ends else (self.target,)

    @property
    def writes(self) -> int | None:
        """The register that it writes, besides those of a call."""
        if self.shape.writes_dst:
            return self.dst
        if self.shape.writes_other:
            return 0 if self.name == "cmpxchg" else self.src
        return None


class Cfg:
    """The control flow graph of a program (check_cfg).

    `steps`: by slot, None at the second half of a wide instruction.
    `subprogs`: by number, 0 the entry.
    `starts`: the number of a subprogram by the slot at which it starts.
    `call_order`: the numbers of subprograms, callees before callers.
    `exception_cb`: that of the one that is called when the program throws, 0 for none.
    """

    def __init__(self, spec: ProgramSpec) -> None:
        """Raises InsnError for what is no program, Reject for what can never be right."""
        ops = check_structure(spec.insns, frozenset(s for s, r in spec.refs.items()
                                              if r.kind is not RefKind.FUNC))  # fmt: skip
        insns, refs = spec.insns, spec.refs
        self.steps: list[Step | None] = [None] * len(insns)
        for slot, op in ops.items():
            step = Step(slot, insns[slot], op)
            ref = refs.get(slot)
            if step.tag == LDDW and ref is None:
                high = insns[slot + 1].imm & 0xFFFFFFFF
                step.operand = number(constant(high << 32 | insns[slot].imm & 0xFFFFFFFF))
            if step.kind is _CALL_HELPER:
                step.row = HELPER_BY_NUMBER.get(step.imm)
            elif ref is not None and ref.kind is _TO_FUNC:
                step.enters = ref.target
            elif ref is not None and ref.kind is _TO_KFUNC:
                step.row = kfunc_row(ref.name)
            row = step.row
            # Iterations come back to the call.
            if row is not None and row.callback:
                step.loop = CALLBACK_LOOP
            elif row is not None and row.ret is Ret.ELEMENT_OR_NULL:
                step.loop = ITERATOR_LOOP
            elif step.tag == MAY_GOTO:
                step.loop = MAY_GOTO_LOOP
            step.join = step.loop != NO_LOOP
            step.wrong = _wrong(step)
            if step.wrong is not None:
                step.tag = OTHER
            self.steps[slot] = step
        self.subprogs = _subprogs(spec, self)
        self.starts = {sub.start: i for i, sub in enumerate(self.subprogs)}
        self.exception_cb = self.starts[exception_callback(spec)]
        #: Does it name functions that are called apart from it? Then a function may name itself.
        self.calls_later = any(step.row is not None and step.row.later for step in self)
        self.call_order = _call_order(self)
        _check_frames(self)
        self._check_reachable()
        for step in self:
            if step.jumps:
                self.at(step.target).join = True
                # visit_insn: conditions are prune points themselves.
                step.join = step.join or step.tag == JCOND
            # visit_func_call_insn: what follows any call is one, and where a function is called or
            # its address taken, that place and the function are, too.
            if step.kind in CALLS:
                self.at(step.next).join = True
            if step.enters >= 0:
                step.join = True
                self.at(step.next).join = True
                self.at(step.enters).join = True
            if step.tag == CALL_LOCAL and self.is_global(self.starts[step.target]):
                step.tag = CALL

    def __iter__(self) -> Iterator[Step]:
        return (step for step in self.steps if step is not None)

    def at(self, slot: int) -> Step:
        step = self.steps[slot]
        assert step is not None, f"slot {slot} is the second half of a wide instruction"
        return step

    def within(self, sub: SubprogSpec) -> Iterator[Step]:
        """The instructions of one subprogram."""
        return (step for step in self.steps[sub.start : sub.end] if step is not None)

    def constant_before(self, step: Step, n: int) -> int | None:
        """The constant that register `n` was last set to before `step`, on every path that comes
        there, as far as that is seen without walking: nothing between them is jumped to."""
        for slot in range(step.slot - 1, -1, -1):
            before = self.steps[slot]
            if before is None:
                continue
            if step.join:
                return None
            if before.writes == n:
                return before.imm if before.tag == MOV and not before.with_reg else None
            step = before
        return None

    def is_main(self, number: int) -> bool:
        """Is what the subprogram returns the program's result?"""
        return number in (0, self.exception_cb)

    def is_global(self, number: int) -> bool:
        """Is the subprogram walked apart from its callers?"""
        sub = self.subprogs[number]
        return number > 0 and sub.is_global and sub.func_id > 0

    def _check_reachable(self) -> None:
        """check_cfg: each instruction can be reached."""
        seen: set[int] = set()
        todo = [0, self.subprogs[self.exception_cb].start]
        while todo:
            slot = todo.pop()
            if slot in seen:
                continue
            seen.add(slot)
            step = self.at(slot)
            todo += step.after
            if step.enters in self.starts:
                todo.append(step.enters)
        for step in self:
            if step.slot not in seen:
                raise Reject(
                    f"unreachable insn {step.slot}",
                    insn=step.slot,
                    hint="no path leads here: remove it",
                )


def _wrong(step: Step) -> Reject | None:
    """What is wrong whatever the state, once the step is walked."""
    if step.writes == FP:
        return Reject(
            "frame pointer is read only", register=FP, insn=step.slot, hint="copy r10 first"
        )
    if step.tag == ALU and not step.with_reg:
        if step.name in _DIVISIONS and step.imm == 0:
            return Reject(
                "div by zero", register=step.dst, insn=step.slot, hint="divide by another"
            )
        if step.name in _SHIFTS and not 0 <= step.imm < step.width:
            return Reject(
                f"invalid shift {step.imm}",
                register=step.dst,
                insn=step.slot,
                hint=f"shift by 0 to {step.width - 1}",
            )
    return None


def _subprogs(spec: ProgramSpec, cfg: Cfg) -> tuple[SubprogSpec, ...]:
    """Those of the spec, or, where it names not all that are called, by the calls."""
    named = {sub.start: sub for sub in spec.subprogs}
    starts = {0, *named}
    starts |= {step.target for step in cfg if step.tag == CALL_LOCAL}
    starts |= {
        r.target
        for r in spec.refs.values()
        if r.kind is RefKind.FUNC and 0 <= r.target < len(spec.insns)
        and cfg.steps[r.target] is not None
    }  # fmt: skip
    ordered = sorted(starts)
    bounds = [*ordered, len(spec.insns)]
    return tuple(
        SubprogSpec(
            named[start].name if start in named else f"func#{i}",
            start,
            bounds[i + 1],
            named[start].func_id if start in named else 0,
            named[start].is_global if start in named else False,
        )
        for i, start in enumerate(ordered)
    )


def _call_order(cfg: Cfg) -> list[int]:
    """Subprograms, callees before callers. Raises Reject for recursion (check_max_stack_depth)."""
    calls: list[list[Step]] = [
        [step for step in cfg.within(sub) if step.enters in cfg.starts] for sub in cfg.subprogs
    ]
    order: list[int] = []
    done: set[int] = set()
    for root in range(len(cfg.subprogs)):
        if root in done:
            continue
        # (subprogram, its calls yet to be followed); the path is what is on the stack.
        path = [(root, iter(calls[root]))]
        on_path = {root}
        while path:
            at, rest = path[-1]
            call = next(rest, None)
            if call is None:
                path.pop()
                on_path.discard(at)
                done.add(at)
                order.append(at)
                continue
            callee = cfg.starts[call.enters]
            if callee in on_path and cfg.calls_later and call.tag != CALL_LOCAL:
                continue
            if callee in on_path:
                around = [number for number, _ in path[[n for n, _ in path].index(callee) :]]
                raise Reject(
                    _too_deep(any(cfg.is_global(number) for number in around)),
                    detail=f"recursive call from {cfg.subprogs[at].name}() to "
                    f"{cfg.subprogs[callee].name}()",
                    insn=call.slot,
                    hint="use a bounded loop",
                )
            if callee not in done:
                path.append((callee, iter(calls[callee])))
                on_path.add(callee)
    return order


def _too_deep(apart: bool) -> str:
    """What Linux says of more frames than there may be: as it walks into the last one, or, where
    functions on the way are walked `apart`, when all walks are done (check_max_stack_depth)."""
    if apart:
        return f"the call stack of {MAX_FRAMES} frames is too deep !"
    return f"the call stack of {MAX_FRAMES + 1} frames is too deep"


def _check_frames(cfg: Cfg) -> None:
    """No chain of calls is longer than the kernel allows: first within a walk, which does not enter
    global functions (setup_func_entry), then through them, too (check_max_stack_depth)."""
    for through_global in (False, True):
        frames = [1] * len(cfg.subprogs)
        for at in cfg.call_order:
            for step in cfg.within(cfg.subprogs[at]):
                callee = cfg.starts.get(step.enters)
                if callee is None or (cfg.is_global(callee) and not through_global):
                    continue
                if cfg.calls_later and step.tag != CALL_LOCAL:
                    continue
                frames[at] = max(frames[at], 1 + frames[callee])
                if frames[at] > MAX_FRAMES:
                    raise Reject(
                        _too_deep(through_global),
                        insn=step.slot,
                        hint=f"at most {MAX_FRAMES} functions may call each other",
                    )


def check_depth(st: State, slot: int) -> None:
    """May one more function be entered? Raises Reject where that was not known before."""
    if len(st.frames) >= MAX_FRAMES:
        raise Reject(
            _too_deep(apart=False),
            insn=slot,
            hint=f"at most {MAX_FRAMES} functions may call each other",
        )


def stack_chains(cfg: Cfg, depth: list[int], later: Collection[int], *, private: bool) -> None:
    """The frames that can be alive together must fit into the stack, and into half of it before a
    function that may jump to another program (check_max_stack_depth_subprog).

    `depth` is by subprogram, in bytes. Frames that are `private` where they are large do not
    count. Functions that are called `later` begin with a stack of their own. Raises Reject.
    """
    private = private and not any(_is_tail_call(step) for step in cfg)
    # Deepest chain above and without each subprogram, and the functions in it; callers first.
    above = [(0, 1)] * len(depth)
    reached = [False] * len(depth)
    for root in (0, cfg.exception_cb, *later):
        reached[root] = True
    for at in reversed(cfg.call_order):
        if not reached[at]:
            continue
        before, frames = above[at]
        steps = list(cfg.within(cfg.subprogs[at]))
        jumps = any(_is_tail_call(step) for step in steps)
        if at and jumps and before >= _STACK_BEFORE_TAIL_CALL:
            raise Reject(
                f"tail_calls are not allowed when call stack of previous frames is {before} bytes. "
                "Too large",
                insn=cfg.subprogs[at].start,
                hint=f"{_STACK_BEFORE_TAIL_CALL} bytes are too many before a function with "
                f"bpf_tail_call; {hints.STACK}",
            )
        rounded = -(-depth[at] // _STACK_UNIT) * _STACK_UNIT
        total = before if private and rounded >= _PRIVATE_STACK else before + rounded
        if total > STACK_SIZE:
            raise Reject(
                f"combined stack size of {frames} calls is {total}. Too large",
                insn=0,
                hint=f"the stack has {STACK_SIZE} bytes for all functions together; {hints.STACK}",
            )
        for step in steps:
            callee = cfg.starts.get(step.enters)
            if callee in later and step.kind is not Kind.CALL_LOCAL:
                continue
            if callee is not None:
                reached[callee] = True
                above[callee] = max(above[callee], (total, frames + 1))


def _is_tail_call(step: Step) -> bool:
    return step.row is not None and step.row.jumps
