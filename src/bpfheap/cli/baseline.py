"""`--save` and `--compare`: verdicts that are kept, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from bpfheap.cli.output import plain, say
from bpfheap.errors import UsageError
from bpfheap.spec import ProgramSpec
from bpfheap.verifier.verdict import Verdict

_VERSION: Final = 1
_NUMBERS: Final = ("insns_processed", "states")

Save = Annotated[
    Path | None,
    typer.Option(
        "--save",
        metavar="FILE",
        help="Write the verdicts and what they cost to a file, for --compare.",
        show_default=False,
    ),
]
Compare = Annotated[
    Path | None,
    typer.Option(
        "--compare",
        metavar="FILE",
        help="Say what changed since --save. Exit code 6 if a verdict did, a program is gone, or "
        "--tolerance is exceeded.",
        show_default=False,
    ),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        metavar="PERCENT",
        min=0,
        help="With --compare: so many per cent more instructions may be processed.",
        show_default="any",
    ),
]
#: A program is not what it was.
CHANGED: Final = 6


class Change(NamedTuple):
    """One fact of a program that is another one now. Without a program then or now, None."""

    program: str
    what: str
    was: str | int | None
    now: str | int | None

    @property
    def percent(self) -> float | None:
        """How much more it is now."""
        if not isinstance(self.was, int) or not isinstance(self.now, int) or not self.was:
            return None
        return 100 * (self.now - self.was) / self.was


class Baseline(NamedTuple):
    """By file, program and its section, what is kept of it."""

    programs: dict[str, dict[str, Any]]

    @staticmethod
    def of(checked: Iterable[tuple[ProgramSpec, Verdict]]) -> Baseline:
        return Baseline(
            {
                f"{program.file}: {program.name}": {
                    "section": program.section,
                    "verdict": str(verdict.kind),
                    "insns_processed": verdict.insns_processed,
                    "states": verdict.states,
                }
                for program, verdict in checked
            }
        )

    @staticmethod
    def read(path: Path) -> Baseline:
        """Raises UsageError for a file that --save did not write."""
        hint = "name a file that --save wrote"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["version"] != _VERSION:
                raise UsageError(f"{path} is of another version of bpfheap", hint=hint)
            programs = document["programs"]
            for about in programs.values():
                if not all(isinstance(about[name], int) for name in _NUMBERS):
                    raise TypeError
                if not isinstance(about["verdict"], str):
                    raise TypeError
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}", hint=hint) from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UsageError(f"{path} is no baseline", hint=hint) from None
        return Baseline(programs)

    def write(self, path: Path) -> None:
        """Raises UsageError if it cannot be written."""
        document = {"version": _VERSION, "programs": self.programs}
        try:
            path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from None

    def changes(self, now: Baseline) -> list[Change]:
        """From this one to that one, in the order of that one; programs that are gone come last."""
        return list(self._changes(now))

    def _changes(self, now: Baseline) -> Iterator[Change]:
        for name, about in now.programs.items():
            was = self.programs.get(name)
            if was is None:
                yield Change(name, "program", None, about["verdict"])
                continue
            for what in ("verdict", *_NUMBERS):
                if was[what] != about[what]:
                    yield Change(name, what, was[what], about[what])
        for name, about in self.programs.items():
            if name not in now.programs:
                yield Change(name, "program", about["verdict"], None)


def is_worse(change: Change, tolerance: float | None) -> bool:
    """Should a CI job fail for it?"""
    if change.what == "verdict":
        return True
    if change.what == "program":
        return change.now is None
    percent = change.percent
    return (
        change.what == _NUMBERS[0]
        and tolerance is not None
        and percent is not None
        and percent > tolerance
    )


def to_json(changes: list[Change], tolerance: float | None) -> list[dict[str, Any]]:
    return [
        change._asdict() | {"percent": change.percent, "worse": is_worse(change, tolerance)}
        for change in changes
    ]


def print_changes(out: Console, changes: list[Change], tolerance: float | None) -> None:
    if not changes:
        say(out, plain("nothing changed"))
        return
    columns = ("program", "what", "was", "is", "")
    table = Table(*columns, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for change in changes:
        percent = change.percent
        table.add_row(
            plain(change.program),
            plain(change.what.replace("insns_processed", "instructions")),
            plain("none" if change.was is None else str(change.was)),
            plain(
                "none" if change.now is None else str(change.now),
                "red" if is_worse(change, tolerance) else "",
            ),
            plain("" if percent is None else f"{percent:+.1f} %"),
        )
    out.print(Padding(table, 0, expand=False))
