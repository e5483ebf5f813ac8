"""Compiles C to BPF objects: by a clang on PATH that has a BPF target, else by the ziglang wheel's.

Both produce the same maps, types and relocations. Objects are reproducible: no time, no working
directory goes into them, only the path of the source as it was given.
"""

from __future__ import annotations

import functools
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpfheap.elf import load_spec
from bpfheap.elf.target import Target
from bpfheap.errors import CompileError, UsageError
from bpfheap.host import ending_with_parent
from bpfheap.spec import ObjectSpec

#: Where bpfheap.h is; always on the include path.
INCLUDE_DIR = Path(__file__).with_name("include")

#: Names of clang on PATH, best first. BTF type tags came with clang 14.
CLANG_NAMES = ("clang", *(f"clang-{version}" for version in range(22, 13, -1)))

#: cpu v3 is what every clang that we accept can emit and every kernel since 5.1 can run; `-g`
#: makes BTF; the compilation directory would make objects differ from one checkout to another.
_FLAGS = ("-target", "bpf", "-mcpu=v3", "-O2", "-g", "-fdebug-compilation-dir=.")

#: Seconds that a compilation may take. A BPF program takes a hundredth of it; a compiler that takes
#: longer is waiting, for example for a pipe that it includes.
_TIMEOUT = 60


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
    *,
    include: Iterable[Path | str] = (),
    compiler: Compiler | None = None,
    cflags: Sequence[str] = (),
) -> bytes:
    """Compile one C file to a BPF ELF object and return its bytes.

    `include` are directories, searched before that of bpfheap.h. `cflags` come last, so they win.
    clang's warnings go to stderr as they are. Raises CompileError, with clang's own output in
    `diagnostics`, and UsageError if there is no such file.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise UsageError(
                "not a file" if path.exists() else "no such file",
                file=str(path),
                hint="give the path of a C source file",
            )
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", file=str(path)) from None
    compiler = compiler or _preferred()
    command = [*compiler.command, *_FLAGS]
    for directory in include:
        command += ["-I", str(directory)]
    command += ["-isystem", str(INCLUDE_DIR)]
    if compiler.builtin_headers is not None:
        command += ["-isystem", str(compiler.builtin_headers)]
    # Debian keeps asm/types.h where only clang's host target looks.
    multiarch = Path(f"/usr/include/{platform.machine()}-linux-gnu")
    if multiarch.is_dir():
        command += ["-idirafter", str(multiarch)]
    name = f"./{path}" if str(path).startswith("-") else str(path)
    command += [*cflags, "-x", "c", "-c", name, "-o", "-"]
    try:
        done = _run(command)
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
    diagnostics = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        raise _refusal(compiler, path, diagnostics)
    if diagnostics and sys.stderr is not None:
        sys.stderr.write(diagnostics)
    return done.stdout


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        capture_output=True,
        timeout=_TIMEOUT,
        check=False,
        preexec_fn=ending_with_parent(),
    )


#: The first line of an error as clang prints it.
_ERROR = re.compile(r"^(.+?):(\d+):\d+: (?:fatal )?error: (.*)$", re.MULTILINE)


def _refusal(compiler: Compiler, path: Path, diagnostics: str) -> CompileError:
    found = _ERROR.search(diagnostics)
    return CompileError(
        f"{compiler.name}: {found[3] if found else 'no object was made'}",
        diagnostics=diagnostics,
        file=found[1] if found else str(path),
        line=int(found[2]) if found else None,
    )


def object_spec(
    path: Path | str,
    *,
    include: Iterable[Path | str] = (),
    compiler: Compiler | None = None,
    cflags: Sequence[str] = (),
    target: Target | None = None,
) -> ObjectSpec:
    """Read a file: C source (`.c`), which is compiled, or a BPF ELF object (anything else).
    `target` is the kernel that it is for, as in `load_spec`.

    Raises what `compile_c` and `load_spec` raise.
    """
    path = Path(path)
    if path.suffix != ".c":
        return load_spec(path, target=target)
    data = compile_c(path, include=include, compiler=compiler, cflags=cflags)
    return load_spec(data, file=str(path), target=target)


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


def _zig_clang() -> Compiler | None:
    """The clang inside the ziglang wheel. `zig cc` is not used: it prints no warnings when the
    object is in its cache. The wheel is not imported: importing it runs zig."""
    wheel = importlib.util.find_spec("ziglang")
    for folder in wheel.submodule_search_locations or () if wheel is not None else ():
        zig = Path(folder) / "zig"
        if zig.is_file():
            return Compiler("ziglang", (str(zig), "clang"), Path(folder) / "lib" / "include")
    return None
