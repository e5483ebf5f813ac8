"""What an execution has under way besides its registers, stacks and objects: plain data."""

from __future__ import annotations

from typing import NamedTuple

from bpfheap.machine.packets import Skb


class Packet(NamedTuple):
    """The packet that a program sees.

    `region`: its memory, metadata first.
    `data`: the byte of the region at which the packet itself begins.
    `room`, `tail`: free bytes before and behind it, to grow into.
    `fields`: the offsets of data, data_end and data_meta in the context, -1 for one that it does
        not have.
    `unseen`: the bytes in front that the program does not see: its Ethernet header.
    `skb`: of one that has a struct __sk_buff.
    `wide`: are the fields pointers of 8 bytes, and not the 4 bytes that stand for one?
    """

    region: int
    data: int
    room: int
    tail: int
    fields: tuple[int, int, int]
    unseen: bytes = b""
    skb: Skb = Skb()
    wide: bool = False


class Iterator(NamedTuple):
    """A bpf_iter_num on the stack.

    `stack`, `offset`: where it is.
    `element`: the region that shows the current number. It stays readable when the iterator is
        not `live` any more, as the stack does.
    `end`: the first number that it does not reach.
    `live`: it was not destroyed yet.
    """

    stack: int
    offset: int
    element: int
    end: int
    live: bool


class Reservation(NamedTuple):
    """A ring buffer record that is being filled.

    `region`: its bytes.
    `map_id`: the ring buffer.
    `position`: at which byte of all that the ring ever had it begins.
    """

    region: int
    map_id: int
    position: int


class Flag(NamedTuple):
    """What interrupts were before a section without them.

    `stack`, `offset`: where the program keeps it.
    """

    stack: int
    offset: int


class ExecutionProgress(NamedTuple):
    """What an execution is in the middle of.

    `rcu_sections`: how many RCU read sections it is in, one inside the other.
    `tail_calls`: how many it has made.
    `may_gotos`: how often a may_goto of the current function did not break the loop.
    `base`: how many functions are below the main one of its program, which a tail call brought
        there.
    `preempt`: how many sections without preemption it is in.
    `irqs`: the sections without interrupts that it is in, the last one last.
    `iterators`: those that it has created and not left.
    `records`: ring buffer records that it is filling.
    `packet`: its packet, if it has one.
    """

    rcu_sections: int = 0
    tail_calls: int = 0
    may_gotos: int = 0
    iterators: tuple[Iterator, ...] = ()
    records: tuple[Reservation, ...] = ()
    packet: Packet | None = None
    base: int = 0
    preempt: int = 0
    irqs: tuple[Flag, ...] = ()

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
NOTHING = ExecutionProgress()
