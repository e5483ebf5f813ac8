"""How many maps and functions a program may have (MAX_USED_MAPS, BPF_MAX_SUBPROGS)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "verifier"))
from verifier_cases import Types, program

from bpfheap.kernel import Kernel
from bpfheap.platform.maps import BY_NAME
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec
from bpfheap.verifier import verify

_TYPES = Types({"u": {"n": "u64"}})
_KEY, _VALUE = _TYPES.id_of("u32"), _TYPES.id_of("u64")
_BTF = _TYPES.build()


def with_maps(number: int, kind: str = "array") -> tuple[ObjectSpec, ProgramSpec]:
    """Each is named twice."""
    maps = {
        f"m{i}": MapSpec(
            name=f"m{i}", type=BY_NAME[kind].number, btf=_BTF, key_size=4, value_size=8,
            max_entries=1, key=_KEY, value=_VALUE,
        )
        for i in range(number)
    }  # fmt: skip
    code = "\n".join(f"r1 = map[name:{name}] ll" for name in (*maps, *maps))
    return ObjectSpec("many", _BTF, maps, {}), program(f"{code}\nr0 = 0\nexit", _BTF)


def with_functions(number: int) -> tuple[ObjectSpec, ProgramSpec]:
    """The program itself is one of them."""
    calls = "\n".join(f"call sub{i}" for i in range(1, number))
    functions = "\n".join(f"sub{i}: r0 = 0\nexit" for i in range(1, number))
    spec = program(f"{calls}\nr0 = 0\nexit\n{functions}", _BTF)
    return ObjectSpec("many", _BTF, {}, {}), spec


CASES = {
    "64 maps": (with_maps(64), ""),
    "65 maps": (with_maps(65), "The total number of maps per program has reached the limit of 64"),
    "256 functions": (with_functions(256), ""),
    "257 functions": (with_functions(257), "too many subprograms"),
}
each = pytest.mark.parametrize(("made", "message"), CASES.values(), ids=CASES.keys())


@each
def test_ours(made: tuple[ObjectSpec, ProgramSpec], message: str) -> None:
    error = verify(*made).error
    assert ("" if error is None else error.message) == message


@each
def test_kernel(made: tuple[ObjectSpec, ProgramSpec], message: str, kernel: Kernel) -> None:
    verdict = kernel.verify(*made, stats=True)
    assert verdict.accepted == (not message)
    assert message in verdict.log


def test_allocators_are_no_maps_of_linux() -> None:
    assert verify(*with_maps(65, "allocator")).accepted
