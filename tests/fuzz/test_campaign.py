"""A hunt goes on where it was ended, and what it finds can be read as a case."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bpfheap.errors import UsageError
from bpfheap.fuzz import campaign as module
from bpfheap.fuzz.campaign import PieceResult, campaign, instrument_of, run_piece
from bpfheap.fuzz.casefile import case_file
from bpfheap.fuzz.generate import random_program
from bpfheap.fuzz.grammars import GRAMMARS, aimed_program
from bpfheap.fuzz.results import FuzzResult, Outcome
from bpfheap.fuzz.surroundings import ALL, linked, surroundings
from bpfheap.fuzz.themes import THEMES
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, verify

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import cases_of

PROGRAMS: dict[str, tuple[ObjectSpec, ProgramSpec]] = (
    {
        f"random {index}": (surroundings(ALL), linked(random_program(2, index, ALL)))
        for index in range(25)
    }
    | {
        name: (theme.obj, theme.program(((theme.letters[0], 1),), theme.endings[0]))
        for name, theme in THEMES.items()
    }
    | {
        f"{grammar} {index}": (surroundings(ALL), linked(aimed_program(2, index, ALL, grammar)))
        for grammar in GRAMMARS
        for index in range(4)
    }
)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_finding_is_a_case(name: str, tmp_path: Path) -> None:
    obj, program = PROGRAMS[name]
    path = tmp_path / "found.yaml"
    verdict = verify(obj, program, Options(explain=False))
    outcome = Outcome.PRUNED if verdict.error else Outcome.OURS_REFUSES
    message = "" if verdict.error is None else verdict.error.message
    path.write_text(case_file('it "is" so: #1', FuzzResult(outcome, theirs=message), obj, program))
    (case,) = cases_of(path)
    assert len(case.program.insns) == len(program.insns)
    assert case.program.section == program.section
    assert set(case.obj.maps) <= set(obj.maps)
    assert case.expected["verdict"] == ("reject" if verdict.error else "accept")
    again = verify(case.obj, case.program, Options(explain=False))
    assert (again.accepted, again.insns_processed) == (verdict.accepted, verdict.insns_processed)
    if again.error is not None:
        assert case.expected["message"] == message


def made_up(index: int) -> PieceResult:
    files = (("one.yaml", f"piece {index}"),) if index in (2, 3) else ()
    return PieceResult(index, instrument_of(index), {"accepted": 10 + index}, files)


def test_a_hunt_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_piece", made_up)
    first = campaign(tmp_path, 0)
    assert (first.pieces, first.programs.total(), first.files) == (1, 10, [])
    for _ in range(3):
        last = campaign(tmp_path, 0)
    assert (last.pieces, last.programs.total()) == (4, 10 + 11 + 12 + 13)
    # One file for one cause, with what showed it first.
    assert last.files == []
    assert (tmp_path / "one.yaml").read_text() == "piece 2"
    lines = (tmp_path / "done.jsonl").read_text().splitlines()
    assert [json.loads(line)["piece"] for line in lines] == [0, 1, 2, 3]


def test_processes_do_different_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_piece", made_up)
    monkeypatch.setattr(module, "_PIECES", 6)
    report = campaign(tmp_path, 60, jobs=2)
    assert report.programs.total() == 60 + 0 + 1 + 2 + 3 + 4 + 5


def test_what_another_version_did_is_no_piece_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run_piece", made_up)
    line = {"piece": 0, "instrument": "theme stack", "counts": {"accepted": 5}}
    (tmp_path / "done.jsonl").write_text(json.dumps(line) + "\n")
    report = campaign(tmp_path, 0)
    assert report.programs == {"theme stack": 5, "unpruned": 10}
    assert campaign(tmp_path, 0).programs["kernel"] == 11


@pytest.mark.parametrize("text", ["nonsense\n", '{"piece": 1}\n', "[]\n"])
def test_a_folder_of_something_else(tmp_path: Path, text: str) -> None:
    (tmp_path / "done.jsonl").write_text(text)
    with pytest.raises(UsageError, match="line 1, is no piece of a hunt"):
        campaign(tmp_path, 0)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="nothing can be written to"):
        campaign(tmp_path / "file", 0)


def test_every_instrument_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    small = tuple(row._replace(size=2) for row in module._INSTRUMENTS)
    monkeypatch.setattr(module, "_INSTRUMENTS", small)
    results = [run_piece(index) for index in range(module._TURN)]
    assert [result.instrument for result in results] == [
        "unpruned", "kernel", "model", "native",
        "aimed unpruned", "aimed kernel", "aimed model", "aimed native",
        "seeded unpruned", "seeded kernel", "theme stack",
    ]  # fmt: skip
    assert [result.instrument for result in results] == [
        instrument_of(index) for index in range(module._TURN)
    ]
    assert all(not result.files for result in results)
    for result in results:
        kernel = result.instrument.endswith("kernel")
        assert sum(result.counts.values()) in ((0, 2) if kernel else (1, 2))


def test_a_fault_becomes_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*args: object) -> FuzzResult:
        return FuzzResult(Outcome.PRUNED, theirs="R1 is odd")

    monkeypatch.setattr("bpfheap.fuzz.against_unpruned.walked_to_the_end", wrong)
    small = tuple(row._replace(size=3) for row in module._INSTRUMENTS)
    monkeypatch.setattr(module, "_INSTRUMENTS", small)
    result = run_piece(0)
    ((name, text),) = result.files
    assert name.startswith("unpruned-pruned-")
    assert "# pruned:  R1 is odd\n" in text or "# pruned: R1 is odd\n" in text
    assert "R1 is odd" in text.splitlines()[-1]


class Client:
    """Does what it is given at once."""

    def __init__(self, address: str, timeout: int) -> None:
        if address == "nowhere:1":
            raise OSError("timed out")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None: ...

    def nthreads(self) -> dict[str, int]:
        return {"a": 1, "b": 2}

    def submit(self, call: Callable[[int], Any], index: int, *, pure: bool) -> Any:
        assert not pure
        return SimpleNamespace(result=lambda: call(index))


class Completed:
    def __init__(self, futures: list[Any]) -> None:
        self.futures = futures

    def __iter__(self) -> Iterator[Any]:
        while self.futures:
            yield self.futures.pop(0)

    def add(self, future: Any) -> None:
        self.futures.append(future)


@pytest.fixture
def distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ModuleType("distributed")
    made.Client = Client  # type: ignore[attr-defined]
    made.as_completed = Completed  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "distributed", made)
    monkeypatch.setattr(module, "run_piece", made_up)


@pytest.mark.usefixtures("distributed")
def test_a_cluster_does_the_work(tmp_path: Path) -> None:
    seen: list[int] = []

    def until_nine(report: module.CampaignReport) -> None:
        seen.append(report.pieces)
        if report.pieces == 9:
            raise KeyboardInterrupt

    campaign(tmp_path, 60, cluster="host:1", progress=until_nine)
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert len((tmp_path / "done.jsonl").read_text().splitlines()) == 9


@pytest.mark.usefixtures("distributed")
def test_a_cluster_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no cluster answers at nowhere:1: timed out"):
        campaign(tmp_path, 0, cluster="nowhere:1")


def test_a_cluster_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError) as error:
        campaign(tmp_path, 0, cluster="host:1")
    assert error.value.hint == "pip install 'bpfheap[cluster]'"
