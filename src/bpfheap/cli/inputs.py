"""The FILE arguments: C sources, BPF objects, and folders of them; the kernel that they are for;
and what is changed of them."""

from __future__ import annotations

from itertools import repeat
from pathlib import Path
from typing import Annotated

import typer

from bpfheap.errors import UsageError
from bpfheap.runtime.settings import constants, read_value, with_entries, with_rodata
from bpfheap.sources import expand
from bpfheap.spec import ObjectSpec

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="BPF C source (.bpf.c, compiled on the fly), BPF ELF object, or a folder of them.",
        show_default=False,
    ),
]

KernelBtf = Annotated[
    str | None,
    typer.Option(
        "--kernel-btf",
        metavar="FILE|none",
        help="The kernel that the files are for: a file with its BTF.",
        show_default="kernel-btf of pyproject.toml, or this system's",
    ),
]

KernelConfig = Annotated[
    str | None,
    typer.Option(
        "--kconfig",
        metavar="FILE|none",
        help="That kernel's configuration, for __kconfig.",
        show_default="kconfig of pyproject.toml, or this system's",
    ),
]

Constants = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Another value for a `const volatile` variable: a number, true, the name of an "
        "enum's value, text, or JSON for arrays and structs. May be repeated.",
        show_default=False,
    ),
]
Entries = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="NAME=ENTRIES",
        help="Another size (max_entries) for a map. May be repeated.",
        show_default=False,
    ),
]


class Settings:
    """What --set and --map ask for. Raises UsageError for what does not say it."""

    def __init__(self, constants: list[str] | None, entries: list[str] | None) -> None:
        self._rodata = {
            name: read_value(text) for name, text in map(_pair, constants or [], repeat("--set"))
        }
        self._entries: dict[str, int] = {}
        for name, text in map(_pair, entries or [], repeat("--map")):
            if not (text.isascii() and text.isdigit() and len(text) < 12):
                raise UsageError(f"--map {name}={text} gives no number of entries")
            self._entries[name] = int(text)
        self._used: set[tuple[str, str]] = set()
        self._known: dict[str, list[str]] = {"constant": [], "map": []}

    def applied(self, obj: ObjectSpec) -> ObjectSpec:
        """The file with what is asked for of what it has. Raises UsageError."""
        there = list(constants(obj))
        maps = [spec.name for spec in obj.maps.values() if spec.data is None]
        self._known["constant"] += there
        self._known["map"] += maps
        rodata = {name: value for name, value in self._rodata.items() if name in there}
        entries = {name: count for name, count in self._entries.items() if name in maps}
        self._used |= {("constant", name) for name in rodata} | {("map", name) for name in entries}
        return with_entries(with_rodata(obj, rodata), entries)

    def check_used(self) -> None:
        """Raises UsageError for a name that no file had."""
        for what, names in (("constant", self._rodata), ("map", self._entries)):
            for name in names:
                if (what, name) not in self._used:
                    known = ", ".join(dict.fromkeys(self._known[what])) or "none"
                    raise UsageError(f"there is no {what} {name}", hint=f"there is {known}")


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"{option} {text} sets nothing", hint=f"write {option} NAME=VALUE")
    return name, value


__all__ = [
    "Constants",
    "Entries",
    "Files",
    "KernelBtf",
    "KernelConfig",
    "Settings",
    "expand",
]
