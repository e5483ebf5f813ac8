"""What the verifier finds out about registers, kept by instruction, to compare runs with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from bpfheap.machine.model.records import Kind
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, verify
from bpfheap.verifier.analysis.liveness import live_at
from bpfheap.verifier.analysis.program import Program
from bpfheap.verifier.domain.scalar import is_unknown
from bpfheap.verifier.domain.word import pattern
from bpfheap.verifier.state.state import (
    CTX,
    FUNC,
    MAP,
    MAP_KEY,
    MAP_VALUE,
    MEM,
    OBJECT,
    PACKET,
    PACKET_END,
    PACKET_META,
    SCALAR,
    STACK,
    UNINIT,
    Reg,
    State,
)


class At(NamedTuple):
    """A pointer: `offset` bytes into its memory, for a stack from r10, for a packet from its first
    byte. `number` is the pointer as a number, None if it may be any."""

    memory: Kind
    offset: int
    number: int | None = None


#: What a register holds: an unsigned number of 64 bits, a pointer, or None before it is written.
Concrete: TypeAlias = int | At | None


class Knowledge(Protocol):
    """What the verifier found out about a program."""

    def allows(self, slot: int, registers: Sequence[Concrete]) -> bool:
        """May r0 to r10 be these just before the instruction at `slot`? They may if it was so in
        one of the states in which the verifier came there."""
        ...


#: The memory that a register of a kind may point at.
_MEMORY: Final = {
    STACK: {Kind.STACK},
    CTX: {Kind.CTX},
    MAP: {Kind.MAP},
    MAP_VALUE: {Kind.VALUE},
    OBJECT: {Kind.OBJECT, Kind.PERCPU, Kind.COPY},
    FUNC: {Kind.CODE},
    MAP_KEY: {Kind.KEY},
    MEM: {Kind.RECORD, Kind.ELEMENT},
    PACKET: {Kind.PACKET},
    PACKET_META: {Kind.PACKET},
    PACKET_END: {Kind.PACKET},
}
#: Pointers whose offset counts from somewhere else than At's.
_ELSEWHERE: Final = frozenset({PACKET_META, PACKET_END})


def holds(reg: Reg, value: Concrete) -> bool:
    """Is the value among those of the abstract register? Of a pointer the kind of memory and the
    offset count; a register to which nothing was written may hold anything."""
    if reg.kind == UNINIT or value is None:
        return True
    if reg.kind == SCALAR:
        if not isinstance(value, At):
            return _among(reg, value)
        return is_unknown(reg.scalar) if value.number is None else _among(reg, value.number)
    if not isinstance(value, At):
        return bool(reg.or_null) and value == 0
    if value.memory not in _MEMORY.get(reg.kind, ()):
        return False
    if reg.kind in _ELSEWHERE:
        return True
    if reg.kind == FUNC:
        return bool(value.offset == reg.what)
    return _among(reg, value.offset - reg.off)


def _among(reg: Reg, number: int) -> bool:
    return reg.scalar.contains(pattern(number))


class Recorded:
    """A Knowledge: all states of a walk. `live` are the registers that may still be read, a bit
    each, by slot: the verifier does not compare others where paths meet, so it may come to a slot
    with others in them than it has seen."""

    def __init__(self, live: Sequence[int]) -> None:
        self._live = live
        self._states: dict[int, list[tuple[Reg, ...]]] = {}

    def record(self, slot: int, state: State) -> None:
        """The verifier came to the instruction at `slot`."""
        # Registers are immutable: to keep them is to keep what was known.
        self._states.setdefault(slot, []).append(tuple(state.regs))

    def allows(self, slot: int, registers: Sequence[Concrete]) -> bool:
        live = self._live[slot]
        read = [(n, value) for n, value in enumerate(registers) if live >> n & 1]
        return any(
            all(holds(state[n], value) for n, value in read) for state in self._states.get(slot, ())
        )


def known(obj: ObjectSpec, spec: ProgramSpec, limit: int) -> Knowledge | None:
    """What the verifier finds out about a program that it accepts. None if it takes more than
    `limit` instructions to do so while every scalar counts."""
    found = Recorded(live_at(Program(spec), spec))
    options = Options(complexity_limit=limit, all_precise=True, observe=found.record)
    return found if verify(obj, spec, options).accepted else None
