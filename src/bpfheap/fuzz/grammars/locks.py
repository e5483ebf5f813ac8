"""The spin locks of elements, and which of them is held."""

from bpfheap.fuzz.grammar import Grammar

_LOOK = (
    "*(u32 *)(r10 -4) = <key>\nr2 = r10\nr2 += -4\nr1 = map[name:guarded] ll\n"
    "call bpf_map_lookup_elem\nr$1 = r0"
)

GRAMMAR = Grammar(
    "locks",
    "spin locks of two elements: through copies, spills and joins, and what is done meanwhile",
    frozenset({"maps", "locks"}),
    {
        # r6 and r7 = elements, maybe the same one; r8 = a number.
        "start": (
            "r8 = *(u32 *)(r1 +0)\n<look 6>\nunless r6 == 0 {\n<look 7>\nunless r7 == 0 {\n"
            "<body>\n}\n}\nr0 = 0",
            "r8 = *(u32 *)(r1 +0)\n<look 6>\nunless r6 == 0 {\nr7 = r6\n<body>\n}\nr0 = 0",
        ),
        "look": (_LOOK, _LOOK, _LOOK.replace("= <key>", "= r8")),
        "key": ("0", "1", "1"),
        "body": (
            "<section 6>",
            "<section 6>\n<section 7>",
            "<change>\n<section 6>",
            "unless <flip> {\n<section 6>\n} else {\n<section 7>\n}",
            "unless <flip> {\n<section 6>\n}",
            "r1 = r6\ncall bpf_spin_lock\nunless <flip> {\n<within 6>\n}\n<unlock 6>",
            "unless <flip> {\nr7 = r6\n}\nr1 = r6\ncall bpf_spin_lock\n<unlock 7>",
            "r1 = r6\ncall bpf_spin_lock\nunless <flip> {\n<unlock 6>\n} else {\n<unlock 6>\n}",
        ),
        "change": (
            "r6 = r7",
            "unless <flip> {\nr6 = r7\n}",
            "*(u64 *)(r10 -16) = r7\nr6 = *(u64 *)(r10 -16)",
            "r0 = 0",
        ),
        "section": (
            "r1 = r$1\ncall bpf_spin_lock\n<within $1>\n<unlock $1>",
            "r1 = r$1\ncall bpf_spin_lock\n<within $1>\n<unlock $1>",
            "*(u64 *)(r10 -16) = r$1\nr1 = r$1\ncall bpf_spin_lock\n<within $1>\n"
            "r1 = *(u64 *)(r10 -16)\ncall bpf_spin_unlock",
            "r1 = r$1\ncall bpf_spin_lock\n<within $1>\n<unlock <other>>",
        ),
        "other": ("6", "7"),
        "unlock": ("r1 = r$1\ncall bpf_spin_unlock",),
        "within": (
            "*(u32 *)(r$1 +4) = 1",
            "r0 = *(u64 *)(r$1 +32)",
            "unless <flip> {\n*(u32 *)(r$1 +4) = 1\n}",
            "unless r8 > 7 {\nr2 = r$1\nr2 += r8\nr0 = *(u8 *)(r2 +32)\n}",
            "r8 &= 7\nr2 = r$1\nr2 += r8\n*(u8 *)(r2 +<far>) = 1",
            "r0 = 0",
            "unless r6 == r7 {\nr0 = 1\n}",
        ),
        "far": ("32", "32", "4", "0"),
    },
)
