"""What the instructions of a loop that the kernel drives ask of the states that a walk has stored;
prune.py stores them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from mypy_extensions import i64

from bpfheap.verifier.state.state import State, Stored


class Widening(ABC):
    """Makes a state wider by those that a walk has stored."""

    @abstractmethod
    def widen(self, st: State, slot: i64, but: Stored | None) -> None:
        """Another iteration begins at `slot`: forget of `st` the numbers that differ from those
        with which the last iteration began (`but` is no such state), as far as nothing rested on
        them. So iterations come to an end."""
