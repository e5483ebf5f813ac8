"""A number that is compared through a copy of it: each comparison, of each width."""

from bpfheap.fuzz.grammar import Grammar

GRAMMAR = Grammar(
    "compared",
    "compared through a copy: signed and not, 64 bits and 32, bits that are set, both ways",
    frozenset({"maps"}),
    {
        "body": (
            "<copy>\n<tests>",
            "<apart 6>\n<copy>\n<tests>",
            "<copy>\n<noise>\n<tests>",
            "<limit>\n<copy>\n<tests>",
            "<limit>\n<apart 6>\n<tests>",
            "<copy>\nunless <flip> {\n<copy>\n}\n<tests>",
        ),
        "copy": (
            "r7 = r6",
            "r7 = r6",
            "w7 = w6",
            "w6 = w6\nr7 = r6",
            "*(u64 *)(r10 -16) = r6\nr7 = *(u64 *)(r10 -16)",
            "r7 = (s32)r6",
            "r7 = (s8)r6",
            "w7 = (s16)w6",
            "r6 &= 255\nr7 = r6",
            "r0 = 0",
        ),
        # r8 is a number of which something is known.
        "limit": ("r8 = $k", "r8 &= $k", "w8 = $beyond", "r8 &= 255", "<apart 8>", "r8 = -1"),
        "tests": (
            "unless <outside 7> {\n<last>\n}",
            "unless <outside $a> {\n<last>\n}",
            "unless <cond> {\n<tests>\n}",
            "unless <cond> {\n<tests>\n} else {\n<last>\n}",
            "unless <cond> {\n<narrow>\n} else {\n<narrow>\n}\n<noise>\n<checked 6>",
            "unless r7 s> $k {\nunless r7 s< 0 {\n<last>\n}\n}",
            "unless w7 s> $k {\nunless w7 s< 0 {\n<last>\n}\n}",
            "unless r7 & -$beyond {\n<last>\n}",
            "unless r7 > r8 {\n<last>\n}",
        ),
        "narrow": ("r0 = 1", "<make 6>", "<use 6>", "<checked 7>", "unless <cond> {\nr0 = 1\n}"),
        "cond": (
            "r$a <cmp> <imm>",
            "w$a <cmp> <imm>",
            "r$a <cmp> r$b",
            "w$a <cmp> w$b",
            "r7 <cmp> $k",
            "w7 <cmp> $k",
            "r7 <cmp> $beyond",
            "r7 <cmp> r8",
            "w7 <cmp> w8",
            "r8 <cmp> r7",
        ),
        "last": (
            "<use 6>",
            "<use 6>",
            "<use 7>",
            "<checked 6>",
            "<noise>\n<use 6>",
            "w6 = w6\n<use 6>",
        ),
    },
)
