"""Those who have something for each kind of instruction have it for all; what can be said of a row
is said there."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from bpfheap.isa import OPS, ControlFlow, Insn, Kind, Op, Uses
from bpfheap.isa.ops import OUTSIDE
from bpfheap.isa.syntax import FORMS
from bpfheap.machine.model.code import MAKERS
from bpfheap.machine.native import _core
from bpfheap.machine.native.code import op_name
from bpfheap.machine.native.jit.instructions import INSTRUCTIONS
from bpfheap.testing.dialect import WRITINGS
from bpfheap.verifier.instructions.transfer import TRANSFER

SOURCE = Path(__file__).parents[2] / "src" / "bpfheap"


def test_every_kind_has_its_function() -> None:
    kinds = set(Kind)
    assert set(FORMS) == set(OPS)
    assert set(MAKERS) == kinds - {Kind.LDDW}
    assert set(TRANSFER) == kinds
    assert set(INSTRUCTIONS) == kinds - OUTSIDE - {Kind.CALL_LOCAL}
    assert set(WRITINGS) == kinds
    executed = {op_name(op) for op in OPS}
    # Loads through what a program may have made up are operations of their own.
    executed |= {f"probe_{op_name(op)}" for op in OPS if op.kind is Kind.LOAD and not op.atomic}
    assert executed == set(_core.OPS)


@pytest.mark.parametrize("op", OPS, ids=lambda op: f"{op.name}-{op.opcode:02x}-{op.width}")
def test_a_row_says_where_it_leads(op: Op) -> None:
    insn = Insn(op.opcode, off=5, imm=7)
    if op.distance is None:
        with pytest.raises(AssertionError, match="leads nowhere"):
            op.target(insn, 10)
    else:
        assert op.target(insn, 10) == (18 if op.distance is Uses.IMM else 16)
    assert (op.flow is ControlFlow.END) == (op.name == "exit")
    assert op.unbounded == (op.name == "may_goto")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"flow": ControlFlow.NEXT}, "says where it leads"),
        ({"opcode": 0xE7}, "says where it leads"),
        ({"distance": None}, "has a distance if it leads"),
        ({"flow": ControlFlow.END}, "has a distance if it leads"),
        ({"uses": frozenset({Uses.IMM})}, "off is the distance, and not used"),
    ],
)
def test_facts_that_exclude_each_other(facts: dict[str, Any], message: str) -> None:
    row: dict[str, Any] = {
        "name": "jnew", "kind": Kind.JCOND, "opcode": 0xE5, "uses": frozenset({Uses.OFF}),
        "flow": ControlFlow.BRANCH, "distance": Uses.OFF,
    }  # fmt: skip
    Op(**row)
    with pytest.raises(ValueError, match=f"jnew: .*{message}"):
        Op(**row | facts)


def test_opcodes_are_nowhere_else() -> None:
    """Nobody takes an opcode apart, or compares it with a number."""
    found = []
    for path in SOURCE.rglob("*.py"):
        if path.is_relative_to(SOURCE / "isa"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Compare | ast.BinOp):
                continue
            parts = list(ast.walk(node))
            opcode = any(isinstance(n, ast.Attribute) and n.attr == "opcode" for n in parts)
            literal = any(isinstance(n, ast.Constant) and type(n.value) is int for n in parts)
            if opcode and literal:
                found.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert found == []
