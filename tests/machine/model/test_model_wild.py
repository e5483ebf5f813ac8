"""Programs that no verifier has seen end in a result or in one clear line, whatever they do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_world import BTF, NUMBERS, World

from bpfheap.errors import BpfheapError
from bpfheap.isa import OPS, Insn, Kind, Uses, check_structure
from bpfheap.machine.model import run_raw
from bpfheap.machine.model.calls import CALLS
from bpfheap.spec import ProgramSpec, Ref, RefKind, SubprogSpec

NUMBERS_OF_HELPERS = [n for name, n in NUMBERS.items() if n is not None and name in CALLS]
CALL = 0x85
EXIT = Insn(0x95)
RUNNABLE = [op for op in OPS if op.kind is not Kind.LEGACY]
SMALL = st.integers(-9, 9)
FIELDS = {
    Uses.DST: st.integers(0, 10),
    Uses.SRC: st.integers(0, 10),
    Uses.OFF: SMALL,
    Uses.IMM: SMALL | st.integers(-(1 << 31), (1 << 31) - 1),
}


def well_formed(program: tuple[Insn, ...]) -> bool:
    try:
        check_structure(program)
    except BpfheapError:
        return False
    return True


@st.composite
def programs(draw: st.DrawFn) -> tuple[Insn, ...]:
    """A few random instructions, each followed by as many exits as make every jump land."""
    # Most registers hold something to begin with, or little would happen.
    insns = [Insn(0xBF, dst=r, src=draw(st.sampled_from([1, 2, 10]))) for r in range(10)]
    for _ in range(draw(st.integers(1, 12))):
        op = draw(st.sampled_from(RUNNABLE))
        chosen = dict(op.select)
        fields: dict[str, int] = {
            str(u): chosen[u] if u in chosen else draw(FIELDS[u]) for u in Uses if u in op.uses
        }
        if op.kind is Kind.CALL_HELPER:
            fields["imm"] = draw(st.sampled_from([*NUMBERS_OF_HELPERS, -1, 12345]))
        if op.kind is Kind.LDDW:
            insns += [Insn(0x18, dst=draw(st.integers(0, 9)), imm=fields["imm"]), Insn(0)]
        else:
            insns.append(Insn(op.opcode, **fields))
    return (*insns, Insn(0xB7), EXIT)


def harmless(program: tuple[Insn, ...]) -> None:
    """Runs to a result or raises BpfheapError with one line, and nothing else."""
    said = ""
    try:
        result = run_raw(program, b"0123456789", step_limit=2000)
    except BpfheapError as error:
        result, said = 0, str(error)
    assert 0 <= result < 1 << 64
    assert "\n" not in said


@settings(max_examples=300, deadline=None)
@given(programs().filter(well_formed))
def test_wild_programs_are_harmless(program: tuple[Insn, ...]) -> None:
    harmless(program)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(NUMBERS_OF_HELPERS),
                          st.lists(st.integers(0, 8), min_size=5, max_size=5)),
                min_size=1, max_size=6))  # fmt: skip
def test_wild_arguments_are_harmless(calls: list[tuple[int, list[int]]]) -> None:
    """Helpers called with maps, values, kptr fields, functions, numbers, and NULL, in any order.

    r6 to r9 and two stack slots hold: map m1, a value of it or NULL, the stack, a function.
    """
    world = World()
    world.add_allocator()
    world.add_map("m1", value="map_val")
    world.add_map("array", "array", value="map_val")
    world.machine.map_update(world.maps["m1"], bytes(4), bytes(16))
    insns = [Insn(0x18, 6, 1), Insn(0), Insn(0x18, 7, 2), Insn(0), Insn(0x18, 9, 4), Insn(0),
             Insn(0xBF, 8, 10), Insn(0x07, 8, imm=-64)]  # fmt: skip
    sources = [6, 7, 8, 9, 10, 0]
    for number, arguments in calls:
        for register, source in enumerate(arguments, 1):
            if source < 5:
                insns.append(Insn(0xBF, register, sources[source]))
            else:
                insns.append(Insn(0xB7, register, imm=[0, 1, 8, -1][source - 5]))
        insns.append(Insn(CALL, imm=number))
    insns += [Insn(0xB7), EXIT]
    body = len(insns)
    insns += [Insn(0xB7), EXIT]
    refs = {
        0: Ref(RefKind.MAP, "m1"),
        2: Ref(RefKind.MAP_VALUE, "array", 8),
        4: Ref(RefKind.FUNC, "body", target=body),
    }
    spec = ProgramSpec(
        "wild", "tc", tuple(insns), refs, (SubprogSpec("wild", 0, body, 0, True),), {}, BTF
    )
    insns[4] = insns[4]._replace(imm=body - 5)
    world.machine.program_load(1, spec, world.maps)
    world.programs["wild"] = 1
    said = ""
    try:
        world.run("wild")
    except BpfheapError as error:
        said = str(error)
    assert "\n" not in said
    assert world.machine.executions() == frozenset()
    world.machine.grace_period()
    world.machine.key()


@pytest.mark.parametrize("opcode", [0x20, 0x30, 0x40])
def test_what_never_runs_is_refused(opcode: int) -> None:
    assert not well_formed((Insn(opcode),))
    with pytest.raises(BpfheapError):
        run_raw((Insn(opcode), EXIT))
