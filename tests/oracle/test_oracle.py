"""Programs through our verifier and, where bpf(2) is allowed, through the live kernel."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import later
import pytest
from oracle_cases import (
    CaseFile,
    Expected,
    OracleCase,
    case_files,
    expected_of,
    needs_types,
    read,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import SYSTEM

from bpfheap.kernel import Kernel, possible_cpus
from bpfheap.verifier import Options, verify
from linux_versions import LINUX, skip_below, skip_not_allowed

FILES = case_files()
CASES = [case for file in FILES for case in file.cases]
#: Names of cases, and of whole files, that the verifier is not ready for, one a line.
_PENDING_FILE = Path(__file__).with_name("pending.txt")
PENDING = frozenset(_PENDING_FILE.read_text().splitlines() if _PENDING_FILE.exists() else ())
_READY = f"agrees now: take it out of {_PENDING_FILE.name} (python tests/oracle/pending.py)"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_file(file: CaseFile) -> None:
    if file.name in PENDING:
        assert file.error is not None, _READY
        pytest.xfail(str(file.error))
    assert file.error is None
    assert file.cases


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_ours(case: OracleCase) -> None:
    if needs_types(case) and SYSTEM.types() is None:
        pytest.skip("there are no types of a kernel here")
    verdict = verify(
        case.obj, case.program, Options(complexity_limit=case.limit, cpus=possible_cpus())
    )
    said = "accepted" if verdict.error is None else str(verdict.error)
    agrees = verdict.kind == ("accept" if case.ours.accept else "reject")
    if case.name in PENDING:
        assert not agrees, _READY
        pytest.xfail(said)
    assert agrees, said
    assert case.insns_processed in (None, verdict.insns_processed)


#: Files on whose cases older versions of Linux agree, too: since which one.
SINCE = {
    "callback_depth": (6, 12),
    "constants": (6, 1),
    "context_fields": (6, 12),
    "kptr_nested": (6, 12),
    "not_there": (6, 1),
    "null_in_registers": (6, 1),
    "packet_beyond": (6, 1),
    "packet_pointers": (6, 1),
    "packet_uses": (6, 1),
    "packets": (6, 1),
    "prints": (6, 1),
    "read_only_maps": (6, 1),
    "spilled_parts": (6, 12),
    "stack_addresses": (6, 1),
    "static_functions": (6, 1),
    "zero_byte_store": (6, 1),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_kernel(case: OracleCase, kernel: Kernel) -> None:
    skip_below(kernel, SINCE.get(case.name.partition(":")[0], LINUX))
    counted = case.insns_processed is not None
    words = later.words_of(kernel, case.name)
    refused = words is not None or not case.kernel.accept
    verdict = kernel.verify(case.obj, case.program, stats=counted or refused)
    skip_not_allowed(case.program.section, verdict)
    if words is not None:
        assert not verdict.accepted
        assert words in verdict.log
        return
    assert verdict.accepted == case.kernel.accept, verdict.message or verdict.errno
    assert case.kernel.message in verdict.log
    # Other versions come to the same verdict in other ways.
    if counted and kernel.transport.release.startswith("6.18."):
        assert verdict.insns_processed == case.insns_processed


LATE = [case for case in CASES if case.name.startswith("late_precision:") and case.kernel.accept]


@pytest.mark.parametrize("case", LATE, ids=lambda case: case.name)
def test_as_linux(case: OracleCase) -> None:
    """The hole of Linux that an option brings back, to explain what differs."""
    options = Options(complexity_limit=case.limit, as_linux=True)
    assert verify(case.obj, case.program, options).accepted


def test_names_are_unique() -> None:
    assert [name for name, n in Counter(case.name for case in CASES).items() if n > 1] == []


def test_what_older_versions_agree_on_exists() -> None:
    assert set(SINCE) - {case.name.partition(":")[0] for case in CASES} == set()


def test_what_later_releases_refuse_exists() -> None:
    names = {case.name.partition(" #")[0] for case in CASES}
    assert {title for title, _, _ in later.CASES} - names == set()


def test_what_is_pending_exists() -> None:
    known = {case.name for case in CASES} | {file.name for file in FILES}
    assert PENDING - known == set()


def test_a_difference_is_one() -> None:
    same = [c.name for c in CASES if c.reason and c.ours.accept == c.kernel.accept]
    assert same == []


@pytest.mark.parametrize(
    ("tags", "ours", "kernel", "reason"),
    [
        (("verdict:accept",), Expected(True), Expected(True), ""),
        (("other", "verdict:reject:a: b"), *[Expected(False, "a: b")] * 2, ""),
        (
            ("verdict:reject", "kernel:accept", "reason:x"),
            Expected(False),
            Expected(True),
            "x",
        ),
        (
            ("verdict:accept", "kernel:reject:no", "reason:x"),
            Expected(True),
            Expected(False, "no"),
            "x",
        ),
    ],
)
def test_tags_are_read(
    tags: tuple[str, ...], ours: Expected, kernel: Expected, reason: str
) -> None:
    assert expected_of(tags, "case") == (ours, kernel, reason)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ((), "no tag says the verdict"),
        (("verdict:accept", "verdict:reject"), "two tags verdict"),
        (("verdict:perhaps",), "'perhaps' is no verdict"),
        (("verdict:accept:why",), "'accept:why' is no verdict"),
        (("verdict:accept", "kernel:reject"), "kernel wants a reason"),
        (("verdict:accept", "reason:x"), "kernel wants a reason"),
    ],
)
def test_wrong_tags_are_refused(tags: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expected_of(tags, "case")


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("{verdict: perhaps}", "is not one of"),
        ("{verdict: reject, message: x}", "'message' was unexpected"),
        ("{verdict: reject, kernel: accept}", "'reason' is a dependency of 'kernel'"),
    ],
)
def test_wrong_yaml_is_refused(tmp_path: Path, variant: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"cases: [{{name: x, code: exit, variants: [{variant}]}}]")
    with pytest.raises(ValueError, match=message):
        read(path)


def test_yaml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "cases:\n- name: n\n  section: xdp\n  code: |\n    r0 = <v>\n    exit\n  variants:\n"
        "  - {with: {v: 1}, verdict: accept}\n"
        "  - {with: {v: r1}, verdict: reject, kernel: accept, reason: why}\n"
    )
    one, two = read(path).cases
    assert (one.name, one.program.section, one.limit) == ("x: n #0 {'v': 1}", "xdp", 1_000_000)
    assert (one.ours, one.kernel, one.reason) == (Expected(True), Expected(True), "")
    assert (two.ours, two.kernel, two.reason) == (Expected(False), Expected(True), "why")
