"""Helpers of texts do what Linux does."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.kernel import Kernel
from bpfheap.spec import ObjectSpec

WORK = struct.Struct("<14s32sIIQq32s")

NUMBERS = [
    "", "0", "7", "-7", "+7", " 12", "\t-3x", "0x1f", "0x", "0xg", "017", "089", "abc", "ffff", "-",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "18446744073709551615", "18446744073709551616", "1 2", "12\n", "--3", "00", "0x0", "-0", "  ",
]  # fmt: skip
FLAGS = [0, 8, 10, 16, 2, 32]
FORMATS = ["plain", "wide", "padded", "signs", "address", "address_zeros", "address6",
           "kernel_text"]  # fmt: skip

BEFOREHAND = frozenset(FORMATS[4:])


@pytest.fixture(scope="module")
def texts() -> ObjectSpec:
    return object_spec(Path(__file__).with_name("texts.bpf.c"))


def packet(text: bytes, size: int, flags: int = 0, word: int = 0) -> bytes:
    return WORK.pack(bytes(14), text, size, flags, word, 99, b"")


def both(kernel: Kernel, texts: ObjectSpec, name: str, packets: list[bytes]) -> None:
    """The model machine makes of packets what the kernel makes of them."""
    with bpfheap.Runtime() as rt:
        program = rt.load(texts, programs=[name]).programs[name]
        for data in packets:
            done = program.run(data=data)
            there = kernel.test_run(texts, texts.programs[name], data)
            assert done.retval == there.retval
            assert done.data is not None
            mine, its = WORK.unpack(done.data), WORK.unpack(there.data_out)
            assert mine == its, data


@pytest.mark.parametrize("name", ["with_sign", "without"])
@pytest.mark.parametrize("flags", FLAGS)
def test_numbers(kernel: Kernel, texts: ObjectSpec, name: str, flags: int) -> None:
    given = [packet(text.encode(), len(text), flags) for text in NUMBERS]
    # Behind the text there are digits, too.
    given += [packet(b"123456", size, flags) for size in (1, 3)]
    both(kernel, texts, name, given)


def test_comparing(kernel: Kernel, texts: ObjectSpec) -> None:
    words = [b"word", b"wor", b"words", b"work", b"", b"x", b"wordy", b"\xffw", b"word\0x"]
    given = [packet(word, size) for word in words for size in (1, 3, 4, 5, 6, 31)]
    both(kernel, texts, "compared", given)


@pytest.mark.parametrize("name", FORMATS)
def test_formats(kernel: Kernel, texts: ObjectSpec, name: str) -> None:
    given = [
        packet(text, size, flags, word)
        for text, flags, word in (
            (b"abc", 5, 42),
            (b"", 0, 0),
            (b"\x7f\0\0\1 a long text", 65, 1 << 63 | 77),
            (b"a%dz", 0xFFFFFFFF, (1 << 64) - 5),
        )
        # Behind a full buffer, Linux loses count of texts that it wrote beforehand (bstr_printf).
        for size in ((31,) if name in BEFOREHAND else (0, 1, 5, 31))
    ]
    both(kernel, texts, name, given)
