"""Compiled programs on disk, by what they were made from.

A file tells what it is, what it was made from, and the hash of what follows; one that says anything
else, belongs to somebody else or could be written by somebody else is as good as none. Files are
put in place whole, and the oldest go when there are too many.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from functools import cache
from pathlib import Path
from typing import Final

from bpfheap import kept
from bpfheap.isa import encode
from bpfheap.machine.native._core import CALLS, LAYOUT
from bpfheap.machine.native.jit import llvm
from bpfheap.machine.native.jit.llvm import Compiled
from bpfheap.machine.native.jit.source import Source

_MAGIC: Final = b"bpfheap compiled program 1\n"
_HASH: Final = 32
#: Bytes of all files together.
_LIMIT: Final = 256 << 20
#: Files are counted once for so many that are written.
_SWEEP: Final = 64


@cache
def _compiler() -> bytes:
    """The compiler itself: its sources, LLVM, this machine, and the core's layout."""
    found = hashlib.sha256()
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        found.update(source.read_bytes())
    found.update(repr((sorted(LAYOUT.items()), CALLS, llvm.identity())).encode())
    return found.digest()


def key(source: Source) -> bytes:
    """Of all that the code depends on."""
    found = hashlib.sha256(_compiler())
    found.update(encode(source.insns))
    facts = source.facts
    if facts is not None:
        found.update(facts.seen + facts.pointers + facts.guarded)
    told = (
        None if facts is None else sorted(facts.calls.items()),
        sorted(source.maps.items()),
        sorted(source.values.items()),
        sorted(source.functions.items()),
        sorted(source.calls.items()),
        sorted(source.shapes.items()),
        source.sites,
        source.counted,
        source.hardened,
        source.watched,
        source.cpus,
    )
    found.update(repr(told).encode())
    return found.digest()


def find(wanted: bytes) -> Compiled | None:
    """What was kept for that key."""
    began = time.perf_counter_ns()
    where = _path(wanted)
    if where is None:
        return None
    data = kept.read(where)
    if data is None:
        return None
    made = _read(data, wanted, began)
    if made is not None:
        # For the order in which they go.
        with contextlib.suppress(OSError):
            os.utime(where)
    return made


def keep(wanted: bytes, made: Compiled) -> None:
    """For the next time; not to be able to is no error."""
    where = _path(wanted)
    if where is None:
        return
    payload = "\n".join(made.symbols).encode()
    payload = len(payload).to_bytes(4, "little") + payload + made.image
    data = _MAGIC + wanted + hashlib.sha256(payload).digest() + payload
    try:
        kept.write(where, data)
        if wanted[0] % _SWEEP == 0:
            _sweep(where.parent)
    except OSError:
        return


def _path(wanted: bytes) -> Path | None:
    base = kept.folder("compiled")
    return None if base is None or not kept.is_private(base) else base / wanted.hex()


def _read(data: bytes, wanted: bytes, began: int) -> Compiled | None:
    head = len(_MAGIC) + 2 * _HASH
    payload = data[head:]
    if data[: len(_MAGIC)] != _MAGIC or data[len(_MAGIC) : head - _HASH] != wanted:
        return None
    if data[head - _HASH : head] != hashlib.sha256(payload).digest():
        return None
    end = 4 + int.from_bytes(payload[:4], "little")
    symbols = payload[4:end].decode().split("\n") if end > 4 else []
    return Compiled(payload[end:], tuple(symbols), time.perf_counter_ns() - began, cached=True)


def _sweep(base: Path) -> None:
    """Let the files go that were used longest ago."""
    files: list[tuple[float, int, Path]] = []
    for path in base.iterdir():
        with contextlib.suppress(OSError):
            about = path.stat()
            if not stat.S_ISREG(about.st_mode):
                continue
            files.append((about.st_mtime, about.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= _LIMIT:
            return
        path.unlink(missing_ok=True)
        total -= size
