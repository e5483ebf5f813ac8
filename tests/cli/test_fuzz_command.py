"""`bpfheap fuzz verifier`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bpfheap.fuzz.hunt import Bug, HuntReport
from bpfheap.fuzz.pieces import CodePiece, RandomFunction, RandomProgram
from bpfheap.fuzz.results import FuzzResult, Outcome
from bpfheap.isa import assemble
from bpfheap.kernel import available

if TYPE_CHECKING:
    from cli_harness import Cli

pytest_plugins = ["cli_harness"]


def test_against_the_model(cli: Cli) -> None:
    result = cli("fuzz", "verifier", "--against", "model", "-n", 12, "--jobs", 1)
    assert result.code == 0
    assert result.out.startswith("12 programs\n")
    assert "accepted, and ran well" in result.out


def test_json(cli: Cli) -> None:
    args = ("--against", "model", "-n", 6, "--seed", 5, "--jobs", 2, "--features", "maps", "--json")
    result = cli("fuzz", "verifier", *args)
    assert result.code == 0
    found = result.json
    assert (found["against"], found["seed"], found["features"]) == ("model", 5, ["maps"])
    assert found["programs"] == 6 == sum(found["outcomes"].values())
    assert found["finished"]
    assert found["findings"] == []


def test_show_prints_one_program(cli: Cli) -> None:
    shown = cli("fuzz", "verifier", "--show", 7)
    assert shown.code == 0
    assert shown.out.startswith('SEC("')
    assert cli("fuzz", "verifier", "--show", 7).out == shown.out
    assert cli("fuzz", "verifier", "--show", 8).out != shown.out
    lines = cli("fuzz", "verifier", "--show", 7, "--json").json["program"]
    assert lines == shown.out.splitlines()[1:]


def test_a_finding_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    small = RandomProgram(
        "xdp", (RandomFunction("fuzzed", (CodePiece(assemble("r0 = 1\nexit").insns[:-1]),)),)
    )
    finding = Bug((4, 9), FuzzResult(Outcome.VIOLATION, theirs="leak: of 1 object"), small)

    def hunted(*args: object, **kwargs: object) -> HuntReport:
        report = HuntReport(findings=[finding], untold=2, finished=False)
        report.counts.update({Outcome.VIOLATION: 2, Outcome.EXPLAINED: 1})
        report.sections.update(["Bugs of Linux"])
        return report

    monkeypatch.setattr("bpfheap.cli.fuzz.hunt", hunted)
    result = cli("fuzz", "verifier", "--against", "model", "-n", 50, "--seed", 3)
    assert result.code == 1
    for told in (
        "       2 accepted, then made a memory error",
        '       1 of them: see "Bugs of Linux"',
        "(program 4, and 1 more like it)",
        "    model: leak: of 1 object",
        '    SEC("xdp")',
        "    0: (b7) r0 = 1",
        "2 more kinds of findings are not shown",
    ):
        assert told in result.out
    assert "--seed 3" in result.out
    assert "--show 4" in result.out
    assert "interrupted: 3 of 50 programs examined" in result.err


def test_no_kernel_is_said_before_anything_is_done(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bpfheap.cli.fuzz.available", lambda: "bpf(2) is not permitted")
    result = cli("fuzz", "verifier", "--against", "kernel", "-n", 5)
    assert result.code == 2
    assert result.err == (
        "the kernel cannot be asked: bpf(2) is not permitted "
        "(--against unpruned and --against model need no kernel)\n"
    )


@pytest.mark.skipif(available() is not None, reason=str(available()))
def test_against_the_kernel(cli: Cli) -> None:
    args = ("fuzz", "verifier", "-n", 40, "--seed", 2, "--json")
    found = cli(*args, "--jobs", 2).json
    assert found["programs"] == 40
    assert found["outcomes"]["accepted"] > 10
    assert found["outcomes"]["refused"] > 3
    assert cli(*args, "--jobs", 1).json == found


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--features", "maps,magic"), "there is no feature magic"),
        (("--features", "locks"), "locks is nothing without maps"),
        (("--against", "wall"), "wall"),
        (("-n", "0"), "Usage"),
        (("--corpus", "found"), "--corpus is of --guided (add --guided)"),
        (("--guided", "--show", "1"), "--guided has no programs by index"),
        (("--grammar", "heap"), "there is no grammar heap (all, or some of joined, "),
        (("--grammar", "joined", "--features", "packets"), "grammar joined needs features"),
    ],
)
def test_wrong_usage(cli: Cli, args: tuple[str, ...], message: str) -> None:
    result = cli("fuzz", "verifier", *args)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""


def test_help_shows_examples(cli: Cli) -> None:
    result = cli("fuzz", "verifier", "--help")
    assert result.code == 0
    assert "bpfheap fuzz verifier " in result.out.partition("Examples:")[2]
    assert "verifier" in cli("fuzz", "-h").out


def test_programs_of_grammars(cli: Cli) -> None:
    args = ("fuzz", "verifier", "--grammar", "joined,nulls")
    result = cli(*args, "--against", "unpruned", "-n", 40, "--json", "--jobs", 1)
    assert result.code == 0
    assert result.json["grammar"] == "joined,nulls"
    assert result.json["outcomes"]["accepted"] > 5
    assert cli(*args, "--show", 3).out != cli("fuzz", "verifier", "--show", 3).out
    assert cli(*args, "--show", 3, "--json").json["grammar"] == "joined,nulls"


def test_guided_programs(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpfheap.cli.fuzz.stored_seeds", lambda: ["r0 = 0"])
    monkeypatch.setattr("bpfheap.fuzz.guided._TRIES", 5)
    args = ("fuzz", "verifier", "--guided", "--against", "unpruned", "-n", 4, "--jobs", 1)
    result = cli(*args, "--grammar", "nulls", "--corpus", tmp_path / "found")
    assert result.code == 0, result.err
    first, second, *_ = result.out.splitlines()
    assert " branches of the verifier, " in first
    assert second == "4 programs"
    assert list((tmp_path / "found").glob("*.s"))
    found = cli(*args, "--json").json
    assert (found["programs"], found["grammar"]) == (4, "all")
    assert found["arcs"] > found["arcs_at_first"] > 0


def test_all_programs_of_a_theme(cli: Cli) -> None:
    asked = ("--length", 2, "--against", "unpruned", "--jobs", 1)
    result = cli("fuzz", "verifier", "--exhaustive", "locks", *asked)
    assert result.code == 0, result.err
    first, *rest = result.out.splitlines()
    assert first.startswith("locks: 112 programs, ")
    assert first.endswith(" a second")
    assert rest[:2] == ["         7 of 1 instruction", "       105 of 2 instructions"]
    assert "accepted, and nothing against it (unpruned)" in result.out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--exhaustive", "heap"), "there is no theme heap (one of stack, linked, packets, "),
        (("--length", 2), "--length is of --exhaustive"),
        (("--exhaustive", "locks", "--against", "native"), "cannot be held against native"),
    ],
)
def test_themes_that_make_no_sense(cli: Cli, args: tuple[object, ...], message: str) -> None:
    result = cli("fuzz", "verifier", *args)
    assert result.code == 2
    assert message in result.err
