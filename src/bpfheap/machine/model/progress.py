"""What an execution has under way besides its registers, stacks and objects: plain data."""

from __future__ import annotations

from typing import NamedTuple


class Packet(NamedTuple):
    """The packet that a program sees. `region` has the metadata and, from byte `data` on, the
    packet itself; `room` and `tail` bytes before and behind it are free to grow into. `fields` are
    the offsets of data, data_end and data_meta in the context, -1 for one that it does not have."""

    region: int
    data: int
    room: int
    tail: int
    fields: tuple[int, int, int]


class Iterator(NamedTuple):
    """A bpf_iter_num at byte `offset` of stack `stack`. `element` is the region that shows the
    current number; it stays readable when the iterator is not `live` any more, as the stack does.
    """

    stack: int
    offset: int
    element: int
    end: int
    live: bool


class Reservation(NamedTuple):
    """A ring buffer record that is being filled: its bytes are `region`, and it begins at byte
    `position` of all that the ring ever had."""

    region: int
    map_id: int
    position: int


class Progress(NamedTuple):
    """`sections` are the RCU sections that the program is in, one inside the other; `tail_calls`
    those it has made; `goes` how often a may_goto of the current function went on."""

    sections: int = 0
    tail_calls: int = 0
    goes: int = 0
    iterators: tuple[Iterator, ...] = ()
    records: tuple[Reservation, ...] = ()
    packet: Packet | None = None

    @property
    def regions(self) -> tuple[int, ...]:
        """What only this execution can reach."""
        packet = () if self.packet is None else (self.packet.region,)
        return (
            *(i.element for i in self.iterators),
            *(r.region for r in self.records),
            *packet,
        )


#: Of an execution that has just begun.
NOTHING = Progress()
