"""Files that are kept from one process to the next, in a folder of the user's.

What belongs to somebody else or could be written by somebody else is as good as none, and files are
put in place whole. Those of a Shelf go by what they were made from: a file tells what it is, what
it was made from, and the hash of what follows; one that says anything else is none, too, and the
oldest go when there are too many.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

#: Bytes of a key, and of the hash of what follows.
KEY: Final = 32
#: Bytes of all files of a folder together.
_LIMIT: Final = 256 << 20
#: Files are counted once for so many that are written.
_SWEEP: Final = 64


@dataclass(frozen=True, slots=True)
class Shelf:
    """Files of one kind. `folder` is theirs among the user's, `what` names them in a warning,
    `magic` is how each begins."""

    folder: str
    what: str
    magic: bytes

    def find(self, wanted: bytes) -> bytes | None:
        """What was kept for that key."""
        where = self._path(wanted)
        data = None if where is None else read(where)
        payload = None if data is None else self._payload(data, wanted)
        if where is not None and payload is not None:
            # For the order in which they go.
            with contextlib.suppress(OSError):
                os.utime(where)
        return payload

    def keep(self, wanted: bytes, payload: bytes) -> None:
        """For the next time; not to be able to is no error."""
        where = self._path(wanted)
        if where is None:
            return
        try:
            write(where, self.magic + wanted + hashlib.sha256(payload).digest() + payload)
            if wanted[0] % _SWEEP == 0:
                _sweep(where.parent)
        except OSError:
            return

    def _path(self, wanted: bytes) -> Path | None:
        base = folder(self.folder)
        return None if base is None or not is_private(base, self.what) else base / wanted.hex()

    def _payload(self, data: bytes, wanted: bytes) -> bytes | None:
        head = len(self.magic) + 2 * KEY
        payload = data[head:]
        if data[: head - KEY] != self.magic + wanted:
            return None
        return payload if data[head - KEY : head] == hashlib.sha256(payload).digest() else None


def folder(kind: str, inside: str = "") -> Path | None:
    """Where files of one kind are: in $BPFHEAP_CACHE (there in the folder `inside`), or in a folder
    of the user's; None if that is set to nothing."""
    named = os.environ.get("BPFHEAP_CACHE")
    if named is not None:
        return Path(named) / inside if named else None
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "bpfheap" / kind


def is_private(base: Path, what: str) -> bool:
    """Nobody else can put files there; also if it is not there yet. Warns once if somebody can;
    `what` names the files."""
    try:
        about = base.stat()
    except OSError:
        return True
    if _is_own(about):
        return True
    _warn(base, what)
    return False


def read(path: Path) -> bytes | None:
    """What such a file has in it."""
    try:
        # A pipe would be waited for, and a link may lead anywhere.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            about = os.fstat(file.fileno())
            return file.read() if stat.S_ISREG(about.st_mode) and _is_own(about) else None
    except OSError:
        return None


def write(path: Path, data: bytes) -> None:
    """Put a file in place, and its folder if need be. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _is_own(about: os.stat_result) -> bool:
    return about.st_uid == os.geteuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@cache
def _warn(base: Path, what: str) -> None:
    warnings.warn(
        f"{base} is not used for {what}, as others can write there: chmod go-w, or let "
        "BPFHEAP_CACHE name another folder",
        stacklevel=2,
    )


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
