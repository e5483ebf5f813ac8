"""One search in several processes.

Every state belongs to one process, by its checksum. The processes go through a depth together:
each visits its states, sends what it found to those to whom it belongs, and the one in front
numbers the new states as a single search would have. So the outcome does not depend on how many
there are. What a byte of a state means is agreed upon in a log that all write to.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import tempfile
import time
import traceback
import zlib
from array import array
from collections.abc import Callable, Iterator
from heapq import merge
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from bpfheap.errors import BpfheapError
from bpfheap.explore.cells import Cell, Store
from bpfheap.explore.ledger import Ledger
from bpfheap.explore.model import Model, Unstable
from bpfheap.explore.search import Search, end, is_end
from bpfheap.explore.world import Action

#: A parent has fewer successors than that.
_TURNS = 1 << 12


class Log:
    """A file to which all processes append what they name, in an order that all see."""

    def __init__(self, folder: Path, lock: Any) -> None:
        self._path = folder / "log"
        self._path.touch()
        self._lock = lock
        self._at = 0

    def __enter__(self) -> Log:
        self._lock.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.release()

    def news(self) -> Iterator[Any]:
        """What was appended since the last call."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            while True:
                try:
                    item = pickle.load(file)
                except EOFError:
                    return
                self._at = file.tell()
                yield item

    def append(self, item: Any) -> None:
        """Only with the lock, and after all news were read."""
        with self._path.open("ab") as file:
            pickle.dump(item, file)
            self._at = file.tell()


class SharedStore(Store):
    """A store in which cells and values get the same numbers in all processes."""

    def __init__(self) -> None:
        super().__init__()
        self.log: Log | None = None

    def cell(self, name: Cell) -> int:
        known = self.known(name)
        if known is not None or self.log is None:
            return super().cell(name)
        with self.log:
            self.catch_up()
            if self.known(name) is None:
                self.log.append((name, None))
            return super().cell(name)

    def number(self, cell: int, value: Any) -> int:
        if self.log is None or self.is_known(cell, value):
            return super().number(cell, value)
        with self.log:
            self.catch_up()
            if not self.is_known(cell, value):
                self.log.append((cell, value))
            return super().number(cell, value)

    def catch_up(self) -> None:
        """Learn what others named."""
        if self.log is None:
            return
        for where, value in self.log.news():
            if isinstance(where, Cell):
                super().cell(where)
            else:
                super().number(where, value)


class Found(NamedTuple):
    """What a process has found at one depth: its new states by key (the parent's number and the
    turn), with the actions that led there and the allocators retained in them."""

    keys: array[int]
    actions: list[Action]
    retained: bytes
    transitions: int
    size: int
    ledger: Ledger


class Shard:
    """One process: the states that belong to it."""

    def __init__(self, number: int, shards: int, model: Model, log: Log, folder: Path) -> None:
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
        self._own: list[tuple[int, bytes, Action]] = []
        self._seen = Ledger()
        self._transitions = 0
        (start,) = model.init_states()
        if self._owner(start) == number:
            self._visited.add(start)
            self._frontier = [(start, 0)]

    def visit(self, depth: int) -> None:
        """Go through this depth's states, and lay out for the others what belongs to them."""
        self._store.catch_up()
        self._model.forget_if_void()
        self._seen, self._transitions = Ledger(), 0
        sent: list[list[tuple[int, bytes, Action]]] = [[] for _ in range(self._shards)]
        visited, successors = self._visited, self._model.successors
        for state, number in self._frontier:
            found = successors(state)
            for turn, (effect, after) in enumerate(found):
                if effect.telling:
                    self._seen.tell(effect, number, turn)
                if after is not None and after not in visited:
                    owner = self._owner(after)
                    sent[owner].append((number * _TURNS + turn, after, effect.action))
            self._transitions += len(found)
            if is_end(state, found):
                end(self._model, self._seen, state, number)
        self._own = sent[self._number]
        for other, items in enumerate(sent):
            if other != self._number:
                path = self._folder / f"{depth}-{self._number}-{other}"
                path.write_bytes(pickle.dumps(items, pickle.HIGHEST_PROTOCOL))

    def collect(self, depth: int) -> Found:
        """Take what others laid out, in the order in which a single search would find it."""
        self._store.catch_up()
        parts = [self._own]
        for other in range(self._shards):
            if other != self._number:
                path = self._folder / f"{depth}-{other}-{self._number}"
                parts.append(pickle.loads(path.read_bytes()))
                path.unlink()
        keys, actions, retained, size = array("Q"), list[Action](), bytearray(), 0
        self._new = []
        for key, state, action in merge(*parts, key=lambda item: item[0]):
            if state not in self._visited:
                self._visited.add(state)
                self._new.append(state)
                keys.append(key)
                actions.append(action)
                retained.append(min(self._model.retained(state), 255))
                size += len(state)
        return Found(keys, actions, bytes(retained), self._transitions, size, self._seen)

    def number(self, numbers: array[int]) -> None:
        """What the new states are called."""
        self._frontier = list(zip(self._new, numbers, strict=True))

    def _owner(self, state: bytes) -> int:
        return zlib.crc32(state) % self._shards


def _serve(shard: Callable[[], Shard], pipe: Connection) -> None:
    """What a process does: one call after the other, until there is none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        made = shard()
        while True:
            name, argument = pipe.recv()
            pipe.send(("done", getattr(made, name)(argument)))
    except EOFError:
        return
    except Unstable:
        pipe.send(("unstable", frozenset(made._model.changing)))
    except BpfheapError as error:
        pipe.send(("error", str(error)))
    except Exception:
        pipe.send(("error", traceback.format_exc(limit=-3)))


class ShardedSearch(Search):
    """As Search, in `jobs` processes. Raises Unstable as the model does, having told it."""

    def __init__(
        self, model: Model, jobs: int, *, limit: int | None = None, first: bool = False
    ) -> None:
        super().__init__(model, limit=limit, first=first)
        self._jobs = jobs
        self._waiting = 1

    def _ahead(self) -> int:
        return self._waiting

    def _layers(self) -> Iterator[None]:
        context = multiprocessing.get_context("fork")
        lock = context.Lock()
        with tempfile.TemporaryDirectory(prefix="bpfheap-") as name:
            folder = Path(name)
            pipes: list[Connection] = []
            children = []
            for number in range(self._jobs):
                ours, theirs = context.Pipe()

                def make(number: int = number) -> Shard:
                    return Shard(number, self._jobs, self.model, Log(folder, lock), folder)

                child = context.Process(target=_serve, args=(make, theirs), daemon=True)
                child.start()
                theirs.close()
                pipes.append(ours)
                children.append(child)
            try:
                yield from self._depths(pipes)
            finally:
                for pipe in pipes:
                    pipe.close()
                for child in children:
                    child.terminate()
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
        numbers = [array("I") for _ in found]
        first = len(self.trail)
        parts = [
            [(key, shard, n) for n, key in enumerate(part.keys)] for shard, part in enumerate(found)
        ]
        for key, shard, n in merge(*parts):
            part = found[shard]
            parent = key // _TURNS
            numbers[shard].append(len(self.trail))
            self.trail.add(parent, part.actions[n])
            self.retained.add(part.retained[n], parent)
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
            began = time.monotonic()
            for ready in wait([p for n, p in enumerate(pipes) if n not in answers], 0.2):
                assert isinstance(ready, Connection)
                number = pipes.index(ready)
                try:
                    what, answer = ready.recv()
                except EOFError:
                    raise BpfheapError("a process of the search was killed") from None
                if what == "unstable":
                    self.model.changing |= answer
                    raise Unstable
                if what == "error":
                    raise BpfheapError(f"the search failed: {answer}")
                answers[number] = answer
            if time.monotonic() - began > 0.1:
                yield
        return [answers[n] for n in range(len(pipes))]
