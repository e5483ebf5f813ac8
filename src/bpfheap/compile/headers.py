"""Which folders headers are found in, and what headers want to know of the machine.

The kernel's and libc's headers are made for the machine's own compiler. clang for BPF neither looks
where all of them are, nor says which machine it is.
"""

from __future__ import annotations

import functools
import importlib.util
import platform
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

#: Headers of our own that stand in for libbpf's, as <bpf/bpf_helpers.h>, where there are none.
STAND_INS: Final = Path(__file__).parents[1] / "include" / "libbpf"

#: The version of libbpf whose names those headers have.
_STANDS_FOR: Final = (1, 6)

_USR: Final = (Path("/usr/local/include"), Path("/usr/include"))


class Machine(NamedTuple):
    """A machine as headers call it."""

    #: Behind `__TARGET_ARCH_`, libbpf's bpf_tracing.h: whose registers pt_regs has.
    arch: str
    #: What the machine's own compiler defines.
    macro: str
    #: Of multiarch, where Debian has the headers of one machine.
    triplet: str
    #: The folder of the ziglang wheel with the kernel's headers for it.
    zig: str


#: By `uname -m`.
_MACHINES: Final = {
    "x86_64": Machine("x86", "__x86_64__", "x86_64-linux-gnu", "x86"),
    "aarch64": Machine("arm64", "__aarch64__", "aarch64-linux-gnu", "aarch64"),
    "arm64": Machine("arm64", "__aarch64__", "aarch64-linux-gnu", "aarch64"),
    "armv7l": Machine("arm", "__arm__", "arm-linux-gnueabihf", "arm"),
    "i686": Machine("x86", "__i386__", "i386-linux-gnu", "x86"),
    "s390x": Machine("s390", "__s390x__", "s390x-linux-gnu", "s390x"),
    "ppc64le": Machine("powerpc", "__powerpc64__", "powerpc64le-linux-gnu", "powerpc"),
    "riscv64": Machine("riscv", "__riscv", "riscv64-linux-gnu", "riscv"),
    "loongarch64": Machine(
        "loongarch", "__loongarch__", "loongarch64-linux-gnu", "loongarch"
    ),
    "mips64": Machine("mips", "__mips__", "mips64el-linux-gnuabi64", "mips"),
}  # fmt: skip
#: More that the compilers of some machines define, and headers ask for.
_MORE: Final = {
    "x86_64": "__x86_64",
    "riscv64": "__riscv_xlen=64",
    "loongarch64": "__loongarch_grlen=64",
}

ARCH_PREFIX: Final = "__TARGET_ARCH_"


def macros(defined: Iterable[str], source: str) -> list[str]:
    """What is defined for every source, but for what is in `defined` or, an architecture, in the
    source itself: the machine whose registers pt_regs has, and the one whose headers are read.

    Without the latter, glibc's headers take the machine for one of 32 bits, and want
    gnu/stubs-32.h, which is not there. systemd defines it for its programs too.
    """
    names = set(defined)
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return []
    found = [machine.macro]
    more = _MORE.get(platform.machine())
    found += [more] if more else []
    found = [text for text in found if text.partition("=")[0] not in names]
    if f"define {ARCH_PREFIX}" not in source and not any(n.startswith(ARCH_PREFIX) for n in names):
        found.append(f"{ARCH_PREFIX}{machine.arch}")
    return found


@functools.cache
def folders() -> tuple[Path, ...]:
    """Where to look after all folders that the compiler looks in: the system's, then what stands
    in for what a system does not have: libbpf's headers, and the kernel's, which the ziglang wheel
    has."""
    # Some projects have the folder with libbpf's headers itself among those they look in.
    found = [*_multiarch(), *_USR, *_libbpf(), STAND_INS, *_of_zig(), STAND_INS / "bpf"]
    return tuple(dict.fromkeys(found))


@functools.cache
def newer() -> tuple[Path, ...]:
    """Folders that have more than the system's own headers: our own for libbpf's, and the kernel's
    of the ziglang wheel."""
    ours = (STAND_INS,) if _is_libbpf_old() else ()
    kernel = tuple(_of_zig())
    theirs = max(map(_kernel_version, kernel), default=0)
    own = next(filter(None, map(_kernel_version, (*_multiarch(), *_USR))), theirs)
    return (*ours, *(kernel if own < theirs else ()))


def _kernel_version(folder: Path) -> int:
    """That of the kernel's headers in a folder, 0 if there are none."""
    try:
        text = (folder / "linux" / "version.h").read_text(errors="replace")
    except OSError:
        return 0
    found = re.search(r"LINUX_VERSION_CODE (\d+)", text)
    return int(found[1]) if found is not None else 0


def _is_libbpf_old() -> bool:
    """Do the system's own headers of libbpf have less than ours?"""
    for folder in folders():
        if folder == STAND_INS or not _holds_libbpf(folder):
            continue
        try:
            text = (folder / "bpf" / "libbpf_version.h").read_text(errors="replace")
        except OSError:
            return True
        found = dict(re.findall(r"LIBBPF_(MAJOR|MINOR)_VERSION (\d+)", text))
        return (int(found.get("MAJOR", 0)), int(found.get("MINOR", 0))) < _STANDS_FOR
    return False


def _multiarch() -> list[Path]:
    """Debian keeps asm/types.h where only the machine's own compiler looks."""
    machine = _MACHINES.get(platform.machine())
    triplets = [machine.triplet] if machine is not None else []
    triplets += [str(sysconfig.get_config_var("MULTIARCH") or "")]
    triplets += [f"{platform.machine()}-linux-gnu"]
    found = [Path("/usr/include") / triplet for triplet in triplets if triplet]
    if not any((folder / "asm").is_dir() for folder in (*found, *_USR)):
        found = [Path("/usr/include") / _ask(("cc", "-print-multiarch"), "none")]
    return [folder for folder in found if folder.is_dir()]


def _libbpf() -> list[Path]:
    """Where pkg-config says that libbpf's headers are, if they are in none of the usual places."""
    if any(map(_holds_libbpf, _USR)):
        return []
    words = _ask(("pkg-config", "--cflags-only-I", "libbpf"), "").split()
    found = [Path(word.removeprefix("-I")) for word in words if word.startswith("-I/")]
    return [folder for folder in found if _holds_libbpf(folder)]


def _holds_libbpf(folder: Path) -> bool:
    return (folder / "bpf" / "bpf_helpers.h").is_file()


def _of_zig() -> list[Path]:
    wheel = importlib.util.find_spec("ziglang")
    machine = _MACHINES.get(platform.machine())
    for folder in wheel.submodule_search_locations or () if wheel is not None else ():
        base = Path(folder) / "lib" / "libc" / "include"
        names = [f"{machine.zig}-linux-any"] if machine is not None else []
        found = [base / name for name in (*names, "any-linux-any")]
        return [path for path in found if path.is_dir()]
    return []


def _ask(command: tuple[str, ...], otherwise: str) -> str:
    if shutil.which(command[0]) is None:
        return otherwise
    try:
        done = subprocess.run(command, capture_output=True, timeout=10, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return otherwise
    return (done.stdout.strip() if done.returncode == 0 else "") or otherwise
