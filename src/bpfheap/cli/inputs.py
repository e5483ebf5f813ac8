"""The FILE arguments: C sources, BPF objects, and folders of them; the kernel that they are for."""

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

KernelBtf = Annotated[
    str | None,
    typer.Option(
        "--kernel-btf",
        metavar="FILE|none",
        help="The kernel that the files are for: a file with its BTF.",
        show_default="kernel-btf of pyproject.toml, or this system's",
    ),
]

KernelConfig = Annotated[
    str | None,
    typer.Option(
        "--kconfig",
        metavar="FILE|none",
        help="That kernel's configuration, for __kconfig.",
        show_default="kconfig of pyproject.toml, or this system's",
    ),
]

__all__ = ["Files", "KernelBtf", "KernelConfig", "expand"]
