"""The rows of program types have every fact, and those who need one ask the row."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bpfheap.btf import Btf
from bpfheap.errors import UsageError
from bpfheap.fuzz.generate import _SECTIONS
from bpfheap.fuzz.soundness import packet
from bpfheap.isa import Insn
from bpfheap.kernel.program import section_of
from bpfheap.machine import frames
from bpfheap.platform.calls import HELPERS
from bpfheap.platform.programs import (
    PROGRAM_TYPES,
    CtxField,
    CtxKind,
    Offer,
    PacketKind,
    ProgramType,
    attach_type,
    program_type,
    types_with,
)
from bpfheap.spec import ProgramSpec

SOURCE = Path(__file__).parents[2] / "src" / "bpfheap"
FRAME = bytes(range(64))

each_row = pytest.mark.parametrize("row", PROGRAM_TYPES, ids=lambda row: row.sections[0])


def program(section: str) -> ProgramSpec:
    return ProgramSpec("p", section, (Insn(0x95),), {}, (), {}, Btf((), "p"))


#: A row with no more than what every row has.
NEW: dict[str, Any] = {
    "name": "new", "number": 99, "sections": ("new",), "ctx_struct": "void", "ctx_size": 8,
    "sleepable": False, "interrupts": False, "packet": PacketKind.NONE, "offers": frozenset(),
    "returns": None, "test_run": None,
}  # fmt: skip


@pytest.mark.parametrize("missing", NEW)
def test_a_row_without_a_fact_is_none(missing: str) -> None:
    ProgramType(**NEW)
    with pytest.raises(TypeError, match=missing):
        ProgramType(**{name: fact for name, fact in NEW.items() if name != missing})


def test_what_a_row_need_not_say_is_the_safe_answer() -> None:
    """Nothing of the context may be read or written, nor the packet written; frames lie on the
    kernel's stack, and there is nothing of what some kernels have."""
    row = ProgramType(**NEW)
    said = {f.name: getattr(row, f.name) for f in fields(ProgramType) if f.name not in NEW}
    assert said == {
        "fields": (), "raw_ctx": None, "ctx_writable": False, "writes_packet": False,
        "private_stack": False, "attach": (), "objects": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"fields": (CtxField("data", 0, 4, CtxKind.PACKET),)}, "there is none"),
        ({"writes_packet": True}, "there is none"),
        ({"raw_ctx": 0, "fields": (CtxField("a", 0, 4, CtxKind.SCALAR),)}, "or it has fields"),
        ({"ctx_writable": True}, "each field tells"),
        ({"offers": frozenset({Offer.READS_SKB})}, "reads-skb helpers want another packet"),
        (
            {"offers": frozenset({Offer.CHANGES_XDP}), "packet": PacketKind.SKB},
            "changes-xdp helpers want another packet",
        ),
        (
            {"offers": frozenset({Offer.CHANGES_SKB}), "packet": PacketKind.XDP},
            "changes-skb helpers want another packet",
        ),
        ({"sleepable": True, "interrupts": True}, "nobody sleeps in an interrupt"),
    ],
)
def test_facts_that_exclude_each_other(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^new: .*{message}"):
        ProgramType(**NEW | facts)


@each_row
def test_sections_select_the_row(row: ProgramType) -> None:
    for section in row.sections:
        assert program_type(section) is row
        found = section_of(program(section))
        assert (found.type, found.attach_type) == (row.number, attach_type(section))
    for section, number in row.attach:
        assert program_type(section) is row
        assert attach_type(f"{section}/x") == attach_type(f"?{section}") == number


@each_row
def test_packets_go_where_the_row_says(row: ProgramType) -> None:
    if not row.has_packet:
        with pytest.raises(UsageError, match="gets none"):
            frames.check(row, b"", FRAME)
        return
    frames.check(row, b"", FRAME)
    assert packet(program(row.sections[0]), Random(1))
    ctx = bytearray(row.ctx_size)
    seen = frames.frame_for(row, ctx, FRAME)
    payload = row.packet is PacketKind.SKB_PAYLOAD
    assert seen.data == (FRAME[frames.ETH_HLEN :] if payload else FRAME)
    assert bool(seen.room and seen.tail) is (row.packet is PacketKind.XDP)
    assert any(ctx) is (row.packet is not PacketKind.XDP)
    assert seen.readonly is not row.writes_packet


def test_every_helper_is_for_some_type() -> None:
    offered = {offer for row in PROGRAM_TYPES for offer in (Offer.ALL, *row.offers)}
    assert offered == {row.offer for row in HELPERS} == set(Offer)
    assert types_with(Offer.READS_SKB) == "cgroup_skb, sched_cls, socket_filter"


def test_random_programs_have_a_type() -> None:
    assert None not in {program_type(section) for section, _ in _SECTIONS}


def test_facts_of_program_types_are_nowhere_else() -> None:
    """Nobody compares with the name of a type, of its section or of its context's struct."""
    names = {name for t in PROGRAM_TYPES for name in (t.name, t.ctx_struct, *t.sections)}
    names -= {"void"}  # C's type of any memory
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and any(
                isinstance(n, ast.Constant) and n.value in names for n in ast.walk(node)
            ):
                found.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize("kind", [kind for kind in CtxKind if kind is not CtxKind.SCALAR])
def test_a_pointer_is_read_as_a_whole(kind: CtxKind) -> None:
    CtxField("data", 0, 4, kind)
    for wrong in ({"narrow": True}, {"joined": True}):
        with pytest.raises(ValueError, match="data is a pointer: it is read as a whole only"):
            CtxField("data", 0, 4, kind, **wrong)


def test_a_field_says_what_it_is() -> None:
    with pytest.raises(TypeError, match="kind"):
        CtxField("len", 0, 4)  # type: ignore[call-arg]
