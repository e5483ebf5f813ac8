"""Examine programs in several processes."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection, wait
from typing import Final, TypeAlias

from bpfheap.errors import BpfheapError
from bpfheap.fuzz.results import Examiner, FuzzResult

#: Makes an Examiner; called once in each process.
OpenExaminer: TypeAlias = Callable[[], AbstractContextManager[Examiner]]
#: (index of a program, its result).
IndexedResults: TypeAlias = list[tuple[int, FuzzResult]]

#: Results that a process sends in one message.
_GROUP: Final = 32


def examined(opened: OpenExaminer, indices: range, jobs: int) -> Iterator[tuple[int, FuzzResult]]:
    """(index, result) for the program of each index; with several jobs in no particular order.

    Raises BpfheapError for an exception in one of the processes.
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


def _receive(pipe: Connection) -> IndexedResults | None:
    """The next group of results; None if the process is done."""
    try:
        error, found = pipe.recv()
    except EOFError:
        raise BpfheapError(
            "a process that examined programs is gone", hint="was there too little memory?"
        ) from None
    if error is not None:
        raise BpfheapError(error)
    group: IndexedResults | None = found
    return group


def _serve(opened: OpenExaminer, indices: range, pipe: Connection) -> None:
    """The main function of a child process."""
    # Ctrl-C reaches the parent too, which ends its children.
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
