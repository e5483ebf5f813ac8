"""Takes guards out of the code, one at a time, and asks whether the tests notice.

    python tools/mutants.py [--list] [--only PATTERN]... [--instruments all|NAME,NAME]
                            [--jobs N] [--json] [FILE]

FILE (tools/mutants.yaml) is a list of edits:

    name: by which it is known here
    file: of Python, from the top of the tree
    old: a text that occurs there exactly once
    new: what stands there instead
    tests: arguments of pytest that should fail then; the fewer the faster
    reason: what goes wrong in it
    equivalent: instead of tests, why nothing goes wrong in it after all

An edit is made in a copy of the tree, where nothing is compiled by mypyc. What becomes of it:

    killed      a test failed, or the process that ran it did, by a fault
    equivalent  the list says that there is nothing to notice
    survived    all tests passed: write one
    stale       `old` is not there once: the code has changed, so must the edit
    broken      pytest could not run the tests: the edit makes nothing that could run
    slow        the tests did not end in time

The same tests are run first without an edit, and have to pass. Exit 0: all were killed or are
equivalent; 1: some were not; 2: wrong usage, or the tests fail by themselves.

With --instruments, not the tests are run but the instruments that look for faults of the verifier
(INSTRUMENTS; all of them, or some), each for as long as it is given, and a table says which of them
notice. They notice what no test was written for, so this says what they are worth; exit 0.
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
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Any, TextIO, TypeVar

import yaml

ROOT = Path(__file__).parents[1]
#: Seconds for the tests of one mutant, and for one instrument.
LIMIT = 300
#: What a copy goes without.
LEFT_OUT = (".*", "__pycache__", "build", "dist", "*.egg-info")
#: Compiled by mypyc from what is edited; the native machine's core is another matter.
STALE_BINARY = "*.cpython-*.so"


#: The instruments by name: arguments of bpfheap, which exits with 1 if it has found something. Each
#: takes some ten seconds of a CPU, uncompiled.
INSTRUMENTS: dict[str, str] = {
    "kernel": "fuzz verifier --against kernel -n 2000",
    "unpruned": "fuzz verifier --against unpruned -n 2000",
    "model": "fuzz verifier --against model -n 500",
    "aimed-kernel": "fuzz verifier --grammar all --against kernel -n 2000",
    "aimed-unpruned": "fuzz verifier --grammar all --against unpruned -n 2000",
    "aimed-model": "fuzz verifier --grammar all --against model -n 500",
    "stack": "fuzz verifier --exhaustive stack --length 2",
    "linked": "fuzz verifier --exhaustive linked --length 2",
    "packets": "fuzz verifier --exhaustive packets --length 2",
    "null": "fuzz verifier --exhaustive null --length 3",
    "callbacks": "fuzz verifier --exhaustive callbacks --length 2",
    "locks": "fuzz verifier --exhaustive locks --length 3",
    "iterators": "fuzz verifier --exhaustive iterators --length 2",
    "references": "fuzz verifier --exhaustive references --length 3",
    "widths": "fuzz verifier --exhaustive widths --length 2",
    "functions": "fuzz verifier --exhaustive functions --length 2",
}

#: How pytest ends (pytest.ExitCode), and bpfheap.
_PASSED, _FAILED = 0, 1
#: Faults of C code and machine code that end a process. Not by SIGKILL: that is a lack of memory.
_FAULTS = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGILL, -signal.SIGFPE}
_FAILURE = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


T = TypeVar("T")


class Fate(StrEnum):
    KILLED = "killed"
    EQUIVALENT = "equivalent"
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
    equivalent: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant. `by` is the test that failed first, or what went wrong; `seconds`
    are those of the tests."""

    mutant: Mutant
    fate: Fate
    by: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Noticed:
    """What instruments say of a mutant: by name, whether they noticed; None if they did not end in
    time. None at all if the edit cannot be made."""

    mutant: Mutant
    by: dict[str, bool | None] | None


class Mistake(Exception):
    """In the list of mutants, or in how the tool is used."""


#: What each mutant of the list has, and what it has one of.
_ALWAYS = frozenset({"name", "file", "old", "new", "reason"})
_EITHER = frozenset({"tests", "equivalent"})


def read(path: Path) -> list[Mutant]:
    """All mutants of a list. Raises Mistake for one that is not as it should be."""
    found: dict[str, Mutant] = {}
    for row in yaml.safe_load(path.read_text()):
        told = row.keys() - _ALWAYS
        if not row.keys() >= _ALWAYS or len(told) != 1 or not told <= _EITHER:
            raise Mistake(
                f"{path.name}: {row}: a mutant has {', '.join(sorted(_ALWAYS))}, and "
                "tests or equivalent"
            )
        tests = row.get("tests", [])
        if not isinstance(tests, list) or not (tests or row.get("equivalent")):
            raise Mistake(f"{path.name}: {row['name']}: no tests, and nothing why there are none")
        mutant = Mutant(**{**row, "tests": tuple(tests)})
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


def instruments_of(text: str) -> list[str]:
    """The instruments that a list names. Raises Mistake for one that there is not."""
    names = list(INSTRUMENTS) if text == "all" else text.split(",")
    for name in names:
        if name not in INSTRUMENTS:
            raise Mistake(f"there is no instrument {name}; there are {', '.join(INSTRUMENTS)}")
    return names


class Copy:
    """A tree in which edits are made and taken back."""

    def __init__(self, root: Path, to: Path) -> None:
        self._root = to
        shutil.copytree(root, to, ignore=shutil.ignore_patterns(*LEFT_OUT, STALE_BINARY))

    def test(self, arguments: Sequence[str]) -> tuple[int | None, str]:
        """pytest's exit code, None if it did not end in time; and what it printed."""
        command = ["pytest", "-x", "-p", "no:cacheprovider", "--tb", "no", "--color", "no"]
        # A test that is slow uncompiled has not failed.
        return self._run([*command, "-o", f"timeout={2 * LIMIT}", *arguments])

    def notices(self, instrument: str) -> bool | None:
        """Does it find something? None if it did not end in time."""
        code, _ = self._run(["bpfheap", *INSTRUMENTS[instrument].split(), "--jobs", "1"])
        # Whatever else an edit makes of it is not to be overlooked either.
        return None if code is None else code != 0

    def _run(self, module: Sequence[str]) -> tuple[int | None, str]:
        """The exit code of a module with its arguments, and what it printed."""
        env = os.environ | {"PYTHONPATH": str(self._root / "src"), "BPFHEAP_PURE": "1"}
        try:
            done = subprocess.run(
                [sys.executable, "-m", *module],
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
        found = self.found(mutant)
        if found != 1:
            return Result(mutant, Fate.STALE, f"found {found} times", 0)
        if mutant.equivalent:
            return Result(mutant, Fate.EQUIVALENT, mutant.equivalent, 0)
        began = time.monotonic()
        with self.edited(mutant):
            code, output = self.test(mutant.tests)
        seconds = time.monotonic() - began
        failed = _FAILURE.search(output)
        by = failed[1] if failed else output.strip().rpartition("\n")[2]
        if code is None:
            return Result(mutant, Fate.SLOW, f"no end in {LIMIT} seconds", seconds)
        if code in _FAULTS:
            return Result(mutant, Fate.KILLED, signal.Signals(-code).name, seconds)
        # A process that ends with 1 without a failed test was ended by somebody else.
        if code not in (_PASSED, _FAILED) or (code == _FAILED and not failed):
            return Result(mutant, Fate.BROKEN, by, seconds)
        return Result(mutant, Fate.SURVIVED if code == _PASSED else Fate.KILLED, by, seconds)

    def found(self, mutant: Mutant) -> int:
        """How often what it edits occurs."""
        path = self._root / mutant.file
        return path.read_text().count(mutant.old) if path.is_file() else 0

    @contextmanager
    def edited(self, mutant: Mutant) -> Iterator[None]:
        """The edit is made."""
        path = self._root / mutant.file
        source = path.read_text()
        _write(path, source.replace(mutant.old, mutant.new))
        try:
            yield
        finally:
            _write(path, source)

    def measure(self, mutant: Mutant, instruments: Sequence[str]) -> Noticed:
        """Make an edit, run the instruments, take it back."""
        if self.found(mutant) != 1:
            return Noticed(mutant, None)
        with self.edited(mutant):
            return Noticed(mutant, {name: self.notices(name) for name in instruments})


def _write(path: Path, source: str) -> None:
    """Python takes bytecode for current if time and size are those of the source, and an edit may
    change neither."""
    path.write_text(source)
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def run(
    mutants: Sequence[Mutant], root: Path, jobs: int, tell: Callable[[str, str], None]
) -> list[Result]:
    """What becomes of mutants of a tree; each is told as soon as it is known. Raises Mistake if
    their tests fail by themselves."""

    def check(copy: Copy) -> None:
        every = sorted({argument for mutant in mutants for argument in mutant.tests})
        code, output = copy.test(every) if every else (_PASSED, "")
        if code != _PASSED:
            why = f"do not end in {LIMIT} seconds" if code is None else "fail"
            raise Mistake(f"the tests {why} without an edit, too:\n{output}")

    def judge(copy: Copy, mutant: Mutant) -> Result:
        result = copy.judge(mutant)
        tell(mutant.name, result.fate)
        return result

    return _of_each(mutants, root, jobs, check, judge)


def measure(
    mutants: Sequence[Mutant],
    instruments: Sequence[str],
    root: Path,
    jobs: int,
    tell: Callable[[str, str], None],
) -> list[Noticed]:
    """Which instruments notice mutants of a tree. Raises Mistake if one finds something as it is,
    or does not end."""

    def check(copy: Copy) -> None:
        for name in instruments:
            if copy.notices(name) is not False:
                raise Mistake(f"{name} finds something, or no end, without an edit, too")

    def judge(copy: Copy, mutant: Mutant) -> Noticed:
        result = copy.measure(mutant, instruments)
        tell(mutant.name, ", ".join(_noticing(result)) or "nobody")
        return result

    return _of_each(mutants, root, jobs, check, judge)


def _of_each(
    mutants: Sequence[Mutant],
    root: Path,
    jobs: int,
    check: Callable[[Copy], None],
    judge: Callable[[Copy, Mutant], T],
) -> list[T]:
    """What `judge` says of each mutant, in copies of a tree, of which the first is checked."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        first = Copy(root, Path(folder) / "0")
        check(first)
        copies.put(first)
        for n in range(1, min(jobs, len(mutants))):
            copies.put(Copy(root, Path(folder) / str(n)))

        def judged(mutant: Mutant) -> T:
            copy = copies.get()
            try:
                return judge(copy, mutant)
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(judged, mutants))


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


def _noticing(result: Noticed) -> list[str]:
    return [name for name, noticed in (result.by or {}).items() if noticed]


def table_of_instruments(results: Sequence[Noticed], instruments: Sequence[str]) -> str:
    """A row for each mutant, a column for each instrument."""
    width = max((len(r.mutant.name) for r in results), default=0)
    words = {True: "yes", False: "-", None: "no end"}
    lines = [f"{'':{width}}  {'  '.join(f'{name:10}' for name in instruments)}".rstrip()]
    for result in results:
        cells = ["stale"] if result.by is None else [words[result.by[n]] for n in instruments]
        row = "  ".join(f"{cell:10}" for cell in cells)
        lines.append(f"{result.mutant.name:{width}}  {row}".rstrip())
    counts = [sum(name in _noticing(r) for r in results) for name in instruments]
    lines.append(f"{'':{width}}  {'  '.join(f'{n:<10}' for n in counts)}".rstrip())
    found = sum(bool(_noticing(r)) for r in results)
    return "\n".join([*lines, f"{found} of {len(results)} are noticed by an instrument"])


def instruments_to_json(results: Sequence[Noticed]) -> dict[str, Any]:
    return {"mutants": [{**asdict(r.mutant), "instruments": r.by} for r in results]}


class Progress:
    """A line for each mutant that is done."""

    def __init__(self, out: TextIO, total: int) -> None:
        self._out, self._total, self._done = out, total, 0
        self._lock = Lock()

    def __call__(self, name: str, told: str) -> None:
        with self._lock:
            self._done += 1
            print(f"[{self._done}/{self._total}] {name}: {told}", file=self._out, flush=True)


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description="Do the tests notice when a guard is taken out?")
    parser.add_argument("file", nargs="?", type=Path, help="the list (tools/mutants.yaml)")
    parser.add_argument("--list", action="store_true", help="tell what there is, and run nothing")
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN")
    parser.add_argument(
        "--instruments", metavar="all|NAME,NAME", help="run these in place of the tests"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--json", action="store_true", help="the results as JSON")
    options = parser.parse_args(arguments)
    try:
        mutants = chosen(read(options.file or root / "tools" / "mutants.yaml"), options.only)
        if options.list:
            for mutant in mutants:
                print(f"{mutant.name}: {mutant.reason.strip()} ({mutant.file})")
            return 0
        tell = Progress(sys.stderr, len(mutants))
        jobs = max(1, options.jobs)
        if options.instruments is not None:
            names = instruments_of(options.instruments)
            print(f"running {', '.join(names)} without an edit", file=sys.stderr)
            noticed = measure(mutants, names, root, jobs, tell)
            print(
                json.dumps(instruments_to_json(noticed), indent=2)
                if options.json
                else table_of_instruments(noticed, names)
            )
            return 0
        print(f"running the tests of {len(mutants)} mutants without an edit", file=sys.stderr)
        results = run(mutants, root, jobs, tell)
    except Mistake as mistake:
        print(f"mutants: {mistake}", file=sys.stderr)
        return 2
    print(json.dumps(to_json(results), indent=2) if options.json else table(results))
    return int(any(r.fate not in (Fate.KILLED, Fate.EQUIVALENT) for r in results))


if __name__ == "__main__":
    sys.exit(main())
