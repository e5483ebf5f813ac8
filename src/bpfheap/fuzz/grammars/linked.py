"""Copies of a number, at constant distances from it, in registers and on the stack."""

from bpfheap.fuzz.grammar import Grammar

GRAMMAR = Grammar(
    "linked",
    "copies of a number at constant distances, on 64 bits and on 32, more than can be noted",
    frozenset({"maps"}),
    {
        "body": (
            "<links>\nunless <outside 6> {\n<noise>\n<use 7>\n}",
            "<links>\nunless <outside 7> {\n<noise>\n<use 6>\n}",
            "<links>\nunless <test 7> {\n<noise>\n<settle>\n}",
            "<links>\n<noise>\nunless <test 7> {\n<links>\nunless <test 6> {\n<settle>\n}\n}",
            "<many>\nunless <outside 1> {\n<noise>\n<settle>\n}",
            "<many>\nunless <outside 6> {\n<noise>\n<use 2>\n}",
            "<many>\nunless r6 == r7 {\nr0 = 1\n} else {\n<noise>\n<use $a>\n}",
            "unless <flip> {\n<links>\n}\nunless <outside 6> {\n<noise>\n<settle>\n}",
            "unless <flip> {\n<links>\n} else {\n<links>\n}\nunless <outside 7> {\n<use 6>\n}",
            "unless <flip> {\n<mask 6>\n}\n<links>\nunless <outside 7> {\n<use 6>\n}",
            "<make 8>\n<links>\nunless <flip> {\nr0 = 0\n}\nunless r6 > r8 {\n<use 7>\n}",
        ),
        "links": (
            "r7 = r6",
            "r7 = r6",
            "w7 = w6",
            "r6 = r7",
            "r7 = r6\nr7 += <step>",
            "r7 = r6\nw7 += <step>",
            "w7 = w6\nw7 += <step>",
            "r7 = r6\nr7 += <step>\nr6 += <step>",
            "r6 = *(u32 *)(r9 +<word>)\nr7 = r6\nr7 += <step>",
            "r6 = *(u32 *)(r9 +<word>)\nw7 = w6\nw7 += <step>",
            "r7 = r6\n<links>",
            "*(u64 *)(r10 -16) = r6\n<links>\nr6 = *(u64 *)(r10 -16)",
            "*(u64 *)(r10 -16) = r6\nr7 = *(u64 *)(r10 -16)",
            "*(u32 *)(r10 -16) = r6\nr7 = *(u32 *)(r10 -16)",
            "*(u64 *)(r10 -16) = r6\n*(u64 *)(r10 -24) = r6\n<links>\nr7 = *(u64 *)(r10 -24)",
            "r7 = (s32)r6",
            "r7 = (s8)r6",
        ),
        "many": (
            "r1 = r6\nr2 = r6\nr3 = r6\nr4 = r6\nr5 = r6\nr7 = r6\nr8 = r6\nr0 = r6",
            "r1 = r6\nr2 = r6\nr3 = r6\nr4 = r6\nr5 = r6\nr7 = r6\n*(u64 *)(r10 -16) = r6\n"
            "*(u64 *)(r10 -24) = r6",
            "r1 = r6\nr2 = r6\nr2 += 1\nr3 = r6\nr4 = r6\nr4 += -1\nr5 = r6\nr7 = r6",
            "r1 = r6\nr2 = r6\n*(u64 *)(r10 -16) = r6\n*(u64 *)(r10 -24) = r6\n"
            "*(u64 *)(r10 -32) = r6\n*(u64 *)(r10 -40) = r6\n*(u64 *)(r10 -48) = r6\nr7 = r6",
        ),
        "test": (
            "<outside $1>",
            "<outside $1>",
            "w$1 > $k",
            "r$1 s> $k",
            "r$1 != <small>",
            "w$1 != <small>",
            "r$1 <cmp> <imm>",
            "r$1 <cmp> r8",
            "r$1 & <imm>",
        ),
        "settle": (
            "<use 6>",
            "<use 7>",
            "<checked 6>",
            "<checked 7>",
            "r6 = *(u64 *)(r10 -16)\n<use 6>",
            "r0 = r6\nr0 -= r7\nr6 = r0\n<checked 6>",
            "r6 -= r7\n<checked 6>",
        ),
    },
)
