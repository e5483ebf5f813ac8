"""Programs as the C core runs them: slot by slot, with operations numbered as it numbers them."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from bpfheap.errors import InsnError
from bpfheap.isa import Insn, Kind, Op, Uses, op_of
from bpfheap.machine.native._core import ARGUMENTS, ASKED, CALLS, OPS
from bpfheap.machine.relocations import Links
from bpfheap.platform.calls import CALL_BY_NAME, HELPER_BY_NUMBER, Arg, Call
from bpfheap.platform.dynptrs import DYNPTR_SIZE
from bpfheap.verifier.facts import ANYWHERE

#: struct bh_insn.
_INSN = struct.Struct("<HBBiq")
_NUMBER_OF_OP = {name: number for number, name in enumerate(OPS)}
_NUMBER_OF_CALL = {name: number for number, name in enumerate(CALLS)}
#: What the core takes for a call that it does not know.
_UNKNOWN = len(CALLS)
_U32 = 0xFFFF_FFFF
_ANYWHERE = bytes((ANYWHERE,))


def op_name(op: Op) -> str:
    """The core's name of an operation. Raises InsnError for packet access of classic BPF."""
    match op.kind:
        case Kind.ALU | Kind.JCOND:
            return f"{op.name}{op.width}_{'reg' if op.reg else 'imm'}"
        case Kind.MOV if op.sx:
            return f"movsx{op.width}_{op.sx}"
        case Kind.MOV:
            return f"mov{op.width}_{'reg' if op.reg else 'imm'}"
        case Kind.CAST:
            return "mov64_reg"
        case Kind.NEG | Kind.END:
            return f"{op.name}{op.width}"
        case Kind.JA | Kind.MAY_GOTO | Kind.EXIT:
            return op.name
        case Kind.CALL_HELPER | Kind.CALL_KFUNC:
            return "call"
        case Kind.CALL_REG:
            return "callx"
        case Kind.CALL_LOCAL:
            return "call_local"
        case Kind.LDDW:
            return "lddw"
        case Kind.LOAD if op.sx:
            return f"ldsx{op.width}"
        case Kind.LOAD | Kind.STORE_IMM | Kind.STORE_REG:
            return f"{op.name}{op.width}"
        case Kind.ATOMIC:
            return f"{op.name}{op.width}{'_fetch' if op.fetch else ''}"
        case Kind.LEGACY:
            return f"{op.name}{op.width}"


def _call(name: str, slot: int, asked: Collection[str]) -> int:
    number = ASKED if name in asked else _NUMBER_OF_CALL.get(name)
    if number is None:
        raise InsnError(f"call of {name}, which the native machine does not know", insn=slot)
    return number


def helper_name(number: int) -> str:
    """A helper's name, or what to call one that nobody knows."""
    row = HELPER_BY_NUMBER.get(number)
    return row.name if row is not None else f"helper {number}"


def make(
    insns: Sequence[Insn],
    links: Links[int],
    guarded: bytes = b"",
    asked: Collection[str] = (),
) -> tuple[bytes, dict[int, str | int]]:
    """The code of a well-formed program (see isa.check_structure), and what it calls, by slot: a
    name, or the register that holds a helper's number. `guarded` is `Facts.guarded`; `asked` are
    the calls that Python performs.

    Raises InsnError for an instruction that no program may use here.
    """
    code: list[bytes] = []
    calls: dict[int, str | int] = {}
    slot = 0
    while slot < len(insns):
        insn = insns[slot]
        op = op_of(insn, slot)
        off, imm = insn.off, insn.imm
        match op.kind:
            case _ if op.distance is Uses.IMM:
                off = imm
            case Kind.ALU | Kind.MOV | Kind.JCOND if op.width == 32:
                imm &= _U32
            case Kind.CALL_HELPER:
                calls[slot] = helper_name(imm)
                name = helper_name(imm)
                imm = ASKED if name in asked else _NUMBER_OF_CALL.get(name, _UNKNOWN)
            case Kind.CALL_KFUNC:
                if slot not in links.kfuncs:
                    raise InsnError("a kfunc call that refers to no kfunc", insn=slot)
                calls[slot] = links.kfuncs[slot]
                imm = _call(links.kfuncs[slot], slot, asked)
            case Kind.CALL_REG:
                calls[slot] = insn.dst
            case Kind.LDDW:
                if slot not in links.addresses and op.name != "lddw":
                    raise InsnError(f"lddw of kind {op.name} refers to nothing", insn=slot)
                bits = imm & _U32 | (insns[slot + 1].imm & _U32) << 32
                imm = links.addresses.get(slot, bits)
                imm -= imm >> 63 << 64
        name = op_name(op)
        if op.kind is Kind.LOAD and not op.atomic and guarded[slot : slot + 1] == _ANYWHERE:
            name = f"probe_{name}"
        code.append(_INSN.pack(_NUMBER_OF_OP[name], insn.dst, insn.src, off, imm))
        if op.kind is Kind.LDDW:
            code.append(bytes(_INSN.size))
        slot += op.slots
    return b"".join(code), calls


def helper_numbers() -> bytes:
    """The core's numbers of helpers, by theirs: u16 each."""
    numbers = [_UNKNOWN] * (max(HELPER_BY_NUMBER) + 1)
    for number, row in HELPER_BY_NUMBER.items():
        numbers[number] = _NUMBER_OF_CALL.get(row.name, _UNKNOWN)
    return struct.pack(f"<{len(numbers)}H", *numbers)


#: What the core makes sure of before one of its calls on a hardened machine, and of how many bytes.
_ARGUMENT: Final[Mapping[Arg, tuple[str, int]]] = {
    Arg.ANYTHING: ("any", 0),
    Arg.SCALAR: ("any", 0),
    Arg.COUNT: ("any", 0),
    Arg.CONST_SIZE: ("any", 0),
    Arg.CONST_SIZE_OR_ZERO: ("any", 0),
    Arg.MAP: ("map", 0),
    Arg.MAP_KEY: ("key", 0),
    Arg.MAP_VALUE: ("value", 0),
    Arg.MEM: ("read", 0),
    Arg.MEM_OR_NULL: ("read or NULL", 0),
    Arg.UNINIT_MEM: ("write", 0),
    Arg.KERNEL: ("any", 0),  # read as what may lead nowhere, if at all
    Arg.CTX: ("any", 0),  # the core knows the run's own
    Arg.ALLOC_SIZE: ("any", 0),
    Arg.RECORD: ("record", 0),
    Arg.KPTR_FIELD: ("place", 8),
    Arg.OWNED_OR_NULL: ("any", 0),  # stored, and looked at when it is taken out
    Arg.OWNED: ("object", 0),
    Arg.ALLOCATOR: ("map", 0),
    Arg.OWNED_PERCPU: ("object", 0),
    Arg.PERCPU: ("copies", 0),
    Arg.COUNTED: ("counted", 0),
    Arg.SPIN_LOCK: ("place", 4),
    Arg.IRQ_SAVE: ("place", 8),
    Arg.IRQ_RESTORE: ("place", 8),
    Arg.LIST_HEAD: ("place", 16),
    Arg.LIST_NODE: ("place", 24),
    Arg.RB_ROOT: ("place", 16),
    Arg.RB_NODE: ("place", 32),
    Arg.RB_MEMBER: ("place", 32),
    Arg.LESS: ("code", 0),
    Arg.ITER_NEW: ("place", 8),
    Arg.ITER: ("place", 8),
    Arg.NEW_DYNPTR: ("place", DYNPTR_SIZE),
    Arg.OWNED_DYNPTR: ("place", DYNPTR_SIZE),
    Arg.TYPE_ID: ("any", 0),
    Arg.CALLBACK: ("code", 0),
    Arg.CALLBACK_CTX: ("any", 0),
    Arg.UNCHECKED: ("any", 0),
    Arg.UNUSED: ("any", 0),
}
#: Maps that an operation needs.
_MAP_FOR: Final = {"output": "ring", "tail_call": "programs", "update": "values"}


def _arguments(row: Call) -> Iterator[tuple[str, int]]:
    for arg in row.args:
        if arg is Arg.MAP:
            yield _MAP_FOR.get(row.map_op or "", "map"), 0
        else:
            yield _ARGUMENT[arg]
    yield from (("any", 0),) * (5 - len(row.args))


def arguments() -> bytes:
    """What each of the core's calls is given: see `_core.Program`."""
    return bytes(
        number
        for name in CALLS
        for kind, size in _arguments(CALL_BY_NAME[name])
        for number in (ARGUMENTS.index(kind), size)
    )
