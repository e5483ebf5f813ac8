"""Objects that own themselves are leaks, and who tells of a leak says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bpfheap.api import Runtime
from bpfheap.cli.app import app
from bpfheap.compile import object_spec
from bpfheap.spec import ObjectSpec

pytest_plugins = ["pytester"]

SOURCE = Path(__file__).parent / "model" / "owner_cycles.bpf.c"
EXPLORED = Path(__file__).parents[1] / "explore" / "containers"

ITSELF = "self#1 keeps itself alive: self#1.me owns self#1"
CYCLES = {
    "itself": [ITSELF],
    # What is kept by such an object is left, too.
    "a_third": ["self#2 keeps itself alive: self#2.me owns self#2"],
    "in_two": [],
    "in_a_function": [ITSELF],
    "in_a_callback": [ITSELF, "self#2 keeps itself alive: self#2.me owns self#2"],
    "pair": [
        "self#1 keeps itself alive: self#1.me owns self#2, self#2.me owns self#1",
        "self#2 keeps itself alive: self#2.me owns self#1, self#1.me owns self#2",
    ],
    "three": [
        f"self#{a} keeps itself alive: self#{a}.me owns self#{b}, self#{b}.me owns self#{c}, "
        f"self#{c}.me owns self#{a}"
        for a, b, c in ((1, 2, 3), (2, 3, 1), (3, 1, 2))
    ],
    "chain": [],
    "taken_apart": [],
    "put_again": [ITSELF],
    "in_a_map_and_itself": [ITSELF],
    "in_a_map": [],
    "in_a_deleted_element": [ITSELF],
    "in_a_list": [
        "bough#1 keeps itself alive: bough#1.list owns leaf#1, leaf#1.bough owns bough#1",
        "leaf#1 keeps itself alive: leaf#1.bough owns bough#1, bough#1.list owns leaf#1",
    ],
    "in_a_tree": [
        "bough#1 keeps itself alive: bough#1.root owns leaf#1, leaf#1.bough owns bough#1",
        "leaf#1 keeps itself alive: leaf#1.bough owns bough#1, bough#1.root owns leaf#1",
    ],
}


@pytest.fixture(scope="module")
def obj() -> ObjectSpec:
    return object_spec(SOURCE)


@pytest.mark.parametrize("name", CYCLES)
def test_the_cycle_is_told(obj: ObjectSpec, name: str) -> None:
    runtime = Runtime()
    runtime.load(obj, programs=[name]).programs[name].run()
    lives = [left.life for left in runtime.close() if left.kind == "leak"]
    assert [life[-1] for life in lives] == CYCLES[name]


@pytest.mark.parametrize("hardened", [False, True], ids=["plain", "hardened"])
@pytest.mark.parametrize("jit", [False, True], ids=["interpreted", "compiled"])
@pytest.mark.parametrize("name", CYCLES)
def test_the_native_machine_finds_the_leak(
    obj: ObjectSpec, name: str, jit: bool, hardened: bool
) -> None:
    runtime = Runtime(machine="native", jit=jit, hardened=hardened)
    runtime.load(obj, programs=[name]).programs[name].run()
    assert [left.kind for left in runtime.close()] == ["leak"] * len(CYCLES[name])


def test_the_explorer_tells_it() -> None:
    files = [str(EXPLORED / f"{name}.bpf.c") for name in ("owner_chain", "owner_pair")]
    told = CliRunner().invoke(app, ["explore", *files]).stdout
    assert "violation live-count" in told
    assert "self#1 keeps itself alive: self#1.me owns self#2, self#2.me owns self#1\n" in told


def test_the_plugin_tells_it(pytester: pytest.Pytester) -> None:
    shutil.copy(SOURCE, pytester.path)
    pytester.makepyfile(
        """
        def test_it(bpf):
            bpf.load("owner_cycles.bpf.c").programs["itself"].run()
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:hypothesispytest")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{ITSELF}"])
