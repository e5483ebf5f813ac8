"""Which versions of Linux tests are for."""

from __future__ import annotations

import re

import pytest

from bpfheap.kernel import Kernel

#: What tests say of Linux they say of this version; older ones know less.
LINUX = (6, 18)


def skip_below(kernel: Kernel, version: tuple[int, int]) -> None:
    """Skip a test whose expectations this kernel is too old for."""
    release = kernel.transport.release
    if tuple(int(n) for n in re.findall(r"\d+", release)[:2]) < version:
        pytest.skip(f"the cases are for Linux {version[0]}.{version[1]}, this is {release}")
