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

# What a load may meet where there should be an object. A pointer that was loaded through an
# untrusted pointer is whatever the program wrote there.
UNGUARDED, NULL_OR_OBJECT, ANYWHERE = 0, 1, 2


class CallFacts(NamedTuple):
    """What holds of a call.

    `map`: the name of the map that it is about, None for none, for an inner map and where that
    depends on the path.
    `type_id`: that of what is allocated, 0 for none or where it depends on the path.
    `plain`: does the object that is given away hold no kptrs, nodes, or counts of owners?
    `callback`: the slot of the function that is called back, -1 for none or where it depends on the
    path.
    `size`: in bytes, of the object that it is about, or of one copy of a per-CPU object; 0 for none
    or where it depends on the path.
    """

    map: str | None = None
    type_id: int = 0
    plain: bool = False
    callback: int = -1
    size: int = 0


class Foreign(NamedTuple):
    """What an instruction reads of the kernel, in words. `around`: is it part of the kernel around
    programs, which a machine may play, and no inside of the kernel's BPF?"""

    what: str
    around: bool = True


_NOTHING = CallFacts()


@dataclass(frozen=True, slots=True)
class Facts:
    """What holds of a program.

    `seen`: by slot, does any path get there?
    `pointers`: by slot, which operands were pointers, DST_POINTER to NO_POINTER.
    `guarded`: by slot, what a load may meet, UNGUARDED to ANYWHERE. It reads 0 where nothing is.
    `ctx`: how many bytes of the context instructions access.
    `calls`: by slot.
    `foreign`: by slot, what an instruction reads of the kernel.
    `void`: does nobody look at what the program returns?
    """

    seen: bytes
    pointers: bytes
    guarded: bytes
    ctx: int
    calls: Mapping[int, CallFacts]
    foreign: Mapping[int, Foreign]
    void: bool = False

    def call(self, slot: int) -> CallFacts:
        return self.calls.get(slot, _NOTHING)
