"""From instructions to functions: one maker for each `Kind` of the instruction table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from bpfheap.errors import InsnError
from bpfheap.isa import Insn, Kind, Op, op_of
from bpfheap.machine import relocations
from bpfheap.machine.faults import Fault
from bpfheap.machine.model.alu import ALU, ATOMICS, BYTE_ORDER, JUMPS, move, negate
from bpfheap.machine.model.interp import STOP, Core, Handler, Registers, helper_name
from bpfheap.machine.model.playing import ModelCaller
from bpfheap.machine.model.values import U32, U64, Pointer, Unowned, Value, sign_extend
from bpfheap.machine.played.skb import AS_CLASSIC, load_classic
from bpfheap.machine.words import signed32
from bpfheap.verifier.facts import ANYWHERE

Links: TypeAlias = relocations.Links[Pointer]
_Maker = Callable[[Op, Insn, int, Links], Handler]
_ANYWHERE = bytes((ANYWHERE,))


def make(
    insns: Sequence[Insn], links: Links, guarded: bytes = b""
) -> tuple[tuple[Handler, ...], dict[int, str | int]]:
    """The functions of a well-formed program (see isa.check_structure), and the helpers and
    kfuncs that it calls, by slot: a name, or the register that holds a helper's number. `guarded`
    is `Facts.guarded`.

    Raises InsnError for an instruction that no program may use here.
    """
    code: list[Handler] = []
    calls: dict[int, str | int] = {}
    slot = 0
    while slot < len(insns):
        insn = insns[slot]
        op = op_of(insn, slot)
        if op.kind is Kind.LDDW:
            code += [_lddw(op, insn, insns[slot + 1], slot, links), _second_half]
        elif op.kind is Kind.LOAD and not op.atomic and guarded[slot : slot + 1] == _ANYWHERE:
            code.append(_probe(op, insn, slot))
        else:
            code.append(MAKERS[op.kind](op, insn, slot, links))
        if op.kind is Kind.CALL_HELPER:
            calls[slot] = helper_name(insn.imm)
        elif op.kind is Kind.CALL_REG:
            calls[slot] = insn.dst
        elif op.kind is Kind.CALL_KFUNC:
            if slot not in links.kfuncs:
                raise InsnError("a kfunc call that refers to no kfunc", insn=slot)
            calls[slot] = links.kfuncs[slot]
        slot += op.slots
    return tuple(code), calls


def _second_half(core: Core, registers: Registers) -> int:
    raise Fault("invalid-access", "a jump into the middle of an instruction")


def _operand(op: Op, insn: Insn) -> int:
    return insn.imm & (U64 if op.width == 64 else U32)


def _alu(op: Op, insn: Insn, slot: int, links: Links) -> Handler:
    d, s, k, following = insn.dst, insn.src, _operand(op, insn), slot + 1
    name, width, compute = op.name, op.width, ALU[op.width][op.name]

    def wide_reg(core: Core, registers: Registers) -> int:
        a, b = registers[d], registers[s]
        if type(a) is int and type(b) is int:
            registers[d] = compute(a, b)
        else:
            registers[d] = core.alu(name, width, d, b)
        return following

    def wide_imm(core: Core, registers: Registers) -> int:
        a = registers[d]
        registers[d] = compute(a, k) if type(a) is int else core.alu(name, width, d, k)
        return following

    def narrow_reg(core: Core, registers: Registers) -> int:
        a, b = registers[d], registers[s]
        if type(a) is int and type(b) is int:
            registers[d] = compute(a & U32, b & U32)
        else:
            registers[d] = core.alu(name, width, d, b)
        return following

    def narrow_imm(core: Core, registers: Registers) -> int:
        a = registers[d]
        registers[d] = compute(a & U32, k) if type(a) is int else core.alu(name, width, d, k)
        return following

    if width == 64:
        return wide_reg if op.reg else wide_imm
    return narrow_reg if op.reg else narrow_imm


def _mov(op: Op, insn: Insn, slot: int, links: Links) -> Handler:
    d, s, k, following = insn.dst, insn.src, _operand(op, insn), slot + 1
    width, sx, whole = op.width, op.sx, op.width == 64 and not op.sx

    def immediate(core: Core, registers: Registers) -> int:
        registers[d] = k
        return following

    def register(core: Core, registers: Registers) -> int:
        value = core.get(s)
        registers[d] = value if whole else move(core.state.number(value), width, sx)
        return following

    return register if op.reg else immediate


def _neg(op: Op, insn: Insn, slot: int, links: Links) -> Handler:
    d, width, following = insn.dst, op.width, slot + 1

    def run(core: Core, registers: Registers) -> int:
        registers[d] = negate(core.state.number(core.get(d)), width)
        return following

    return run


def _end(op: Op, insn: Insn, slot: int, links: Links) -> Handler:
    d, width, following, order = insn.dst, op.width, slot + 1, BYTE_ORDER[op.name]

    def run(core: Core, registers: Registers) -> int:
        registers[d] = order(core.state.number(core.get(d)), width)
        return following

    return run


def _ja(op: Op, insn: Insn, slot: int, links: Links) -> Handler:
    target = op.target(insn, slot)

    def run(core: Core, registers: Registers) -> int:
        return target

    return run


def _jcond(op: Op, insn: Insn, slot: int, links: Links) -> Handler:
    d, s, k = insn.dst, insn.src, _operand(op, insn)
    name, width, holds = op.name, op.width, JUMPS[op.width][op.name]
    mask, following, target = (1 << op.width) - 1, slot + 1, op.target(insn, slot)

    def register(core: Core, registers: Registers) -> int:
        a, b = registers[d], registers[s]
        if type(a) is int and type(b) is int:
            taken = holds(a & mask, b & mask)
        else:
            taken = core.compare(name, width, d, b)
        return target if taken else following

    def immediate(core: Core, registers: Registers) -> int:
        a = registers[d]
        taken = holds(a & mask, k) if type(a) is int else core.compare(name, width, d, k)
        return target if taken else following

    return register if op.reg else immediate


def _may_goto(op: Op, insn: Insn, slot: int, links: Links) -> Handler:
    """Jumps once the function has gone on here BPF_MAX_LOOPS times (do_misc_fixups)."""
    following, target = slot + 1, op.target(insn, slot)

    def run(core: Core, registers: Registers) -> int:
        return following if core.takes_may_goto() else target

    return run


def _call(op: Op, insn: Insn, slot: int, links: Links) -> Handler:
    def run(core: Core, registers: Registers) -> int:
        core.execution.at_call = True
        return STOP

    return run


def _call_local(op: Op, insn: Insn, slot: int, links: Links) -> Handler:
    target = op.target(insn, slot)

    def run(core: Core, registers: Registers) -> int:
        core.execution.slot = slot
        return core.push_frame(target)

    return run


def _exit(op: Op, insn: Insn, slot: int, links: Links) -> Handler:
    def run(core: Core, registers: Registers) -> int:
        return core.leave(registers)

    return run


def _lddw(op: Op, insn: Insn, second: Insn, slot: int, links: Links) -> Handler:
    d, following = insn.dst, slot + 2
    value: Value = (insn.imm & U32) | (second.imm & U32) << 32
    if op.name != "lddw":
        found = links.addresses.get(slot)
        if found is None:
            raise InsnError(f"lddw of kind {op.name} refers to nothing", insn=slot)
        value = found
    elif slot in links.addresses:
        value = links.addresses[slot]

    def run(core: Core, registers: Registers) -> int:
        registers[d] = value
        return following

    return run


def _at(base: Value, off: int, register: int) -> int | Pointer:
    """The address of an access: `base` is what the register holds."""
    if type(base) is Pointer:
        return Pointer(base.region, base.offset + off)
    if base is None:
        raise Fault("invalid-access", f"r{register} is read, but nothing was written to it")
    if type(base) is Unowned:
        return Unowned(base.region, base.offset + off)
    assert isinstance(base, int)
    return (base + off) & U64


def _load(op: Op, insn: Insn, slot: int, links: Links) -> Handler:
    d, s, off, size, sx, following = insn.dst, insn.src, insn.off, op.size, op.sx, slot + 1

    def run(core: Core, registers: Registers) -> int:
        at = _at(registers[s], off, s)
        value = core.state.load(at, size) if type(at) is not Unowned else core.probe(at, size)
        registers[d] = sign_extend(value, sx) if sx and isinstance(value, int) else value
        return following

    return run


def _probe(op: Op, insn: Insn, slot: int) -> Handler:
    """A load through what a program may have made up (BPF_PROBE_MEM)."""
    d, s, off, size, sx, following = insn.dst, insn.src, insn.off, op.size, op.sx, slot + 1

    def run(core: Core, registers: Registers) -> int:
        value = core.probe_anywhere(_at(registers[s], off, s), size)
        registers[d] = sign_extend(value, sx) if sx and isinstance(value, int) else value
        return following

    return run


def _store(op: Op, insn: Insn, slot: int, links: Links) -> Handler:
    d, s, k, off, size, following = insn.dst, insn.src, insn.imm, insn.off, op.size, slot + 1

    def register(core: Core, registers: Registers) -> int:
        value, at = core.get(s), _at(registers[d], off, d)
        if type(at) is Unowned:
            core.poke(at, size, value)
        else:
            core.state.store(at, size, value)
        return following

    def immediate(core: Core, registers: Registers) -> int:
        at = _at(registers[d], off, d)
        if type(at) is Unowned:
            core.poke(at, size, k & U64)
        else:
            core.state.store(at, size, k & U64)
        return following

    return register if op.reg else immediate


def _atomic(op: Op, insn: Insn, slot: int, links: Links) -> Handler:
    d, s, off, size, following = insn.dst, insn.src, insn.off, op.size, slot + 1
    mask, name, fetch = (1 << op.width) - 1, op.name, op.fetch

    def narrow(core: Core, value: int | Pointer) -> int | Pointer:
        return value if size == 8 else core.state.number(value) & mask

    def exchange(core: Core, registers: Registers) -> int:
        at, new = _at(registers[d], off, d), narrow(core, core.get(s))
        old = core.state.load(at, size)
        core.state.store(at, size, new)
        registers[s] = old
        return following

    def compare_exchange(core: Core, registers: Registers) -> int:
        at, new = _at(registers[d], off, d), narrow(core, core.get(s))
        expected = narrow(core, core.get(0))
        old = core.state.load(at, size)
        # The memory must be writable whether it is written or not.
        core.state.store(at, size, new if old == expected else old)
        registers[0] = old
        return following

    def compute(core: Core, registers: Registers) -> int:
        at, operand = _at(registers[d], off, d), core.state.number(core.get(s)) & mask
        old = core.state.number(core.state.load(at, size))
        core.state.store(at, size, ATOMICS[name](old, operand) & mask)
        if fetch:
            registers[s] = old
        return following

    return {"xchg": exchange, "cmpxchg": compare_exchange}.get(name, compute)


def _legacy(op: Op, insn: Insn, slot: int, links: Links) -> Handler:
    """Where the packet ends before, so does the function, and gives 0 (bpf_gen_ld_abs)."""
    s, size, following = insn.src, op.size, slot + 1
    indirect = op.name == "ldind"

    def run(core: Core, registers: Registers) -> int:
        index = core.state.number(core.get(s)) if indirect else 0
        call = ModelCaller(core, AS_CLASSIC)
        found = load_classic(call, core.get(6), signed32(index + insn.imm & U32), size)
        registers[1:6] = [None] * 5
        if found is None:
            registers[0] = 0
            return core.leave(registers)
        registers[0] = found
        return following

    return run


#: LDDW takes two slots and has its own maker.
MAKERS: Mapping[Kind, _Maker] = {
    Kind.ALU: _alu,
    Kind.MOV: _mov,
    Kind.CAST: _mov,
    Kind.NEG: _neg,
    Kind.END: _end,
    Kind.JA: _ja,
    Kind.JCOND: _jcond,
    Kind.MAY_GOTO: _may_goto,
    Kind.CALL_HELPER: _call,
    Kind.CALL_LOCAL: _call_local,
    Kind.CALL_KFUNC: _call,
    Kind.CALL_REG: _call,
    Kind.EXIT: _exit,
    Kind.LOAD: _load,
    Kind.STORE_IMM: _store,
    Kind.STORE_REG: _store,
    Kind.ATOMIC: _atomic,
    Kind.LEGACY: _legacy,
}
