"""The verifier's states, kept by instruction, as what registers may hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bpfheap.fuzz.soundness import At, Concrete
from bpfheap.machine.model.records import Kind
from bpfheap.verifier.scalar import is_unknown
from bpfheap.verifier.state import CTX, FUNC, MAP, MAP_VALUE, OBJECT, SCALAR, STACK, UNINIT, Reg
from bpfheap.verifier.word import pattern

#: The memory that a register of a kind points at.
_MEMORY: Final = {
    STACK: Kind.STACK,
    CTX: Kind.CTX,
    MAP: Kind.MAP,
    MAP_VALUE: Kind.VALUE,
    OBJECT: Kind.OBJECT,
    FUNC: Kind.CODE,
}


def holds(reg: Reg, value: Concrete) -> bool:
    """Is the value among those of the abstract register? Of a pointer the kind of memory and the
    offset count; whatever may be in a register to which nothing was written is fine."""
    if reg.kind == UNINIT or value is None:
        return True
    if reg.kind == SCALAR:
        # A pointer that was read as bytes is any number.
        return is_unknown(reg.scalar) if isinstance(value, At) else _among(reg, value)
    if not isinstance(value, At):
        return reg.or_null and value == 0
    if value.memory is not _MEMORY.get(reg.kind):
        return False
    if reg.kind == FUNC:
        return bool(value.offset == reg.what)
    return _among(reg, value.offset - reg.off)


def _among(reg: Reg, number: int) -> bool:
    return reg.scalar.contains(pattern(number))


class Recorded:
    """A Knowledge. Registers are immutable, so keeping a state is keeping its registers."""

    def __init__(self) -> None:
        self._states: dict[int, list[tuple[Reg, ...]]] = {}

    def record(self, slot: int, registers: Sequence[Reg]) -> None:
        """The verifier came to the instruction at `slot` with these."""
        self._states.setdefault(slot, []).append(tuple(registers))

    def allows(self, slot: int, registers: Sequence[Concrete]) -> bool:
        states = self._states.get(slot, ())
        return any(
            all(holds(reg, value) for reg, value in zip(state, registers, strict=True))
            for state in states
        )
