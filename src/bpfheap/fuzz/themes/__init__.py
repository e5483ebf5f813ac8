"""The themes, one file each; a new one is a file and its line here."""

from __future__ import annotations

from typing import Final

from bpfheap.errors import UsageError
from bpfheap.fuzz.theme import Theme
from bpfheap.fuzz.themes import (
    callbacks,
    functions,
    iterators,
    linked,
    locks,
    null,
    packets,
    references,
    stack,
    widths,
)

THEMES: Final[dict[str, Theme]] = {
    module.THEME.name: module.THEME
    for module in (
        stack, linked, packets, null, callbacks, locks, iterators, references, widths, functions,
    )
}  # fmt: skip


def theme(name: str) -> Theme:
    """Raises UsageError for a name that there is not."""
    found = THEMES.get(name)
    if found is None:
        raise UsageError(f"there is no theme {name}", hint=f"one of {', '.join(THEMES)}")
    return found
