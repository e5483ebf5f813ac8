"""One search in several processes.

Every state belongs to one process, by its checksum. The processes go through a depth together:
each visits its states, sends what it found to those to whom it belongs, and the one in front
numbers the new states as a single search would have. So the outcome does not depend on how many
there are. What a byte of a state means is agreed upon in a log that all write to.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import tempfile
import time
import traceback
import zlib
from array import array
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from itertools import chain, repeat
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from bpfheap.errors import BpfheapError
from bpfheap.explore import search
from bpfheap.explore.cells import Cell, CellTable
from bpfheap.explore.ledger import Ledger
from bpfheap.explore.model import Model, Unstable
from bpfheap.explore.search import Search, end, is_end
from bpfheap.host import ending_with_parent

#: A parent has fewer successors than that.
_TURNS = 1 << 12


class SharedLog:
    """A file to which all processes append what they name, in an order that all see."""

    def __init__(self, folder: Path, lock: Any) -> None:
        # Opened by each process for itself: an inherited file would share its position.
        self._file = (folder / "log").open("a+b")
        self._lock = lock
        self._at = 0

    def __enter__(self) -> SharedLog:
        self._lock.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.release()

    def new_items(self) -> Iterator[Any]:
        """What was appended since the last call. Only with the lock: what somebody is about to
        append may be there in part."""
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(self._at)
        while self._at < end:
            item = pickle.load(self._file)
            self._at = self._file.tell()
            yield item

    def append(self, item: Any) -> None:
        """Only with the lock, and after all new items were read."""
        self._file.write(pickle.dumps(item))
        self._file.flush()
        self._at = self._file.tell()


class SharedStore(CellTable):
    """A store in which cells and values get the same numbers in all processes."""

    def __init__(self) -> None:
        super().__init__()
        self.log: SharedLog | None = None

    def cell(self, name: Cell) -> int:
        known = self.known(name)
        if known is not None or self.log is None:
            return super().cell(name)
        with self.log:
            self._catch_up(self.log)
            if self.known(name) is None:
                self.log.append((name, None))
            return super().cell(name)

    def number(self, cell: int, value: Any) -> int:
        if self.log is None or self.is_known(cell, value):
            return super().number(cell, value)
        with self.log:
            self._catch_up(self.log)
            if not self.is_known(cell, value):
                self.log.append((cell, value))
            return super().number(cell, value)

    def name(self, what: Hashable) -> int:
        if self.log is None or what in self._names:
            return super().name(what)
        with self.log:
            self._catch_up(self.log)
            if what not in self._names:
                self.log.append((None, what))
            return super().name(what)

    def catch_up(self) -> None:
        """Learn what others named."""
        if self.log is not None:
            with self.log:
                self._catch_up(self.log)

    def _catch_up(self, log: SharedLog) -> None:
        for where, value in log.new_items():
            if where is None:
                super().name(value)
            elif isinstance(where, Cell):
                super().cell(where)
            else:
                super().number(where, value)


class Batch(NamedTuple):
    """States that were found, in the order of their keys: the parent's number and the turn."""

    keys: array[int]
    states: list[bytes]
    actions: array[int]

    @classmethod
    def empty(cls) -> Batch:
        return cls(array("Q"), [], array("H"))


class Found(NamedTuple):
    """What a process has found at one depth: its new states by key, with the numbers of the actions
    that led there and the allocators retained in them."""

    keys: array[int]
    actions: array[int]
    retained: bytes
    transitions: int
    size: int
    ledger: Ledger


class Shard:
    """One process: the states that belong to it."""

    def __init__(
        self, number: int, shards: int, model: Model, log: SharedLog, folder: Path
    ) -> None:
        assert isinstance(model.store, SharedStore)
        self._number = number
        self._shards = shards
        self._model = model
        self._store = model.store
        self._store.log = log
        self._folder = folder
        self._visited: set[bytes] = set()
        self._frontier: list[tuple[bytes, int]] = []
        self._new: list[bytes] = []
        self._own = Batch.empty()
        #: What was sent at this depth and the one before: most states are found more than once.
        self._sent: tuple[set[bytes], set[bytes]] = (set(), set())
        self._seen = Ledger()
        self._transitions = 0
        (start,) = model.init_states()
        if self._owner(start) == number:
            self._visited.add(start)
            self._frontier = [(start, 0)]

    def visit(self, depth: int) -> None:
        """Go through this depth's states, and lay out for the others what belongs to them."""
        self._store.catch_up()
        self._seen, self._transitions = Ledger(), 0
        sent = [Batch.empty() for _ in range(self._shards)]
        visited, successors = self._visited, self._model.successors
        before, now = self._sent = (self._sent[1], set())
        number_of = self._store.name
        shards, checksum = self._shards, zlib.crc32
        for state, number in self._frontier:
            found = successors(state)
            for turn, (effect, after) in enumerate(found):
                if effect.recorded:
                    self._seen.record(effect, number, turn)
                if after is None or after in visited or after in now or after in before:
                    continue
                now.add(after)
                batch = sent[checksum(after) % shards]
                batch.keys.append(number * _TURNS + turn)
                batch.states.append(after)
                batch.actions.append(number_of(effect.action))
            self._transitions += len(found)
            if is_end(state, found):
                end(self._model, self._seen, state, number)
        self._own = sent[self._number]
        for other, batch in enumerate(sent):
            if other != self._number:
                path = self._folder / f"{depth}-{self._number}-{other}"
                path.write_bytes(pickle.dumps(tuple(batch), pickle.HIGHEST_PROTOCOL))

    def collect(self, depth: int) -> Found:
        """Take what others laid out, in the order in which a single search would find it."""
        self._store.catch_up()
        parts = [self._own]
        for other in range(self._shards):
            if other != self._number:
                path = self._folder / f"{depth}-{other}-{self._number}"
                parts.append(Batch(*pickle.loads(path.read_bytes())))
                path.unlink()
        keys, actions, retained, size = array("Q"), array("H"), bytearray(), 0
        self._new = []
        visited, count = self._visited, self._model.retained
        # Each part is in order already, which sorting makes use of.
        for key, state, action in sorted(chain(*(zip(*part, strict=True) for part in parts))):
            if state not in visited:
                visited.add(state)
                self._new.append(state)
                keys.append(key)
                actions.append(action)
                retained.append(min(count(state), 255))
                size += len(state)
        return Found(keys, actions, bytes(retained), self._transitions, size, self._seen)

    def number(self, numbers: array[int]) -> None:
        """What the new states are called."""
        self._frontier = list(zip(self._new, numbers, strict=True))

    def _owner(self, state: bytes) -> int:
        return zlib.crc32(state) % self._shards


def _serve(
    shard: Callable[[], Shard],
    pipe: Connection,
    others: Iterable[Connection],
    end_with_parent: Callable[[], None],
) -> None:
    """What a process does: one call after the other, until the pipe is closed. `others` are ends
    of pipes that it inherited and does not use: while it had them, none would ever be closed."""
    end_with_parent()
    for other in others:
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        made = shard()
        while True:
            name, argument = pipe.recv()
            pipe.send(("done", getattr(made, name)(argument)))
    except EOFError:
        return
    except Unstable as unstable:
        pipe.send(("unstable", unstable.changing))
    except BpfheapError as error:
        pipe.send(("error", str(error)))
    except Exception:
        pipe.send(("error", traceback.format_exc(limit=-3)))


class ShardedSearch(Search):
    """As Search, in `jobs` processes; the model's store is a SharedStore."""

    def __init__(
        self,
        model: Model,
        jobs: int,
        *,
        limit: int | None = None,
        first: bool = False,
        memory: int | None = None,
    ) -> None:
        super().__init__(model, limit=limit, first=first, memory=memory)
        self._jobs = jobs
        self._waiting = 1
        self._told = time.monotonic()
        self._model = model
        assert isinstance(model.store, SharedStore)
        self._store = model.store
        self._children: list[int] = []

    def _processes(self) -> list[int]:
        return [*super()._processes(), *self._children]

    def _ahead(self) -> int:
        return self._waiting

    def _layers(self) -> Generator[None, None, None]:
        end_with_parent = ending_with_parent()
        context = multiprocessing.get_context("fork")
        lock = context.Lock()
        with tempfile.TemporaryDirectory(prefix="bpfheap-") as name:
            folder = Path(name)
            self._store.log = SharedLog(folder, lock)
            pipes: list[Connection] = []
            children = []
            for number in range(self._jobs):
                ours, theirs = context.Pipe()

                def make(number: int = number) -> Shard:
                    return Shard(number, self._jobs, self._model, SharedLog(folder, lock), folder)

                pipes.append(ours)
                child = context.Process(
                    target=_serve, args=(make, theirs, tuple(pipes), end_with_parent), daemon=True
                )
                child.start()
                assert child.pid is not None
                self._children.append(child.pid)
                theirs.close()
                children.append(child)
            idle = False
            try:
                yield from self._depths(pipes)
                idle = True
            finally:
                self._children.clear()
                if not idle:
                    for child in children:
                        child.terminate()
                for pipe in pipes:
                    pipe.close()
                for child in children:
                    child.join()

    def _depths(self, pipes: list[Connection]) -> Iterator[None]:
        while self._waiting:
            yield from self._ask(pipes, "visit", [self.depth] * len(pipes))
            found: list[Found] = yield from self._ask(pipes, "collect", [self.depth] * len(pipes))
            numbers = self._enter(found)
            yield from self._ask(pipes, "number", numbers)
            self.depth += bool(self._waiting)
            if self._waiting and self.enough():
                return
        self.finished = True

    def _enter(self, found: list[Found]) -> list[array[int]]:
        """Number the new states in the order of their keys."""
        self._store.catch_up()
        numbers = [array("I") for _ in found]
        first = len(self.trail)
        parts = [
            zip(part.keys, repeat(shard), part.actions, part.retained, strict=False)
            for shard, part in enumerate(found)
        ]
        action_of, trail, retained = self._model.action, self.trail, self.retained
        for at, (key, shard, action, idle) in enumerate(sorted(chain(*parts)), first):
            parent = key // _TURNS
            numbers[shard].append(at)
            trail.add(parent, action_of(action))
            retained.add(idle, parent)
        for part in found:
            self.transitions += part.transitions
            self._bytes += part.size
            self.ledger.merge(part.ledger)
        self._waiting = len(self.trail) - first
        return numbers

    def _ask(self, pipes: list[Connection], name: str, arguments: list[Any]) -> Any:
        """All at once; yields while they are at it, and gives their answers."""
        for pipe, argument in zip(pipes, arguments, strict=True):
            pipe.send((name, argument))
        answers: dict[int, Any] = {}
        while len(answers) < len(pipes):
            left = [p for n, p in enumerate(pipes) if n not in answers]
            for ready in wait(left, search.PAUSE):
                assert isinstance(ready, Connection)
                number = pipes.index(ready)
                try:
                    what, answer = ready.recv()
                except EOFError:
                    raise BpfheapError("a process of the search was killed") from None
                if what == "unstable":
                    raise Unstable(answer)
                if what == "error":
                    raise BpfheapError(f"the search failed: {answer}")
                answers[number] = answer
            # Depths may be many, and short.
            if time.monotonic() - self._told >= search.PAUSE:
                self._told = time.monotonic()
                yield
        return [answers[n] for n in range(len(pipes))]
