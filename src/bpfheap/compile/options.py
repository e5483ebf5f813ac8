"""What a source is compiled with: folders, macros, flags, and which of them counts where several
places say something.

`options_for` is the one place that decides. From the last word to the first: what the call or the
command line says, what pytest's ini file says (which the plugin puts below the call's),
`[tool.bpfheap]` of a pyproject.toml, the source's entry in a compile_commands.json, and what is
there by default. A macro has the value of the last word; folders of the last word are searched
first; flags are all there, those of the last word last.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypedDict

from bpfheap import project
from bpfheap.compile import commands
from bpfheap.errors import UsageError

_DEFINE: Final = re.compile(r"[A-Za-z_]\w*(\([^()=]*\))?(=.*)?", re.DOTALL)

#: Several strings, or one.
Texts = Iterable[str | Path] | str | Path


class GivenOptions(TypedDict, total=False):
    """What CompileOptions.of takes, for those who pass it on."""

    include: Texts
    define: Texts
    cflags: Texts
    compile_commands: str | Path | None


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """How sources are compiled; a value that can be compared and hashed.

    `include` are folders with headers, the first one searched first. `define` are macros, "NAME" or
    "NAME=VALUE". `cflags` are further arguments for the compiler; of several that exclude each
    other the last one counts. `compile_commands` is the file to use in place of the one found near
    the source.
    """

    include: tuple[str, ...] = ()
    define: tuple[str, ...] = ()
    cflags: tuple[str, ...] = ()
    compile_commands: str | None = None

    @classmethod
    def of(
        cls,
        *,
        include: Texts = (),
        define: Texts = (),
        cflags: Texts = (),
        compile_commands: str | Path | None = None,
    ) -> CompileOptions:
        """From what users write: lists, or a single one; `cflags` as one string are words as the
        shell has them. Raises UsageError for what is none of that."""
        words = _split(cflags, "cflags") if isinstance(cflags, str) else _texts(cflags, "cflags")
        defines = _texts(define, "define")
        for text in defines:
            if not _DEFINE.fullmatch(text):
                raise UsageError(f"{text!r} is no macro", hint="write NAME or NAME=VALUE")
        return cls(
            _texts(include, "include"),
            defines,
            words,
            _path(compile_commands, "compile_commands"),
        )

    def over(self, other: CompileOptions) -> CompileOptions:
        """Both, where these have the last word."""
        return CompileOptions(
            (*self.include, *other.include),
            (*other.define, *self.define),
            (*other.cflags, *self.cflags),
            self.compile_commands if self.compile_commands is not None else other.compile_commands,
        )

    def within(self, folder: Path) -> CompileOptions:
        """The same, where paths are relative to `folder`."""
        return replace(self, include=tuple(str(folder / path) for path in self.include))

    def words(self) -> list[str]:
        """As the command line has them."""
        found = [word for text in self.include for word in ("-I", text)]
        found += [word for text in self.define for word in ("-D", text)]
        found += ["--cflags", shlex.join(self.cflags)] if self.cflags else []
        if self.compile_commands is not None:
            found += ["--compile-commands", self.compile_commands]
        return found

    @classmethod
    def read(cls, words: Sequence[str]) -> tuple[CompileOptions, list[str]]:
        """The options that `words` wrote, and the words behind them. Raises UsageError."""
        found, rest = cls(), list(words)
        while len(rest) > 1 and rest[0] in ("-I", "-D", "--cflags", "--compile-commands"):
            match rest[0]:
                case "-I":
                    more = cls.of(include=rest[1])
                case "-D":
                    more = cls.of(define=rest[1])
                case "--cflags":
                    more = cls.of(cflags=rest[1])
                case _:
                    more = cls.of(compile_commands=rest[1])
            found = cls(
                found.include + more.include,
                found.define + more.define,
                found.cflags + more.cflags,
                more.compile_commands or found.compile_commands,
            )
            rest = rest[2:]
        return found, rest

    @property
    def macros(self) -> dict[str, str]:
        """The macros: name -> "NAME=VALUE"."""
        return {name_of_macro(text): text for text in self.define}


def name_of_macro(text: str) -> str:
    return re.split(r"[=(]", text, maxsplit=1)[0]


def options_for(source: Path, given: CompileOptions) -> CompileOptions:
    """All that counts for a source, with what its surroundings say below what is given.

    Raises UsageError for a file that says something that cannot be, and for folders that are not
    there.
    """
    found = given.over(_of_project())
    for folder in found.include:
        if not os.path.isdir(folder):
            raise UsageError(f"there is no folder {folder} to include from", hint="see -I")
    return found.over(_of_commands(source, found.compile_commands))


def words_of(text: str, what: str = "--cflags") -> tuple[str, ...]:
    """The words of a string as the shell has them. Raises UsageError."""
    return _split(text, what)


def _of_commands(source: Path, named: str | None) -> CompileOptions:
    entry = (
        commands.entry_near(source)
        if named is None
        else commands.entry_in(Path(named), source)
    )  # fmt: skip
    if entry is None:
        return CompileOptions()
    # Folders with headers stay among the flags: there are several kinds, whose order counts.
    return CompileOptions(define=entry.define, cflags=entry.flags)


def _of_project() -> CompileOptions:
    said = project.said(project.COMPILING)
    if said is None:
        return CompileOptions()
    try:
        return CompileOptions.of(**said.values).within(said.path.parent)
    except UsageError as error:
        raise error.at(str(said.path)) from None


def _texts(given: Texts, name: str) -> tuple[str, ...]:
    items = [given] if isinstance(given, str | Path) else given
    if not isinstance(items, Iterable) or isinstance(items, bytes | Mapping):
        raise UsageError(f"{name} is a list of strings, not {given!r}")
    texts = tuple(items)
    for text in texts:
        if not isinstance(text, str | Path) or not str(text) or "\0" in str(text):
            raise UsageError(f"{name} is a list of strings, and {text!r} is none for it")
    return tuple(map(str, texts))


def _path(given: object, name: str) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str | Path) or "\0" in str(given):
        raise UsageError(f"{name} is a path, not {given!r}")
    return str(given)


def _split(text: str, what: str) -> tuple[str, ...]:
    if "\0" in text:
        raise UsageError(f"{what} {text!r} cannot be told to a compiler")
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(
            f"{what} {text!r} are no words of a shell: {error}", hint="close all quotes"
        ) from None


def macros_in(flags: Sequence[str]) -> set[str]:
    """The names of the macros that flags define or undefine."""
    found = set()
    for number, flag in enumerate(flags):
        if flag in ("-D", "-U") and number + 1 < len(flags):
            found.add(name_of_macro(flags[number + 1]))
        elif flag[:2] in ("-D", "-U") and len(flag) > 2:
            found.add(name_of_macro(flag[2:]))
    return found
