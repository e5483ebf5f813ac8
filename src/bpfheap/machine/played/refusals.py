"""How calls refuse."""

from __future__ import annotations

import errno
from collections.abc import Callable

from bpfheap.errors import MapError


def answer(action: Callable[[], object]) -> int:
    """0, or the negative errno of the MapError that `action` raised."""
    try:
        action()
    except MapError as refused:
        return -int(getattr(errno, refused.errno_name))
    return 0
