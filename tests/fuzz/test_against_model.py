"""What is accepted runs well on the model machine; and what would not is noticed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from bpfheap.fuzz.known import (
    ConcretePointer,
    ConcreteValue,
    RecordedStates,
    holds,
    verifier_knowledge,
)
from bpfheap.fuzz.pieces import CodePiece, RandomFunction, RandomProgram
from bpfheap.fuzz.results import Outcome
from bpfheap.fuzz.soundness import AgainstModel, run
from bpfheap.fuzz.surroundings import ALL, linked, surroundings
from bpfheap.isa import assemble
from bpfheap.machine.model.records import RegionKind
from bpfheap.spec import ProgramSpec
from bpfheap.verifier import Verdict, verify
from bpfheap.verifier.domain.scalar import UNKNOWN_SCALAR, constant
from bpfheap.verifier.state.state import CTX, MAP_VALUE, MEM, NOTHING, SCALAR, STACK, Reg

MODEL = AgainstModel(1, ALL)
OBJ = surroundings(ALL)
ACCEPTED = Verdict("fuzzed", 1, 1, ())


def program(text: str) -> RandomProgram:
    return RandomProgram("tc", (RandomFunction("fuzzed", (CodePiece(assemble(text).insns[:-1]),)),))


def test_accepted_programs_run_well() -> None:
    outcomes = [MODEL.examine(MODEL.program(index), index) for index in range(20)]
    assert {result.outcome for result in outcomes} == {Outcome.ACCEPTED, Outcome.REFUSED}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("r1 = 0\nr0 = *(u64 *)(r1 +0)\nexit", "invalid-access: read of 8 bytes"),
        ("r0 = *(u64 *)(r10 +8)\nexit", "out-of-bounds: read of 8 bytes"),
    ],
)
def test_a_memory_error_is_noticed(
    monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    monkeypatch.setattr("bpfheap.fuzz.soundness.verify", lambda *args: ACCEPTED)
    monkeypatch.setattr("bpfheap.fuzz.soundness.verifier_knowledge", lambda *args: None)
    result = MODEL.examine(program(code), 0)
    assert result.outcome is Outcome.VIOLATION
    assert message in result.theirs


class Knows:
    """Allows what it is told, and keeps what it is asked."""

    def __init__(self, forbidden: int) -> None:
        self.forbidden = forbidden
        self.asked: list[tuple[int, tuple[ConcreteValue, ...]]] = []

    def allows(self, slot: int, registers: Sequence[ConcreteValue]) -> bool:
        self.asked.append((slot, tuple(registers)))
        return slot != self.forbidden


_STEPS = """
    r2 = 5
    *(u64 *)(r10 -8) = r1
    r3 = *(u64 *)(r10 -8)
    call bpf_get_prandom_u32
    r0 = -1
    exit
"""


def steps() -> ProgramSpec:
    done = assemble(_STEPS, helper_number={"bpf_get_prandom_u32": 7}.get)
    return linked(RandomProgram("tc", (RandomFunction("fuzzed", (CodePiece(done.insns[:-1]),)),)))


def test_each_instruction_is_looked_at_once() -> None:
    spec, knows = steps(), Knows(-1)
    run(OBJ, spec, verify(OBJ, spec), Random(0), knows)
    first = knows.asked[:6]
    assert [slot for slot, _ in first] == list(range(6))
    context, frame = first[0][1][1], first[0][1][10]
    assert isinstance(context, ConcretePointer)
    assert isinstance(frame, ConcretePointer)
    assert (context[:2], frame[:2]) == ((RegionKind.CTX, 0), (RegionKind.STACK, 0))
    # Each has its place, and keeps it.
    assert context.number != frame.number
    assert first[0][1] == (None, context, *[None] * 8, frame)
    assert first[3][1][:4] == (None, context, 5, context)
    assert first[5][1][0] == 2**64 - 1
    # As often as there are runs.
    assert [slot for slot, _ in knows.asked].count(0) == len(knows.asked) / 6 > 1


def test_a_value_that_was_ruled_out_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = program("r0 = 3\nr0 += 1\nexit")
    monkeypatch.setattr(
        "bpfheap.fuzz.soundness.verifier_knowledge", lambda *args: Knows(forbidden=1)
    )
    result = MODEL.examine(made, 0)
    assert result.outcome is Outcome.OUTSIDE
    assert result.theirs == "before instruction 1 of 3: r0=0x3, r1=context+0, r10=stack+0"


def test_the_verifier_knows_its_programs() -> None:
    spec = linked(program("r0 = *(u32 *)(r1 +0)\nr0 &= 7\nr0 += 1\nexit"))
    found = verifier_knowledge(OBJ, spec, 1000)
    assert found is not None
    rest: list[ConcreteValue] = [
        ConcretePointer(RegionKind.CTX, 0),
        *[None] * 8,
        ConcretePointer(RegionKind.STACK, 0),
    ]
    assert found.allows(3, [8, *rest])
    assert not found.allows(3, [9, *rest])
    assert not found.allows(3, [0, *rest])
    # Nothing reads r1 after the load, so nothing is said about it.
    assert found.allows(3, [8, 5, *rest[1:]])
    assert not found.allows(0, [0, 5, *rest[1:]])
    assert verifier_knowledge(OBJ, spec, 2) is None


def test_any_state_will_do() -> None:
    class Came:
        def __init__(self, value: int) -> None:
            self.regs = [Reg(SCALAR, constant(value)), Reg(SCALAR, constant(-value))]

    found = RecordedStates([0b11])
    for value in (1, 5):
        found.record(0, Came(value))  # type: ignore[arg-type]
    assert found.allows(0, [5, 2**64 - 5])
    # Both at once, in one of the states.
    assert not found.allows(0, [5, 2**64 - 1])


_VALUE = Reg(MAP_VALUE, constant(0), off=8)


@pytest.mark.parametrize(
    ("reg", "value", "expected"),
    [
        (NOTHING, 7, True),
        (Reg(SCALAR, constant(7)), 7, True),
        (Reg(SCALAR, constant(7)), 8, False),
        (Reg(SCALAR, constant(-1)), 2**64 - 1, True),
        (Reg(SCALAR, constant(7)), ConcretePointer(RegionKind.VALUE, 7), False),
        (Reg(SCALAR, constant(7)), ConcretePointer(RegionKind.VALUE, 0, 7), True),
        (Reg(SCALAR, constant(7)), ConcretePointer(RegionKind.VALUE, 0, 8), False),
        (Reg(SCALAR, UNKNOWN_SCALAR), ConcretePointer(RegionKind.VALUE, 7), True),
        (_VALUE, ConcretePointer(RegionKind.VALUE, 8), True),
        (_VALUE, ConcretePointer(RegionKind.VALUE, 9), False),
        (_VALUE, ConcretePointer(RegionKind.OBJECT, 8), False),
        (_VALUE, 0, False),
        (_VALUE, 8, False),
        (Reg(MAP_VALUE, constant(0), or_null=True), 0, True),
        (Reg(MAP_VALUE, constant(0), or_null=True), 1, False),
        (Reg(STACK, constant(0), off=-8, what=0), ConcretePointer(RegionKind.STACK, -8), True),
        (Reg(CTX, constant(0)), ConcretePointer(RegionKind.STACK, 0), False),
        (Reg(MEM, constant(0), ref=1), ConcretePointer(RegionKind.RECORD, 0), True),
        (Reg(MEM, constant(0), ref=1), ConcretePointer(RegionKind.RECORD, 8), False),
        (Reg(MEM, constant(0), ref=1), ConcretePointer(RegionKind.PACKET, 0), False),
        # A parameter may lead into the middle of what a caller has.
        (Reg(MEM, constant(0)), ConcretePointer(RegionKind.PACKET, 8), True),
        (Reg(MEM, constant(0)), ConcretePointer(RegionKind.STACK, -8), True),
        (Reg(MEM, constant(0)), ConcretePointer(RegionKind.CTX, 0), False),
    ],
)
def test_what_a_register_holds(reg: Reg, value: ConcreteValue, expected: bool) -> None:
    assert holds(reg, value) is expected
