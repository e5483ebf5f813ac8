"""Known and wanted differences between bpfheap's verifier and the kernel's, one row each.

A row names the section of docs/verifier-differences.md that gives the reason. A difference that no
row explains is a bug.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from bpfheap.isa import Insn, Kind, Op, instructions
from bpfheap.machine.model.interp import MAX_LOOPS
from bpfheap.platform.called import calls_of
from bpfheap.platform.calls import HELPER_BY_NUMBER, Arg, Ret, SideEffect
from bpfheap.spec import ProgramSpec, RefKind


class Difference(NamedTuple):
    """One known difference."""

    #: The title of its section in docs/verifier-differences.md.
    section: str
    #: Given our message and the kernel's ("" from the one that accepts) and the program.
    explains: Callable[[str, str, ProgramSpec], bool]


#: How a pointer is refused where a number would not be.
_ARITHMETIC: Final = re.compile(
    r"^R\d+ (pointer \S+ pointer|bitwise operator \S+ on pointer"
    r"|pointer arithmetic with \S+ operator) prohibited|^invalid size of register fill"
    r"|^cannot (return stack pointer to the caller|spill pointers to stack into)"
)
_POINTER_BITS: Final = 64
_FP: Final = 10
#: The register with the number of calls.
_COUNT: Final = 1
#: Kinds of instructions that write their first operand.
_WRITES: Final = frozenset({Kind.MOV, Kind.ALU, Kind.NEG, Kind.END, Kind.LDDW, Kind.LOAD})
#: Bytes of data and data_end in a context, and where they are: struct xdp_md, struct __sk_buff.
_PACKET_FIELD: Final = 4
_PACKET_FIELDS: Final = frozenset({0, 4, 76, 80})
_TOO_LARGE: Final = re.compile(
    r"BPF program is too large|[Tt]he sequence of \d+ jumps is too complex"
)


def _gave_up(ours: str, kernel: str) -> bool:
    """bpfheap reached its complexity limit, and the kernel accepted."""
    return not kernel and _TOO_LARGE.search(ours) is not None


def _complexity(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """The kernel reached its complexity limit, bpfheap did not."""
    return not ours and _TOO_LARGE.search(kernel) is not None


def _kernel_bug(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """The kernel's verifier failed an internal consistency check."""
    return not ours and kernel.startswith("verifier bug:")


def _widened_inner_loop(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """An ordinary loop around an iterator or callback loop, whose scalars were widened."""
    if not (ours or kernel).startswith("infinite loop detected"):
        return False
    iterates = any(row and row.ret is Ret.ELEMENT_OR_NULL for _, row in calls_of(program))
    return iterates or any(ref.kind is RefKind.FUNC for ref in program.refs.values())


def _inner_loop_anew(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """A loop around an iterator's loop, which is walked anew in each of its rounds."""
    if not _gave_up(ours, kernel):
        return False
    begun = [
        slot for slot, row in calls_of(program) if row and row.side_effect is SideEffect.BEGINS
    ]
    for slot, op in instructions(program.insns):
        if op.kind in (Kind.JCOND, Kind.JA):
            target = op.target(program.insns[slot], slot)
            if any(target <= at < slot for at in begun):
                return True
    return False


def _moves(insn: Insn, op: Op, *, far: bool) -> bool:
    """Back by a constant, or on, of one that may be so `far` that it then begins anew."""
    if op.kind is not Kind.ALU or op.width != _POINTER_BITS or op.reg:
        return False
    return op.name in ("add", "sub") and (far or (insn.imm < 0) == (op.name == "add"))


def _beyond_the_packet(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """A packet pointer that was found beyond the end is taken back by a constant, or on, if a
    number was added to it before; to Linux what follows is dead, then, where it is compared with
    the end once more, whatever it is."""
    if kernel:
        return False
    #: What may be in the packet, or its end, from the context.
    packet: set[int] = set()
    far: set[int] = set()
    compared: set[int] = set()
    moved: set[int] = set()
    for slot, op in instructions(program.insns):
        insn = program.insns[slot]
        if op.kind is Kind.LOAD and op.size == _PACKET_FIELD and insn.off in _PACKET_FIELDS:
            packet.add(insn.dst)
        elif op.kind is Kind.MOV and op.reg and insn.src in packet:
            for known in (packet, far, compared, moved):
                if insn.src in known:
                    known.add(insn.dst)
        elif op.kind is Kind.JCOND and op.reg and {insn.dst, insn.src} <= packet:
            if moved & {insn.dst, insn.src}:
                return True
            compared |= {insn.dst, insn.src}
        elif op.kind is Kind.ALU and op.reg and insn.dst in packet:
            if insn.dst in compared and insn.src not in packet:
                # The number in the register may be a constant.
                moved.add(insn.dst)
            far.add(insn.dst)
        elif insn.dst in compared and _moves(insn, op, far=insn.dst in far):
            moved.add(insn.dst)
    return False


def _number_of_calls(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """A callback is called as often as is not known, or not the same on each path. To Linux
    what was right of few calls is right of many, which it need not walk."""
    if kernel or not (_gave_up(ours, kernel) or "outside of the" in ours):
        return False
    given: dict[int, bool] = {}
    for slot, op in instructions(program.insns):
        insn = program.insns[slot]
        if op.kind is Kind.CALL_HELPER:
            row = HELPER_BY_NUMBER.get(insn.imm)
            if row is not None and Arg.COUNT in row.args and not given.get(_COUNT, True):
                return True
        elif op.kind is Kind.MOV:
            given[insn.dst] = not op.reg
    return False


def _reads_somewhere(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """The stack is read at an offset that is not known. To bpfheap all that is stored there matters
    from then on, to Linux what is in the range, so that more states are alike."""
    if not _gave_up(ours, kernel):
        return False
    on_stack: set[int] = set()
    for slot, op in instructions(program.insns):
        insn = program.insns[slot]
        if op.kind is Kind.MOV and op.reg and insn.src == _FP:
            on_stack.add(insn.dst)
        elif op.kind is Kind.ALU and op.reg and op.name == "add" and insn.dst in on_stack:
            return True
    return False


def _map_itself(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """The program reads from a map's address, which takes the types of a kernel."""
    return not kernel and ours.startswith("map_ptr access not supported")


def _linked_by_a_load(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """What was loaded from the stack with its sign, or fetched there by an atomic operation, is not
    what was stored, or not as precise; Linux takes it for that."""
    if kernel:
        return False
    on_stack = {_FP}
    for slot, op in instructions(program.insns):
        insn = program.insns[slot]
        if op.kind is Kind.MOV and op.reg and insn.src in on_stack:
            on_stack.add(insn.dst)
        elif (op.kind is Kind.LOAD and op.sx and insn.src in on_stack) or (
            op.kind is Kind.ATOMIC and op.fetch and insn.dst in on_stack
        ):
            return True
    return False


def _acquired_unguarded(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """A load that acquires takes the place of its address, of which Linux no longer sees the kind
    then, or goes through a pointer that may lead nowhere."""
    return not kernel and ours.startswith("BPF_ATOMIC loads from")


def _half_of_a_pointer(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """The lower half of a pointer that is not NULL is compared with 0, which it may be; Linux takes
    one way for dead."""
    if kernel:
        return False
    given, nulls = {0, _FP}, set[int]()  # what calls give is in register 0
    for slot, op in instructions(program.insns):
        insn = program.insns[slot]
        if op.kind is Kind.MOV:
            of_pointer = op.reg and insn.src in given
            (given.add if of_pointer else given.discard)(insn.dst)
            of_null = insn.src in nulls if op.reg else insn.imm == 0
            (nulls.add if of_null else nulls.discard)(insn.dst)
        elif op.kind is Kind.LOAD and op.size == _POINTER_BITS // 8:
            given.add(insn.dst)
        elif op.kind is Kind.JCOND and op.width != _POINTER_BITS and op.name in ("jeq", "jne"):
            with_null = insn.dst in nulls or insn.src in nulls if op.reg else insn.imm == 0
            if with_null and {insn.dst, insn.src if op.reg else insn.dst} & given:
                return True
    return False


#: How bpfheap alone refuses what Linux asks of maps that are named, and of their offsets.
_OF_MAPS: Final = (
    "tracing progs cannot use bpf_spin_lock yet",
    "socket filter progs cannot use bpf_spin_lock yet",
    "Sleepable programs can only use",
    "misaligned value access off",
)


def _other_maps(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """A lock in an inner map, or in an object that others may own; an inner map of a type that is
    not for programs that sleep; a value that is not aligned, since a trie's are not."""
    return not kernel and ours.startswith(_OF_MAPS)


#: Calls that hold what a program must not sleep with, of which Linux knows nothing.
_HOLDING: Final = frozenset({"bpf_for_each_map_elem", "bpf_find_vma", "bpf_iter_task_vma_new"})


def _sleeps_within(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """A call that sleeps in a function that a helper calls in an RCU section, or while the memory
    of a task is locked."""
    if kernel or "sleep" not in ours:
        return False
    return any(row is not None and row.name in _HOLDING for _, row in calls_of(program))


def _spilled_pointer(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """One path has a pointer in the stack where another one has never written, which covers it if
    the path ends there; else the program is refused for computing with the pointer, or for reading
    a part of it."""
    if not _ARITHMETIC.search(ours or kernel):
        return False
    return any(
        op.kind is Kind.STORE_REG and op.width == _POINTER_BITS
        for _, op in instructions(program.insns)
    )


HOLES: Final = "Holes of Linux"
_BUGS: Final = "Bugs of Linux"
_LENGTH: Final = "How long a program may take"
_LOOPS: Final = Difference("Loops around loops that the kernel drives", _widened_inner_loop)
_POINTERS: Final = Difference("Pointers taken for numbers", _spilled_pointer)

DIFFERENCES: tuple[Difference, ...] = (
    Difference(_LENGTH, _complexity),
    _LOOPS,
    Difference(_LOOPS.section, _inner_loop_anew),
    Difference(_BUGS, _kernel_bug),
    _POINTERS,
    Difference(HOLES, _beyond_the_packet),
    Difference(HOLES, _number_of_calls),
    Difference(HOLES, _linked_by_a_load),
    Difference(HOLES, _acquired_unguarded),
    Difference(HOLES, _other_maps),
    Difference(HOLES, _sleeps_within),
    Difference(HOLES, _half_of_a_pointer),
    Difference(_LENGTH, _reads_somewhere),
    Difference("Objects of the kernel", _map_itself),
)


def section_of(ours: str, kernel: str, program: ProgramSpec) -> str | None:
    """The section that explains why one accepted and the other refused; None if nothing does."""
    for difference in DIFFERENCES:
        if difference.explains(ours, kernel, program):
            return difference.section
    return None


def section_of_run(program: ProgramSpec) -> str | None:
    """The same for an accepted program that does not do on Linux what it does on our machines: a
    loop of more than 2^23 iterations, or of nobody knows how many, gives another error there."""
    few = False
    for slot, op in instructions(program.insns):
        insn = program.insns[slot]
        if op.kind is Kind.CALL_HELPER:
            row = HELPER_BY_NUMBER.get(insn.imm)
            if row and Arg.COUNT in row.args and not few:
                return _BUGS
            few = False
        elif op.kind in _WRITES and insn.dst == _COUNT:
            few = op.kind is Kind.MOV and not op.reg and 0 <= insn.imm <= MAX_LOOPS
    return None


def section_of_unpruned(message: str, program: ProgramSpec) -> str | None:
    """The same for what is accepted, and refused with `message` where no path ends early."""
    if _POINTERS.explains(message, "", program):
        return _POINTERS.section
    return _LOOPS.section if _LOOPS.explains("", message, program) else None
