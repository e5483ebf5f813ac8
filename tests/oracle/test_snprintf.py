"""Formats of bpf_snprintf: we take those that Linux takes (bpf_bprintf_prepare)."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import pytest

from bpfheap.kernel import Kernel
from bpfheap.platform.maps import BY_NAME
from bpfheap.spec import MapSpec, ObjectSpec
from bpfheap.verifier import Options, verify

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import Types, program

BTF = Types({}).build()
_LENGTH = 16
#: One value is there.
_PROGRAM = program(
    """
    *(u64 *)(r10 -8) = 0
    r1 = 0
    r2 = 0
    r3 = map[name:text][0]+0 ll
    r4 = r10
    r4 += -8
    r5 = 8
    call bpf_snprintf
    r0 = 0
    exit
    """,
    BTF,
)
_CHARACTERS = "%dcspkuSBi4605lxh .\xe9\xa0"


def with_text(text: str) -> ObjectSpec:
    data = text.encode("latin-1")
    spec = MapSpec("text", BY_NAME["array"].number, 4, _LENGTH, 1, BTF, data=data, readonly=True)
    return ObjectSpec("formats", BTF, {"text": spec}, {})


def differ(texts: list[str], oracle: Kernel) -> list[str]:
    return [
        text
        for text in texts
        if verify(with_text(text), _PROGRAM, Options(explain=False)).accepted
        != oracle.verify(with_text(text), _PROGRAM).accepted
    ]


@pytest.mark.parametrize("begin", ["", "%", "%p", "%s", "%d", "%l", "%0"])
def test_every_byte(begin: str, oracle: Kernel) -> None:
    assert differ([f"{begin}{chr(byte)}" for byte in range(1, 256)], oracle) == []


@pytest.mark.parametrize("first", _CHARACTERS)
def test_conversions(first: str, oracle: Kernel) -> None:
    rest = product(_CHARACTERS, repeat=2)
    assert differ([f"%{first}{''.join(more)}" for more in rest], oracle) == []
