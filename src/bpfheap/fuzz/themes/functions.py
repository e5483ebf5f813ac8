"""Calls of global functions, which are walked apart, and of static ones, which are not."""

from bpfheap.fuzz.theme import Theme
from bpfheap.fuzz.themes.frames import END, INDEX, NUMBERS

THEME = Theme(
    "functions",
    "calls of a global function, which is walked apart, and of a static one, which is not",
    frozenset({"maps"}),
    f"""{NUMBERS}BODY\nLAST\n{END}
f1:
r0 = r1
if r0 > 7 goto more
exit
more:
r0 = 7
exit
g1:
r0 = r1
r0 &= 7
exit
""",
    (
        "r1 = r{a}\ncall g1\nr{a} = r0",
        "r1 = r{a}\ncall f1\nr{a} = r0",
        "r1 = r{a}\ncall f1\nr{b} = r0",
        "r{a} = r{b}",
        "r{a} = 3",
        "r{a} &= 15",
        "r{a} += 1",
        "*(u64 *)(r10 -16) = r{a}",
        "r{a} = *(u64 *)(r10 -16)",
        "if r{a} > 15 goto out",
        "if r{a} == r{b} goto ?",
        "if r8 == 0 goto ?",
    ),
    (6, 7),
    (INDEX,),
)
