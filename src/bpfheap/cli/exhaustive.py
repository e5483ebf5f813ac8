"""`bpfheap fuzz verifier --exhaustive`: all programs of a theme."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import typer
from rich.console import Console

from bpfheap.cli.bar import ProgressBar
from bpfheap.cli.output import console, plain, print_json, say
from bpfheap.errors import UsageError
from bpfheap.fuzz.exhaustive import (
    Asked,
    ThemeReport,
    ask_kernel,
    ask_model,
    ask_unpruned,
    exhausted,
    size_of,
)
from bpfheap.fuzz.hunt import listing_of
from bpfheap.fuzz.results import BUGS, Outcome
from bpfheap.fuzz.themes import theme as theme_of
from bpfheap.kernel import Kernel, available

#: What can be asked about an accepted program, in this order.
ASKED = ("unpruned", "model", "kernel")


@contextmanager
def opened(names: tuple[str, ...]) -> Iterator[tuple[Asked, ...]]:
    """What is asked, by name."""
    ready: dict[str, Asked] = {"unpruned": ask_unpruned, "model": ask_model}
    if "kernel" not in names:
        yield tuple(ready[name] for name in names)
        return
    with Kernel() as kernel:
        ready["kernel"] = ask_kernel(kernel)
        yield tuple(ready[name] for name in names)


def asked_by(against: str | None) -> tuple[str, ...]:
    """Whom to ask: everybody who is there, if not told. Raises UsageError."""
    if against is None:
        return ASKED if available() is None else ASKED[:-1]
    if against not in ASKED:
        raise UsageError(
            f"--exhaustive cannot be held against {against}", hint=f"one of {', '.join(ASKED)}"
        )
    return (against,)


def run(
    name: str,
    length: int | None,
    against: str | None,
    jobs: int,
    words: Mapping[Outcome, str],
    *,
    as_json: bool,
) -> None:
    """Examine all programs of a theme, and tell what came of them. Raises typer.Exit."""
    theme = theme_of(name)
    length = theme.length if length is None else length
    asked = asked_by(against)
    total = sum(size_of(theme, n) for n in range(1, length + 1))
    with ProgressBar(total) as bar:
        report = exhausted(
            name,
            length,
            partial(opened, asked),
            jobs=jobs,
            progress=lambda done, bugs: bar.show(
                f"programs ({bugs} to look at)" if bugs else "programs", done
            ),
        )
    if as_json:
        print_json({"theme": name, "length": length, "against": list(asked)} | report.to_json())
    else:
        _print(console(), name, report, asked, words)
    if not report.finished:
        done = f"interrupted: {report.counts.total():,} of {total:,} programs examined"
        say(console(stderr=True), plain(done, "yellow"))
    if not report.passed:
        raise typer.Exit(1)


def _print(
    out: Console,
    name: str,
    report: ThemeReport,
    asked: tuple[str, ...],
    words: Mapping[Outcome, str],
) -> None:
    counts = report.counts
    rate = f", {counts.total() / report.seconds:,.0f} a second" if report.seconds else ""
    say(out, plain(f"{name}: {counts.total():,} programs{rate}", "bold"))
    for length, of_it in sorted(report.outcomes.items()):
        say(out, plain(f"{of_it.total():>10,} of {length} instruction{'s'[: length > 1]}"))
    told = {
        **words,
        Outcome.ACCEPTED: f"accepted, and nothing against it ({', '.join(asked)})",
        Outcome.REFUSED: "refused",
    }
    for outcome in Outcome:
        if counts[outcome]:
            style = "red" if outcome in BUGS else ""
            say(out, plain(f"{counts[outcome]:>10,} {told[outcome]}", style))
    if report.skipped:
        say(out, plain(f"{report.skipped:>10,} of them as their beginning was"))
    for section, count in sorted(report.sections.items()):
        say(out, plain(f'{count:>10,} of them: see "{section}"'))
    for found in report.told():
        say(out, plain(""))
        more = f"(and {found.count - 1} more like it)" if found.count > 1 else ""
        say(out, plain(told[found.result.outcome], "red"), plain(more))
        for message in (found.result.ours, found.result.theirs):
            if message:
                say(out, plain(f"    {message}"))
        say(out, plain(f'    SEC("{found.program.section}")'))
        for line in listing_of(found.program):
            say(out, plain(f"    {line}"))
