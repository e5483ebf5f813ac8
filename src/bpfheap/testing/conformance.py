"""The public conformance data (the bpf_conformance project): one program, its input and what it
must return, in a text file.

    -- asm        the program, in the dialect of `dialect`
    -- raw        the program as 64-bit words, or as bytes in hexadecimal
    -- mem        the input, bytes in hexadecimal: r1 points to it, r2 is its length
    -- result     r0 at the end
    -- error      running it must fail; with that text, if there is any
    -- c, -- no register offset     for other tools
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpfheap.errors import AsmError, BpfheapError, FormatError, InsnError, UsageError
from bpfheap.isa import Insn, check_structure, decode
from bpfheap.testing.dialect import assemble_dialect


@dataclass(frozen=True, slots=True)
class ConformanceCase:
    """One test of the conformance data. Either `result` or `error` is None."""

    name: str
    insns: tuple[Insn, ...]
    #: The input memory; None if the test has none.
    mem: bytes | None = None
    #: r0 at the end, as an unsigned 64-bit number.
    result: int | None = None
    #: A part of the expected error's text; "" is any error.
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _FileSection:
    """A section's text; `line` is the number of its first line."""

    line: int
    text: str

    def words(self) -> list[tuple[int, str]]:
        """The words and their lines, without comments."""
        return [
            (number, word)
            for number, line in enumerate(self.text.splitlines(), self.line)
            for word in line.partition("#")[0].split()
        ]


_HEADER = re.compile(r"--\s*(\S.*?)\s*")
_READ = frozenset({"asm", "raw", "mem", "result", "error"})
_IGNORED = frozenset({"c", "no register offset"})
_BYTE = re.compile(r"[0-9a-fA-F]{2}")
_WORD = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
_RESULT = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}")


def read_dir(path: Path) -> list[Path]:
    """The data files of a folder, by name. Raises UsageError if there is no such folder."""
    if not path.is_dir():
        raise UsageError("no such folder", file=str(path))
    return sorted(path.glob("*.data"))


def read_case(path: Path) -> ConformanceCase:
    """Read one file.

    Raises UsageError if it cannot be read, AsmError for text that is no case, InsnError for a
    program that is none (see `check_structure`): reserved fields, wild jumps, no end.
    """
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise AsmError(f"not a text file: {error.reason}", file=str(path)) from None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", file=str(path)) from None
    try:
        return parse_case(text, path.stem)
    except FormatError as error:
        raise error.at(str(path)) from None


def failure(path: Path, run: Callable[[Sequence[Insn], bytes], int]) -> str | None:
    """Run a file's program by `run`, which returns r0. Returns None if the result is the expected
    one, else "wrong result" or the error that reading or running the program raised."""
    try:
        case = read_case(path)
        return None if run(case.insns, case.mem or b"") == case.result else "wrong result"
    except BpfheapError as error:
        return str(error)


def parse_case(text: str, name: str) -> ConformanceCase:
    """The same for text that was read already. Raises AsmError and InsnError."""
    sections = _sections(text)
    programs = [
        read(sections[key]) for key, read in (("asm", _asm), ("raw", _raw)) if key in sections
    ]
    if not programs:
        raise AsmError("there is no program", hint="expected a section -- asm or -- raw")
    if any(program != programs[0] for program in programs):
        raise AsmError("the sections -- asm and -- raw are different programs")
    if ("result" in sections) == ("error" in sections):
        raise AsmError("expected either -- result or -- error", hint="exactly one of them")
    check_structure(programs[0])
    return ConformanceCase(
        name,
        programs[0],
        _memory(sections["mem"]) if "mem" in sections else None,
        _result(sections["result"]) if "result" in sections else None,
        sections["error"].text.strip() if "error" in sections else None,
    )


def _sections(text: str) -> dict[str, _FileSection]:
    sections: dict[str, _FileSection] = {}
    name: str | None = None
    start = 0
    lines = text.splitlines()
    for number, line in enumerate([*lines, "-- "], 1):
        last = number > len(lines)
        header = _HEADER.fullmatch(line.partition("#")[0])
        if header is None and not last:
            if name is None and line.partition("#")[0].strip():
                raise AsmError("text before the first section", line=number)
            continue
        if name is not None and name not in _IGNORED:
            if name in sections:
                raise AsmError(f"section -- {name} comes twice", line=start - 1)
            sections[name] = _FileSection(start, "\n".join(lines[start - 1 : number - 1]))
        if header is not None:
            name, start = header[1], number + 1
            if name not in _READ | _IGNORED:
                known = ", ".join(sorted(_READ | _IGNORED))
                raise AsmError(f"unknown section -- {name}", line=number, hint=f"known: {known}")
    return sections


def _asm(section: _FileSection) -> tuple[Insn, ...]:
    return assemble_dialect(section.text, section.line)


def _raw(section: _FileSection) -> tuple[Insn, ...]:
    words = section.words()
    wide = bool(words) and _WORD.fullmatch(words[0][1]) is not None
    pattern = _WORD if wide else _BYTE
    for line, word in words:
        if pattern.fullmatch(word) is None:
            kind = "a 64-bit word in hexadecimal" if wide else "a byte of two hexadecimal digits"
            raise AsmError(f"`{word[:40]}` is not {kind}", line=line)
    size = 8 if wide else 1
    code = b"".join(int(word, 16).to_bytes(size, "little") for _, word in words)
    try:
        return decode(code)
    except InsnError as error:
        raise error.at(None, section.line) from None


def _memory(section: _FileSection) -> bytes:
    words = section.words()
    for line, word in words:
        if _BYTE.fullmatch(word) is None:
            raise AsmError(
                f"`{word[:40]}` is not a byte", line=line, hint="expected two hexadecimal digits"
            )
    return bytes(int(word, 16) for _, word in words)


def _result(section: _FileSection) -> int:
    words = section.words()
    if len(words) != 1 or _RESULT.fullmatch(words[0][1]) is None:
        raise AsmError("-- result is not one unsigned number", line=section.line)
    line, word = words[0]
    value = int(word, 16 if "x" in word.lower() else 10)
    if value >= 1 << 64:
        raise AsmError(f"{word} does not fit into r0, which has 64 bits", line=line)
    return value
