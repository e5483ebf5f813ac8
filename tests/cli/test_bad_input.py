"""Broken objects and sources: one clear line, exit 1, never a traceback."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli_harness import Cli

pytest_plugins = ["cli_harness"]

HEAD = "#include <bpfheap.h>\n"
MAP = "struct { %s __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); } m"
TWO_GIB = 1 << 31


class Patch:
    """An ELF64 object that can be edited in place; offsets as in elf.h."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        (table,) = struct.unpack_from("<Q", data, 0x28)
        size, count, names = struct.unpack_from("<HHH", data, 0x3A)
        headers = [table + i * size for i in range(count)]
        (strings,) = struct.unpack_from("<Q", data, headers[names] + 0x18)
        self.header: dict[str, int] = {}
        for at in headers:
            start = strings + struct.unpack_from("<I", data, at)[0]
            self.header[data[start : data.index(b"\0", start)].decode()] = at

    def size(self, section: str, value: int) -> Patch:
        struct.pack_into("<Q", self.data, self.header[section] + 0x20, value)
        return self

    def offset(self, section: str, value: int) -> Patch:
        struct.pack_into("<Q", self.data, self.header[section] + 0x18, value)
        return self

    def byte(self, at: int, value: int) -> Patch:
        self.data[at] = value
        return self


OBJECTS: dict[str, Callable[[bytes], bytes | bytearray]] = {
    "empty": lambda _: b"",
    "not an ELF": lambda _: b"hello, I am a text file\n" * 10,
    "ELF magic alone": lambda _: b"\x7fELF",
    "cut in half": lambda good: good[: len(good) // 2],
    "big-endian": lambda good: Patch(good).byte(5, 2).data,
    "32 bits": lambda good: Patch(good).byte(4, 1).data,
    "for another machine": lambda good: Patch(good).byte(0x12, 62).data,
    "truncated .BTF": lambda good: Patch(good).size(".BTF", 10).data,
    ".BTF without its end": lambda good: Patch(good).size(".rel.BTF", 0).size(".BTF", 200).data,
    "wild .BTF": lambda good: Patch(good).offset(".BTF", 0).data,
    "truncated .BTF.ext": lambda good: Patch(good).size(".BTF.ext", 20).data,
    "2 GiB .BTF": lambda good: Patch(good).size(".BTF", TWO_GIB).data,
    "2 GiB .maps": lambda good: Patch(good).size(".maps", TWO_GIB).data,
    "2 GiB of symbols": lambda good: Patch(good).size(".symtab", TWO_GIB).data,
    "2 GiB of names": lambda good: Patch(good).size(".strtab", TWO_GIB).data,
    "section far outside": lambda good: Patch(good).offset(".BTF", 1 << 62).data,
}

#: Source -> what the line must mention.
SOURCES: dict[str, tuple[str, str]] = {
    "map without type": (
        f'{MAP % ""} SEC(".maps"); SEC("tc") int x(void *c) '
        "{ __u32 k = 0; bpf_map_delete_elem(&m, &k); return 0; }",
        "m",
    ),
    "map of an unknown type": (
        f'{MAP % "__uint(type, 4242);"} SEC(".maps"); SEC("tc") int x(void *c) '
        "{ __u32 k = 0; bpf_map_delete_elem(&m, &k); return 0; }",
        "4242",
    ),
    "unknown helper": (
        'SEC("tc") int x(void *c) { return ((long (*)(void))9999)(); }',
        "9999",
    ),
    "call to nothing": (
        'extern int nothing(void); SEC("tc") int x(void *c) { return nothing(); }',
        "nothing",
    ),
    "variable that is nowhere": (
        'extern int nowhere; SEC("tc") int x(void *c) { return nowhere; }',
        "nowhere",
    ),
    "endless loop": ('SEC("tc") int x(void *c) { for (;;) barrier(); }', ""),
    "endless recursion": (
        "static __noinline int f(int n) { return bpf_get_prandom_u32() ? f(n) + f(1) : n; } "
        'SEC("tc") int x(void *c) { return f(1); }',
        "",
    ),
    "no exit": ('SEC("tc") int x(void *c) { bpf_ktime_get_ns(); __builtin_unreachable(); }', ""),
}


def judge(cli: Cli, path: Path, mention: str) -> None:
    """Both commands that read files give one line that names the file, and exit 1."""
    for command in (["check", path], ["run", path, "-p", "x"]):
        result = cli(*command)
        assert result.code == 1, result
        lines = [line for line in (result.out + result.err).splitlines() if str(path) in line]
        named = [line for line in lines if not line.startswith("reject ")]
        assert len(named) == 1, result
        assert mention in named[0]
        assert len(named[0]) < len(str(path)) + 600
    document = cli("check", path, "--json")
    assert document.code == 1
    errors = [p["error"] for p in document.json["programs"]] + document.json.get("errors", [])
    assert [bool(error and error["message"]) for error in errors] == [True]


@pytest.mark.parametrize("name", OBJECTS)
def test_broken_object(cli: Cli, first_object: bytes, tmp_path: Path, name: str) -> None:
    path = tmp_path / "broken.o"
    path.write_bytes(OBJECTS[name](first_object))
    judge(cli, path, "")


@pytest.mark.parametrize("name", SOURCES)
def test_broken_source(cli: Cli, tmp_path: Path, name: str) -> None:
    path = tmp_path / "broken.bpf.c"
    source, mention = SOURCES[name]
    path.write_text(f"{HEAD}{source}\n")
    judge(cli, path, mention)
