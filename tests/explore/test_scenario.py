"""The scenarios of examples/ and what reads them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from bpfheap.btf.fields import kptr_fields
from bpfheap.compile import object_spec
from bpfheap.errors import UsageError
from bpfheap.explore import Bounds, read_scenario
from bpfheap.explore.scenario import Insert
from bpfheap.runtime.definitions import why_other_map
from bpfheap.spec import MapSpec, ObjectSpec
from bpfheap.verifier import verify

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = (
    "chain",
    "churn",
    "inner_map",
    "nested",
    "placeholder_only",
    "reload",
    "stack_hold",
    "three_programs",
    "two_allocators",
    "two_fields",
    "walk_race",
)
#: Under which the sources say more, for the schemes that ask for it.
MACROS = sorted(
    {
        macro
        for path in EXAMPLES.glob("*/*.[ch]")
        for macro in re.findall(r"^#ifdef (BPFHEAP_\w+)", path.read_text(), re.MULTILINE)
    }
)

each_scenario = pytest.mark.parametrize("name", NAMES)
each_variant = pytest.mark.parametrize("macro", [None, *MACROS])


@cache
def objects(name: str, macro: str | None) -> tuple[ObjectSpec, ...]:
    cflags = () if macro is None else (f"-D{macro}",)
    files = read_scenario([EXAMPLES / name]).files
    return tuple(object_spec(path, cflags=cflags) for path in files)


def says_more(spec: MapSpec) -> bool:
    """Whether a map names the allocator of a field of its values."""
    if spec.inner is not None:
        return says_more(spec.inner)
    if not spec.value or not (fields := kptr_fields(spec.btf, spec.value)):
        return False
    tags = {tag for field in fields for tag in field.tags}
    return spec.kptr_allocator is not None or any(tag.startswith("allocator:") for tag in tags)


def test_every_folder_is_a_scenario() -> None:
    assert sorted(p.parent.name for p in EXAMPLES.glob("*/scenario.toml")) == list(NAMES)
    assert {p.parent.name for p in EXAMPLES.glob("*/*.bpf.c")} == set(NAMES)
    assert MACROS


def test_the_list_of_examples_is_complete() -> None:
    text = (EXAMPLES / "README.md").read_text()
    linked = re.findall(r"^\| \[(\S+)\]\(\1\) \| \S", text, re.MULTILINE)
    assert sorted(linked) == sorted([*NAMES, "first.bpf.c", "test_first.py", "tests"])


@each_scenario
def test_readme(name: str) -> None:
    """It says what the scenario shows as scenario.toml does, and names each program and map."""
    folder = EXAMPLES / name
    text = (folder / "README.md").read_text()
    assert text.startswith("# ")
    assert read_scenario([folder]).about in " ".join(text.split())
    sources = re.findall(r"^\| \[\w+\]\((\S+)\) \|", text, re.MULTILINE)
    assert sorted(sources) == sorted(p.name for p in folder.glob("*.bpf.c"))


@each_variant
@each_scenario
def test_all_programs_are_accepted(name: str, macro: str | None) -> None:
    for spec in objects(name, macro):
        assert spec.programs
        for program in spec.programs.values():
            assert verify(spec, program).error is None


@each_variant
@each_scenario
def test_maps_of_one_name_are_one_map(name: str, macro: str | None) -> None:
    first: dict[str, MapSpec] = {}
    for spec in objects(name, macro):
        for label, definition in spec.maps.items():
            assert why_other_map(first.setdefault(label, definition), definition) is None


@each_variant
@each_scenario
def test_allocators_are_named_only_where_that_is_asked_for(name: str, macro: str | None) -> None:
    named = [says_more(m) for spec in objects(name, macro) for m in spec.maps.values()]
    assert any(named) == (macro is not None)


def test_what_the_scenarios_say() -> None:
    found = {name: read_scenario([EXAMPLES / name]) for name in NAMES}
    assert {n: s.pins for n, s in found.items() if s.pins} == {
        "churn": ("kept",),
        "reload": ("kept",),
    }
    assert {n: s.inserts for n, s in found.items() if s.inserts} == {
        "inner_map": (Insert("outer", 0, "inner"),)
    }
    assert {n: s.bounds.loads for n, s in found.items() if s.bounds.loads > 1} == {
        "churn": 3,
        "reload": 2,
    }


def test_given_bounds_go_first() -> None:
    folder = EXAMPLES / "reload"
    assert read_scenario([folder], loads=4, cpus=None).bounds == Bounds(loads=4)
    assert read_scenario([folder], runs=2).bounds == Bounds(loads=2, runs=2)


def test_files_are_a_scenario_without_a_folder_s_toml() -> None:
    scenario = read_scenario([EXAMPLES / "reload" / "store.bpf.c", EXAMPLES / "first.bpf.c"])
    assert (scenario.name, scenario.bounds, scenario.pins) == ("store+first", Bounds(), ())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.bpf.c").write_text((EXAMPLES / "first.bpf.c").read_text())
    return tmp_path


INSERT = '[[insert]]\nouter = "ma"\nkey = 0\ninner = "slots"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("about =", "is no TOML"),
        ("\x00", "is no TOML"),
        ("[bounds]\nruns = " + "9" * 5000, "is no TOML"),
        ("about = " + "[" * 100_000, "is nested too deeply"),
        ("runs = 1", "there is no key 'runs' (keys are about, bounds, pins, insert)"),
        ("about = 1", "about is a sentence, not 1"),
        ("bounds = 1", "bounds is a table, not 1"),
        ("[bounds]\nrun = 1", "there is no bound 'run' (bounds are runs, cpus, "),
        ("[bounds]\nruns = 0", "the bound runs is a number from 1, not 0"),
        ("[bounds]\nruns = true", "the bound runs is a number from 1, not True"),
        ("[bounds]\nruns = '1'", "the bound runs is a number from 1, not '1'"),
        ("[bounds]\nnmi = 1", "the bound nmi is true or false, not 1"),
        ("[bounds]\ncpus = 17", "the bound cpus is a number from 1 to 16, not 17"),
        ("pins = 'slots'", "pins are names of maps, not 'slots'"),
        ("pins = [1]", "pins are names of maps, not [1]"),
        ("pins = ['slot']", "there is no map 'slot' (there are slots, ma"),
        ("insert = 1", "an insert has outer, key and inner, not 1"),
        (INSERT + "more = 1", "an insert has outer, key and inner, not {"),
        (INSERT.replace("0", "-1"), "a key is a number from 0, not -1"),
        (INSERT.replace("0", "4294967296"), "a key is a number from 0, not 4294967296"),
        (INSERT.replace('"slots"', '"slot"'), "there is no map 'slot' (there are slots, ma"),
        (INSERT, "ma is no map of maps"),
        (INSERT.replace('"ma"', "[]"), "there is no map [] (there are slots, ma"),
    ],
    ids=lambda value: value[:40],
)
def test_bad_files(folder: Path, text: str, message: str) -> None:
    path = folder / "scenario.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_scenario([folder])
    assert message in str(caught.value)
    assert caught.value.file == str(path)


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "scenario.toml").write_bytes(b'about = "\xff"')
    with pytest.raises(UsageError, match="is no TOML"):
        read_scenario([folder])


def test_a_folder_of_that_name(folder: Path) -> None:
    (folder / "scenario.toml").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        read_scenario([folder])


def test_no_folder_and_no_program(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be opened"):
        read_scenario([tmp_path / "none"])
    with pytest.raises(UsageError, match="no BPF program in this folder"):
        read_scenario([tmp_path])
