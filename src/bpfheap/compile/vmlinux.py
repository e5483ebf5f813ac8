"""vmlinux.h for sources that include it and do not bring it: written from a kernel's BTF, and kept
for the next time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import shutil
import tempfile
import threading
from pathlib import Path, PurePosixPath
from typing import Final

from bpfheap import btf, kept
from bpfheap.btf import LazyBtf, kernel_header
from bpfheap.errors import BtfError

NAME: Final = "vmlinux.h"
_WHAT: Final = "headers of kernels' types"

#: The first line of a file that is kept, before the hash of what follows.
_HEAD: Final = b"/* bpfheap vmlinux.h "
#: Headers of so many kernels are kept; each has about three megabytes.
_MOST: Final = 8
#: Of several threads that want the same, one makes it.
_LOCK: Final = threading.Lock()


def header_folder(types: LazyBtf | None) -> Path:
    """A folder with the vmlinux.h of a kernel's types. Raises BtfError if there are none, or no
    header can be made of them."""
    if types is None:
        raise BtfError("there is no BTF of a kernel to write vmlinux.h from")
    with _LOCK:
        return _folder(types, kept.folder("headers", "headers"))


def can_be(header: str | None) -> bool:
    """Is that how a source includes a vmlinux.h: by its name, or in folders that its own project
    has (bpf/vmlinux.h, ../vmlinux/vmlinux.h)?"""
    if header is None:
        return False
    path = PurePosixPath(header)
    return path.name == NAME and not path.is_absolute() and ".." not in _below(path)


@functools.cache
def folder_with(header: str) -> Path:
    """A folder from which that path leads to a header that includes vmlinux.h, for as long as this
    process lives."""
    path = PurePosixPath(header)
    below = _below(path)
    base = Path(_temporary().name) / hashlib.sha256(header.encode()).hexdigest()[:32]
    kept.write(base.joinpath(*below), f"#include <{NAME}>\n".encode())
    # From here, as many folders up are there.
    folder = base.joinpath(*("up" for _ in path.parts[: -len(below)]))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _below(path: PurePosixPath) -> tuple[str, ...]:
    """Its parts behind those that lead upwards."""
    return tuple(itertools.dropwhile(lambda part: part == "..", path.parts))


@functools.lru_cache(maxsize=4)
def _folder(types: LazyBtf, base: Path | None) -> Path:
    digest = hashlib.sha256(_writers() + types.digest()).hexdigest()[:32]
    if base is not None and kept.is_private(base, _WHAT):
        folder = base / digest
        if kept.is_private(folder, _WHAT) and _is_whole(kept.read(folder / NAME)):
            return folder
        text = _text(types)
        with contextlib.suppress(OSError):
            kept.write(folder / NAME, text)
            if kept.is_private(folder, _WHAT):
                _sweep(base)
                return folder
    else:
        text = _text(types)
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


def _text(types: LazyBtf) -> bytes:
    text = kernel_header(types.whole()).encode()
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
