"""compile_commands.json: what a project's own build compiles a source with
(clang's JSON Compilation Database Format Specification).

The compiler's target there may be the host, and its goal an object of the host: only what changes
how the source reads is taken.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any, Final, NamedTuple

from bpfheap.errors import UsageError

_NAME: Final = "compile_commands.json"
#: The kernel's own has ten megabytes.
_LARGEST: Final = 1 << 28

#: Flags with a path behind them, in the same word or the next one.
_PATHS: Final = ("-isystem", "-idirafter", "-iquote", "-include", "-imacros", "-I")
#: Flags that are whole words and change how C is read; any other one is the host's.
_READING: Final = re.compile(
    r"-std=.+|-W?no-.*|-Wno-.*|-nostdinc|-nostdlibinc|-ansi|-f(no-)?(ms-extensions|short-enums|"
    r"(un)?signed-char|builtin|blocks|strict-aliasing|unroll-loops|jump-tables|common|"
    r"merge-all-constants|gnu89-inline|wrapv|delayed-template-parsing|define-target-os-macros)|"
    r"-ftrivial-auto-var-init=.+"
)
#: Flags of the BPF target, which a build for it may have.
_TARGET: Final = re.compile(r"-mcpu=(v\d|generic|probe)|-m(no-)?(alu32|dwarfris)|-mbig-endian")


class Entry(NamedTuple):
    """What one entry says that counts: macros, "NAME" or "NAME=VALUE", and further flags."""

    define: tuple[str, ...]
    flags: tuple[str, ...]


def entry_near(source: Path) -> Entry | None:
    """Of the first compile_commands.json next to the source or above that has the source. One that
    cannot be read is none."""
    absolute = Path(os.path.abspath(source))
    for folder in absolute.parents:
        path = folder / _NAME
        try:
            if path.is_file():
                found = _find(path, absolute)
                if found is not None:
                    return found
        except (OSError, UsageError):
            continue
    return None


def entry_in(path: Path, source: Path) -> Entry:
    """Of a file that was named. Raises UsageError if it is none, or does not have the source."""
    if path.is_dir():
        path = path / _NAME
    try:
        found = _find(path, Path(os.path.abspath(source)))
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", file=str(path)) from None
    if found is None:
        raise UsageError(f"there is no entry for {source}", file=str(path))
    return found


def _find(path: Path, source: Path) -> Entry | None:
    about = path.stat()
    entries = _entries(str(path), about.st_mtime_ns, about.st_size)
    wanted = os.path.realpath(source)
    for entry in entries:
        file = entry.get("file")
        if not isinstance(file, str) or os.path.basename(file) != source.name:
            continue
        folder = entry.get("directory")
        base = path.parent / folder if isinstance(folder, str) else path.parent
        if os.path.realpath(base / file) == wanted:
            return _read(_words(entry, path), base)
    return None


@functools.lru_cache(maxsize=8)
def _entries(path: str, changed: int, size: int) -> list[dict[str, Any]]:
    del changed
    if size > _LARGEST:
        raise UsageError("too long for a compile_commands.json", file=path)
    try:
        with open(path, "rb") as file:
            found = json.load(file)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"this is no JSON: {reason}", file=path) from None
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise UsageError("this is no list of commands", file=path)
    return found


def _words(entry: dict[str, Any], path: Path) -> list[str]:
    words = entry.get("arguments")
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return words[1:]
    command = entry.get("command")
    try:
        if isinstance(command, str):
            return shlex.split(command)[1:]
    except ValueError:
        pass
    raise UsageError(
        f"the entry for {entry['file']} has no command", file=str(path), hint="make it anew"
    )


def _read(words: list[str], folder: Path) -> Entry:
    """The words that count. Paths are relative to the entry's folder."""
    macros: dict[str, str] = {}
    flags: list[str] = []
    is_bpf = "bpf" in " ".join(word for word in words if "target" in word or word[:3] == "bpf")
    rest = iter(words)
    for word in rest:
        if word[:2] in ("-D", "-U"):
            text = word[2:] or next(rest, "")
            name = re.split(r"[=(]", text, maxsplit=1)[0]
            macros.pop(name, None)
            if word[1] == "D" and name:
                macros[name] = text
            continue
        known = next((flag for flag in _PATHS if word.startswith(flag)), None)
        if known is not None:
            value = word.removeprefix(known) or next(rest, "")
            if value:
                flags += [known, str(folder / value)]
        elif word in ("-o", "-MF", "-MT", "-MQ", "-arch", "-target", "-x", "-Xclang"):
            next(rest, "")
        elif _READING.fullmatch(word) or (is_bpf and _TARGET.fullmatch(word)):
            flags.append(word)
    return Entry(tuple(macros.values()), tuple(flags))
