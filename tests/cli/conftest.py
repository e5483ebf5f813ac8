"""Fixtures of the command line's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_harness import Cli, caller

from bpfheap.compile import compile_c

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return caller(capsys)


@pytest.fixture(scope="session")
def first_object() -> bytes:
    """examples/first.bpf.c, compiled: the other tests need not wait for a compiler."""
    return compile_c(EXAMPLES / "first.bpf.c")


@pytest.fixture
def first(tmp_path: Path, first_object: bytes) -> Path:
    path = tmp_path / "first.bpf.o"
    path.write_bytes(first_object)
    return path
