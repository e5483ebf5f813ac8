"""What a program names that no table here has a row for: Linux 6.18 may know it, bpfheap does not.

Everything else that has no row is an error of the program, which Linux refuses, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from bpfheap.errors import InsnError
from bpfheap.isa import Kind, Op, op_of, unoffered
from bpfheap.platform.calls import HELPER_BY_NUMBER
from bpfheap.platform.kfuncs import kfunc_row
from bpfheap.platform.linux import HELPER_NAMES, MAP_TYPE_NAMES
from bpfheap.platform.maps import BY_NUMBER
from bpfheap.platform.programs import program_type, section_def
from bpfheap.platform.programs.struct_ops import OPS_ROWS
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec, RefKind


def section_name(section: str) -> str:
    """The name of what a section selects: SEC("fentry") for "fentry/vfs_read"; of one that selects
    nothing, its own."""
    found = section_def(section)
    return f'SEC("{section.removeprefix("?") if found is None else found.name}")'


def missing_helper(number: int) -> str | None:
    """The name of a helper that Linux has and bpfheap does not, as name#number."""
    if number in HELPER_BY_NUMBER or number == 0 or number not in HELPER_NAMES:
        return None
    return f"{HELPER_NAMES[number]}#{number}"


def missing_map_type(spec: MapSpec) -> str | None:
    """The type of a map that Linux has and bpfheap does not."""
    return None if spec.type in BY_NUMBER else MAP_TYPE_NAMES.get(spec.type)


def missing_in(obj: ObjectSpec, program: ProgramSpec) -> tuple[str, ...]:
    """All that is missing, each once, in the order of the code. It is not asked whether it can be
    reached."""
    found = dict.fromkeys(_missing(obj, program))
    return tuple(found)


def _missing(obj: ObjectSpec, program: ProgramSpec) -> Iterator[str]:
    row = program_type(program.section)
    if row is None or (row.kernel_types and row is not OPS_ROWS[""]):
        yield section_name(program.section)
    for slot, op in _steps(program):
        name = op if isinstance(op, str) else _missing_at(obj, program, slot, op)
        if name is not None:
            yield name
        ref = program.refs.get(slot)
        if ref is not None and ref.kind in (RefKind.MAP, RefKind.MAP_VALUE):
            spec = obj.maps.get(ref.name)
            while spec is not None:
                kind = missing_map_type(spec)
                if kind is not None:
                    yield kind
                spec = spec.inner


def _steps(program: ProgramSpec) -> Iterator[tuple[int, Op | str]]:
    """The instructions; of those that are none here the names, if Linux has them."""
    slot = 0
    while slot < len(program.insns):
        insn = program.insns[slot]
        try:
            op = op_of(insn, slot)
        except InsnError:
            name = unoffered(insn)
            if name is not None:
                yield slot, name
            slot += 1
            continue
        yield slot, op
        slot += op.slots


def _missing_at(obj: ObjectSpec, program: ProgramSpec, slot: int, op: Op) -> str | None:
    imm, ref = program.insns[slot].imm, program.refs.get(slot)
    match op.kind:
        case Kind.CALL_HELPER:
            return missing_helper(imm)
        case Kind.CALL_KFUNC:
            name = kfunc_name(program, slot)
            return None if kfunc_row(name) is not None else name
        case Kind.LDDW if ref is not None and ref.kind is RefKind.KCONFIG:
            return ref.name
        case Kind.LDDW if ref is not None and ref.kind is RefKind.KSYM:
            return None if obj.kernel is not None and obj.kernel.has_types() else ref.name
    return None


def kfunc_name(program: ProgramSpec, slot: int) -> str:
    """The name of the kfunc that is called at a slot."""
    ref = program.refs.get(slot)
    if ref is not None and ref.kind is RefKind.KFUNC:
        return ref.name
    return f"kfunc#{program.insns[slot].imm}"
