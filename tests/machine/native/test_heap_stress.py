"""Threads and signals on the heap and on maps, under the sanitizers of the C compiler."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from core_build import COMPILER, CORE, core_sources

pytestmark = pytest.mark.long

FLAGS = ["-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all"]
#: `make stress` takes ten minutes instead.
SECONDS = os.environ.get("BPFHEAP_STRESS", "1")
SANITIZERS = {
    "none": "-O2",
    "thread": "-fsanitize=thread",
    "address": "-fsanitize=address,undefined",
}


PROGRAMS = ("stress", "stress_maps", "stress_held", "stress_mapped")


@pytest.fixture(scope="module", params=SANITIZERS)
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """How to build with a sanitizer: the command, with the core's files compiled."""
    if COMPILER is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("core")
    command = [COMPILER, *FLAGS, SANITIZERS[request.param], f"-I{CORE}"]
    sources = map(str, core_sources())
    built = subprocess.run(
        [*command, "-c", *sources], cwd=folder, capture_output=True, text=True, check=False
    )
    if built.returncode and "sanitize" in built.stderr + built.stdout and request.param != "none":
        pytest.skip(f"this compiler has no {request.param} sanitizer")
    assert built.returncode == 0, built.stderr
    return [*command, *map(str, sorted(folder.glob("*.o")))]


@pytest.mark.timeout(120 + float(SECONDS))
@pytest.mark.parametrize("name", PROGRAMS)
def test_counts_balance(name: str, build: list[str], tmp_path: Path) -> None:
    program = tmp_path / name
    source = Path(__file__).with_name(f"{name}.c")
    command = [*build, str(source), "-o", str(program), "-lpthread"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
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
