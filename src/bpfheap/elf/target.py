"""What an object is told of the kernel that it is for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from bpfheap.btf import LazyBtf


class Target(Protocol):
    """A kernel. Nothing is opened before it is asked for: most objects need nothing of it."""

    def types(self) -> LazyBtf | None:
        """Its BTF, None if there is none. Raises BpfheapError if that cannot be read."""

    def modules(self) -> Iterable[LazyBtf]:
        """The types of its modules, for what `types` does not have."""

    def has_symbol(self, name: str) -> bool | None:
        """Whether it has an exported or internal symbol of that name; None if nobody knows."""

    def config(self, name: str) -> str | None:
        """The value of a configuration symbol as its file has it (y, m, 100, "text"), or a number
        for a LINUX_... that loaders know; None if it is not set. Raises BpfheapError if the
        configuration cannot be read."""

    def has_config(self) -> bool:
        """Whether there is a configuration at all."""

    def without_types(self) -> str | None:
        """What to tell users whose object would need `types`, None if they know."""
