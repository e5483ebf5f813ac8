"""The application: options for all commands, and the commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

import bpfheap
from bpfheap.cli import bench, calls, check, explore, fuzz, policies, replay, run
from bpfheap.cli.output import help_of


@dataclass(slots=True)
class GlobalOptions:
    """The options that stand before the command."""

    debug: bool = False


app = typer.Typer(
    help="BPF programs that share typed objects: verify them, run them, and see how long their "
    "allocators live. No root, no kernel.",
    epilog="Exit codes: 0 fine, 1 a program, file, run or policy is at fault, 2 wrong usage, "
    "3 an exploration ended at a bound, 4 a program needs what bpfheap does not know, "
    "5 the kernel of check --against says otherwise.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    # `main` prints unexpected exceptions itself, as one line.
    pretty_exceptions_enable=False,
)
for command, examples in (
    (check.check, check.EXAMPLES),
    (run.run, run.EXAMPLES),
    (explore.explore, explore.EXAMPLES),
    (replay.replay, replay.EXAMPLES),
    (policies.policies, policies.EXAMPLES),
    (calls.calls, calls.EXAMPLES),
):
    app.command(command.__name__, help=help_of(command), epilog=examples)(command)


app.add_typer(fuzz.app, name="fuzz")
app.add_typer(bench.app, name="bench")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"bpfheap {bpfheap.__version__}")
        raise typer.Exit


@app.callback()
def common(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an internal error.")
    ] = False,
) -> None:
    if isinstance(ctx.obj, GlobalOptions):
        ctx.obj.debug = debug
