"""Bytes of a BPF ELF object -> ObjectSpec. Deterministic: nothing here depends on the machine."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bpfheap.btf import Btf, CoreKind, Datasec, Func, Var, core_value
from bpfheap.btf.raw import parse_types
from bpfheap.elf.container import NOBITS, PROGBITS, Container, read_container
from bpfheap.elf.ext import CoreRelo, SectionInfo, parse_ext
from bpfheap.elf.link import Extern, LinkedProgram, Linker, code_sections
from bpfheap.elf.maps import read_maps
from bpfheap.elf.patch import patch
from bpfheap.elf.recipes import relocate_data
from bpfheap.errors import BpfheapError, BtfError, ElfError, RelocationError, UsageError
from bpfheap.spec import ObjectSpec, ProgramSpec

#: Nothing larger is read at all; the largest objects in use have a tenth of it.
_MAX_FILE = 256 << 20

#: Header of .BTF: magic, version, flags, length, place and length of types and of strings.
_BTF_HEADER = struct.Struct("<HBBIIIII")
#: Longer source lines and paths are cut.
_MAX_TEXT = 4096


def load_spec(source: Path | str | bytes, *, file: str | None = None) -> ObjectSpec:
    """Read an object from its path, or from its bytes; `file` is what errors and specs call it.

    A program that cannot be linked is `broken`; the others of its file do not suffer for it.

    Raises UsageError if there is no such file, else ElfError, BtfError or RelocationError, each
    with the file.
    """
    if isinstance(source, bytes):
        data, name = source, file or "<bytes>"
    else:
        data, name = _read(Path(source)), file or str(source)
    try:
        return _load(data, name)
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


def _load(data: bytes, file: str) -> ObjectSpec:
    container = read_container(data, file)
    btf, text = _read_btf(container)
    infos = _read_ext(container, text)
    maps = read_maps(container, btf)
    linker = Linker(
        container,
        infos,
        maps_at=maps.by_offset,
        data_sections=maps.data_sections,
        externs=_externs(btf),
    )
    _apply_core(linker, infos, btf)
    license_ = _license(container)
    programs: dict[str, ProgramSpec] = {}
    for linked in linker.link():
        if linked.function.name in programs:
            raise ElfError(f"two programs are called {linked.function.name}", hint="rename one")
        programs[linked.function.name] = _program(linked, btf, license_, file)
    return ObjectSpec(file=file, btf=btf, maps=maps.by_name, programs=programs, license=license_)


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
    return Btf(fixed, container.file), _strings(section.data[header + at : header + at + length])


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


def _externs(btf: Btf) -> dict[str, Extern]:
    """The kfuncs and kernel variables that the object declares, by name."""
    found: dict[str, Extern] = {}
    for kind in btf.types:
        if not isinstance(kind, Datasec) or kind.name not in (".ksyms", ".kconfig"):
            continue
        for entry in kind.vars:
            declared = btf[entry.type]
            if isinstance(declared, Func):
                found[declared.name] = Extern.KFUNC
            elif isinstance(declared, Var):
                found[declared.name] = Extern.KSYM if kind.name == ".ksyms" else Extern.KCONFIG
    return found


def _apply_core(linker: Linker, infos: dict[str, SectionInfo], btf: Btf) -> None:
    """Apply the CO-RE relocations. One that cannot be is a fault of its slot, at the source
    line."""
    values: dict[tuple[int, str, int], int] = {}
    for name, insns in linker.instructions().items():
        info = infos[name]
        for relo in info.relos:
            try:
                key = (relo.type_id, relo.access, relo.kind)
                if key not in values:
                    values[key] = _core_value(btf, relo)
                patch(insns, relo.slot, values[key])
            except BpfheapError as error:
                line = info.line_of(relo.slot)
                if line is not None and error.file is None:
                    error.at(line.file, line.line)
                linker.fault(name, relo.slot, error)


def _core_value(btf: Btf, relo: CoreRelo) -> int:
    try:
        kind = CoreKind(relo.kind)
    except ValueError:
        raise RelocationError(
            f"unknown CO-RE relocation kind {relo.kind}",
            hint="known are 0 (field offset) to 12 (type matches)",
        ) from None
    return core_value(btf, relo.type_id, relo.access, kind)


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
        broken=None if linked.fault is None else _in_one_line(linked.fault, file),
    )
