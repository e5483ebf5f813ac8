"""Addresses of stack slots that are stored on the stack, overwritten there, and gone through."""

from bpfheap.fuzz.grammar import Grammar

GRAMMAR = Grammar(
    "addresses",
    "addresses of stack slots that are stored on the stack, overwritten there, and gone through",
    frozenset({"maps", "callbacks", "calls"}),
    {
        "start": (
            "*(u32 *)(r10 -4) = <key>\nr2 = r10\nr2 += -4\nr1 = map[name:<map>] ll\n"
            "call bpf_map_lookup_elem\nunless r0 == 0 {\nr9 = r0\n"
            "<fetch 6>\n<fetch 7>\n<fetch 8>\n<body>\n}\nr0 = 0\nf1:\n<given>\nr0 = 0\n"
            "f2:\n<called_back>\nr0 = 0",
        ),
        # The number is at -16, its address at -24, the address of that at -32.
        "body": (
            "<mask 6>\n<begin>\n<over>\n<differs>\n<through>\n<read>",
            "<mask 6>\n<begin>\n<over>\n<differs>\n<through>\n<read>",
            "<mask 6>\n<begin>\n<differs>\n<over>\n<through>\n<read>",
            "<mask 6>\n<begin>\n<over>\n<through>\n<differs>\n<read>",
            "<mask 6>\n<begin>\n<over>\n<over>\n<differs>\n<through>\n<through>\n<read>",
        ),
        "begin": (
            "*(u64 *)(r10 -16) = r6\n<address>",
            "*(u64 *)(r10 -16) = 0\n<address>",
            "*(u64 *)(r10 -16) = r6\n<address>\nr1 = r10\nr1 += -24\n*(u64 *)(r10 -32) = r1",
        ),
        "address": (
            "r1 = r10\nr1 += -16\n*(u64 *)(r10 -24) = r1",
            "r1 = r10\nr1 += -16\n*(u64 *)(r10 -24) = r1",
            "r1 = r10\nr1 += -16\nunless <flip> {\nr1 = r9\n}\n*(u64 *)(r10 -24) = r1",
            "r1 = r10\nr1 += -24\nr2 = r1\nr2 += 8\n*(u64 *)(r1 +0) = r2",
        ),
        "over": (
            "r0 = 0",
            "*(u64 *)(r10 -24) = r9",
            "r1 = r10\nr1 += -8\n*(u64 *)(r10 -24) = r1",
            "r1 = r10\nr2 = -24\nr1 += r2\n*(u64 *)(r1 +0) = r9",
            "r1 = r10\nr2 = -32\nr1 += r2\n*(u64 *)(r1 +0) = r9",
            "r1 = r10\nr1 += -32\nunless <flip> {\nr1 += 8\n}\n*(u64 *)(r1 +0) = r9",
            "r1 = r9\nunless <flip> {\nr1 = r10\nr1 += -24\n}\n*(u64 *)(r1 +0) = r9",
            "r1 = *(u64 *)(r10 -32)\n*(u64 *)(r1 +0) = r9",
            "r1 = r10\nr1 += -24\nr2 = r9\ncall f1",
            "r1 = r10\nr1 += -32\nr2 = r9\ncall f1",
            "*(u64 *)(r10 -40) = r9\nr2 = func f2\nr1 = <times>\nr3 = r10\nr3 += -40\nr4 = 0\n"
            "call bpf_loop",
            "unless <flip> {\n<over>\n}",
        ),
        "times": ("1", "2", "5"),
        # On the path that is walked later the number is another one.
        "differs": (
            "unless <flip> {\nr0 = 0\n} else {\n*(u64 *)(r10 -16) = r7\n}",
            "unless <flip> {\nr0 = 0\n} else {\n*(u64 *)(r10 -16) = r7\n}\n<noise>",
            "unless <flip> {\n*(u64 *)(r10 -16) = r6\n} else {\n*(u64 *)(r10 -16) = r7\n}",
            "unless <flip> {\nr0 = 0\n} else {\nr1 = *(u64 *)(r10 -24)\n*(u64 *)(r1 +0) = r7\n}",
            "unless <flip> {\nr0 = 0\n} else {\nr1 = r10\nr1 += -16\nr2 = r7\ncall f1\n}",
            "unless <flip> {\n*(u64 *)(r10 -16) = r7\n}",
        ),
        "through": (
            "r0 = 0",
            "r1 = *(u64 *)(r10 -24)\n*(u64 *)(r1 +0) = <tiny>",
            "r1 = *(u64 *)(r10 -24)\n*(u64 *)(r1 +0) = <tiny>",
            "r1 = *(u64 *)(r10 -24)\n*(u64 *)(r1 +0) = r6",
            "r1 = *(u64 *)(r10 -32)\n*(u64 *)(r1 +0) = <tiny>",
            "r1 = *(u64 *)(r10 -32)\nr1 = *(u64 *)(r1 +0)\n*(u64 *)(r1 +0) = <tiny>",
            "r1 = *(u64 *)(r10 -24)\nr2 = r6\ncall f1",
            "r1 = *(u64 *)(r10 -24)\nr2 = 0\nr2 = atomic64_xchg((u64 *)(r1 +0), r2)",
        ),
        "read": (
            "r6 = *(u64 *)(r10 -16)\n<use 6>",
            "r6 = *(u64 *)(r10 -16)\n<use 6>",
            "r1 = *(u64 *)(r10 -24)\nr6 = *(u64 *)(r1 +0)\n<use 6>",
            "r1 = *(u64 *)(r10 -32)\nr1 = *(u64 *)(r1 +0)\nr6 = *(u64 *)(r1 +0)\n<use 6>",
            "r6 = *(u64 *)(r10 -16)\n<checked 6>",
        ),
        # r1 = an address of the caller's stack, r2 = what may be stored there.
        "given": (
            "*(u64 *)(r1 +0) = r2",
            "*(u64 *)(r1 +0) = r2",
            "r3 = *(u64 *)(r1 +0)\n*(u64 *)(r3 +0) = <tiny>",
            "*(u64 *)(r1 +8) = r2",
            "r0 = *(u64 *)(r1 +0)",
        ),
        # r2 = the address of the caller's -40, where a pointer is.
        "called_back": (
            "r3 = *(u64 *)(r2 +0)\n*(u64 *)(r2 +16) = r3",
            "r3 = *(u64 *)(r2 +0)\n*(u64 *)(r2 +8) = r3",
            "r3 = *(u64 *)(r2 +16)\n*(u64 *)(r3 +0) = <tiny>",
            "*(u64 *)(r2 +24) = <tiny>",
        ),
    },
)
