"""Third pass: LLVM IR, as text; functions, in an order in which callees come before callers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from bpfheap.isa import ControlFlow, Kind
from bpfheap.machine.native._core import LAYOUT
from bpfheap.machine.native.jit import blocks
from bpfheap.machine.native.jit.blocks import Code, Function, Ins
from bpfheap.machine.native.jit.body import STEPS, Body, Symbols, function_name
from bpfheap.machine.native.jit.frames import STACK, StackFrame
from bpfheap.machine.native.jit.instructions import INSTRUCTIONS, call_local, ja
from bpfheap.machine.native.jit.loops import tight_loops
from bpfheap.machine.native.jit.source import CannotCompile, Source

_FP: Final = 10
#: Functions of so many instructions are inlined wherever they are called, unless there are too many
#: with those that they call, and, in a program of no more than that, those that are called once:
#: LLVM's time grows faster than a function.
_SMALL: Final = 40
_WHOLE: Final = 1_500
#: Instructions that a function of a hardened program may make, with those that it calls, until the
#: budget is asked: functions that call one another many times need no loop to run on.
_LONGEST: Final = 1 << 16


def emit(
    source: Source,
    code: Code,
    frames: Mapping[int, StackFrame],
    calls: Callable[[Body, Ins], None],
    *,
    debug: bool = False,
) -> tuple[str, dict[str, str]]:
    """The module's text, and the declarations of the symbols that it leaves open. `calls` writes
    calls of helpers and kfuncs. With `debug`, instructions tell their source lines; those
    of a hardened program, their slots.

    Raises CannotCompile."""
    symbols = Symbols()
    metadata = _Debug(source, slots=not debug) if debug or source.hardened else None
    texts: list[str] = []
    stops: dict[int, bool] = {}
    references = _references(code, source)
    order, weights = _callees_first(code, source, frames)
    for start in order:
        body = Body(source, frames[start], symbols, stops, weights, entry=start == 0)
        function = code.functions[start]
        own = sum(len(block.body) for block in function.blocks.values())
        small = own <= _SMALL and weights[start] <= _WHOLE
        once = references[start] == 1 and len(source.insns) <= _WHOLE
        inlined = start != 0 and (small or once)
        text = _function(body, function, calls, metadata, inlined=inlined)
        # The entry is where the code begins: see places.
        texts.insert(0 if start == 0 else len(texts), text)
        stops[start] = body.may_stop
    head = [
        "@nothing = private constant [8 x i8] zeroinitializer, align 8",
        *symbols.declared.values(),
    ]
    tail = [
        "attributes #0 = { nounwind }",
        "attributes #1 = { nounwind alwaysinline }",
        "!0 = !{}",
        '!1 = !{!"branch_weights", i32 2000, i32 1}',
    ]
    if metadata is not None:
        tail += metadata.text()
    return "\n".join([*head, *texts, *tail, ""]), symbols.declared


def _references(code: Code, source: Source) -> Counter[int]:
    """How often each function is called, or its address taken."""
    found: Counter[int] = Counter()
    for function in code.functions.values():
        for ins in function:
            if ins.op.kind is Kind.CALL_LOCAL:
                found[blocks.target(ins)] += 1
            elif ins.slot in source.functions:
                found[source.functions[ins.slot]] += 1
    return found


def _called_back(source: Source, frames: Mapping[int, StackFrame]) -> dict[int, int]:
    """By slot of a call, the function that it calls back."""
    if source.hardened:
        known = [item for frame in frames.values() for item in frame.calls.items()]
    else:
        known = [] if source.facts is None else list(source.facts.calls.items())
    return {slot: facts.callback for slot, facts in known}


def _callees_first(
    code: Code, source: Source, frames: Mapping[int, StackFrame]
) -> tuple[list[int], dict[int, int]]:
    """And how many instructions each function has, with those that it calls."""
    back = _called_back(source, frames)
    order: list[int] = []
    weights: dict[int, int] = {}
    #: How many frames a call of a function may take, its own included.
    frames_of: dict[int, int] = {}

    def visit(start: int, above: frozenset[int]) -> int:
        if start in above:
            raise CannotCompile(f"the function at slot {start} calls itself")
        if start in frames_of:
            return frames_of[start]
        if source.hardened and len(above) == LAYOUT["BH_FRAMES"]:
            raise CannotCompile(f"the function at slot {start} may be one frame too many")
        deepest = weight = 0
        for ins in code.functions[start]:
            weight += 1
            if ins.op.kind is Kind.CALL_LOCAL:
                deepest = max(deepest, visit(blocks.target(ins), above | {start}))
                weight += weights[blocks.target(ins)]
            elif back.get(ins.slot, -1) in code.functions:
                deepest = max(deepest, visit(back[ins.slot], above | {start}))
                weight += weights[back[ins.slot]]
        if source.hardened and deepest == LAYOUT["BH_FRAMES"]:
            raise CannotCompile(f"the function at slot {start} may be one frame too many")
        if source.hardened and weight > _LONGEST:
            raise CannotCompile(f"the function at slot {start} may run on without a loop")
        weights[start] = weight
        frames_of[start] = deepest + 1
        order.append(start)
        return deepest + 1

    for start in code.functions:
        visit(start, frozenset())
    return order, weights


def _has_loops(function: Function) -> bool:
    return any(
        ins.op.flow in (ControlFlow.JUMP, ControlFlow.BRANCH) and blocks.target(ins) <= ins.slot
        for ins in function
    )


def _at(name: str, field: str) -> str:
    return f"  {name} = getelementptr i8, ptr %run, i64 {LAYOUT[field]}"


#: Where a hardened program's memory is.
_REGION: Final = (
    _at("%region.at", "bh_run.region"),
    "  %region = load ptr, ptr %region.at, align 8, !invariant.load !0",
)
#: A frame there: the frame pointer as a number and as a pointer, and what is below.
_STACK: Final = (
    _at("%sp.at", "bh_run.sp"),
    "  %sp = load i64, ptr %sp.at, align 8",
    _at("%sp.end.at", "bh_run.sp_end"),
    "  %sp.end = load i64, ptr %sp.end.at, align 8, !invariant.load !0",
    f"  %sp.below = sub i64 %sp, {STACK}",
    "  %sp.fits = icmp uge i64 %sp.below, %sp.end",
    "  br i1 %sp.fits, label %roomy, label %toodeep, !prof !1",
    "toodeep:",
    _at("%stop.at", "bh_run.stop"),
    f"  store i32 {LAYOUT['BH_TOO_DEEP']}, ptr %stop.at, align 4",
    "  ret i64 0",
    "roomy:",
    "  store i64 %sp.below, ptr %sp.at, align 8",
    "  %fp.i = add i64 %sp, 0",
    "  %fp.low = and i64 %sp, 4294967295",
    "  %fp = getelementptr i8, ptr %region, i64 %fp.low",
    f"  %stack0 = getelementptr i8, ptr %fp, i64 -{STACK}",
    f"  call void @llvm.memset.p0.i64(ptr align 16 %stack0, i8 0, i64 {STACK}, i1 false)",
)


class _Debug:
    """Line numbers: the least that LLVM wants of them. With `slots` they are those of `places`."""

    def __init__(self, source: Source, *, slots: bool) -> None:
        self._source = source
        self._slots = slots
        self._lines: list[str] = []
        self._known: dict[tuple[int, int], int] = {}
        self._next = 10
        self._line = 0

    def function(self, start: int) -> int:
        number = self._add(
            f'distinct !DISubprogram(name: "{function_name(start)}", scope: !3, file: !3, '
            "line: 1, type: !5, unit: !2, spFlags: DISPFlagDefinition)"
        )
        self._line = 0
        return number

    def at(self, slot: int, function: int) -> str:
        found = self._source.lines.get(slot)
        if self._slots:
            self._line = slot + 1
        elif found is not None:
            self._line = found.line
        key = (self._line, function)
        if key not in self._known:
            self._known[key] = self._add(f"!DILocation(line: {self._line}, scope: !{function})")
        return f", !dbg !{self._known[key]}"

    def _add(self, text: str) -> int:
        self._lines.append(f"!{self._next} = {text}")
        self._next += 1
        return self._next - 1

    def text(self) -> list[str]:
        name = self._source.file.replace("\\", "\\5C").replace('"', "\\22")
        return [
            "!llvm.dbg.cu = !{!2}",
            "!llvm.module.flags = !{!4, !6}",
            '!6 = !{i32 7, !"Dwarf Version", i32 4}',
            "!2 = distinct !DICompileUnit(language: DW_LANG_C99, file: !3, "
            "emissionKind: LineTablesOnly)",
            f'!3 = !DIFile(filename: "{name}", directory: "")',
            '!4 = !{i32 2, !"Debug Info Version", i32 3}',
            "!5 = !DISubroutineType(types: !0)",
            *self._lines,
        ]


def _function(
    body: Body,
    function: Function,
    calls: Callable[[Body, Ins], None],
    metadata: _Debug | None,
    *,
    inlined: bool,
) -> str:
    start, entry = function.start, function.start == 0
    scope = 0 if metadata is None else metadata.function(start)
    hardened = body.source.hardened
    if hardened and _has_loops(function):
        body.count_steps()
    loops = tight_loops(function, body.source, STEPS) if hardened else {}
    body.may_stop = hardened and body.frame.whole
    for block in function.blocks.values():
        body.begin(block.start, block.after, loops)
        for ins in block.body:
            if metadata is not None:
                body.at = metadata.at(ins.slot, scope)
            if ins.op.kind in (Kind.CALL_HELPER, Kind.CALL_KFUNC, Kind.CALL_REG):
                calls(body, ins)
            elif ins.op.kind is Kind.CALL_LOCAL:
                call_local(body, ins)
            elif ins.op.flow is ControlFlow.BRANCH and len(block.after) == 1:
                ja(body, ins, block.after)
            else:
                INSTRUCTIONS[ins.op.kind](body, ins, block.after)
        last = block.body[-1].op.flow if block.body else None
        if last not in (ControlFlow.END, ControlFlow.BRANCH, ControlFlow.JUMP):
            (after,) = block.after
            body.goto(body.to(after))
        body.end(block.start, loops)
    numbers = ", ".join(f"i64 %a{n}" for n in range(1, 3 if entry else 6))
    given = f"ptr noalias dereferenceable({LAYOUT['bh_run']}) %run, {numbers}"
    linkage = "" if entry else "internal "
    dbg = "" if metadata is None else f" !dbg !{scope}"
    lines = body.finish()
    signature = f"{linkage}i64 @{function_name(start)}({given})"
    head = [f"define {signature} #{int(inlined)}{dbg} {{", "begin:"]
    for n in range(_FP + 1):
        head.append(f"  %r{n} = alloca i64")
        if hardened:
            head.append(f"  %o{n} = alloca i64")
            head.append(f"  store i64 0, ptr %r{n}")
            head.append(f"  store i64 0, ptr %o{n}")
        if body.facts is not None:
            head.append(f"  %p{n} = alloca ptr")
    divided = [] if hardened and body.frame.whole else list(enumerate(body.frame.regions))
    for number, (low, high) in divided:
        head.append(f"  %stack{number} = alloca [{high - low} x i8], align 16")
    head += body.variables
    if hardened:
        head += _REGION
        if body.frame.whole:
            head += _STACK
    for number, (low, high) in divided:
        head.append(
            f"  call void @llvm.memset.p0.i64(ptr align 16 %stack{number}, i8 0, "
            f"i64 {high - low}, i1 false)"
        )
    for n in range(1, 3 if entry else 6):
        head.append(f"  store i64 %a{n}, ptr %r{n}")
        if hardened:
            head.append(f"  store i64 %a{n}, ptr %o{n}")
        if body.facts is not None:
            head.append(f"  %a{n}.p = inttoptr i64 %a{n} to ptr")
            head.append(f"  store ptr %a{n}.p, ptr %p{n}")
    if body.frame.whole and hardened:
        head.append(f"  store i64 %fp.i, ptr %r{_FP}")
        head.append(f"  store i64 %fp.i, ptr %o{_FP}")
    elif body.frame.whole:
        head.append(f"  %fp = getelementptr inbounds i8, ptr %stack0, i64 {STACK}")
        head.append("  %fp.i = ptrtoint ptr %fp to i64")
        head.append(f"  store i64 %fp.i, ptr %r{_FP}")
        if body.facts is not None:
            head.append(f"  store ptr %fp, ptr %p{_FP}")
    head.append(f"  br label %b{start}{'.again' if start in loops else ''}")
    return "\n".join([*head, *lines, "}"])
