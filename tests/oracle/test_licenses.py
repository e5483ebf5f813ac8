"""Which programs may call what is for GPL programs only, by our verdict and the live kernel's."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from oracle_cases import lacks

from bpfheap.kernel import Kernel
from bpfheap.platform.calls import HELPERS, KFUNCS, Availability, Call
from bpfheap.platform.licenses import GPL_COMPATIBLE, is_gpl_compatible
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import verify

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import SYSTEM, Types, program, section_for

BTF = Types({"foo": {"var": "int"}}).build()
OBJ = ObjectSpec("licenses", BTF, {}, {}, kernel=SYSTEM)

HELPER = "cannot call GPL-restricted function from non-GPL compatible program"
KFUNC = "cannot call kernel function from non-GPL compatible program"

_PRINT = """
r1 = r10
r1 += -8
*(u64 *)(r10 -8) = 0
r2 = 8
call bpf_trace_printk
"""
_SECTION = "call kfunc bpf_rcu_read_lock\ncall kfunc bpf_rcu_read_unlock\n"
_END = "r0 = 0\nexit\n"
#: What a program calls, and what is said of it without a licence, "" for nothing.
PROGRAMS = {
    "a helper": (f"{_PRINT}{_END}", HELPER),
    "a helper in a function": (f"call subprint\n{_END}subprint:\n{_PRINT}{_END}", HELPER),
    # Linux asks where the walk comes along, and here it never does.
    "a helper in dead code": (f"r0 = 0\nif r0 == 0 goto out\n{_PRINT}out:\n{_END}", ""),
    "a kfunc": (f"{_SECTION}{_END}", KFUNC),
    "a kfunc in a function": (f"call subsection\n{_END}subsection:\n{_SECTION}{_END}", KFUNC),
    "a kfunc in dead code": (f"r0 = 0\nif r0 == 0 goto out\n{_SECTION}out:\n{_END}", KFUNC),
    "a helper for everybody": (f"call bpf_get_prandom_u32\n{_END}", ""),
    "nothing": (_END, ""),
}
LICENSES = (*GPL_COMPATIBLE, "", "gpl", "GPLv2", "GPL v3", "Proprietary", "MIT", "Dual BSD/GPL ")


def licensed(code: str, text: str) -> ProgramSpec:
    return replace(program(code, BTF), license=text)


@pytest.mark.parametrize("text", LICENSES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_ours(name: str, text: str) -> None:
    code, message = PROGRAMS[name]
    verdict = verify(OBJ, licensed(code, text))
    if message and text not in GPL_COMPATIBLE:
        assert verdict.error is not None
        assert verdict.error.message.startswith(message)
        assert "GPL" in (verdict.error.hint or "")
    else:
        assert verdict.accepted, verdict.error


@pytest.mark.parametrize("text", LICENSES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_kernel(oracle: Kernel, name: str, text: str) -> None:
    code, message = PROGRAMS[name]
    verdict = oracle.verify(OBJ, licensed(code, text), stats=True)
    refused = bool(message) and text not in GPL_COMPATIBLE
    assert (message or "non-GPL") in verdict.log if refused else verdict.accepted, verdict.log


_LINUX = [row for row in (*HELPERS, *KFUNCS) if row.availability is not Availability.OURS]


@pytest.mark.parametrize("row", _LINUX, ids=lambda row: row.name)
def test_the_row_says_what_linux_says(oracle: Kernel, row: Call) -> None:
    """Its arguments are wrong; the licence is looked at before them."""
    called = row.name if row.number is not None else f"kfunc {row.name}"
    section = "syscall" if row.sleepable else section_for(row)
    if lacks(oracle, row, section):
        pytest.skip(f"this kernel has no {row.name} in {section} programs")
    spec = replace(program(f"call {called}\n{_END}", BTF, section), license="")
    log = oracle.verify(OBJ, spec, stats=True).log
    assert ("non-GPL compatible" in log) == row.gpl, log


def test_texts() -> None:
    assert [text for text in LICENSES if is_gpl_compatible(text)] == list(GPL_COMPATIBLE)
