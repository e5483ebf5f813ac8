"""The search that is guided by the verifier's branches: what it keeps, what it drops, and that the
seeds in the repository are right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bpfheap.errors import BpfheapError, UsageError
from bpfheap.fuzz.against_unpruned import AgainstUnpruned
from bpfheap.fuzz.arcs import Watchers
from bpfheap.fuzz.blocks import program_of, text_of
from bpfheap.fuzz.corpus import (
    Corpus,
    does_with,
    read_seeds,
    seeded_program,
    stored_seeds,
    write_seed,
)
from bpfheap.fuzz.guided import guided
from bpfheap.fuzz.hunt import Bug, HuntReport
from bpfheap.fuzz.mutate import spliced
from bpfheap.fuzz.results import BUGS, Examiner, FuzzResult, Outcome
from bpfheap.fuzz.surroundings import ALL, linked

PLAIN = "r0 = 0"
SHIFTED = "r0 = 1\nr0 <<= 3"
SEEDS = stored_seeds()


@pytest.fixture(scope="module")
def watchers() -> Iterator[Watchers]:
    with Watchers(1, ALL) as found:
        yield found


def test_arcs_are_those_of_the_verifier(watchers: Watchers) -> None:
    plain, shifted, again = watchers.arcs((PLAIN, SHIFTED, PLAIN))
    assert plain == again
    assert shifted - plain
    folders = {name.partition("/")[0].partition(":")[0] for name, _, _ in plain}
    assert {"walk.py", "instructions", "paths"} <= folders
    assert all(first != last or first for _, first, last in plain)


def test_a_program_that_is_refused_has_arcs(watchers: Watchers) -> None:
    plain, refused = watchers.arcs((PLAIN, "r0 = r5"))
    assert refused - plain


def test_who_is_gone_is_told() -> None:
    with Watchers(1, ALL) as found:
        found._processes[0].kill()
        found._processes[0].wait()
        with pytest.raises(BpfheapError, match="process that watched the verifier is gone"):
            found.arcs((PLAIN,))


def test_the_corpus_keeps_what_is_new(watchers: Watchers) -> None:
    corpus = Corpus()
    plain, shifted = (program_of(text) for text in (PLAIN, SHIFTED))
    arcs = dict(zip((PLAIN, SHIFTED), watchers.arcs((PLAIN, SHIFTED)), strict=True))
    assert corpus.add(plain, arcs[PLAIN]) == arcs[PLAIN]
    assert corpus.add(shifted, arcs[SHIFTED]) == arcs[SHIFTED] - arcs[PLAIN]
    assert corpus.add(plain, arcs[PLAIN]) == frozenset()
    assert corpus.programs == [plain, shifted]
    assert corpus.seen == arcs[PLAIN] | arcs[SHIFTED]


def test_candidates_are_made_of_what_is_kept() -> None:
    corpus = Corpus()
    new = text_of(corpus.candidate(1, 0, ALL, "joined"))
    assert "call bpf_map_lookup_elem" in new
    corpus.add(program_of("r6 = 77\nr0 = 0\nr0 += 55"), [("a", 0, 1)])
    texts = [text_of(corpus.candidate(1, index, ALL, "joined")) for index in range(40)]
    assert texts == [text_of(corpus.candidate(1, index, ALL, "joined")) for index in range(40)]
    ours = [text for text in texts if "55" in text or "77" in text]
    assert 20 < len(ours) < 40
    assert len(set(ours)) > 10


def test_splicing_takes_what_stands_alone() -> None:
    into, other = program_of("r0 = 0"), program_of("call f1\nunless r0 == 7 {\ncall f1\n}\nf1:")
    assert spliced(Random(1), into, other) == into
    donor = program_of("r2 = func f1\nunless r0 == 7 {\nr0 = 0\n}\nf1:")
    found = {text_of(spliced(Random(seed), into, donor)) for seed in range(20)}
    assert any("unless r0 == 0x7 {" in text for text in found)
    assert not any("func" in text for text in found)


def test_features_leave_programs_out() -> None:
    program = program_of("r1 = map[name:ring] ll\nr0 = 0")
    assert does_with(program, ALL)
    assert not does_with(program, frozenset({"maps"}))


class Examines:
    """Holds nothing against any program but those that are told."""

    def __init__(self, wrong: str | None = None) -> None:
        self._wrong = wrong

    def program(self, index: int) -> Any:
        raise AssertionError("programs are given")

    def examine(self, program: Any, index: int) -> FuzzResult:
        text = text_of(program)
        if self._wrong is not None and self._wrong in text:
            return FuzzResult(Outcome.PRUNED, theirs="so it is")
        return FuzzResult(Outcome.ACCEPTED)


@contextmanager
def fine() -> Iterator[Examiner]:
    yield Examines()


@contextmanager
def wrong() -> Iterator[Examiner]:
    yield Examines("w6")


def test_processes_share_the_work() -> None:
    one, two = (guided(fine, 140, 3, ALL, (PLAIN,), jobs=jobs).to_json() for jobs in (1, 2))
    assert one == two
    assert one["programs"] == 140
    assert one["arcs"] > one["arcs_at_first"] > 100
    assert 20 < one["kept"] < 140
    assert one["findings"] == one["written"] == []


def test_what_is_kept_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpfheap.fuzz.guided._TRIES", 15)
    report = guided(fine, 4, 3, ALL, (PLAIN,), names="nulls", into=tmp_path)
    assert report.kept == len(report.written) == len(list(tmp_path.iterdir())) > 0
    # They take all that was taken: nothing is new to who begins with them.
    again = guided(fine, 0, 3, ALL, (PLAIN, *read_seeds(tmp_path)))
    assert again.begun == report.arcs


def test_a_finding_is_told_once() -> None:
    report = guided(wrong, 260, 3, ALL, (), names="widths").hunt
    (finding,) = report.findings
    assert len(finding.indices) == report.counts[Outcome.PRUNED] > 2
    assert finding.indices[0] < 128 <= finding.indices[-1]
    assert len(linked(finding.program).insns) <= 3


def test_reports_add_up() -> None:
    whole = HuntReport()
    bug = Bug((1,), FuzzResult(Outcome.PRUNED, theirs="R1"), program_of(PLAIN))
    for indices in ((1, 2), (7,)):
        part = HuntReport(findings=[Bug(indices, bug.result, bug.program)], untold=1, finished=True)
        part.counts.update({Outcome.PRUNED: len(indices)})
        whole.add(part)
    assert whole.findings == [Bug((1, 2, 7), bug.result, bug.program)]
    assert (whole.counts.total(), whole.untold, whole.finished) == (3, 2, True)


def test_seeds_are_files(tmp_path: Path) -> None:
    path = write_seed(tmp_path / "new", SHIFTED)
    assert write_seed(tmp_path / "new", SHIFTED) == path
    assert read_seeds(tmp_path / "new") == [SHIFTED]
    assert read_seeds(tmp_path / "none") == []
    path.write_text("r0 = nothing")
    with pytest.raises(UsageError, match="holds no program: <program>:1: "):
        read_seeds(tmp_path / "new")
    with pytest.raises(UsageError, match="nothing can be written to"):
        write_seed(path, SHIFTED)


def test_programs_out_of_seeds() -> None:
    texts = [text_of(seeded_program(1, index, ALL)) for index in range(30)]
    assert texts == [text_of(seeded_program(1, index, ALL)) for index in range(30)]
    assert len(set(texts)) > 25
    few = frozenset({"maps"})
    assert all(does_with(seeded_program(1, index, few), few) for index in range(30))


def test_there_are_seeds() -> None:
    assert len(SEEDS) > 50
    assert all(text_of(program_of(text)) == text for text in SEEDS)


def test_seeds_take_different_branches(watchers: Watchers) -> None:
    corpus = Corpus()
    for text, arcs in zip(SEEDS, watchers.arcs(SEEDS), strict=True):
        corpus.add(program_of(text), arcs)
    # In another order some add nothing to those before; most do.
    assert len(corpus.programs) > len(SEEDS) * 0.6


def test_seeds_replay_clean() -> None:
    examiner = AgainstUnpruned(1, ALL, stored_often=True)
    results = [examiner.examine(program_of(text), 0) for text in SEEDS]
    assert [result for result in results if result.outcome in BUGS] == []
    assert sum(result.outcome is Outcome.ACCEPTED for result in results) > 10
