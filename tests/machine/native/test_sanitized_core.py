"""Interpreted and compiled programs on a core that was built with the C compiler's sanitizers."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from core_build import COMPILER, CORE

pytestmark = pytest.mark.long

pytest.importorskip("llvmlite")
FLAGS = ["-std=c11", "-g", "-O1", "-fno-sanitize-recover=all", "-fPIC", "-shared"]
#: The library that has to be there before Python.
RUNTIMES = {"thread": "libtsan.so", "address": "libasan.so"}


@pytest.mark.parametrize("sanitizer", RUNTIMES)
def test_objects_freed_while_runs_are_held(sanitizer: str, tmp_path: Path) -> None:
    if COMPILER is None:
        pytest.skip("there is no C compiler")
    where = [COMPILER, f"-print-file-name={RUNTIMES[sanitizer]}"]
    runtime = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip(f"this compiler has no {sanitizer} sanitizer that can be loaded first")
    core = tmp_path / "_core.so"
    subprocess.run(
        [
            COMPILER, *FLAGS, f"-fsanitize={sanitizer}", f"-I{sysconfig.get_path('include')}",
            *map(str, sorted(CORE.glob("*.c"))), "-o", str(core), "-lpthread",
        ],
        check=True,
    )  # fmt: skip
    # Python itself gives no memory back at its end.
    environment = os.environ | {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"}
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("held_churn.py")), str(core)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=100,
    )
    assert (ran.returncode, ran.stdout) == (0, "done\n"), ran.stderr
