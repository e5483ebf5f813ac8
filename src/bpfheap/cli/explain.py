"""`bpfheap check --explain`: the source of a program, with what the verifier knows below each
line."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from rich.console import Console

from bpfheap.cli.output import plain, say
from bpfheap.errors import ProgramError
from bpfheap.report import caret
from bpfheap.verifier.explain.knowledge import Known

#: At most this many lines in a row that nothing is known of are shown between others.
_MAX_GAP = 4
#: A source file longer than this (bytes) is not read.
_LARGEST = 1 << 22


def print_explained(out: Console, known: tuple[Known, ...], error: ProgramError | None) -> None:
    """Print the source lines, file by file; without line information, the instructions."""
    files = dict.fromkeys(one.line.file for one in known if one.line is not None)
    for file in files:
        if len(files) > 1:
            say(out, plain(f"{file}:", "bold"))
        _print_file(out, file, [one for one in known if one.line and one.line.file == file], error)
    for one in known:
        if one.line is None:
            say(out, plain(f"{one.insn:>5}: {one.text}"))
            _print_known(out, one)
            if error is not None and error.line is None and error.insn == one.insn:
                _print_error(out, error)
    if error is not None and error.line is None and all(one.insn != error.insn for one in known):
        _print_error(out, error)


def _print_file(out: Console, file: str, known: list[Known], error: ProgramError | None) -> None:
    by_line = {one.line.line: one for one in known if one.line is not None and one.line.line > 0}
    source = _source(file, tuple((number, one.text) for number, one in by_line.items()))
    previous = None
    for number in sorted(by_line):
        for between in _between(previous, number):
            if between is None:
                say(out, plain("      ⋮", "dim"))
            elif between in source:
                say(out, plain(f"{between:>5} | {source[between]}"))
        one = by_line[number]
        say(out, plain(f"{number:>5} | {one.text}"))
        _print_known(out, one)
        if error is not None and (error.file, error.line) == (file, number):
            _print_error(out, error)
        previous = number


def _between(previous: int | None, number: int) -> Iterator[int | None]:
    """The numbers of the lines to show between two annotated ones; None for lines left out."""
    if previous is None:
        return
    if number - previous - 1 > _MAX_GAP:
        yield None
    else:
        yield from range(previous + 1, number)


@cache
def _source(file: str, known: tuple[tuple[int, str], ...]) -> dict[int, str]:
    """The lines of a source file by number. Empty if it cannot be read, or if it differs from the
    `known` (number, text) pairs: then it is not the file that was compiled."""
    try:
        path = Path(file)
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return {}
        lines = dict(enumerate(path.read_text(errors="replace").splitlines(), 1))
    except (OSError, ValueError):
        return {}
    same = all(lines.get(number, "").rstrip() == text.rstrip() for number, text in known)
    return lines if same else {}


def _print_known(out: Console, one: Known) -> None:
    for name, (told, more) in one.values.items():
        words = " / ".join(told) + (f" / and {more} more" if more else "")
        say(out, plain(f"      |     {name}: {words}", "cyan"))


def _print_error(out: Console, error: ProgramError) -> None:
    say(out, plain(f"      | {caret(error)}{error.message}", "red"))
    if error.detail:
        say(out, plain(f"      | {error.detail}", "red"))
    if error.hint:
        say(out, plain(f"      | {error.hint}", "red"))
