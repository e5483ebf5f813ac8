"""What the project says that somebody works in: `[tool.bpfheap]` of its pyproject.toml."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from bpfheap.errors import UsageError

_FILE: Final = "pyproject.toml"
#: How sources are compiled, and the kernel that they are for.
COMPILING: Final = ("include", "define", "cflags")
KERNEL: Final = ("kernel-btf", "kconfig")
_KEYS: Final = (*COMPILING, *KERNEL)
#: A pyproject.toml beyond that is no such file.
_LARGEST: Final = 1 << 20


class Said(NamedTuple):
    """What a file says of the keys asked for; paths in it are relative to the file's folder."""

    path: Path
    values: dict[str, Any]


def said(keys: Collection[str]) -> Said | None:
    """Of the nearest pyproject.toml that says something of them, in the working directory or above.

    Raises UsageError for one on the way there that is broken, or has keys that there are not. One
    that does not even mention bpfheap is passed over, whatever is in it.
    """
    for path in _files():
        values = {key: value for key, value in _table(path).items() if key in keys}
        if values:
            return Said(path, values)
    return None


def _files() -> Iterator[Path]:
    try:
        folder = Path.cwd()
    except OSError:  # it was removed
        return
    for base in (folder, *folder.parents):
        yield base / _FILE


def _table(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return {}
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        # Somebody else's, in a folder above: none of ours.
        return {}
    if "bpfheap" not in text:
        return {}
    import tomllib  # few processes need it

    try:
        tool = tomllib.loads(text).get("tool")
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"this is no TOML: {reason}", file=str(path)) from None
    table = tool.get("bpfheap", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise UsageError("tool.bpfheap is no table", file=str(path), hint="write [tool.bpfheap]")
    for key in table:
        if key not in _KEYS:
            raise UsageError(
                f"[tool.bpfheap] has no key {key}",
                file=str(path),
                hint=f"there are {', '.join(_KEYS)}",
            )
    return table
