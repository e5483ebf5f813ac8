"""Third pass, instruction by instruction: one function for each kind.

Loads and stores are plain, as C's are, but for those that acquire or release: others see them, and
theirs are seen, at calls and atomics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bpfheap.isa import Kind, Op
from bpfheap.machine.native._core import LAYOUT
from bpfheap.machine.native.jit import blocks
from bpfheap.machine.native.jit.blocks import Ins
from bpfheap.machine.native.jit.body import Body, function_name
from bpfheap.verifier.facts import ANYWHERE, DST_POINTER, NULL_OR_OBJECT, SRC_POINTER, UNGUARDED

_M64: Final = (1 << 64) - 1
#: A page that no pointer leads into, but NULL and what is added to it.
_FIRST_PAGE: Final = 4096

_BINARY: Final = {
    "add": "add", "sub": "sub", "mul": "mul", "or": "or", "and": "and", "xor": "xor",
    "lsh": "shl", "rsh": "lshr", "arsh": "ashr",
}  # fmt: skip
_CONDITIONS: Final = {
    "jeq": "eq", "jne": "ne", "jgt": "ugt", "jge": "uge", "jlt": "ult", "jle": "ule",
    "jsgt": "sgt", "jsge": "sge", "jslt": "slt", "jsle": "sle",
}  # fmt: skip

After = tuple[int, ...]


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


def _alu(body: Body, ins: Ins, after: After) -> None:
    op, insn = ins.op, ins.insn
    if op.width == 64 and op.name in ("add", "sub"):
        known = body.frame.offsets.get((ins.slot, insn.dst))
        # The address is worked out where it is used.
        if known is not None and not op.reg and not body.frame.whole:
            return
    which = 0
    if body.facts is not None and op.width == 64 and op.name in ("add", "sub"):
        which = body.facts.pointers[ins.slot]
    if which == DST_POINTER or (which == SRC_POINTER and op.name == "add"):
        _move(body, ins, which)
        return
    a, b = _first(body, ins), _operand(body, ins)
    origin = _origin(body, ins) if body.source.hardened else None
    if op.name in ("lsh", "rsh", "arsh") and op.reg:
        b = body.let(f"and i{op.width} {b}, {op.width - 1}")
    elif op.name in ("lsh", "rsh", "arsh"):
        b = str(insn.imm & (op.width - 1))
    if op.name in _BINARY:
        value = body.let(f"{_BINARY[op.name]} i{op.width} {a}, {b}")
    else:
        value = _divide(body, op, a, b)
    if which & (DST_POINTER | SRC_POINTER):
        # An address on some paths, or made of either operand.
        body.set_any(insn.dst, value)
    elif origin is not None:
        body.set(insn.dst, value, origin=origin)
    else:
        _result(body, ins, value)


def _origin(body: Body, ins: Ins) -> str | None:
    """What the result was made of by adding a distance. Where the verifier knows better than the
    code, it may be wrong: then nothing is where that leads."""
    op, insn, facts = ins.op, ins.insn, body.source.facts
    if op.width != 64 or op.name not in ("add", "sub"):
        return None
    which = 0 if facts is None else facts.pointers[ins.slot]
    if which == DST_POINTER or not op.reg:
        return body.origin(insn.dst)
    return body.origin(insn.src) if which == SRC_POINTER and op.name == "add" else None


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


def _cast(body: Body, ins: Ins, after: After) -> None:
    """Of a program that names no arena, whose addresses are numbers."""
    body.set(ins.insn.dst, body.get(ins.insn.src))


def _mov(body: Body, ins: Ins, after: After) -> None:
    op, insn = ins.op, ins.insn
    if not op.reg:
        number = insn.imm & _M64 if op.width == 64 else insn.imm & 0xFFFFFFFF
        body.set(insn.dst, str(number), "null" if not number else None)
        return
    if op.width == 64 and not op.sx:
        if not body.frame.whole and (ins.slot, insn.src) in body.frame.offsets:
            return
        if body.source.hardened:
            body.set(insn.dst, body.get(insn.src), origin=body.origin(insn.src))
        elif body.facts is None:
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


def _neg(body: Body, ins: Ins, after: After) -> None:
    _result(body, ins, body.let(f"sub i{ins.op.width} 0, {_first(body, ins)}"))


def _end(body: Body, ins: Ins, after: After) -> None:
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
    if to <= ins.slot and body.source.hardened:
        body.step(ins.slot + 1 - to)
    elif to <= ins.slot and body.source.counted:
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


def ja(body: Body, ins: Ins, after: After) -> None:
    (to,) = after
    _counted(body, ins, to)
    body.goto(body.to(to))


def _jump_if(body: Body, ins: Ins, condition: str, after: After) -> None:
    on, to = after
    if body.source.counted and to <= ins.slot:
        back = body.name("back")
        body.branch(condition, back, body.to(on))
        body.label(back)
        _counted(body, ins, to)
        body.goto(body.to(to))
    else:
        body.branch(condition, body.to(to), body.to(on))


def _jcond(body: Body, ins: Ins, after: After) -> None:
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


def _may_goto(body: Body, ins: Ins, after: After) -> None:
    on, out = after
    # One counter for all of a function.
    body.goes = body.goes or body.variable("i32", "0")
    goes = body.let(f"load i32, ptr {body.goes}")
    more, look, enough = body.name("more"), body.name("look"), body.name("enough")
    body.branch(body.let(f"icmp eq i32 {goes}, {LAYOUT['BH_LOOPS']}"), enough, more)
    body.label(more)
    body.do(f"store i32 {body.let(f'add i32 {goes}, 1')}, ptr {body.goes}")
    low = body.let(f"and i32 {goes}, {_MAY_GOTO_SLICE - 1}")
    body.branch(body.let(f"icmp eq i32 {low}, {_MAY_GOTO_SLICE - 1}"), look, body.to(on))
    body.label(look)
    body.count(str(_MAY_GOTO_SLICE))
    body.goto(body.to(on))
    body.label(enough)
    _counted(body, ins, out)
    body.goto(body.to(out))


def _exit(body: Body, ins: Ins, after: After) -> None:
    body.leave(body.entry)
    body.do(f"ret i64 {body.get(0)}")


def _legacy(body: Body, ins: Ins, after: After) -> None:
    """Where the packet ends before, so does the function, and gives 0 (bpf_gen_ld_abs)."""
    op, insn = ins.op, ins.insn
    at = str(insn.imm)
    if op.name == "ldind":
        index = body.let(f"trunc i64 {body.get(insn.src)} to i32")
        at = body.let(f"add i32 {index}, {insn.imm}")
    body.do(f"store i32 {ins.slot}, ptr {body.field('%run', 'bh_run.slot')}")
    found = body.call("bh_packet_load", "i64", "ptr %run", f"i32 {at}", f"i32 {op.size}")
    body.stop_if_stopped()
    there, short = body.name("there"), body.name("short")
    body.branch(body.let(f"icmp sge i64 {found}, 0"), there, short, likely=True)
    body.label(short)
    body.leave(body.entry)
    body.do("ret i64 0")
    body.label(there)
    body.set(0, found)


def _lddw(body: Body, ins: Ins, after: After) -> None:
    source, slot, dst = body.source, ins.slot, ins.insn.dst
    if slot in source.maps:
        shape = source.shapes[source.maps[slot]]
        body.set_pointer(dst, body.symbols.map(shape))
    elif slot in source.values:
        name, offset = source.values[slot]
        base = body.memory_of(source.shapes[name])
        body.set_pointer(dst, body.let(f"getelementptr i8, ptr {base}, i64 {offset}"))
    elif slot in source.variables:
        body.set_pointer(dst, body.symbols.memory(*source.variables[slot]))
    elif slot in source.functions:
        body.set(dst, str(source.functions[slot]))
    else:
        low, high = source.insns[slot].imm & 0xFFFFFFFF, source.insns[slot + 1].imm & 0xFFFFFFFF
        body.set(dst, str(high << 32 | low), "null" if not high | low else None)


def _load(body: Body, ins: Ins, after: After) -> None:
    op, insn = ins.op, ins.insn
    if body.source.hardened:
        _load_inside(body, ins)
        return
    address = body.address(ins.slot, insn.src, insn.off)
    guard = NULL_OR_OBJECT if body.facts is None else body.facts.guarded[ins.slot]
    if (ins.slot, insn.src) in body.frame.offsets:
        guard = UNGUARDED
    if guard:
        number = body.let(f"ptrtoint ptr {address} to i64")
    if guard == ANYWHERE and not op.atomic:
        arguments = ("ptr %run", f"i64 {number}", f"i32 {op.size}")
        value = body.call("bh_run_load", "i64", *arguments)
        if op.width < 64:
            value = body.let(f"trunc i64 {value} to i{op.width}")
    else:
        if guard:
            there = body.let(f"icmp uge i64 {number}, {_FIRST_PAGE}")
            address = body.let(f"select i1 {there}, ptr {address}, ptr @nothing")
        value = _loaded(body, op, address)
    if op.width < 64:
        value = body.let(f"{'sext' if op.sx else 'zext'} i{op.width} {value} to i64")
    body.set_any(insn.dst, value)


def _alignment(op: Op) -> int:
    """How far the address of an access is aligned."""
    return op.size if op.atomic else 1


def _loaded(body: Body, op: Op, address: str) -> str:
    t, align = f"i{op.width}", _alignment(op)
    if op.atomic:
        return body.let(f"load atomic {t}, ptr {address} acquire, align {align}")
    return body.let(f"load {t}, ptr {address}, align {align}")


def _load_inside(body: Body, ins: Ins) -> None:
    """Of a hardened program. There are zeros where NULL leads."""
    op, insn, facts = ins.op, ins.insn, body.source.facts
    anywhere = facts is not None and facts.guarded[ins.slot] == ANYWHERE
    frame, place = body.frame, (ins.slot, insn.src)
    if anywhere and not op.atomic and place not in frame.offsets and place not in frame.outer:
        number = body.let(f"add i64 {body.argument(ins.slot, insn.src)}, {insn.off}")
        value = body.call("bh_run_load", "i64", "ptr %run", f"i64 {number}", f"i32 {op.size}")
        if op.width < 64:
            value = body.let(f"trunc i64 {value} to i{op.width}")
    else:
        address = body.address(ins.slot, insn.src, insn.off, op.size, _alignment(op))
        value = _loaded(body, op, address)
    if op.width < 64:
        value = body.let(f"{'sext' if op.sx else 'zext'} i{op.width} {value} to i64")
    body.set(insn.dst, value)


def _store(body: Body, ins: Ins, after: After) -> None:
    op, insn = ins.op, ins.insn
    if op.kind is Kind.STORE_IMM:
        value = str(insn.imm)
        if op.width < 64:
            value = str(insn.imm & ((1 << op.width) - 1))
    else:
        value = body.get(insn.src)
        if op.width < 64:
            value = body.let(f"trunc i64 {value} to i{op.width}")
    align = _alignment(op)
    address = body.address(ins.slot, insn.dst, insn.off, op.size, align)
    if op.atomic:
        body.do(f"store atomic i{op.width} {value}, ptr {address} release, align {align}")
    else:
        body.do(f"store i{op.width} {value}, ptr {address}, align {align}")


def _atomic(body: Body, ins: Ins, after: After) -> None:
    """What fetches is ordered, what does not is not, as in Linux's memory model."""
    op, insn = ins.op, ins.insn
    t, align = f"i{op.width}", _alignment(op)
    value = body.get(insn.src)
    if op.width == 32:
        value = body.let(f"trunc i64 {value} to i32")
    address = body.address(ins.slot, insn.dst, insn.off, op.size, align)
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


def call_local(body: Body, ins: Ins) -> None:
    callee = blocks.target(ins)
    body.take(body.weights[callee])
    arguments = ", ".join(f"i64 {body.get(n)}" for n in range(1, 6))
    value = body.let(f"call i64 @{function_name(callee)}(ptr %run, {arguments})")
    if body.stops[callee]:
        body.stop_if_stopped()
    body.set_any(0, value)


INSTRUCTIONS: Final[dict[Kind, Callable[[Body, Ins, After], None]]] = {
    Kind.ALU: _alu,
    Kind.MOV: _mov,
    Kind.CAST: _cast,
    Kind.NEG: _neg,
    Kind.END: _end,
    Kind.JA: ja,
    Kind.JCOND: _jcond,
    Kind.MAY_GOTO: _may_goto,
    Kind.EXIT: _exit,
    Kind.LDDW: _lddw,
    Kind.LEGACY: _legacy,
    Kind.LOAD: _load,
    Kind.STORE_IMM: _store,
    Kind.STORE_REG: _store,
    Kind.ATOMIC: _atomic,
}
