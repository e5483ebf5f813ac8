"""The verifier's register states, recorded at each instruction, to be compared with real runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from bpfheap.machine.model.records import RegionKind
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, verify
from bpfheap.verifier.analysis.cfg import Cfg
from bpfheap.verifier.analysis.liveness import live_at
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


class ConcretePointer(NamedTuple):
    """A pointer that a register holds during a run."""

    #: What it points into.
    memory: RegionKind
    #: Bytes from the start of that memory; from r10 for a stack, from the first byte for a packet.
    offset: int
    #: The address as a number, None if it has none yet.
    number: int | None = None


#: What a register holds during a run: an unsigned 64-bit number, a pointer, or None if nothing was
#: written to it yet.
ConcreteValue: TypeAlias = int | ConcretePointer | None


class Knowledge(Protocol):
    """What the verifier knows about a program's registers."""

    def allows(self, slot: int, registers: Sequence[ConcreteValue]) -> bool:
        """Are these values of r0 to r10, before the instruction at `slot`, contained in one of the
        states that the verifier had there?"""
        ...


#: Kind of an abstract register -> the model machine's memory that it may point at.
_MEMORY: Final = {
    STACK: {RegionKind.STACK},
    CTX: {RegionKind.CTX},
    MAP: {RegionKind.MAP},
    MAP_VALUE: {RegionKind.VALUE},
    OBJECT: {RegionKind.OBJECT, RegionKind.PERCPU, RegionKind.COPY},
    FUNC: {RegionKind.CODE},
    MAP_KEY: {RegionKind.KEY},
    MEM: {RegionKind.RECORD, RegionKind.ELEMENT},
    PACKET: {RegionKind.PACKET},
    PACKET_META: {RegionKind.PACKET},
    PACKET_END: {RegionKind.PACKET},
}
#: What callers may give to a function that is verified alone, anywhere in it.
_PARAMETER: Final = frozenset(
    {
        RegionKind.STACK, RegionKind.VALUE, RegionKind.OBJECT, RegionKind.PERCPU, RegionKind.COPY,
        RegionKind.KEY, RegionKind.RECORD, RegionKind.ELEMENT, RegionKind.PACKET,
    }
)  # fmt: skip
#: Pointers whose offset the verifier does not count from the packet's first byte.
_OTHER_BASE: Final = frozenset({PACKET_META, PACKET_END})


def holds(reg: Reg, value: ConcreteValue) -> bool:
    """Is the value among those that the abstract register stands for? Pointers are compared by
    kind of memory and offset. A register that was never written may hold anything."""
    if reg.kind == UNINIT or value is None:
        return True
    if reg.kind == SCALAR:
        if not isinstance(value, ConcretePointer):
            return _among(reg, value)
        return is_unknown(reg.scalar) if value.number is None else _among(reg, value.number)
    if not isinstance(value, ConcretePointer):
        return bool(reg.or_null) and value == 0
    # Records and elements are held by a reference, parameters are not.
    if reg.kind == MEM and not reg.ref:
        return value.memory in _PARAMETER
    if value.memory not in _MEMORY.get(reg.kind, ()):
        return False
    if reg.kind in _OTHER_BASE:
        return True
    if reg.kind == FUNC:
        return bool(value.offset == reg.what)
    return _among(reg, value.offset - reg.off)


def _among(reg: Reg, number: int) -> bool:
    return reg.scalar.contains(pattern(number))


class RecordedStates:
    """A Knowledge: the register states of one verification, by slot.

    Only live registers are compared: pruning ignores dead ones, so a run may reach a slot with
    values in dead registers that no recorded state has.
    """

    def __init__(self, live: Sequence[int]) -> None:
        """`live` has, for each slot, a bit for each register that may still be read."""
        self._live = live
        self._states: dict[int, list[tuple[Reg, ...]]] = {}

    def record(self, slot: int, state: State) -> None:
        """Called by the verifier before each instruction that it processes."""
        # Registers are immutable, so no copy is needed.
        self._states.setdefault(slot, []).append(tuple(state.regs))

    def allows(self, slot: int, registers: Sequence[ConcreteValue]) -> bool:
        live = self._live[slot]
        read = [(n, value) for n, value in enumerate(registers) if live >> n & 1]
        return any(
            all(holds(state[n], value) for n, value in read) for state in self._states.get(slot, ())
        )


def verifier_knowledge(obj: ObjectSpec, spec: ProgramSpec, limit: int) -> Knowledge | None:
    """The states of a verification with all scalars precise. None if it does not accept the program
    within `limit` instructions."""
    found = RecordedStates(live_at(Cfg(spec), spec, obj.maps))
    options = Options(complexity_limit=limit, all_precise=True, observe=found.record)
    return found if verify(obj, spec, options).accepted else None
