"""Fourth pass: LLVM's own. From text to machine code, and into memory.

Code is position independent; what it refers to is resolved when it is loaded, so the same object
file serves other processes. LLVM's linker writes pages first and makes them executable then.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any, Final

import llvmlite
import llvmlite.binding as llvm
from llvmlite.binding.ffi import ObjectRef
from llvmlite.binding.newpassmanagers import NewPassManager

from bpfheap.machine.native.jit.body import ENTRY

#: Above so many instructions of the program, LLVM does less: its time grows faster than the code.
FULL: Final = 1_500
SOME: Final = 8_000

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Effort:
    """`speed` is the level of LLVM's own pipeline, 0 for a short one of ours; `code` that of its
    code generator."""

    speed: int
    code: int


def effort_for(length: int) -> Effort:
    """What a program of so many slots is worth."""
    if length <= FULL:
        return Effort(2, 2)
    return Effort(1, 1) if length <= SOME else Effort(0, 0)


@cache
def _setup() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@cache
def identity() -> str:
    """What compiled code depends on, besides the program."""
    _setup()
    features = llvm.get_host_cpu_features().flatten()
    version = ".".join(map(str, llvm.llvm_version_info))
    return f"{llvmlite.__version__} {version} {llvm.get_host_cpu_name()} {features}"


@cache
def _target(code: int) -> Any:
    _setup()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=code,
        reloc="pic",
        codemodel="small",
    )


def optimised(text: str, effort: Effort, *, verify: bool = False) -> Any:
    """The module, after LLVM's passes."""
    _setup()
    # In a context of its own: the global one keeps every type and constant that it ever saw.
    module = llvm.parse_assembly(text, llvm.create_context())
    if verify:
        module.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=effort.speed or 1)
    tuning.loop_vectorization = tuning.loop_interleaving = tuning.loop_unrolling = effort.speed > 1
    tuning.slp_vectorization = False
    builder = llvm.create_pass_builder(_target(effort.code), tuning)
    if effort.speed:
        passes = builder.getModulePassManager()
    else:
        passes = llvm.create_new_module_pass_manager()
        passes.add_always_inliner_pass()
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
    passes.run(module, builder)
    # llvmlite 0.50 lets go of none: the base that comes first disposes of nothing.
    if type(passes)._dispose is ObjectRef._dispose:
        NewPassManager._dispose(passes)
    return module


def object_of(module: Any, effort: Effort) -> bytes:
    return bytes(_target(effort.code).emit_object(module))


def assembly_of(module: Any, effort: Effort) -> str:
    return str(_target(effort.code).emit_assembly(module))


class Linkers:
    """LLVM's linker keeps something of each program until it goes itself, so every `LINKS` programs
    a new one takes over, and an old one goes with the last of its programs."""

    LINKS: Final = 64

    def __init__(self) -> None:
        self._linker: Any = None
        self._left = 0
        self._lock = Lock()

    def take(self) -> Any:
        """A linker, for one program, which keeps it."""
        with self._lock:
            if not self._left:
                _setup()
                self._linker, self._left = llvm.create_lljit_compiler(), self.LINKS
            self._left -= 1
            return self._linker


_LINKERS: Final = Linkers()


@dataclass(frozen=True, slots=True)
class Compiled:
    """An object file.

    `image`: its bytes.
    `symbols`: what it refers to.
    `ns`: how long it took to make it.
    `cached`: was it there already?
    """

    image: bytes = field(repr=False)
    symbols: tuple[str, ...]
    ns: int
    cached: bool = False


class Loaded:
    """Machine code in memory, as long as this lives. `address` is the program's."""

    def __init__(self, image: bytes, symbols: Mapping[str, int]) -> None:
        library = llvm.JITLibraryBuilder().add_object_img(image).export_symbol(ENTRY)
        for name, address in symbols.items():
            library = library.import_symbol(name, address)
        self._linker = _LINKERS.take()
        self._tracker = library.link(self._linker, f"program.{next(_numbers)}")
        self.address = int(self._tracker[ENTRY])

    def __del__(self) -> None:
        # Before its linker, which may go now.
        tracker = getattr(self, "_tracker", None)
        if tracker is not None and not sys.is_finalizing():
            tracker.close()
