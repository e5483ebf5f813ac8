""".BTF.ext: which function, which source line, and which CO-RE relocation is at which slot
(Linux, Documentation/bpf/btf.rst, section 4.2; tools/lib/bpf/libbpf_internal.h).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bpfheap.errors import BtfError
from bpfheap.isa import SLOT_SIZE
from bpfheap.spec import SourceLine

_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")  # without the CO-RE part, which came later
_CORE_PART = struct.Struct("<II")
_SECTION = struct.Struct("<II")
_FUNC = struct.Struct("<II")
_LINE = struct.Struct("<IIII")
_CORE = struct.Struct("<IIII")

_STALE = "compile the source again"


def _path(text: str) -> str:
    """A path without the compilation directory, which is ".", and without control characters."""
    path = text.removeprefix("./")
    return path if path.isprintable() else "".join(c if c.isprintable() else "?" for c in path)


@dataclass(frozen=True, slots=True)
class CoreRelo:
    """A CO-RE relocation: `access` is an access string such as "0:1", `kind` a number of enum
    bpf_core_relo_kind."""

    slot: int
    type_id: int
    access: str
    kind: int


@dataclass(slots=True)
class SectionInfo:
    """What .BTF.ext says of one code section. Keys are slots in the section."""

    #: The id of the BTF FUNC of the function that starts at a slot.
    funcs: dict[int, int] = field(default_factory=dict)
    #: The source line that starts at a slot.
    lines: dict[int, SourceLine] = field(default_factory=dict)
    #: The keys of `lines`, sorted.
    line_slots: list[int] = field(default_factory=list)
    relos: list[CoreRelo] = field(default_factory=list)

    def line_of(self, slot: int) -> SourceLine | None:
        """The line that a slot belongs to: the one that starts there or last before it."""
        at = bisect_right(self.line_slots, slot)
        return self.lines[self.line_slots[at - 1]] if at else None


def parse_ext(
    data: bytes, text: Callable[[int], str], sizes: dict[str, int], file: str
) -> dict[str, SectionInfo]:
    """Everything in .BTF.ext, by section.

    `text` gives the string at an offset of .BTF's strings (BtfError if there is none); `sizes` are
    the bytes of code that each section has. Raises BtfError.
    """
    reader = _ExtReader(data, text, sizes, file)
    found = {name: SectionInfo() for name in sizes}
    for name, slot, record in reader.records(0, _FUNC):
        found[name].funcs[slot] = record[1]
    for name, slot, record in reader.records(1, _LINE):
        _, file_name, line, position = record
        # 22 bits of line, 10 of column (BPF_LINE_INFO_LINE_NUM, BPF_LINE_INFO_LINE_COL).
        found[name].lines[slot] = SourceLine(
            file=_path(text(file_name)),
            line=position >> 10,
            column=position & 0x3FF,
            text=text(line),
        )
    for name, slot, record in reader.records(2, _CORE):
        _, type_id, access, kind = record
        found[name].relos.append(CoreRelo(slot, type_id, text(access), kind))
    for info in found.values():
        info.line_slots = sorted(info.lines)
    return found


class _ExtReader:
    """Reads the three tables (functions, lines, CO-RE relocations), which have the same layout."""

    def __init__(
        self, data: bytes, text: Callable[[int], str], sizes: dict[str, int], file: str
    ) -> None:
        self._data = data
        self._text = text
        self._sizes = sizes
        self._file = file
        self._tables = self._header()

    def _bad(self, message: str) -> BtfError:
        return BtfError(f"broken .BTF.ext: {message}", file=self._file, hint=_STALE)

    def _header(self) -> list[tuple[int, int]]:
        """Start and end of each table in the data; (0, 0) for one that is missing."""
        data = self._data
        if len(data) < _HEADER.size:
            raise self._bad(f"it ends inside its header, after {len(data)} bytes")
        magic, version, _, hdr_len, *places = _HEADER.unpack_from(data)
        if magic != _MAGIC:
            raise self._bad(f"magic is 0x{magic:04x}, not 0x{_MAGIC:04x}")
        if version != 1:
            raise self._bad(f"version is {version}, not 1")
        if not _HEADER.size <= hdr_len <= len(data):
            raise self._bad(f"its header claims {hdr_len} bytes")
        if hdr_len >= _HEADER.size + _CORE_PART.size:
            places += _CORE_PART.unpack_from(data, _HEADER.size)
        tables = []
        for start, length in zip(places[::2], places[1::2], strict=True):
            if hdr_len + start + length > len(data):
                raise self._bad(
                    f"a table (bytes {hdr_len + start} to {hdr_len + start + length}) reaches past "
                    f"its end ({len(data)} bytes)"
                )
            tables.append((hdr_len + start, hdr_len + start + length) if length else (0, 0))
        tables += [(0, 0)] * (3 - len(tables))
        return tables

    def records(
        self, table: int, layout: struct.Struct
    ) -> Iterator[tuple[str, int, tuple[int, ...]]]:
        """(section, slot, fields) of each record; the first field is the offset that gave slot."""
        at, end = self._tables[table]
        if at == end:
            return
        if end - at < 4:
            raise self._bad("a table is shorter than its record size")
        size = int.from_bytes(self._data[at : at + 4], "little")
        at += 4
        # Later versions may append fields to a record, so it may be longer than we know.
        if size < layout.size or size % 4:
            raise self._bad(f"records are {size} bytes long, not {layout.size}")
        while at < end:
            if end - at < _SECTION.size:
                raise self._bad("a table ends inside the name of a section")
            name_at, count = _SECTION.unpack_from(self._data, at)
            at += _SECTION.size
            name = self._text(name_at)
            if name not in self._sizes:
                raise self._bad(f"it tells of section {name!r}, which has no code")
            if count * size > end - at:
                raise self._bad(f"section {name} has {count} records, which are too many")
            for _ in range(count):
                fields = layout.unpack_from(self._data, at)
                at += size
                offset = fields[0]
                if offset % SLOT_SIZE or offset >= self._sizes[name]:
                    raise self._bad(f"byte {offset} of section {name} starts no instruction")
                yield name, offset // SLOT_SIZE, fields
