"""The FILE arguments: C sources, BPF objects, and folders of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bpfheap.compile import CompileOptions
from bpfheap.compile.options import words_of
from bpfheap.sources import expand

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="BPF C source (.bpf.c, compiled on the fly), BPF ELF object, or a folder of them.",
        show_default=False,
    ),
]

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


__all__ = ["Files", "compiles", "expand"]
