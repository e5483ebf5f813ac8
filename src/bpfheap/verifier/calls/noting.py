"""Notes at the steps of a program, while it is walked, and what they come to: see facts.py."""

from __future__ import annotations

from bpfheap.verifier.analysis.cfg import Step
from bpfheap.verifier.calls.meta import Meta
from bpfheap.verifier.facts import CallFacts, Facts
from bpfheap.verifier.flows import Holder
from bpfheap.verifier.memory.rewrites import guard, is_context
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.state.state import OBJECT


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
            found.size if found.size == before.size else 0,
        )


def _of_call(meta: Meta) -> CallFacts:
    ref, given = meta.map, meta.given
    layout = None if given is None or given.kind != OBJECT else given.what.layout
    return CallFacts(
        ref.name if ref is not None and ref.holder is Holder.MAP else None,
        0 if meta.layout is None else meta.layout.type_id,
        layout is not None and not layout.kptrs and not layout.special,
        meta.callback,
        0 if layout is None else layout.size,
    )


def facts_of(env: Env) -> Facts:
    """Of a program that was accepted, once it was walked."""
    cfg = env.cfg
    steps = cfg.steps
    return Facts(
        bytes(step is not None and step.seen for step in steps),
        bytes(0 if step is None else step.pointers for step in steps),
        bytes(0 if step is None else guard(step.through) for step in steps),
        max((step.off + step.size for step in cfg if is_context(step.through)), default=0),
        {step.slot: step.called for step in cfg if step.called is not None},
        env.foreign,
        env.attached is not None and env.attached.void,
    )
