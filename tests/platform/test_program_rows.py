"""The rows of program types have every fact, and those who need one ask the row."""

from __future__ import annotations

import ast
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
    BY_NAME,
    PROGRAM_TYPES,
    CtxField,
    CtxKind,
    PacketKind,
    ProgramType,
    attach_type,
    program_type,
)
from bpfheap.spec import ProgramSpec

SOURCE = Path(__file__).parents[2] / "src" / "bpfheap"
FRAME = bytes(range(64))

each_row = pytest.mark.parametrize("row", PROGRAM_TYPES, ids=lambda row: row.sections[0])


def program(section: str) -> ProgramSpec:
    return ProgramSpec("p", section, (Insn(0x95),), {}, (), {}, Btf((), "p"))


@pytest.mark.parametrize("missing", ["packet", "test_run"])
def test_a_row_without_a_fact_is_none(missing: str) -> None:
    facts: dict[str, Any] = {"packet": PacketKind.NONE, "test_run": None}
    del facts[missing]
    with pytest.raises(TypeError, match=missing):
        ProgramType("new", 99, ("new",), "void", 8, **facts)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"fields": (CtxField("data", 0, 4, CtxKind.PACKET, narrow=False),)}, "there is none"),
        ({"writes_packet": True}, "there is none"),
        ({"raw_ctx": True, "fields": (CtxField("a", 0, 4),)}, "or it has fields"),
    ],
)
def test_facts_that_exclude_each_other(facts: dict[str, Any], message: str) -> None:
    row: dict[str, Any] = {"packet": PacketKind.NONE, "test_run": None}
    with pytest.raises(ValueError, match=f"new: .*{message}"):
        ProgramType("new", 99, ("new",), "void", 8, **row | facts)


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
            frames.check(row, FRAME)
        return
    frames.check(row, FRAME)
    assert packet(program(row.sections[0]), Random(1))
    ctx = bytearray(row.ctx_size)
    seen = frames.frame_for(row, ctx, FRAME)
    payload = row.packet is PacketKind.SKB_PAYLOAD
    assert seen.data == (FRAME[frames.ETH_HLEN :] if payload else FRAME)
    assert bool(seen.room and seen.tail) is (row.packet is PacketKind.XDP)
    assert any(ctx) is (row.packet is not PacketKind.XDP)
    assert seen.readonly is not row.writes_packet


def test_calls_name_program_types() -> None:
    assert {name for row in HELPERS for name in row.types} <= set(BY_NAME)


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
    with pytest.raises(ValueError, match="narrow=False"):
        CtxField("data", 0, 4, kind)
