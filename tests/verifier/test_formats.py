"""Formats that the verifier has to know; tests/oracle/test_snprintf.py asks Linux."""

from __future__ import annotations

import pytest

from bpfheap.verifier.calls.strings import conversions


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ("", 0),
        ("text", 0),
        ("100%%", 0),
        ("tab\tand line\n", 0),
        ("\x80 \xe4 \xff", 0),
        ("%d", 1),
        ("%d%%%d", 2),
        ("%i%u%x%X", 4),
        ("%ld%lld", 2),
        ("%05d%-5d%+ d%0+123456d", 4),
        ("%c%5c%cx", 3),
        ("%s", 1),
        ("%s%s.%10s ", 3),
        ("%s\xa0%s\xd7", 2),
        ("%p%p!%px%pxy%pK%pS%ps%pBb", 8),
        ("%pi4%pI6%pi6x", 3),
        ("%pks%pus,", 2),
    ],
)
def test_values_are_counted(form: str, values: int) -> None:
    assert conversions(form.encode("latin-1")) == values


@pytest.mark.parametrize(
    "form",
    ["%", "%5%", "%o", "%llld", "%hd", "%zu", "%lc", "%ls", "%#x", "%.3d", "%5 d", "%pi5", "%pI",
     "%pM", "%pksx", "%pk", "%pd", "%sx", "%s\xe4", "%p\x80", "\x01", "\x7f"],
)  # fmt: skip
def test_others_are_refused(form: str) -> None:
    assert conversions(form.encode("latin-1")) is None
