"""The walk without pruning: what it walks, where it stops, and what it says of a hole."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from bpfheap.fuzz import against_unpruned
from bpfheap.fuzz.against_unpruned import AgainstUnpruned, walked_to_the_end
from bpfheap.fuzz.pieces import CodePiece, RandomFunction, RandomProgram
from bpfheap.fuzz.results import Outcome
from bpfheap.fuzz.surroundings import ALL, function_id, linked, surroundings
from bpfheap.isa import assemble
from bpfheap.platform.calls import HELPER_NUMBERS
from bpfheap.spec import ObjectSpec, ProgramSpec, Ref, RefKind, SubprogSpec
from bpfheap.verifier import Options, Verdict, verify

OBJ = surroundings(ALL)


def program(text: str) -> RandomProgram:
    done = assemble(text, helper_number=HELPER_NUMBERS.get)
    refs = tuple(
        (slot, Ref(RefKind(ref.kind), ref.name, ref.offset, done.labels.get(ref.name, -1)))
        for slot, ref in done.refs.items()
    )
    piece = CodePiece(done.insns[:-1], refs)
    return RandomProgram("tc", (RandomFunction("fuzzed", (piece,)),))


def unpruned(text: str, limit: int = 1000) -> Verdict:
    return verify(OBJ, linked(program(text)), Options(limit, pruned=False))


def test_a_pointer_that_passed_for_a_number_is_explained() -> None:
    """It is left on the stack by one path and taken for any number, as on the other one."""
    text = "call bpf_get_prandom_u32\nif r0 == 7 goto a\n*(u64 *)(r10 -8) = r10\n"
    text += "a: r1 = *(u64 *)(r10 -8)\n<done>\nr0 = 0\nexit\n"
    found = [walked_to_the_end(OBJ, linked(program(text.replace("<done>", done))))
             for done in ("r1 += r10", "r1 *= 2", "r0 = *(u64 *)(r1 +8)")]  # fmt: skip
    assert [result.outcome for result in found] == [
        Outcome.EXPLAINED, Outcome.EXPLAINED, Outcome.PRUNED,
    ]  # fmt: skip
    assert found[0].section == "Pointers taken for numbers"


_END = "r0 = 0\nexit\n"


def test_every_path_is_walked() -> None:
    text = "call bpf_get_prandom_u32\nr6 = r0\ncall bpf_get_prandom_u32\n"
    text += "if r6 == 1 goto a\nr7 = 1\na: if r0 == 2 goto b\nr7 = 2\nb: r7 = 3\n" + _END
    # 4 before, then 2 paths through `a`, 4 through `b`.
    assert unpruned(text).insns_processed == 4 + 1 + 2 * 1 + 2 * 1 + 4 * 3
    spec = linked(program(text))
    assert verify(OBJ, spec).insns_processed < unpruned(text).insns_processed


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("r6 = 0\nl: r6 += 1\nif r6 < 5 goto l\n", None),
        ("l: call bpf_get_prandom_u32\nif r0 == 7 goto l\n", "infinite loop detected at insn"),
        ("r6 = 0\nl: r6 += 1\nif r6 < 5000 goto l\n", "BPF program is too large"),
    ],
)
def test_loops_of_the_program(text: str, error: str | None) -> None:
    verdict = unpruned(text + _END)
    assert not verdict.cut
    if error is None:
        assert verdict.error is None
    else:
        assert verdict.error is not None
        assert verdict.error.message.startswith(error)


def with_sub(text: str, section: str) -> ProgramSpec:
    """A program with a function behind it, which it names `sub`."""
    done = assemble(text, helper_number=HELPER_NUMBERS.get)
    refs = {
        slot: Ref(RefKind.FUNC, ref.name, target=done.labels[ref.name])
        for slot, ref in done.refs.items()
    }
    names = ("fuzzed", "f1")
    starts = (0, done.labels["sub"], len(done.insns))
    subprogs = tuple(
        SubprogSpec(name, start, end, function_id(name), is_global=False)
        for name, (start, end) in zip(names, pairwise(starts), strict=True)
    )
    return ProgramSpec("fuzzed", section, done.insns, refs, subprogs, {}, OBJ.btf, "GPL", "made")


_LOOP = """
    *(u64 *)(r10 -8) = 0
    r1 = <count>
    r2 = func[name:sub] ll
    r3 = r10
    r3 += -8
    r4 = 0
    call bpf_loop
    r0 = 0
    exit
    sub: r0 = *(u64 *)(r2 +0)
    r0 += 1
    *(u64 *)(r2 +0) = r0
    r0 = 0
    exit
"""


@pytest.mark.parametrize(("count", "cut"), [("0", False), ("3", False), ("1000", True)])
def test_loops_of_the_kernel_are_unrolled(count: str, cut: bool) -> None:
    spec = with_sub(_LOOP.replace("<count>", count), "tc")
    verdict = verify(OBJ, spec, Options(10_000, pruned=False))
    assert verdict.accepted
    assert verdict.cut is cut
    assert not verify(OBJ, spec).cut
    expected = Outcome.UNROLLED if cut else Outcome.ACCEPTED
    assert walked_to_the_end(OBJ, spec).outcome is expected


_ENDLESS = """
    r6 = *(u64 *)(r1 +8)
    r0 = 1
    again: if r0 == 0 goto out
    r2 = func[name:sub] ll
    r1 = 0
    r3 = 0
    r4 = 0
    call bpf_loop
    <step>
    goto again
    out: r0 = 0
    exit
    sub: r0 = 0
    exit
"""


def test_an_endless_loop_around_one_of_the_kernel_has_its_section() -> None:
    for step, accepted in (("w6 |= 0", True), ("w7 = 0", False)):
        spec = with_sub(_ENDLESS.replace("<step>", step), "raw_tp")
        assert verify(OBJ, spec).accepted is accepted
        found = walked_to_the_end(OBJ, spec)
        assert found.outcome is Outcome.EXPLAINED
        assert found.section == "Loops around loops that the kernel drives"


def test_what_is_accepted_is_so_without_pruning() -> None:
    examiner = AgainstUnpruned(1, ALL)
    outcomes = {examiner.examine(examiner.program(index), index).outcome for index in range(30)}
    assert outcomes <= {
        Outcome.ACCEPTED, Outcome.REFUSED, Outcome.UNROLLED, Outcome.UNDECIDED
    }  # fmt: skip
    assert {Outcome.ACCEPTED, Outcome.REFUSED} <= outcomes


def test_a_hole_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(obj: ObjectSpec, spec: ProgramSpec, options: Options) -> Any:
        return Verdict("fuzzed", 1, 1, ()) if options.pruned else verify(obj, spec, options)

    monkeypatch.setattr(against_unpruned, "verify", careless)
    examiner = AgainstUnpruned(1, ALL)
    result = examiner.examine(program("r0 = r2\nexit"), 0)
    assert result.outcome is Outcome.PRUNED
    assert result.theirs == "R2 !read_ok (insn 0)"
    # A walk that is given up says nothing.
    monkeypatch.setattr(against_unpruned, "UNPRUNED_LIMIT", 500)
    long = program("r6 = 0\nl: r6 += 1\nif r6 < 500 goto l\n" + _END)
    assert examiner.examine(long, 0).outcome is Outcome.UNDECIDED


def test_an_error_without_its_story() -> None:
    spec = linked(program("r0 = r2\nexit"))
    short, whole = (verify(OBJ, spec, Options(explain=explain)).error for explain in (False, True))
    assert short is not None
    assert whole is not None
    assert (short.message, short.insn) == (whole.message, whole.insn)
    assert short.log == ""
    assert whole.log != ""


def test_short_programs_are_pruned_if_states_are_stored_often() -> None:
    text = "call bpf_get_prandom_u32\nif r0 == 1 goto a\nr6 = 1\na: r6 = 2\nr6 += 1\nr6 += 1\n"
    spec = linked(program(text + _END))
    seldom, often = (verify(OBJ, spec, Options(stored_often=often)) for often in (False, True))
    assert seldom.accepted
    assert often.accepted
    # What is behind the join, once more or not.
    assert seldom.insns_processed - often.insns_processed >= 4
