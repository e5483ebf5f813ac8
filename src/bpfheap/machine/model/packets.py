"""Packets of xdp, tc, cgroup_skb and socket filter programs."""

from __future__ import annotations

from bpfheap.machine.model.progress import Packet, Progress
from bpfheap.machine.model.state import State
from bpfheap.machine.model.values import Word


def show(state: State, ctx: int, packet: Packet) -> None:
    """Let the fields of the context lead to the packet."""
    offsets = (packet.data, state.regions[packet.region].size, 0)
    slots = state.region(ctx).slots
    for field, offset in zip(packet.fields, offsets, strict=True):
        if field >= 0:
            slots[field] = Word(packet.region, offset)


def restore(state: State, progress: Progress, ctx: int) -> None:
    """The same for a context that was made again."""
    if progress.packet is not None:
        show(state, ctx, progress.packet)
