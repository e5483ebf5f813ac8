"""Where text goes and how: results to stdout, complaints to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from bpfheap.errors import BpfheapError, CompileError, Violation
from bpfheap.report import details
from bpfheap.spec import ObjectSpec

#: Columns of tables in a file or pipe; rich would fold them at 80.
_PIPE_WIDTH = 200


def console(*, stderr: bool = False) -> Console:
    """A new console, without highlighting and markup."""
    made = Console(stderr=stderr, highlight=False, markup=False)
    if not made.is_terminal:
        made.width = _PIPE_WIDTH
    return made


def plain(text: object, style: str = "") -> Text:
    """Text with control characters escaped: it may come from a file, and goes to a terminal."""
    shown = "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode()
        for c in str(text)
    )
    return Text(shown, style=style)


def say(out: Console, *parts: Text) -> None:
    """Print one line without folding it, so that it can be searched for."""
    out.print(*parts, soft_wrap=True)


def help_of(command: Callable[..., None]) -> str:
    """A command's docstring, each paragraph as one line; the terminal wraps it."""
    paragraphs = (command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def print_json(value: Any) -> None:
    """One JSON document, on stdout."""
    print(json.dumps(value, indent=2))


def remark(obj: ObjectSpec) -> None:
    """Print to stderr what users should know of how a file was read."""
    for note in obj.notes:
        say(console(stderr=True), plain(f"{obj.file}: note: {note}", "yellow"))


def complain(error: BpfheapError) -> None:
    """Print an error's line and its details to stderr. clang's diagnostics come first, unchanged;
    our line is only a summary of them."""
    err = console(stderr=True)
    if isinstance(error, CompileError):
        sys.stderr.write(error.diagnostics)
        say(err, plain(error, "red"))
        return
    kind = f"{error.kind}: " if isinstance(error, Violation) else ""
    say(err, plain(f"{kind}{error}", "red"))
    for line in details(error):
        say(err, plain(line))
