"""Loads through what a program may have made up: 0 where its runtime has no memory, on all machines
(BPF_PROBE_MEM)."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest

from bpfheap.api import Runtime
from bpfheap.compile import object_spec
from bpfheap.spec import ObjectSpec

#: Somebody else's memory in this process.
SECRET = ctypes.create_string_buffer(b"\x11" * 64, 64)

NUMBERS = {
    "NULL": 0,
    "the first page": 4088,
    "no address": 0x41414141414141,
    "not canonical": 0xFFFF_FFFF_FFFF_FFF0,
    "the kernel's": 0xFFFF_8880_0000_0000,
    "the process's": ctypes.addressof(SECRET),
    "the end of the address space": 0x7FFF_FFFF_FFF8,
}


ZERO = (
    "wide", "word", "half", "byte", "far", "wide_unsigned", "beyond", "spilled", "joined",
    "by_a_static", "by_a_callback", "in_a_loop", "of_a_hash", "of_an_object",
)  # fmt: skip


@pytest.fixture(scope="module")
def obj() -> ObjectSpec:
    return object_spec(Path(__file__).with_name("untrusted.bpf.c"))


def result(obj: ObjectSpec, machine: dict[str, Any], name: str, number: int) -> int:
    with Runtime(**machine) as runtime:
        loaded = runtime.load(obj, programs=[name])
        loaded.maps["numbers"][0] = number
        return loaded.programs[name].run().retval


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("name", ZERO)
def test_what_is_not_the_runtimes_reads_as_0(
    obj: ObjectSpec, machine: dict[str, Any], name: str, number: int
) -> None:
    assert result(obj, machine, name, number) == 0


def test_what_is_the_runtimes_can_be_read(obj: ObjectSpec, machine: dict[str, Any]) -> None:
    assert result(obj, machine, "own_value", 0) == 1


@pytest.mark.parametrize("name", ["either", "callers_stack"])
def test_one_instruction_reads_memory_or_anywhere(
    obj: ObjectSpec, machine: dict[str, Any], name: str
) -> None:
    assert result(obj, machine, name, 1) == 9
    for number in NUMBERS.values():
        assert result(obj, machine, name, number) == 0
