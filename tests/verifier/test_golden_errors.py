"""Every mistake of golden/ is refused with exactly the text that is beside it.

`make golden` writes the texts; read what changed.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from textwrap import indent
from types import ModuleType

import pytest

from bpfheap.compile import find_compilers
from bpfheap.verifier import verify


def _tool() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "golden_errors.py"
    spec = importlib.util.spec_from_file_location("golden_errors", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


golden = _tool()
FOLDER: Path = golden.FOLDER
SOURCES: list[Path] = golden.sources()
FAMILIES = [golden.family(source) for source in SOURCES]
#: An author reads what to change, not what the verifier calls things.
_PLACE = re.compile(r"^\w+\.bpf\.c:\d+: .+$")
_REMEDY = re.compile(r"\(.+\)$")


@pytest.mark.parametrize("source", SOURCES, ids=FAMILIES)
def test_texts_are_as_they_were(source: Path) -> None:
    folder = FOLDER / golden.family(source)
    there = {file.stem: file.read_text() for file in folder.glob("*.txt")}
    assert golden.texts(source) == there


def test_there_are_enough_distinct_mistakes() -> None:
    texts = [file.read_text() for file in FOLDER.glob("*/*.txt")]
    messages = {text.partition("\n")[0] for text in texts}
    assert len(texts) == len(messages) >= 44
    assert {path.parent.name for path in FOLDER.glob("*/*.txt")} == set(FAMILIES)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*/*.txt")), ids=lambda file: file.stem)
def test_texts_name_the_place_and_the_remedy(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert _PLACE.match(lines[0]), lines[0]
    assert all(len(line) < 400 for line in lines)
    unsupported = file.parent.name == "unsupported"
    # Of a rejection the first line is Linux's alone.
    assert _REMEDY.search(lines[0 if unsupported else 1])
    assert ("missing:" if unsupported else "the path to it:") in lines
    assert "?" not in lines[0]


@pytest.mark.parametrize("source", SOURCES, ids=FAMILIES)
def test_any_compiler_makes_the_same_mistakes(source: Path) -> None:
    """They are refused at the same lines, with the same remedies."""
    kept = golden.compiled(source, golden.compiler())
    for other in find_compilers():
        made = golden.compiled(source, other)
        assert list(kept.programs) == list(made.programs)
        for name, program in kept.programs.items():
            one = verify(kept, program, golden.OPTIONS).error
            two = verify(made, made.programs[name], golden.OPTIONS).error
            assert one is not None
            assert two is not None, name
            assert (one.line, one.hint) == (two.line, two.hint), name


def test_the_example_of_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    for name in ("bounds/index_one_too_high", "unsupported/kfunc_of_a_family"):
        assert indent((FOLDER / f"{name}.txt").read_text(), "    ") in page
