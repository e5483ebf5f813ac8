"""One compiled object with every kind of BTF in it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from bpfheap.btf import Btf
from bpfheap.compile import compile_c

SAMPLE = Path(__file__).with_name("sample.c")


def btf_section(data: bytes) -> bytes:
    section = ELFFile(io.BytesIO(data)).get_section_by_name(".BTF")
    assert section is not None
    raw = section.data()
    assert isinstance(raw, bytes)
    return raw


@pytest.fixture(scope="session")
def raw() -> bytes:
    return btf_section(compile_c(SAMPLE))


@pytest.fixture(scope="session")
def sample(raw: bytes) -> Btf:
    return Btf.parse(raw, "sample.c")
