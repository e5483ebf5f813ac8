"""`bpfheap policies`: the lifetime policies there are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

import bpfheap
from bpfheap.cli.output import console, plain, print_json

EXAMPLES = """Examples:

bpfheap policies

bpfheap policies --json
"""


def policies(
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the policies that decide how long an allocator lives, with what is known of each."""
    found = bpfheap.policies()
    if json:
        print_json({"policies": [asdict(policy) for policy in found]})
        return
    table = Table("name", "rule", "what the thread says of it", "asks for")
    for policy in found:
        name = f"{policy.name} (default)" if policy.default else policy.name
        table.add_row(
            plain(name, "bold"),
            plain(policy.rule),
            plain(policy.thread),
            plain(policy.asks or "nothing"),
        )
    console().print(table)
