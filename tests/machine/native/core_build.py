"""How programs in C are built with the core's files, without Python."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import bpfheap.machine.native

CORE = Path(bpfheap.machine.native.__file__).parent
#: None: there is none.
COMPILER = shutil.which(os.environ.get("CC", "cc"))


def core_sources(*without: str) -> list[Path]:
    """The files of the core that do not need Python, but for those named."""
    return sorted(
        path
        for path in CORE.glob("*.c")
        if not path.name.startswith("py_") and path.name not in ("module.c", *without)
    )
