"""Grammars: the same programs each time, well formed, a good share of them accepted; and a fault of
the verifier shows within a few hundred of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
import yaml

import bpfheap
from bpfheap.errors import UsageError
from bpfheap.fuzz.blocks import text_of
from bpfheap.fuzz.grammar import Grammar
from bpfheap.fuzz.grammars import GRAMMARS, aimed_program, fitting
from bpfheap.fuzz.rules import COMMON
from bpfheap.fuzz.surroundings import ALL, linked, surroundings
from bpfheap.isa import check_structure
from bpfheap.spec import RefKind
from bpfheap.verifier import Options, verify

PACKAGE = Path(bpfheap.__file__).parent
ROOT = Path(__file__).parents[2]
_RULE = re.compile(r"<([a-z_]+)")


def test_seed_and_index_make_the_program() -> None:
    first = [text_of(aimed_program(3, index, ALL)) for index in range(30)]
    again = [text_of(aimed_program(3, index, ALL)) for index in reversed(range(30))]
    assert first == again[::-1]
    assert len(set(first)) > 25
    assert text_of(aimed_program(4, 0, ALL)) != first[0]


@pytest.mark.parametrize("name", GRAMMARS)
def test_programs_are_programs(name: str) -> None:
    for index in range(60):
        spec = linked(aimed_program(5, index, ALL, name))
        functions = [s for s, ref in spec.refs.items() if ref.kind is RefKind.FUNC]
        check_structure(spec.insns, [s for s in spec.refs if s not in functions])


@pytest.mark.parametrize("name", GRAMMARS)
def test_a_good_share_is_accepted(name: str) -> None:
    grammar = GRAMMARS[name]
    obj = surroundings(grammar.features)
    accepted = sum(
        verify(obj, linked(grammar.program(Random(index))), Options(20_000)).accepted
        for index in range(100)
    )
    assert 12 < accepted < 96


@pytest.mark.parametrize("name", GRAMMARS)
def test_every_alternative_is_one(name: str) -> None:
    """Each can be chosen, all that it names is there, and each program is read."""
    grammar = GRAMMARS[name]
    named = {"start"}
    todo = ["start"]
    while todo:
        for text in grammar.all_rules[todo.pop()]:
            new = set(_RULE.findall(text)) - named
            named |= new
            todo += new
    assert set(grammar.rules) <= named
    for index in range(150):
        grammar.program(Random(f"each {index}"))


def test_common_rules_are_of_use() -> None:
    used = {"start"}.union(*(
        _RULE.findall(text)
        for rules in (COMMON, *(grammar.rules for grammar in GRAMMARS.values()))
        for texts in rules.values()
        for text in texts
    ))  # fmt: skip
    assert set(COMMON) <= used


def test_a_program_ends() -> None:
    endless = Grammar("endless", "", ALL, {"start": ("r0 = 0", "r0 = 1\n<start>\n<start>")})
    sizes = [len(endless.text(Random(seed)).split("\n")) for seed in range(20)]
    assert max(sizes) < 2000


def test_grammars_by_name() -> None:
    assert fitting("all", ALL) == tuple(GRAMMARS.values())
    assert fitting("joined, spilled", ALL) == (GRAMMARS["joined"], GRAMMARS["spilled"])
    assert fitting("all", frozenset({"packets"})) == (GRAMMARS["packets"],)
    with pytest.raises(UsageError, match=r"there is no grammar magic \(all, or some of joined, "):
        fitting("joined,magic", ALL)
    with pytest.raises(UsageError, match="grammar joined needs features that are left out"):
        fitting("joined", frozenset({"packets"}))


class Planted(NamedTuple):
    """A fault of the verifier, by its name in tools/mutants.yaml, and the grammar whose first
    programs show it."""

    name: str
    grammar: str
    number: int
    against: str = "unpruned"


PLANTED = (
    Planted("precise-fill", "spilled,joined", 400),
    Planted("precise-branch", "joined,compared", 400),
    Planted("precise-linked", "linked,compared", 400),
    Planted("precise-argument", "functions", 900),
    Planted("linked-pruned", "linked", 400),
    Planted("prune-linked-offset", "linked", 400),
    Planted("callback-rounds", "callbacks", 200),
    Planted("live-stale-store", "addresses", 400),
    Planted("stack-zero", "spilled", 100, "model"),
    Planted("null-of-another", "nulls", 100, "model"),
    Planted("lock-identity", "locks", 150, "model"),
)
MUTANTS = {row["name"]: row for row in yaml.safe_load((ROOT / "tools/mutants.yaml").read_text())}


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_fault_is_found(planted: Planted, tmp_path: Path) -> None:
    assert hunted(planted, tmp_path)["findings"]


def hunted(planted: Planted, folder: Path) -> Any:
    """What `fuzz verifier` says with the fault in the verifier."""
    shutil.copytree(
        PACKAGE, folder / "bpfheap", ignore=shutil.ignore_patterns("__pycache__", "verifier/*.so")
    )
    mutant = MUTANTS[planted.name]
    path = folder / Path(mutant["file"]).relative_to("src")
    text = path.read_text()
    assert text.count(mutant["old"]) == 1
    path.write_text(text.replace(mutant["old"], mutant["new"]))
    command = [sys.executable, "-m", "bpfheap", "fuzz", "verifier", "--json", "--jobs", "1"]
    command += ["--grammar", planted.grammar, "--against", planted.against]
    command += ["-n", str(planted.number)]
    env = os.environ | {"PYTHONPATH": str(folder), "BPFHEAP_PURE": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=folder)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)
