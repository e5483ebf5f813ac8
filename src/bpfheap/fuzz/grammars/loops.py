"""Bounded loops: counters, bounds, and what is left of them behind the loop."""

from bpfheap.fuzz.grammar import Grammar

GRAMMAR = Grammar(
    "loops",
    "bounded loops with one counter or two, up and down, and what is left of them behind the loop",
    frozenset({"maps", "loops"}),
    {
        "body": (
            "<begin>\n<loop_>\n<after>",
            "<make 6>\n<begin>\n<loop_>\n<after>",
            "<apart 6>\n<loop_>\n<after>",
            "<begin>\nunless <flip> {\n<loop_>\n}\n<after>",
            "<begin>\n<loop_>\n<begin>\n<loop_>\n<after>",
        ),
        "begin": (
            "r6 = 0\n*(u64 *)(r10 -16) = 0\n*(u64 *)(r10 -24) = 0",
            "r6 = 0\n*(u64 *)(r10 -16) = r7\n*(u64 *)(r10 -24) = 0",
            "r6 = $k\n*(u64 *)(r10 -16) = $k\n*(u64 *)(r10 -24) = r8",
            "r6 = 0\nr7 = $k\n*(u64 *)(r10 -16) = 0\n*(u64 *)(r10 -24) = 0",
        ),
        "loop_": (
            "loop {\n<inner>\nr6 += 1\n} while r6 < <most>",
            "loop {\n<inner>\nw6 += 1\n} while w6 < <most>",
            "loop {\n<inner>\nr6 += 1\n} while r6 != $k",
            "loop {\n<inner>\nr6 += 2\n} while r6 s<= $k",
            "r7 &= 7\nloop {\nleave if r6 >= r7\n<inner>\nr6 += 1\n} again",
            "r6 = <most>\nloop {\n<inner>\nr6 += -1\n} while r6 s> 0",
            "r6 = <most>\nloop {\nleave if r6 == 0\n<inner>\nr6 += -1\n} again",
            "*(u64 *)(r10 -24) = <most>\nloop {\n<inner>\nr1 = *(u64 *)(r10 -24)\nr1 += -1\n"
            "*(u64 *)(r10 -24) = r1\n} while r1 s> 0",
            "*(u32 *)(r10 -24) = 0\nloop {\n<inner>\nr1 = *(u32 *)(r10 -24)\nr1 += 1\n"
            "*(u32 *)(r10 -24) = r1\n} while r1 < <most>",
            "loop {\nr6 += 1\nleave if r8 == 0\n<inner>\n} while r6 < <most>",
        ),
        "most": ("1", "2", "3", "5", "$k", "8"),
        "inner": (
            "r0 = 0",
            "<noise>",
            "unless <flip> {\nr7 = <small>\n}",
            "r7 += 1",
            "<store 6>",
            "<put>",
            "<fill 7>",
            "r1 = *(u64 *)(r10 -16)\nr1 += 1\n*(u64 *)(r10 -16) = r1",
            "unless <flip> {\n*(u64 *)(r10 -16) = r6\n}",
            "unless r6 > $k {\n<use_>\n}",
            "r7 = r6",
            "<noise>\n<inner>",
            "unless r7 > $k {\nr0 = r9\nr0 += r7\nr0 = *(u8 *)(r0 +$e1)\n}",
        ),
        "use_": ("r0 = r9\nr0 += r6\nr0 = *(u8 *)(r0 +$e1)",),
        "after": (
            "<checked 6>",
            "<use 6>",
            "<checked 7>",
            "<use 7>",
            "r6 = *(u64 *)(r10 -16)\n<use 6>",
            "r6 = *(u64 *)(r10 -16)\n<checked 6>",
            "<fill 6>\n<checked 6>",
            "unless r6 == <most> {\n<bad>\n}",
        ),
    },
)
