"""Pointers into the packet, at offsets that are not known, compared with its end."""

from bpfheap.fuzz.grammar import Grammar

GRAMMAR = Grammar(
    "packets",
    "packet pointers at unknown offsets: copied, moved, compared with the end, joined, spilled",
    frozenset({"packets"}),
    {
        # r6 = the packet, r7 = its end, r8 = a number, r9 = the context.
        "start": (
            "r9 = r1\nr6 = *(u32 *)(r9 +76)\nr7 = *(u32 *)(r9 +80)\nr8 = *(u32 *)(r9 +0)\n"
            "<known>\nr2 = r6\nr3 = r6\n<body>\nr0 = 0",
        ),
        "known": ("r8 &= 255", "r8 &= 255", "<mask 8>", "w8 = 8", "r0 = 0"),
        "body": (
            "<moved 2>\n<compared>",
            "<moved 2>\n<moved 3>\n<compared>",
            "<mask 8>\n<moved 2>\n<compared>",
            "unless <flip> {\n<moved 2>\n} else {\n<moved 2>\n}\n<compared>",
            "unless <flip> {\n<moved 2>\n}\n<compared>",
            "<mask 8>\nr2 += r8\nr3 = r2\n<moved 3>\n<compared>",
            "r2 += 8\nunless r2 > r7 {\n<access 6>\n<body>\n}",
            "unless r8 > $k {\n<moved 2>\n<compared>\n}",
        ),
        "moved": (
            "r$1 += <length>",
            "r$1 += <length>",
            "r$1 += r8",
            "r$1 = r6\nr$1 += <length>",
            "r$1 += -8",
            "r$1 += r8\nr$1 += <length>",
            "<mask 8>\nr$1 += r8\nr$1 += <length>",
            "*(u64 *)(r10 -16) = r$1\nr$1 += 4\nr$1 = *(u64 *)(r10 -16)",
            "r2 = r3",
            "r3 = r2\nr3 += <length>",
            "w4 = 1\nr$1 += r4",
            "r$1 -= r8\nr$1 += r8",
        ),
        "length": ("1", "2", "8", "8", "8", "14", "65527", "$k"),
        "compared": (
            "unless r2 > r7 {\n<inner>\n}",
            "unless r2 > r7 {\n<inner>\n}",
            "unless r3 > r7 {\n<inner>\n}",
            "unless r7 < r2 {\n<inner>\n}",
            "unless r2 >= r7 {\n<inner>\n}",
            "unless r2 <= r7 {\nr0 = 0\n} else {\n<inner>\n}",
            "unless r7 >= r2 {\nr0 = 1\n} else {\n<inner>\n}",
            "unless r2 > r7 {\nr0 = 1\n} else {\n<gone>\n}",
            "unless r7 > r2 {\n<inner>\n} else {\nr0 = 1\n}",
        ),
        # Behind the comparison: r2 is within the packet.
        "inner": (
            "<access 2>",
            "<access 6>",
            "<access 2>",
            "<access 6>",
            "<access 3>",
            "<moved 2>\n<compared>",
            "<moved 3>\n<compared>",
            "r3 = r2\n<access 3>",
            "unless <flip> {\nr2 = r6\n}\n<access 2>",
            "*(u64 *)(r10 -16) = r2\n<noise_>\nr3 = *(u64 *)(r10 -16)\n<access 3>",
            "<access 6>\n<pull>\n<access 6>",
        ),
        # The end was found to be behind it, or not: what is beyond stays so only as it is.
        "gone": (
            "r0 = 1",
            "r2 += -8\nunless r2 > r7 {\n<inner>\n}",
            "unless r2 <= r7 {\nr0 = 0\n} else {\nr0 = *(u8 *)(r6 +0)\n}",
            "r3 = r2\nr3 += <length>\nunless r3 > r7 {\n<inner>\n}",
        ),
        "noise_": ("unless <flip> {\nr0 = 1\n}", "unless r8 == 0 {\nr8 = 1\n}", "r0 = 0"),
        "pull": ("r1 = r9\nr2 = 0\ncall bpf_skb_pull_data", "r0 = 0", "call bpf_get_prandom_u32"),
        "access": (
            "r0 = *(u8 *)(r6 +0)",
            "r0 = *(u8 *)(r$1 -1)",
            "r0 = *(u8 *)(r$1 -1)",
            "r0 = *(u64 *)(r$1 -8)",
            "r0 = *(u8 *)(r$1 +0)",
            "r0 = *(u64 *)(r6 +0)",
            "r0 = *(u8 *)(r6 +<byte>)",
            "*(u8 *)(r$1 -1) = 0",
            "r4 = r2\nr4 -= r6\nunless r4 > 8 {\nr6 += r4\nr0 = *(u8 *)(r6 -1)\n}",
        ),
        "byte": ("0", "7", "$k", "8"),
    },
)
