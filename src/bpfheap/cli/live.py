"""Live progress of explorations: a line for each running one, on a terminal only."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from bpfheap.cli.output import console, plain
from bpfheap.explore import Progress

_UNITS = ("B", "KiB", "MiB", "GiB")


def size(number: int) -> str:
    """A number of bytes with a unit."""
    amount = float(number)
    for unit in _UNITS[:-1]:
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} {_UNITS[-1]}"


def progress_text(label: str, seen: Progress) -> Text:
    return plain(
        f"{label}: {seen.states:,} states, {seen.rate:,.0f}/s, frontier {seen.frontier:,}, "
        f"depth {seen.depth}, {size(seen.memory)}"
    )


class LiveLines:
    """Shows the `rows` most recently updated searches on stderr, until the context manager ends.
    Writes nothing if stderr is no terminal."""

    def __init__(self, labels: Sequence[str], rows: int) -> None:
        self._labels = labels
        self._rows = rows
        self._seen: dict[int, Progress] = {}
        self._done: set[int] = set()
        out = console(stderr=True)
        self._live = Live(console=out, auto_refresh=False, transient=True)
        self._wanted = out.is_terminal

    def __enter__(self) -> Self:
        if self._wanted:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._wanted:
            self._live.stop()

    def progress(self, number: int, seen: Progress) -> None:
        """Update a search."""
        if not self._wanted or number in self._done:
            return
        # Re-insert, so that the dict is in the order of updates.
        self._seen.pop(number, None)
        self._seen[number] = seen
        self._show()

    def done(self, number: int) -> None:
        """A search has finished."""
        self._done.add(number)
        self._seen.pop(number, None)
        if self._wanted:
            self._show()

    def _show(self) -> None:
        shown = sorted(list(self._seen)[-self._rows :])
        lines = [progress_text(self._labels[n], self._seen[n]) for n in shown]
        for line in lines:
            line.no_wrap = True
            line.overflow = "ellipsis"
        if len(self._labels) > 1:
            lines.append(plain(f"{len(self._done)} of {len(self._labels)} done"))
        self._live.update(Group(*lines), refresh=True)
