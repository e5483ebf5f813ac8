"""Logs of Linux in which a number takes a way that no number can take."""

from __future__ import annotations

import pytest

from bpfheap.fuzz.impossible import has_impossible_number

KNOWN = (
    "4: (bf) r1 = r6    ; R6=scalar(smin=umin=1,smax=umax=0xfffffffe,var_off=(0x0; 0xfffffffe))\n"
)


@pytest.mark.parametrize(
    ("log", "impossible"),
    [
        # On the way on from a condition.
        (f"{KNOWN}5: (25) if r6 > 0x1 goto pc+2    ; R6=1\n6: (95) exit", True),
        (f"{KNOWN}5: (25) if r6 > 0x2 goto pc+2    ; R6=2\n6: (95) exit", False),
        # Behind a jump, with the state in the same line.
        (f"{KNOWN}5: (b5) if r6 <= 0x1 goto pc+1 7: R6=1 R10=fp0\n7: (95) exit",
         True),
        (f"{KNOWN}5: (b5) if r6 <= 0x2 goto pc+1 7: R6=2 R10=fp0\n7: (95) exit",
         False),
        # A constant of which the condition to go away is true.
        ("5: (15) if r6 == 0x1 goto pc+2    ; R6=1\n6: (95) exit", True),
        # As Linux says itself where a number is less than itself.
        ("4: (3e) if w7 >= w7 goto pc+3\nverifier bug: REG INVARIANTS VIOLATION (false_reg1): "
         "range bounds violation u32=[0x3, 0x2]\n4: R7=scalar()", True),
        # It is known that the jump is taken.
        ("5: (15) if r6 == 0x1 goto pc+2    ; R6=1\n8: (95) exit", False),
    ],
)  # fmt: skip
def test_is_found(log: str, impossible: bool) -> None:
    assert has_impossible_number(log) is impossible
