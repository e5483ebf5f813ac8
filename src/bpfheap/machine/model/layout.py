"""What the machine has to know of types: sizes and where the kptrs are."""

from __future__ import annotations

from dataclasses import dataclass

from bpfheap.btf import Btf, KptrField, KptrKind, Struct, kptr_fields
from bpfheap.errors import BtfError


def owning(btf: Btf, type_id: int) -> tuple[KptrField, ...]:
    """The fields of a value that own an object; () for a value without a type. Untrusted kptrs
    own nothing. Raises BtfError for fields that cannot be."""
    if not 0 < type_id < len(btf):
        return ()
    return tuple(f for f in kptr_fields(btf, type_id) if f.kind is not KptrKind.UNTRUSTED)


@dataclass(frozen=True, slots=True)
class ObjectType:
    """The struct `type_id` of `btf`. `key` tells types apart as far as the machine can tell."""

    name: str
    size: int
    kptrs: tuple[KptrField, ...]
    btf: Btf
    type_id: int

    @property
    def key(self) -> tuple[str, int, tuple[int, ...]]:
        return (self.name, self.size, tuple(k.offset for k in self.kptrs))


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
            kptrs = owning(btf, resolved)
        except BtfError:
            return None
        return ObjectType(kind.name or "(anonymous)", btf.size_of(resolved), kptrs, btf, resolved)
