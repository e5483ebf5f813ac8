"""The FILE arguments: C sources, BPF objects, and folders of them; the kernel that they are for;
and what is changed of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any

import typer

from bpfheap.compile import CompileOptions
from bpfheap.compile.options import words_of
from bpfheap.errors import UsageError
from bpfheap.runtime.settings import constants, read_value, sized, with_entries, with_rodata
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
        help="Another size (max_entries) for a map; OUTER.inner names the inner maps of a map of "
        "maps. May be repeated.",
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
        maps = sized(obj)
        self._known["constant"] += there
        self._known["map"] += maps
        rodata = {name: value for name, value in self._rodata.items() if name in there}
        entries = {name: count for name, count in self._entries.items() if name in maps}
        self._used |= {("constant", name) for name in rodata} | {("map", name) for name in entries}
        return with_entries(with_rodata(obj, rodata), entries)

    def check_used(self, *, of_context: bool = False) -> None:
        """Raises UsageError for a name that no file had. `of_context`: --set knows fields of the
        context, too."""
        for what, names in (("constant", self._rodata), ("map", self._entries)):
            for name in names:
                if (what, name) not in self._used:
                    known = ", ".join(dict.fromkeys(self._known[what])) or "none"
                    hint = f"there is {known}"
                    if what == "constant" and of_context:
                        hint += f"; a field of the context is --set ctx.{name}"
                    raise UsageError(f"there is no {what} {name}", hint=hint)


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"{option} {text} sets nothing", hint=f"write {option} NAME=VALUE")
    return name, value


_SOURCES = "How C sources are compiled"


def _option(*names: str, metavar: str, text: str) -> Any:
    return typer.Option(
        *names, metavar=metavar, help=text, rich_help_panel=_SOURCES, show_default=False
    )


#: The options of all commands that take sources, by the names that CompileOptions has for them.
_COMPILING: dict[str, tuple[Any, Any]] = {
    "include": (
        list[str],
        _option("-I", "--include", metavar="DIR", text="Look for headers in this folder first."),
    ),
    "define": (
        list[str],
        _option("-D", "--define", metavar="NAME[=VALUE]", text="Define this macro."),
    ),
    "cflags": (
        list[str],
        _option("--cflags", metavar="FLAGS", text="Give the compiler these flags too, the last."),
    ),
    "compile_commands": (
        str | None,
        _option(
            "--compile-commands",
            metavar="FILE",
            text="Take what this compile_commands.json says of the source; otherwise one next to "
            "the source or above counts.",
        ),
    ),
}


def compiles(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of how sources are compiled. It gets them as one value, by its
    parameter `compiling`."""

    @functools.wraps(command)
    def inner(*args: Any, **given: Any) -> None:
        said = {name: given.pop(name) for name in _COMPILING}
        said["cflags"] = [word for text in said["cflags"] or () for word in words_of(text)]
        said = {name: value for name, value in said.items() if value}
        command(*args, compiling=CompileOptions.of(**said), **given)

    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "compiling"]
    more = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, option],
        )
        for name, (kind, option) in _COMPILING.items()
    ]
    inner.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
    inner.__annotations__ = {p.name: p.annotation for p in (*own, *more)}
    del inner.__wrapped__  # typer would look at what is behind it
    return inner


__all__ = [
    "Constants",
    "Entries",
    "Files",
    "KernelBtf",
    "KernelConfig",
    "Settings",
    "compiles",
    "expand",
]
