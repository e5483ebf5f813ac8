"""Writes tests/verifier/golden anew: what `bpfheap check` prints for each rejected program there.

The texts name registers and instructions, which differ between compilers: they are those of the
ziglang wheel in the version that the development extra pins. Read every changed text before
committing it: is it true, and does it say what to change?
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from bpfheap.compile import Compiler, find_compilers, object_spec
from bpfheap.report import details
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import Options, verify

FOLDER = Path(__file__).parents[1] / "tests" / "verifier" / "golden"
#: An endless program is refused long before the kernel's limit, to save time.
OPTIONS = Options(complexity_limit=20_000)


def compiler() -> Compiler:
    """The compiler whose registers and instructions the texts name."""
    return next(found for found in find_compilers() if found.name == "ziglang")


def compiled(source: Path, by: Compiler) -> ObjectSpec:
    """The object of a source, compiled in its folder, so that no other place is named in it."""
    with contextlib.chdir(FOLDER):
        return object_spec(source.name, compiler=by)


def texts(source: Path) -> dict[str, str]:
    """The exact text for each program of a source; raises ValueError for one that is accepted."""
    obj = compiled(source, compiler())
    found = {}
    for program in obj.programs.values():
        error = verify(obj, program, OPTIONS).error
        if error is None:
            raise ValueError(f"{source.name}: {program.name} is accepted")
        found[program.name] = "".join(f"{line}\n" for line in (str(error), *details(error)))
    return found


def sources() -> list[Path]:
    return sorted(FOLDER.glob("*.bpf.c"))


def family(source: Path) -> str:
    return source.name.removesuffix(".bpf.c")


def main() -> int:
    changed = 0
    for source in sources():
        folder = FOLDER / family(source)
        folder.mkdir(exist_ok=True)
        found = texts(source)
        for old in folder.glob("*.txt"):
            if old.stem not in found:
                old.unlink()
        for name, text in found.items():
            file = folder / f"{name}.txt"
            if not file.exists() or file.read_text() != text:
                file.write_text(text)
                changed += 1
    print(f"{changed} texts changed in {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
