"""Flows: what a program does with owned objects, over all its paths; facts for policies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bpfheap.spec import SourceLine


class FlowKind(StrEnum):
    """The five flows of the design."""

    ALLOC = "alloc"  # an object of allocator `source` comes to life
    STORE = "store"  # an object fresh from allocator `source` goes into `field`
    MOVE = "move"  # an object taken from field `source` goes into `field`
    TAKE = "take"  # values of `field` may be on the stack
    FREE = "free"  # a value of `field` (or a fresh object of allocator `source`) is freed


class Holder(StrEnum):
    """What a field is part of."""

    MAP = "map"  # a value of the map of that name
    INNER = "inner"  # a value of any inner map that the map of that name may hold
    TYPE = "type"  # an object of that (struct) type


@dataclass(frozen=True, slots=True, order=True)
class Field:
    """A kptr field.

    `holder`: what it is part of.
    `name`: the map's or the type's.
    `path`: the field's, as "a.b[1].c".
    """

    holder: Holder
    name: str
    path: str

    def __str__(self) -> str:
        match self.holder:
            case Holder.MAP:
                return f"{self.name}.{self.path}"
            case Holder.INNER:
                return f"{self.name}[].{self.path}"
            case Holder.TYPE:
                return f"struct {self.name}.{self.path}"


@dataclass(frozen=True, slots=True)
class Flow:
    """One thing that a program does with objects.

    `kind`: what it does.
    `source`: an allocator map's name (GLOBAL_ALLOCATOR for bpf_obj_new) or a field.
    `field`: the field that is written, read or emptied.
    `line`: where the walk saw it first, None where there are no lines.

    | kind  | source             | field |
    |-------|--------------------|-------|
    | alloc | allocator          | None  |
    | store | allocator          | to    |
    | move  | field              | to    |
    | take  | None               | from  |
    | free  | allocator or None  | from, None for a fresh object |

    Two flows are equal if they say the same, wherever they were seen: `line` does not count.
    """

    kind: FlowKind
    source: str | Field | None
    field: Field | None
    line: SourceLine | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Flow) and self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())

    def key(self) -> tuple[FlowKind, str | Field | None, Field | None]:
        return (self.kind, self.source, self.field)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": str(self.kind),
            "source": None if self.source is None else str(self.source),
            "field": None if self.field is None else str(self.field),
            "line": None if self.line is None else self.line.line,
        }


#: The name under which the allocator behind bpf_obj_new appears; no map can be called so.
GLOBAL_ALLOCATOR = "(global)"
