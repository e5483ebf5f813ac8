"""What the references of a program stand for on a machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from bpfheap.errors import RelocationError
from bpfheap.spec import ProgramSpec, RefKind

#: What a machine takes for an address.
Address = TypeVar("Address")
Address_co = TypeVar("Address_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Links(Generic[Address]):
    """What the immediates of slots refer to."""

    #: What lddw loads instead of them.
    addresses: Mapping[int, Address]
    #: The names of the kfuncs that are called.
    kfuncs: Mapping[int, str]


class Addresses(Protocol[Address_co]):
    """Where a machine has what a program refers to."""

    def function(self, slot: int) -> Address_co:
        """A function of the program."""

    def map(self, name: str) -> Address_co | None:
        """None: there is no such map."""

    def value(self, name: str, offset: int) -> Address_co | None:
        """A place in the first value of an array that is there; None for a map of another shape."""

    def variable(self, name: str) -> Address_co | None:
        """One of the kernel's; None: there is no such variable."""


def resolve(spec: ProgramSpec, addresses: Addresses[Address]) -> Links[Address]:
    """Raises RelocationError for a reference to nothing."""
    found: dict[int, Address] = {}
    kfuncs: dict[int, str] = {}
    for slot, ref in spec.refs.items():
        address: Address | None
        why = None
        match ref.kind:
            case RefKind.KFUNC:
                kfuncs[slot] = ref.name
            case RefKind.FUNC:
                found[slot] = addresses.function(ref.target)
            case RefKind.MAP | RefKind.MAP_VALUE:
                address = addresses.map(ref.name)
                if address is None:
                    why = f"there is no map {ref.name}"
                elif ref.kind is RefKind.MAP_VALUE:
                    address = addresses.value(ref.name, ref.offset)
                    if address is None:
                        why = f"map {ref.name} has no value to point into"
                if address is not None:
                    found[slot] = address
            case RefKind.KSYM:
                address = addresses.variable(ref.name)
                if address is None:
                    why = f"{ref.name} is a variable of the kernel, and there is none here"
                else:
                    found[slot] = address
            case RefKind.KCONFIG:
                why = f"{ref.name} is a variable of the kernel, and there is none here"
        if why is not None:
            where = spec.line_of(slot)
            file, line = (spec.file or None, None) if where is None else (where.file, where.line)
            raise RelocationError(why, file=file, line=line)
    return Links(found, kfuncs)
