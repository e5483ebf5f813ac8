"""Compiled programs on disk, by what they were made from (see bpfheap.kept)."""

from __future__ import annotations

import hashlib
import time
from functools import cache
from pathlib import Path
from typing import Final

from bpfheap.isa import encode
from bpfheap.kept import Shelf
from bpfheap.machine.native._core import CALLS, LAYOUT
from bpfheap.machine.native.jit import llvm
from bpfheap.machine.native.jit.llvm import Compiled
from bpfheap.machine.native.jit.source import Source

_SHELF: Final = Shelf("compiled", "compiled programs", b"bpfheap compiled program 1\n")


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
        sorted(source.asked),
        sorted(source.variables.items()),
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
    payload = _SHELF.find(wanted)
    if payload is None:
        return None
    end = 4 + int.from_bytes(payload[:4], "little")
    symbols = payload[4:end].decode().split("\n") if end > 4 else []
    return Compiled(payload[end:], tuple(symbols), time.perf_counter_ns() - began, cached=True)


def keep(wanted: bytes, made: Compiled) -> None:
    """For the next time; not to be able to is no error."""
    symbols = "\n".join(made.symbols).encode()
    _SHELF.keep(wanted, len(symbols).to_bytes(4, "little") + symbols + made.image)
