"""`bpfheap fuzz hunt`: all instruments in turn, for hours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from bpfheap.cli.output import console, plain, print_json, say
from bpfheap.fuzz.campaign import CampaignReport, campaign
from bpfheap.fuzz.results import BUGS

EXAMPLES = """Examples:

bpfheap fuzz hunt --seconds 3600

bpfheap fuzz hunt --into hunted --cluster 10.0.0.7:8786
"""


def hunt(
    seconds: Annotated[
        float, typer.Option(min=0, metavar="S", help="For how long, about.")
    ] = 3600.0,
    into: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Where findings are written, as files of cases, and what is done: the next hunt "
            "into the same folder goes on from there.",
        ),
    ] = Path("hunt"),
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="J", help="Processes, one per CPU if not given.", show_default=False
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Of the scheduler of a dask cluster, whose workers have bpfheap, too: they do the "
            "work then. Needs the extra `cluster`.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Look for faults of the verifier with all instruments in turn: random programs against the
    walk without pruning, the live kernel where bpf(2) is allowed, and both machines; and all
    programs of all themes. Each finding is made small and written as a file of cases, once for each
    cause.

    Ctrl-C ends it; nothing is lost but the pieces under way. Exit code 1 if something was found.
    """
    errors = console(stderr=True)

    def show(report: CampaignReport) -> None:
        if errors.is_terminal:
            done = f"{report.pieces:,} pieces, {sum(report.programs.values()):,} programs"
            errors.print(f"\r{done}, {len(report.files)} findings", end="")

    report = campaign(
        into, seconds, jobs=jobs or len(os.sched_getaffinity(0)), cluster=cluster, progress=show
    )
    if errors.is_terminal:
        errors.print()
    bugs = {str(outcome) for outcome in BUGS}
    if json:
        print_json(report.to_json())
    else:
        out = console()
        say(out, plain(f"{sum(report.programs.values()):,} programs so far", "bold"))
        for instrument, count in sorted(report.programs.items()):
            say(out, plain(f"{count:>10,} {instrument}"))
        for outcome, count in sorted(report.outcomes.items()):
            if outcome in bugs:
                say(out, plain(f"{count:>10,} {outcome}", "red"))
        for path in report.files:
            say(out, plain(f"found: {path}", "red"))
    if report.files:
        raise typer.Exit(1)
