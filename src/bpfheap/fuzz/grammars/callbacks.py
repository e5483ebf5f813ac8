"""Callbacks of bpf_loop and bpf_for_each_map_elem, and what they change on their caller's stack."""

from itertools import permutations

from bpfheap.fuzz.grammar import Grammar

GRAMMAR = Grammar(
    "callbacks",
    "what callbacks change on their caller's stack, from one call to the next",
    frozenset({"maps", "callbacks"}),
    {
        "start": (
            "*(u32 *)(r10 -4) = <key>\nr2 = r10\nr2 += -4\nr1 = map[name:<map>] ll\n"
            "call bpf_map_lookup_elem\nunless r0 == 0 {\nr9 = r0\n"
            "<fetch 6>\n<fetch 7>\n<fetch 8>\n<body>\n}\nr0 = 0\nf1:\n<loop_callback>\n"
            "f2:\n<walk_callback>",
        ),
        "body": (
            "<context>\n<call>\n<after>",
            "<make 6>\n<context>\n<call>\n<after>",
            "<apart 6>\n<context>\n<call>\n<after>",
            "<context>\n<call>\n<call>\n<after>",
            "<context>\nunless <flip> {\n<call>\n}\n<after>",
            "<context>\nunless <flip> {\n<call>\n} else {\n<call>\n}\n<after>",
            "unless r6 > $k {\n<context>\n<call>\n<after>\n}",
            "<few_calls>\n<all_marks>",
            "<few_calls>\n<all_marks>",
        ),
        # What the callback is lent: -24 (number or pointer) and -16.
        "context": (
            "*(u64 *)(r10 -24) = 0\n*(u64 *)(r10 -16) = 0",
            "*(u64 *)(r10 -24) = r6\n*(u64 *)(r10 -16) = 0",
            "*(u64 *)(r10 -24) = <small>\n*(u64 *)(r10 -16) = r6",
            "*(u64 *)(r10 -24) = r9\n*(u64 *)(r10 -16) = 0",
            "*(u64 *)(r10 -24) = r9\n*(u64 *)(r10 -16) = r6",
            "*(u64 *)(r10 -24) = $k\n*(u64 *)(r10 -16) = $k",
        ),
        "call": (
            "r2 = func f1\nr1 = <times>\nr3 = r10\nr3 += -24\nr4 = 0\ncall bpf_loop\n<told>",
            "r2 = func f1\nr1 = <times>\nr3 = r10\nr3 += -24\nr4 = 0\ncall bpf_loop\n<told>",
            "r2 = func f1\nr1 = r8\nr3 = r10\nr3 += -24\nr4 = 0\ncall bpf_loop",
            "r2 = func f1\nr1 = 2\nr3 = 0\nr4 = 0\ncall bpf_loop",
            "r1 = map[name:<walked>] ll\n\nr2 = func f2\nr3 = r10\nr3 += -24\nr4 = 0\n"
            "call bpf_for_each_map_elem\n<told>",
        ),
        "walked": ("counts", "numbers"),
        "times": ("0", "1", "2", "3", "5", "100"),
        "told": ("", "r7 = r0", "r8 = r0"),
        "after": (
            "<reads>\n<use 6>",
            "<reads>\n<checked 6>",
            "<reads>\n<checked 6>",
            "<use 6>",
            "<checked 6>",
            "<checked 7>",
            "r1 = *(u64 *)(r10 -24)\nr0 = *(u64 *)(r1 +32)",
            "<reads>\nunless r6 == <small> {\n<bad>\n}",
        ),
        "reads": (
            "r6 = *(u64 *)(r10 -16)",
            "r6 = *(u64 *)(r10 -16)",
            "r6 = *(u64 *)(r10 -24)",
            "r6 = *(u32 *)(r10 -16)",
            "r6 = *(u8 *)(r10 -16)",
        ),
        # Each call marks one of three slots: which of them can be marked after so few?
        "few_calls": (
            "*(u64 *)(r10 -32) = 0\n*(u64 *)(r10 -24) = 0\n*(u64 *)(r10 -16) = 0\n"
            "r2 = func f1\nr1 = <few>\nr3 = r10\nr3 += -32\nr4 = 0\ncall bpf_loop",
        ),
        "few": ("1", "2", "2", "3"),
        "all_marks": (
            "r1 = *(u64 *)(r10 -32)\nr2 = *(u64 *)(r10 -24)\nr3 = *(u64 *)(r10 -16)\n"
            "unless r1 <is_not> {\nunless r2 <is_not> {\nunless r3 <is_not> {\n<bad>\n}\n}\n}",
        ),
        "is_not": ("!= 42", "!= 42", "!= 0"),
        # r7 = what it is lent, r6 = which call it is.
        "loop_callback": (
            "r6 = r1\nr7 = r2\nr8 = <small>\n<counts>\n<returns>",
            "r6 = r1\nr7 = r2\n<marks>\nr0 = 0",
        ),
        # r6 = the value, r7 = what it is lent.
        "walk_callback": ("r6 = r3\nr7 = r4\nr8 = *(u32 *)(r2 +0)\n<walks>\n<returns>",),
        "walks": (
            "r0 = *(u64 *)(r6 +32)",
            "<counts>",
            "*(u64 *)(r7 +0) = r6",
            "*(u64 *)(r7 +0) = r6\n*(u64 *)(r7 +8) = r8",
            "r1 = *(u64 *)(r7 +0)\nunless r1 == 0 {\nr0 = *(u8 *)(r1 +0)\n}\n*(u64 *)(r7 +0) = r6",
            "r1 = *(u64 *)(r6 +8)\n*(u64 *)(r7 +8) = r1",
        ),
        "marks": tuple(
            "call bpf_get_prandom_u32\nunless r0 & 1 {\n"
            f"*(u64 *)(r7 +{one}) = 42\n}} else {{\nunless r0 & 2 {{\n*(u64 *)(r7 +{two}) = 42\n"
            f"}} else {{\n*(u64 *)(r7 +{three}) = 42\n}}\n}}"
            for one, two, three in permutations((0, 8, 16))
        ),
        "counts": (
            "<count>",
            "<count>",
            "<count>\n<count>",
            "unless r6 > <times> {\n<count>\n}",
            "unless r6 == 0 {\n<count>\n} else {\n<count>\n}",
            "r1 = *(u64 *)(r7 +8)\nunless r1 >= $k {\nr1 += 1\n*(u64 *)(r7 +8) = r1\n}",
            "r1 = *(u64 *)(r7 +8)\nunless r1 == 0 {\nr1 += -1\n*(u64 *)(r7 +8) = r1\n}",
        ),
        "count": (
            "r1 = *(u64 *)(r7 +8)\nr1 += 1\n*(u64 *)(r7 +8) = r1",
            "r1 = *(u64 *)(r7 +0)\nr1 += -1\n*(u64 *)(r7 +0) = r1",
            "r1 = *(u64 *)(r7 +8)\nr1 += 1\nr1 &= $k\n*(u64 *)(r7 +8) = r1",
            "*(u64 *)(r7 +8) = <small>",
            "*(u64 *)(r7 +8) = r6",
            "*(u64 *)(r7 +0) = r7",
            "r1 = *(u64 *)(r7 +0)\n*(u64 *)(r7 +8) = r1\n*(u64 *)(r7 +0) = <small>",
            "r1 = *(u64 *)(r7 +8)\nr2 = *(u64 *)(r7 +0)\n*(u64 *)(r7 +8) = r2\n"
            "*(u64 *)(r7 +0) = r1",
            "*(u32 *)(r7 +8) = <small>",
            "*(u8 *)(r7 +9) = <tiny>",
            "r1 = *(u32 *)(r7 +8)\n*(u64 *)(r7 +8) = r1",
            "r0 = 0",
            "*(u64 *)(r10 -16) = r7\nr7 = *(u64 *)(r10 -16)",
        ),
        "returns": ("r0 = 0", "r0 = 0", "r0 = 1", "r0 = r8\nr0 &= 1",
                    "r0 = 0\nunless r6 == 2 {\nr0 = 1\n}"),
    },
)  # fmt: skip
