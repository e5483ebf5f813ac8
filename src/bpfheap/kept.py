"""Files that are kept from one run to the next, in a folder of the user's.

What belongs to somebody else or could be written by somebody else is as good as none, and files are
put in place whole.
"""

from __future__ import annotations

import os
import stat
import tempfile
import warnings
from functools import cache
from pathlib import Path


def folder(kind: str, inside: str = "") -> Path | None:
    """Where files of one kind are: in $BPFHEAP_CACHE (there in the folder `inside`), or in a folder
    of the user's; None if that is set to nothing."""
    named = os.environ.get("BPFHEAP_CACHE")
    if named is not None:
        return Path(named) / inside if named else None
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "bpfheap" / kind


def is_private(base: Path) -> bool:
    """Nobody else can put files there; also if it is not there yet. Warns once if somebody can."""
    try:
        about = base.stat()
    except OSError:
        return True
    if _is_own(about):
        return True
    _warn(base)
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
def _warn(base: Path) -> None:
    warnings.warn(
        f"{base} is not used to keep files, as others can write there: chmod go-w, or "
        "let BPFHEAP_CACHE name another folder",
        stacklevel=2,
    )
