"""What the test suite does about compiled modules that are older than their sources."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from bpfheap.bench.verifier import is_compiled
from compiled_modules import fall_back, stale

TESTS = Path(__file__).parent
SOURCES = TESTS.parent / "src" / "bpfheap"

#: Where the verifier's modules are from, in the test's process and in one that it starts.
MODULES = """
import subprocess
import sys

import pytest

IMPORT = "from bpfheap.verifier import walk; from bpfheap.verifier.domain import word"

@pytest.mark.parametrize("n", range(4))
def test_modules(n: int) -> None:
    from bpfheap.verifier import walk
    from bpfheap.verifier.domain import word
    assert (walk.__file__ + word.__file__).count(".py") == 2
    subprocess.run([sys.executable, "-c", IMPORT], check=True)
"""


#: Set by whoever knows that they were compiled (.ci/run); else they need not be.
MUST_BE_COMPILED = "BPFHEAP_MUST_BE_COMPILED"


def modules() -> list[str]:
    """What setup.py compiles: one extension is enough to fail, and each may be left out."""
    names: list[str] = next(
        ast.literal_eval(node.value)
        for node in ast.parse((TESTS.parent / "setup.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMPILED"
    )
    verifier = [f"bpfheap.verifier.{name.replace('/', '.')}" for name in names]
    return [*verifier, "bpfheap.machine.native._core"]


@pytest.mark.skipif(not os.environ.get(MUST_BE_COMPILED), reason=f"{MUST_BE_COMPILED} is not set")
@pytest.mark.parametrize("name", modules())
def test_what_setup_compiles_is_compiled(name: str) -> None:
    """The build goes on without what it cannot compile, and stale modules run as Python; tests that
    are there to try compiled ones must not pass for these."""
    assert os.environ.get("BPFHEAP_PURE", "") == "", "the verifier runs as Python"
    assert is_compiled(importlib.import_module(name)), f"{name} runs as Python"


def compiled(source: Path, seconds: int) -> Path:
    """A compiled module, that many seconds younger than its source. Nobody can import it."""
    source.touch()
    module = source.with_suffix(EXTENSION_SUFFIXES[0])
    module.touch()
    time = source.stat().st_mtime + seconds
    os.utime(module, (time, time))
    return module


def test_modules_older_than_their_sources_are_stale(tmp_path: Path) -> None:
    (tmp_path / "domain").mkdir()
    compiled(tmp_path / "walk.py", 1)
    (tmp_path / "hints.py").touch()
    assert stale(tmp_path) == []
    compiled(tmp_path / "domain" / "word.py", -1)
    assert stale(tmp_path) == [tmp_path / "domain" / "word.py"]


@pytest.mark.parametrize(("seconds", "pure"), [(1, ""), (-1, "1")])
def test_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, pure: str
) -> None:
    monkeypatch.setenv("BPFHEAP_PURE", pure)
    compiled(tmp_path / "walk.py", seconds)
    assert fall_back(tmp_path) is None
    assert os.environ["BPFHEAP_PURE"] == pure


def test_the_verifier_must_not_be_there_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BPFHEAP_PURE", "")
    monkeypatch.setitem(sys.modules, "bpfheap.verifier", sys)
    compiled(tmp_path / "walk.py", -1)
    with pytest.raises(RuntimeError, match="before"):
        fall_back(tmp_path)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_all_fall_back_with_one_warning(tmp_path: Path, workers: str) -> None:
    """One stale module is enough, in workers and in processes that tests start too."""
    package = tmp_path / "src" / "bpfheap"
    shutil.copytree(SOURCES, package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    compiled(package / "verifier" / "walk.py", -1)
    compiled(package / "verifier" / "domain" / "word.py", 1)
    tests = tmp_path / "tests"
    tests.mkdir()
    for helper in set(TESTS.glob("*.py")) - set(TESTS.glob("test_*.py")):
        shutil.copy(helper, tests)
    (tests / "test_modules.py").write_text(MODULES)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env |= {"BPFHEAP_PURE": "", "PYTHONPATH": str(package.parent)}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", workers, "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "4 passed, 1 warning" in run.stdout
    assert run.stdout.count("walk.py changed since `make setup`") == 1
