"""What holds of each instruction on every path, for whoever compiles the program.

The walk notes it at the steps as it goes (insn_aux_data of the kernel's verifier). Paths that are
pruned add nothing to it: what these facts tell of a register has to agree for two states to be
taken for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bpfheap.verifier.flows import Holder
from bpfheap.verifier.meta import Meta
from bpfheap.verifier.program import Program, Step
from bpfheap.verifier.rewrites import is_context, may_be_null
from bpfheap.verifier.state import OBJECT

# Step.pointers: which operand of an addition or subtraction was a pointer.
DST_POINTER, SRC_POINTER = 1, 2


class CallFacts(NamedTuple):
    """`map` is the name of the map that the call is about, None for none, for an inner map and
    where that depends on the path. `type_id`: of what is allocated, 0 likewise. `plain`: the object
    that is given away holds no kptrs, nodes, or counts of owners. `callback` is the slot of the
    function that is called back, -1 for none, or if it depends on the path."""

    map: str | None = None
    type_id: int = 0
    plain: bool = False
    callback: int = -1


_NOTHING = CallFacts()


@dataclass(frozen=True, slots=True)
class Facts:
    """By slot. `seen`: whether any path gets there. `pointers`: DST_POINTER and SRC_POINTER.
    `guarded`: loads through a pointer that may be NULL. `ctx`: so many bytes of the context are
    accessed by instructions."""

    seen: bytes
    pointers: bytes
    guarded: bytes
    ctx: int
    calls: Mapping[int, CallFacts]

    def call(self, slot: int) -> CallFacts:
        return self.calls.get(slot, _NOTHING)


def note_call(step: Step, meta: Meta) -> None:
    """After the arguments of a call were checked."""
    found = _of_call(meta)
    before = step.called
    if before is None or before == found:
        step.called = found
    else:
        step.called = CallFacts(
            found.map if found.map == before.map else None,
            found.type_id if found.type_id == before.type_id else 0,
            found.plain and before.plain,
            found.callback if found.callback == before.callback else -1,
        )


def _of_call(meta: Meta) -> CallFacts:
    ref, given = meta.map, meta.given
    layout = None if given is None or given.kind != OBJECT else given.what.layout
    return CallFacts(
        ref.name if ref is not None and ref.holder is Holder.MAP else None,
        0 if meta.layout is None else meta.layout.type_id,
        layout is not None and not layout.kptrs and not layout.special,
        meta.callback,
    )


def facts_of(program: Program) -> Facts:
    """Of a program that was accepted, once it was walked."""
    steps = program.steps
    return Facts(
        bytes(step is not None and step.seen for step in steps),
        bytes(0 if step is None else step.pointers for step in steps),
        bytes(step is not None and may_be_null(step.through) for step in steps),
        max((step.off + step.op.size for step in program if is_context(step.through)), default=0),
        {step.slot: step.called for step in program if step.called is not None},
    )
