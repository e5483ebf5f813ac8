"""What an object is told of the kernel that it is for."""

from __future__ import annotations

from typing import Protocol

from bpfheap.spec import KernelTypes


class Target(KernelTypes, Protocol):
    """A kernel. Nothing is opened before it is asked for: most objects need nothing of it."""

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
