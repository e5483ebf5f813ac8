"""Curves as text."""

from __future__ import annotations

import pytest

from bpfheap.bench.plot import plot


def test_what_is_more_is_higher() -> None:
    lines = plot((10, 1000), {"ours": [1.0, 10.0], "theirs": [10.0, 100.0]}, "ns")
    of = {letter: [n for n, line in enumerate(lines) if f" {letter}" in line] for letter in "ot"}
    assert of["t"][0] == 0
    assert lines[0].split() == ["100.0", "ns", "|", "t"]
    assert lines[11].split() == ["1.0", "ns", "|", "o"]
    assert lines[-2].split() == ["10", "1,000"]
    assert lines[-1].strip() == "o ours, t theirs"


def test_sides_that_begin_alike() -> None:
    assert plot((1,), {"aa": [1.0], "ab": [2.0], "a": [3.0]}, "ns")[-1].strip() == "a aa, b ab, c a"


@pytest.mark.parametrize("curves", [{}, {"ours": []}, {"ours": [0.0]}])
def test_nothing_to_show(curves: dict[str, list[float]]) -> None:
    assert plot((1,), curves, "ns") == []


def test_a_flat_curve() -> None:
    lines = plot((1, 2), {"ours": [5.0, 5.0]}, "ns")
    assert [line.count("o") for line in lines if "|" in line] == [0] * 11 + [2]
