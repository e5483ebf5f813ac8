"""Which types of one BTF stand for types of another: the rules of CO-RE (libbpf's relo_core.c).

Names are told apart without their flavours. Recursion is bounded as there; beyond that, and in
BTF that would take for ever, RelocationError.
"""

from __future__ import annotations

from bpfheap.btf.lazy import essential_name
from bpfheap.btf.table import BtfTypes
from bpfheap.btf.types import (
    Array,
    BtfType,
    Enum,
    Enum64,
    Float,
    FuncProto,
    Fwd,
    Int,
    Ptr,
    Struct,
    Union,
    Void,
    name_of,
)  # fmt: skip
from bpfheap.errors import RelocationError

_MAX_DEPTH = 32
#: Members and parameters compared for one relocation. The largest struct has some hundreds.
_MOST = 1 << 16
_ENUMS = (Enum, Enum64)
_COMPOSITES = (Struct, Union)
#: Any two of one kind are the same for a relocation about a type.
_ALIKE = (Void, Struct, Union, Fwd, Enum, Enum64)


def kinds_are_compatible(one: BtfType, other: BtfType) -> bool:
    """btf_kind_core_compat: the same kind, or both are enums."""
    return type(one) is type(other) or (isinstance(one, _ENUMS) and isinstance(other, _ENUMS))


def names_match(one: str, other: str) -> bool:
    """bpf_core_names_match."""
    return essential_name(one) == essential_name(other)


def _too_deep() -> RelocationError:
    return RelocationError("a CO-RE relocation about types that are nested too deeply")


def fields_are_compatible(local: BtfTypes, local_id: int, target: BtfTypes, target_id: int) -> bool:
    """bpf_core_fields_are_compat."""
    for _ in range(_MAX_DEPTH):
        mine, theirs = local[local.resolve(local_id)], target[target.resolve(target_id)]
        if isinstance(mine, _COMPOSITES) and isinstance(theirs, _COMPOSITES):
            return True
        if not kinds_are_compatible(mine, theirs):
            return False
        match mine, theirs:
            case (Ptr() | Float(), _):
                return True
            case (Fwd() | Enum() | Enum64(), _):
                names = essential_name(name_of(mine)), essential_name(name_of(theirs))
                return not all(names) or names[0] == names[1]
            case (Int(), Int()):
                return mine.offset == theirs.offset == 0
            case (Array(), Array()):
                local_id, target_id = mine.type, theirs.type
            case _:
                return False
    raise _too_deep()


def types_are_compatible(local: BtfTypes, local_id: int, target: BtfTypes, target_id: int) -> bool:
    """bpf_core_types_are_compat: names do not count."""
    return TypeMatcher(local, target).compatible(local_id, target_id)


class TypeMatcher:
    """Compares types of a program with those of a kernel."""

    def __init__(self, local: BtfTypes, target: BtfTypes) -> None:
        self._local = local
        self._target = target
        self._room = _MOST

    def match(self, local_id: int, target_id: int) -> bool:
        """bpf_core_types_match, of root types whose names match: local members, values and
        parameters all have to be in the target."""
        return self._match(local_id, target_id, False, _MAX_DEPTH)

    def compatible(self, local_id: int, target_id: int, level: int = _MAX_DEPTH) -> bool:
        """bpf_core_types_are_compat."""
        local, target = self._local, self._target
        if not kinds_are_compatible(local[local_id], target[target_id]):
            return False
        for _ in range(_MAX_DEPTH):
            mine, theirs = local[local.resolve(local_id)], target[target.resolve(target_id)]
            if not kinds_are_compatible(mine, theirs):
                return False
            match mine, theirs:
                case (Int(), Int()):
                    return mine.offset == theirs.offset == 0
                case (Ptr(), Ptr()):
                    local_id, target_id = mine.type, theirs.type
                case (Array(), Array()):
                    local_id, target_id = mine.type, theirs.type
                case (FuncProto(), FuncProto()):
                    if len(mine.params) != len(theirs.params):
                        return False
                    self._take(len(mine.params))
                    for a, b in zip(mine.params, theirs.params, strict=True):
                        ids = local.resolve(a.type), target.resolve(b.type)
                        if level <= 0:
                            raise _too_deep()
                        if not self.compatible(*ids, level - 1):
                            return False
                    local_id, target_id = local.resolve(mine.ret), target.resolve(theirs.ret)
                case _:
                    return isinstance(mine, _ALIKE)
        raise _too_deep()

    def _take(self, count: int) -> None:
        self._room -= count
        if self._room < 0:
            raise _too_deep()

    def _match(self, local_id: int, target_id: int, behind_ptr: bool, level: int) -> bool:
        if level <= 0:
            raise _too_deep()
        for _ in range(_MAX_DEPTH):
            mine = self._local[self._local.resolve(local_id)]
            theirs = self._target[self._target.resolve(target_id)]
            if not names_match(name_of(mine), name_of(theirs)):
                return False
            match mine, theirs:
                case (Ptr(), Ptr()):
                    behind_ptr = True
                    local_id, target_id = mine.type, theirs.type
                case (Array(), Array()):
                    if mine.count != theirs.count:
                        return False
                    local_id, target_id = mine.type, theirs.type
                case (FuncProto(), FuncProto()):
                    if len(mine.params) != len(theirs.params):
                        return False
                    self._take(len(mine.params))
                    for a, b in zip(mine.params, theirs.params, strict=True):
                        if not self._match(a.type, b.type, behind_ptr, level - 1):
                            return False
                    local_id, target_id = mine.ret, theirs.ret
                case _:
                    return self._ends_match(mine, theirs, behind_ptr, level)
        raise _too_deep()

    def _ends_match(self, mine: BtfType, theirs: BtfType, behind_ptr: bool, level: int) -> bool:
        match mine, theirs:
            case (Void(), Void()):
                return True
            case (Fwd(), Fwd()):
                return mine.is_union == theirs.is_union
            case (Fwd(), Struct() | Union()) | (Struct() | Union(), Fwd()):
                return behind_ptr and _is_union(mine) == _is_union(theirs)
            case (Enum() | Enum64(), Enum() | Enum64()):
                return self._enums_match(mine, theirs)
            case (Struct() | Union(), Struct() | Union()):
                if type(mine) is not type(theirs):
                    return False
                return behind_ptr or self._members_match(mine, theirs, level)
            case (Int(), Int()):
                return mine.size == theirs.size and mine.signed == theirs.signed
        return False

    def _enums_match(self, mine: Enum | Enum64, theirs: Enum | Enum64) -> bool:
        if mine.size != theirs.size or len(mine.values) > len(theirs.values):
            return False
        known = {essential_name(name) for name, _ in theirs.values}
        return all(essential_name(name) in known for name, _ in mine.values)

    def _members_match(self, mine: Struct | Union, theirs: Struct | Union, level: int) -> bool:
        if len(mine.members) > len(theirs.members):
            return False
        by_name: dict[str, list[int]] = {}
        for member in theirs.members:
            by_name.setdefault(essential_name(member.name), []).append(member.type)
        for member in mine.members:
            found = by_name.get(essential_name(member.name), [])
            self._take(len(found))
            if not any(self._match(member.type, other, False, level - 1) for other in found):
                return False
        return True


def _is_union(kind: BtfType) -> bool:
    return kind.is_union if isinstance(kind, Fwd) else isinstance(kind, Union)
