"""`bpfheap replay`: play a history again, step by step."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console

from bpfheap.cli.histories import count, life_lines, step_lines
from bpfheap.cli.inputs import KernelBtf, KernelConfig
from bpfheap.cli.output import console, plain, print_json, say
from bpfheap.errors import UsageError
from bpfheap.explore import HistoryStep, Replay

EXAMPLES = """Examples:

bpfheap explore examples/three_programs --policy used-allocators --first --trace found.txt

bpfheap replay found.txt --pick 1

bpfheap replay found.txt --all --json
"""

#: Replay strings begin with this and the version of their format.
_MARK = "bpfheap-"
#: The most bytes of a trace file that are read, enough for thousands of histories.
_LARGEST_FILE = 1 << 24

#: Keys that end the replay, and that play all remaining steps.
_QUIT = frozenset({"q", "\x1b", ""})
_REST = frozenset({"a"})


def replay(
    trace: Annotated[
        str,
        typer.Argument(
            metavar="TRACE",
            help="A replay string, a file with such strings, or - for stdin.",
            show_default=False,
        ),
    ],
    pick: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Which one, if there are several; the first is 1.",
            show_default=False,
        ),
    ] = None,
    whole: Annotated[
        bool,
        typer.Option("--all", help="All steps at once, as always where there is no terminal."),
    ] = False,
    kernel_btf: KernelBtf = None,
    kconfig: KernelConfig = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Play a history that `bpfheap explore` found, on the runtime that `bpfheap run` uses.

    On a terminal any key plays the next step, a plays all that are left, and q quits. Exit code 1
    if the history ends in a violation.
    """
    text = _pick(_histories(trace), pick)
    history = Replay(text, kernel=(kernel_btf, kconfig))
    if json:
        steps = list(_steps(history))
        print_json(_document(text, history, steps))
    else:
        by_key = not whole and all(map(_is_terminal, (sys.stdin, sys.stdout)))
        if not _play(console(), history, by_key=by_key):
            return
    if history.violation is not None:
        raise typer.Exit(1)


def _histories(trace: str) -> list[str]:
    """The replay strings that TRACE stands for. Raises UsageError if there are none."""
    if trace.startswith(_MARK):
        return [trace]
    text = _stdin() if trace == "-" else _file(trace)
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise UsageError(
            "there is no replay string in it",
            file="stdin" if trace == "-" else trace,
            hint="`bpfheap explore --trace OUT` writes them, if there is anything to tell",
        )
    return found


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _stdin() -> str:
    if sys.stdin is None:
        raise UsageError("there is no stdin", hint="give a replay string or a file")
    return sys.stdin.buffer.read(_LARGEST_FILE).decode(errors="replace")


def _file(name: str) -> str:
    path = Path(name)
    hint = f"give a replay string, which begins with {_MARK}, a file with some, or -"
    try:
        # A device may never end, a pipe never begin.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError("is no ordinary file", file=name, hint=hint)
        with path.open("rb") as file:
            return file.read(_LARGEST_FILE).decode(errors="replace")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot be read: {reason}", file=name, hint=hint) from None


def _pick(found: list[str], number: int | None) -> str:
    if number is None:
        if len(found) == 1:
            return found[0]
        raise UsageError(
            f"there are {len(found)} histories", hint=f"choose with --pick 1 to --pick {len(found)}"
        )
    if number > len(found):
        there_is = "there is one" if len(found) == 1 else f"there are {len(found)}"
        raise UsageError(f"there is no history {number}", hint=there_is)
    return found[number - 1]


def _steps(history: Replay) -> Iterator[HistoryStep]:
    """Play the history. Raises UsageError, with the step's number, at an impossible step."""
    played = 0
    try:
        for step in history.steps():
            played += 1
            yield step
    except UsageError as error:
        raise UsageError(
            f"step {played + 1}, {history.actions[played]}: {error.message}", hint=error.hint
        ) from None


def _document(text: str, history: Replay, steps: list[HistoryStep]) -> dict[str, Any]:
    found = history.violation
    return {
        "scenario": history.scenario.name,
        "bounds": history.scenario.bounds.to_json(),
        "policy": history.policy,
        "steps": [step.to_json() for step in steps],
        "violation": None if found is None else found.to_json(),
        "replay": text,
    }


def _play(out: Console, history: Replay, *, by_key: bool) -> bool:
    """Play and print the history. False if the user quit before its end."""
    total = len(history.actions)
    keys = " (any key: the next one, a: all that are left, q: quit)" if by_key else ""
    say(out, plain(f"{history.policy} in {history.scenario.name}, {count(total, 'step')}{keys}"))
    for number, step in enumerate(_steps(history), 1):
        for line in step_lines(number, step):
            say(out, plain(line))
        if by_key and number < total:
            key = _key()
            if key in _QUIT:
                return False
            by_key = key not in _REST
    found = history.violation
    if found is None:
        say(out, plain("no violation", "green"))
        return True
    say(out, plain(f"{found.kind}: {found}", "red"))
    for line in life_lines(found.life):
        say(out, plain(line))
    return True


def _key() -> str:
    """The next key pressed; "q" for Ctrl-C and end of input."""
    try:
        return typer.getchar().lower()
    except (EOFError, KeyboardInterrupt):
        return "q"
