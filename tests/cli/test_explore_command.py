from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from explored_samples import BOUNDED, CLEAN, FULL, VIOLATION, FakeSearch

import bpfheap
import bpfheap.cli.explore as command
from bpfheap.cli.live import LiveLines, progress_text, size
from bpfheap.explore import Progress, Reductions, Result

if TYPE_CHECKING:
    from cli_harness import Cli

pytest_plugins = ["cli_harness"]

EXAMPLES = Path(__file__).parents[2] / "examples"
FIRST = EXAMPLES / "first.bpf.c"
THREE = EXAMPLES / "three_programs"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSearch:
    """A search that finds nothing, until a test says what it finds."""
    search = FakeSearch(CLEAN)
    monkeypatch.setattr(command, "explore_all", search)
    return search


@pytest.mark.parametrize(
    ("result", "code"), [(CLEAN, 0), (VIOLATION, 1), (BOUNDED, 3)], ids=["clean", "bad", "bounded"]
)
@pytest.mark.parametrize("output", [[], ["--json"], ["--markdown"]], ids=str)
def test_exit_code(
    cli: Cli, fake: FakeSearch, result: Result, code: int, output: list[str]
) -> None:
    fake.results = (result,)
    assert cli("explore", FIRST, "--states", 100, *output).code == code


def test_a_violation_counts_more_than_a_bound(cli: Cli, fake: FakeSearch) -> None:
    fake.results = (BOUNDED, VIOLATION)
    assert cli("explore", FIRST, "--states", 100, "--policy", "live-count,global").code == 1


def test_a_violation_is_told_step_by_step(cli: Cli, fake: FakeSearch) -> None:
    fake.results = (VIOLATION,)
    assert cli("explore", FIRST).out.splitlines() == [
        "violation live-count in first: use-after-free after 4 steps: foo#1 is gone",
        "  1. create m: m was created",
        "  2. grace",
        "  3. step cpu0: p2 calls bpf_map_lookup_elem",
        "     > v = look(m);  (p2.bpf.c:30)",
        "  4. step cpu0: foo#1 was stored into m[0].ptr by p2 at p2.bpf.c:37",
        "     > x = y;",
        "the object's life:",
        "  1. foo#1 was allocated",
        "  2. foo#1 was freed",
        "play it again: bpfheap replay 'bpfheap-1 short'",
        "also leak: foo#2 is left",
        "    after 5 steps: bpfheap replay 'bpfheap-1 long'",
        "stuck-field: m.ptr is stuck",
        "    after 1 step: bpfheap replay 'bpfheap-1 stuck'",
        "second was never let in",
        "retention: 2 allocators at a time outlive their last object, for up to 4 steps, "
        "and 128 bytes with them",
        "1,234 states, 5,678 transitions, depth 9, 0.5 s, 2,468 states/s",
    ]


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (CLEAN, "clean live-count in first: every order was visited, and all of them are safe"),
        (BOUNDED, "bounded live-count in first: no violation so far, and there is more to visit"),
        (
            FULL,
            "bounded live-count in first: no violation so far, and no memory for the rest "
            "(--memory gives more)",
        ),
    ],
)
def test_verdicts(cli: Cli, fake: FakeSearch, result: Result, line: str) -> None:
    fake.results = (result,)
    assert cli("explore", FIRST).out.splitlines()[0] == line


def test_several_policies_are_a_table(cli: Cli, fake: FakeSearch) -> None:
    fake.results = (CLEAN, VIOLATION)
    result = cli("explore", FIRST, "--policy", "live-count,used-allocators")
    assert result.code == 1
    assert "no: first, 4 steps (use-after-free)" in result.out
    lines = result.out.splitlines()
    at = lines.index("used-allocators in first: use-after-free after 4 steps: foo#1 is gone")
    assert lines[at + 1] == "    bpfheap replay 'bpfheap-1 short'"


def test_all_policies(cli: Cli, fake: FakeSearch) -> None:
    cli("explore", FIRST, "--policy", "all")
    assert [policy for _, policy in fake.tasks] == [p.name for p in bpfheap.policies()]


def test_options_reach_the_search(cli: Cli, fake: FakeSearch) -> None:
    options = ["--runs", 2, "--cpus", 3, "--loads", 4, "--objects", 5, "--states", 6, "--nmi"]
    more = ["--jobs", 1, "--memory", "1.5G", "--first", "--no-partial-order", "--no-symmetry"]
    assert cli("explore", FIRST, *options, *more).code == 0
    ((scenario, policy),) = fake.tasks
    bounds = scenario.bounds
    assert (bounds.runs, bounds.cpus, bounds.loads) == (2, 3, 4)
    assert (bounds.objects, bounds.states, bounds.nmi) == (5, 6, True)
    assert policy == "live-count"
    assert (fake.jobs, fake.first, fake.memory) == (1, True, 3 << 29)
    assert fake.reductions == Reductions(partial_order=False, symmetry=False)


def test_defaults(cli: Cli, fake: FakeSearch) -> None:
    cli("explore", FIRST, "--policy", "all")
    assert fake.reductions == Reductions()
    assert not fake.first
    assert fake.memory is None
    assert fake.jobs == len(os.sched_getaffinity(0))


def test_folders_are_scenarios_and_files_are_one(cli: Cli, fake: FakeSearch) -> None:
    files = sorted(THREE.glob("*.bpf.c"))
    cli("explore", files[0], THREE, *files[1:], THREE)
    assert [scenario.files for scenario, _ in fake.tasks] == [tuple(files), tuple(files)]
    assert [scenario.name for scenario, _ in fake.tasks] == ["three_programs", "p1+p2+p3"]


def test_json_of_one_scenario(cli: Cli, fake: FakeSearch) -> None:
    fake.results = (VIOLATION,)
    document = cli("explore", FIRST, "--json").json
    assert set(document) == {"scenario", "about", "bounds", "results"}
    assert document["scenario"] == "first"
    assert document["bounds"]["cpus"] == 2
    (result,) = document["results"]
    assert set(result) >= {
        "policy", "verdict", "states", "transitions", "seconds", "violation", "findings",
        "retention",
    }  # fmt: skip
    assert result["verdict"] == "violation"
    assert result["violation"]["steps"][3] == {
        "event": "step cpu0; foo#1 was stored into m[0].ptr by p2 at p2.bpf.c:37",
        "file": "d/p2.bpf.c",
        "line": 37,
        "text": "x = y;",
    }
    assert [f["kind"] for f in result["findings"]] == ["stuck-field"]


def test_json_of_several(cli: Cli, fake: FakeSearch) -> None:
    document = cli("explore", THREE, FIRST, "--policy", "global,live-count", "--json").json
    assert [s["scenario"] for s in document["scenarios"]] == ["three_programs", "first"]
    for part in document["scenarios"]:
        assert [r["policy"] for r in part["results"]] == ["global", "live-count"]
    assert [row["policy"] for row in document["matrix"]] == ["live-count", "global"]


def test_markdown(cli: Cli, fake: FakeSearch) -> None:
    lines = cli("explore", FIRST, "--policy", "all", "--markdown").out.splitlines()
    assert lines[0].startswith("| policy | sound |")
    assert len(lines) == 2 + len(bpfheap.policies())


def test_trace_has_violations_first(cli: Cli, fake: FakeSearch, tmp_path: Path) -> None:
    fake.results = (VIOLATION, VIOLATION)
    out = tmp_path / "found.txt"
    cli("explore", FIRST, "--policy", "live-count,global", "--trace", out)
    lines = out.read_text().splitlines()
    assert lines[:4] == [
        "# live-count in first: use-after-free after 4 steps: foo#1 is gone",
        "bpfheap-1 short",
        "# live-count in first: leak after 5 steps: foo#2 is left",
        "bpfheap-1 long",
    ]
    assert [line for line in lines if not line.startswith("#")] == [
        "bpfheap-1 short", "bpfheap-1 long", "bpfheap-1 short", "bpfheap-1 long",
        "bpfheap-1 stuck", "bpfheap-1 stuck",
    ]  # fmt: skip


def test_an_interrupt_reports_what_is_known(cli: Cli, fake: FakeSearch) -> None:
    fake.results, fake.interrupt = (CLEAN,), True
    result = cli("explore", FIRST, "--policy", "live-count,global", "--json")
    assert result.code == 3
    assert [r["policy"] for r in result.json["results"]] == ["live-count"]
    assert result.err == "interrupted: 1 of 2 searches told\n"


def test_an_interrupt_at_the_very_beginning(cli: Cli, fake: FakeSearch) -> None:
    fake.results, fake.interrupt = (), True
    result = cli("explore", FIRST)
    assert (result.code, result.out) == (3, "")
    assert result.err == "interrupted: 0 of 1 search told\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([FIRST, "--policy", "none"], "there is no policy none (all, or some of live-count"),
        ([FIRST, "--policy", "live-count,"], "there is no policy '' (all, or some of"),
        ([FIRST, "--json", "--markdown"], "exclude each other"),
        ([FIRST, "--runs", "0"], "--runs"),
        ([FIRST, "--jobs", "0"], "--jobs"),
        ([FIRST, "--cpus", "1000000"], "the bound cpus is a number from 1 to 16, not 1000000"),
        ([FIRST, "--trace", "/nowhere/at/all"], "cannot be written: No such file"),
        (["nowhere.bpf.c"], "nowhere.bpf.c: cannot be opened"),
        ([], "Missing argument"),
    ],
)
def test_wrong_usage(cli: Cli, fake: FakeSearch, args: list[object], message: str) -> None:
    result = cli("explore", *args)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert fake.tasks == []


def test_two_scenarios_of_one_name(cli: Cli, fake: FakeSearch, tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / name / "same"
        folder.mkdir(parents=True)
        (folder / "first.bpf.c").write_bytes(FIRST.read_bytes())
    result = cli("explore", tmp_path / "a/same", tmp_path / "b/same")
    assert result.code == 2
    assert "two scenarios are called same" in result.err


@pytest.mark.parametrize(
    ("word", "offered"),
    [
        ("live", ["live-count"]),
        ("al", ["all"]),
        ("live-count,glob", ["live-count,global"]),
        ("global,global", []),
    ],
)
def test_policies_are_completed(word: str, offered: list[str]) -> None:
    assert command._policy_names(word) == offered


SEEN = Progress(12345, 67890, 321, 17, 20000.4, 5 << 20)


def test_the_live_line_says_how_far_it_is() -> None:
    assert progress_text("global in chain", SEEN).plain == (
        "global in chain: 12,345 states, 20,000/s, frontier 321, depth 17, 5 MiB"
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "2 KiB"), (3 << 30, "3.0 GiB"), (5 << 40, "5120.0 GiB")],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text


def test_lines_are_live_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def play() -> str:
        with LiveLines(["one", "two", "three"], 1) as live:
            live.progress(0, SEEN)
            live.progress(1, SEEN)
            live.done(0)
            live.progress(0, SEEN)
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    assert play() == ""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    shown = play()
    assert "two: 12,345 states" in shown
    assert "1 of 3 done" in shown


# -- without a fake


def test_first_is_safe(cli: Cli) -> None:
    result = cli("explore", FIRST, "--jobs", 1)
    assert result.code == 0
    assert result.out.startswith("clean live-count in first: every order")


def test_a_bound_on_states(cli: Cli) -> None:
    result = cli("explore", THREE, "--states", 50, "--json")
    assert result.code == 3
    assert result.json["results"][0]["verdict"] == "bounded"


def test_the_three_programs_break_a_policy_and_the_trace_replays(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "found.txt"
    args = ["--policy", "used-allocators", "--cpus", 1, "--first", "--trace", out, "--json"]
    result = cli("explore", THREE, *args)
    assert result.code == 1
    found = result.json["results"][0]["violation"]
    assert found["kind"] == "use-after-free"

    again = cli("replay", out, "--pick", 1, "--json")
    assert again.code == 1
    assert again.json["replay"] == found["replay"]
    assert again.json["steps"] == found["steps"]
    assert again.json["violation"]["kind"] == "use-after-free"
