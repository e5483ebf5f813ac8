"""Planted disagreements are found, made small, and told once; with a kernel made up for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bpfheap.errors import BpfheapError, KernelError
from bpfheap.fuzz import against_kernel
from bpfheap.fuzz.against_kernel import AgainstKernel
from bpfheap.fuzz.blocks import program_of
from bpfheap.fuzz.differences import DIFFERENCES, section_of
from bpfheap.fuzz.hunt import HuntReport, hunt, listing
from bpfheap.fuzz.minimise import minimised
from bpfheap.fuzz.pieces import RandomProgram
from bpfheap.fuzz.results import LIMIT, Examiner, FuzzResult, Outcome
from bpfheap.fuzz.surroundings import ALL, linked, surroundings
from bpfheap.isa import Kind, op_of
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, verify


@dataclass(frozen=True)
class Said:
    accepted: bool
    message: str = ""
    log: str = ""


class Kernel:
    """Thinks as the verifier does, but for programs with a multiplication. `wrong` is given its
    answer and whether there is one."""

    def __init__(self, wrong: Callable[[bool], Said] | None) -> None:
        self._wrong = wrong

    def verify(self, obj: ObjectSpec, program: ProgramSpec, *, log: bool = False) -> Said:
        accepted = verify(obj, program, Options(LIMIT)).accepted
        if self._wrong is not None and has_multiplication(program):
            return self._wrong(accepted)
        return Said(accepted, "" if accepted else "no")


def has_multiplication(program: ProgramSpec) -> bool:
    slot, found = 0, False
    while slot < len(program.insns):
        op = op_of(program.insns[slot])
        found = found or (op.kind is Kind.ALU and op.name == "mul")
        slot += op.slots
    return found


def hunted(
    wrong: Callable[[bool], Said] | None, *, count: int = 30, jobs: int = 1, seed: int = 1
) -> HuntReport:
    @contextmanager
    def opened() -> Iterator[Examiner]:
        yield AgainstKernel(seed, ALL, Kernel(wrong))

    return hunt(opened, range(count), jobs=jobs)


def test_agreement() -> None:
    report = hunted(None)
    assert report.finished
    assert report.bugs == 0
    assert report.findings == []
    assert report.counts[Outcome.ACCEPTED] > 5
    assert report.counts[Outcome.REFUSED] > 5
    assert report.counts.total() == 30


@pytest.mark.parametrize(
    ("wrong", "outcome", "slots"),
    [
        # An object that is allocated, looked at and dropped stays.
        (lambda accepted: Said(False, "R1 is odd"), "kernel-refuses", 10),
        # What ours says against a program stays the same, which may ask for a pointer, say.
        (lambda accepted: Said(True), "ours-refuses", 20),
    ],
)
def test_a_disagreement_is_made_small(
    wrong: Callable[[bool], Said], outcome: str, slots: int
) -> None:
    report = hunted(wrong)
    assert {finding.outcome for finding in report.findings} == {outcome}
    assert report.bugs == sum(len(finding.indices) for finding in report.findings)
    for finding in report.findings:
        spec = linked(finding.program)
        assert has_multiplication(spec)
        assert len(spec.insns) <= slots
        assert verify(surroundings(ALL), spec).accepted == (outcome == "kernel-refuses")


def test_one_cause_is_told_once() -> None:
    report = hunted(lambda accepted: Said(False, "R3 value 7 is odd"))
    (finding,) = report.findings
    assert len(finding.indices) > 1
    lines = listing(finding.program)
    assert len([line for line in lines if "*=" in line]) == 1
    shown = report.to_json()
    assert shown["outcomes"]["kernel-refuses"] == len(finding.indices)
    assert shown["findings"][0]["theirs"] == "R3 value 7 is odd"
    assert shown["findings"][0]["program"] == lines


def test_processes_share_the_work() -> None:
    wrong = lambda accepted: Said(False, "odd")  # noqa: E731
    assert hunted(wrong, jobs=2).to_json() == hunted(wrong, jobs=1).to_json()


@pytest.mark.parametrize(
    ("message", "section"),
    [
        ("BPF program is too large. Processed 1000001 insn", "How long a program may take"),
        ("The sequence of 8193 jumps is too complex.", "How long a program may take"),
        ("verifier bug: not inlined", "Bugs of Linux"),
        ("R1 invalid mem access 'scalar'", None),
    ],
)
def test_wanted_differences_are_no_bugs(message: str, section: str | None) -> None:
    report = hunted(lambda accepted: Said(False, message))
    assert (report.bugs == 0) == (section is not None)
    assert list(report.sections) == ([] if section is None else [section])
    spec = linked(AgainstKernel(1, ALL, Kernel(None)).program(0))
    # It is never a known difference that ours alone refuses.
    assert section_of("R1 !read_ok", "", spec) is None


def test_what_is_beyond_the_packet_stays_so_to_linux() -> None:
    why = "invalid access to packet, off=0 size=1, R6(id=0,off=0,r=0)"
    packet = "r2 = *(u32 *)(r1 +76)\nr3 = *(u32 *)(r1 +80)\n"
    for before, moved, section in (
        (packet, "r2 += -8", "Holes of Linux"),
        (packet, "r2 -= 8", "Holes of Linux"),
        (packet + "r4 = r2\nr2 = r4\n", "r2 -= 8", "Holes of Linux"),
        (packet, "r2 += 8", None),
        (packet, "w2 += -8", None),
        (packet, "r2 -= r3", None),
        (packet, "r4 += -8", None),
        ("r2 = *(u32 *)(r1 +8)\nr3 = *(u32 *)(r1 +80)\n", "r2 += -8", None),
    ):
        code = f"{before}unless r2 > r3 {{\n}}\n{moved}\nunless r2 > r3 {{\n}}"
        spec = linked(program_of(code))
        assert section_of(why, "", spec) == section
        # Whatever is behind it is dead to Linux.
        assert section_of("R6 !read_ok", "", spec) == section
        assert section_of("", why, spec) is None


def test_a_read_somewhere_keeps_all_that_is_stored() -> None:
    for code, section in (
        ("r3 = r10\nr3 += r4\nr0 = *(u8 *)(r3 -8)", "How long a program may take"),
        ("r3 = r10\nr3 += -16\nr0 = *(u8 *)(r3 +8)", None),
        ("r3 += r4", None),
    ):
        spec = linked(program_of(code))
        why = "the sequence of 8192 jumps is too complex"
        assert section_of(why, "", spec) == section
        assert section_of("R1 !read_ok", "", spec) is None
        assert section_of("", why, spec) == "How long a program may take"


def test_an_inner_loop_is_walked_anew() -> None:
    begin = "r1 = r10\nr1 += -24\nr2 = 0\nr3 = 3\ncall kfunc bpf_iter_num_new"
    why = "BPF program is too large. Processed 1000001 insn"
    for code, section in (
        (f"loop {{\n{begin}\n}} while r7 > 0", "Loops around loops that the kernel drives"),
        (f"{begin}\nloop {{\nr7 += 1\n}} while r7 > 0", None),
        (f"loop {{\nr7 += 1\n}} while r7 > 0\n{begin}", None),
    ):
        spec = linked(program_of(code))
        assert section_of(why, "", spec) == section
        assert section_of("R1 !read_ok", "", spec) is None


def test_a_map_itself_is_the_kernels() -> None:
    spec = linked(program_of("r0 = 0"))
    message = "map_ptr access not supported without CONFIG_DEBUG_INFO_BTF"
    assert section_of(message, "", spec) == "Objects of the kernel"
    assert section_of("", message, spec) is None


def test_a_part_of_a_pointer_is_no_number() -> None:
    why = "invalid size of register fill"
    for code, section in (
        ("*(u64 *)(r10 -8) = r1\nr0 = *(u8 *)(r10 -8)", "Pointers taken for numbers"),
        ("r0 = *(u8 *)(r10 -8)", None),
    ):
        spec = linked(program_of(code))
        assert section_of(why, "", spec) == section
        assert section_of("", why, spec) == section


_WENT_ON = """\
0: R1=ctx() R10=fp0
1: (64) w6 <<= 1                      ; R6=scalar(smin=0,smax=umax=0xfffffffe,{bits})
2: (a6) if w6 < 0x1 goto pc+3         ; R6=scalar(smin=umin=1,smax=umax=0xfffffffe,{bits})
3: (bc) w4 = w6                       ; R4=scalar(id=1,smin=umin=1,smax=umax=0xfffffffe,{bits})
{condition}
{after}: (b7) r0 = 0                       ; R0=0
"""
_EVEN = "var_off=(0x0; 0xfffffffe)"


@pytest.mark.parametrize(
    ("condition", "after", "section"),
    [
        ("4: (26) if w4 > 0x1 goto pc+1         ; R4=1", 5, "Branches that no number takes"),
        ("4: (26) if w4 > 0x9 goto pc+1         ; R4=42", 5, "Branches that no number takes"),
        ("4: (66) if r4 s< -1 goto pc+1         ; R4=-2", 5, "Branches that no number takes"),
        ("4: (26) if w4 > 0x9 goto pc+1         ; R4=8", 5, None),
        ("4: (26) if w4 > 0x9 goto pc+1         ; R4=42", 6, None),
        ("4: (26) if w4 > 0x9 goto pc+1         ; R4=map_value(map=m,ks=4,vs=8)", 5, None),
        ("4: (26) if w4 > 0x9 goto pc+1         ; R0=7 R4=8", 5, None),
        ("4: (2e) if w4 > w6 goto pc+1          ; R4=scalar(smin=umin=1,smax=umax=3)", 5, None),
        ("4: (2e) if w4 > w6 goto pc+1          ; R4=3", 5, "Branches that no number takes"),
        ("4: (26) if w4 > 0x1 goto pc+1         ; frame1: R4=1", 5, None),
        ("from 2 to 4: R4=1\n4: (26) if w4 > 0x1 goto pc+1    ; R4=1", 5, None),
    ],
)  # fmt: skip
def test_linux_walks_on_with_a_number_that_cannot_be(
    condition: str, after: int, section: str | None
) -> None:
    log = _WENT_ON.format(bits=_EVEN, condition=condition, after=after)
    report = hunted(lambda accepted: Said(False, "R8 !read_ok", log))
    assert list(report.sections) == ([] if section is None else [section])


def test_few_calls_cover_many_to_linux() -> None:
    for count, section in (("r1 = r8", "Holes of Linux"), ("r1 = 3", None)):
        call = f"r2 = func f1\n{count}\nr3 = 0\nr4 = 0\ncall bpf_loop"
        spec = linked(program_of(f"{call}\nf1:\nr0 = 0"))
        assert section_of("BPF program is too large", "", spec) == section
        assert section_of("R1 !read_ok", "", spec) is None


def test_who_gave_up_early_goes_on_where_it_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(against_kernel, "LIMIT", 20)
    counts = hunted(lambda accepted: Said(True)).counts
    assert counts[Outcome.TOO_LONG] > 0
    monkeypatch.setattr(against_kernel, "_FULL_LIMIT", 20)
    gave_up = hunted(lambda accepted: Said(True)).counts
    assert gave_up[Outcome.TOO_LONG] == 0
    # A callback that is called as often as is not known may be too long for ours alone.
    assert gave_up[Outcome.OURS_REFUSES] + gave_up[Outcome.EXPLAINED] == (
        counts[Outcome.OURS_REFUSES] + counts[Outcome.TOO_LONG] + counts[Outcome.EXPLAINED]
    )


def test_every_known_difference_has_its_section() -> None:
    page = Path(__file__).parents[2] / "docs" / "verifier-differences.md"
    sections = [line.removeprefix("## ") for line in page.read_text().splitlines()]
    assert {difference.section for difference in DIFFERENCES} <= set(sections)


class Silent(Kernel):
    """Gives no verdict on programs with a multiplication."""

    def verify(self, obj: ObjectSpec, program: ProgramSpec, *, log: bool = False) -> Said:
        if has_multiplication(program):
            raise KernelError("no memory", errno_name="ENOMEM")
        return super().verify(obj, program, log=log)


def test_no_verdict_is_no_agreement() -> None:
    @contextmanager
    def opened() -> Iterator[Examiner]:
        yield AgainstKernel(1, ALL, Silent(None))

    report = hunt(opened, range(30))
    assert report.finished
    assert report.bugs == 0
    silent = report.counts[Outcome.UNASKED]
    assert 0 < silent < 30
    assert report.counts[Outcome.ACCEPTED] + report.counts[Outcome.REFUSED] == 30 - silent
    assert report.unasked == {"no memory": silent}
    assert not report.passed
    assert hunted(None).passed


class Broken:
    """An Examiner that fails at one index."""

    def __init__(self, error: type[BaseException], at: int) -> None:
        self.error, self.at = error, at

    def program(self, index: int) -> RandomProgram:
        return AgainstKernel(1, ALL, Kernel(None)).program(index)

    def examine(self, program: RandomProgram, index: int) -> FuzzResult:
        if index == self.at:
            raise self.error("so it is")
        return FuzzResult(Outcome.ACCEPTED)


def broken(error: type[BaseException], *, jobs: int) -> HuntReport:
    @contextmanager
    def opened() -> Iterator[Examiner]:
        yield Broken(error, 7)

    return hunt(opened, range(10), jobs=jobs)


def test_an_interrupt_keeps_what_is_known() -> None:
    report = broken(KeyboardInterrupt, jobs=1)
    assert not report.finished
    assert report.counts == {Outcome.ACCEPTED: 7}


def test_an_interrupt_ends_what_makes_programs_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    wrong = lambda accepted: Said(False, "odd")  # noqa: E731
    whole = {bug.indices for bug in hunted(wrong).findings}
    monkeypatch.setattr("bpfheap.fuzz.hunt.minimised", interrupted)
    report = hunted(wrong)
    assert not report.finished
    assert {bug.indices for bug in report.findings} == whole
    for bug in report.findings:
        as_made = AgainstKernel(1, ALL, Kernel(None)).program(bug.indices[0])
        assert bug.program == as_made


def test_what_makes_programs_smaller_comes_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpfheap.fuzz.minimise._SECONDS", 0)
    asked = []

    def keeps(program: RandomProgram) -> bool:
        asked.append(program)
        return True

    program = AgainstKernel(1, ALL, Kernel(None)).program(0)
    assert minimised(program, keeps) == program
    assert not asked


@pytest.mark.parametrize("error", [BpfheapError, ValueError])
def test_an_error_in_a_process_is_an_error(error: type[Exception]) -> None:
    with pytest.raises(BpfheapError, match="so it is"):
        broken(error, jobs=2)


def test_a_process_that_is_gone_is_an_error() -> None:
    with pytest.raises(BpfheapError, match="process that examined programs is gone"):
        broken(SystemExit, jobs=2)


def test_an_exception_of_ours_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object) -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr("bpfheap.fuzz.against_kernel.verify", fails)
    report = hunted(None, count=3)
    (finding,) = report.findings
    assert finding.outcome is Outcome.CRASH
    assert finding.result.ours == "IndexError: list index out of range (test_hunt.py, in fails)"
    assert len(linked(finding.program).insns) == 1


def test_an_exception_of_whoever_asks_the_kernel_is_a_finding() -> None:
    def fails(accepted: bool) -> Said:
        raise AttributeError("no such thing")

    report = hunted(fails)
    (finding,) = report.findings
    assert finding.outcome is Outcome.CRASH
    assert finding.result.ours.startswith("AttributeError: no such thing")


def test_linux_looks_too_late_at_where_a_load_acquires() -> None:
    spec = linked(program_of("r1 = load_acquire((u32 *)(r1 +0))"))
    refused = "BPF_ATOMIC loads from R1 ctx is not allowed"
    assert section_of(refused, "", spec) == "Holes of Linux"
    assert section_of("", refused, spec) is None
    assert section_of("BPF_ATOMIC stores into R1 ctx is not allowed", "", spec) is None


def test_linux_lets_programs_sleep_with_what_a_helper_holds() -> None:
    refused = "sleepable helper bpf_copy_from_user#148 in rcu_read_lock region"
    for code, section in (
        ("call bpf_for_each_map_elem", "Holes of Linux"),
        ("call bpf_loop", None),
    ):
        spec = linked(program_of(code))
        assert section_of(refused, "", spec) == section
        assert section_of("", refused, spec) is None


@pytest.mark.parametrize(
    ("said", "explained"),
    [
        ("tracing progs cannot use bpf_spin_lock yet", True),
        ("Sleepable programs can only use array, hash, ringbuf and local storage maps", True),
        ("misaligned value access off 0+0+0 size 8", True),
        ("misaligned stack access off 0+-4+0 size 8", False),
    ],
)
def test_linux_asks_maps_that_are_named(said: str, explained: bool) -> None:
    spec = linked(program_of("r0 = 0"))
    assert section_of(said, "", spec) == ("Holes of Linux" if explained else None)
    assert section_of("", said, spec) is None


@pytest.mark.parametrize(
    ("code", "explained"),
    [
        ("r7 = *(s32 *)(r10 -8)", True),
        ("r1 = r10\nr7 = *(s8 *)(r1 -8)", True),
        ("r1 = 5\nr1 = atomic64_xchg((u64 *)(r10 -8), r1)", True),
        ("r7 = *(u32 *)(r10 -8)", False),
        ("r1 = 5\nlock *(u64 *)(r10 -8) += r1", False),
        ("r7 = *(s32 *)(r6 +0)", False),
    ],
)
def test_numbers_that_linux_links_to_what_was_stored(code: str, explained: bool) -> None:
    spec = linked(program_of(code))
    refused = "R0 max value is outside of the allowed memory range"
    assert section_of(refused, "", spec) == ("Holes of Linux" if explained else None)
    assert section_of("", refused, spec) is None
