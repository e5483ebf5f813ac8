"""vmlinux.h for sources that include it and do not bring it: written from a kernel's BTF, and kept
for the next time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Final

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from bpfheap import btf, kept
from bpfheap.btf import Btf, kernel_header
from bpfheap.errors import BpfheapError, BtfError

NAME: Final = "vmlinux.h"
#: The running kernel's types.
SYSTEM_BTF: Final = Path("/sys/kernel/btf/vmlinux")

#: The first line of a file that is kept, before the hash of what follows.
_HEAD: Final = b"/* bpfheap vmlinux.h "
#: Headers of so many kernels are kept; each has about three megabytes.
_MOST: Final = 8
_LARGEST: Final = 1 << 30
#: Of several threads that want the same, one makes it.
_LOCK: Final = threading.Lock()


def header_folder(kernel_btf: Path | None = None) -> Path:
    """A folder with the vmlinux.h of a kernel's BTF: of a file, raw or in an ELF file's section
    .BTF as vmlinux has it, or this system's.

    Raises BtfError if there is none.
    """
    path = SYSTEM_BTF if kernel_btf is None else kernel_btf
    data = _section(path, _bytes(path, is_system=kernel_btf is None))
    with _LOCK:
        return _folder(str(path), data, kept.folder("headers", "headers"))


@functools.lru_cache(maxsize=4)
def _folder(path: str, data: bytes, base: Path | None) -> Path:
    digest = hashlib.sha256(_writers() + data).hexdigest()[:32]
    if base is not None and kept.is_private(base):
        folder = base / digest
        if kept.is_private(folder) and _is_whole(kept.read(folder / NAME)):
            return folder
        text = _text(data, path)
        with contextlib.suppress(OSError):
            kept.write(folder / NAME, text)
            if kept.is_private(folder):
                _sweep(base)
                return folder
    else:
        text = _text(data, path)
    # As long as this process lives.
    folder = Path(_temporary().name) / digest
    kept.write(folder / NAME, text)
    return folder


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="bpfheap-")


@functools.cache
def _writers() -> bytes:
    """What writes the header: a newer one may write another."""
    sources = sorted(Path(btf.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).digest()


def _text(data: bytes, path: str) -> bytes:
    text = kernel_header(Btf.parse(data, path)).encode()
    return _HEAD + hashlib.sha256(text).hexdigest().encode() + b" */\n" + text


def _is_whole(data: bytes | None) -> bool:
    if data is None or not data.startswith(_HEAD):
        return False
    head, _, text = data.partition(b"\n")
    return head[len(_HEAD) :] == hashlib.sha256(text).hexdigest().encode() + b" */"


def _sweep(base: Path) -> None:
    """Let the oldest go."""
    found = [(path.stat().st_mtime, path) for path in base.iterdir() if (path / NAME).is_file()]
    for _, path in sorted(found)[:-_MOST]:
        shutil.rmtree(path, ignore_errors=True)


def _bytes(path: Path, *, is_system: bool) -> bytes:
    try:
        if not path.is_file() and path.exists():
            raise BtfError("this is no file with a kernel's BTF", file=str(path))
        if path.stat().st_size > _LARGEST:
            raise BtfError("too long for a kernel's BTF", file=str(path))
        return path.read_bytes()
    except OSError as error:
        if is_system:
            raise BtfError("this system's kernel has no BTF to write vmlinux.h from") from None
        raise BtfError(f"cannot be read: {error.strerror}", file=str(path)) from None


def _section(path: Path, data: bytes) -> bytes:
    if data[:4] != b"\x7fELF":
        return data
    try:
        section = ELFFile(io.BytesIO(data)).get_section_by_name(".BTF")
        found = bytes(section.data()) if section is not None else b""
    except BpfheapError:
        raise
    except (ELFError, ValueError, KeyError, OverflowError, MemoryError, AssertionError) as error:
        raise BtfError(f"a broken ELF file: {error}", file=str(path)) from None
    if not found:
        raise BtfError(
            "this ELF file has no BTF", file=str(path), hint="build with CONFIG_DEBUG_INFO_BTF"
        )
    return found
