"""Programs that want a kernel around them, compiled once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.spec import ObjectSpec
from bpfheap.vmlinux import Vmlinux

#: Most tests have no kernel's types; these are about them.
SYSTEM = Path("/sys/kernel/btf/vmlinux")


@pytest.fixture(scope="session")
def spec() -> ObjectSpec:
    if not SYSTEM.exists():
        pytest.skip(f"no {SYSTEM}, whose types these programs are about")
    return object_spec(Path(__file__).with_name("programs.bpf.c"), target=Vmlinux(SYSTEM))


@pytest.fixture
def rt() -> Iterator[bpfheap.Runtime]:
    if not SYSTEM.exists():
        pytest.skip(f"no {SYSTEM}, whose types these programs are about")
    with bpfheap.Runtime(kernel_btf=SYSTEM) as made:
        yield made
