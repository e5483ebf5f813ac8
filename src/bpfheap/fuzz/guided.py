"""A search that is guided by the verifier's own branches: programs that take new arcs are kept, and
changed to make others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bpfheap.fuzz.arcs import Arc, Watchers
from bpfheap.fuzz.blocks import program_of, text_of
from bpfheap.fuzz.corpus import Corpus, does_with, write_seed
from bpfheap.fuzz.hunt import HuntReport, Progress, hunt
from bpfheap.fuzz.minimise import minimised
from bpfheap.fuzz.pieces import RandomProgram
from bpfheap.fuzz.results import Examiner, FuzzResult
from bpfheap.fuzz.share import OpenExaminer

#: Programs that are made of the same corpus.
_ROUND: Final = 128
#: How many smaller programs are tried for one that is written.
_TRIES: Final = 200


@dataclass(slots=True)
class GuidedReport:
    """What was found.

    `begun`, `arcs`: how many arcs the corpus took first, and takes now.
    `kept`: how many programs were added to it.
    `written`: the files that are new.
    """

    hunt: HuntReport = field(default_factory=HuntReport)
    begun: int = 0
    arcs: int = 0
    kept: int = 0
    written: list[Path] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return self.hunt.to_json() | {
            "arcs_at_first": self.begun,
            "arcs": self.arcs,
            "kept": self.kept,
            "written": [str(path) for path in self.written],
        }


@dataclass(frozen=True, slots=True)
class _Given:
    """An Examiner of programs that are there already."""

    examiner: Examiner
    programs: dict[int, RandomProgram]

    def program(self, index: int) -> RandomProgram:
        return self.programs[index]

    def examine(self, program: RandomProgram, index: int) -> FuzzResult:
        return self.examiner.examine(program, index)


def guided(
    opened: OpenExaminer,
    number: int,
    seed: int,
    features: frozenset[str],
    seeds: Sequence[str],
    *,
    names: str = "all",
    into: Path | None = None,
    jobs: int = 1,
    progress: Progress = lambda done, bugs: None,
) -> GuidedReport:
    """Examine so many programs, beginning with a corpus of `seeds`. What is added to it is made
    small and written `into` a folder, if there is one. KeyboardInterrupt ends it early.

    Seed, features, seeds and names determine the programs, on one version of Python.
    """
    report = GuidedReport()
    corpus = Corpus()
    with Watchers(jobs, features) as watchers:
        try:
            first = [p for p in map(program_of, seeds) if does_with(p, features)]
            texts = [text_of(program) for program in first]
            for program, arcs in zip(first, watchers.arcs(texts), strict=True):
                corpus.add(program, arcs)
            report.begun = report.arcs = len(corpus.seen)
            for start in range(0, number, _ROUND):
                indices = range(start, min(start + _ROUND, number))
                made = {i: corpus.candidate(seed, i, features, names) for i in indices}
                texts = [text_of(program) for program in made.values()]
                for program, arcs in zip(made.values(), watchers.arcs(texts), strict=True):
                    new = corpus.add(program, arcs)
                    report.kept += bool(new)
                    if new and into is not None:
                        small = _smaller(program, new, watchers)
                        report.written.append(write_seed(into, text_of(small)))
                report.arcs = len(corpus.seen)
                found = hunt(
                    _opened(opened, made), indices, jobs=jobs, progress=_after(report, progress)
                )
                report.hunt.add(found)
                if not found.finished:
                    break
        except KeyboardInterrupt:
            report.hunt.finished = False
    return report


def _after(report: GuidedReport, progress: Progress) -> Progress:
    """Of the programs that come after those of the report."""
    done, bugs = report.hunt.counts.total(), report.hunt.bugs
    return lambda n, found: progress(done + n, bugs + found)


def _opened(opened: OpenExaminer, programs: dict[int, RandomProgram]) -> OpenExaminer:
    @contextmanager
    def given() -> Iterator[Examiner]:
        with opened() as examiner:
            yield _Given(examiner, programs)

    return given


def _smaller(program: RandomProgram, arcs: frozenset[Arc], watchers: Watchers) -> RandomProgram:
    """One that takes these arcs, too."""

    def takes_them(smaller: RandomProgram) -> bool:
        (taken,) = watchers.arcs([text_of(smaller)])
        return arcs <= taken

    return minimised(program, takes_them, _TRIES)
