"""Writes tests/verifier/golden anew: what `bpfheap check` prints for each mistake there.

    make golden                # compile the programs, then write all texts
    tools/golden_errors.py --texts   # the texts alone, from the objects as they are

The texts name registers and instructions, which differ between compilers, so the objects are kept
beside their sources. Read every changed text before committing it: is it true, and does it say
what to change?
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bpfheap.compile import compile_c
from bpfheap.elf import load_spec
from bpfheap.report import details
from bpfheap.verifier import Options, verify

FOLDER = Path(__file__).parents[1] / "tests" / "verifier" / "golden"
#: A program without end is refused long before the kernel's limit, to save time.
OPTIONS = Options(complexity_limit=20_000)
_STRIP = ("llvm-strip", "llvm-strip-19")


def texts(path: Path) -> dict[str, str]:
    """The exact text for each program of an object; raises ValueError for one that is accepted."""
    obj = load_spec(path)
    found = {}
    for program in obj.programs.values():
        error = verify(obj, program, OPTIONS).error
        if error is None:
            raise ValueError(f"{path.name}: {program.name} is accepted")
        found[program.name] = "".join(f"{line}\n" for line in (str(error), *details(error)))
    return found


def objects() -> list[Path]:
    return sorted(FOLDER.glob("*.bpf.o"))


def compile_all() -> None:
    """Compile in the folder itself, so that no other place is in the objects."""
    strip = next((found for name in _STRIP if (found := shutil.which(name))), None)
    for source in sorted(FOLDER.glob("*.bpf.c")):
        built = source.with_suffix(".o")
        built.write_bytes(compile_c(source.name))
        if strip is not None:
            # DWARF is of no use here; BTF stays.
            subprocess.run([strip, "-g", str(built)], check=True)


def write_texts() -> int:
    """Gives the number of texts that differ from those that were there."""
    changed = 0
    for path in objects():
        folder = FOLDER / path.name.removesuffix(".bpf.o")
        folder.mkdir(exist_ok=True)
        found = texts(path)
        for old in folder.glob("*.txt"):
            if old.stem not in found:
                old.unlink()
        for name, text in found.items():
            file = folder / f"{name}.txt"
            if not file.exists() or file.read_text() != text:
                file.write_text(text)
                changed += 1
    return changed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--texts", action="store_true", help="compile nothing")
    if not parser.parse_args().texts:
        os.chdir(FOLDER)
        compile_all()
    print(f"{write_texts()} texts changed in {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
