"""Which instruction of a program compiled code is about: the line table (DWARF 4, section 6.2) of
an object file in which lines are slots, counted from 1."""

from __future__ import annotations

from collections.abc import Iterator

import llvmlite.binding as llvm

_COPY, _ADVANCE_PC, _ADVANCE_LINE, _SET_FILE, _SET_COLUMN = 1, 2, 3, 4, 5
_CONST_ADD_PC, _FIXED_ADVANCE_PC, _SET_ISA = 8, 9, 12
_END_SEQUENCE = 1


def slot_at(image: bytes, offset: int) -> int | None:
    """The slot that the instruction `offset` bytes into the code is about; None if nobody knows."""
    found = None
    for address, line in _rows(_section(image, ".debug_line")):
        if address > offset or offset < 0:
            break
        found = line - 1 if line else None
    return found


def _section(image: bytes, name: str) -> bytes:
    file = llvm.ObjectFileRef.from_data(image)
    # Names are bytes.
    found = (bytes(s.data()) for s in file.sections() if s.name() == name.encode())
    return next(found, b"")


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def leb(self, *, signed: bool = False) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value - (1 << shift) if signed and byte & 0x40 else value


def _rows(table: bytes) -> Iterator[tuple[int, int]]:
    """Addresses, and lines from there on, of the first sequence."""
    if len(table) < 16:
        return
    start = 10 + int.from_bytes(table[6:10], "little")
    least, line_base, line_range, opcode_base = table[10], table[13], table[14], table[15]
    line_base -= line_base >> 7 << 8
    reader, address, line = _Reader(table, start), 0, 1
    while reader.at < len(table):
        opcode = reader.byte()
        if opcode >= opcode_base:
            opcode -= opcode_base
            address += opcode // line_range * least
            line += line_base + opcode % line_range
            yield address, line
        elif opcode == 0:
            length = reader.leb()
            if table[reader.at] == _END_SEQUENCE:
                yield address, 0
                return
            # An address is that of the code's beginning.
            reader.at += length
        elif opcode == _COPY:
            yield address, line
        elif opcode == _ADVANCE_PC:
            address += reader.leb() * least
        elif opcode == _ADVANCE_LINE:
            line += reader.leb(signed=True)
        elif opcode == _CONST_ADD_PC:
            address += (255 - opcode_base) // line_range * least
        elif opcode == _FIXED_ADVANCE_PC:
            address += int.from_bytes(table[reader.at : reader.at + 2], "little")
            reader.at += 2
        elif opcode in (_SET_FILE, _SET_COLUMN, _SET_ISA):
            reader.leb()
