"""Compiled objects for the tests, and a way to change single fields of them."""

from __future__ import annotations

import functools
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpfheap.compile import Compiler, compile_c, find_compilers
from bpfheap.elf import load_spec
from bpfheap.errors import BpfheapError
from bpfheap.spec import ObjectSpec


@functools.cache
def compilers() -> tuple[Compiler, ...]:
    return tuple(find_compilers())


@pytest.fixture(params=["clang", "ziglang"])
def compiler(request: pytest.FixtureRequest) -> Compiler:
    """The wheel's clang, which must be there, and the one on PATH, if there is one."""
    wheel = request.param == "ziglang"
    for found in compilers():
        if (found.name == "ziglang") is wheel:
            return found
    if wheel:
        pytest.fail("the ziglang wheel is not installed, though the project depends on it")
    pytest.skip("no clang with a BPF target on PATH")


@functools.cache
def build(source: str, compiler: Compiler | None = None, cflags: tuple[str, ...] = ()) -> bytes:
    """The object that C source compiles to; bpfheap.h is included."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.bpf.c"
        path.write_text(f"#include <bpfheap.h>\n{source}")
        # The wheel's clang is the one that is the same on every machine.
        return compile_c(path, compiler=compiler or compilers()[-1], cflags=cflags)


def spec_of(source: str, compiler: Compiler | None = None) -> ObjectSpec:
    return load_spec(build(source, compiler), file="test.bpf.o")


def fault_of(spec: ObjectSpec) -> BpfheapError:
    """What is wrong with the only program that cannot be linked."""
    (fault,) = (p.broken for p in spec.programs.values() if p.broken is not None)
    return fault


class Image:
    """An ELF object as bytes to be changed. Fields are those of Elf64_Ehdr and Elf64_Shdr."""

    EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
    EHDR_FIELDS = ("ident", "type", "machine", "version", "entry", "phoff", "shoff", "flags",
                   "ehsize", "phentsize", "phnum", "shentsize", "shnum", "shstrndx")  # fmt: skip
    SHDR = struct.Struct("<IIQQQQIIQQ")
    SHDR_FIELDS = ("name", "type", "flags", "addr", "offset", "size", "link", "info", "addralign",
                   "entsize")  # fmt: skip

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)

    def __bytes__(self) -> bytes:
        return bytes(self.data)

    def load(self) -> ObjectSpec:
        return load_spec(bytes(self.data), file="test.bpf.o")

    def header(self) -> dict[str, int]:
        return dict(zip(self.EHDR_FIELDS, self.EHDR.unpack_from(self.data), strict=True))

    def set_header(self, **fields: object) -> Image:
        self.EHDR.pack_into(self.data, 0, *(self.header() | fields).values())
        return self

    def sections(self) -> Iterator[tuple[str, int, dict[str, int]]]:
        """(name, where its header is, header)."""
        head = self.header()
        raw = [
            dict(
                zip(
                    self.SHDR_FIELDS,
                    self.SHDR.unpack_from(self.data, head["shoff"] + i * self.SHDR.size),
                    strict=True,
                )
            )
            for i in range(head["shnum"])
        ]
        names = raw[head["shstrndx"]]["offset"]
        for i, h in enumerate(raw):
            start = names + h["name"]
            name = bytes(self.data[start : self.data.index(0, start)]).decode()
            yield name, head["shoff"] + i * self.SHDR.size, h

    def section(self, name: str) -> dict[str, int]:
        return next(h for n, _, h in self.sections() if n == name)

    def content(self, name: str) -> bytes:
        h = self.section(name)
        return bytes(self.data[h["offset"] : h["offset"] + h["size"]])

    def set_section(self, name: str, **fields: int) -> Image:
        place, h = next((p, h) for n, p, h in self.sections() if n == name)
        self.SHDR.pack_into(self.data, place, *(h | fields).values())
        return self

    def rename(self, name: str, other: str) -> Image:
        """Give a section the name of another one."""
        place = next(p for n, p, _ in self.sections() if n == name)
        self.data[place : place + 4] = self.section(other)["name"].to_bytes(4, "little")
        return self

    def patch(self, name: str, offset: int, data: bytes) -> Image:
        at = self.section(name)["offset"] + offset
        self.data[at : at + len(data)] = data
        return self

    def replace(self, old: bytes, new: bytes) -> Image:
        """Every occurrence, of the same length."""
        assert len(old) == len(new)
        assert old in self.data
        self.data = self.data.replace(old, new)
        return self

    def append(self, name: str, data: bytes) -> Image:
        """Put a section's content at the end of the file, and change it to `data`."""
        at = len(self.data)
        self.data += data
        return self.set_section(name, offset=at, size=len(data))
