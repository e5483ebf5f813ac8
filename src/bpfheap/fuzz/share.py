"""Examine programs in several processes."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, Final, TypeAlias, TypeVar

from bpfheap.errors import BpfheapError
from bpfheap.fuzz.results import Examiner, FuzzResult
from bpfheap.host import ending_with_parent

T = TypeVar("T")

#: Makes an Examiner; called once in each process.
OpenExaminer: TypeAlias = Callable[[], AbstractContextManager[Examiner]]

#: Results that a process sends in one message.
_GROUP: Final = 32


def examined(opened: OpenExaminer, indices: range, jobs: int) -> Iterator[tuple[int, FuzzResult]]:
    """(index, result) for the program of each index; with several jobs in no particular order.

    Raises BpfheapError for an exception in one of the processes.
    """

    @contextmanager
    def examines() -> Iterator[Callable[[int], FuzzResult]]:
        with opened() as examiner:
            yield lambda index: examiner.examine(examiner.program(index), index)

    return shared(examines, indices, jobs)


def shared(
    opened: Callable[[], AbstractContextManager[Callable[[int], T]]],
    indices: Sequence[int],
    jobs: int,
    *,
    group: int = _GROUP,
) -> Iterator[tuple[int, T]]:
    """(index, what the function that `opened` gives makes of it) for each index, as `examined`;
    processes tell of `group` results at once."""
    if jobs == 1:
        with opened() as examine:
            for index in indices:
                yield index, examine(index)
        return
    end_with_parent = ending_with_parent()
    context = multiprocessing.get_context("fork")
    pipes: list[Connection] = []
    children = []
    try:
        for number in range(jobs):
            ours, theirs = context.Pipe(duplex=False)
            arguments = (opened, indices[number::jobs], theirs, group, end_with_parent)
            child = context.Process(target=_serve, args=arguments, daemon=True)
            child.start()
            theirs.close()
            pipes.append(ours)
            children.append(child)
        waiting = list(pipes)
        while waiting:
            for ready in wait(waiting):
                assert isinstance(ready, Connection)
                found: list[tuple[int, T]] | None = _receive(ready)
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


def _receive(pipe: Connection) -> Any:
    """The next group of results; None if the process is done."""
    try:
        error, found = pipe.recv()
    except EOFError:
        raise BpfheapError(
            "a process that examined programs is gone", hint="was there too little memory?"
        ) from None
    if error is not None:
        raise BpfheapError(error)
    return found


def _serve(
    opened: Callable[[], AbstractContextManager[Callable[[int], Any]]],
    indices: Sequence[int],
    pipe: Connection,
    size: int,
    end_with_parent: Callable[[], None],
) -> None:
    """The main function of a child process."""
    end_with_parent()
    # Ctrl-C reaches the parent too, which ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with opened() as examine:
            for at in range(0, len(indices), size):
                pipe.send((None, [(i, examine(i)) for i in indices[at : at + size]]))
        pipe.send((None, None))
    except BrokenPipeError:
        return
    except BpfheapError as error:
        pipe.send((str(error), None))
    except Exception:
        pipe.send((" ".join(traceback.format_exc(limit=-1).split()), None))
