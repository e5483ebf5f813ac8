"""Examine many programs in several processes."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection, wait
from typing import Final, TypeAlias

from bpfheap.errors import BpfheapError
from bpfheap.fuzz.results import Examiner, Result

#: Each process opens its own.
Opened: TypeAlias = Callable[[], AbstractContextManager[Examiner]]
Found: TypeAlias = list[tuple[int, Result]]

#: Results are sent in groups of so many.
_GROUP: Final = 32


def examined(opened: Opened, indices: range, jobs: int) -> Iterator[tuple[int, Result]]:
    """What became of the program of each index, with several jobs in no particular order.

    Raises BpfheapError for what a process came upon.
    """
    if jobs == 1:
        with opened() as examiner:
            for index in indices:
                yield index, examiner.examine(examiner.program(index), index)
        return
    context = multiprocessing.get_context("fork")
    pipes: list[Connection] = []
    children = []
    try:
        for number in range(jobs):
            ours, theirs = context.Pipe(duplex=False)
            child = context.Process(
                target=_serve, args=(opened, indices[number::jobs], theirs), daemon=True
            )
            child.start()
            theirs.close()
            pipes.append(ours)
            children.append(child)
        waiting = list(pipes)
        while waiting:
            for ready in wait(waiting):
                assert isinstance(ready, Connection)
                found = _receive(ready)
                if found is None:
                    waiting.remove(ready)
                else:
                    yield from found
    finally:
        for pipe in pipes:
            pipe.close()
        for child in children:
            child.terminate()
            child.join()


def _receive(pipe: Connection) -> Found | None:
    """None at the end."""
    try:
        error, found = pipe.recv()
    except EOFError:
        raise BpfheapError(
            "a process that examined programs is gone", hint="was there too little memory?"
        ) from None
    if error is not None:
        raise BpfheapError(error)
    group: Found | None = found
    return group


def _serve(opened: Opened, indices: range, pipe: Connection) -> None:
    # The parent ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with opened() as examiner:
            for at in range(0, len(indices), _GROUP):
                group = indices[at : at + _GROUP]
                pipe.send((None, [(i, examiner.examine(examiner.program(i), i)) for i in group]))
        pipe.send((None, None))
    except BrokenPipeError:
        return
    except BpfheapError as error:
        pipe.send((str(error), None))
    except Exception:
        pipe.send((" ".join(traceback.format_exc(limit=-1).split()), None))
