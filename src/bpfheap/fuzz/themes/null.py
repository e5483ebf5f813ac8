"""Pointers that may be NULL, and the checks of them."""

from bpfheap.fuzz.theme import Theme
from bpfheap.fuzz.themes.frames import END, looked_up

THEME = Theme(
    "null",
    "two look-ups, their copies, NULL and the checks for it",
    frozenset({"maps"}),
    f"""
r8 = *(u32 *)(r1 +0)
{looked_up("counts", 0, 6)}
{looked_up("counts", 1, 7)}
BODY
LAST
{END}""",
    (
        "r{a} = r{b}",
        "r{a} = 0",
        "r{a} += 8",
        "*(u64 *)(r10 -16) = r{a}",
        "r{a} = *(u64 *)(r10 -16)",
        "if r{a} == 0 goto ?",
        "if r{a} != 0 goto ?",
        "if r{a} == 0 goto out",
        "if w{a} == 0 goto out",
        "if r{a} == r{b} goto ?",
        "if r{a} != r{b} goto ?",
        "if r8 == 0 goto ?",
        "r0 = *(u8 *)(r{a} +0)",
    ),
    (6, 7),
    ("r0 = *(u8 *)(r{a} +0)",),
)
