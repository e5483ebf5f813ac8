"""ProgramSpec -> what BPF_PROG_LOAD is given."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from bpfheap.errors import InsnError, KernelUnsupported, UsageError
from bpfheap.isa import CALL_OPCODE, LDDW_OPCODE, Insn, encode
from bpfheap.kernel.bpf import F_SLEEPABLE, F_XDP_HAS_FRAGS, REWRITE, Descriptor, Pseudo, Transport
from bpfheap.kernel.types import attach_id, function_id, ops_member, variable_id
from bpfheap.platform.calls import KFUNC_BY_NAME
from bpfheap.platform.programs import (
    AttachTarget,
    attach_target,
    may_sleep,
    other_sections,
    program_type,
    section_def,
)
from bpfheap.spec import OpsMember, ProgramSpec, Ref, RefKind

#: Where x86-64 has the kernel's code, as the halves of an immediate: an address like those of all
#: symbols. What it is does not matter to a verifier.
_TEXT = struct.unpack("<ii", (0xFFFFFFFF81000000).to_bytes(8, "little"))
FUNC_INFO = struct.Struct("<II")
LINE_INFO = struct.Struct("<IIII")
#: What fits into the bits that a line and a column have.
_MAX_LINE, _MAX_COLUMN = (1 << 22) - 1, (1 << 10) - 1


@dataclass(frozen=True, slots=True)
class SectionDef:
    """What a section's name says of the programs in it."""

    type: int
    attach_type: int
    flags: int
    target: AttachTarget | None = None


def section_of(program: ProgramSpec) -> SectionDef:
    """Raises UsageError for a name that selects no program type."""
    row, found = program_type(program.section), section_def(program.section)
    if row is None or found is None:
        raise UsageError(
            f'section "{program.section}" selects no program type',
            file=program.file or None,
            hint=other_sections(program.section),
        )
    flags = F_SLEEPABLE if may_sleep(program.section) else 0
    if found.frags:
        flags |= F_XDP_HAS_FRAGS
    return SectionDef(row.number, found.attach, flags, attach_target(program.section))


def expected_attach(program: ProgramSpec, kernel: Transport) -> int:
    """The expected attach type, for which struct_ops programs have the index of the member that
    they are for (libbpf: bpf_map__init_kern_struct_ops). Raises as `attached_to`."""
    if program.member is None:
        return section_of(program).attach_type
    return _member(program, program.member, kernel)[1]


def _member(program: ProgramSpec, member: OpsMember, kernel: Transport) -> tuple[int, int]:
    place = ops_member(kernel, member)
    if place is None:
        raise KernelUnsupported(
            f"the kernel has no {member} for {program.name} to be", file=program.file or None
        )
    return place


def attached_to(program: ProgramSpec, kernel: Transport) -> int:
    """The id, in the kernel's BTF, of what the program is attached to, 0 for none; of a struct_ops
    program that of the struct. Raises KernelUnsupported if the kernel does not have it."""
    if program.member is not None:
        return _member(program, program.member, kernel)[0]
    target = attach_target(program.section)
    if target is None:
        return 0
    found = attach_id(kernel, target)
    if found is None:
        raise KernelUnsupported(
            f"the kernel has no {target.name} to attach {program.name} to",
            file=program.file or None,
        )
    return found


def linked(program: ProgramSpec, kernel: Transport, map_of: Callable[[str], Descriptor]) -> bytes:
    """The instructions with descriptors and ids of the kernel in them.

    `map_of` gives the map of a name. Raises what it raises, KernelUnsupported for a function or
    variable that the kernel does not have, InsnError for what cannot be encoded, and what is wrong
    with a program that could not be linked.
    """
    if program.broken is not None:
        raise program.broken
    insns = list(program.insns)
    for slot, ref in program.refs.items():
        if not 0 <= slot < len(insns):
            raise InsnError(
                f"slot {slot} refers to {ref.name}, and program {program.name} ends before",
                insn=slot,
                file=program.file or None,
            )
        insn = insns[slot]
        match ref.kind:
            case RefKind.MAP:
                _wide(insns, slot, Pseudo.MAP_FD, map_of(ref.name).number)
            case RefKind.MAP_VALUE:
                _wide(insns, slot, Pseudo.MAP_VALUE, map_of(ref.name).number, ref.offset)
            case RefKind.FUNC:
                _wide(insns, slot, Pseudo.FUNC, ref.target - slot - 1)
            case RefKind.KFUNC:
                number = _known(program, slot, ref, "function", function_id(kernel, ref.name))
                insns[slot] = insn._replace(src=Pseudo.KFUNC_CALL, imm=number, off=0)
            case RefKind.KFUNC_ADDR:
                number = _known(program, slot, ref, "function", function_id(kernel, ref.name))
                _wide(insns, slot, Pseudo.BTF_ID, number)
            case RefKind.MISSING:
                # libbpf loads it so, too: the kernel rejects it if a path leads there.
                pass
            case RefKind.KCONFIG:
                _known(program, slot, ref, "configuration", None)
            case RefKind.KSYM if program.is_untyped(ref.name):
                _wide(insns, slot, None, *_TEXT)
            case RefKind.KSYM:
                number = _known(program, slot, ref, "variable", variable_id(kernel, ref.name))
                _wide(insns, slot, Pseudo.BTF_ID, number)
    return encode(insns)


def _wide(insns: list[Insn], slot: int, source: Pseudo | None, first: int, second: int = 0) -> None:
    """Both immediates of lddw, and what they mean: with None, the number that they are."""
    insns[slot] = insns[slot]._replace(src=source or 0, imm=first)
    if slot + 1 < len(insns):
        insns[slot + 1] = insns[slot + 1]._replace(imm=second)


def _known(program: ProgramSpec, slot: int, ref: Ref, what: str, number: int | None) -> int:
    if number is not None:
        return number
    line, row = program.line_of(slot), KFUNC_BY_NAME.get(ref.name)
    raise KernelUnsupported(
        f"the kernel has no {what} {ref.name} for programs",
        file=line.file if line is not None else program.file or None,
        line=line.line if line is not None else None,
        hint=REWRITE if row is not None and row.stand_in is not None else None,
    )


def _starts(program: ProgramSpec) -> list[int]:
    """Where the kernel sees functions start (add_subprog_and_kfunc): at 0, at whatever is called,
    where the address of a function leads, and at the exception callback."""
    found = {0, program.exception_callback}
    for slot, insn in enumerate(program.insns):
        if insn.opcode == CALL_OPCODE and insn.src == Pseudo.CALL:
            found.add(slot + 1 + insn.imm)
    found.update(ref.target for ref in program.refs.values() if ref.kind is RefKind.FUNC)
    return sorted(found)


def func_info(program: ProgramSpec) -> bytes:
    """struct bpf_func_info of each function; none at all if one has no type, as it is all or
    none."""
    known = {sub.start: sub.func_id for sub in program.subprogs}
    starts = _starts(program)
    if not all(known.get(start) for start in starts):
        return b""
    return b"".join(FUNC_INFO.pack(start, known[start]) for start in starts)


def line_info(program: ProgramSpec, strings: dict[str, int]) -> bytes:
    """struct bpf_line_info of each line whose text is in `strings`; none if a function's first
    instruction has no line, which the kernel would not take."""
    second = {slot + 1 for slot, insn in enumerate(program.insns) if insn.opcode == LDDW_OPCODE}
    lines = {
        slot: line
        for slot, line in sorted(program.lines.items())
        if slot not in second and line.file in strings and line.text in strings
    }
    if not all(start in lines for start in _starts(program)):
        return b""
    return b"".join(
        LINE_INFO.pack(
            slot,
            strings[line.file],
            strings[line.text],
            min(line.line, _MAX_LINE) << 10 | min(line.column, _MAX_COLUMN),
        )
        for slot, line in lines.items()
    )
