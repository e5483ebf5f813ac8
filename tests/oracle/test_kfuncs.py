"""The table of kfuncs against the kernel: which there are, and who may call them."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import SYSTEM, Types, program, section_of

from bpfheap.btf import DeclTag, Func
from bpfheap.kernel import Kernel
from bpfheap.platform.calls import left_out
from bpfheap.platform.kfuncs import KFUNCS, LAXEST, STRICTEST, KfuncFlag, kfunc_row
from bpfheap.platform.programs import PROGRAM_TYPES, ProgramType
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import Options, verify
from bpfheap.verifier.analysis.guess import why_not
from bpfheap.verifier.state.kernel import KernelTypes

_BTF = Types({}).build()
_OBJ = ObjectSpec("kfuncs", _BTF, {}, {}, kernel=SYSTEM)
#: What the verifier does for functions that it knows by name is none of their flags.
_BY_NAME = (
    KfuncFlag.GIVES_CONTEXT | KfuncFlag.GIVES_TYPE | KfuncFlag.UNREACHABLE | KfuncFlag.BOUND
    | KfuncFlag.CHANGES_MASK | KfuncFlag.READS_SLICE | KfuncFlag.WRITES_SLICE
)  # fmt: skip
_THERE = [row for row in PROGRAM_TYPES if not row.kernel_types]


@cache
def _tagged() -> set[str]:
    """The functions that the kernel's BTF tags as kfuncs."""
    types = SYSTEM.types()
    if types is None:
        pytest.skip("there are no types of a kernel here")
    tags = (types[n] for n in range(1, len(types)))
    functions = (types[t.type] for t in tags if isinstance(t, DeclTag) and t.name == "bpf_kfunc")
    return {function.name for function in functions if isinstance(function, Func)}


def test_each_has_a_row_or_is_left_out() -> None:
    assert [n for n in _tagged() if kfunc_row(n) is None and left_out(None, n) is None] == []


@pytest.mark.parametrize("row", _THERE, ids=lambda row: section_of(row).replace("/", "_"))
def test_who_may_call(row: ProgramType, oracle: Kernel) -> None:
    differ = []
    for kfunc in KFUNCS:
        if kfunc.name not in _tagged() or KfuncFlag.BOUND in kfunc.flags:
            continue
        spec = program(f"call kfunc {kfunc.name}\nr0 = 1\nexit", _BTF, section_of(row))
        linux = oracle.verify(_OBJ, spec, log=True)
        if not linux.log:
            pytest.skip(f"the kernel takes no {row.name} programs here: {linux.errno}")
        allowed = f"calling kernel function {kfunc.name} is not allowed" not in linux.log
        if kfunc.has(row) != allowed:
            differ.append(kfunc.name)
        assert verify(_OBJ, spec, Options(explain=False)).accepted == linux.accepted, kfunc.name
    assert differ == []


def test_a_guess_asks_for_what_any_row_asks_for() -> None:
    """What the rows of Linux's kfuncs have beyond STRICTEST shows in prototypes and names."""
    types = SYSTEM.types()
    if types is None:
        pytest.skip("there are no types of a kernel here")
    kernel = KernelTypes(types)
    guessed = 0
    for kfunc in KFUNCS:
        prototype = kernel.prototype(kfunc.name, SYSTEM)
        if prototype is None or not kernel.is_kfunc(prototype):
            continue
        if why_not(kfunc.name, prototype) is None:
            guessed += 1
            known = STRICTEST | LAXEST | KfuncFlag.RCU
            assert not kfunc.flags & ~known & ~_BY_NAME, kfunc.name
    assert guessed > 50
