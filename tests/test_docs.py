"""README and docs say what is true: their commands and examples run here."""

from __future__ import annotations

import itertools
import re
import runpy
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from bpfheap.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def in_order(lines: list[str], text: str) -> list[str]:
    """Those of `lines` that `text` does not have in that order. Blanks do not matter, nor do
    numbers: they differ between compilers. "..." stands for any lines."""
    there = iter([loosely(line) for line in text.splitlines()])
    wanted = [line for line in lines if line.strip() not in ("", "...")]
    return [line for line in wanted if loosely(line) not in there]


def loosely(line: str) -> str:
    return re.sub(r"\d+", "N", " ".join(line.split()))


class Command(NamedTuple):
    """A `$ bpfheap ...` of the README, the lines it is shown to print, and its exit code, which is
    0 unless `echo $?` below it says otherwise."""

    text: str
    shown: list[str]
    code: int = 0


def commands() -> list[Command]:
    found: list[Command] = []
    lines = itertools.chain(*(block.splitlines() for block in blocks("console")))
    for line in lines:
        if line == "$ echo $?":
            found[-1] = found[-1]._replace(code=int(next(lines)))
        elif line.startswith("$ "):
            found.append(Command(line.removeprefix("$ "), []))
        else:
            found[-1].shown.append(line)
    return found


@pytest.mark.parametrize("command", commands(), ids=[command.text for command in commands()])
def test_commands(
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    program, *args = shlex.split(command.text)
    assert program == "bpfheap"
    assert main(args) == command.code
    assert in_order(command.shown, capsys.readouterr().out) == []


def test_the_two_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}: setup$", makefile, re.MULTILINE)


def test_c_is_the_example() -> None:
    (program,) = blocks("c")
    assert len(program.splitlines()) > 10
    assert in_order(program.splitlines(), (ROOT / "examples/first.bpf.c").read_text()) == []


def test_python(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The pytest example is a file that runs as a test; the other one runs here."""
    test, script = blocks("python")
    body = test.splitlines()[1:]
    assert in_order(body, (ROOT / "examples/test_first.py").read_text()) == []
    monkeypatch.chdir(ROOT)
    exec(compile(script, "README.md", "exec"), {})
    assert "made a foo" in capsys.readouterr().out


def test_story(capsys: pytest.CaptureFixture[str]) -> None:
    """What the README quotes of the demo is what the demo prints."""
    story = runpy.run_path(str(ROOT / "examples/three_programs/story.py"))
    assert story["main"]() == 0
    told = capsys.readouterr().out.replace(f"{ROOT}/", "")
    quoted = [line for block in blocks("text") for line in block.splitlines()]
    assert len(quoted) > 10
    assert in_order(quoted, told) == []


@pytest.mark.parametrize("text", [README, ARCHITECTURE], ids=["README", "architecture"])
def test_files_named_exist(text: str) -> None:
    named = re.findall(r"`([\w/.]+(?:\.(?:py|h|md|toml)|/))`", text) + re.findall(
        r"\]\((?!http)(.+?)\)", text
    )
    assert named
    places = (ROOT, ROOT / "src/bpfheap", ROOT / "docs")
    assert [n for n in named if not any((place / n).exists() for place in places)] == []


#: The cells of each row of the glossary: word, meaning, term of the field, where.
_ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in GLOSSARY.partition("|---|\n")[2].splitlines()
]


def test_the_glossary_is_in_order() -> None:
    words = [row[0] for row in _ROWS]
    assert len(words) > 40
    assert words == sorted(set(words))


@pytest.mark.parametrize("row", _ROWS, ids=[row[0] for row in _ROWS])
def test_the_glossary_names_what_there_is(row: list[str]) -> None:
    """Each word leads to a file or folder, and to a name in it; or else to another word."""
    word, meaning, _, where = row
    found = re.fullmatch(r"`([\w/.]+)` `(\w+)`", where)
    if found is None:
        assert not where, word
        (other,) = re.findall(r"^see \*(.+)\*$", meaning)
        assert other in [row[0] for row in _ROWS]
    else:
        place = ROOT / "src" / "bpfheap" / found[1]
        files = [f for f in place.iterdir() if f.is_file()] if place.is_dir() else [place]
        name = re.compile(rb"\b%b\b" % found[2].encode())
        assert any(name.search(file.read_bytes()) for file in files if file.suffix != ".so")


# -- examples/tests/README.md

TESTS = ROOT / "examples" / "tests"
EXAMPLES = sorted(path.name for path in TESTS.iterdir() if (path / f"test_{path.name}.py").exists())


def test_the_list_of_tests_is_complete() -> None:
    text = (TESTS / "README.md").read_text()
    assert sorted(re.findall(r"^\| \[(\w+)\]\(\1\) \| \S", text, re.MULTILINE)) == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_a_twin_and_is_short(name: str) -> None:
    folder = TESTS / name
    test = (folder / f"test_{name}.py").read_text()
    assert len(test.splitlines()) <= 60
    twin = f"{name}_broken.bpf.c"
    assert {path.name for path in folder.glob("*.bpf.c")} == {f"{name}.bpf.c", twin}
    assert f'"{twin}"' in test
    assert (folder / twin).read_text().count("The mistake: ") == 1
