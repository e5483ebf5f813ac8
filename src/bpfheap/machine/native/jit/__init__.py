"""From BPF to machine code, in small passes: blocks, frames, emit, llvm; each of the first ones
says what its result has to be like (`check`).

The verifier's word is taken for what it knows; without one, every access is written as the
interpreter makes it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from bpfheap.machine.native._core import FUNCTIONS
from bpfheap.machine.native.jit import blocks, cache, frames, llvm
from bpfheap.machine.native.jit.calls import write
from bpfheap.machine.native.jit.emit import emit
from bpfheap.machine.native.jit.llvm import Compiled
from bpfheap.machine.native.jit.source import CannotCompile, MapShape, Site, Source

__all__ = [
    "CannotCompile",
    "Compilation",
    "Compiled",
    "MapShape",
    "Site",
    "Source",
    "compile_for",
    "compiled",
    "ir",
    "load",
]


def ir(source: Source, *, check: bool = False, debug: bool = False) -> tuple[str, tuple[str, ...]]:
    """The text of the module before LLVM's passes, and the symbols that it leaves open. With
    `check`, the result of each pass is looked at. Raises CannotCompile."""
    code = blocks.split(source)
    found = frames.frames_of(code, source)
    if check:
        blocks.check(code, source)
        frames.check(code, found)
    text, declared = emit(source, code, found, write, debug=debug)
    return text, tuple(declared)


def compiled(source: Source, *, check: bool = False) -> Compiled:
    """Raises CannotCompile."""
    began = time.perf_counter_ns()
    text, symbols = ir(source, check=check)
    effort = llvm.effort_for(len(source.insns))
    image = llvm.object_of(llvm.optimised(text, effort, verify=check), effort)
    return Compiled(image, symbols, time.perf_counter_ns() - began)


@dataclass(frozen=True, slots=True)
class Compilation:
    """How it went: `made`, or `why` there is nothing and the program is interpreted."""

    made: Compiled | None
    why: str = ""

    @property
    def ns(self) -> int:
        return 0 if self.made is None else self.made.ns

    @property
    def cached(self) -> bool:
        return self.made is not None and self.made.cached

    @property
    def size(self) -> int:
        return 0 if self.made is None else len(self.made.image)


def compile_for(source: Source, *, cached: bool = True) -> Compilation:
    """New, or `cached` on disk."""
    key = cache.key(source) if cached else b""
    found = cache.find(key) if cached else None
    if found is not None:
        return Compilation(found)
    try:
        made = compiled(source)
    except CannotCompile as error:
        return Compilation(None, error.message)
    if cached:
        cache.keep(key, made)
    return Compilation(made)


def load(made: Compiled, addresses: Mapping[str, int]) -> llvm.Loaded:
    """`addresses` has the symbols that are not the core's."""
    return llvm.Loaded(
        made.image,
        {name: addresses.get(name, FUNCTIONS.get(name, 0)) for name in made.symbols},
    )
