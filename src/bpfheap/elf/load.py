"""Bytes of a BPF ELF object -> ObjectSpec. Deterministic: what the object needs of a kernel comes
from the `Target` that is given."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from bpfheap.btf import (
    Btf,
    BtfType,
    CoreKind,
    CoreRelocation,
    CoreResult,
    CoreTarget,
    Datasec,
    SecVar,
    Var,
    core_value,
    exception_callbacks,
)
from bpfheap.btf.core import described
from bpfheap.btf.raw import parse_types
from bpfheap.elf.container import NOBITS, PROGBITS, Container, read_container
from bpfheap.elf.ext import CoreRelo, SectionInfo, parse_ext
from bpfheap.elf.externs import Externs
from bpfheap.elf.kconfig import place, read_config
from bpfheap.elf.link import LinkedProgram, Linker, code_sections
from bpfheap.elf.maps import read_maps
from bpfheap.elf.patch import apply
from bpfheap.elf.recipes import relocate_data
from bpfheap.elf.struct_ops import members, read_struct_ops, reused
from bpfheap.elf.target import Target
from bpfheap.errors import BpfheapError, BtfError, ElfError, RelocationError, UsageError
from bpfheap.spec import ObjectSpec, OpsMember, ProgramSpec

#: Nothing larger is read at all; the largest objects in use have a tenth of it.
_MAX_FILE = 256 << 20

#: Header of .BTF: magic, version, flags, length, place and length of types and of strings.
_BTF_HEADER = struct.Struct("<HBBIIIII")
#: Linkage of a variable that is neither static nor extern (BTF_VAR_GLOBAL_ALLOCATED).
_GLOBAL = 1
#: Longer source lines and paths are cut.
_MAX_TEXT = 4096


def load_spec(
    source: Path | str | bytes, *, file: str | None = None, target: Target | None = None
) -> ObjectSpec:
    """Read an object from its path, or from its bytes; `file` is what errors and specs call it.
    `target` is the kernel that it is for; without one, its own types stand for a kernel's.

    A program that cannot be linked is `broken`; the others of its file do not suffer for it.

    Raises UsageError if there is no such file, else ElfError, BtfError or RelocationError, each
    with the file.
    """
    if isinstance(source, bytes):
        data, name = source, file or "<bytes>"
    else:
        data, name = _read(Path(source)), file or str(source)
    try:
        return _load(data, name, target)
    except BpfheapError as error:
        _in_one_line(error, name)
        raise


def _in_one_line(error: BpfheapError, file: str) -> BpfheapError:
    """With its file. Names in a broken BTF can hold anything; a message is one line."""
    error.message = "".join(c if c.isprintable() else "?" for c in error.message)
    return error.at(file)


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UsageError(
                "no such file" if not path.exists() else "not a file",
                file=str(path),
                hint="give the path of a BPF object",
            )
        size = path.stat().st_size
        if size > _MAX_FILE:
            raise ElfError(f"{size} bytes are too many for a BPF object", file=str(path))
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot be read: {reason}", file=str(path)) from error


def _load(data: bytes, file: str, target: Target | None) -> ObjectSpec:
    container = read_container(data, file)
    btf, text = _read_btf(container)
    infos = _read_ext(container, text)
    maps = read_maps(container, btf)
    weak = {s.name: s.bind == "STB_WEAK" for s in container.symbols if s.undefined}
    config = read_config(btf, weak, target)
    if config.map is not None:
        maps.by_name[config.map.name] = config.map
    linker = Linker(
        container,
        infos,
        maps_at=maps.by_place,
        data_sections=maps.data_sections,
        externs=Externs(btf, target, config),
        callback_of=lambda func_id: _one(exception_callbacks(btf, func_id)),
    )
    notes = maps.notes
    if not _apply_core(linker, infos, btf, target) and target is not None:
        note = target.without_types()
        notes += () if note is None else (note,)
    license_ = _license(container)
    struct_ops = read_struct_ops(container, btf)
    held = members(struct_ops)
    programs: dict[str, ProgramSpec] = {}
    for linked in linker.link():
        if linked.function.name in programs:
            raise ElfError(f"two programs are called {linked.function.name}", hint="rename one")
        of_program = held.get(linked.function.name, [])
        programs[linked.function.name] = _program(linked, btf, license_, file, of_program)
    return ObjectSpec(file, btf, maps.by_name, programs, license_, notes, target, struct_ops)


# -- BTF


def _read_btf(container: Container) -> tuple[Btf, Callable[[int], str]]:
    """The types, and the string at an offset of .BTF (BtfError if there is none)."""
    section = container.section_named(".BTF")
    if section is None or section.type != PROGBITS:
        return Btf.EMPTY, _strings(b"")
    relocs = container.relocs.get(section.index, ())
    types = parse_types(relocate_data(section, relocs, container.file), container.file)
    fixed = tuple(_placed(kind, types, container) for kind in types)
    *_, header, _, _, at, length = _BTF_HEADER.unpack_from(section.data)
    return place(Btf(fixed, container.file)), _strings(
        section.data[header + at : header + at + length]
    )


def _placed(kind: BtfType, types: Sequence[BtfType], container: Container) -> BtfType:
    """A DATASEC with its size, which compilers leave to the linker, and the places of variables,
    for which LLVM before 13 gives no relocations: those that are not static have the place of their
    symbol (libbpf, btf_fixup_datasec)."""
    if not isinstance(kind, Datasec) or kind.size:
        return kind
    section = container.section_named(kind.name)
    if section is None:
        return kind
    places = {s.name: s.value for s in container.symbols if s.section == section.index}
    entries = []
    for entry in kind.vars:
        var = types[entry.type] if entry.type < len(types) else None
        if isinstance(var, Var) and var.linkage == _GLOBAL and var.name in places:
            entry = SecVar(entry.type, places[var.name], entry.size)
        entries.append(entry)
    return Datasec(kind.name, section.size, tuple(entries))


def _strings(data: bytes) -> Callable[[int], str]:
    """A function that gives the string at an offset."""
    known: dict[int, str] = {}

    def text(offset: int) -> str:
        found = known.get(offset)
        if found is None:
            if offset >= len(data):
                raise BtfError(
                    f"broken .BTF.ext: a string at byte {offset} of {len(data)} bytes of strings",
                    hint="compile the source again",
                )
            raw = data[offset : offset + _MAX_TEXT]
            found = known[offset] = raw.partition(b"\0")[0].decode(errors="replace")
        return found

    return text


def _read_ext(container: Container, text: Callable[[int], str]) -> dict[str, SectionInfo]:
    sizes = {s.name: s.size for s in code_sections(container)}
    section = container.section_named(".BTF.ext")
    if section is None or section.type != PROGBITS or container.section_named(".BTF") is None:
        return {name: SectionInfo() for name in sizes}
    return parse_ext(section.data, text, sizes, container.file)


def _apply_core(
    linker: Linker, infos: dict[str, SectionInfo], btf: Btf, target: Target | None
) -> bool:
    """Apply the CO-RE relocations. False if they should have gone by a kernel's types, and there
    are none. One that cannot be applied is a fault of its slot, at the source line. Raises
    BpfheapError if those types cannot be read."""
    resolver = _CoreResolver(btf, target)
    for name, insns in linker.instructions().items():
        info = infos[name]
        missing: dict[int, str] = {}
        for relo in info.relos:
            if relo.kind != CoreKind.TYPE_ID_LOCAL:
                resolver.open()
            try:
                relocation = _core_relocation(relo)
                if not apply(insns, relo.slot, resolver.resolve(relocation)):
                    missing[relo.slot] = described(btf, relocation)
            except BpfheapError as error:
                line = info.line_of(relo.slot)
                if line is not None and error.file is None:
                    error.at(line.file, line.line)
                linker.fault(name, relo.slot, error)
        linker.note_missing(name, missing)
    return resolver.satisfied


def _core_relocation(relo: CoreRelo) -> CoreRelocation:
    try:
        return CoreRelocation(relo.type_id, relo.access, CoreKind(relo.kind))
    except ValueError:
        raise RelocationError(
            f"unknown CO-RE relocation kind {relo.kind}",
            hint="known are 0 (field offset) to 12 (type matches)",
        ) from None


class _CoreResolver:
    """By the target's types, which are not asked for before they are needed; by the object's own
    where there are none."""

    def __init__(self, btf: Btf, target: Target | None) -> None:
        self._btf = btf
        self._target = target
        self._types: CoreTarget | None = None
        self._asked = False
        self._own: dict[CoreRelocation, CoreResult] = {}
        #: No relocation wanted types that are not there.
        self.satisfied = True

    def open(self) -> None:
        """Raises BpfheapError for types that cannot be read."""
        if self._target is None or self._asked:
            return
        types = self._target.types()
        if types is not None:
            self._types = CoreTarget(self._btf, types, self._target.modules)
        self._asked = True

    def resolve(self, relocation: CoreRelocation) -> CoreResult:
        if relocation.kind is not CoreKind.TYPE_ID_LOCAL and self._target is not None:
            self.open()
            if self._types is not None:
                return self._types.resolve(relocation)
            self.satisfied = False
        found = self._own.get(relocation)
        if found is None:
            found = self._own[relocation] = CoreResult(core_value(self._btf, *relocation))
        return found


# -- programs


def _one(names: tuple[str, ...]) -> str | None:
    return names[0] if len(names) == 1 else None


def _license(container: Container) -> str:
    section = container.section_named("license")
    if section is None or section.type == NOBITS:
        return ""
    return section.data.partition(b"\0")[0].decode(errors="replace")


def _program(
    linked: LinkedProgram, btf: Btf, license_: str, file: str, held: list[OpsMember]
) -> ProgramSpec:
    fault = linked.fault or reused(linked.function.name, held, file)
    return ProgramSpec(
        name=linked.function.name,
        section=linked.section,
        insns=linked.insns,
        refs=linked.refs,
        subprogs=linked.subprogs,
        lines=linked.lines,
        btf=btf,
        license=license_,
        file=file,
        broken=None if fault is None else _in_one_line(fault, file),
        member=held[0] if held else None,
    )
