"""Two slots of stack: stores and loads of each width, a branch, a join."""

from bpfheap.fuzz.theme import Theme
from bpfheap.fuzz.themes.frames import END, INDEX, NUMBERS

#: Widths in bits and offsets from r10: whole slots, both halves, both ends.
_PLACES = ((64, -16), (64, -24), (32, -16), (32, -12), (16, -16), (8, -16), (8, -9))

THEME = Theme(
    "stack",
    "two slots of stack, stores and loads of each width, a branch, a join",
    frozenset({"maps"}),
    f"{NUMBERS}BODY\nLAST\n{END}",
    (
        *(f"*(u{bits} *)(r10 {at}) = r{{a}}" for bits, at in _PLACES),
        *(f"r{{a}} = *(u{bits} *)(r10 {at})" for bits, at in _PLACES),
        "*(u64 *)(r10 -16) = 0",
        "*(u32 *)(r10 -12) = 0",
        "*(u8 *)(r10 -16) = 0",
        "r{a} = 3",
        "if r{a} > 7 goto out",
        "if r8 == 0 goto ?",
    ),
    (6, 7),
    (INDEX,),
)
