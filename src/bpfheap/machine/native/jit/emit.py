"""Third pass: LLVM IR, as text; functions, in an order in which callees come before callers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from bpfheap.isa import ControlFlow, Kind
from bpfheap.machine.native.jit import blocks
from bpfheap.machine.native.jit.blocks import Code, Function, Ins
from bpfheap.machine.native.jit.body import Body, Symbols, function_name
from bpfheap.machine.native.jit.frames import STACK, StackFrame
from bpfheap.machine.native.jit.instructions import INSTRUCTIONS, call_local, ja
from bpfheap.machine.native.jit.source import CannotCompile, Source
from bpfheap.verifier.facts import Facts

_FP: Final = 10
#: Functions of so many instructions are inlined wherever they are called, and, in a program of so
#: many, those that are called once: LLVM's time grows faster than a function.
_SMALL: Final = 40
_WHOLE: Final = 1_500


def emit(
    source: Source,
    code: Code,
    frames: Mapping[int, StackFrame],
    calls: Callable[[Body, Ins], None],
    *,
    debug: bool = False,
) -> tuple[str, dict[str, str]]:
    """The module's text, and the declarations of the symbols that it leaves open. `calls` writes
    calls of helpers and kfuncs. With `debug`, instructions tell their source lines.

    Raises CannotCompile."""
    symbols = Symbols()
    metadata = _Debug(source) if debug else None
    texts: list[str] = []
    stops: dict[int, bool] = {}
    references = _references(code, source)
    for start in _callees_first(code, source.facts):
        body = Body(source, frames[start], symbols, stops)
        function = code.functions[start]
        small = sum(len(block.body) for block in function.blocks.values()) <= _SMALL
        once = references[start] == 1 and len(source.insns) <= _WHOLE
        inlined = start != 0 and (small or once)
        texts.append(_function(body, function, calls, metadata, inlined=inlined))
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


def _callees_first(code: Code, facts: Facts | None) -> list[int]:
    order: list[int] = []
    done: set[int] = set()

    def visit(start: int, above: frozenset[int]) -> None:
        if start in above:
            raise CannotCompile(f"the function at slot {start} calls itself")
        if start in done:
            return
        for ins in code.functions[start]:
            if ins.op.kind is Kind.CALL_LOCAL:
                visit(blocks.target(ins), above | {start})
            elif facts is not None and facts.call(ins.slot).callback in code.functions:
                visit(facts.call(ins.slot).callback, above | {start})
        done.add(start)
        order.append(start)

    for start in code.functions:
        visit(start, frozenset())
    return order


class _Debug:
    """Line numbers: the least that LLVM wants of them."""

    def __init__(self, source: Source) -> None:
        self._source = source
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
        if found is not None:
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
            "!llvm.module.flags = !{!4}",
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
    for block in function.blocks.values():
        body.label(f"b{block.start}")
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
            body.goto(f"b{after}")
    given = "ptr noalias %run, " + ", ".join(f"i64 %a{n}" for n in range(1, 3 if entry else 6))
    linkage = "" if entry else "internal "
    dbg = "" if metadata is None else f" !dbg !{scope}"
    lines = body.finish()
    signature = f"{linkage}i64 @{function_name(start)}({given})"
    head = [f"define {signature} #{int(inlined)}{dbg} {{", "begin:"]
    for n in range(_FP + 1):
        head.append(f"  %r{n} = alloca i64")
        if body.facts is not None:
            head.append(f"  %p{n} = alloca ptr")
    for number, (low, high) in enumerate(body.frame.regions):
        head.append(f"  %stack{number} = alloca [{high - low} x i8], align 16")
    head += body.variables
    for number, (low, high) in enumerate(body.frame.regions):
        head.append(
            f"  call void @llvm.memset.p0.i64(ptr align 16 %stack{number}, i8 0, "
            f"i64 {high - low}, i1 false)"
        )
    for n in range(1, 3 if entry else 6):
        head.append(f"  store i64 %a{n}, ptr %r{n}")
        if body.facts is not None:
            head.append(f"  %a{n}.p = inttoptr i64 %a{n} to ptr")
            head.append(f"  store ptr %a{n}.p, ptr %p{n}")
    if body.frame.whole:
        head.append(f"  %fp = getelementptr inbounds i8, ptr %stack0, i64 {STACK}")
        head.append("  %fp.i = ptrtoint ptr %fp to i64")
        head.append(f"  store i64 %fp.i, ptr %r{_FP}")
        if body.facts is not None:
            head.append(f"  store ptr %fp, ptr %p{_FP}")
    head.append(f"  br label %b{start}")
    return "\n".join([*head, *lines, "}"])
