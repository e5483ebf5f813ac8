"""The corpus that comes with the package."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from bpfheap.bench.programs import (
    FOLDER,
    BenchProgram,
    CorpusSource,
    Group,
    UncompiledSource,
    programs,
    sources,
)

REPO = Path(__file__).parents[2]
SOURCES = sources()


def test_there_are_enough_of_each_group() -> None:
    groups = Counter(source.group for source in SOURCES)
    assert groups[Group.CORPUS] >= 60
    assert groups[Group.LARGE] >= 8
    assert groups[Group.MILLION] == 1


def test_names_say_the_group() -> None:
    for source in SOURCES:
        named = source.name.startswith(("large", "million"))
        assert named == (source.group is not Group.CORPUS), source.name


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_source_says_what_it_is(source: CorpusSource) -> None:
    text = source.path.read_text()
    license_, about, include = text.splitlines()[:3]
    assert license_ == "/* SPDX-License-Identifier: Apache-2.0 */"
    assert re.fullmatch(r"/\* [A-Z0-9].*\. \*/", about), about
    assert include in ('#include "corpus.h"', '#include "kernel.h"', '#include "vmlinux.h"')
    assert '#include "corpus.h"' in text or include == '#include "kernel.h"'
    assert source.needs_kernel == (include == '#include "vmlinux.h"')
    assert re.search(r'^SEC\("', text, re.MULTILINE)


def test_no_name_is_given_twice() -> None:
    found = [
        name
        for source in SOURCES
        for name in re.findall(r'^SEC\("[\w/]+"\)\nint (\w+)\(', source.path.read_text(), re.M)
    ]
    assert len(found) >= len(SOURCES)
    assert [name for name, count in Counter(found).items() if count > 1] == []


def test_a_wheel_has_all_of_it() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["bpfheap"]
    package = REPO / "src" / "bpfheap"
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    assert {path for path in FOLDER.iterdir() if path.is_file()} - packed == set()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("count_packets", {"count_packets"}),
        # These need what the corpus declares itself, if bpfheap.h does not.
        ("list_queue", {"list_put", "list_take"}),
        ("rcu_peek", {"rcu_peek"}),
        ("iterator_sum", {"iterator_sum"}),
        # These read members of the kernel's structs, by what the corpus declares of them.
        ("process_tree", {"process_tree"}),
        ("leak_tracker", {"leak_allocated", "leak_freed"}),
    ],
)
def test_programs_are_compiled(name: str, found: set[str]) -> None:
    source = next(source for source in SOURCES if source.name == name)
    made = list(programs(source))
    assert {one.spec.name for one in made if isinstance(one, BenchProgram)} == found
    assert all(one.source is source for one in made)


def test_what_cannot_be_compiled_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.bpf.c"
    path.write_text("#include <bpfheap.h>\nint broken(;\n")
    (source,) = sources(tmp_path)
    assert source == CorpusSource(path, Group.CORPUS)
    (made,) = programs(source)
    assert isinstance(made, UncompiledSource)
    assert made.error.line == 2
