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

#: Tables that go to a file or a pipe are not folded at the 80 columns of a terminal there is not.
_PIPE_WIDTH = 200


def console(*, stderr: bool = False) -> Console:
    """A console for this call: nothing is highlighted or taken for markup."""
    made = Console(stderr=stderr, highlight=False, markup=False)
    if not made.is_terminal:
        made.width = _PIPE_WIDTH
    return made


def plain(text: object, style: str = "") -> Text:
    """Text that came from a file: control characters are escaped, never sent to a terminal."""
    shown = "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode()
        for c in str(text)
    )
    return Text(shown, style=style)


def say(out: Console, *parts: Text) -> None:
    """One line, which is never folded: others may search it."""
    out.print(*parts, soft_wrap=True)


def help_of(command: Callable[..., None]) -> str:
    """Its docstring without line ends: the terminal decides where those are."""
    paragraphs = (command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def print_json(value: Any) -> None:
    """One JSON document, on stdout."""
    print(json.dumps(value, indent=2))


def complain(error: BpfheapError) -> None:
    """An error's line and its details, to stderr. clang's diagnostics come first and as they are:
    they are the message, ours is the summary."""
    err = console(stderr=True)
    if isinstance(error, CompileError):
        sys.stderr.write(error.diagnostics)
        say(err, plain(error, "red"))
        return
    kind = f"{error.kind}: " if isinstance(error, Violation) else ""
    say(err, plain(f"{kind}{error}", "red"))
    for line in details(error):
        say(err, plain(line))
