"""Registers that are known to be equal, or to differ by a constant, in registers and on the
stack."""

from bpfheap.fuzz.theme import Theme
from bpfheap.fuzz.themes.frames import END, INDEX, NUMBERS

THEME = Theme(
    "linked",
    "copies of numbers, what is added to them, and what a comparison of one tells of the others",
    frozenset({"maps"}),
    f"{NUMBERS}BODY\nLAST\n{END}",
    (
        "r{a} = r{b}",
        "w{a} = w{b}",
        "r{a} += 1",
        "w{a} += 1",
        "*(u64 *)(r10 -16) = r{a}",
        "r{a} = *(u64 *)(r10 -16)",
        "*(u32 *)(r10 -16) = r{a}",
        "r{a} = *(u32 *)(r10 -16)",
        "if r{a} > 7 goto ?",
        "if r{a} > 7 goto out",
        "if w{a} > 7 goto out",
        "if r{a} == r{b} goto ?",
    ),
    (6, 7),
    (INDEX,),
)
