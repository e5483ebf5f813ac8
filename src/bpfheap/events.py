"""What happens to objects: machines report it, policies are told."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class ObjectKind(StrEnum):
    """What happened to an object."""

    ALLOC = "alloc"
    FREE = "free"


class ObjectEvent(NamedTuple):
    """An object came from its allocator, or went back to it.

    `allocator`: the allocator's id.
    `cpu`: where that happened.
    `program`: the one that did it with a call of its own; None for what map free, updates and the
        free of another object bring with them.
    `type`: the name of the object's struct.
    """

    kind: ObjectKind
    allocator: int
    cpu: int
    program: int | None
    type: str
