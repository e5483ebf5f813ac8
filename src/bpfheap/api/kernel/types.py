"""The types of a kernel, as those need them who make its objects up."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bpfheap.btf import (
    Array,
    BtfTypes,
    Enum,
    Enum64,
    FoundMember,
    Int,
    LazyBtf,
    Ptr,
    Struct,
    Typedef,
    TypeTag,
    Union,
    essential_name,
    find_member,
    members,
    place_of,
)
from bpfheap.btf.types import MODIFIERS, name_of
from bpfheap.errors import UsageError
from bpfheap.runtime.world import Space
from bpfheap.verifier.state.kernel import SAFE_RCU, SAFE_TRUSTED

#: Structs that list which pointers of a struct lead somewhere, always (BTF_TYPE_SAFE_RCU and others
#: in kernel/bpf/verifier.c).
_NEVER_NULL = (SAFE_RCU, SAFE_TRUSTED)
_LIST = (Struct, Union, Typedef, Enum, Enum64, Int)


class KernelType:
    """A type of some BTF; of a struct, what a machine is told of a block (runtime.world.BlockType).

    `btf`, `type_id`: what it is, without modifiers and typedefs.
    """

    def __init__(self, btf: BtfTypes, type_id: int) -> None:
        self.btf = btf
        self.type_id = btf.resolve(type_id)
        self.kind = btf[self.type_id]
        self._found: dict[str, FoundMember | None] = {}

    @property
    def name(self) -> str:
        """As C has it."""
        return self.btf.c_name(self.type_id)

    @property
    def size(self) -> int:
        """In bytes. Raises BtfError for what has none."""
        return self.btf.size_of(self.type_id)

    @property
    def is_struct(self) -> bool:
        return isinstance(self.kind, Struct | Union)

    def find(self, path: str) -> FoundMember | None:
        if path not in self._found:
            self._found[path] = find_member(self.btf, self.type_id, path)
        return self._found[path]

    def member(self, path: str) -> tuple[int, int] | None:
        """Byte offset and size; None for what is not there, and for bitfields."""
        found = self.find(path)
        if found is None or found.bits:
            return None
        return found.offset, self.btf.size_of(found.type_id)

    def place(self, offset: int) -> str:
        return place_of(self.btf, self.type_id, offset) or f"byte {offset}"

    def names(self) -> list[str]:
        """Of its members."""
        return [member.name for _, member in members(self.btf, self.type_id)]

    def never_null(self) -> Iterator[tuple[str, KernelType]]:
        """The pointers that the kernel promises to lead somewhere, and to what."""
        kind = self.kind
        if not isinstance(kind, Struct) or not isinstance(self.btf, LazyBtf):
            return
        for suffix in _NEVER_NULL:
            listed = self.btf.find(kind.name + suffix, Struct)
            safe = None if listed is None else self.btf[listed]
            for member in safe.members if isinstance(safe, Struct) else ():
                target = pointed_at(self.btf, member.type)
                if target is not None and target.is_struct and self.member(member.name):
                    yield member.name, target

    def __repr__(self) -> str:
        return f"<{self.name}>"


def pointed_at(btf: BtfTypes, type_id: int) -> KernelType | None:
    """What a pointer leads to; None for what is no pointer."""
    pointer = btf[btf.resolve(type_id)]
    return KernelType(btf, pointer.type) if isinstance(pointer, Ptr) else None


def space_of(btf: BtfTypes, type_id: int) -> Space:
    """Whose memory a pointer of that type leads to, as far as it says so (__user)."""
    pointer = btf[btf.resolve(type_id)]
    at = pointer.type if isinstance(pointer, Ptr) else 0
    while at and isinstance(kind := btf[at], MODIFIERS):
        if isinstance(kind, TypeTag) and kind.name == "user":
            return Space.USER
        at = kind.type
    return Space.EITHER


def is_text(btf: BtfTypes, type_id: int) -> bool:
    """Is that char?"""
    kind = btf[btf.resolve(type_id)]
    return isinstance(kind, Int) and kind.name == "char"


def element_of(btf: BtfTypes, type_id: int) -> tuple[int, int] | None:
    """The type of an array's elements, and their number; None for what is no array."""
    kind = btf[btf.resolve(type_id)]
    return (kind.type, kind.count) if isinstance(kind, Array) else None


class TypeSources:
    """Where types are looked up by name: in the kernel's BTF and its modules', or, without any, in
    that of the files that were loaded."""

    def __init__(self, sources: Callable[[], Iterator[BtfTypes]]) -> None:
        self._sources = sources
        self._known: dict[str, KernelType] = {}

    def find(self, name: str) -> KernelType | None:
        """A struct, union or typedef, by its name with or without "struct"."""
        name = name.strip()
        found = self._known.get(name)
        if found is None:
            found = self._find(name)
            if found is not None:
                self._known[name] = found
        return found

    def _find(self, name: str) -> KernelType | None:
        word, _, rest = name.partition(" ")
        kinds: tuple[type, ...] = {"struct": (Struct,), "union": (Union,)}.get(word, _LIST)
        wanted = rest.strip() if word in ("struct", "union", "enum") else name
        for btf in self._sources():
            for type_id in _named(btf, wanted):
                if isinstance(btf[type_id], kinds):
                    return KernelType(btf, type_id)
        return None

    def named(self, name: str) -> KernelType:
        """Raises UsageError if there is no such type."""
        found = self.find(name)
        if found is None:
            raise UsageError(
                f"there is no type {name}",
                hint="types are the kernel's (--kernel-btf), or those of the files that are loaded",
            )
        return found


def _named(btf: BtfTypes, name: str) -> Iterator[int]:
    if isinstance(btf, LazyBtf):
        for type_id in btf.named(essential_name(name)):
            if name_of(btf[type_id]) == name:
                yield type_id
        return
    for type_id in range(1, len(btf)):
        # A program may have its own flavours of a kernel's struct.
        if essential_name(name_of(btf[type_id])) == name:
            yield type_id
