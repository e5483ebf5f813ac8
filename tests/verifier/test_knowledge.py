"""What is known behind each line, as the annotated source shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_verify import KPTRS, OWNING, PLAIN, programs
from verifier_cases import Case, Types, cases

from bpfheap.btf import Btf
from bpfheap.isa import assemble
from bpfheap.spec import ObjectSpec, ProgramSpec, SourceLine, SubprogSpec
from bpfheap.verifier import Options, verify
from bpfheap.verifier.explain.knowledge import Known
from bpfheap.verifier.walk import explained

_OBJ = ObjectSpec("x", Btf.EMPTY, {}, {})


def _explained(code: str, lines: dict[int, int], **starts: int) -> dict[int, dict[str, str]]:
    """By line (or slot, without lines): the alternatives of each register."""
    insns = tuple(assemble(code).insns)
    ends = [*list(starts.values())[1:], len(insns)]
    subprogs = tuple(
        SubprogSpec(name, start, ends[i], 0, False)
        for i, (name, start) in enumerate(starts.items())
    )
    source = {slot: SourceLine("a.c", line, 1, f"line {line}") for slot, line in lines.items()}
    spec = ProgramSpec("main", "tc", insns, {}, subprogs, source, Types({}).build())
    _, known = explained(_OBJ, spec)
    return {
        one.insn if one.line is None else one.line.line: {
            name: " / ".join(told) + (f" +{more}" if more else "")
            for name, (told, more) in one.values.items()
        }
        for one in known
    }


def test_lines_tell_what_they_changed_and_others_read() -> None:
    code = """
        r6 = *(u32 *)(r1 +0)
        r7 = 1
        *(u64 *)(r10 -8) = r6
        r6 &= 0xff
        r2 = *(u64 *)(r10 -8)
        r0 = r6
        r0 += r2
        exit
    """
    assert _explained(code, {0: 10, 2: 11, 4: 12, 7: 13}, main=0) == {
        10: {"r1": "pointer to the context", "r6": "0 to 0xffffffff"},
        # r7 is read by nobody.
        11: {"r6": "0 to 255", "fp-8": "0 to 0xffffffff"},
        12: {"r0": "0 to 0x1000000fe"},
        13: {},
    }


def test_paths_are_put_beside_each_other() -> None:
    code = """
        r6 = *(u32 *)(r1 +0)
        r0 = 0
        if r6 > 0x5 goto pc+1
        r0 = r6
        exit
    """
    assert _explained(code, {0: 1, 2: 2, 3: 3, 4: 4}, main=0) == {
        1: {"r0": "0", "r1": "pointer to the context", "r6": "0 to 0xffffffff"},
        2: {"r6": "0 to 5"},
        3: {"r0": "0 to 5"},
        4: {},
    }


def test_more_than_three_alternatives_are_counted() -> None:
    code = """
        r6 = 0
        r6 += 1
        r7 = r6
        if r6 != 0x6 goto pc-3
        r0 = r7
        exit
    """
    known = _explained(code, {0: 1, 1: 2, 3: 3, 4: 4}, main=0)
    assert known[2] == {"r6": "1 / 2 / 3 +3", "r7": "1 / 2 / 3 +3"}


def test_functions_tell_what_they_are_given() -> None:
    code = "r1 = 5\ncall pc+1\nexit\nr0 = r1\nr0 += 1\nexit"
    known = _explained(code, {0: 1, 1: 2, 2: 3, 3: 10, 5: 11}, main=0, callee=3)
    assert known[10] == {"r0": "6", "r1": "5"}
    assert known[2] == {"r0": "6"}


def test_without_lines_each_instruction_is_one() -> None:
    assert _explained("r0 = 7\nexit", {}, main=0) == {0: {"r0": "7"}, 1: {}}


def test_a_refused_program_is_told_up_to_the_refusal() -> None:
    code = "r2 = 0\nr0 = *(u64 *)(r2 +0)\nr0 = 9\nexit"
    known = _explained(code, {0: 1, 1: 2, 2: 3}, main=0)
    assert known == {1: {"r2": "0"}, 2: {"r2": "0"}, 3: {}}


def test_what_is_no_program_has_nothing_known() -> None:
    spec = ProgramSpec("main", "tc", (), {}, (), {}, Btf.EMPTY)
    verdict, known = explained(_OBJ, spec)
    assert not verdict.accepted
    assert known == ()


def test_what_is_refused_before_its_first_instruction_has_nothing_known() -> None:
    insns = tuple(assemble("r0 = 0\nexit").insns)
    main = SubprogSpec("main", 0, len(insns), 0, False)
    spec = ProgramSpec("main", "nonsense", insns, {}, (main,), {}, Btf.EMPTY)
    verdict, known = explained(_OBJ, spec)
    assert not verdict.accepted
    assert [one.values for one in known] == [{}, {}]


def test_what_is_known_as_json() -> None:
    one = Known(3, SourceLine("a.c", 7, 1, "x = 5;"), "(b7) r0 = 5", {"r0": (("5", "6"), 2)})
    told = {
        "file": "a.c", "line": 7, "insn": 3, "text": "(b7) r0 = 5",
        "knows": {"r0": ["5", "6"]}, "more": {"r0": 2},
    }  # fmt: skip
    assert one.to_json() == told
    assert replace(one, line=None).to_json() == {**told, "file": None, "line": None}


def _check(obj: ObjectSpec, spec: ProgramSpec, limit: int) -> tuple[Known, ...]:
    options = Options(complexity_limit=limit)
    verdict, known = explained(obj, spec, options)
    plain = verify(obj, spec, options)
    assert verdict.accepted == plain.accepted
    assert verdict.insns_processed == plain.insns_processed
    for one in known:
        for told, more in one.values.values():
            assert 0 < len(told) <= 3
            assert more == 0 or len(told) == 3
            assert all(words and "\n" not in words for words in told)
    return known


@pytest.mark.parametrize("case", cases()[::4], ids=lambda case: case.name)
def test_the_cases_are_known(case: Case) -> None:
    _check(case.obj, case.program, case.complexity_limit)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    spec=st.one_of(programs(PLAIN, release=False), programs(OWNING, release=False)),
    limit=st.integers(1, 200),
)
def test_any_program_can_be_explained(spec: ProgramSpec, limit: int) -> None:
    _check(KPTRS.obj, spec, limit)
