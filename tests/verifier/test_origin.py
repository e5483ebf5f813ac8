"""Every rejection says where its values came from and which way led there, whatever the program."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_verify import KPTRS, OWNING, PLAIN, programs
from verifier_cases import Case, cases

from bpfheap.errors import PathStep, VerifierError
from bpfheap.report import details
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, verify
from bpfheap.verifier.explain.origin import origins
from bpfheap.verifier.walk import Walk

#: Rejections before the first instruction is walked.
_STATIC = (
    "unreachable insn", "jump out of range", "last insn is not", "selects no program type",
    "the call stack of", "combined stack size", "tracing progs cannot use",
)  # fmt: skip
#: The same, within the message.
_STATIC_WORDS = ("selects", "cannot hold maps", "referenced anywhere")
_LONGEST = 1_000
_ALL = cases()
_REJECTED = [case for case in _ALL if case.expected["verdict"] == "reject"]


def check_sentences(sentences: tuple[str, ...]) -> None:
    for sentence in sentences:
        assert 0 < len(sentence) < _LONGEST, sentence
        assert "\n" not in sentence


def check_path(steps: tuple[PathStep, ...], last: int) -> None:
    assert 0 < len(steps) < 30
    shown = [step for step in steps if not step.note]
    assert shown[-1].insn is not None
    assert shown[-1].insn <= last
    assert all(step.text and step.depth >= 0 for step in shown)


@pytest.mark.parametrize("case", _REJECTED, ids=lambda case: case.name)
def test_every_rejection_is_explained(case: Case) -> None:
    error = verify(case.obj, case.program, Options(complexity_limit=case.complexity_limit)).error
    if error is None:
        pytest.skip("accepted without a limit of its own")
    check_sentences(error.history)
    static = any(words in error.message for words in _STATIC_WORDS)
    if not static and not error.message.startswith(_STATIC):
        assert error.insn is not None
        check_path(error.path, error.insn)
    assert all(line and "\n" not in line for line in details(error))


def everything(obj: ObjectSpec, spec: ProgramSpec, limit: int) -> None:
    """Ask where each register came from, wherever the walk is refused or cut off."""
    walk = Walk(obj, spec, Options(complexity_limit=limit), logged=False)
    error = walk.verdict().error
    assume(isinstance(error, VerifierError))
    assert isinstance(error, VerifierError)
    walk.explain(error)
    check_sentences(error.history)
    path = walk.path()
    if path is None:
        return
    assert len(path.slots) == len(path.depths)
    assert min(path.depths) >= 0
    assert all(path.state(at) is not None for at in range(len(path)))
    for n in range(11):
        told = origins(path, VerifierError("", register=f"r{n}"))
        assert told
        check_sentences(told)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    spec=st.one_of(programs(PLAIN, release=False), programs(OWNING, release=False)),
    limit=st.integers(1, 60),
)
def test_any_path_can_be_told(spec: ProgramSpec, limit: int) -> None:
    everything(KPTRS.obj, spec, limit)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=st.sampled_from(_ALL), limit=st.integers(1, 400))
def test_any_path_of_the_cases_can_be_told(case: Case, limit: int) -> None:
    everything(case.obj, case.program, limit)
