"""How much memory there is, and processes that do not outlive the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bpfheap.errors import UsageError
from bpfheap.host import memory_bound, memory_of, size_of

EXAMPLES = Path(__file__).parents[1] / "examples"
GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("512M", 512 << 20), ("4G", 4 * GIB), ("1.5k", 1536), ("2 GiB", 2 * GIB)],
)
def test_sizes(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "G", "4X", "1e3", "nan", "4GG"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="no amount of memory"):
        size_of(text)


@pytest.mark.parametrize(
    ("group", "files", "bound"),
    [
        # 8 GiB of the system's are free.
        ("0::/", {}, 6 * GIB),
        ("0::/a", {"memory.max": "max", "a/memory.max": "max"}, 6 * GIB),
        ("0::/a/b", {"a/memory.max": 4 * GIB, "a/memory.current": GIB}, 3 * GIB * 3 // 4),
        ("0::/a/b", {"a/b/memory.max": 2 * GIB}, 2 * GIB * 3 // 4),
        ("0::/../x", {"memory.max": GIB}, GIB * 3 // 4),
        ("4:cpu,memory:/a", {"memory/a/memory.limit_in_bytes": GIB}, GIB * 3 // 4),
        ("4:memory:/", {"memory/memory.limit_in_bytes": 0x7FFFFFFFFFFFF000}, 6 * GIB),
        ("0::/a", {"a/memory.max": GIB, "a/memory.current": 2 * GIB}, 1),
    ],
)
def test_the_bound_is_three_quarters_of_what_there_is(
    tmp_path: Path, group: str, files: dict[str, object], bound: int
) -> None:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:  {8 * GIB // 1024} kB\n")
    (proc / "self" / "cgroup").write_text(f"{group}\n")
    for name, content in files.items():
        (cgroups / name).parent.mkdir(parents=True, exist_ok=True)
        (cgroups / name).write_text(f"{content}\n")
    assert memory_bound(proc, cgroups) == bound


def test_without_files_there_is_a_bound(tmp_path: Path) -> None:
    assert 0 < memory_bound(tmp_path, tmp_path) < 1 << 40


def test_memory_of_processes() -> None:
    assert memory_of(os.getpid()) > 1 << 20
    assert memory_of(1 << 30) == 0


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """One that a compiler never comes to the end of."""
    os.mkfifo(tmp_path / "pipe.h")
    (tmp_path / "waits.bpf.c").write_text('#include "pipe.h"\n')
    return tmp_path / "waits.bpf.c"


def children(process: int) -> set[int]:
    found = set()
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            found |= set(map(int, task.read_text().split()))
    return found


def is_running(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@pytest.fixture
def until() -> Iterator[object]:
    return iter(lambda: time.sleep(0.02), 1)


THREE = str(EXAMPLES / "three_programs")
COMMANDS = {
    "one search": ["explore", THREE, "--runs", "4", "--loads", "3", "--jobs", "2"],
    "searches": ["explore", THREE, "--policy", "all", "--runs", "4", "--loads", "3", "--jobs", "2"],
    "fuzz": ["fuzz", "verifier", "--against", "model", "-n", "1000000", "--jobs", "2"],
    "compiler": ["check"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_its_parent(
    name: str, how: signal.Signals, source: Path, until: Iterator[None]
) -> None:
    command = [sys.executable, "-m", "bpfheap", *COMMANDS[name]]
    if name == "compiler":
        command.append(str(source))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as parent:
        wanted = 1 if name == "compiler" else 2
        started: set[int] = set()
        for _ in until:
            started = children(parent.pid)
            assert parent.poll() is None
            if len(started) >= wanted and not (name != "compiler" and compilers(started)):
                break
        parent.send_signal(how)
        parent.wait()
        for _ in until:
            if not any(map(is_running, started)):
                break


def compilers(processes: set[int]) -> bool:
    """Whether programs are being compiled still."""
    for process in processes:
        with suppress(OSError):
            if b"-target" in Path(f"/proc/{process}/cmdline").read_bytes():
                return True
    return False
