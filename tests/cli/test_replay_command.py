from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

import bpfheap.cli.replay as command
from bpfheap.errors import Violation
from bpfheap.explore import HistoryStep, Replay

if TYPE_CHECKING:
    from cli_harness import Cli

pytest_plugins = ["cli_harness"]

FIRST = Path(__file__).parents[2] / "examples" / "first.bpf.c"
HEAD = f"bpfheap-1 live-count runs=1,cpus=1,loads=1,creates=1,objects=-,nmi=0 {FIRST}"
CLEAN = f"{HEAD} | create ma; create slots; load first; run first cpu0; step cpu0; step cpu0"


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every history ends in a violation."""
    steps = Replay.steps

    def ending(self: Replay) -> Iterator[HistoryStep]:
        yield from steps(self)
        life = ("foo#1 was allocated", "foo#1 was freed")
        self.violation = Violation("foo#1 is gone", kind="use-after-free", life=life)

    monkeypatch.setattr(Replay, "steps", ending)


def test_a_string(cli: Cli) -> None:
    result = cli("replay", CLEAN)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "live-count in first, 6 steps"
    assert lines[1] == "  1. create ma: allocator ma was created"
    assert any("foo#1 was allocated from ma by first" in line for line in lines)
    assert any("> p = bpf_mem_alloc(&ma" in line for line in lines)
    assert lines[-1] == "no violation"


def test_a_violation_is_told_with_the_life(cli: Cli, gone: None) -> None:
    result = cli("replay", CLEAN)
    assert result.code == 1
    assert result.out.splitlines()[-4:] == [
        "use-after-free: foo#1 is gone",
        "the object's life:",
        "  1. foo#1 was allocated",
        "  2. foo#1 was freed",
    ]


def test_json(cli: Cli, gone: None) -> None:
    result = cli("replay", CLEAN, "--json")
    assert result.code == 1
    document = result.json
    assert set(document) == {"scenario", "bounds", "policy", "steps", "violation", "replay"}
    assert (document["scenario"], document["policy"]) == ("first", "live-count")
    assert len(document["steps"]) == 6
    assert document["violation"]["kind"] == "use-after-free"
    assert document["replay"] == CLEAN


def test_json_of_a_clean_history(cli: Cli) -> None:
    result = cli("replay", CLEAN, "--json")
    assert (result.code, result.json["violation"]) == (0, None)


def test_a_file_with_one_and_comments(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "found.txt"
    file.write_text(f"# what it is\n\n{CLEAN}\n")
    assert cli("replay", file).out == cli("replay", CLEAN).out


def test_one_of_several(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "found.txt"
    file.write_text(f"# one\n{CLEAN}\n# two\n{HEAD} | create ma\n")
    assert cli("replay", file, "--pick", 2).out.startswith("live-count in first, 1 step\n")
    undecided = cli("replay", file)
    assert undecided.code == 2
    assert undecided.err == "there are 2 histories (choose with --pick 1 to --pick 2)\n"
    assert "there is no history 3 (there are 2)" in cli("replay", file, "--pick", 3).err


def test_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(f"{CLEAN}\n".encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    assert cli("replay", "-").code == 0


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        ("nowhere.txt", "nowhere.txt: cannot be read: No such file"),
        ("/dev/zero", "is no ordinary file"),
        ("bpfheap-1", "this is no replay string"),
        ("bpfheap-2 live-count x=1 a.bpf.c | create ma", "this is no replay string"),
        ("bpfheap-1 live-count 'x a b | create ma", "this is no replay string"),
        (CLEAN.replace("live-count", "no-such"), "there is no policy no-such"),
        (CLEAN.replace("first.bpf.c", "last.bpf.c"), "last.bpf.c: cannot be opened"),
        (CLEAN.replace("runs=1", "runs=many"), "is no bound"),
        (CLEAN.replace("runs=1", "rums=1"), "is no bound"),
        (CLEAN.replace("cpus=1", "cpus=-"), "is no bound"),
        (CLEAN.replace("cpus=1", "cpus=0"), "the bound cpus is a number from 1"),
        (CLEAN.replace("cpus=1", "cpus=1000000"), "the bound cpus is a number from 1 to 16"),
        (CLEAN.replace("runs=1", f"runs={'9' * 5000}"), "is no bound"),
        (f"{HEAD} | dance", "dance"),
        (f"{HEAD} | step cpu{'9' * 5000}", "names no CPU"),
        (f"{HEAD} | step cpux", "names no CPU"),
    ],
)
def test_what_is_no_trace(cli: Cli, trace: str, message: str) -> None:
    result = cli("replay", trace)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"# nothing\n\n", b"\xff\xfe\x00", b"hello\n"])
def test_a_file_without_a_trace(cli: Cli, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "found.txt"
    file.write_bytes(content)
    result = cli("replay", file)
    assert (result.code, result.out) == (2, "")
    assert "no replay string" in result.err


@pytest.mark.parametrize(
    "action",
    ["load first", "load last", "step cpu0", "step cpu9", "run first", "run first cpu1", "walk",
     "walk ma", "insert 0", "delete -1", "insert x", "close", "unpin ma", "unload first"],
)  # fmt: skip
def test_an_action_that_is_not_possible(cli: Cli, action: str) -> None:
    result = cli("replay", f"{HEAD} | create ma; {action}")
    assert result.code == 2
    assert "  1. create ma: allocator ma was created" in result.out
    assert result.err.startswith(f"step 2, {action}: ")


@pytest.mark.parametrize(
    ("keys", "steps", "ended"),
    [
        ("      ", 6, True),
        ("\r\r\r\r\r\r", 6, True),
        ("q", 1, False),
        ("  Q", 3, False),
        (" a", 6, True),
        (" \x03", 2, False),
        (" \x04", 2, False),
    ],
)
def test_keys(
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    gone: None,
    keys: str,
    steps: int,
    ended: bool,
) -> None:
    monkeypatch.setattr(command, "_is_terminal", lambda stream: True)
    left = iter(keys)

    def getchar() -> str:
        key = next(left)
        if key in "\x03\x04":
            raise KeyboardInterrupt if key == "\x03" else EOFError
        return key

    monkeypatch.setattr(typer, "getchar", getchar)
    result = cli("replay", CLEAN)
    assert (
        sum(
            line[:3].strip().isdecimal()
            for line in result.out.split("the object's life")[0].splitlines()
        )
        == steps
    )
    assert result.code == int(ended)


def test_all_asks_for_no_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_is_terminal", lambda stream: True)
    monkeypatch.setattr(typer, "getchar", lambda: pytest.fail("a key was asked for"))
    assert cli("replay", CLEAN, "--all").code == 0
