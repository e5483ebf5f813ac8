"""Third pass: LLVM IR, as text.

Registers are variables (alloca) that LLVM turns into values. Each is there twice, as a number and
as a pointer, and whoever writes one writes both where it may be an address: LLVM sees which memory
a pointer leads into, and what nobody reads costs nothing.

Loads and stores are plain, as C's are: others see them, and theirs are seen, at calls and atomics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from bpfheap.isa import Kind, Op
from bpfheap.machine.native._core import LAYOUT
from bpfheap.machine.native.jit import blocks
from bpfheap.machine.native.jit.blocks import Code, Function, Ins
from bpfheap.machine.native.jit.frames import STACK, Frame
from bpfheap.machine.native.jit.source import CannotCompile, MapShape, Source
from bpfheap.verifier.facts import DST_POINTER, SRC_POINTER, Facts

#: What the entry is called in the object file.
ENTRY: Final = "bpf_program"
_FP: Final = 10
_M64: Final = (1 << 64) - 1
#: A page that no pointer leads into, but NULL and what is added to it.
_FIRST_PAGE: Final = 4096
#: Functions of so many instructions are inlined wherever they are called, and, in a program of so
#: many, those that are called once: LLVM's time grows faster than a function.
_SMALL: Final = 40
_WHOLE: Final = 1_500

_BINARY: Final = {
    "add": "add", "sub": "sub", "mul": "mul", "or": "or", "and": "and", "xor": "xor",
    "lsh": "shl", "rsh": "lshr", "arsh": "ashr",
}  # fmt: skip
_CONDITIONS: Final = {
    "jeq": "eq", "jne": "ne", "jgt": "ugt", "jge": "uge", "jlt": "ult", "jle": "ule",
    "jsgt": "sgt", "jsge": "sge", "jslt": "slt", "jsle": "sle",
}  # fmt: skip


class Symbols:
    """What the code refers to and does not define, and how LLVM declares it."""

    def __init__(self) -> None:
        self.declared: dict[str, str] = {}

    def function(self, name: str, result: str, *arguments: str) -> str:
        text = f"declare {result} @{name}({', '.join(arguments)})"
        self.declared.setdefault(name, text)
        return f"@{name}"

    def memory(self, name: str, size: int) -> str:
        """Something with an address, of so many bytes."""
        quoted = f'@"{name}"'
        self.declared.setdefault(name, f"{quoted} = external global [{size} x i8], align 8")
        return quoted


class Body:
    """One function as it is written."""

    def __init__(
        self,
        source: Source,
        code: Code,
        frame: Frame,
        symbols: Symbols,
        stops: Mapping[int, bool],
    ) -> None:
        self.source = source
        #: Whether functions that were written before may leave the run in the middle.
        self.stops = stops
        self.code = code
        self.frame = frame
        self.symbols = symbols
        self.facts: Facts | None = source.facts
        self.lines: list[str] = []
        #: At the function's beginning.
        self.variables: list[str] = []
        self.may_stop = False
        self.goes = ""
        self._names = 0
        self._stop = False
        self.at = ""

    # -- text

    def name(self, stem: str = "t") -> str:
        self._names += 1
        return f"{stem}.{self._names}"

    def let(self, text: str) -> str:
        found = f"%{self.name()}"
        self.lines.append(f"  {found} = {text}{self.at}")
        return found

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}{self.at}")

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def branch(self, condition: str, yes: str, no: str, *, likely: bool = False) -> None:
        often = ", !prof !1" if likely else ""
        self.do(f"br i1 {condition}, label %{yes}, label %{no}{often}")

    def goto(self, label: str) -> None:
        self.do(f"br label %{label}")

    def variable(self, type_: str, begins: str | None = None) -> str:
        """Memory of the function's own."""
        found = f"%{self.name('v')}"
        self.variables.append(f"  {found} = alloca {type_}, align 16")
        if begins is not None:
            self.variables.append(f"  store {type_} {begins}, ptr {found}")
        return found

    def call(self, name: str, result: str, *arguments: str) -> str:
        """Of a function of the core; each argument with its type."""
        types = [argument.split(" ", 1)[0] for argument in arguments]
        function = self.symbols.function(name, result, *types)
        text = f"call {result} {function}({', '.join(arguments)})"
        if result == "void":
            self.do(text)
            return ""
        return self.let(text)

    def field(self, base: str, field: str) -> str:
        return self.let(f"getelementptr i8, ptr {base}, i64 {LAYOUT[field]}")

    def known(self, type_: str, address: str, align: int = 8) -> str:
        """A load of what stays the same as long as the program runs."""
        return self.let(f"load {type_}, ptr {address}, align {align}, !invariant.load !0")

    # -- registers

    def get(self, n: int) -> str:
        return self.let(f"load i64, ptr %r{n}")

    def pointer(self, n: int) -> str:
        if self.facts is None:
            return self.let(f"inttoptr i64 {self.get(n)} to ptr")
        return self.let(f"load ptr, ptr %p{n}")

    def set(self, n: int, value: str, pointer: str | None = None) -> None:
        """A number, which is an address, too, if `pointer` is given."""
        self.do(f"store i64 {value}, ptr %r{n}")
        if pointer is not None and self.facts is not None:
            self.do(f"store ptr {pointer}, ptr %p{n}")

    def set_pointer(self, n: int, pointer: str) -> None:
        self.set(n, self.let(f"ptrtoint ptr {pointer} to i64"), pointer)

    def set_any(self, n: int, value: str) -> None:
        """A number from elsewhere, which may be an address."""
        pointer = None
        if self.facts is not None:
            pointer = self.let(f"inttoptr i64 {value} to ptr")
        self.set(n, value, pointer)

    def stack(self, offset: int) -> str:
        """The address fp+offset."""
        # One address behind the frame may be taken, and led back into it.
        number = 0 if self.frame.whole else self.frame.region(offset)
        start = self.frame.regions[number][0]
        return self.let(f"getelementptr inbounds i8, ptr %stack{number}, i64 {offset - start}")

    def address(self, slot: int, n: int, off: int) -> str:
        """Of an access through a register."""
        known = self.frame.offsets.get((slot, n))
        if known is not None:
            return self.stack(known + off)
        base = self.pointer(n)
        return base if not off else self.let(f"getelementptr i8, ptr {base}, i64 {off}")

    def argument(self, slot: int, n: int) -> str:
        known = self.frame.offsets.get((slot, n))
        if known is None:
            return self.get(n)
        return self.let(f"ptrtoint ptr {self.stack(known)} to i64")

    # -- runs that are left in the middle

    def stop_unless(self, condition: str) -> None:
        """The run's `stop` says why."""
        on = self.name("on")
        self.branch(condition, on, "stopped", likely=True)
        self.label(on)
        self.may_stop = self._stop = True

    def stop_if_stopped(self) -> None:
        stop = self.let(f"load i32, ptr {self.field('%run', 'bh_run.stop')}")
        self.stop_unless(self.let(f"icmp eq i32 {stop}, 0"))

    def count(self, rounds: str) -> None:
        """Ask the budget for rounds of a loop."""
        left = self.call("bh_run_count", "zeroext i1", "ptr %run", f"i64 {rounds}")
        self.stop_unless(left)

    def finish(self) -> list[str]:
        if self._stop:
            self.label("stopped")
            self.do("ret i64 0")
        return self.lines


def function_name(start: int) -> str:
    return ENTRY if start == 0 else f"f{start}"


def emit(
    source: Source,
    code: Code,
    frames: Mapping[int, Frame],
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
        body = Body(source, code, frames[start], symbols, stops)
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
                _call_local(body, ins)
            elif ins.op.kind in (Kind.JCOND, Kind.MAY_GOTO) and len(block.after) == 1:
                _ja(body, ins, block.after)
            else:
                _INSTRUCTIONS[ins.op.kind](body, ins, block.after)
        last = block.body[-1].op.kind if block.body else None
        if last not in (Kind.EXIT, Kind.JCOND, Kind.MAY_GOTO, Kind.JA):
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


# -- instructions: one function for each kind

_After = tuple[int, ...]


def _operand(body: Body, ins: Ins) -> str:
    """The second operand, of the operation's width."""
    op, insn = ins.op, ins.insn
    if not op.reg:
        return str(insn.imm if op.width == 64 else insn.imm & 0xFFFFFFFF)
    value = body.get(insn.src)
    return value if op.width == 64 else body.let(f"trunc i64 {value} to i32")


def _first(body: Body, ins: Ins) -> str:
    value = body.get(ins.insn.dst)
    return value if ins.op.width == 64 else body.let(f"trunc i64 {value} to i32")


def _result(body: Body, ins: Ins, value: str) -> None:
    if ins.op.width == 32:
        value = body.let(f"zext i32 {value} to i64")
    body.set(ins.insn.dst, value)


def _alu(body: Body, ins: Ins, after: _After) -> None:
    op, insn = ins.op, ins.insn
    if op.width == 64 and op.name in ("add", "sub"):
        known = body.frame.offsets.get((ins.slot, insn.dst))
        # The address is worked out where it is used.
        if known is not None and not op.reg and not body.frame.whole:
            return
    if body.facts is not None and op.width == 64 and op.name in ("add", "sub"):
        which = body.facts.pointers[ins.slot]
        if which == DST_POINTER or (which == SRC_POINTER and op.name == "add"):
            _move(body, ins, which)
            return
    a, b = _first(body, ins), _operand(body, ins)
    if op.name in ("lsh", "rsh", "arsh") and op.reg:
        b = body.let(f"and i{op.width} {b}, {op.width - 1}")
    elif op.name in ("lsh", "rsh", "arsh"):
        b = str(insn.imm & (op.width - 1))
    if op.name in _BINARY:
        value = body.let(f"{_BINARY[op.name]} i{op.width} {a}, {b}")
    else:
        value = _divide(body, op, a, b)
    _result(body, ins, value)


def _move(body: Body, ins: Ins, which: int) -> None:
    """An address and a distance."""
    op, insn = ins.op, ins.insn
    if which == SRC_POINTER:
        base, distance = body.pointer(insn.src), body.get(insn.dst)
    else:
        base = body.pointer(insn.dst)
        distance = body.get(insn.src) if op.reg else str(insn.imm)
        if op.name == "sub":
            distance = body.let(f"sub i64 0, {distance}")
    body.set_pointer(insn.dst, body.let(f"getelementptr i8, ptr {base}, i64 {distance}"))


def _divide(body: Body, op: Op, a: str, b: str) -> str:
    """By 0 gives 0, or leaves what there was; the least number by -1 is itself (RFC 9669, 4.1)."""
    t = f"i{op.width}"
    signed = op.name in ("sdiv", "smod")
    none = body.let(f"icmp eq {t} {b}, 0")
    odd = none
    if signed:
        minus = body.let(f"icmp eq {t} {b}, -1")
        odd = body.let(f"or i1 {none}, {minus}")
    safe = body.let(f"select i1 {odd}, {t} 1, {t} {b}")
    instruction = {"div": "udiv", "mod": "urem", "sdiv": "sdiv", "smod": "srem"}[op.name]
    value = body.let(f"{instruction} {t} {a}, {safe}")
    if op.name == "sdiv":
        negative = body.let(f"sub {t} 0, {a}")
        value = body.let(f"select i1 {minus}, {t} {negative}, {t} {value}")
    other = a if op.name in ("mod", "smod") else "0"
    return body.let(f"select i1 {none}, {t} {other}, {t} {value}")


def _mov(body: Body, ins: Ins, after: _After) -> None:
    op, insn = ins.op, ins.insn
    if not op.reg:
        number = insn.imm & _M64 if op.width == 64 else insn.imm & 0xFFFFFFFF
        body.set(insn.dst, str(number), "null" if not number else None)
        return
    if op.width == 64 and not op.sx:
        if not body.frame.whole and (ins.slot, insn.src) in body.frame.offsets:
            return
        if body.facts is None:
            body.set(insn.dst, body.get(insn.src))
        else:
            body.set(insn.dst, body.get(insn.src), body.pointer(insn.src))
        return
    value = body.get(insn.src)
    bits = op.sx or op.width
    value = body.let(f"trunc i64 {value} to i{bits}")
    if op.sx:
        value = body.let(f"sext i{bits} {value} to i{op.width}")
    if op.width == 32:
        value = body.let(f"zext i32 {value} to i64")
    body.set(insn.dst, value)


def _neg(body: Body, ins: Ins, after: _After) -> None:
    _result(body, ins, body.let(f"sub i{ins.op.width} 0, {_first(body, ins)}"))


def _end(body: Body, ins: Ins, after: _After) -> None:
    op, insn = ins.op, ins.insn
    value = body.get(insn.dst)
    t = f"i{op.width}"
    if op.width < 64:
        value = body.let(f"trunc i64 {value} to {t}")
    if op.name != "le":
        value = body.let(f"call {t} @llvm.bswap.{t}({t} {value})")
    if op.width < 64:
        value = body.let(f"zext {t} {value} to i64")
    body.set(insn.dst, value)


def _counted(body: Body, ins: Ins, to: int) -> None:
    """Before a jump back."""
    if to <= ins.slot and body.source.counted:
        budget = body.field("%run", "bh_run.budget")
        left = body.let(f"load i64, ptr {budget}")
        fewer = body.let(f"sub i64 {left}, {ins.slot + 1 - to}")
        body.do(f"store i64 {fewer}, ptr {budget}")
        on, out = body.name("on"), body.name("out")
        body.branch(body.let(f"icmp sge i64 {fewer}, 0"), on, out)
        body.label(out)
        body.count("0")
        body.goto(on)
        body.label(on)


def _ja(body: Body, ins: Ins, after: _After) -> None:
    (to,) = after
    _counted(body, ins, to)
    body.goto(f"b{to}")


def _jump_if(body: Body, ins: Ins, condition: str, after: _After) -> None:
    on, to = after
    if body.source.counted and to <= ins.slot:
        back = body.name("back")
        body.branch(condition, back, f"b{on}")
        body.label(back)
        _counted(body, ins, to)
        body.goto(f"b{to}")
    else:
        body.branch(condition, f"b{to}", f"b{on}")


def _jcond(body: Body, ins: Ins, after: _After) -> None:
    op = ins.op
    a, b = _first(body, ins), _operand(body, ins)
    if op.name == "jset":
        both = body.let(f"and i{op.width} {a}, {b}")
        condition = body.let(f"icmp ne i{op.width} {both}, 0")
    else:
        condition = body.let(f"icmp {_CONDITIONS[op.name]} i{op.width} {a}, {b}")
    _jump_if(body, ins, condition, after)


#: Rounds of may_goto between two looks at the budget: a power of 2.
_MAY_GOTO_SLICE: Final = 1 << 12


def _may_goto(body: Body, ins: Ins, after: _After) -> None:
    on, out = after
    # One counter for all of a function.
    body.goes = body.goes or body.variable("i32", "0")
    goes = body.let(f"load i32, ptr {body.goes}")
    more, look, enough = body.name("more"), body.name("look"), body.name("enough")
    body.branch(body.let(f"icmp eq i32 {goes}, {LAYOUT['BH_LOOPS']}"), enough, more)
    body.label(more)
    body.do(f"store i32 {body.let(f'add i32 {goes}, 1')}, ptr {body.goes}")
    low = body.let(f"and i32 {goes}, {_MAY_GOTO_SLICE - 1}")
    body.branch(body.let(f"icmp eq i32 {low}, {_MAY_GOTO_SLICE - 1}"), look, f"b{on}")
    body.label(look)
    body.count(str(_MAY_GOTO_SLICE))
    body.goto(f"b{on}")
    body.label(enough)
    body.goto(f"b{out}")


def _exit(body: Body, ins: Ins, after: _After) -> None:
    body.do(f"ret i64 {body.get(0)}")


def _lddw(body: Body, ins: Ins, after: _After) -> None:
    source, slot, dst = body.source, ins.slot, ins.insn.dst
    if slot in source.maps:
        shape = source.shapes[source.maps[slot]]
        body.set_pointer(dst, body.symbols.memory(shape.symbol, 8))
    elif slot in source.values:
        name, offset = source.values[slot]
        base = memory_of(body, source.shapes[name])
        body.set_pointer(dst, body.let(f"getelementptr i8, ptr {base}, i64 {offset}"))
    elif slot in source.functions:
        body.set(dst, str(source.functions[slot]))
    else:
        low, high = source.insns[slot].imm & 0xFFFFFFFF, source.insns[slot + 1].imm & 0xFFFFFFFF
        body.set(dst, str(high << 32 | low), "null" if not high | low else None)


def memory_of(body: Body, shape: MapShape) -> str:
    """A map's values or buckets."""
    return body.symbols.memory(f"{shape.symbol}.memory", shape.memory)


def _load(body: Body, ins: Ins, after: _After) -> None:
    op, insn = ins.op, ins.insn
    address = body.address(ins.slot, insn.src, insn.off)
    guarded = body.facts is None or body.facts.guarded[ins.slot]
    if guarded and (ins.slot, insn.src) not in body.frame.offsets:
        number = body.let(f"ptrtoint ptr {address} to i64")
        there = body.let(f"icmp uge i64 {number}, {_FIRST_PAGE}")
        address = body.let(f"select i1 {there}, ptr {address}, ptr @nothing")
    value = body.let(f"load i{op.width}, ptr {address}, align 1")
    if op.width < 64:
        value = body.let(f"{'sext' if op.sx else 'zext'} i{op.width} {value} to i64")
    body.set_any(insn.dst, value)


def _store(body: Body, ins: Ins, after: _After) -> None:
    op, insn = ins.op, ins.insn
    if op.kind is Kind.STORE_IMM:
        value = str(insn.imm)
        if op.width < 64:
            value = str(insn.imm & ((1 << op.width) - 1))
    else:
        value = body.get(insn.src)
        if op.width < 64:
            value = body.let(f"trunc i64 {value} to i{op.width}")
    address = body.address(ins.slot, insn.dst, insn.off)
    body.do(f"store i{op.width} {value}, ptr {address}, align 1")


def _atomic(body: Body, ins: Ins, after: _After) -> None:
    """What fetches is ordered, what does not is not, as in Linux's memory model."""
    op, insn = ins.op, ins.insn
    t, align = f"i{op.width}", op.size
    value = body.get(insn.src)
    if op.width == 32:
        value = body.let(f"trunc i64 {value} to i32")
    address = body.address(ins.slot, insn.dst, insn.off)
    to = insn.src
    if op.name == "cmpxchg":
        wanted = body.get(0)
        if op.width == 32:
            wanted = body.let(f"trunc i64 {wanted} to i32")
        pair = body.let(
            f"cmpxchg ptr {address}, {t} {wanted}, {t} {value} seq_cst seq_cst, align {align}"
        )
        old = body.let(f"extractvalue {{ {t}, i1 }} {pair}, 0")
        to = 0
    else:
        order = "seq_cst" if op.fetch else "monotonic"
        old = body.let(f"atomicrmw {op.name} ptr {address}, {t} {value} {order}, align {align}")
    if not op.fetch:
        return
    if op.width == 32:
        old = body.let(f"zext i32 {old} to i64")
    body.set_any(to, old)


def _call_local(body: Body, ins: Ins) -> None:
    callee = blocks.target(ins)
    arguments = ", ".join(f"i64 {body.get(n)}" for n in range(1, 6))
    value = body.let(f"call i64 @{function_name(callee)}(ptr %run, {arguments})")
    if body.stops[callee]:
        body.stop_if_stopped()
    body.set_any(0, value)


_INSTRUCTIONS: Final[dict[Kind, Callable[[Body, Ins, _After], None]]] = {
    Kind.ALU: _alu,
    Kind.MOV: _mov,
    Kind.NEG: _neg,
    Kind.END: _end,
    Kind.JA: _ja,
    Kind.JCOND: _jcond,
    Kind.MAY_GOTO: _may_goto,
    Kind.EXIT: _exit,
    Kind.LDDW: _lddw,
    Kind.LOAD: _load,
    Kind.STORE_IMM: _store,
    Kind.STORE_REG: _store,
    Kind.ATOMIC: _atomic,
}
