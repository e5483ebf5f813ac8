"""What a compile cache holds besides files of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bpfheap
from bpfheap.errors import UsageError

pytest.importorskip("bpfheap.machine.native._core", reason="the native core is not built")
cache = pytest.importorskip("bpfheap.machine.native.jit.cache", reason="llvmlite is not installed")

KEY = bytes(32)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object
) -> None:
    monkeypatch.setenv("BPFHEAP_CACHE", str(tmp_path))
    assert callable(make)
    make(tmp_path / KEY.hex())
    assert cache.find(KEY) is None


@pytest.mark.parametrize("hz", [-1, 1 << 40])
def test_a_rate_that_no_timer_has(hz: int) -> None:
    with bpfheap.Runtime(machine="native") as rt:
        obj = rt.load(Path(__file__).with_name("over.bpf.c"))
        with pytest.raises(UsageError, match="the runs in a second cannot be"):
            rt.attach(obj.programs["spin"], signal=10, hz=hz)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_a_folder_that_others_can_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    base = tmp_path / "compiled"
    base.mkdir()
    monkeypatch.setenv("BPFHEAP_CACHE", str(base))
    made = cache.Compiled(b"code", (), 1)
    cache.keep(KEY, made)
    assert cache.find(KEY).image == b"code"
    base.chmod(mode)
    with pytest.warns(UserWarning, match="others can write there: chmod go-w"):
        assert cache.find(KEY) is None
    # It was said once.
    cache.keep(bytes([1] * 32), made)
    assert len(list(base.iterdir())) == 1
    base.chmod(0o755)
    assert cache.find(KEY).image == b"code"


GROWTH = """
import gc, sys
from pathlib import Path
import bpfheap
from bpfheap.compile import object_spec

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4

def reload(times):
    for _ in range(times):
        loaded = rt.load(spec, programs=["spin"])
        loaded.programs["spin"].compilation()
        loaded.close()
    gc.collect()

spec = object_spec(Path(sys.argv[1]))
with bpfheap.Runtime(machine="native") as rt:
    # Until the heap has the steps in which it grows.
    reload(300)
    before = resident()
    reload(200)
    print((resident() - before) / 200)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_reloads_leave_nothing(tmp_path: Path) -> None:
    """LLVM's linker keeps 10 KiB of each program that it ever linked, as long as it lives."""
    source = Path(__file__).with_name("over.bpf.c")
    ran = subprocess.run(
        [sys.executable, "-c", GROWTH, source],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "BPFHEAP_CACHE": str(tmp_path)},
    )
    assert ran.returncode == 0, ran.stderr
    # KiB; the history has a few sentences more.
    assert float(ran.stdout) < 3


COMPILED = """
import gc, sys
from pathlib import Path
from bpfheap.machine.native.jit.body import ENTRY
from bpfheap.machine.native.jit.llvm import Effort, object_of, optimised

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4

def compile_some(first, effort):
    for n in range(first, first + 60):
        body = "".join(f"  %v{k} = mul i64 %a, {n * 100 + k}\\n"
                       f"  store volatile i64 %v{k}, ptr %p\\n" for k in range(20))
        text = f"define i64 @{ENTRY}(i64 %a, ptr %p) {{\\n{body}  ret i64 %v0\\n}}\\n"
        object_of(optimised(text, effort), effort)
    gc.collect()

for effort in (Effort(2, 2), Effort(0, 0)):
    compile_some(0, effort)
    before = resident()
    compile_some(100, effort)
    print((resident() - before) / 60)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_compiling_leaves_nothing() -> None:
    """LLVM's passes for a program take 80 KiB, which llvmlite does not give back by itself."""
    ran = subprocess.run(
        [sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    # KiB
    assert [float(line) < 20 for line in ran.stdout.split()] == [True, True]
