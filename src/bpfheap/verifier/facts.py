"""What holds of each instruction on every path, for whoever compiles the program.

The walk notes it at the steps as it goes (insn_aux_data of the kernel's verifier). Paths that are
pruned add nothing to it: what these facts tell of a register has to agree for two states to be
taken for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

# Step.pointers: which operand of an operation was a pointer, on any path, and whether there was one
# on which none was.
DST_POINTER, SRC_POINTER, NO_POINTER = 1, 2, 4


class CallFacts(NamedTuple):
    """`map` is the name of the map that the call is about, None for none, for an inner map and
    where that depends on the path. `type_id`: of what is allocated, 0 likewise. `plain`: the object
    that is given away holds no kptrs, nodes, or counts of owners. `callback` is the slot of the
    function that is called back, -1 for none, or if it depends on the path. `size` is that of the
    object that the call is about, of a per-CPU object one copy's; 0 likewise."""

    map: str | None = None
    type_id: int = 0
    plain: bool = False
    callback: int = -1
    size: int = 0


_NOTHING = CallFacts()


@dataclass(frozen=True, slots=True)
class Facts:
    """By slot. `seen`: whether any path gets there. `pointers`: which operands were any; see above.
    `guarded`: loads through a pointer that may be NULL. `ctx`: so many bytes of the context are
    accessed by instructions."""

    seen: bytes
    pointers: bytes
    guarded: bytes
    ctx: int
    calls: Mapping[int, CallFacts]

    def call(self, slot: int) -> CallFacts:
        return self.calls.get(slot, _NOTHING)
