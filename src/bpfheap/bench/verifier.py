"""`bpfheap bench verifier`: our verifier and the live kernel's over the corpus, in time and in
instructions processed."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from types import ModuleType
from typing import Any, Final

from bpfheap.bench.cases import ROWS, CaseName, VerifierCase, verifier_case
from bpfheap.bench.measure import Measured, Oracle, measured, unmeasured, without_old_garbage
from bpfheap.bench.programs import BenchProgram, CorpusSource, UncompiledSource, programs, sources
from bpfheap.verifier import walk
from bpfheap.vmlinux import Vmlinux

#: Rounds of each program, unless told otherwise.
ROUNDS: Final = 9

#: Why sources are left out.
NO_TYPES: Final = "there is no BTF of a kernel to write vmlinux.h from"


@dataclass(frozen=True, slots=True)
class VerifierBench:
    """The results."""

    rounds: int
    programs: tuple[Measured, ...]
    cases: tuple[VerifierCase, ...]
    #: Why the kernel was not asked, "" if it was.
    no_kernel: str = ""
    #: Sources that are not measured, for NO_TYPES: neither side can be asked about them.
    left_out: tuple[CorpusSource, ...] = ()

    @property
    def noise(self) -> dict[str, float]:
        """For "ours" and "kernel": a program's median round divided by its fastest, the median of
        that over all programs. 1.0 means that nothing disturbed the measurement."""
        sides = {
            "ours": [program.ours for program in self.programs],
            "kernel": [program.kernel for program in self.programs if program.kernel is not None],
        }
        found = {}
        for who, them in sides.items():
            noises = [side.median / side.min for side in them if side.ns]
            if noises:
                found[who] = statistics.median(noises)
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "bench": "verifier",
            "machine_info": machine_info(),
            "rounds": self.rounds,
            "kernel_missing": self.no_kernel or None,
            "left_out": [
                {"file": source.path.name, "reason": NO_TYPES} for source in self.left_out
            ],
            "noise": {who: round(noise, 3) for who, noise in self.noise.items()},
            "cases": [case.to_json() for case in self.cases],
            "programs": [program.to_json() for program in self.programs],
        }


def machine_info() -> dict[str, Any]:
    """What the figures depend on. `verifier` is "compiled" (mypyc) or "python"."""
    return {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "verifier": "compiled" if is_compiled(walk) else "python",
        "verifier_module": module_file(walk),
    }


def module_file(module: ModuleType) -> str:
    return module.__file__ or ""


def is_compiled(module: ModuleType) -> bool:
    """Is the module native code, as mypyc makes it?"""
    return module_file(module).endswith(tuple(EXTENSION_SUFFIXES))


def sources_of(cases: Iterable[CaseName]) -> tuple[CorpusSource, ...]:
    """The sources that those cases are about."""
    groups = {ROWS[name].group for name in cases}
    return tuple(source for source in sources() if source.group in groups)


def bench(
    kernel: Oracle | None,
    cases: Sequence[CaseName] = tuple(CaseName),
    *,
    wanted: Sequence[CorpusSource] | None = None,
    rounds: int = ROUNDS,
    no_kernel: str = "",
    progress: Callable[[str, str, int], None] | None = None,
) -> VerifierBench:
    """Measure the programs of `wanted`, by default those that the cases are about; where there is
    no BTF of a kernel, without the sources that need it. `progress` is called with "compiling" or
    "measuring", the source's name, and how many sources are done.

    Raises CompileError if no source can be compiled.
    """
    asked = sources_of(cases) if wanted is None else wanted
    left_out = () if Vmlinux().has_types() else tuple(one for one in asked if one.needs_kernel)
    chosen = [source for source in asked if source not in left_out]
    tell = progress or _no_progress
    compiled: list[list[BenchProgram | UncompiledSource]] = []
    for number, source in enumerate(chosen):
        tell("compiling", source.name, number)
        compiled.append(list(programs(source)))
    errors = [
        item.error for found in compiled for item in found if isinstance(item, UncompiledSource)
    ]
    if errors and len(errors) == len(chosen):
        raise errors[0]
    results = []
    with without_old_garbage():
        for number, found in enumerate(compiled):
            tell("measuring", chosen[number].name, number)
            results += [result_of(item, kernel, rounds) for item in found]
    told = (verifier_case(name, results) for name in cases)
    return VerifierBench(
        rounds, tuple(results), tuple(one for one in told if one is not None), no_kernel, left_out
    )


def result_of(one: BenchProgram | UncompiledSource, kernel: Oracle | None, rounds: int) -> Measured:
    """The measurements of a program, or the entry for a source that did not compile."""
    return (
        unmeasured(one, kernel)
        if isinstance(one, UncompiledSource)
        else measured(one, kernel, rounds)
    )


def _no_progress(doing: str, name: str, done: int) -> None:
    """A progress function that shows nothing."""
