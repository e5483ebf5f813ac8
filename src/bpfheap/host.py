"""The machine that all this runs on: how much memory there is, and processes that end with their
parent."""

from __future__ import annotations

import ctypes
import os
import re
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from bpfheap.errors import UsageError

_PROC: Final = Path("/proc")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
#: linux/prctl.h.
_PR_SET_PDEATHSIG: Final = 1
#: What a bound on memory leaves to others, who did not ask for one.
_SHARE: Final = 0.75
#: If nobody says how much there is.
_UNKNOWN: Final = 4 << 30
#: In cgroups of version 1, no limit is a number near 2**63.
_NO_LIMIT: Final = 1 << 60

_ANONYMOUS: Final = re.compile(r"^Pss_Anon:\s+(\d+) kB", re.MULTILINE)
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


# -- memory


def size_of(text: str) -> int:
    """Bytes, from "512M" or "4G". Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    size = (
        0
        if found is None
        else int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))
    )
    if size < 1:
        raise UsageError(f"{text!r} is no amount of memory", hint="write 512M or 4G, for example")
    return size


def memory_bound(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """Three quarters of the bytes that this process could still have: the system's, or what its
    control groups leave of their limits."""
    there = _available(proc)
    for folder, limit, used in _groups(proc, cgroups):
        most, taken = _number(folder / limit), _number(folder / used)
        if most is not None and most < _NO_LIMIT:
            there = min(there, max(most - (taken or 0), 0))
    return max(int(there * _SHARE), 1)


def _available(proc: Path) -> int:
    try:
        found = re.search(
            r"^MemAvailable:\s+(\d+) kB", (proc / "meminfo").read_text(), re.MULTILINE
        )
    except OSError:
        found = None
    return _UNKNOWN if found is None else int(found[1]) * 1024


def _groups(proc: Path, cgroups: Path) -> Iterable[tuple[Path, str, str]]:
    """The control groups that count this process' memory: folder, files with limit and use."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            base, files = cgroups, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            base, files = cgroups / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        parts = [part for part in path.split("/") if part]
        # In a container the path may be the host's, and only the root is there.
        for depth in range(len(parts) + 1):
            yield base.joinpath(*parts[:depth]), *files


def _number(path: Path) -> int | None:
    """None for "max", and where there is no such file."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def memory_of(process: int) -> int:
    """Bytes that a process has in memory and that are in no file; 0 if it is gone. What it shares
    with others counts in parts, so that the sum is what all of them have."""
    try:
        found = _ANONYMOUS.search((_PROC / str(process) / "smaps_rollup").read_text())
        if found is not None:
            return int(found[1]) * 1024
        fields = (_PROC / str(process) / "statm").read_text().split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * _PAGE


# -- processes


def ending_with_parent() -> Callable[[], None]:
    """What a child process of this thread calls first, so that it does not outlive this process,
    whatever ends that: SIGKILL, too. It is killed as well when the thread that made it ends.

    Nothing is imported or looked up in the child, where other threads may have left locks taken."""
    parent = os.getpid()
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    getppid, leave, kill = os.getppid, os._exit, int(signal.SIGKILL)

    def end_with_parent() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, kill, 0, 0, 0)
        # It may have ended before.
        if getppid() != parent:
            leave(1)

    return end_with_parent
