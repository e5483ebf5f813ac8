"""A program at a call that is about such maps, or about its packet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from bpfheap.machine.packets import Frame
from bpfheap.machine.tables.common import Keeper, Table
from bpfheap.runtime.world import Caller, Word


class TableCaller(Caller, Protocol):
    """What calls that the machines bring themselves have beyond `Caller`, which stubs of users
    get."""

    @property
    def keeper(self) -> Keeper: ...

    @property
    def section(self) -> str:
        """Of the program."""

    def table(self, at: Word, op: str) -> Table:
        """The map that an argument is. Raises Fault if its type does not have `op`."""

    def value(self, table: Table, places: tuple[int, ...]) -> Word:
        """A pointer to the value that this CPU sees."""

    def frame(self, ctx: Word) -> Frame:
        """The packet of the context that the call was given. Raises Fault if that has none."""

    def within_packet(self, at: int) -> Word:
        """A pointer to one of its bytes, metadata first; 0 for a context that leads to none."""

    def load(self, at: Word) -> Word:
        """Eight bytes; a pointer as a pointer."""

    def store(self, at: Word, value: Word) -> None: ...

    def reframe(self, frame: Frame) -> None:
        """Another content and another place: pointers into the packet are void from here on."""

    def know(self, frame: Frame) -> None:
        """The packet stays where and as it is; what is known of it is something else."""

    def poke(self, at: int, data: bytes) -> None:
        """Write into the packet, metadata first, where it is; also where the program may not."""

    def owner(self, at: Word, what: str) -> int | None:
        """The block of an object that an argument is, None for NULL. Raises Fault for anything
        else, and for one that was freed."""


Played: TypeAlias = Callable[[TableCaller, Sequence[Word]], Word | None]
