"""Pointers that may be NULL: copied, joined, spilled, checked through a copy."""

from bpfheap.fuzz.grammar import Grammar

GRAMMAR = Grammar(
    "nulls",
    "pointers that may be NULL, and numbers in their place: copied, joined, spilled, checked",
    frozenset({"maps"}),
    {
        # r6 and r7 = look-ups, r8 = a number.
        "start": (
            "r8 = *(u32 *)(r1 +0)\n<look 6>\n<look 7>\n<body>\nr0 = 0",
            "r8 = *(u32 *)(r1 +0)\n<look 6>\nr7 = r6\n<body>\nr0 = 0",
        ),
        "look": (
            "*(u32 *)(r10 -4) = <key>\nr2 = r10\nr2 += -4\nr1 = map[name:counts] ll\n"
            "call bpf_map_lookup_elem\nr$1 = r0",
            "*(u32 *)(r10 -4) = <key>\nr2 = r10\nr2 += -4\nr1 = map[name:numbers] ll\n"
            "call bpf_map_lookup_elem\nr$1 = r0",
            "*(u32 *)(r10 -4) = r8\nr2 = r10\nr2 += -4\nr1 = map[name:numbers] ll\n"
            "call bpf_map_lookup_elem\nr$1 = r0",
            "r$1 = 0",
        ),
        "key": ("0", "1", "2", "3"),
        "body": (
            "<change>\n<check>",
            "<change>\n<change>\n<check>",
            "unless <flip> {\n<change>\n}\n<check>",
            "unless <flip> {\n<change>\n} else {\n<change>\n}\n<check>",
            "<store_>\n<change>\n<check>",
            "<check>\n<check>",
        ),
        "ab": ("6", "7"),
        "store_": ("*(u64 *)(r10 -16) = r6", "*(u64 *)(r10 -16) = r7", "*(u64 *)(r10 -16) = 0"),
        "change": (
            "r0 = 0",
            "r6 = r7",
            "r7 = r6",
            "r6 = 0",
            "r6 += 8",
            "<store_>\nr7 = *(u64 *)(r10 -16)",
            "<store_>\nunless <flip> {\n*(u64 *)(r10 -16) = 0\n}\nr7 = *(u64 *)(r10 -16)",
            "unless <flip> {\nr6 = r7\n}",
            "unless <flip> {\nr6 = 0\n} else {\nr6 = r7\n}",
            "unless <flip> {\n<look 6>\n}",
            "<look <ab>>",
            "unless r6 == r7 {\nr0 = 1\n} else {\nr6 = r7\n}",
        ),
        "check": (
            "unless r6 == 0 {\n<inner 6>\n}",
            "unless r7 == 0 {\n<inner 7>\n}",
            "unless r6 == 0 {\n<inner 7>\n}",
            "unless r6 != 0 {\nr0 = 0\n} else {\n<inner 6>\n}",
            "unless r7 == 0 {\nunless r6 != r7 {\n<inner 6>\n}\n}",
            "unless r7 == 0 {\nunless r6 == r7 {\nr0 = 1\n} else {\n<inner 6>\n}\n}",
            "unless r6 == 0 {\nunless r7 == 0 {\n<inner 7>\n}\n}",
            "r1 = r6\nunless r1 == 0 {\n<inner 6>\n}",
            "<store_>\nunless r6 == 0 {\nr7 = *(u64 *)(r10 -16)\n<inner 7>\n}",
            "unless r6 != 0 {\n<null 6>\n}",
            "<inner 6>",
            "<inner 7>",
        ),
        # Not NULL, if all is well.
        "inner": (
            "<end $1>",
            "<end $1>",
            "unless <flip> {\nr0 = 1\n}\n<end $1>",
            "r1 = r$1\n<end 1>",
            "unless <flip> {\nr6 = r7\n}\n<end $1>",
            "unless r$1 == 0 {\nr0 = 1\n} else {\nr0 = *(u8 *)(r10 +0)\n}",
            "r8 &= 7\nr$1 += r8\nr0 = *(u8 *)(r$1 +32)",
        ),
        "end": (
            "r0 = *(u64 *)(r$1 +32)",
            "r0 = *(u8 *)(r$1 +0)",
            "*(u32 *)(r$1 +0) = 1",
            "r$1 += 8\nr0 = *(u8 *)(r$1 +31)",
            "r5 = *(u64 *)(r$1 +8)\nunless r5 > 7 {\nr$1 += r5\nr0 = *(u8 *)(r$1 +32)\n}",
        ),
        # NULL, which is the number 0.
        "null": (
            "r1 = r10\nr1 += -40\nr1 += r$1\n*(u64 *)(r1 +0) = 0",
            "*(u64 *)(r10 -16) = r$1\nr0 = *(u64 *)(r10 -16)",
            "unless r$1 == 0 {\nr0 = *(u8 *)(r10 +0)\n}",
        ),
    },
)
