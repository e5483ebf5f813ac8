"""What goes wrong with a program while it runs."""

from __future__ import annotations

#: The kind of a fault where a program reads what nobody made up.
NOT_SET = "not-set"


class Fault(Exception):
    """A memory error, before the machine knows who made it and where.

    `kind` as in Violation; `region` is the one whose life tells more, or None. Never leaves the
    machine: it becomes a Violation.
    """

    def __init__(self, kind: str, text: str, region: int | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.region = region
