"""The options of how sources are compiled, of each command that takes some."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli_harness import Cli

pytest_plugins = ["cli_harness"]

SOURCE = """#include <bpfheap.h>
#include <value.h>
SEC("socket") int p(struct __sk_buff *skb) { return VALUE + MORE + LAST; }
"""


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc" / "value.h").write_text("#define VALUE 7\n")
    (tmp_path / "p.bpf.c").write_text(SOURCE)
    return ["-Iinc", "-D", "MORE=30", "--cflags", "-DLAST=400 -O1", "--cflags=-Wall"]


def test_check(cli: Cli, options: list[str]) -> None:
    assert cli("check", "p.bpf.c", *options).code == 0
    missing = cli("check", "p.bpf.c", *options[1:])
    assert missing.code == 1
    assert "'value.h' file not found (pass -I inc)" in missing.err


def test_run(cli: Cli, options: list[str]) -> None:
    assert "p returned 437" in cli("run", "p.bpf.c", *options).out


def test_explore_and_replay(cli: Cli, options: list[str]) -> None:
    """A replay string has them."""
    from bpfheap.compile import CompileOptions
    from bpfheap.explore import read_scenario
    from bpfheap.explore.replay import Replay, trace_of
    from bpfheap.explore.world import Action

    assert cli("explore", "p.bpf.c", *options).code == 0
    said = CompileOptions.of(include="inc", define="MORE=30", cflags="-DLAST=400 '-DQ=a b'")
    scenario = read_scenario([Path("p.bpf.c")], said)
    trace = trace_of(scenario, "live-count", [Action("load", "p", 0)])
    assert Replay(trace).scenario.compiling == said


def test_compile_commands(cli: Cli, options: list[str], tmp_path: Path) -> None:
    (tmp_path / "build.json").write_text(
        '[{"directory": ".", "file": "p.bpf.c", '
        '"command": "cc -Iinc -DMORE=1 -DLAST=2 -c p.bpf.c"}]'
    )
    assert "p returned 10" in cli("run", "p.bpf.c", "--compile-commands", "build.json").out
    other = cli("check", "p.bpf.c", "--compile-commands", "none.json")
    assert (other.code, other.err) == (2, "none.json: cannot be read: No such file or directory\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-D", "1"], "'1' is no macro (write NAME or NAME=VALUE)"),
        (["--cflags", "'"], "close all quotes"),
        (["-I", "nowhere"], "there is no folder nowhere"),
    ],
)
def test_wrong_usage(cli: Cli, options: list[str], words: list[str], message: str) -> None:
    for command in ("check", "run", "explore"):
        done = cli(command, "p.bpf.c", *words)
        assert done.code == 2
        assert message in done.err
