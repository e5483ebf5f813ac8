"""Where the values of a refused instruction came from: one way of coming about a test."""

from __future__ import annotations

from dataclasses import replace

import pytest
from verifier_cases import Case, Types, cases, expand, program

from bpfheap.errors import VerifierError
from bpfheap.platform.maps import BY_NAME
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, verify
from bpfheap.verifier.explain import path as paths

_TYPES = Types({})
_U32, _VALUE = _TYPES.id_of("u32"), _TYPES.id_of("u64[4]")
_BTF = _TYPES.build()
_MAPS = {
    "array": MapSpec("array", BY_NAME["array"].number, 4, 32, 4, _BTF, 0, _U32, _VALUE),
    "hash": MapSpec("hash", BY_NAME["hash"].number, 4, 32, 4, _BTF, 0, _U32, _VALUE),
    "progs": MapSpec("progs", BY_NAME["prog_array"].number, 4, 4, 2, _BTF, 0, _U32, _U32),
}
_OBJ = ObjectSpec("cases", _BTF, _MAPS, {})
_VALUE_IN_R7 = """
    r6 = r1
    *(u32 *)(r10 -4) = 0
    r2 = r10
    r2 += -4
    r1 = map[name:array] ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r7 = r0
"""


def refused(code: str, *, spec: ProgramSpec | None = None) -> VerifierError:
    snippets = {"value": _VALUE_IN_R7}
    error = verify(_OBJ, spec or program(expand(code, {}, snippets), _BTF)).error
    assert isinstance(error, VerifierError)
    return error


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            """%value
            r1 = r6
            call subjump
            r7 += r0
            r0 = *(u8 *)(r7 +0)
            out: r0 = 0
            exit
            subjump: r2 = map[name:progs] ll
            r3 = 0
            call bpf_tail_call
            r0 = 0
            exit""",
            "was left by subjump() in a tail call",
        ),
        (
            """%value
            r1 = r7
            call sublook
            out: r0 = 0
            exit
            sublook: r2 = *(u64 *)(r10 -8)
            r1 += r2
            r0 = *(u8 *)(r1 +0)
            exit""",
            "loaded from the stack at fp-8",
        ),
        (
            """%value
            call bpf_get_prandom_u32
            *(u64 *)(r10 -16) = r0
            r1 = r6
            r2 = 0
            r3 = r7
            r4 = 4
            call bpf_skb_load_bytes
            r8 = *(u64 *)(r10 -16)
            r7 += r8
            r0 = *(u8 *)(r7 +0)
            out: r0 = 0
            exit""",
            "came from bpf_get_prandom_u32",
        ),
        (
            """%value
            r8 = 1
            r8 = atomic64_fetch_add((u64 *)(r7 +0), r8)
            r7 += r8
            r0 = *(u8 *)(r7 +0)
            out: r0 = 0
            exit""",
            "is what an atomic operation at",
        ),
        (
            """r1 = func[name:subnone] ll
            r0 = *(u64 *)(r1 +0)
            exit
            subnone: r0 = 0
            exit""",
            "the address of subnone",
        ),
        (
            """%value
            call bpf_get_prandom_u32
            r1 = r0
            r2 = func[name:subturn] ll
            r3 = r10
            r3 += -16
            *(u64 *)(r10 -16) = r7
            r4 = 0
            call bpf_loop
            out: r0 = 0
            exit
            subturn: r2 = *(u64 *)(r2 +0)
            r2 += r1
            r0 = *(u8 *)(r2 +0)
            r0 = 0
            exit""",
            "r1 was never given a value in subturn()",
        ),
        (
            """r1 = *(u32 *)(r1 +0)
            l: if r1 > 1 goto a
            a: if r1 > 2 goto b
            b: if r1 > 3 goto c
            c: if r1 > 4 goto d
            d: if r1 > 5 goto e
            e: if r1 > 6 goto l
            goto l""",
            "the loop goes on while",
        ),
    ],
    ids=["tail call", "stack never written", "past a helper", "atomic", "function", "index",
         "many conditions"],
)  # fmt: skip
def test_how_it_came_about(code: str, said: str) -> None:
    history = refused(code).history
    assert any(said in sentence for sentence in history), history


def test_a_value_from_too_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpfheap.verifier.explain.beginnings.MAX_READ", 20)
    monkeypatch.setattr("bpfheap.verifier.explain.trace.MAX_READ", 20)
    code = "%value\ncall bpf_get_prandom_u32\nr8 = r0\n" + "r9 = 0\n" * 30
    history = refused(f"{code} r7 += r8\nr0 = *(u8 *)(r7 +0)\nout: r0 = 0\nexit").history
    assert any("more than 20 instructions before" in sentence for sentence in history), history


def test_a_callback_whose_type_is_not_there() -> None:
    code = """
        r1 = map[name:hash] ll
        r2 = func[name:subeach] ll
        r3 = 0
        r4 = 0
        call bpf_for_each_map_elem
        r0 = 0
        exit
        subeach: r0 = *(u64 *)(r3 +32)
        r0 = 0
        exit
    """
    spec = program(code, _BTF)
    main, each = spec.subprogs
    each = replace(each, func_id=1 << 20)
    history = refused("", spec=replace(spec, subprogs=(main, each))).history
    assert any("argument 3 of subeach()" in sentence for sentence in history), history


_REJECTED = [case for case in cases() if case.expected["verdict"] == "reject"]


@pytest.mark.parametrize("reached", [1, 4])
def test_states_that_are_not_found_again_are_done_without(
    monkeypatch: pytest.MonkeyPatch, reached: int
) -> None:
    """Whatever the program, sentences are told, fewer maybe."""

    def told(case: Case) -> int:
        error = verify(
            case.obj, case.program, Options(complexity_limit=case.complexity_limit)
        ).error
        assert error is None or all(s and "\n" not in s for s in error.history)
        return 0 if error is None else sum(map(len, error.history))

    some = _REJECTED[::3]
    whole = sum(map(told, some))
    monkeypatch.setattr(paths, "_MAX_REPLAYED", reached)
    assert 0 < sum(map(told, some)) < whole
