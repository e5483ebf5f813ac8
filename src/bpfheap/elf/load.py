"""Bytes of a BPF ELF object -> ObjectSpec. Deterministic: what the object needs of a kernel comes
from the `Target` that is given."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bpfheap.btf import (
    Btf,
    CoreKind,
    CoreRelocation,
    CoreResult,
    CoreTarget,
    Datasec,
    core_value,
)
from bpfheap.btf.core import described
from bpfheap.btf.raw import parse_types
from bpfheap.elf.container import NOBITS, PROGBITS, Container, read_container
from bpfheap.elf.ext import CoreRelo, SectionInfo, parse_ext
from bpfheap.elf.externs import Externs
from bpfheap.elf.kconfig import kconfig_map, place
from bpfheap.elf.link import LinkedProgram, Linker, code_sections
from bpfheap.elf.maps import read_maps
from bpfheap.elf.patch import apply
from bpfheap.elf.recipes import relocate_data
from bpfheap.elf.target import Target
from bpfheap.errors import BpfheapError, BtfError, ElfError, InsnError, RelocationError, UsageError
from bpfheap.isa.check import check_structure
from bpfheap.spec import ObjectSpec, ProgramSpec, SourceLine

#: Nothing larger is read at all; the largest objects in use have a tenth of it.
_MAX_FILE = 256 << 20

#: Header of .BTF: magic, version, flags, length, place and length of types and of strings.
_BTF_HEADER = struct.Struct("<HBBIIIII")
#: Longer source lines and paths are cut.
_MAX_TEXT = 4096


def load_spec(
    source: Path | str | bytes, *, file: str | None = None, target: Target | None = None
) -> ObjectSpec:
    """Read an object from its path, or from its bytes; `file` is what errors and specs call it.
    `target` is the kernel that it is for; without one, its own types stand for a kernel's.

    Raises UsageError if there is no such file, else ElfError, BtfError, RelocationError or
    InsnError, each with the file and, where it is known, the source line.
    """
    if isinstance(source, bytes):
        data, name = source, file or "<bytes>"
    else:
        data, name = _read(Path(source)), file or str(source)
    try:
        return _load(data, name, target)
    except BpfheapError as error:
        error.at(name)
        # Names in a broken BTF can hold anything; a message is one line.
        error.message = _one_line(error.message)
        raise


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


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
    config = kconfig_map(btf, weak, target)
    if config is not None:
        maps.by_name[config.name] = config
    linker = Linker(
        container,
        infos,
        maps_at=maps.by_offset,
        data_sections=maps.data_sections,
        externs=Externs(btf, target),
    )
    notes: tuple[str, ...] = ()
    if not _apply_core(linker, infos, btf, target) and target is not None:
        note = target.without_types()
        notes = () if note is None else (note,)
    license_ = _license(container)
    programs: dict[str, ProgramSpec] = {}
    for linked in linker.link():
        if linked.function.name in programs:
            raise ElfError(f"two programs are called {linked.function.name}", hint="rename one")
        program = _program(linked, btf, license_, file)
        _check(program)
        programs[program.name] = program
    return ObjectSpec(file, btf, maps.by_name, programs, license_, notes)


# -- BTF


def _read_btf(container: Container) -> tuple[Btf, Callable[[int], str]]:
    """The types, and the string at an offset of .BTF (BtfError if there is none)."""
    section = container.section_named(".BTF")
    if section is None or section.type != PROGBITS:
        return Btf.EMPTY, _strings(b"")
    relocs = container.relocs.get(section.index, ())
    types = parse_types(relocate_data(section, relocs, container.file), container.file)
    # The compiler leaves sizes of sections to the linker.
    sizes = {s.name: s.size for s in container.sections if s is not None}
    fixed = tuple(
        replace(kind, size=sizes.get(kind.name, 0))
        if isinstance(kind, Datasec) and not kind.size
        else kind
        for kind in types
    )
    *_, header, _, _, at, length = _BTF_HEADER.unpack_from(section.data)
    return place(Btf(fixed, container.file)), _strings(
        section.data[header + at : header + at + length]
    )


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
    are none. Raises RelocationError and InsnError, at the source line."""
    resolver = _CoreResolver(btf, target)
    for name, insns in linker.instructions().items():
        info = infos[name]
        missing: dict[int, str] = {}
        for relo in info.relos:
            try:
                relocation = _core_relocation(relo)
                if not apply(insns, relo.slot, resolver.resolve(relocation)):
                    missing[relo.slot] = described(btf, relocation)
            except BpfheapError as error:
                line = info.line_of(relo.slot)
                if line is not None and error.file is None:
                    error.at(line.file, line.line)
                raise
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

    def resolve(self, relocation: CoreRelocation) -> CoreResult:
        if relocation.kind is not CoreKind.TYPE_ID_LOCAL and self._target is not None:
            if not self._asked:
                types = self._target.types()
                self._types = (
                    None if types is None else CoreTarget(self._btf, types, self._target.modules)
                )
                self._asked = True
            if self._types is not None:
                return self._types.resolve(relocation)
            self.satisfied = False
        found = self._own.get(relocation)
        if found is None:
            found = self._own[relocation] = CoreResult(core_value(self._btf, *relocation))
        return found


# -- programs


def _license(container: Container) -> str:
    section = container.section_named("license")
    if section is None or section.type == NOBITS:
        return ""
    return section.data.partition(b"\0")[0].decode(errors="replace")


def _program(linked: LinkedProgram, btf: Btf, license_: str, file: str) -> ProgramSpec:
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
    )


def _check(program: ProgramSpec) -> None:
    """Raises InsnError, at the source line, for code that cannot be a program."""
    try:
        check_structure(program.insns, program.refs)
    except InsnError as error:
        line: SourceLine | None = None
        if error.insn is not None:
            line = program.line_of(error.insn)
        raise InsnError(
            f"program {program.name}: {error.message}",
            insn=error.insn,
            file=line.file if line is not None else program.file,
            line=line.line if line is not None else None,
            hint=error.hint,
        ) from None
