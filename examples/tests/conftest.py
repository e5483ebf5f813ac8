"""The programs here include vmlinux.h, which is written from the types of this system's kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

_TYPES = Path("/sys/kernel/btf/vmlinux")


@pytest.fixture(autouse=True)
def kernel_types() -> None:
    if not _TYPES.exists():
        pytest.skip(f"no {_TYPES}, whose types these programs are about")
