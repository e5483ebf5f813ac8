"""The container: which sections, symbols and relocations a relocatable BPF object has.

pyelftools reads the tables; it trusts what it reads, so every offset, size and index is held
against the file's length first. Contents are slices of the file, never decompressed.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

from elftools.elf.elffile import ELFFile

from bpfheap.errors import ElfError

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_SYM_SIZE, _REL_SIZE = 24, 16

_ET_REL, _EM_NONE, _EM_BPF = 1, 0, 247
_ELFCLASS64, _ELFDATA2LSB, _ELFDATA2MSB = 2, 1, 2
_TYPES = {1: "not linked", 2: "an executable", 3: "a shared object", 4: "a core dump"}
_MACHINES = {3: "x86", 8: "MIPS", 21: "PowerPC", 22: "s390", 40: "Arm", 62: "x86-64",
             183: "AArch64", 243: "RISC-V", 258: "LoongArch"}  # fmt: skip

NULL, PROGBITS, SYMTAB, STRTAB, RELA, NOBITS, REL = 0, 1, 2, 3, 4, 8, 9
_READ = frozenset({PROGBITS, SYMTAB, STRTAB, NOBITS, REL})
ALLOC, EXECINSTR = 0x2, 0x4

#: Longer names are no names. Without a bound, many symbols could share one huge name.
_MAX_NAME = 4096

#: All but NUL, which ends names. They would garble every message about the name.
_CONTROLS = bytes([*range(1, 32), 127])

#: R_BPF_NONE: a relocation of nothing, as linkers leave where one was done away with.
_R_BPF_NONE = 0

#: Where ELF keeps how stacks are unwound, which no BPF program needs.
_UNWINDING = ".eh_frame"

_COMPILE = "compile it with `clang -target bpf -O2 -g -c`"


@dataclass(frozen=True, slots=True)
class Section:
    """A section that a reader may need."""

    index: int
    name: str
    type: int
    flags: int
    #: Bytes that it takes in memory.
    size: int
    #: Empty for NOBITS.
    data: bytes
    #: Section indices, where the type says so (sh_info, sh_link).
    info: int = 0
    link: int = 0

    @property
    def executable(self) -> bool:
        return self.type == PROGBITS and bool(self.flags & EXECINSTR)


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol. `type`, `bind` and `visibility` are pyelftools' names: "STT_FUNC", "STB_LOCAL",
    "STV_HIDDEN"."""

    name: str
    #: The index of its section; None if it is undefined or absolute.
    section: int | None
    value: int
    size: int
    type: str
    bind: str
    visibility: str
    undefined: bool


@dataclass(frozen=True, slots=True)
class Reloc:
    """A relocation at byte `offset` of a section; `type` is the number of its recipe."""

    offset: int
    type: int
    symbol: Symbol


@dataclass(frozen=True, slots=True)
class Container:
    """An ELF object, checked."""

    file: str
    #: By index; None for sections of types that nothing here reads.
    sections: tuple[Section | None, ...]
    symbols: tuple[Symbol, ...]
    #: By the index of the section that they change, in the order of offsets.
    relocs: dict[int, tuple[Reloc, ...]]

    def section_named(self, name: str) -> Section | None:
        """The first section of that name."""
        return next((s for s in self.sections if s is not None and s.name == name), None)

    def section_at(self, index: int | None) -> Section | None:
        if index is None or not 0 <= index < len(self.sections):
            return None
        return self.sections[index]


def read_container(data: bytes, file: str) -> Container:
    """Read an ELF object. Raises ElfError unless it is a little-endian relocatable BPF object with
    symbols."""
    headers = _check(data, file)
    try:
        return _read(data, headers, file)
    except ElfError:
        raise
    except Exception as error:  # pyelftools raises what its parsers happen to raise
        raise ElfError(
            f"the ELF tables are broken: {type(error).__name__} {error}".rstrip(),
            file=file,
            hint=_COMPILE,
        ) from error


@dataclass(frozen=True, slots=True)
class _SectionHeader:
    """One row of the section table."""

    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    entsize: int


def _check(data: bytes, file: str) -> list[_SectionHeader]:
    """The section table, once it is known that following it stays inside the file."""

    def bad(message: str, hint: str = _COMPILE) -> ElfError:
        return ElfError(message, file=file, hint=hint)

    if data[:4] != b"\x7fELF":
        raise bad("not an ELF file")
    if len(data) < _EHDR.size:
        raise bad(f"the file ends inside the ELF header, after {len(data)} bytes")
    ident, etype, machine, _, _, _, shoff, _, _, _, _, shentsize, shnum, shstrndx = (
        _EHDR.unpack_from(data)
    )
    if ident[4] != _ELFCLASS64:
        raise bad("a 32-bit ELF file; BPF objects are 64-bit")
    if ident[5] == _ELFDATA2MSB:
        raise bad("a big-endian object", "compile it for this machine: `-target bpfel`")
    if ident[5] != _ELFDATA2LSB:
        raise bad(f"unknown byte order {ident[5]} in the ELF header")
    # LLVM before 4 names no machine (libbpf, bpf_object__elf_init).
    if machine not in (_EM_NONE, _EM_BPF):
        raise bad(f"an object for {_MACHINES.get(machine, f'machine {machine}')}, not for BPF")
    if etype != _ET_REL:
        raise bad(f"{_TYPES.get(etype, f'ELF type {etype}')}, not a relocatable object")
    if shnum == 0 or shentsize != _SHDR.size:
        raise bad("the ELF file has no section table", "do not strip the section headers")
    if shoff + shnum * _SHDR.size > len(data):
        raise bad(
            f"the section table (bytes {shoff} to {shoff + shnum * _SHDR.size}) reaches past the "
            f"end of the file ({len(data)} bytes)"
        )
    headers = []
    for i in range(shnum):
        _, stype, flags, _, offset, size, link, info, _, entsize = _SHDR.unpack_from(
            data, shoff + i * _SHDR.size
        )
        headers.append(_SectionHeader(stype, flags, offset, size, link, info, entsize))
    _check_sections(data, headers, shstrndx, bad)
    return headers


def _check_sections(data: bytes, headers: list[_SectionHeader], shstrndx: int, bad: Any) -> None:
    total = 0
    for i, h in enumerate(headers):
        if h.type in (NULL, NOBITS):
            continue
        if h.offset + h.size > len(data):
            raise bad(
                f"section {i} (bytes {h.offset} to {h.offset + h.size}) reaches past the end of "
                f"the file ({len(data)} bytes)"
            )
        total += h.size
        if h.type == STRTAB:
            text = data[h.offset : h.offset + h.size]
            if text[-1:] != b"\0" or max(map(len, text.split(b"\0"))) > _MAX_NAME:
                raise bad(f"section {i} is no string table: a name in it does not end")
            if text.translate(None, _CONTROLS) != text:
                raise bad(f"section {i} is no string table: control characters are in a name")
    if total > len(data):
        raise bad("sections overlap")

    def is_table(index: int, stype: int) -> bool:
        return 0 <= index < len(headers) and headers[index].type == stype

    if not is_table(shstrndx, STRTAB):
        raise bad(f"the names of the sections should be in section {shstrndx}, which has none")
    for i, h in enumerate(headers):
        if h.type in (SYMTAB, REL):
            entsize = _SYM_SIZE if h.type == SYMTAB else _REL_SIZE
            if h.entsize != entsize or h.size % entsize:
                raise bad(f"the entries of table section {i} are not {entsize} bytes long")
            if not is_table(h.link, STRTAB if h.type == SYMTAB else SYMTAB):
                raise bad(f"table section {i} refers to section {h.link}, which is of another type")
        if h.type == REL and not 0 < h.info < len(headers):
            raise bad(f"section {i} relocates section {h.info}, which does not exist")
    symtabs = sum(h.type == SYMTAB for h in headers)
    if symtabs != 1:
        raise bad(
            "the object has no symbol table" if not symtabs else "more than one symbol table",
            "do not strip it; `llvm-strip -g` would keep what is needed",
        )


def _read(data: bytes, headers: list[_SectionHeader], file: str) -> Container:
    elf = ELFFile(io.BytesIO(data))
    sections: list[Section | None] = []
    symbols: tuple[Symbol, ...] = ()
    tables: dict[int, Any] = {}
    for i, h in enumerate(headers):
        if h.type not in _READ:
            sections.append(None)
            continue
        table = elf.get_section(i)
        content = b"" if h.type == NOBITS else data[h.offset : h.offset + h.size]
        sections.append(
            Section(i, table.name, h.type, h.flags, h.size, content, info=h.info, link=h.link)
        )
        if h.type == SYMTAB:
            symbols = _symbols(table, len(headers))
        elif h.type == REL:
            tables[i] = table
    _check_addends(headers, sections, file)
    relocs: dict[int, list[Reloc]] = {}
    for i, table in tables.items():
        target = sections[headers[i].info]
        if target is not None and _is_needed(target):
            found = relocs.setdefault(target.index, [])
            found += _relocs(table, symbols, target, file)
    return Container(
        file=file,
        sections=tuple(sections),
        symbols=symbols,
        relocs={i: tuple(sorted(r, key=lambda r: r.offset)) for i, r in relocs.items()},
    )


def _check_addends(
    headers: list[_SectionHeader], sections: list[Section | None], file: str
) -> None:
    """libbpf and cilium/ebpf pass relocations with addends over, so that what they change stays as
    it is: nothing for debug information, but a program that refers to no map. Raises ElfError."""
    for h in headers:
        target = sections[h.info] if h.type == RELA and h.info < len(sections) else None
        if target is not None and target.name != _UNWINDING and _is_needed(target):
            raise ElfError(
                f"section {target.name} has relocations with addends (RELA), which loaders of BPF "
                "do not read",
                file=file,
                hint=_COMPILE,
            )


def _is_needed(target: Section) -> bool:
    """Are a section's relocations read? Not those of debug information, which nothing uses, and of
    .BTF.ext, which add 0 (they are against the start of a section)."""
    return bool(target.flags & ALLOC) or target.name == ".BTF"


def _symbols(table: Any, sections: int) -> tuple[Symbol, ...]:
    symbols = []
    for s in table.iter_symbols():
        index = s["st_shndx"]
        inside = isinstance(index, int) and 0 < index < sections
        symbols.append(
            Symbol(
                name=s.name,
                section=index if inside else None,
                value=s["st_value"],
                size=s["st_size"],
                type=str(s["st_info"]["type"]),
                bind=str(s["st_info"]["bind"]),
                visibility=str(s["st_other"]["visibility"]),
                undefined=index == "SHN_UNDEF",
            )
        )
    return tuple(symbols)


def _relocs(table: Any, symbols: tuple[Symbol, ...], target: Section, file: str) -> list[Reloc]:
    found = []
    for r in table.iter_relocations():
        if r["r_info_type"] == _R_BPF_NONE:
            continue
        index, offset = r["r_info_sym"], r["r_offset"]
        if index >= len(symbols):
            raise ElfError(
                f"a relocation in section {target.name} is against symbol {index}, "
                f"but there are only {len(symbols)}",
                file=file,
                hint=_COMPILE,
            )
        if offset >= target.size:
            raise ElfError(
                f"a relocation at byte {offset} of section {target.name} is out of it "
                f"({target.size} bytes)",
                file=file,
                hint=_COMPILE,
            )
        found.append(Reloc(offset, r["r_info_type"], symbols[index]))
    return found
