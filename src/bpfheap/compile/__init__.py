"""Compiles C to BPF objects: by a clang on PATH that has a BPF target, else by the ziglang wheel's.

Sources of other projects compile as they are, as far as what they include is there: `options` says
which folders, macros and flags count, `headers` where a system's own are, `vmlinux` writes the
kernel's types, `refusal` tells what is missing. All compilers produce the same maps, types and
relocations. Objects are reproducible: no time, no working directory goes into them, only the path
of the source as it was given.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from bpfheap.btf import Btf, Fwd, Ptr, Var
from bpfheap.compile import headers, vmlinux
from bpfheap.compile.options import CompileOptions, GivenOptions, macros_in, options_for
from bpfheap.compile.refusal import missing_header, refusal
from bpfheap.elf import load_spec
from bpfheap.elf.target import Target
from bpfheap.errors import BpfheapError, BtfError, CompileError, UsageError
from bpfheap.host import ending_with_parent
from bpfheap.spec import ObjectSpec
from bpfheap.vmlinux import Vmlinux

__all__ = [
    "INCLUDE_DIR",
    "CompileOptions",
    "Compiler",
    "compile_c",
    "find_compilers",
    "find_zig",
    "object_spec",
    "type_of",
]

#: Where bpfheap.h is; always on the include path.
INCLUDE_DIR = Path(__file__).parents[1] / "include"

#: Names of clang on PATH, best first. BTF type tags came with clang 14.
CLANG_NAMES = ("clang", *(f"clang-{version}" for version in range(22, 13, -1)))

#: cpu v3 is what every clang that we accept can emit and every kernel since 5.1 can run; `-g`
#: makes BTF; the compilation directory would make objects differ from one checkout to another.
_FLAGS = ("-target", "bpf", "-mcpu=v3", "-O2", "-g", "-fdebug-compilation-dir=.")

#: Seconds that a compilation may take. Most take less than one, the largest programs in use 45; a
#: compiler that takes longer is waiting, for example for a pipe that it includes.
_TIMEOUT = 240

#: A type's name as C has it, and a variable that leads to it.
_TYPE_NAME = re.compile(r"((struct|union|enum) )?[A-Za-z_]\w*")
_VARIABLE = "bpfheap_wanted_type"


@dataclass(frozen=True, slots=True)
class Compiler:
    """A compiler that has a BPF target."""

    name: str
    #: The beginning of its command line.
    command: tuple[str, ...]
    #: The directory of its own headers (stddef.h), if it does not find them itself.
    builtin_headers: Path | None = None


def find_compilers() -> list[Compiler]:
    """All compilers of this machine that have a BPF target, the preferred one first."""
    found = [
        Compiler(name, (path,))
        for name in CLANG_NAMES
        if (path := shutil.which(name)) is not None and _has_bpf_target(path)
    ]
    zig = _zig_clang()
    return [*found, zig] if zig is not None else found


def compile_c(
    path: Path | str,
    options: CompileOptions = CompileOptions(),
    *,
    compiler: Compiler | None = None,
    target: Target | None = None,
    behind: str = "",
    **more: Unpack[GivenOptions],
) -> bytes:
    """Compile one C file to a BPF ELF object and return its bytes. `behind` is C that follows it;
    then the compiler's warnings were seen before.

    `options`, and above them what CompileOptions.of takes, say how; what else is said of the source
    `options_for` knows. Where the source includes a vmlinux.h that no folder has, it is written
    from the types of the kernel `target`; None means the one that Vmlinux finds. clang's warnings
    go to stderr as they are. Raises CompileError, with clang's own output in `diagnostics`, and
    UsageError if there is no such file.
    """
    path = Path(path)
    source = _text_of(path)
    text = f'#include "{path.resolve()}"\n{behind}\n' if behind else ""
    options = options_for(path, CompileOptions.of(**more).over(options))
    compiler = compiler or _preferred()
    types: dict[str, Path] = {}
    no_types = ""
    done = _compiled(compiler, path, source, options, types, text)
    while done.returncode != 0:
        wanted = missing_header(_said(done))
        if wanted is None or wanted in types or not vmlinux.can_be(wanted):
            break
        try:
            _offer(wanted, types, target)
        except BtfError as error:
            no_types = str(error)
            break
        done = _compiled(compiler, path, source, options, types, text)
    newer = headers.newer() if done.returncode != 0 else ()
    if newer:
        # What the source wants may have come to libbpf or the kernel since. If this does not help
        # either, what was said first counts.
        after = replace(options, include=(*options.include, *map(str, newer)))
        again = _compiled(compiler, path, source, after, types, text)
        done = again if again.returncode == 0 else done
    diagnostics = _said(done)
    if done.returncode != 0:
        raise refusal(compiler.name, path, diagnostics, no_types)
    if diagnostics and not behind and sys.stderr is not None:
        sys.stderr.write(diagnostics)
    return done.stdout


def _offer(wanted: str, types: dict[str, Path], target: Target | None) -> None:
    """Add the folder from which `wanted` leads to the types of a kernel. Raises BtfError."""
    if vmlinux.NAME not in types:
        kernel = Vmlinux() if target is None else target
        types[vmlinux.NAME] = vmlinux.header_folder(kernel.types())
    if wanted != vmlinux.NAME:
        types[wanted] = vmlinux.folder_with(wanted)


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode(errors="replace")


def _text_of(path: Path) -> str:
    try:
        if not path.is_file():
            raise UsageError(
                "not a file" if path.exists() else "no such file",
                file=str(path),
                hint="give the path of a C source file",
            )
        return path.read_text(errors="replace")
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", file=str(path)) from None


def _compiled(
    compiler: Compiler, path: Path, source: str, options: CompileOptions, types: Mapping[str, Path],
    text: str,
) -> subprocess.CompletedProcess[bytes]:  # fmt: skip
    """Let the compiler make an object; `types` are folders of vmlinux.h, by how it is included;
    `text` is compiled in place of the file, if there is any."""
    command = _command(compiler, source, options, types)
    try:
        if text:
            return _run([*command, "-"], text.encode())
        return _run([*command, f"./{path}" if str(path).startswith("-") else str(path)])
    except subprocess.TimeoutExpired:
        raise CompileError(
            f"{compiler.name} did not finish in {_TIMEOUT} seconds",
            file=str(path),
            hint="does it include a device or a pipe?",
        ) from None
    except OSError as error:
        raise CompileError(
            f"{compiler.name} cannot be run: {error.strerror}",
            file=str(path),
            hint="check the compiler's installation",
        ) from error


def _command(
    compiler: Compiler, source: str, options: CompileOptions, types: Mapping[str, Path]
) -> list[str]:
    """All but the name of what is compiled."""
    command = [*compiler.command, *_FLAGS]
    in_flags = macros_in(options.cflags)
    macros = {name: text for name, text in options.macros.items() if name not in in_flags}
    command += [f"-D{text}" for text in headers.macros({*macros, *in_flags}, source)]
    command += [f"-D{text}" for text in macros.values()]
    for folder in options.include:
        command += ["-I", folder]
    command += ["-isystem", str(INCLUDE_DIR)]
    if compiler.builtin_headers is not None:
        command += ["-isystem", str(compiler.builtin_headers)]
    for folder in map(str, types.values()):
        # The folder's name is this machine's business, and no object's.
        command += ["-idirafter", folder, f"-fdebug-prefix-map={folder}=."]
    # Of a folder that is given twice, clang forgets the first place.
    first = {os.path.realpath(folder) for folder in options.include}
    for late in headers.folders():
        if os.path.realpath(late) not in first:
            command += ["-idirafter", str(late)]
    return [*command, *options.cflags, "-x", "c", "-c", "-o", "-"]


def _run(command: Sequence[str], text: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        input=text,
        capture_output=True,
        timeout=_TIMEOUT,
        check=False,
        preexec_fn=ending_with_parent(),
    )


def object_spec(
    path: Path | str,
    options: CompileOptions = CompileOptions(),
    *,
    compiler: Compiler | None = None,
    target: Target | None = None,
    **more: Unpack[GivenOptions],
) -> ObjectSpec:
    """Read a file: C source (`.c`), which is compiled, or a BPF ELF object (anything else).
    `target` is the kernel that it is for, as in `load_spec`.

    Takes what `compile_c` takes; raises what that and `load_spec` raise.
    """
    return object_specs(path, [target], options, compiler=compiler, **more)[0]


def object_specs(
    path: Path | str,
    targets: Sequence[Target | None],
    options: CompileOptions = CompileOptions(),
    *,
    compiler: Compiler | None = None,
    **more: Unpack[GivenOptions],
) -> list[ObjectSpec]:
    """Read a file for several kernels, as `object_spec` does for one. C source is compiled once,
    for the first of them."""
    path = Path(path)
    if path.suffix != ".c":
        return [load_spec(path, target=target) for target in targets]
    data = compile_c(path, options, compiler=compiler, target=targets[0], **more)
    return [load_spec(data, file=str(path), target=target) for target in targets]


def type_of(
    path: Path | str, name: str, *, target: Target | None = None, **more: Unpack[GivenOptions]
) -> tuple[Btf, int] | None:
    """A type of C source by its name, also one that is not in the source's object, as compilers
    leave out what only local variables are of. None if the source has none, or is no C source.

    Takes what `compile_c` takes.
    """
    path = Path(path)
    if path.suffix != ".c" or not path.is_file() or '"' in str(path.resolve()):
        return None
    if not _TYPE_NAME.fullmatch(name):
        return None
    try:
        data = compile_c(path, target=target, behind=f"{name} *{_VARIABLE};", **more)
        btf = load_spec(data, file=str(path), target=target).btf
    except BpfheapError:
        # The source was compiled before: it is the name that is none.
        return None
    found = btf.find(_VARIABLE, Var)
    variable = None if found is None else btf[found]
    pointer = btf[btf.resolve(variable.type)] if isinstance(variable, Var) else None
    if not isinstance(pointer, Ptr):
        return None
    type_id = btf.resolve(pointer.type)
    return None if not type_id or isinstance(btf[type_id], Fwd) else (btf, type_id)


@functools.cache
def _preferred() -> Compiler:
    compilers = find_compilers()
    if not compilers:
        raise CompileError(
            "no clang with a BPF target was found",
            hint="install clang 14 or newer, or `pip install ziglang`",
        )
    return compilers[0]


@functools.cache
def _has_bpf_target(clang: str) -> bool:
    """Was this clang built with the BPF target?"""
    try:
        done = _run([clang, "--print-targets"])
    except (OSError, subprocess.TimeoutExpired):
        return False
    return any(line.split()[:1] == [b"bpf"] for line in done.stdout.splitlines())


def find_zig() -> Path | None:
    """The program of the ziglang wheel, which is not imported: importing it runs zig."""
    wheel = importlib.util.find_spec("ziglang")
    for folder in wheel.submodule_search_locations or () if wheel is not None else ():
        zig = Path(folder) / "zig"
        if zig.is_file():
            return zig
    return None


def _zig_clang() -> Compiler | None:
    """The clang inside that. `zig cc` is not used: it prints no warnings when the object is in its
    cache."""
    zig = find_zig()
    if zig is None:
        return None
    return Compiler("ziglang", (str(zig), "clang"), zig.parent / "lib" / "include")
