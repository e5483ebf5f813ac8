"""Takes guards out of the code, one at a time, and asks whether the tests notice.

    python tools/mutants.py [--list] [--only PATTERN]... [--jobs N] [--json] [FILE]

FILE (tools/mutants.yaml) is a list of edits:

    name: by which it is known here
    file: of Python, from the top of the tree
    old: a text that occurs there exactly once
    new: what stands there instead
    tests: arguments of pytest that should fail then; the fewer the faster
    reason: what goes wrong in it

An edit is made in a copy of the tree, where nothing is compiled by mypyc. What becomes of it:

    killed      a test failed
    survived    all tests passed: write one
    stale       `old` is not there once: the code has changed, so must the edit
    broken      pytest could not run the tests: the edit makes nothing that could run
    slow        the tests did not end in time

The same tests are run first without an edit, and have to pass. Exit 0: all were killed; 1: some
were not; 2: wrong usage, or the tests fail by themselves.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib.util
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

import yaml

ROOT = Path(__file__).parents[1]
#: Seconds for the tests of one mutant.
LIMIT = 300
#: What a copy goes without.
LEFT_OUT = (".*", "__pycache__", "build", "dist", "*.egg-info")
#: Compiled by mypyc from what is edited; the native machine's core is another matter.
STALE_BINARY = "*.cpython-*.so"

#: How pytest ends (pytest.ExitCode).
_PASSED, _FAILED = 0, 1
_FAILURE = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


class Fate(StrEnum):
    KILLED = "killed"
    SURVIVED = "survived"
    STALE = "stale"
    BROKEN = "broken"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One edit; see above."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant. `by` is the test that failed first, or what went wrong; `seconds`
    are those of the tests."""

    mutant: Mutant
    fate: Fate
    by: str
    seconds: float


class Mistake(Exception):
    """In the list of mutants, or in how the tool is used."""


def read(path: Path) -> list[Mutant]:
    """All mutants of a list. Raises Mistake for one that is not as it should be."""
    names = {field.name for field in fields(Mutant)}
    found: dict[str, Mutant] = {}
    for row in yaml.safe_load(path.read_text()):
        if row.keys() != names or not isinstance(row["tests"], list) or not row["tests"]:
            raise Mistake(f"{path.name}: {row}: a mutant has {', '.join(sorted(names))}")
        mutant = Mutant(**{**row, "tests": tuple(row["tests"])})
        if mutant.name in found:
            raise Mistake(f"{path.name}: there are two mutants {mutant.name}")
        if not mutant.file.endswith(".py"):
            raise Mistake(f"{path.name}: {mutant.name}: {mutant.file} is not Python")
        if mutant.old == mutant.new:
            raise Mistake(f"{path.name}: {mutant.name} changes nothing")
        found[mutant.name] = mutant
    return list(found.values())


def chosen(mutants: Iterable[Mutant], patterns: Sequence[str]) -> list[Mutant]:
    """Those whose name matches a pattern; all, if there is none. Raises Mistake for a pattern that
    no name matches."""
    mutants = list(mutants)
    for pattern in patterns:
        if not any(fnmatch.fnmatch(m.name, pattern) for m in mutants):
            raise Mistake(f"no mutant is called {pattern}")
    return [m for m in mutants if not patterns or any(fnmatch.fnmatch(m.name, p) for p in patterns)]


class Copy:
    """A tree in which edits are made and taken back."""

    def __init__(self, root: Path, to: Path) -> None:
        self._root = to
        shutil.copytree(root, to, ignore=shutil.ignore_patterns(*LEFT_OUT, STALE_BINARY))

    def test(self, arguments: Sequence[str]) -> tuple[int | None, str]:
        """pytest's exit code, None if it did not end in time; and what it printed."""
        env = os.environ | {"PYTHONPATH": str(self._root / "src"), "BPFHEAP_PURE": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "--tb", "no"]
        # A test that is slow uncompiled has not failed.
        command += ["-o", f"timeout={2 * LIMIT}"]
        try:
            done = subprocess.run(
                [*command, "--color", "no", *arguments],
                cwd=self._root,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None, ""
        return done.returncode, done.stdout

    def judge(self, mutant: Mutant) -> Result:
        """Make an edit, run its tests, take it back."""
        path = self._root / mutant.file
        source = path.read_text() if path.is_file() else ""
        if source.count(mutant.old) != 1:
            return Result(mutant, Fate.STALE, f"found {source.count(mutant.old)} times", 0)
        began = time.monotonic()
        _write(path, source.replace(mutant.old, mutant.new))
        try:
            code, output = self.test(mutant.tests)
        finally:
            _write(path, source)
        seconds = time.monotonic() - began
        failed = _FAILURE.search(output)
        by = failed[1] if failed else output.strip().rpartition("\n")[2]
        if code is None:
            return Result(mutant, Fate.SLOW, f"no end in {LIMIT} seconds", seconds)
        # A process that ends with 1 without a failed test was ended by somebody else.
        if code not in (_PASSED, _FAILED) or (code == _FAILED and not failed):
            return Result(mutant, Fate.BROKEN, by, seconds)
        return Result(mutant, Fate.SURVIVED if code == _PASSED else Fate.KILLED, by, seconds)


def _write(path: Path, source: str) -> None:
    """Python takes bytecode for current if time and size are those of the source, and an edit may
    change neither."""
    path.write_text(source)
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def run(
    mutants: Sequence[Mutant], root: Path, jobs: int, tell: Callable[[Result], None]
) -> list[Result]:
    """What becomes of mutants of a tree; each is told as soon as it is known. Raises Mistake if
    their tests fail by themselves."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        copies.put(Copy(root, Path(folder) / "0"))
        first = copies.get()
        every = sorted({argument for mutant in mutants for argument in mutant.tests})
        code, output = first.test(every)
        if code != _PASSED:
            why = f"do not end in {LIMIT} seconds" if code is None else "fail"
            raise Mistake(f"the tests {why} without an edit, too:\n{output}")
        copies.put(first)
        for n in range(1, min(jobs, len(mutants))):
            copies.put(Copy(root, Path(folder) / str(n)))

        def judge(mutant: Mutant) -> Result:
            copy = copies.get()
            try:
                return copy.judge(mutant)
            finally:
                copies.put(copy)

        results = {}
        with ThreadPoolExecutor(jobs) as pool:
            for done in as_completed([pool.submit(judge, mutant) for mutant in mutants]):
                result = done.result()
                results[result.mutant.name] = result
                tell(result)
    return [results[mutant.name] for mutant in mutants]


def table(results: Sequence[Result]) -> str:
    width = max((len(r.mutant.name) for r in results), default=0)
    lines = [
        f"{r.mutant.name:{width}}  {r.fate:8}  {r.seconds:5.1f} s  {r.by}".rstrip() for r in results
    ]
    counts = [f"{n} {fate}" for fate in Fate if (n := sum(r.fate is fate for r in results))]
    return "\n".join([*lines, ", ".join(counts)])


def to_json(results: Sequence[Result]) -> dict[str, Any]:
    return {
        "mutants": [
            {**asdict(r.mutant), "fate": r.fate, "by": r.by, "seconds": round(r.seconds, 1)}
            for r in results
        ]
    }


class Progress:
    """A line for each mutant that is done."""

    def __init__(self, out: TextIO, total: int) -> None:
        self._out, self._total, self._done = out, total, 0

    def __call__(self, result: Result) -> None:
        self._done += 1
        print(
            f"[{self._done}/{self._total}] {result.mutant.name}: {result.fate}",
            file=self._out,
            flush=True,
        )


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description="Do the tests notice when a guard is taken out?")
    parser.add_argument("file", nargs="?", type=Path, help="the list (tools/mutants.yaml)")
    parser.add_argument("--list", action="store_true", help="tell what there is, and run nothing")
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--json", action="store_true", help="the results as JSON")
    options = parser.parse_args(arguments)
    try:
        mutants = chosen(read(options.file or root / "tools" / "mutants.yaml"), options.only)
        if options.list:
            for mutant in mutants:
                print(f"{mutant.name}: {mutant.reason.strip()} ({mutant.file})")
            return 0
        print(f"running the tests of {len(mutants)} mutants without an edit", file=sys.stderr)
        tell = Progress(sys.stderr, len(mutants))
        results = run(mutants, root, max(1, options.jobs), tell)
    except Mistake as mistake:
        print(f"mutants: {mistake}", file=sys.stderr)
        return 2
    print(json.dumps(to_json(results), indent=2) if options.json else table(results))
    return int(any(r.fate is not Fate.KILLED for r in results))


if __name__ == "__main__":
    sys.exit(main())
