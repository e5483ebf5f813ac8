"""Prints the results of an exploration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from bpfheap.cli.histories import count, life_lines, replay_command, step_lines
from bpfheap.cli.output import plain, say
from bpfheap.explore import Breach, Finding, Result, VerdictKind
from bpfheap.explore.matrix import COLUMNS, Matrix

_STYLES = {
    VerdictKind.CLEAN: "green",
    VerdictKind.VIOLATION: "red",
    VerdictKind.BOUNDED: "yellow",
}


def print_result(out: Console, result: Result) -> None:
    """Print one policy in one scenario: verdict, shortest history, other violations, findings."""
    say(out, plain(result.verdict, _STYLES[result.verdict]), plain(_verdict(result)))
    if result.breaches:
        _print_history(out, result.breaches[0])
    for breach in result.breaches[1:]:
        say(out, plain(f"also {breach.kind}: {breach.message}", "red"))
        _print_replay(out, breach)
    for finding in result.findings:
        say(out, plain(f"{finding.kind}: {finding.text}", "yellow"))
        _print_replay(out, finding)
    for label, loads in result.loads.items():
        if not loads.admitted:
            say(out, plain(f"{label} was never let in", "yellow"))
    if result.retention.steps:
        say(out, plain(_retention(result)))
    say(out, plain(_counts(result)))


def _verdict(result: Result) -> str:
    about = f"{result.policy} in {result.scenario}"
    if result.breaches:
        found = result.breaches[0]
        return f"{about}: {found.kind} after {_steps(found)}: {found.message}"
    if result.finished:
        return f"{about}: every order was visited, and all of them are safe"
    if result.full:
        return f"{about}: no violation so far, and no memory for the rest (--memory gives more)"
    return f"{about}: no violation so far, and there is more to visit"


def _print_history(out: Console, breach: Breach) -> None:
    for number, step in enumerate(breach.history.steps, 1):
        for line in step_lines(number, step):
            say(out, plain(line))
    for line in life_lines(breach.history.life):
        say(out, plain(line))
    say(out, plain(f"play it again: {replay_command(breach.history.replay)}"))


def _print_replay(out: Console, found: Breach | Finding) -> None:
    say(out, plain(f"    after {_steps(found)}: {replay_command(found.history.replay)}"))


def _steps(found: Breach | Finding) -> str:
    return count(len(found.history.steps), "step")


def _retention(result: Result) -> str:
    kept = result.retention
    outlive = "outlives its" if kept.allocators == 1 else "at a time outlive their"
    return (
        f"retention: {count(kept.allocators, 'allocator')} {outlive} last object, for up to "
        f"{count(kept.steps, 'step')}, and {count(kept.bytes, 'byte')} with them"
    )


def _counts(result: Result) -> str:
    rate = f", {result.states / result.seconds:,.0f} states/s" if result.seconds else ""
    return (
        f"{count(result.states, 'state')}, {count(result.transitions, 'transition')}, "
        f"depth {result.depth}, {result.seconds:.1f} s{rate}"
    )


def print_table(out: Console, matrix: Matrix, results: Sequence[Result]) -> None:
    """Print the policies side by side, then a line and a replay string for each violation."""
    table = Table(*COLUMNS)
    for row in matrix.rows:
        table.add_row(*map(plain, row.cells()))
    out.print(table)
    for result in results:
        for breach in result.breaches:
            say(out, plain(_headline(result, breach.kind, breach, breach.message), "red"))
            say(out, plain(f"    {replay_command(breach.history.replay)}"))
    seconds = sum(result.seconds for result in results)
    states = sum(result.states for result in results)
    say(out, plain(f"{count(states, 'state')} in {seconds:.1f} s of search"))


def _headline(result: Result, kind: str, found: Breach | Finding, text: str) -> str:
    sentence = " ".join(text.split())
    return f"{result.policy} in {result.scenario}: {kind} after {_steps(found)}: {sentence}"


def trace_lines(results: Sequence[Result]) -> Iterator[str]:
    """The lines of a trace file: replay strings, those of violations first, each below a comment
    that says what it shows."""
    for result in results:
        for breach in result.breaches:
            yield f"# {_headline(result, breach.kind, breach, breach.message)}"
            yield breach.history.replay
    for result in results:
        for finding in result.findings:
            yield f"# {_headline(result, str(finding.kind), finding, finding.text)}"
            yield finding.history.replay
