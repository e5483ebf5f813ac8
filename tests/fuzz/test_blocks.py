"""Programs as text: what is written means the same when it is read, and nonsense is told."""

from __future__ import annotations

import pytest

from bpfheap.errors import UsageError
from bpfheap.fuzz.blocks import program_of, text_of
from bpfheap.fuzz.generate import random_program
from bpfheap.fuzz.grammars import GRAMMARS, aimed_program
from bpfheap.fuzz.hunt import listing
from bpfheap.fuzz.surroundings import ALL, linked

WHOLE = """\
SEC xdp
r6 = r1

r7 = 0
unless r7 > 0x3 {
r7 = 1
} else {
r7 = 2
unless w7 & 0x1 {
}
}
loop {
r1 = r10
leave if r7 == 0x0
r7 += -1
} again
loop {
r7 += 1
} while r7 s< 0x3
r2 = func f1
r1 = r7
call g1
r1 = type fuzz_leaf
r2 = 0
call kfunc bpf_obj_new_impl
f1:
call bpf_get_prandom_u32#7
g1:
r0 = 0
"""


def test_text_is_what_it_was() -> None:
    assert text_of(program_of(WHOLE)) == WHOLE


def test_the_program_of_a_text() -> None:
    made = program_of("r6 = 1\nunless r6 == 0 {\n# why\nr0 = 1\n} else {\nr0 = 2\n}")
    assert made.section == "tc"
    assert listing(made) == [
        "0: (b7) r6 = 1",
        "1: (15) if r6 == 0x0 goto pc+2",
        "2: (b7) r0 = 1",
        "3: (05) goto pc+1",
        "4: (b7) r0 = 2",
        "5: (95) exit",
    ]


def test_global_functions_are_verified_apart() -> None:
    spec = linked(program_of("r1 = 0\ncall g1\ncall f1\nf1:\nr0 = 0\ng1:\nr0 = 0"))
    assert {sub.name: sub.is_global for sub in spec.subprogs[1:]} == {"f1": False, "g1": True}


@pytest.mark.parametrize("index", range(30))
def test_any_program_has_a_text(index: int) -> None:
    grammar = list(GRAMMARS)[index % len(GRAMMARS)]
    for made in (random_program(7, index, ALL), aimed_program(7, index, ALL, grammar)):
        again = program_of(text_of(made))
        assert linked(again) == linked(made)
        assert text_of(again) == text_of(made)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unless r1 == 0 {", "a block has no end"),
        ("unless r1 == 0 {\n} else {\n} else {", "a branch has no end"),
        ("loop {\n}", "a loop has no end"),
        ("}", "'}' ends no block"),
        ("leave if r0 == 0", "ends no block"),
        ("call f1", "there is no function f1"),
        ("r1 = type fuzz_tree", "there is no type fuzz_tree"),
        ("r0 = 0\nf1:\nr0 = 0\nf1:\nr0 = 0", "a function is defined twice"),
        ("r0 = nothing", "no such instruction"),
    ],
)
def test_nonsense(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        program_of(text)
