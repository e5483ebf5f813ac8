"""The configuration of a kernel: /proc/config.gz, /boot/config-*, or a file like them."""

from __future__ import annotations

import platform
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bpfheap.errors import FormatError, UsageError

PROC: Final = Path("/proc/config.gz")
BOOT: Final = Path("/boot")
_SIGNATURE: Final = Path("/proc/version_signature")
#: Bytes of text; that of a large distribution has 300,000.
_LARGEST: Final = 1 << 24
_GZIP: Final = b"\x1f\x8b"
_VERSION: Final = re.compile(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,9}))?")
_HEADER: Final = re.compile(r"^# Linux/\S+ (\S+) Kernel Configuration", re.MULTILINE)
#: bpf_get_attach_cookie came with it.
_COOKIES: Final = 5 << 16 | 15 << 8


@dataclass(frozen=True, slots=True)
class Kconfig:
    """What is set; `version` as LINUX_KERNEL_VERSION has it, None if the file does not say."""

    values: Mapping[str, str]
    version: int | None
    file: str

    def get(self, name: str) -> str | None:
        """A CONFIG_... as the file has it, or a LINUX_... that loaders know of the kernel (libbpf's
        bpf_object__resolve_externs). Raises UsageError if the version is needed, and unknown."""
        match name:
            case "LINUX_KERNEL_VERSION":
                return str(self._known())
            case "LINUX_HAS_BPF_COOKIE":
                return str(int(self._known() >= _COOKIES))
            case "LINUX_HAS_SYSCALL_WRAPPER":
                return str(int("CONFIG_ARCH_HAS_SYSCALL_WRAPPER" in self.values))
        return self.values.get(name)

    def _known(self) -> int:
        if self.version is None:
            raise UsageError(
                "does not say of which version of Linux it is",
                file=self.file,
                hint='begin it with "# Linux/x86 6.18.0 Kernel Configuration"',
            )
        return self.version


def version_number(text: str) -> int | None:
    """KERNEL_VERSION(6, 18, 1) of "6.18.1-rc2"; None if it begins with no version."""
    found = _VERSION.match(text)
    if found is None:
        return None
    major, minor, patch = (int(part or 0) for part in found.groups())
    return major << 16 | minor << 8 | min(patch, 255)


def parse(data: bytes, file: str) -> Kconfig:
    """From text, compressed or not. Raises FormatError."""
    if data.startswith(_GZIP):
        data = _unpacked(data, file)
    text = data.decode(errors="replace")
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("CONFIG_"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not value:
            raise FormatError(
                f"{line[:40]!r} sets nothing", file=file, line=number, hint="write CONFIG_X=y"
            )
        # The first one counts.
        values.setdefault(name, value)
    header = _HEADER.search(text)
    return Kconfig(values, None if header is None else version_number(header[1]), file)


def _unpacked(data: bytes, file: str) -> bytes:
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        text = unpacker.decompress(data, _LARGEST)
    except zlib.error:
        raise FormatError("is broken: no gzip file", file=file) from None
    if unpacker.unconsumed_tail:
        raise FormatError(f"is longer than {_LARGEST} bytes", file=file)
    return text


def read(path: Path) -> Kconfig:
    """Raises UsageError if it cannot be read, FormatError if it is no configuration."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", file=str(path)) from None
    if len(data) > _LARGEST:
        raise FormatError(f"is longer than {_LARGEST} bytes", file=str(path))
    return parse(data, str(path))


def of_system() -> Kconfig | None:
    """This system's, None if it does not tell. Raises FormatError."""
    for path in (BOOT / f"config-{platform.release()}", PROC):
        try:
            found = read(path)
        except UsageError:
            continue
        return Kconfig(found.values, _version_of_system(), found.file)
    return None


def _version_of_system() -> int | None:
    """get_kernel_version: distributions name their kernels after the version that they began
    with."""
    try:
        # Ubuntu 5.4.0-12.15-generic 5.4.8
        words = _SIGNATURE.read_text().split()
    except OSError:
        words = []
    debian = re.search(r"Debian (\d+\.\d+\.\d+)", platform.version())
    for text in (*words[2:3], *([debian[1]] if debian else []), platform.release()):
        found = version_number(text)
        if found is not None:
            return found
    return None
