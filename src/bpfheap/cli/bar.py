"""A progress bar on stderr, if stderr is a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bpfheap.cli.output import console


class ProgressBar:
    """A progress bar for `total` items of work; a context manager."""

    def __init__(self, total: int) -> None:
        out = console(stderr=True)
        self.total = total
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=out,
            transient=True,
            disable=not out.is_terminal,
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, doing: str, done: int) -> None:
        """Show what is being done now, and how many items are done."""
        self._progress.update(self._task, description=doing, completed=done)
