"""Which instructions are in loops."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verifier_cases import Types, program

from bpfheap.verifier.analysis.cfg import Cfg
from bpfheap.verifier.analysis.loops import loops

BTF = Types({}).build()

#: Code, and by slot the number of the loop, as letters in the order in which they occur.
LOOPS = [
    ("r0 = 0\nexit", "--"),
    ("r0 = 0\nagain: r0 += 1\nif r0 < 9 goto again\nexit", "-aa-"),
    ("r0 = 0\nagain: goto again", "-a"),
    ("a: r0 = 0\nb: r0 += 1\nif r0 < 9 goto b\nif r0 < 99 goto a\nexit", "aaaa-"),
    ("a: r0 = 0\nif r0 < 9 goto a\nb: r0 = 0\nif r0 < 9 goto b\nexit", "aabb-"),
    ("if r1 > 1 goto b\na: r0 = 1\nb: r0 = 2\nif r0 > 3 goto a\nexit", "-aaa-"),
    ("a: if r1 > 1 goto out\nr1 += 1\ngoto a\nout: r0 = 0\nexit", "aaa--"),
    (
        "r1 = 1\nr2 = func[name:sub] ll\nr3 = 0\nr4 = 0\ncall bpf_loop\nr0 = 0\nexit\n"
        "sub: r0 = 0\nexit",
        "-----a----",
    ),
    (
        "a: call sub\nif r0 > 1 goto a\nexit\nsub: r0 = 0\nb: r0 += 1\nif r0 < 9 goto b\nexit",
        "aa--bb-",
    ),
]


def lettered(numbers: list[int]) -> str:
    names: dict[int, str] = {0: "-"}
    return "".join(names.setdefault(n, chr(ord("a") + len(names) - 1)) for n in numbers)


@pytest.mark.parametrize(("code", "said"), LOOPS)
def test_loops(code: str, said: str) -> None:
    assert lettered(loops(Cfg(program(code, BTF)))) == said


@given(st.lists(st.integers(0, 11), min_size=12, max_size=12))
def test_in_one_loop_is_who_reaches_each_other(targets: list[int]) -> None:
    """Conditional jumps from everywhere to anywhere."""
    lines = [f"l{i}: if r1 > {i} goto l{target}" for i, target in enumerate(targets)]
    cfg = Cfg(program("\n".join([*lines, "r0 = 0", "exit"]), BTF))
    reached = {i: {i + 1, target} for i, target in enumerate(targets)} | {12: {13}, 13: set[int]()}
    for _ in targets:
        reached = {i: to | {k for j in to for k in reached[j]} for i, to in reached.items()}
    found = loops(cfg)
    for i, to in reached.items():
        assert (found[i] > 0) == (i in to)
        for j in reached:
            if found[i]:
                assert (found[j] == found[i]) == (j in to and i in reached[j])
