"""What a runtime shares with the programs and maps that users hold: its system, and its lock."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Literal, ParamSpec, Protocol, TypeVar, cast

from bpfheap.runtime.system import System

_P = ParamSpec("_P")
_R = TypeVar("_R")


def locked(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """A method that holds its session's lock. Running a program does not."""

    @wraps(method)
    def inner(*args: _P.args, **options: _P.kwargs) -> _R:
        session = cast("Session", getattr(args[0], "_runtime", args[0]))
        with session._lock:
            return method(*args, **options)

    return inner


class Attached(Protocol):
    """A program that a signal runs."""

    def detach(self) -> None:
        """The signal does again what it did before."""


class Session:
    """One system, which several threads may use; the part of a Runtime that its programs and maps
    know."""

    def __init__(self, system: System, grace: Literal["auto", "manual"]) -> None:
        self.system = system
        self._grace = grace
        self._attached: list[Attached] = []
        self._lock = system.guard = RLock()

    @property
    def history(self) -> list[str]:
        """What happened so far, a sentence each."""
        return self.system.machine.history

    @property
    def printk(self) -> list[str]:
        """All lines that programs printed so far."""
        return self.system.machine.printk

    @locked
    def grace_period(self) -> None:
        """Let grace periods pass until nothing more waits for one that can end."""
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
