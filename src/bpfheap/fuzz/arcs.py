"""Which arcs of the verifier's own code a program takes: an arc leads from one place of a function
to the next one.

Compiled modules cannot be watched, so the verifier runs as Python in processes of its own: a
`Watchers` starts them, `python -m bpfheap.fuzz.arcs` is one. Arcs are pairs of lines where Python
has no more to offer (sys.settrace), and branches with where they lead where it has (sys.monitoring,
Python 3.12); so they have a meaning only beside those of the same Python.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any, Final, TypeAlias

import bpfheap.verifier
from bpfheap.errors import BpfheapError
from bpfheap.fuzz.blocks import program_of
from bpfheap.fuzz.surroundings import linked, surroundings
from bpfheap.host import ending_with_parent
from bpfheap.verifier import Options, verify

#: The function, and where in it an arc begins and ends.
Arc: TypeAlias = tuple[str, int, int]

#: Instructions after which a walk is given up here: it takes the same arcs over and over by then.
_LIMIT: Final = 3_000
_FOLDER: Final = str(Path(bpfheap.verifier.__file__).parent)
#: Of an arc that begins where the function does.
_ENTRY: Final = 0


@cache
def _named(code: CodeType) -> str:
    """A function of the verifier; "" for any other."""
    if not code.co_filename.startswith(_FOLDER):
        return ""
    place = code.co_filename.removeprefix(_FOLDER).lstrip(os.sep)
    return f"{place}:{code.co_name}:{code.co_firstlineno}"


@contextmanager
def _traced(found: set[Arc]) -> Iterator[None]:
    """Collects pairs of lines that follow each other in a function of the verifier."""

    def called(frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        name = _named(frame.f_code)
        if not name:
            return None
        before = _ENTRY

        def line(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
            nonlocal before
            if event == "line":
                found.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return line

        return line

    old = sys.gettrace()
    sys.settrace(called)
    try:
        yield
    finally:
        sys.settrace(old)


if sys.version_info >= (3, 12):

    @contextmanager
    def _watching(found: set[Arc]) -> Iterator[None]:
        """Collects branches of the verifier with where they led."""
        monitoring = sys.monitoring
        tool = monitoring.PROFILER_ID

        def branched(code: CodeType, offset: int, destination: int) -> Any:
            name = _named(code)
            if not name:
                return monitoring.DISABLE
            found.add((name, offset, destination))
            return None

        monitoring.use_tool_id(tool, "bpfheap")
        monitoring.register_callback(tool, monitoring.events.BRANCH, branched)
        monitoring.set_events(tool, monitoring.events.BRANCH)
        try:
            yield
        finally:
            monitoring.set_events(tool, 0)
            monitoring.free_tool_id(tool)

else:
    _watching = _traced


def arcs_of(text: str, features: frozenset[str]) -> frozenset[Arc]:
    """The arcs that the verification of a program takes, accepted or not."""
    obj, spec = surroundings(features), linked(program_of(text))
    options = Options(complexity_limit=_LIMIT, explain=False, stored_often=True)
    found: set[Arc] = set()
    # An exception is for who examines the program.
    with _watching(found), suppress(Exception):
        verify(obj, spec, options)
    return frozenset(found)


class Watchers:
    """Processes that know arcs; a context manager."""

    def __init__(self, jobs: int, features: frozenset[str]) -> None:
        env = os.environ | {"BPFHEAP_PURE": "1"}
        command = [sys.executable, "-m", "bpfheap.fuzz.arcs", ",".join(sorted(features))]
        self._processes = [
            subprocess.Popen(
                command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                preexec_fn=ending_with_parent(),
            )
            for _ in range(jobs)
        ]  # fmt: skip

    def __enter__(self) -> Watchers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()

    def arcs(self, texts: Sequence[str]) -> list[frozenset[Arc]]:
        """Those of each program. Raises BpfheapError if a process is gone."""
        found: list[frozenset[Arc]] = []
        width = len(self._processes)
        for start in range(0, len(texts), width):
            asked = list(zip(self._processes, texts[start : start + width], strict=False))
            try:
                for process, text in asked:
                    assert process.stdin is not None
                    process.stdin.write(json.dumps(text) + "\n")
                    process.stdin.flush()
                for process, _ in asked:
                    assert process.stdout is not None
                    told = json.loads(process.stdout.readline())
                    found.append(frozenset((name, a, b) for name, a, b in told))
            except (OSError, ValueError):
                raise BpfheapError(
                    "a process that watched the verifier is gone",
                    hint="was there too little memory?",
                ) from None
        return found


def _serve(features: frozenset[str]) -> None:
    # Ctrl-C reaches the parent too, which ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        print(json.dumps(sorted(arcs_of(json.loads(line), features))), flush=True)


if __name__ == "__main__":
    _serve(frozenset(sys.argv[1].split(",")))
