"""A table of cases, for a program that answers yes or no."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf

BLOCK, CHAR = 1, 2
MKNOD, READ, WRITE = 1, 2, 4

#: Type, access, major, minor, and whether it is allowed.
CASES = (
    (CHAR, READ | WRITE, 1, 3, True),
    (CHAR, READ, 1, 5, True),
    (CHAR, READ, 1, 9, True),
    (CHAR, READ | WRITE, 1, 9, False),
    (CHAR, MKNOD, 1, 3, False),
    (CHAR, READ, 1, 1, False),
    (CHAR, READ, 10, 3, False),
    (BLOCK, READ, 1, 3, False),
)


def check(bpf: Bpf, file: str) -> None:
    program = bpf.load(file).programs["device_filter"]
    for case in CASES:
        kind, access, major, minor, allowed = case
        asked = bpf.context(access_type=access << 16 | kind, major=major, minor=minor)
        assert program.run(asked).retval == allowed, case


def test_device_filter(bpf: Bpf) -> None:
    check(bpf, "device_filter.bpf.c")


def test_the_kind_is_no_access(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "device_filter_broken.bpf.c")
