"""A number, or a pointer in its place, that is made on two paths, which meet."""

from bpfheap.fuzz.grammar import Grammar

GRAMMAR = Grammar(
    "joined",
    "a value made on two paths that meet: another constant, range or kind on each",
    frozenset({"maps"}),
    {
        "body": (
            "<apart 6>\n<use 6>",
            "<differ>\n<checked 6>",
            "<apart 6>\n<meet>\n<use 6>",
            "<apart 6>\n<apart 7>\n<meet>\n<use $a>",
            "<apart 6>\n<noise>\n<meet>\n<use 6>",
            "<apart 6>\nr7 = r6\n<meet>\n<use 7>",
            "<slots>\n<apart 6>\n*(u64 *)(r10 -16) = r6\n<meet>\nr6 = *(u64 *)(r10 -16)\n<use 6>",
            "<slots>\n<both>\n<noise>\n<use 6>",
            "<differ>\n<meet>\n<checked 6>",
        ),
        # What one path has, the other has not.
        "differ": (
            "unless <flip> {\n<any 6>\n}",
            "unless <flip> {\n<any 6>\n} else {\n<any 6>\n}",
            "unless <flip> {\n<any 6>\n} else {\n<make 6>\n}",
            "unless <flip> {\n<make 6>\n} else {\n<any 6>\n}",
            "unless <flip> {\nr6 = r9\n}",
            "unless <flip> {\n<any 6>\nr7 = r6\n} else {\nr7 = r6\n}",
        ),
        # Filled on two paths.
        "both": (
            "*(u64 *)(r10 -16) = $k\nunless <flip> {\n*(u64 *)(r10 -16) = 0\n}\n"
            "r6 = *(u64 *)(r10 -16)",
            "<make 6>\nunless <flip> {\n*(u64 *)(r10 -16) = r6\n} else {\n*(u64 *)(r10 -16) = 0\n}"
            "\nr6 = *(u64 *)(r10 -16)",
            "<make 6>\n*(u64 *)(r10 -16) = 0\nunless <flip> {\n<store 6>\n} else {\n<put>\n}\n"
            "<fill 6>",
        ),
        # More paths that meet, on which the first value plays a part or none.
        "meet": (
            "<noise>",
            "<noise>\n<noise>",
            "unless r6 <cmp> <imm> {\nr0 = 1\n}",
            "unless r6 == <small> {\n<make 6>\n}",
            "unless r6 == r7 {\nr0 = 1\n}",
            "unless <flip> {\n<mask 6>\n}",
            "r0 = r6\nunless r0 > r7 {\nr7 = r0\n}",
        ),
    },
)
