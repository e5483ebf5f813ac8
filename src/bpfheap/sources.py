"""Which files are meant: C sources, BPF objects, and folders of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bpfheap.errors import UsageError

_SOURCE = ".bpf.c"
_OBJECT = ".o"


def expand(paths: Sequence[Path]) -> list[Path]:
    """The files meant, each once, a folder's in the order of their names.

    Raises UsageError for what cannot be opened and for a folder without any.
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
    """An object beside the source of the same name was built from it: only the source counts."""
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
