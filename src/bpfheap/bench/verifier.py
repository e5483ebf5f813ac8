"""The verifier beside the live kernel's, over the corpus: time, and instructions processed."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from types import ModuleType
from typing import Any, Final

from bpfheap.bench.cases import ROWS, Case, CaseName, case
from bpfheap.bench.measure import Measured, Oracle, measured, unreadable, without_old_garbage
from bpfheap.bench.programs import Program, Source, Unreadable, programs, sources
from bpfheap.verifier import walk

#: Rounds of each program, unless told otherwise.
ROUNDS: Final = 9


@dataclass(frozen=True, slots=True)
class Bench:
    """`no_kernel` is why the kernel was not asked, "" if it was."""

    rounds: int
    programs: tuple[Measured, ...]
    cases: tuple[Case, ...]
    no_kernel: str = ""

    @property
    def noise(self) -> dict[str, float]:
        """How far the median round of all rounds is above the fastest, ours and the kernel's: the
        median of that over programs. 1.0 is a quiet machine."""
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
            "noise": {who: round(noise, 3) for who, noise in self.noise.items()},
            "cases": [one.to_json() for one in self.cases],
            "programs": [program.to_json() for program in self.programs],
        }


def machine_info() -> dict[str, Any]:
    """The machine, and what the verifier is there: `verifier` is "compiled" or "python"."""
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


def sources_of(cases: Iterable[CaseName]) -> tuple[Source, ...]:
    """The sources that those cases are about."""
    groups = {ROWS[name].group for name in cases}
    return tuple(source for source in sources() if source.group in groups)


def bench(
    kernel: Oracle | None,
    cases: Sequence[CaseName] = tuple(CaseName),
    *,
    wanted: Sequence[Source] | None = None,
    rounds: int = ROUNDS,
    no_kernel: str = "",
    progress: Callable[[str, str, int], None] | None = None,
) -> Bench:
    """Measure the programs of `wanted`, those of the cases by default. `progress` hears what is
    done ("compiling", "measuring"), to which source, and to how many it has been done.

    Raises CompileError if no source can be compiled.
    """
    chosen = sources_of(cases) if wanted is None else wanted
    tell = progress or _silent
    compiled: list[list[Program | Unreadable]] = []
    for number, source in enumerate(chosen):
        tell("compiling", source.name, number)
        compiled.append(list(programs(source)))
    errors = [one.error for found in compiled for one in found if isinstance(one, Unreadable)]
    if errors and len(errors) == len(chosen):
        raise errors[0]
    results = []
    with without_old_garbage():
        for number, found in enumerate(compiled):
            tell("measuring", chosen[number].name, number)
            results += [result_of(one, kernel, rounds) for one in found]
    told = (case(name, results) for name in cases)
    return Bench(rounds, tuple(results), tuple(one for one in told if one is not None), no_kernel)


def result_of(one: Program | Unreadable, kernel: Oracle | None, rounds: int) -> Measured:
    """What there is to say of a program, or of a source without one."""
    return unreadable(one, kernel) if isinstance(one, Unreadable) else measured(one, kernel, rounds)


def _silent(doing: str, name: str, done: int) -> None:
    """Progress that nobody wants to hear of."""
