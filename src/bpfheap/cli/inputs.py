"""The FILE arguments: C sources, BPF objects, and folders of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bpfheap.sources import expand

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="BPF C source (.bpf.c, compiled on the fly), BPF ELF object, or a folder of them.",
        show_default=False,
    ),
]

__all__ = ["Files", "expand"]
