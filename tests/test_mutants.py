"""tools/mutants.py, on a made-up tree."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TOOL = runpy.run_path(str(ROOT / "tools" / "mutants.py"))

SOURCE = """\
def clamp(n):
    if n < 0:
        return 0
    if n > 9:
        return 9
    return n
"""

TESTS = """\
from made_up import clamp

def test_low():
    assert clamp(-1) == 0

def test_between():
    assert clamp(5) == 5
"""


def mutant(name: str, old: str, new: str, *tests: str) -> dict[str, Any]:
    return {
        "name": name,
        "file": "src/made_up.py",
        "old": old,
        "new": new,
        "tests": list(tests or ("tests",)),
        "reason": "made up",
    }


def equivalent(name: str, old: str, new: str) -> dict[str, Any]:
    row = mutant(name, old, new) | {"equivalent": "all numbers are whole"}
    return {key: value for key, value in row.items() if key != "tests"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Its top; a compiled module there would hide all edits."""
    for name, text in {
        "src/made_up.py": SOURCE,
        "src/made_up.cpython-311-x86_64-linux-gnu.so": "",
        "tests/test_made_up.py": TESTS,
        "pytest.ini": "[pytest]\n",
    }.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "tree"


def fates(tree: Path, mutants: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> Any:
    (tree / "list.yaml").write_text(yaml.safe_dump(mutants))
    code = TOOL["main"](["--json", "--jobs", "2", str(tree / "list.yaml")], root=tree)
    told = json.loads(capsys.readouterr().out)["mutants"]
    return code, {m["name"]: (m["fate"], m["by"]) for m in told}


def test_each_has_its_fate(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = fates(
        tree,
        [
            # The same size in the same second: bytecode must not be taken for current.
            mutant("low", "n < 0", "n < -9"),
            mutant("other-low", "return 0", "return 1"),
            mutant("high", "n > 9", "n > 99"),
            mutant("gone", "n == 3", "n == 4"),
            mutant("twice", "return", "yield"),
            mutant("no-python", "return n", "return n("),
            mutant("fault", "return n", "import os; os.abort()"),
            equivalent("same", "n > 9", "n >= 10"),
            equivalent("same-once", "n == 5", "n == 6"),
        ],
        capsys,
    )
    assert code == 1
    failed = "tests/test_made_up.py::test_low"
    assert {name: fate for name, (fate, _) in found.items()} == {
        "low": "killed",
        "other-low": "killed",
        "high": "survived",
        "gone": "stale",
        "twice": "stale",
        "no-python": "broken",
        "fault": "killed",
        "same": "equivalent",
        "same-once": "stale",
    }
    assert found["low"][1] == found["other-low"][1] == failed
    assert found["fault"][1] == "SIGABRT"
    assert found["twice"][1] == "found 3 times"
    assert found["same"][1] == "all numbers are whole"
    assert (tree / "src" / "made_up.py").read_text() == SOURCE


def test_all_killed_is_fine(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mutants = [mutant("low", "n < 0", "n < -9"), equivalent("same", "n > 9", "n >= 10")]
    assert fates(tree, mutants, capsys)[0] == 0
    assert fates(tree, mutants[1:], capsys)[0] == 0


def test_tests_that_fail_anyway_tell_nothing(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "tests" / "test_made_up.py").write_text(TESTS.replace("== 5", "== 6"))
    (tree / "list.yaml").write_text(yaml.safe_dump([mutant("low", "n < 0", "n < -9")]))
    assert TOOL["main"]([str(tree / "list.yaml")], root=tree) == 2
    assert "the tests fail without an edit" in capsys.readouterr().err


#: In place of bpfheap: the first instrument looks at low numbers, the others at nothing.
PROGRAM = f"""\
import sys
from made_up import clamp

assert sys.argv[-2:] == ["--jobs", "1"]
if sys.argv[1:-2] == {next(iter(TOOL["INSTRUMENTS"].values())).split()}:
    sys.exit(clamp(-1) != LEAST)
"""


def instruments(tree: Path, least: int, *arguments: str) -> int:
    (tree / "src" / "bpfheap.py").write_text(PROGRAM.replace("LEAST", str(least)))
    mutants = [mutant("low", "n < 0", "n < -9"), mutant("high", "n > 9", "n > 99")]
    mutants.append(mutant("gone", "n == 3", "n == 4"))
    (tree / "list.yaml").write_text(yaml.safe_dump(mutants))
    code: int = TOOL["main"]([*arguments, str(tree / "list.yaml")], root=tree)
    return code


def test_which_instruments_notice(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, *_ = TOOL["INSTRUMENTS"]
    assert instruments(tree, 0, "--json", "--instruments", f"{one},{two}") == 0
    told = json.loads(capsys.readouterr().out)["mutants"]
    assert {m["name"]: m["instruments"] for m in told} == {
        "low": {one: True, two: False},
        "high": {one: False, two: False},
        "gone": None,
    }
    assert instruments(tree, 0, "--instruments", f"{one},{two}") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[:5] == [
        [one, two],
        ["low", "yes", "-"],
        ["high", "-", "-"],
        ["gone", "stale"],
        ["1", "0"],
    ]
    assert rows[5] == ["1", "of", "3", "are", "noticed", "by", "an", "instrument"]


def test_an_instrument_that_finds_something_anyway_tells_nothing(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert instruments(tree, 1, "--instruments", "all") == 2
    assert "without an edit, too" in capsys.readouterr().err
    assert instruments(tree, 0, "--instruments", "luck") == 2
    assert "there is no instrument luck" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"name": "x"}], "a mutant has"),
        ([{**mutant("a", "x", "y"), "equivalent": "it is"}], "a mutant has"),
        ([{**equivalent("a", "x", "y"), "equivalent": ""}], "no tests, and nothing why"),
        ([{**mutant("a", "x", "y"), "tests": []}], "no tests, and nothing why"),
        ([mutant("a", "x", "y"), mutant("a", "x", "z")], "two mutants a"),
        ([mutant("a", "x", "x")], "a changes nothing"),
        ([{**mutant("a", "x", "y"), "file": "a.c"}], "a.c is not Python"),
        ([mutant("b", "x", "y")], "no mutant is called a"),
    ],
)
def test_mistakes_in_the_list(
    rows: list[dict[str, Any]], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.yaml").write_text(yaml.safe_dump(rows))
    assert TOOL["main"](["--only", "a", str(tmp_path / "list.yaml")], root=tmp_path) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mutants.yaml", "mutants-verifier.yaml"])
def test_all_mutants_can_be_made(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """That each is killed, `make mutants` and `make mutants-verifier` show."""
    file = ROOT / "tools" / name
    mutants = TOOL["read"](file)
    for one in mutants:
        assert (ROOT / one.file).read_text().count(one.old) == 1, one.name
        for test in one.tests:
            assert (ROOT / test.partition("::")[0]).exists(), one.name
    assert TOOL["main"](["--list", "--only", mutants[0].name, str(file)]) == 0
    assert capsys.readouterr().out.startswith(f"{mutants[0].name}: ")
