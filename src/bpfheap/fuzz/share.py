"""Examine many programs in several processes."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection, wait
from typing import Final, TypeAlias, TypeVar

from bpfheap.errors import BpfheapError

T = TypeVar("T")

#: Gives what a process examines programs with, by their index.
Opened: TypeAlias = Callable[[], AbstractContextManager[Callable[[int], T]]]

#: Results are sent in groups of so many.
_GROUP: Final = 32


def examined(opened: Opened[T], indices: range, jobs: int) -> Iterator[tuple[int, T]]:
    """What is found for each index, in no particular order with several jobs. Each process opens
    its own.

    Raises BpfheapError for one that a process came upon.
    """
    if jobs == 1:
        with opened() as examine:
            for index in indices:
                yield index, examine(index)
        return
    context = multiprocessing.get_context("fork")
    pipes: dict[Connection, multiprocessing.process.BaseProcess] = {}
    try:
        for number in range(jobs):
            ours, theirs = context.Pipe(duplex=False)
            own = indices[number::jobs]
            child = context.Process(target=_serve, args=(opened, own, theirs), daemon=True)
            child.start()
            theirs.close()
            pipes[ours] = child
        waiting = set(pipes)
        while waiting:
            for ready in wait(list(waiting)):
                assert isinstance(ready, Connection)
                group = _receive(ready)
                if group is None:
                    waiting.discard(ready)
                else:
                    yield from group
    finally:
        for pipe, child in pipes.items():
            pipe.close()
            child.terminate()
            child.join()


def _receive(pipe: Connection) -> list[tuple[int, T]] | None:
    try:
        kind, content = pipe.recv()
    except EOFError:
        raise BpfheapError(
            "a process that examined programs is gone", hint="was the memory short? try --jobs 1"
        ) from None
    if kind == "error":
        raise BpfheapError(content)
    found: list[tuple[int, T]] | None = content
    return found


def _serve(opened: Opened[T], indices: range, pipe: Connection) -> None:
    # The parent ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with opened() as examine:
            for at in range(0, len(indices), _GROUP):
                pipe.send(("found", [(i, examine(i)) for i in indices[at : at + _GROUP]]))
        pipe.send(("end", None))
    except BrokenPipeError:
        return
    except BpfheapError as error:
        pipe.send(("error", str(error)))
    except Exception:
        pipe.send(("error", traceback.format_exc(limit=-3)))
