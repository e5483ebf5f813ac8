"""The lock of a runtime, which several threads may use."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from bpfheap.api.runtime import Runtime

_P = ParamSpec("_P")
_R = TypeVar("_R")


def locked(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """A method that holds its runtime's lock. Running a program does not."""

    @wraps(method)
    def inner(*args: _P.args, **options: _P.kwargs) -> _R:
        runtime = cast("Runtime", getattr(args[0], "_runtime", args[0]))
        with runtime._lock:
            return method(*args, **options)

    return inner
