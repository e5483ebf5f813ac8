"""A test that hangs is a failure with a name, wherever it hangs, and the others are run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import ctypes
import threading

import pytest


def test_before():
    pass


def test_waits_for_python():
    threading.Event().wait()


@pytest.mark.timeout(1.5)
def test_waits_in_c_with_the_lock_of_python():
    lock = ctypes.create_string_buffer(64)
    libc = ctypes.PyDLL(None)
    libc.pthread_mutex_lock(lock)
    libc.pthread_mutex_lock(lock)


def test_after():
    pass
"""


ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("folder", ["tests", "examples"])
def test_a_hang_has_a_name(tmp_path: Path, folder: str) -> None:
    """In each of the folders with tests, by the conftest.py that is for both."""
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "test_hangs.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(
        f"import time_limit\ntime_limit.GRACE = 0.5\n{(ROOT / 'conftest.py').read_text()}"
    )
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\npythonpath = {Path(__file__).parent}\ntimeout = 1\ntimeout_method = signal\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "1", "-p", "no:cacheprovider", tmp_path],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=tmp_path,
        check=False,
    )
    told = ran.stdout + ran.stderr
    assert ran.returncode == 1, told
    assert "2 failed, 2 passed" in told
    assert "test_waits_for_python" in told
    assert "Timeout (>1.0s)" in told
    # The second one, by xdist and by the watchdog.
    waits = "test_waits_in_c_with_the_lock_of_python"
    assert f"crashed while running '{folder}/test_hangs.py::{waits}'" in told
    assert f", line 21 in {waits}" in told
