"""Threads and signals on the heap and on maps, under the sanitizers of the C compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import bpfheap.machine.native

CORE = Path(bpfheap.machine.native.__file__).parent
COMPILER = shutil.which(os.environ.get("CC", "cc"))
FLAGS = ["-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all"]
#: `make stress` takes ten minutes instead.
SECONDS = os.environ.get("BPFHEAP_STRESS", "1")
SANITIZERS = {
    "none": "-O2",
    "thread": "-fsanitize=thread",
    "address": "-fsanitize=address,undefined",
}


#: What is put under stress: the parts of the core that it takes.
PROGRAMS = {
    "stress": ("heap.c", "cpu.c"),
    "stress_maps": ("heap.c", "cpu.c", "object.c", "map.c", "ring.c"),
    "stress_held": (
        "heap.c", "cpu.c", "object.c", "map.c", "ring.c", "run.c", "calls.c", "packet.c",
    ),
}  # fmt: skip


@pytest.mark.timeout(120 + float(SECONDS))
@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_counts_balance(name: str, sanitizer: str, tmp_path: Path) -> None:
    if COMPILER is None:
        pytest.skip("there is no C compiler")
    program = tmp_path / name
    sources = [Path(__file__).with_name(f"{name}.c"), *(CORE / part for part in PROGRAMS[name])]
    command = [COMPILER, *FLAGS, SANITIZERS[sanitizer], f"-I{CORE}", *map(str, sources)]
    command += ["-o", str(program), "-lpthread"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode and "sanitize" in built.stderr + built.stdout and sanitizer != "none":
        pytest.skip(f"this compiler has no {sanitizer} sanitizer")
    assert built.returncode == 0, built.stderr
    # A worker that never ends is a failure, too.
    ran = subprocess.run(
        [program, SECONDS, "4", "10000"],
        capture_output=True,
        text=True,
        check=False,
        timeout=float(SECONDS) + 60,
    )
    assert ran.returncode == 0, ran.stderr
    operations, _, disturbances, *_ = ran.stdout.split()
    assert int(operations) > 1000
    # Signals, or runs that were held.
    assert int(disturbances) > 10
