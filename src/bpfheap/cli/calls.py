"""`bpfheap calls`: what each machine makes of helpers and kfuncs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

import bpfheap
from bpfheap.cli.output import console, plain, print_json
from bpfheap.errors import UsageError

EXAMPLES = """Examples:

bpfheap calls

bpfheap calls bpf_fib_lookup bpf_task_from_pid

bpfheap calls --json
"""


def calls(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Only these.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List helpers and kfuncs, and what becomes of a call on each machine.

    real: it does what Linux does. played: it asks the kernel that a test made up around the
    program. to be stubbed: a test brings a Python function for it, as for all kfuncs that are not
    in the list.
    """
    found = bpfheap.calls()
    if names:
        known = {call.name for call in found}
        for name in names:
            if name not in known:
                raise UsageError(
                    f"there is no call {name} in the list",
                    hint="a kfunc of the kernel's BTF that is not there is to be stubbed",
                )
        found = tuple(call for call in found if call.name in names)
    if json:
        print_json({"calls": [asdict(call) for call in found]})
        return
    table = Table("name", "number", *bpfheap.machines())
    for call in found:
        table.add_row(
            plain(call.name, "bold"),
            "" if call.number is None else str(call.number),
            *(plain(call.machines[machine]) for machine in bpfheap.machines()),
        )
    console().print(table)
