"""Numbers of 64 bits and their halves."""

from bpfheap.fuzz.theme import Theme
from bpfheap.fuzz.themes.frames import END, INDEX, NUMBERS

THEME = Theme(
    "widths",
    "arithmetic and comparisons of 64 bits and of 32 on the same numbers",
    frozenset({"maps"}),
    f"{NUMBERS}BODY\nLAST\n{END}",
    (
        "r{a} = r{b}",
        "w{a} = w{b}",
        "r{a} = (s32)r{b}",
        "r{a} += 1",
        "w{a} += -1",
        "r{a} += r{b}",
        "r{a} <<= 32",
        "r{a} >>= 32",
        "r{a} s>>= 32",
        "w{a} &= 7",
        "if r{a} > 7 goto out",
        "if r{a} s> 7 goto out",
        "if w{a} > 7 goto out",
        "if w{a} s< 0 goto ?",
        "if r{a} s< 0 goto out",
        "if r{a} == r{b} goto ?",
    ),
    (6, 7),
    (INDEX,),
)
