"""What measurements say together."""

from __future__ import annotations

import math

import pytest
from bench_samples import measurement, side
from hypothesis import given
from hypothesis import strategies as st

from bpfheap.bench.cases import ROWS, CaseName, p90, verifier_case
from bpfheap.bench.measure import Measured
from bpfheap.bench.programs import Group

GOOD = measurement(side(120, 3000, 5000, 4000), side(100, 2000, 2000, 6000))
OTHER = measurement(side(200, 6000), side(100, 2000))
WRONG = measurement(side(accepted=False), side())
FAILED = measurement(side(None, accepted=None), side())
UNSAID = measurement(side(), side(None, accepted=None))
ALONE = measurement(side(50, 2000, 4000, 4000), None)


@pytest.mark.parametrize(
    ("program", "time", "processed", "wrong"),
    [
        (GOOD, 2.0, 1.2, False),
        (OTHER, 3.0, 2.0, False),
        (WRONG, math.inf, math.inf, True),
        (FAILED, math.inf, math.inf, True),
        (UNSAID, None, None, False),
        (ALONE, None, None, False),
    ],
)
def test_ratios(
    program: Measured, time: float | None, processed: float | None, wrong: bool
) -> None:
    assert program.time_ratio == time
    assert program.processed_ratio == processed
    assert program.wrong == wrong
    said = program.to_json()["ratio"]
    assert said["time"] == (None if time == math.inf else time)


@pytest.mark.parametrize(
    ("name", "programs", "ratio", "passed"),
    [
        (CaseName.CORPUS_WALL_MEDIAN, [GOOD], 2.0, True),
        (CaseName.CORPUS_WALL_MEDIAN, [GOOD, OTHER], 2.5, True),
        (CaseName.CORPUS_WALL_MEDIAN, [GOOD, OTHER, UNSAID], 2.5, True),
        (CaseName.CORPUS_WALL_MEDIAN, [GOOD, OTHER, WRONG], 3.0, True),
        (CaseName.CORPUS_WALL_MEDIAN, [GOOD, WRONG, FAILED], math.inf, False),
        (CaseName.CORPUS_WALL_MEDIAN, [ALONE], None, None),
        (CaseName.INSNS_PROCESSED_P90, [GOOD], 1.2, True),
        (CaseName.INSNS_PROCESSED_P90, [GOOD] * 9 + [OTHER], 1.2, True),
        (CaseName.INSNS_PROCESSED_P90, [GOOD] * 8 + [OTHER] * 2, 2.0, False),
        (CaseName.INSNS_PROCESSED_P90, [GOOD] * 9 + [WRONG], 1.2, True),
        (CaseName.INSNS_PROCESSED_P90, [GOOD] * 8 + [WRONG] * 2, math.inf, False),
    ],
)
def test_cases(
    name: CaseName, programs: list[Measured], ratio: float | None, passed: bool | None
) -> None:
    found = verifier_case(name, programs)
    assert found is not None
    assert found.ratio == ratio
    assert found.passed is passed
    assert found.programs == len(programs)
    assert found.wrong == sum(program in (WRONG, FAILED) for program in programs)


def test_a_case_asks_its_own_group() -> None:
    for name, row in ROWS.items():
        others = [group for group in Group if group is not row.group]
        assert verifier_case(name, [measurement(side(), side(), group) for group in others]) is None
        assert verifier_case(name, [measurement(side(), side(), row.group)]) is not None


def test_refused_by_both_is_right() -> None:
    refused = measurement(
        side(100, 1000, accepted=False), side(100, 2000, accepted=False), Group.MILLION
    )
    found = verifier_case(CaseName.MILLION_LIMIT, [refused])
    assert found is not None
    assert (found.ratio, found.passed) == (0.5, True)


def test_speed_is_told() -> None:
    # 2 ns and 10 ns for an instruction.
    program = measurement(side(1000, 2000), side(100, 1000), Group.LARGE)
    found = verifier_case(CaseName.THROUGHPUT_LARGE, [program])
    assert found is not None
    said = found.to_json()
    assert said["insns_per_second"] == {"ours": 500_000_000, "kernel": 100_000_000}
    assert said["ours"] == {"min": 2.0, "median": 2.0}
    assert said["peers"] == {"kernel": {"min": 10.0, "median": 10.0}}
    assert said["ratio"] == {"kernel": 2.0}


@given(st.lists(st.floats(min_value=0, allow_nan=False), min_size=1))
def test_nine_in_ten_are_not_above(numbers: list[float]) -> None:
    found = p90(numbers)
    assert sum(number <= found for number in numbers) * 10 >= len(numbers) * 9
    assert sum(number < found for number in numbers) * 10 < len(numbers) * 9
