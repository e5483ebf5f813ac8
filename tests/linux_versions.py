"""Which kernels tests are for."""

from __future__ import annotations

import errno
import re

import pytest

from bpfheap.kernel import Kernel, KernelVerdict
from bpfheap.platform.programs import section_def

#: What tests say of Linux they say of this version; older ones know less.
LINUX = (6, 18)


def skip_below(kernel: Kernel, version: tuple[int, int]) -> None:
    """Skip a test whose expectations this kernel is too old for."""
    release = kernel.transport.release
    if tuple(int(n) for n in re.findall(r"\d+", release)[:2]) < version:
        pytest.skip(f"the cases are for Linux {version[0]}.{version[1]}, this is {release}")


def skip_not_allowed(section: str, verdict: KernelVerdict) -> None:
    """Skip a test of what this system attaches nowhere, and so refuses before it looks at it."""
    found = section_def(section)
    refused = verdict.errno == errno.EPERM and verdict.message in ("", "EPERM")
    if refused and found is not None and found.attach_btf:
        pytest.skip(f"this kernel loads no {found.name} programs: try --oracle vm:VMLINUZ")
