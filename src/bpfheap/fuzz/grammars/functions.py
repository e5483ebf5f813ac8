"""Functions, static and global, what they are given and what they give back."""

from bpfheap.fuzz.grammar import Grammar

GRAMMAR = Grammar(
    "functions",
    "static functions, which are walked with their caller, and a global one, which is not",
    frozenset({"maps", "calls"}),
    {
        "start": (
            "*(u32 *)(r10 -4) = <key>\nr2 = r10\nr2 += -4\nr1 = map[name:<map>] ll\n"
            "call bpf_map_lookup_elem\nunless r0 == 0 {\nr9 = r0\n"
            "<fetch 6>\n<fetch 7>\n<fetch 8>\n<slots>\n<body>\n}\nr0 = 0\n"
            "f1:\n<of_number>\nf2:\n<of_pointer>\ng1:\n<global_>",
        ),
        "body": (
            "<number 6>\n<use 6>",
            "<number 6>\n<checked 6>",
            "<make 6>\n<number 7>\n<use 6>",
            "<apart 6>\n<number 6>\n<noise>\n<use 6>",
            "unless <flip> {\n<number 6>\n} else {\n<make 6>\n}\n<noise>\n<use 6>",
            "unless <outside 6> {\n<number 7>\n<use 6>\n}",
            "r7 = r6\n<number 6>\nunless <outside 7> {\n<use 6>\n}",
            "<make 6>\n*(u64 *)(r10 -16) = r6\n<pointer>\nr6 = *(u64 *)(r10 -16)\n<use 6>",
            "<apart 6>\n*(u64 *)(r10 -16) = r6\n<pointer>\n<noise>\n<fill 6>\n<checked 6>",
            "<pointer>\n<fill 6>\n<checked 6>",
            "<number 6>\n<number 7>\nunless r6 == r7 {\nr0 = 1\n} else {\n<use 6>\n}",
        ),
        "number": (
            "r1 = r6\nr2 = r7\ncall f1\nr$1 = r0",
            "r1 = r6\nr2 = <small>\ncall f1\nr$1 = r0",
            "r1 = <small>\nr2 = r8\ncall f1\nr$1 = r0",
            "r1 = r6\ncall g1\nr$1 = r0",
            "r1 = <imm>\ncall g1\nw$1 = w0\nr$1 &= $k",
        ),
        "pointer": (
            "r1 = r10\nr1 += -16\nr2 = r6\ncall f2\nr7 = r0",
            "r1 = r10\nr1 += -24\nr2 = r8\ncall f2\nr7 = r0",
            "r1 = r9\nr2 = r6\ncall f2\nr7 = r0",
            "unless <flip> {\nr1 = r10\nr1 += -16\n} else {\nr1 = r10\nr1 += -24\n}\nr2 = r6\n"
            "call f2",
        ),
        # r0 = a number within the bound, if all is well.
        "of_number": (
            "r0 = r1\nr0 &= $k",
            "r0 = $k\nunless r1 > $k {\nr0 = r1\n}",
            "r6 = r1\nr7 = r2\nunless r6 > r7 {\nr6 = r7\n}\nr0 = r6\nr0 &= $k",
            "r0 = 0\nunless r2 == 0 {\nr0 = $k\n}",
            "r0 = r1",
            "*(u64 *)(r10 -16) = r1\n*(u32 *)(r10 -16) = 0\nr0 = *(u32 *)(r10 -16)",
            "r6 = r1\ncall bpf_get_prandom_u32\nunless r0 > $k {\nr0 = r6\n}\nr0 &= $k",
            "r1 &= 3\nr0 = 0\nloop {\nr0 += 1\nr1 += -1\n} while r1 s> 0\nr0 &= $k",
        ),
        "of_pointer": (
            "*(u64 *)(r1 +0) = <small>\nr0 = 0",
            "*(u64 *)(r1 +0) = r2\nr0 = r2",
            "r0 = *(u64 *)(r1 +0)",
            "unless r2 > $k {\n*(u64 *)(r1 +0) = r2\n}\nr0 = 0",
            "*(u32 *)(r1 +4) = <tiny>\nr0 = 0",
            "*(u8 *)(r1 +0) = r2\nr0 = 0",
            "r0 = *(u64 *)(r1 +0)\nr0 &= $k\n*(u64 *)(r1 +0) = r0",
            "r6 = r1\ncall f1\n*(u64 *)(r6 +0) = r0\nr0 = 0",
            "*(u64 *)(r10 -8) = r1\nr6 = *(u64 *)(r10 -8)\n*(u8 *)(r6 +0) = <tiny>\nr0 = 0",
        ),
        "global_": (
            "r0 = r1\nr0 &= $k",
            "r0 = 0\nunless r1 > $k {\nr0 = r1\n}",
            "r0 = r1",
            "r6 = r1\ncall bpf_get_prandom_u32\nr0 = 0",
        ),
    },
)
