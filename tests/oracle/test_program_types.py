"""Which helpers programs of each type have, and what they may return: our verdict is Linux's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import SYSTEM, Types, program, section_of

from bpfheap.kernel import Kernel
from bpfheap.platform.calls import HELPERS
from bpfheap.platform.programs import PROGRAM_TYPES, program_type
from bpfheap.spec import ObjectSpec
from bpfheap.verifier import Options, verify

TYPES = Types({"foo": {"var": "int"}})
FOO = TYPES.id_of("struct foo")
BTF = TYPES.build()
OBJ = ObjectSpec("types", BTF, {}, {}, kernel=SYSTEM)

_REFUSED = "program of this type cannot use helper"
#: Helpers that a kernel lacks where it was built so, or a lockdown takes them away.
_NOT_EVERYWHERE = {"bpf_override_return", "bpf_probe_write_user"}
_LACKING = (
    _REFUSED, "unknown func", "not supported for", "supported only for", "not allowed in probe",
)  # fmt: skip
_KNOWN = [row for row in PROGRAM_TYPES if not row.kernel_types]


def _each(*facts: str) -> tuple[str, ...]:
    """A section of each type for which these facts differ from those of its other rows."""
    found = {(row.name, *(getattr(row, f) for f in facts)): section_of(row) for row in _KNOWN}
    return tuple(found.values())


def _live(oracle: Kernel, section: str) -> None:
    """Skip what this kernel was built without."""
    spec = program("r0 = 1\nexit", BTF, section)
    if not oracle.verify(OBJ, spec).accepted:
        pytest.skip(f"this kernel has no {section} programs")


@pytest.mark.parametrize("section", _each("caller"), ids=lambda name: name.replace("/", "-"))
def test_helpers(section: str, oracle: Kernel) -> None:
    _live(oracle, section)
    differ = []
    for call in HELPERS:
        if call.ours:
            continue
        code = f"r2 = 0\nr3 = 0\nr4 = 0\nr5 = 0\ncall {call.name}\nr0 = 1\nexit"
        spec = program(code, BTF, section)
        error = verify(OBJ, spec, Options(explain=False)).error
        refused = error is not None and error.message.startswith(_REFUSED)
        linux = oracle.verify(OBJ, spec, stats=True).log
        lacks = any(what in linux for what in _LACKING)
        if refused != lacks and not (lacks and call.name in _NOT_EVERYWHERE):
            differ.append(f"{call.name}: {linux if refused else 'Linux has no such helper there'}")
    assert not differ, "\n".join(differ)


@pytest.mark.parametrize("section", _each("objects"), ids=lambda name: name.replace("/", "-"))
def test_objects(section: str, oracle: Kernel) -> None:
    _live(oracle, section)
    row = program_type(section)
    assert row is not None
    code = f"r1 = {FOO}\nr2 = 0\ncall kfunc bpf_obj_new_impl\nr0 = 1\nexit"
    linux = oracle.verify(OBJ, program(code, BTF, section), stats=True).log
    assert ("bpf_obj_new_impl is not allowed" not in linux) == row.objects, linux


@pytest.mark.parametrize("section", _each("returns"), ids=lambda name: name.replace("/", "-"))
def test_results(section: str, oracle: Kernel) -> None:
    _live(oracle, section)
    differ = []
    for result in ("r0 = -1", "r0 = 0", "r0 = 1", "r0 = 2", "r0 = 3", "r0 = 4",
                   "call bpf_get_prandom_u32", "call bpf_get_prandom_u32\nr0 &= 1",
                   "call bpf_get_prandom_u32\nr0 &= 3", "r0 = r1"):  # fmt: skip
        spec = program(f"{result}\nexit", BTF, section)
        ours = verify(OBJ, spec, Options(explain=False)).accepted
        if ours != oracle.verify(OBJ, spec).accepted:
            differ.append(f"{result}: {'we' if ours else 'Linux'} accept")
    assert not differ, "\n".join(differ)
