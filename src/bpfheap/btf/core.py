"""CO-RE relocations: where a kernel has what a program accesses, or that it does not have it
(libbpf's relo_core.c). Without a kernel's types, the object's own stand for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from bpfheap.btf.identity import same_type
from bpfheap.btf.lazy import LazyBtf, essential_name
from bpfheap.btf.match import (
    TypeMatcher,
    fields_are_compatible,
    kinds_are_compatible,
    types_are_compatible,
)
from bpfheap.btf.table import Btf, BtfTypes
from bpfheap.btf.types import Array, BtfType, Enum, Enum64, Int, Ptr, Struct, Union, name_of
from bpfheap.errors import BtfError, RelocationError


class CoreKind(IntEnum):
    """enum bpf_core_relo_kind."""

    FIELD_BYTE_OFFSET = 0
    FIELD_BYTE_SIZE = 1
    FIELD_EXISTS = 2
    FIELD_SIGNED = 3
    FIELD_LSHIFT_U64 = 4
    FIELD_RSHIFT_U64 = 5
    TYPE_ID_LOCAL = 6
    TYPE_ID_TARGET = 7
    TYPE_EXISTS = 8
    TYPE_SIZE = 9
    ENUMVAL_EXISTS = 10
    ENUMVAL_VALUE = 11
    TYPE_MATCHES = 12


_OF_TYPES = frozenset(kind for kind in CoreKind if kind.name.startswith("TYPE_"))
_OF_VALUES = frozenset({CoreKind.ENUMVAL_EXISTS, CoreKind.ENUMVAL_VALUE})
#: Without the type or field, these are 0; all others are not to be reached.
_EXISTENCE = frozenset({*_OF_TYPES, CoreKind.FIELD_EXISTS, CoreKind.ENUMVAL_EXISTS})
#: What libbpf knows for an element of an array.
_OF_ELEMENTS = frozenset(
    {CoreKind.FIELD_BYTE_OFFSET, CoreKind.FIELD_BYTE_SIZE, CoreKind.FIELD_EXISTS}
)
#: No instruction has room for a larger offset.
_MAX_OFFSET = 1 << 31
#: BPF_CORE_SPEC_MAX_LEN.
_MAX_STEPS = 64
#: Members looked at for one access. Unions nested in unions could take for ever.
_MOST = 1 << 18


class _Accessor(NamedTuple):
    """A member of `type`, or element `place` (of that type) where there is no name."""

    type: int
    place: int
    name: str | None


#: A type of a kernel, or of one of its modules.
_Candidate: TypeAlias = tuple[LazyBtf, int]


class _Field(NamedTuple):
    """What an access leads to; `bitfield_size` is 0 if it is no bitfield."""

    type: int
    bit_offset: int
    bitfield_size: int


class CoreRelocation(NamedTuple):
    """`access` is a list of indices, as in "0:1:2": the first steps over whole values of the type,
    the others are members and array elements; for an enum it names one value; for a whole type it
    is "0"."""

    type_id: int
    access: str
    kind: CoreKind


class CoreResult(NamedTuple):
    """What becomes of the instruction. `exists` False: it must not be reached. `sizes`: bytes of
    the field in the program's types and in the kernel's, 0 where its offset is not asked for; with
    `same_number` False, no access can be changed from one to the other."""

    value: int
    exists: bool = True
    sizes: tuple[int, int] = (0, 0)
    same_number: bool = True


@dataclass(slots=True)
class _Spec:
    """An access that was followed (struct bpf_core_spec): `accessors` without what is anonymous,
    `steps` all of them counted."""

    btf: BtfTypes
    root: int
    kind: CoreKind
    access: str
    accessors: list[_Accessor] = field(default_factory=list)
    steps: int = 0
    bits: int = 0
    #: The value of an enum.
    number: int = 0
    #: The type that the last step led to, and the width of the bitfield there.
    end: int = 0
    width: int = 0

    def error(self, message: str) -> RelocationError:
        return RelocationError(f"CO-RE access {self.access} {message}")


def core_value(btf: Btf, type_id: int, access: str, kind: CoreKind) -> int:
    """The relocation's value where the target is the object's own BTF. Raises RelocationError for
    an access that leads nowhere."""
    spec = _parse(btf, CoreRelocation(type_id, access, kind))
    if kind is CoreKind.TYPE_MATCHES:
        return int(same_type(btf, type_id, btf, type_id))
    return _value(spec)


class CoreTarget:
    """The types of a kernel, as the target of one object's relocations."""

    def __init__(
        self, local: Btf, target: LazyBtf, modules: Callable[[], Iterable[LazyBtf]] = tuple
    ) -> None:
        """`modules` gives the types of the kernel's modules, for what it does not have itself."""
        self._local = local
        self._target = target
        self._modules = modules
        self._candidates: dict[int, list[_Candidate]] = {}
        self._results: dict[CoreRelocation, CoreResult] = {}

    def resolve(self, relocation: CoreRelocation) -> CoreResult:
        """bpf_core_calc_relo_insn. Raises RelocationError if the access leads nowhere in the
        object's own types, or to several places of the kernel's."""
        found = self._results.get(relocation)
        if found is None:
            try:
                found = self._results[relocation] = self._resolve(relocation)
            except BtfError as error:
                raise RelocationError(
                    f"CO-RE access {relocation.access}: {error.message}", hint=error.hint
                ) from error
        return found

    def _resolve(self, relocation: CoreRelocation) -> CoreResult:
        kind = relocation.kind
        local = _parse(self._local, relocation)
        if kind is CoreKind.TYPE_ID_LOCAL:
            return CoreResult(relocation.type_id)
        if kind not in _OF_TYPES | _OF_VALUES | _OF_ELEMENTS and not local.accessors[-1].name:
            raise local.error(f"is of an array's element, which has no {kind.name.lower()}")
        candidates = self._named_like(relocation.type_id)
        result: CoreResult | None = None
        bits = 0
        matching = []
        for candidate in candidates:
            spec = self._match(local, *candidate)
            if spec is None:
                continue
            one = self._result(local, spec)
            if result is None:
                result, bits = one, spec.bits
            elif (bits, result.value) != (spec.bits, one.value):
                raise local.error(
                    f"is ambiguous: {_described(local)} is at several places in the kernel's types"
                )
            matching.append(candidate)
        if result is not None:
            # Later relocations look no further (cands->len = j).
            candidates[:] = matching
            return result
        return CoreResult(0, exists=kind in _EXISTENCE)

    def _named_like(self, type_id: int) -> list[_Candidate]:
        """bpf_core_find_cands."""
        found = self._candidates.get(type_id)
        if found is None:
            root = self._local[type_id]
            name = essential_name(name_of(root))
            if not name:
                raise RelocationError("a CO-RE relocation about a type without a name")
            found = _candidates(self._target, name, root)
            if not found:
                for module in self._modules():
                    found += _candidates(module, name, root)
            self._candidates[type_id] = found
        return found

    def _match(self, local: _Spec, target: LazyBtf, candidate: int) -> _Spec | None:
        """bpf_core_spec_match."""
        spec = _Spec(target, candidate, local.kind, local.access, end=candidate)
        if local.kind is CoreKind.TYPE_MATCHES:
            found = TypeMatcher(self._local, target).match(local.root, candidate)
            return spec if found else None
        if local.kind in _OF_TYPES:
            alike = types_are_compatible(self._local, local.root, target, candidate)
            return spec if alike else None
        if local.kind in _OF_VALUES:
            return self._match_value(local, spec)
        return _MemberSearch(local, spec).found()

    def _match_value(self, local: _Spec, spec: _Spec) -> _Spec | None:
        kind = spec.btf[spec.btf.resolve(spec.root)]
        wanted = essential_name(local.accessors[0].name or "")
        if isinstance(kind, Enum | Enum64):
            for name, number in kind.values:
                if essential_name(name) == wanted:
                    spec.number = number
                    return spec
        return None

    def _result(self, local: _Spec, spec: _Spec) -> CoreResult:
        """bpf_core_calc_relo."""
        if spec.kind is CoreKind.TYPE_MATCHES:
            return CoreResult(1)
        if spec.kind is not CoreKind.FIELD_BYTE_OFFSET:
            return CoreResult(_value(spec))
        (mine, mine_size), (theirs, their_size) = _loaded(local), _loaded(spec)
        same = (
            mine_size == their_size
            or (isinstance(mine, Ptr) and isinstance(theirs, Ptr))
            or (_is_unsigned(mine) and _is_unsigned(theirs))
        )
        return CoreResult(_value(spec), sizes=(mine_size, their_size), same_number=same)


def _candidates(types: LazyBtf, name: str, root: BtfType) -> list[_Candidate]:
    """bpf_core_add_cands."""
    return [(types, i) for i in types.named(name) if kinds_are_compatible(types[i], root)]


def _is_unsigned(kind: BtfType | None) -> bool:
    # As libbpf has it: signed alone, not together with "char".
    return isinstance(kind, Int) and kind.encoding != 1


def _loaded(spec: _Spec) -> tuple[BtfType | None, int]:
    """The field, and the bytes that a load of it has: those of an element if it is an array, none
    if it is a bitfield."""
    if spec.width:
        return None, 0
    btf = spec.btf
    at = btf.resolve(spec.end)
    kind = element = btf[at]
    for _ in range(_MAX_STEPS):
        if not isinstance(element, Array):
            break
        at = btf.resolve(element.type)
        element = btf[at]
    return kind, _size(spec, at)


class _MemberSearch:
    """Finds in a target type what was accessed in a local one."""

    def __init__(self, local: _Spec, spec: _Spec) -> None:
        self._local = local
        self._spec = spec
        self._room = _MOST

    def found(self) -> _Spec | None:
        spec, btf = self._spec, self._spec.btf
        for number, accessor in enumerate(self._local.accessors):
            at = btf.resolve(spec.end)
            if accessor.name is not None:
                if not self._member(accessor, at):
                    return None
                continue
            if number:
                kind = btf[at]
                if not isinstance(kind, Array):
                    return None
                if accessor.place >= kind.count and not _is_flexible(spec, kind):
                    return None
                at = btf.resolve(kind.type)
            self._step()
            spec.accessors.append(_Accessor(at, accessor.place, None))
            spec.bits += accessor.place * _size(spec, at) * 8
            spec.end, spec.width = at, 0
        return spec

    def _step(self) -> None:
        if self._spec.steps == _MAX_STEPS:
            raise self._local.error("leads to types that are nested too deeply")
        self._spec.steps += 1

    def _member(self, accessor: _Accessor, at: int) -> bool:
        """bpf_core_match_member: also in anonymous structs and unions."""
        spec, btf = self._spec, self._spec.btf
        kind = btf[btf.resolve(at)]
        if not isinstance(kind, Struct | Union):
            return False
        for index, member in enumerate(kind.members):
            self._room -= 1
            if self._room < 0:
                raise self._local.error("leads to types that take too long to search")
            self._step()
            spec.bits += member.bit_offset
            if not member.name:
                if self._member(accessor, member.type):
                    return True
            elif member.name == accessor.name:
                local = self._local.btf
                owner = local[accessor.type]
                assert isinstance(owner, Struct | Union)
                mine = owner.members[accessor.place].type
                if not fields_are_compatible(local, mine, btf, member.type):
                    return False
                spec.accessors.append(_Accessor(btf.resolve(at), index, member.name))
                spec.end, spec.width = member.type, member.bitfield_size
                return True
            spec.bits -= member.bit_offset
            spec.steps -= 1
        return False


def _is_flexible(spec: _Spec, array: Array) -> bool:
    """An array without elements at the end of a struct may be longer than its type says."""
    last = spec.accessors[-1]
    if last.name is None or array.count:
        return False
    owner = spec.btf[last.type]
    return isinstance(owner, Struct | Union) and last.place == len(owner.members) - 1


# -- accesses to local types


def _parse(btf: BtfTypes, relocation: CoreRelocation) -> _Spec:
    """bpf_core_parse_spec."""
    type_id, access, kind = relocation
    if not 0 < type_id < len(btf):
        raise RelocationError(f"CO-RE relocation names type {type_id}, which is not there")
    spec = _Spec(btf, type_id, kind, access, end=type_id)
    indices = _indices(access)
    if kind in _OF_TYPES:
        if indices != [0]:
            raise RelocationError(f"CO-RE access {access} of a whole type is not 0")
    elif kind in _OF_VALUES:
        _parse_value(spec, indices)
    else:
        _walk(spec, indices)
    return spec


def _size(spec: _Spec, type_id: int) -> int:
    try:
        return spec.btf.size_of(type_id)
    except BtfError as error:
        raise RelocationError(f"CO-RE access {spec.access}: {error.message}") from error


def _indices(access: str) -> list[int]:
    parts = access.split(":")
    wrong = not all(p.isascii() and p.isdigit() and len(p) < 10 for p in parts)
    if wrong or len(parts) > _MAX_STEPS:
        raise RelocationError(f"CO-RE access {access[:40]!r} is not a list of indices")
    return [int(p) for p in parts]


def _parse_value(spec: _Spec, indices: list[int]) -> None:
    kind = spec.btf[spec.btf.resolve(spec.root)]
    if not isinstance(kind, Enum | Enum64) or len(indices) != 1 or indices[0] >= len(kind.values):
        raise spec.error(f"names no value of {spec.btf.c_name(spec.root)}")
    name, spec.number = kind.values[indices[0]]
    spec.accessors.append(_Accessor(spec.root, indices[0], name))


def _walk(spec: _Spec, indices: list[int]) -> None:
    btf = spec.btf
    at = btf.resolve(spec.root)
    spec.bits = indices[0] * _size(spec, at) * 8
    spec.accessors.append(_Accessor(at, indices[0], None))
    for index in indices[1:]:
        kind = btf[at]
        match kind:
            case Struct() | Union() if index < len(kind.members):
                member = kind.members[index]
                if member.name:
                    spec.accessors.append(_Accessor(at, index, member.name))
                spec.bits += member.bit_offset
                spec.width = member.bitfield_size
                at = btf.resolve(member.type)
            # A flexible array member (no elements) may be longer than its type says.
            case Array() if index < kind.count or kind.count == 0:
                at = btf.resolve(kind.type)
                spec.accessors.append(_Accessor(at, index, None))
                spec.bits += index * _size(spec, at) * 8
                spec.width = 0
            case _:
                raise spec.error(
                    f"of {btf.c_name(spec.root)} leads nowhere: {btf.c_name(at)} has no element "
                    f"{index}"
                )
    spec.end, spec.steps = at, len(indices)
    if spec.bits // 8 >= _MAX_OFFSET:
        raise spec.error(f"of {btf.c_name(spec.root)} is too far away, at byte {spec.bits // 8}")


def described(local: Btf, relocation: CoreRelocation) -> str:
    """What a relocation is about, as C spells it: "struct foo.bar[2].baz"."""
    return _described(_parse(local, relocation))


def _described(spec: _Spec) -> str:
    text = spec.btf.c_name(spec.root)
    if spec.kind in _OF_TYPES:
        return text
    if spec.kind in _OF_VALUES:
        return f"{spec.accessors[0].name} of {text}"
    for accessor in spec.accessors[1:]:
        text += f"[{accessor.place}]" if accessor.name is None else f".{accessor.name}"
    return text


# -- values


def _value(spec: _Spec) -> int:
    match spec.kind:
        case CoreKind.TYPE_ID_LOCAL | CoreKind.TYPE_ID_TARGET:
            return spec.root
        case CoreKind.TYPE_EXISTS | CoreKind.ENUMVAL_EXISTS:
            return 1
        case CoreKind.TYPE_SIZE:
            return _size(spec, spec.root)
        case CoreKind.ENUMVAL_VALUE:
            return spec.number
    return _field_value(spec, _Field(spec.btf.resolve(spec.end), spec.bits, spec.width))


def _field_value(spec: _Spec, found: _Field) -> int:
    """bpf_core_calc_field_relo."""
    size = _size(spec, found.type)
    bits = found.bitfield_size or size * 8
    offset, load = found.bit_offset // 8, size
    if found.bitfield_size:
        if not size:
            raise spec.error("is of a bitfield, but of no integer")
        # The smallest aligned load of at most 8 bytes that covers the bitfield.
        offset = found.bit_offset // 8 // load * load
        while found.bit_offset + bits - offset * 8 > load * 8:
            if load >= 8:
                raise spec.error("is of a bitfield that is wider than one load can cover")
            load *= 2
            offset = found.bit_offset // 8 // load * load
    target = spec.btf[found.type]
    match spec.kind:
        case CoreKind.FIELD_BYTE_OFFSET:
            return offset
        case CoreKind.FIELD_BYTE_SIZE:
            return load
        case CoreKind.FIELD_EXISTS:
            return 1
        case CoreKind.FIELD_SIGNED:
            return int(target.signed) if isinstance(target, Int | Enum | Enum64) else 0
        case CoreKind.FIELD_LSHIFT_U64 | CoreKind.FIELD_RSHIFT_U64 if load > 8:
            raise spec.error(f"shifts {spec.btf.c_name(found.type)}, which is no 64-bit number")
        case CoreKind.FIELD_LSHIFT_U64:
            return 64 - (found.bit_offset + bits - offset * 8)
        case CoreKind.FIELD_RSHIFT_U64:
            return 64 - bits
    raise RelocationError(f"CO-RE kind {spec.kind.name} is not about a field")
