"""The variables of structs of functions (struct_ops): what is in sections `.struct_ops` and
`.struct_ops.link`, and which program each member holds.

Sources: init_struct_ops_maps and bpf_object__collect_st_ops_relos of libbpf.
"""

from __future__ import annotations

from collections.abc import Iterator

from bpfheap.btf import Btf, Datasec, FuncProto, Ptr, Struct, Var, essential_name
from bpfheap.elf.container import Container, Reloc, Section
from bpfheap.elf.recipes import recipe_of
from bpfheap.errors import ElfError, RelocationError
from bpfheap.spec import OpsMember, StructOpsSpec

#: With "?", the loader does not create them by itself.
_SECTIONS = {
    ".struct_ops": False, "?.struct_ops": False, ".struct_ops.link": True,
    "?.struct_ops.link": True,
}  # fmt: skip
_POINTER_SIZE = 8


def read_struct_ops(container: Container, btf: Btf) -> dict[str, StructOpsSpec]:
    """All such variables, by name. Raises ElfError and RelocationError for what is none."""
    found: dict[str, StructOpsSpec] = {}
    for kind in btf.types:
        if not isinstance(kind, Datasec) or kind.name not in _SECTIONS:
            continue
        section = container.section_named(kind.name)
        if section is None:
            continue
        for entry in kind.vars:
            var = btf[entry.type]
            if not isinstance(var, Var):
                raise ElfError(
                    f"type {entry.type} in {kind.name} is no variable", file=container.file
                )
            found[var.name] = _variable(container, btf, section, var, entry.offset)
    return found


def members(specs: dict[str, StructOpsSpec]) -> dict[str, list[OpsMember]]:
    """By program, the members that hold it, each once."""
    found: dict[str, list[OpsMember]] = {}
    for spec in specs.values():
        for name, program in spec.programs.items():
            member = OpsMember(spec.struct, name)
            known = found.setdefault(program, [])
            if member not in known:
                known.append(member)
    return found


def reused(program: str, held: list[OpsMember], file: str) -> RelocationError | None:
    """The error of a program that is for more than one member."""
    if len(held) < 2:
        return None
    both = " and ".join(map(str, held[:2]))
    return RelocationError(
        f"program {program} is for {both}, and may be for one",
        file=file,
        hint="write a program for each; what they share may be a function that both call",
    )


def _variable(container: Container, btf: Btf, section: Section, var: Var, at: int) -> StructOpsSpec:
    type_id = btf.resolve(var.type)
    struct = btf[type_id]
    if not isinstance(struct, Struct):
        raise ElfError(
            f"{var.name} in {section.name} is no struct",
            file=container.file,
            hint="declare it as a struct of functions that the kernel has",
        )
    end = at + struct.size
    if end > len(section.data):
        raise ElfError(f"{var.name} is out of section {section.name}", file=container.file)
    data = bytearray(section.data[at:end])
    programs = {}
    for reloc in container.relocs.get(section.index, ()):
        if at <= reloc.offset < end:
            place = reloc.offset - at
            member = _member_at(btf, struct, place)
            if member is None:
                raise RelocationError(
                    f"{var.name} has a pointer at byte {place}, where struct {struct.name} has no "
                    "function",
                    file=container.file,
                    hint="initialise members that point to functions, with programs",
                )
            programs[member] = _program(container, section, reloc, f"{var.name}.{member}")
            data[place : place + _POINTER_SIZE] = bytes(_POINTER_SIZE)
    return StructOpsSpec(
        var.name, essential_name(struct.name), type_id, btf, bytes(data), programs,
        _SECTIONS[section.name], container.file,
    )  # fmt: skip


def _member_at(btf: Btf, struct: Struct, place: int) -> str | None:
    """The name of the member there, if it points to a function."""
    for member in struct.members:
        if member.bit_offset == 8 * place and is_function(btf, member.type):
            return member.name
    return None


def is_function(btf: Btf, type_id: int) -> bool:
    """Is a type a pointer to functions?"""
    kind = btf[btf.resolve(type_id)]
    return isinstance(kind, Ptr) and isinstance(btf[btf.resolve(kind.type)], FuncProto)


def _program(container: Container, section: Section, reloc: Reloc, where: str) -> str:
    """The name of the function that a pointer leads to."""
    recipe = recipe_of(reloc, section, container.file)
    end = reloc.offset + _POINTER_SIZE
    target = container.section_at(reloc.symbol.section)
    if recipe.word == _POINTER_SIZE and target is not None and target.executable:
        addend = int.from_bytes(section.data[reloc.offset : end], "little")
        for name in _functions_at(container, target, reloc.symbol.value + addend):
            return name
    raise RelocationError(
        f"{where} points to {reloc.symbol.name or 'something'}, which is no program of this file",
        file=container.file,
        hint='write it as a program: SEC("struct_ops")',
    )


def _functions_at(container: Container, section: Section, at: int) -> Iterator[str]:
    for symbol in container.symbols:
        if symbol.type == "STT_FUNC" and symbol.section == section.index and symbol.value == at:
            yield symbol.name
