"""Interruptions at every instruction of the heap's operations (interrupt.c, meet.c)."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest
from core_build import COMPILER, CORE, core_sources

pytestmark = pytest.mark.long

FLAGS = ["-std=c11", "-O2", "-mno-red-zone", "-Wall", "-Wextra", "-Werror"]


def run(
    folder: Path, *more: str, name: str = "interrupt", words: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Build a program and run it."""
    if COMPILER is None:
        pytest.skip("there is no C compiler")
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("only x86-64 is known to stop after each instruction")
    program = folder / name
    source = Path(__file__).with_name(f"{name}.c")
    # The program has cpu.c in it.
    sources = [source, *core_sources("cpu.c")]
    command = [COMPILER, *FLAGS, *more, f"-I{CORE}", *map(str, sources)]
    command += ["-o", str(program), "-lpthread"]
    subprocess.run(command, check=True)
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


def rows_of(done: subprocess.CompletedProcess[str]) -> list[tuple[int, int, str]]:
    """Of each operation: the places where it was interrupted, the runs that made, its name."""
    assert done.returncode == 0, done.stderr
    rows = (line.split(maxsplit=2) for line in done.stdout.splitlines())
    return [(int(places), int(runs), name) for places, runs, name in rows]


def test_nothing_is_lost_wherever_one_is_interrupted(tmp_path: Path) -> None:
    rows = rows_of(run(tmp_path))
    assert len(rows) == 14
    # Each operation is as long as its path, and was interrupted by each of five others.
    for places, runs, name in rows:
        assert places >= 15, name
        assert runs >= 5 * 15, name
    places_of = {name: places for places, _, name in rows}
    assert places_of["alloc from the depot"] > 3 * places_of["alloc"]
    assert places_of["alloc that maps"] > places_of["alloc that carves"]


def test_it_finds_that_levels_must_not_share_a_cache(tmp_path: Path) -> None:
    done = run(tmp_path, "-DONE_CACHE")
    assert done.returncode == 1
    assert "objects in no place or two" in done.stderr


def test_what_two_contexts_free_is_freed_once(tmp_path: Path) -> None:
    rows = rows_of(run(tmp_path, words=("hardened",)))
    assert len(rows) == 3
    for places, runs, name in rows:
        assert places >= 40, name
        assert runs >= 3 * 40, name


def test_it_finds_that_the_other_context_has_to_wait(tmp_path: Path) -> None:
    done = run(tmp_path, "-DNO_GRACE", words=("hardened",))
    assert done.returncode == 1
    assert "objects in no place or two" in done.stderr


@pytest.mark.parametrize("words", ["", "collect", "closed", "closed collect"])
def test_two_cpus_free_one_object(tmp_path: Path, words: str) -> None:
    """At each pair of places in what they do, of those that are tried: all would take minutes."""
    done = run(tmp_path, name="meet", words=(*words.split(), "11"))
    assert done.returncode == 0, done.stderr
    runs, wrong = (int(word) for word in done.stdout.split() if word.isdigit())
    assert runs > 100
    assert wrong == 0
