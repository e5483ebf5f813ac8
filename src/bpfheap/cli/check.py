"""`bpfheap check`: verify every program and load nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

import bpfheap
from bpfheap.cli.inputs import Files, expand
from bpfheap.cli.output import complain, console, plain, print_json, say
from bpfheap.errors import BpfheapError, UsageError
from bpfheap.report import details
from bpfheap.spec import ProgramSpec
from bpfheap.verifier.flows import Flow
from bpfheap.verifier.verdict import Options, Verdict

EXAMPLES = """Examples:

bpfheap check prog.bpf.c

bpfheap check -v prog.bpf.o

bpfheap check examples/three_programs --json
"""

Checked = list[tuple[ProgramSpec, Verdict]]


def check(
    files: Files,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print the full verifier log.")
    ] = False,
) -> None:
    """Verify programs: is each one safe, and which flows of objects does it have.

    Flows say what a program does with objects that it owns, over all its paths: where they come
    from (alloc), which map fields they go into (store, move), where it takes them out (take) and
    gives them back (free). Exit code 1 if a program is rejected or a file cannot be read.
    """
    checked: Checked = []
    errors: list[BpfheapError] = []
    out = console()
    for path in expand(files):
        try:
            found = bpfheap.check(path, options=Options(log=verbose))
        except UsageError:
            raise
        except BpfheapError as error:
            error.at(str(path))
            errors.append(error)
            complain(error)
            continue
        checked += found
        if not json:
            _print(out, path, found, verbose)
    if json:
        document: dict[str, Any] = {"programs": [_to_json(*one, verbose) for one in checked]}
        if errors:
            document["errors"] = [error.to_json() for error in errors]
        print_json(document)
    if errors or not all(verdict.accepted for _, verdict in checked):
        raise typer.Exit(1)


def _to_json(program: ProgramSpec, verdict: Verdict, verbose: bool) -> dict[str, Any]:
    return {
        "file": program.file,
        "section": program.section,
        "name": program.name,
        "verdict": "accept" if verdict.accepted else "reject",
        "insns_processed": verdict.insns_processed,
        "states": verdict.states,
        "flows": [flow.to_json() for flow in verdict.flows],
        "error": None if verdict.error is None else verdict.error.to_json(),
        **({"log": _log(verdict)} if verbose else {}),
    }


def _log(verdict: Verdict) -> str:
    return verdict.log or (verdict.error.log if verdict.error is not None else "")


def _print(out: Console, path: Path, found: Checked, verbose: bool) -> None:
    if not found:
        say(out, plain(f"{path}: no programs"))
    for program, verdict in found:
        say(
            out,
            plain("accept", "green") if verdict.accepted else plain("reject", "red"),
            plain(program.name, "bold"),
            plain(
                f"({path}, {program.section}): {verdict.insns_processed} instructions processed, "
                f"{verdict.states} states"
            ),
        )
        if verdict.error is not None:
            for line in (str(verdict.error), *details(verdict.error)):
                say(out, plain(f"    {line}"))
        elif verdict.flows:
            out.print(Padding(_flows(verdict.flows), (0, 0, 0, 4), expand=False))
        if verbose:
            say(out, plain(_log(verdict).rstrip("\n")))


def _flows(flows: tuple[Flow, ...]) -> Table:
    table = Table("flow", "source", "field", "line", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for flow in flows:
        table.add_row(
            plain(flow.kind),
            plain("" if flow.source is None else flow.source),
            plain("" if flow.field is None else flow.field),
            plain("" if flow.line is None else flow.line.line),
        )
    return table
