"""How calls refuse."""

from __future__ import annotations

import errno
from collections.abc import Callable

from bpfheap.errors import MapError

#: Errors that only the kernel has (include/linux/errno.h).
_OF_THE_KERNEL = {"ENOTSUPP": 524}


def error(name: str) -> int:
    """What a call gives."""
    return -int(_OF_THE_KERNEL.get(name) or getattr(errno, name))


def answer(action: Callable[[], object]) -> int:
    """0, or the negative errno of the MapError that `action` raised."""
    try:
        action()
    except MapError as refused:
        return error(refused.errno_name)
    return 0
