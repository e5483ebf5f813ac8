"""What holds for every command: help, version, exit codes, the last resort."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bpfheap
from bpfheap.cli import main
from bpfheap.errors import UsageError

if TYPE_CHECKING:
    from cli_harness import Cli

pytest_plugins = ["cli_harness"]


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"bpfheap {bpfheap.__version__}\n"


def test_no_arguments_is_wrong_usage_and_shows_help(cli: Cli) -> None:
    result = cli()
    assert result.code == 2
    assert "check" in result.out + result.err


@pytest.mark.parametrize("command", ["check", "run", "explore", "replay", "policies"])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_shows_examples(cli: Cli, command: str, option: str) -> None:
    result = cli(command, option)
    assert result.code == 0
    assert f"bpfheap {command} " in result.out.partition("Examples:")[2]


@pytest.mark.parametrize(
    "args",
    [
        ["no-such-command"],
        ["check"],
        ["check", "--no-such-option", "x.bpf.c"],
        ["run", "x.bpf.c", "--repeat", "0"],
        ["run", "x.bpf.c", "--repeat", "many"],
        ["policies", "extra"],
    ],
)
def test_wrong_usage(cli: Cli, args: list[str]) -> None:
    result = cli(*args)
    assert result.code == 2
    assert result.out == ""
    assert result.err


def test_what_does_not_exist_is_not_offered(cli: Cli) -> None:
    assert "graph" not in cli("--help").out


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("bpfheap run x --policy l", ["live-count"]),
        ("bpfheap run x --machine ", list(bpfheap.machines())),
        ("bpfheap explore x --policy live-count,g", ["live-count,global"]),
        ("bpfheap po", ["policies"]),
    ],
)
def test_completion(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: str, offered: list[str]
) -> None:
    monkeypatch.setenv("_BPFHEAP_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert cli().out.split() == offered


def _raise(error: BaseException) -> None:
    raise error


def test_a_bug_of_ours_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bpfheap, "policies", lambda: _raise(ZeroDivisionError("of\nours")))
    assert main(["policies"]) == 70
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "internal error" in captured.err
    assert "ZeroDivisionError: of ours" in captured.err
    assert "report" in captured.err


def test_debug_shows_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bpfheap, "policies", lambda: _raise(RecursionError("deep")))
    assert main(["--debug", "policies"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_our_errors_bring_their_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bpfheap, "policies", lambda: _raise(UsageError("so not", hint="but so")))
    assert main(["policies"]) == 2
    assert capsys.readouterr().err == "so not (but so)\n"


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bpfheap", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"bpfheap {bpfheap.__version__}\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("args", [["policies"], ["policies", "--json"]])
def test_a_full_disk_is_no_bug_of_ours(args: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bpfheap", *args],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("args", [["policies"], ["policies", "--json"]])
def test_a_reader_that_leaves(args: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "bpfheap", *args],
        stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
