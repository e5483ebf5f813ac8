"""Numbers that are spilled in one width and filled in another, with zeros and unknown bytes around
them."""

from bpfheap.fuzz.grammar import Grammar

GRAMMAR = Grammar(
    "spilled",
    "spilled in one width and filled in another, at all places of two slots",
    frozenset({"maps"}),
    {
        "body": (
            "<slots>\n<make 6>\n<change>\n<read>",
            "<slots>\n<apart 6>\n<change>\n<noise>\n<read>",
            "<slots>\n<make 6>\n<whole>\n<change>\n<read>",
            "<make 6>\n<slots>\nunless <flip> {\n<change>\n} else {\n<change>\n}\n<noise>\n<read>",
            "<slots>\nunless r6 > $k {\n<change>\n<read>\n}",
            "<slots>\n<whole>\nunless r6 > $k {\n<noise>\n<read>\n}",
            "<slots>\n<store 6>\n<fill 7>\nunless <outside 7> {\n<noise>\n<back>\n<use 6>\n}",
        ),
        "whole": (
            "*(u64 *)(r10 -16) = r6",
            "*(u64 *)(r10 -24) = r6",
            "*(u64 *)(r10 -16) = r6\n*(u64 *)(r10 -24) = r6",
            "*(u32 *)(r10 -16) = r6",
            "store_release((u64 *)(r10 -16), r6)",
        ),
        "back": ("r6 = *(u64 *)(r10 -16)", "r6 = *(u32 *)(r10 -16)", "<fill 6>", "r0 = 0"),
        "change": (
            "<store 6>",
            "<put>",
            "<store 6>\n<put>",
            "<put>\n<store 6>",
            "<store $a>\n<change>",
            "unless <flip> {\n<put>\n}",
            "unless <flip> {\n<store 6>\n}",
            "unless <flip> {\n<store 6>\n} else {\n<put>\n}",
            "unless <flip> {\n<change>\n}\n<noise>",
            "<somewhere>",
            "<store 6>\n<fill 7>\n<store 7>",
            "r1 = r10\nr1 += -24\nr2 = r6\n*(u64 *)(r1 +8) = r2",
        ),
        # At an offset that is not known.
        "somewhere": (
            "r1 = r8\nr1 &= 8\nr1 += r10\nr1 += -24\n*(u64 *)(r1 +0) = <tiny>",
            "r1 = r8\nr1 &= 7\nr1 += r10\nr1 += -24\n*(u8 *)(r1 +0) = <tiny>",
            "r1 = r8\nr1 &= 12\nr1 += r10\nr1 += -24\n*(u32 *)(r1 +0) = r6",
            "r1 = r8\nr1 &= 1\nr1 += r10\nr1 += -16\n*(u8 *)(r1 +0) = r7",
        ),
        "read": (
            "<fill 6>\n<use 6>",
            "<fill 6>\n<use 6>",
            "<fill 6>\n<checked 6>",
            "<fill 7>\n<noise>\n<use 7>",
            "<fill 7>\nunless r7 == <small> {\n<bad>\n}",
            "r1 = r8\nr1 &= 7\nr1 += r10\nr1 += -24\nr6 = *(u8 *)(r1 +0)\n<use 6>",
            "r6 = *(u64 *)(r10 -16)\n<use 6>",
            "r6 = *(u32 *)(r10 -16)\n<use 6>",
            "r6 = load_acquire((u32 *)(r10 -16))\n<use 6>",
        ),
    },
)
