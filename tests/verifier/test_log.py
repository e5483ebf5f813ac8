"""The log is as the kernel's: these texts are what Linux 6.18 writes, but for the stack bytes that
were never written and for what it tells of precision and liveness."""

from __future__ import annotations

from dataclasses import replace

import pytest
from verifier_cases import Types

from bpfheap.btf import Btf
from bpfheap.isa import assemble
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec, SubprogSpec
from bpfheap.verifier import Options, verify
from bpfheap.verifier.analysis.cfg import Cfg
from bpfheap.verifier.domain.arith import load_bounds
from bpfheap.verifier.domain.scalar import Scalar, constant
from bpfheap.verifier.explain.log import instruction, scalar_ranges, show_register, show_slot
from bpfheap.verifier.state.state import (
    CTX,
    MEM,
    MISC,
    NOTHING,
    PACKET,
    SCALAR,
    SPILL,
    STACK,
    UNKNOWN,
    ZERO,
    ZERO_OFFSET,
    Mem,
    Reg,
    Slot,
    number,
)

_U8 = load_bounds(8, False)
_SMALL = Scalar(0, 3, -2, 3, 0, -1, -2, 3, 0, 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("reg", "text"),
    [
        (NOTHING, "?"),
        (UNKNOWN, "scalar()"),
        (number(constant(5)), "5"),
        (number(constant(-1)), "-1"),
        (number(constant(1 << 40)), "0x10000000000"),
        (number(load_bounds(32, False)), "scalar(smin=0,smax=umax=0xffffffff,"
         "var_off=(0x0; 0xffffffff))"),
        (number(_U8), "scalar(smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))"),
        (Reg(SCALAR, _U8, 0, 7), "scalar(id=7,smin=smin32=0,smax=umax=smax32=umax32=255,"
         "var_off=(0x0; 0xff))"),
        (Reg(SCALAR, _U8, 4, 7), "scalar(id=7+4,smin=smin32=0,smax=umax=smax32=umax32=255,"
         "var_off=(0x0; 0xff))"),
        (Reg(CTX, ZERO_OFFSET), "ctx()"),
        (Reg(CTX, ZERO_OFFSET, 8), "ctx(off=8)"),
        (Reg(STACK, ZERO_OFFSET, -8, what=0), "fp-8"),
        (Reg(STACK, ZERO_OFFSET, -8, what=1), "fp[1]-8"),
        (Reg(STACK, _U8, -24, what=0), "fp(off=-24,smin=smin32=0,smax=umax=smax32=umax32=255,"
         "var_off=(0x0; 0xff))"),
        (Reg(PACKET, constant(4), 2, 5, what=8), "pkt(id=5,off=2,r=8,imm=4)"),
        (Reg(MEM, ZERO_OFFSET, 0, 3, what=Mem(16), or_null=True), "mem_or_null(id=3,sz=16)"),
    ],
)  # fmt: skip
def test_registers(reg: Reg, text: str) -> None:
    assert show_register(reg) == text


def test_equal_ends_are_written_once_but_not_across_signs() -> None:
    assert scalar_ranges(_SMALL) == ["smin=smin32=-2", "smax=smax32=3"]


@pytest.mark.parametrize(
    ("slot", "text"),
    [
        (Slot(number(constant(7)), bytes([SPILL] * 8)), "7"),
        (Slot(number(constant(7)), bytes([SPILL] * 4 + [ZERO] * 2 + [MISC] * 2)), "mm007"),
        (Slot(None, bytes([ZERO] * 4 + [MISC] * 4)), "mmmm0000"),
    ],
)
def test_stack(slot: Slot, text: str) -> None:
    assert show_slot(slot) == text


_BRANCHES = """
    r6 = r1
    r1 = *(u32 *)(r6 +0)
    r0 = 0
    if r1 > 0x5 goto pc+2
    r0 = 1
    exit
    r0 = *(u64 *)(r0 +0)
    exit
"""


def _spec(code: str, *functions: tuple[str, int]) -> ProgramSpec:
    insns = tuple(assemble(code).insns)
    starts = [*functions, ("", len(insns))]
    subprogs = tuple(
        SubprogSpec(name, start, starts[i + 1][1], 0, False)
        for i, (name, start) in enumerate(functions)
    )
    return ProgramSpec("main", "tc", insns, {}, subprogs, {}, Types({}).build())


def _log(spec: ProgramSpec, level: int, maps: dict[str, MapSpec] | None = None) -> list[str]:
    obj = ObjectSpec("x", Btf.EMPTY, maps or {}, {})
    return verify(obj, spec, Options(log=True, log_level=level)).log.splitlines()


_U32 = "scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))"
_ABOVE = "scalar(smin=umin=umin32=6,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))"
_WAY = [
    "0: R1=ctx() R10=fp0",
    "0: (bf) r6 = r1                       ; R1=ctx() R6=ctx()",
    f"1: (61) r1 = *(u32 *)(r6 +0)          ; R1={_U32} R6=ctx()",
    "2: (b7) r0 = 0                        ; R0=0",
]
_END = [
    "6: (79) r0 = *(u64 *)(r0 +0)",
    "R0 invalid mem access 'scalar'",
    "processed 7 insns (limit 1000000) total_states 0",
]


def test_level_2_has_all_paths() -> None:
    below = "scalar(smin=smin32=0,smax=umax=smax32=umax32=5,var_off=(0x0; 0x7))"
    assert _log(_spec(_BRANCHES, ("main", 0)), 2) == [
        *_WAY,
        f"3: (25) if r1 > 0x5 goto pc+2         ; R1={below}",
        "4: (b7) r0 = 1                        ; R0=1",
        "5: (95) exit",
        "",
        f"from 3 to 6: R0=0 R1={_ABOVE} R6=ctx() R10=fp0",
        *_END,
    ]


def test_level_1_has_the_way_to_the_rejection() -> None:
    assert _log(_spec(_BRANCHES, ("main", 0)), 1) == [
        *_WAY,
        "3: (25) if r1 > 0x5 goto pc+2",
        f"6: R0=0 R1={_ABOVE} R6=ctx() R10=fp0",
        *_END,
    ]


def test_level_1_of_an_accepted_program_has_the_numbers_alone() -> None:
    assert _log(_spec("r0 = 0\nexit", ("main", 0)), 1) == [
        "processed 2 insns (limit 1000000) total_states 0"
    ]


def test_calls_show_both_frames() -> None:
    code = "r1 = 5\nr6 = 7\ncall pc+1\nexit\nr0 = r1\nexit"
    assert _log(_spec(code, ("main", 0), ("callee", 4)), 2) == [
        "0: R1=ctx() R10=fp0",
        "0: (b7) r1 = 5                        ; R1=5",
        "1: (b7) r6 = 7                        ; R6=7",
        "2: (85) call pc+1",
        "caller:",
        " R6=7 R10=fp0",
        "callee:",
        " frame1: R1=5 R10=fp0",
        "4: (bf) r0 = r1                       ; frame1: R0=5 R1=5",
        "5: (95) exit",
        "returning from callee:",
        " frame1: R0=5 R1=5 R10=fp0",
        "to caller at 3:",
        " R0=5 R6=7 R10=fp0",
        "",
        "from 5 to 3: R0=5 R6=7 R10=fp0",
        "3: (95) exit",
        "processed 6 insns (limit 1000000) total_states 0",
    ]


def test_what_an_instruction_uses_without_naming_it() -> None:
    code = "r1 = 1\n*(u64 *)(r10 -8) = r1\nr0 = 1\n"
    code += "r0 = atomic64_cmpxchg((u64 *)(r10 -8), r0, r1)\nexit"
    (line,) = [text for text in _log(_spec(code, ("main", 0)), 2) if text.startswith("3:")]
    assert "; R0=" in line
    assert "R1=1" in line


def test_an_instruction_that_cannot_be_written_is_told_as_what_is_wrong_with_it() -> None:
    spec = _spec("r0 = 0\nexit", ("main", 0))
    odd = replace(spec, insns=(spec.insns[0]._replace(off=9), spec.insns[1]))
    assert instruction(odd, Cfg(spec).at(0)).startswith("(")
