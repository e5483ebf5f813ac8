"""Pointers into the packet, and comparisons of them with its end."""

from bpfheap.fuzz.theme import Theme
from bpfheap.fuzz.themes.frames import END

THEME = Theme(
    "packets",
    "pointers into the packet, compared with its end",
    frozenset(),
    f"""
r6 = *(u32 *)(r1 +76)
r7 = *(u32 *)(r1 +80)
r8 = *(u32 *)(r1 +0)
r2 = r6
r3 = r6
BODY
LAST
{END}""",
    (
        "r{a} = r{b}",
        "r{a} = r6",
        "r{a} += 8",
        "r{a} += -8",
        "r{a} += r8",
        "r8 &= 7",
        "if r{a} > r7 goto ?",
        "if r7 > r{a} goto ?",
        "if r{a} > r7 goto out",
        "if r{a} >= r7 goto out",
        "if r8 > 8 goto out",
        "r0 = *(u64 *)(r{a} +0)",
        "r0 = *(u64 *)(r{a} -8)",
    ),
    (2, 3),
    ("r0 = *(u8 *)(r{a} +0)", "r0 = *(u8 *)(r{a} -1)", "r0 = *(u8 *)(r6 +7)"),
)
