"""All instruments in turn, for as long as there is time: `make hunt`.

The work is a sequence of pieces, each determined by its number. Those that are done are written
down, so that a campaign goes on where it was ended. Findings become files of cases.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

from bpfheap.errors import UsageError
from bpfheap.fuzz.against import Against, opened
from bpfheap.fuzz.casefile import case_file
from bpfheap.fuzz.corpus import seeded_program
from bpfheap.fuzz.exhaustive import (
    Asked,
    Unit,
    ask_kernel,
    ask_model,
    ask_unpruned,
    examine_unit,
    units,
)
from bpfheap.fuzz.generate import random_program
from bpfheap.fuzz.grammars import aimed_program
from bpfheap.fuzz.hunt import hunt
from bpfheap.fuzz.results import Made
from bpfheap.fuzz.share import shared
from bpfheap.fuzz.surroundings import ALL, linked, surroundings
from bpfheap.fuzz.themes import THEMES
from bpfheap.kernel import Kernel, available


class _Instrument(NamedTuple):
    """Programs, and what they are held against; `size` of them are a piece, about a second."""

    name: str
    against: Against
    made: Made
    size: int


_INSTRUMENTS: Final = (
    _Instrument("unpruned", Against.UNPRUNED, random_program, 100),
    _Instrument("kernel", Against.KERNEL, random_program, 200),
    _Instrument("model", Against.MODEL, random_program, 40),
    _Instrument("native", Against.NATIVE, random_program, 20),
    _Instrument("aimed unpruned", Against.UNPRUNED, aimed_program, 100),
    _Instrument("aimed kernel", Against.KERNEL, aimed_program, 100),
    _Instrument("aimed model", Against.MODEL, aimed_program, 40),
    _Instrument("aimed native", Against.NATIVE, aimed_program, 10),
    _Instrument("seeded unpruned", Against.UNPRUNED, seeded_program, 100),
    _Instrument("seeded kernel", Against.KERNEL, seeded_program, 100),
)
#: The pieces of one turn: those, and one of a theme at the end.
_TURN: Final = len(_INSTRUMENTS) + 1
#: So many pieces there are; more than anybody has time for.
_PIECES: Final = 10_000_000
#: What is done, one line for each piece.
_DONE: Final = "done.jsonl"


class PieceResult(NamedTuple):
    """What came of a piece: counts by outcome, and (name, text) of a file for each finding."""

    piece: int
    instrument: str
    counts: dict[str, int]
    files: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class CampaignReport:
    """`programs`: by instrument, of this time and those before.
    `files`: those written this time."""

    pieces: int = 0
    programs: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    files: list[Path] = field(default_factory=list)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "pieces": self.pieces,
            "programs": dict(self.programs),
            "outcomes": dict(self.outcomes),
            "files": [str(path) for path in self.files],
            "seconds": round(self.seconds, 3),
        }


@cache
def _theme_units() -> tuple[tuple[str, Unit], ...]:
    """Those of all themes, shorter programs first."""
    found = [(t.name, unit) for t in THEMES.values() for unit in units(t, t.length)]
    return tuple(sorted(found, key=lambda entry: entry[1].length))


def _at(index: int) -> tuple[_Instrument, tuple[str, Unit] | None]:
    """What a piece does: an instrument's programs, or the unit of a theme."""
    turn, at = divmod(index, _TURN)
    if at < len(_INSTRUMENTS):
        return _INSTRUMENTS[at], None
    # A theme that is through makes room for other programs than those before.
    return _INSTRUMENTS[0], _theme_units()[turn] if turn < len(_theme_units()) else None


def instrument_of(index: int) -> str:
    """The name of the instrument that a piece is of."""
    instrument, unit = _at(index)
    return instrument.name if unit is None else f"theme {unit[0]}"


def run_piece(index: int) -> PieceResult:
    """Do one piece of the work, in any process on any machine."""
    instrument, unit = _at(index)
    if unit is not None:
        return _of_theme(index, *unit)
    name = instrument.name
    if instrument.against is Against.KERNEL and available() is not None:
        return PieceResult(index, name, {}, ())
    turn, at = divmod(index, _TURN)
    seed = at + 1

    examiner_of = partial(opened, instrument.against, seed, ALL, instrument.made)
    report = hunt(examiner_of, range(turn * instrument.size, (turn + 1) * instrument.size))
    obj = surroundings(ALL)
    files = []
    for bug in report.findings:
        title = f"{name}: seed {seed}, program {bug.indices[0]}"
        text = case_file(title, bug.result, obj, linked(bug.program))
        files.append((_file_name(name, bug.result.cause), text))
    counts = {str(outcome): n for outcome, n in report.counts.items()}
    return PieceResult(index, name, counts, tuple(files))


def _of_theme(index: int, name: str, unit: Unit) -> PieceResult:
    theme = THEMES[name]
    with Kernel() if available() is None else nullcontext() as kernel:
        asked: tuple[Asked, ...] = (ask_unpruned, ask_model)
        if kernel is not None:
            asked += (ask_kernel(kernel),)
        report = examine_unit(theme, unit, asked)
    files = tuple(
        (
            _file_name(name, found.result.cause),
            case_file(f"theme {name}", found.result, theme.obj, found.program),
        )
        for found in report.told()
    )
    counts = {str(outcome): n for outcome, n in report.counts.items()}
    return PieceResult(index, f"theme {name}", counts, files)


def _file_name(instrument: str, cause: tuple[object, str]) -> str:
    """One file for each cause."""
    digest = sha256(repr((str(cause[0]), cause[1])).encode()).hexdigest()[:10]
    return f"{instrument.replace(' ', '-')}-{cause[0]}-{digest}.yaml"


def campaign(
    into: Path,
    seconds: float,
    *,
    jobs: int = 1,
    cluster: str | None = None,
    progress: Callable[[CampaignReport], None] = lambda report: None,
) -> CampaignReport:
    """Go on with the work in folder `into` for so many seconds. KeyboardInterrupt ends it early.
    Raises UsageError for a folder that holds something else, or a cluster that cannot be had."""
    report = CampaignReport()
    started = time.monotonic()
    try:
        into.mkdir(parents=True, exist_ok=True)
        done = _read(into / _DONE, report)
        with (into / _DONE).open("a") as written:
            todo = _Rest(done)
            results = _here(todo, jobs) if cluster is None else _on_cluster(cluster, todo)
            try:
                for result in results:
                    _keep(into, result, report)
                    line = {"piece": result.piece, "instrument": result.instrument,
                            "counts": result.counts}  # fmt: skip
                    written.write(json.dumps(line) + "\n")
                    written.flush()
                    progress(report)
                    if time.monotonic() - started >= seconds:
                        break
            except KeyboardInterrupt:
                pass
            finally:
                results.close()
    except OSError as error:
        raise UsageError(
            f"nothing can be written to {into}: {error.strerror}", hint="name another folder"
        ) from None
    report.seconds = time.monotonic() - started
    return report


class _Rest(Sequence[int]):
    """The numbers of pieces that are not done yet, which are too many for a list."""

    def __init__(self, done: set[int], pieces: range | None = None) -> None:
        self._first = range(_PIECES) if pieces is None else pieces
        self._done = done

    def __len__(self) -> int:
        return len(self._first)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return _Rest(self._done, self._first[at])
        return self._first[at]

    def __iter__(self) -> Iterator[int]:
        return (index for index in self._first if index not in self._done)


def _read(path: Path, report: CampaignReport) -> set[int]:
    """The numbers of the pieces that are done; what is known of them goes into the report."""
    done: set[int] = set()
    if not path.exists():
        return done
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            said = json.loads(line)
            index, counts = int(said["piece"]), Counter(said["counts"])
            instrument = str(said["instrument"])
            report.programs[instrument] += counts.total()
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                f"{path}, line {number}, is no piece of a hunt", hint="name another folder"
            ) from None
        report.outcomes += counts
        report.pieces += 1
        # Another version's turns may be others: what it did counts, but is not what is to be done.
        if instrument == instrument_of(index):
            done.add(index)
    return done


def _keep(into: Path, result: PieceResult, report: CampaignReport) -> None:
    report.pieces += 1
    report.programs[result.instrument] += sum(result.counts.values())
    report.outcomes += Counter(result.counts)
    for name, text in result.files:
        path = into / name
        # The first program that shows it is as good as any.
        if not path.exists():
            path.write_text(text)
            report.files.append(path)


def _here(todo: _Rest, jobs: int) -> Generator[PieceResult, None, None]:
    @contextmanager
    def opened() -> Iterator[Callable[[int], PieceResult]]:
        yield run_piece

    for _, result in shared(opened, todo, jobs, group=1):
        yield result


def _on_cluster(address: str, todo: _Rest) -> Generator[PieceResult, None, None]:
    """On the workers of a dask cluster, a few pieces ahead for each."""
    try:
        distributed = import_module("distributed")
    except ImportError:
        raise UsageError(
            "dask.distributed is not installed", hint="pip install 'bpfheap[cluster]'"
        ) from None
    try:
        client = distributed.Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no cluster answers at {address}: {error}", hint="give a scheduler's host:port"
        ) from None
    with client:
        rest = iter(todo)
        ahead = 2 * max(sum(client.nthreads().values()), 1)
        first = [client.submit(run_piece, next(rest), pure=False) for _ in range(ahead)]
        running = distributed.as_completed(first)
        for future in running:
            yield future.result()
            running.add(client.submit(run_piece, next(rest), pure=False))
