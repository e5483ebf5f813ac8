"""Expands the FILE arguments: C sources, BPF objects, and folders of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bpfheap.errors import UsageError

_SOURCE = ".bpf.c"
_OBJECT = ".o"


def expand(paths: Sequence[Path]) -> list[Path]:
    """The files, each once; those of a folder sorted by name.

    Raises UsageError for a path that cannot be opened and for a folder without BPF programs.
    """
    found: dict[Path, None] = {}
    for path in paths:
        try:
            path.stat()
            inside = _inside(path) if path.is_dir() else [path]
        except OSError as error:
            raise UsageError(
                f"cannot be opened: {error.strerror}",
                file=str(path),
                hint="give .bpf.c files, BPF objects or folders of them",
            ) from None
        found.update(dict.fromkeys(inside))
    return list(found)


def _inside(folder: Path) -> list[Path]:
    """The sources and objects in a folder. An object is left out if there is a source of the same
    name: it was built from it."""
    files = sorted(p for p in folder.iterdir() if p.is_file())
    sources = [p for p in files if p.name.endswith(_SOURCE)]
    stems = {p.name.removesuffix(_SOURCE) for p in sources}
    objects = [
        p
        for p in files
        if p.suffix == _OBJECT and p.name.removesuffix(_OBJECT).removesuffix(".bpf") not in stems
    ]
    if not sources and not objects:
        raise UsageError(
            "no BPF program in this folder",
            file=str(folder),
            hint=f"sources end in {_SOURCE}, objects in {_OBJECT}",
        )
    return sorted([*sources, *objects])
