"""Compiled modules of the verifier that are older than their sources.

They were made for other sources than the tests are about. They also call each other without going
through Python, so that none of them may be used beside a module of another age: all fall back to
Python, in this process and those that it starts, by what BPFHEAP_PURE does.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path


def stale(folder: Path) -> list[Path]:
    """The sources in a folder and those below it that were changed since they were compiled for
    this Python."""
    return [
        source
        for source in sorted(folder.rglob("*.py"))
        for suffix in EXTENSION_SUFFIXES
        if (compiled := source.with_suffix(suffix)).exists()
        and compiled.stat().st_mtime < source.stat().st_mtime
    ]


def fall_back(folder: Path) -> str | None:
    """Use no compiled module if one is stale, and say so; None if nothing changes. The verifier
    must not be imported yet."""
    if os.environ.get("BPFHEAP_PURE"):
        return None
    changed = stale(folder)
    if not changed:
        return None
    if "bpfheap.verifier" in sys.modules:
        raise RuntimeError("the verifier was imported before its compiled modules were looked at")
    os.environ["BPFHEAP_PURE"] = "1"
    names = ", ".join(source.name for source in changed)
    return f"{names} changed since `make setup`: the verifier runs as Python, slowly"
