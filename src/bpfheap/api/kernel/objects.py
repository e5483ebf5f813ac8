"""Objects of the kernel around programs, member by member."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from bpfheap.api.arguments import shown
from bpfheap.api.kernel.types import KernelType, element_of, is_text, pointed_at, space_of
from bpfheap.btf import Enum, Enum64, FoundMember, Int, Ptr, Struct, Union
from bpfheap.errors import UsageError, among
from bpfheap.runtime.values import pack, unpack
from bpfheap.runtime.world import Leads, Playing, Space

_POINTER = 8


class KernelObject:
    """A struct of the kernel, or one inside another: `task.pid`, `task.mm.owner`,
    `task["se.vruntime"]`. What is written, programs see, and what they write is read here.

    Numbers are read as int, arrays of char as bytes up to the first NUL, pointers to structs as
    the objects they lead to (None for NULL), other arrays as lists. A pointer takes an object,
    None, a text (which gets memory of its own), or a mapping of members, from which an object is
    made. A member that is called like a method here is reached by `task["set"]`.

    Raises UsageError for a member that is not there, a value that does not fit, and once the object
    was freed.
    """

    __slots__ = ("_at", "_kernel", "_type")

    _at: Leads
    _kernel: Values
    _type: KernelType

    def __init__(self, kernel: Values, of: KernelType, at: Leads) -> None:
        for name, value in (("_kernel", kernel), ("_type", of), ("_at", at)):
            object.__setattr__(self, name, value)

    def set(self, **members: Any) -> KernelObject:
        """Write several members, and give the object."""
        for path, value in members.items():
            self[path] = value
        return self

    def free(self) -> None:
        """The kernel frees it: who reads it from here on uses it after it was freed."""
        if self._at.offset:
            raise UsageError(f"{self!r} is a part of an object, and is not freed by itself")
        self._kernel.machine.block_free(self._at.block)

    def __getitem__(self, path: str) -> Any:
        found = self._member(path)
        return self._kernel.read(self._type.btf, found, self._at)

    def __setitem__(self, path: str, value: Any) -> None:
        found = self._member(path)
        self._kernel.write(self._type.btf, found, self._at, value, f"{self._type.name}.{path}")

    def __getattr__(self, name: str) -> Any:
        # Copying asks for names before there are any.
        if name.startswith("__") or not isinstance(name, str):
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __dir__(self) -> Iterable[str]:
        return [*object.__dir__(self), *self._type.names()]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KernelObject) and (self._kernel, self._at, self._type.type_id) == (
            other._kernel, other._at, other._type.type_id,
        )  # fmt: skip

    def __hash__(self) -> int:
        return hash((id(self._kernel), self._at))

    def __repr__(self) -> str:
        return f"<{self._type.name} at byte {self._at.offset} of block {self._at.block}>"

    def _member(self, path: str) -> FoundMember:
        found = self._type.find(path)
        if found is None:
            raise UsageError(
                f"{self._type.name} has no member {path}", hint=among(self._type.names(), path)
            )
        return found


def address_of(value: KernelObject) -> Leads:
    """Where an object is."""
    return value._at


def type_of(value: KernelObject) -> KernelType:
    """What it is."""
    return value._type


class Values(ABC):
    """Reads and writes members of blocks; the part of Kernel that knows how Python shows them.

    `types_of`: what the blocks are that were made here, by their numbers.
    """

    types_of: dict[int, KernelType]

    @property
    @abstractmethod
    def machine(self) -> Playing:
        """Raises UsageError for a machine that plays no kernel."""

    @abstractmethod
    def make(self, of: KernelType, members: Mapping[str, Any]) -> KernelObject:
        """A new object."""

    @abstractmethod
    def memory(self, value: str | bytes | bytearray, space: Space) -> Leads:
        """Memory with a text, and a NUL behind it."""

    @abstractmethod
    def text_at(self, leads: Leads) -> bytes:
        """What is there before a NUL."""

    def check_mine(self, value: KernelObject) -> None:
        """Raises UsageError for an object of another runtime."""
        if value._kernel is not self:
            raise UsageError("an object of another runtime", hint="make it with this one's kernel")

    def read(self, btf: Any, found: FoundMember, base: Leads) -> Any:
        at = Leads(base.block, base.offset + found.offset)
        kind = btf[btf.resolve(found.type_id)]
        if found.bits:
            return self._read_bits(kind, found, base)
        if isinstance(kind, Ptr):
            return self._read_pointer(btf, found.type_id, at)
        if isinstance(kind, Struct | Union):
            return KernelObject(self, KernelType(btf, found.type_id), at)
        elements = element_of(btf, found.type_id)
        if elements is not None and not is_text(btf, elements[0]):
            size = btf.size_of(elements[0])
            return [
                self.read(btf, FoundMember(elements[0], i * size), at) for i in range(elements[1])
            ]
        size = btf.size_of(found.type_id)
        return unpack(btf, found.type_id, self.machine.block_read(at.block, at.offset, size))

    def _read_pointer(self, btf: Any, type_id: int, at: Leads) -> Any:
        leads = self.machine.block_leads(at.block, at.offset)
        if leads is None:
            raw = self.machine.block_read(at.block, at.offset, _POINTER)
            return int.from_bytes(raw, "little") or None
        target = pointed_at(btf, type_id)
        if target is not None and target.is_struct:
            return KernelObject(self, target, leads)
        if target is not None and is_text(btf, target.type_id):
            return self.text_at(leads)
        known = self.types_of.get(leads.block)
        return leads if known is None else KernelObject(self, known, leads)

    def _read_bits(self, kind: Any, found: FoundMember, base: Leads) -> int:
        first, size = _bytes_of(found)
        raw = int.from_bytes(
            self.machine.block_read(base.block, base.offset + first, size), "little"
        )
        value = raw >> (found.bit_offset - first * 8) & (1 << found.bits) - 1
        signed = isinstance(kind, Int | Enum | Enum64) and kind.signed
        return value - (1 << found.bits) if signed and value >> found.bits - 1 else value

    def write(self, btf: Any, found: FoundMember, base: Leads, value: Any, what: str) -> None:
        at = Leads(base.block, base.offset + found.offset)
        kind = btf[btf.resolve(found.type_id)]
        if isinstance(kind, Enum | Enum64) and isinstance(value, str):
            value = _enumerator(kind, value, what)
        if found.bits:
            self._write_bits(found, base, value, what)
        elif isinstance(kind, Ptr):
            self.write_pointer(btf, found.type_id, at, value, what)
        elif isinstance(kind, Struct | Union):
            self._write_struct(btf, found.type_id, at, value, what)
        elif (elements := element_of(btf, found.type_id)) is not None:
            self._write_array(btf, elements, at, value, what)
        else:
            size = btf.size_of(found.type_id)
            raw = pack(btf, found.type_id, value, size, what=what)
            self.machine.block_write(at.block, at.offset, raw)

    def write_pointer(self, btf: Any, type_id: int, at: Leads, value: Any, what: str) -> None:
        """8 bytes that lead to `value`, which becomes an object if it is none yet."""
        to = self.led_to(btf, type_id, value, what)
        if isinstance(to, Leads):
            self.machine.block_point(at.block, at.offset, to)
        else:
            self.machine.block_write(at.block, at.offset, to.to_bytes(_POINTER, "little"))

    def led_to(self, btf: Any, type_id: int, value: Any, what: str) -> Leads | int:
        """What a pointer of some type has to hold for a value: a place, or a number."""
        if value is None:
            return 0
        if isinstance(value, KernelObject):
            self.check_mine(value)
            return address_of(value)
        if isinstance(value, Leads):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return value & (1 << 64) - 1
        target = pointed_at(btf, type_id)
        if isinstance(value, str | bytes | bytearray):
            return self.memory(value, space_of(btf, type_id))
        if isinstance(value, Mapping) and target is not None and target.is_struct:
            return address_of(self.make(target, value))
        if isinstance(value, list | tuple) and target is not None and target.type_id:
            return self._elements(target, value, what)
        raise UsageError(
            f"{what} is a pointer: it takes an object, a text, None or a number, not {shown(value)}"
        )

    def _elements(self, of: KernelType, values: Any, what: str) -> Leads:
        """An array of memory of its own."""
        size = of.size
        block = self.machine.block_create(f"array of {of.name}", max(1, size * len(values)))
        for i, value in enumerate(values):
            place = FoundMember(of.type_id, i * size)
            self.write(of.btf, place, Leads(block), value, f"{what}[{i}]")
        return Leads(block)

    def _write_struct(self, btf: Any, type_id: int, at: Leads, value: Any, what: str) -> None:
        if isinstance(value, bytes | bytearray):
            raw = pack(btf, type_id, value, btf.size_of(type_id), what=what)
            self.machine.block_write(at.block, at.offset, raw)
            return
        if not isinstance(value, Mapping):
            raise UsageError(f"{what} takes a mapping of members, not {shown(value)}")
        inner = KernelObject(self, KernelType(btf, type_id), at)
        for path, one in value.items():
            inner[path] = one

    def _write_array(
        self, btf: Any, elements: tuple[int, int], at: Leads, value: Any, what: str
    ) -> None:
        element, count = elements
        size = btf.size_of(element)
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, bytes | bytearray):
            if len(value) > count * size:
                raise UsageError(f"{what} has {count * size} bytes, and {len(value)} are given")
            raw = bytes(value).ljust(count * size, b"\0")
            self.machine.block_write(at.block, at.offset, raw)
            return
        if not isinstance(value, list | tuple) or len(value) > count:
            raise UsageError(f"{what} takes a sequence of at most {count}, not {shown(value)}")
        for i, one in enumerate(value):
            self.write(btf, FoundMember(element, i * size), at, one, f"{what}[{i}]")

    def _write_bits(self, found: FoundMember, base: Leads, value: Any, what: str) -> None:
        if not isinstance(value, int) or not -(1 << found.bits) >> 1 <= value < 1 << found.bits:
            raise UsageError(f"{shown(value)} does not fit the {found.bits} bits of {what}")
        first, size = _bytes_of(found)
        at, shift = base.offset + first, found.bit_offset - first * 8
        mask = (1 << found.bits) - 1
        raw = int.from_bytes(self.machine.block_read(base.block, at, size), "little")
        raw = raw & ~(mask << shift) | (value & mask) << shift
        self.machine.block_write(base.block, at, raw.to_bytes(size, "little"))


def _bytes_of(found: FoundMember) -> tuple[int, int]:
    """The first byte that has a bit of a bitfield, and how many have."""
    first = found.bit_offset // 8
    return first, (found.bit_offset + found.bits - 1) // 8 - first + 1


def _enumerator(kind: Enum | Enum64, name: str, what: str) -> int:
    for enumerator in kind.values:
        if enumerator[0] == name:
            return enumerator[1]
    raise UsageError(f"{what} has no value {name}")
