"""What a runtime shares with the programs and maps that users hold: its system, its lock, and
whether it is over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from threading import RLock, get_ident
from typing import Literal, ParamSpec, Protocol, TypeVar, cast
from weakref import WeakSet

from bpfheap.errors import BpfheapError, RuntimeClosed, RuntimePoisoned, UsageError
from bpfheap.runtime.machine import Waiting
from bpfheap.runtime.system import System

#: Seconds between two looks at a lock, and how often its holder looks meanwhile before it is taken
#: to wait for whoever wants it.
_LOOK = 0.05
_WAITS = 20

_P = ParamSpec("_P")
_R = TypeVar("_R")


def locked(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """A method that holds its session's lock, and raises if that is over. Running a program does
    not hold it."""

    @wraps(method)
    def inner(*args: _P.args, **options: _P.kwargs) -> _R:
        session = _session_of(args[0])
        with session._entered():
            session._note_holder()
            session._check()
            return method(*args, **options)

    return inner


def gives_back(method: Callable[_P, None]) -> Callable[_P, None]:
    """The same for what only gives something back: once the session is over, all of it has been."""

    @wraps(method)
    def inner(*args: _P.args, **options: _P.kwargs) -> None:
        session = _session_of(args[0])
        with session._entered():
            session._note_holder()
            if not session._is_over():
                method(*args, **options)

    return inner


def _session_of(holder: object) -> Session:
    return cast("Session", getattr(holder, "_runtime", holder))


class Attached(Protocol):
    """A program that a signal runs."""

    def detach(self) -> None:
        """The signal does again what it did before."""

    def let_go(self) -> None:
        """The same, without telling anybody."""


#: Of this process, for the children that it may get.
_sessions: WeakSet[Session] = WeakSet()


class Session:
    """One system, which several threads may use; the part of a Runtime that its programs and maps
    know."""

    def __init__(self, system: System, grace: Literal["auto", "manual"]) -> None:
        self.system = system
        self._grace = grace
        self._attached: list[Attached] = []
        self._lock = system.guard = RLock()
        machine = system.machine
        self._waiting = machine if isinstance(machine, Waiting) else None
        #: The thread that took the lock last, and how often that happened.
        self._holder = self._taken = 0
        self._closed = False
        self._poison: str | None = None
        _sessions.add(self)

    def _entered(self) -> AbstractContextManager[object]:
        """With the lock."""
        if self._waiting is not None and self._waiting.within:
            return self._entered_within(self._waiting)
        return self._lock

    def _note_holder(self) -> None:
        self._holder = get_ident()
        self._taken += 1

    @contextmanager
    def _entered_within(self, machine: Waiting) -> Iterator[None]:
        """In the middle of a run, where a stub was called. Raises UsageError if whoever has the
        lock waits for this run, be it for its CPU or for its end."""
        machine.want(True)
        try:
            seen = waits = 0
            while not self._lock.acquire(timeout=_LOOK):
                now = machine.waits(self._holder)
                if self._taken != seen:
                    seen, waits = self._taken, now
                elif now - waits >= _WAITS:
                    raise UsageError(
                        "another thread is at work in the runtime, and waits for this run",
                        hint="let the stub do without the runtime, or no other thread wait for "
                        "its CPU or its end",
                    )
        finally:
            machine.want(False)
        try:
            yield
        finally:
            self._lock.release()

    @property
    def history(self) -> list[str]:
        """What happened so far, a sentence each."""
        return self.system.machine.history

    @property
    def printk(self) -> list[str]:
        """All lines that programs printed so far."""
        return self.system.machine.printk

    def _check(self) -> None:
        """Raise RuntimePoisoned or RuntimeClosed if nothing can be done here any more."""
        if self._poison is not None:
            raise RuntimePoisoned(self._poison)
        self.system.machine.check()
        if self._closed:
            raise RuntimeClosed("the runtime is closed")

    def _is_over(self) -> bool:
        try:
            self._check()
        except BpfheapError:
            return True
        return False

    @locked
    def grace_period(self) -> None:
        """Let grace periods pass until nothing more waits for one that can end."""
        self._pass_time()

    def _pass_time(self) -> None:
        while self.system.grace_period():
            pass

    @locked
    def _give_back(self, fd: int) -> None:
        """Close a descriptor, unless `close` did so already: they are never used again."""
        if fd in self.system.fds:
            self.system.close(fd)

    @locked
    def _passed(self) -> None:
        """A call from user space is over: with grace="auto", time passes."""
        if self._grace == "auto":
            self.grace_period()


def _begin_in_child() -> None:
    """The lock of a session may be a thread's that this process does not have."""
    for session in list(_sessions):
        if session._lock.acquire(blocking=False):
            session._lock.release()
            continue
        session._lock = session.system.guard = RLock()
        session._poison = "this process was forked while a thread was at work in the runtime"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)
