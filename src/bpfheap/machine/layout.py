"""What the machine has to know of types: sizes, and where kptrs, locks and nodes are."""

from __future__ import annotations

from dataclasses import dataclass

from bpfheap.btf import (
    Btf,
    KptrField,
    KptrKind,
    SpecialField,
    SpecialKind,
    Struct,
    kptr_fields,
    special_fields,
)
from bpfheap.errors import BtfError

#: How many objects a KptrValue shows inside one another, and in all: a ring of objects has no end.
SHOWN_DEPTH = 64
SHOWN_OBJECTS = 1024


def round_up(size: int) -> int:
    """To a multiple of 8: where the next copy of a per-CPU value or object begins, or the next
    record of a ring buffer."""
    return -(-size // 8) * 8


def owning(btf: Btf, type_id: int) -> tuple[KptrField, ...]:
    """The fields of a value that own an object; () for a value without a type. Untrusted kptrs
    own nothing. Raises BtfError for fields that cannot be."""
    if not 0 < type_id < len(btf):
        return ()
    return tuple(f for f in kptr_fields(btf, type_id) if f.kind is not KptrKind.UNTRUSTED)


def special(btf: Btf, type_id: int) -> tuple[SpecialField, ...]:
    """The locks, heads, roots, nodes and counts of a value; () for a value without a type. Raises
    BtfError for fields that cannot be."""
    return special_fields(btf, type_id) if 0 < type_id < len(btf) else ()


@dataclass(frozen=True, slots=True)
class ObjectType:
    """The struct `type_id` of `btf`. `key` tells types apart as far as the machine can tell."""

    name: str
    size: int
    kptrs: tuple[KptrField, ...]
    btf: Btf
    type_id: int
    special: tuple[SpecialField, ...] = ()

    @property
    def key(self) -> tuple[str, int, tuple[int, ...], tuple[int, ...]]:
        kptrs = tuple(k.offset for k in self.kptrs)
        return (self.name, self.size, kptrs, tuple(s.offset for s in self.special))

    @property
    def count(self) -> SpecialField | None:
        """The bpf_refcount of an object that may have several owners."""
        return next((s for s in self.special if s.kind is SpecialKind.REFCOUNT), None)


class Types:
    """The structs of one BTF that objects can be made of, each looked at once."""

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._known: dict[int, ObjectType | None] = {}

    def object(self, type_id: int) -> ObjectType | None:
        """None if there is no such struct, or none of which objects can be made."""
        if type_id not in self._known:
            self._known[type_id] = self._look(type_id)
        return self._known[type_id]

    def _look(self, type_id: int) -> ObjectType | None:
        btf = self._btf
        if not 0 < type_id < len(btf):
            return None
        resolved = btf.resolve(type_id)
        kind = btf[resolved]
        if not isinstance(kind, Struct):
            return None
        try:
            kptrs, others = owning(btf, resolved), special(btf, resolved)
        except BtfError:
            return None
        name = kind.name or "(anonymous)"
        return ObjectType(name, btf.size_of(resolved), kptrs, btf, resolved, others)
