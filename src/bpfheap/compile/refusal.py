"""What clang says against a source, as one error that says what to change."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from bpfheap.errors import CompileError

#: The first line of an error as clang prints it.
_ERROR: Final = re.compile(r"^(.+?):(\d+):\d+: (?:fatal )?error: (.*)$", re.MULTILINE)
_MISSING: Final = re.compile(r"'([^']+)' file not found")
_UNKNOWN: Final = re.compile(
    r"(?:unknown type name|use of undeclared identifier|call to undeclared (?:library )?function) "
    r"'(\w+)'"
)
#: A name of the source's that vmlinux.h has, too.
_TWICE: Final = re.compile(
    r"error: redefinition of '(\w+)'(?:(?!error: ).)*?\bvmlinux\.h:\d+:\d+: note: previous",
    re.DOTALL,
)
#: A function that is declared otherwise there.
_OTHERWISE: Final = re.compile(
    r"error: conflicting types for '(\w+)'(?:(?!error: ).)*?\bvmlinux\.h:\d+:\d+: note: previous",
    re.DOTALL,
)
#: The error that clang gives for an option of its own command line.
_OPTION: Final = re.compile(r"^\S*(?:clang|zig)\S*: error: (.*)$", re.MULTILINE)

_INCLUDE: Final = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]+)[>"]', re.MULTILINE)

#: Folders above a source in which a header is looked for, in a repository and without one, names
#: looked at in all, and folders that are named.
_LEVELS: Final = 5
_LEVELS_ALONE: Final = 2
_NAMED: Final = 3
_LOOKED_AT: Final = 20_000
#: Folders of the system have no more parts than this: /, /usr, /home.
_OUTSIDE: Final = 2

#: Packages of Debian, and what others call them, by the beginning of a header's path.
_PACKAGES: Final = (
    ("bpf/", "libbpf's headers (libbpf-dev, libbpf-devel)"),
    ("linux/", "a newer kernel's headers (linux-libc-dev, kernel-headers)"),
    ("asm/", "the kernel's headers (linux-libc-dev, kernel-headers)"),
    ("xdp/", "libxdp's headers (libxdp-dev, libxdp-devel)"),
    ("sys/", "libc's headers (libc6-dev, glibc-devel)"),
    ("bits/", "libc's headers (libc6-dev, glibc-devel)"),
    ("gnu/", "libc's headers (libc6-dev, glibc-devel)"),
)


def missing_header(diagnostics: str) -> str | None:
    """The header that the first error wants, as it is included."""
    found = _ERROR.search(diagnostics)
    missing = _MISSING.match(found[3]) if found is not None else None
    return missing[1] if missing is not None else None


def refusal(compiler: str, path: Path, diagnostics: str, no_types: str = "") -> CompileError:
    """clang's first error, with its place. `no_types` says why there is no vmlinux.h."""
    found = _ERROR.search(diagnostics)
    if found is None:
        option = _OPTION.search(diagnostics)
        return CompileError(
            f"{compiler}: {option[1] if option is not None else 'no object was made'}",
            diagnostics=diagnostics,
            file=str(path),
            hint="see what -I, -D and --cflags say" if option is not None else None,
        )
    return CompileError(
        f"{compiler}: {found[3]}",
        diagnostics=diagnostics,
        file=found[1],
        line=int(found[2]),
        hint=_hint(found[3], path, no_types) or _twice(diagnostics[found.start() :]),
    )


def _hint(message: str, path: Path, no_types: str) -> str | None:
    missing = _MISSING.match(message)
    if missing is not None:
        return _where(missing[1], path, no_types)
    unknown = _UNKNOWN.search(message)
    if unknown is not None and unknown[1] in ("bool", "true", "false"):
        return "pass --cflags -std=gnu2x, in which that is a word of C, or -include stdbool.h"
    if unknown is not None and unknown[1].isupper() and "vmlinux.h" in _included(path):
        return (
            "vmlinux.h has the kernel's types, and no macros: define it in the source, or pass -D"
        )
    if unknown is not None:
        return (
            "pass -D for a macro that the project's own build defines, or -I for newer headers "
            "than those found"
        )
    return None


def _twice(diagnostics: str) -> str | None:
    # Of the first error alone.
    first = diagnostics[diagnostics.find("error: ") :]
    found = _TWICE.match(first)
    if found is not None:
        return f"the kernel has one in vmlinux.h: give the source's {found[1]} another name"
    if _OTHERWISE.match(first) is not None:
        return "vmlinux.h declares the kernel's kfuncs, unless -D BPF_NO_KFUNC_PROTOTYPES is passed"
    return None


def _included(path: Path) -> set[str]:
    """The headers that a source includes, by their names alone."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return set()
    return {Path(name).name for name in _INCLUDE.findall(text)}


def _where(header: str, path: Path, no_types: str) -> str:
    if no_types:
        return f"{no_types}; pass --kernel-btf FILE, or -I with a folder that has one"
    folders = _beside(header, path)
    if folders:
        which = folders[0] if len(folders) == 1 else f"with one of {', '.join(folders)}"
        return f"pass -I {which}"
    for start, package in _PACKAGES:
        if header.startswith(start):
            return f"install {package}, or pass -I with a folder that has it"
    return "pass -I with a folder that has it, or --compile-commands"


def _beside(header: str, path: Path) -> list[str]:
    """The folders from which the header can be included: those below the nearest folder above the
    source that has any. Of several, those that have most of what the source includes; none if those
    are many."""
    wanted = Path(header)
    if wanted.is_absolute() or ".." in wanted.parts:
        return []
    left = _LOOKED_AT
    for folder in _project(path):
        found = []
        for here, folders, files in os.walk(folder):
            left -= len(files) + len(folders) + 1
            if left < 0:
                return []
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".") and not os.path.ismount(Path(here, name))
            )
            if wanted.name in files:
                place = Path(here, wanted.name)
                above = Path(*place.parts[: -len(wanted.parts)])
                if place.parts[-len(wanted.parts) :] == wanted.parts:
                    found.append(above)
        if found:
            return _best(found, path)
    return []


def _project(path: Path) -> list[Path]:
    """The folders above a source that are its project's, the nearest first: up to the one with a
    .git, or, where there is none, the two that a small project has. Beyond there is everything:
    other people's files, devices, networks."""
    above = []
    for folder in Path(os.path.abspath(path)).parents:
        if len(folder.parts) <= _OUTSIDE or folder == Path.home():
            break
        above.append(folder)
        if (folder / ".git").exists():
            return above[:_LEVELS]
    return above[:_LEVELS_ALONE]


def _is_root(folder: Path) -> bool:
    """Are headers included from there, not by the folder's name (linux/types.h)?"""
    return not any(start == f"{folder.name}/" for start, _ in _PACKAGES)


def _best(found: list[Path], path: Path) -> list[str]:
    try:
        names = set(_INCLUDE.findall(path.read_text(errors="replace")))
    except OSError:
        names = set()
    has = {f: (sum((f / name).is_file() for name in names), _is_root(f)) for f in found}
    most = max(has.values())
    best = [os.path.relpath(folder) for folder in found if has[folder] == most]
    return best if len(best) <= _NAMED else []
