"""Loops over the numbers of an iterator, with counters that go up and down."""

from bpfheap.fuzz.grammar import Grammar

_AT = "r1 = r10\nr1 += -$1"

GRAMMAR = Grammar(
    "iterators",
    "loops over numbers of an iterator, with counters that go up and down in registers and on the "
    "stack",
    frozenset({"maps", "iterators"}),
    {
        "body": (
            "<init>\n<over 40>\n<after>",
            "<init>\n<over 40>\n<after>",
            "<make 6>\n<init>\n<over 40>\n<after>",
            "<apart 6>\n<init>\n<over 40>\n<after>",
            "<init>\n<over 40>\n<over 40>\n<after>",
            "<init>\nunless <flip> {\n<over 40>\n}\n<after>",
        ),
        "init": (
            "r6 = 0\nr7 = 0\n*(u64 *)(r10 -16) = 0\n*(u64 *)(r10 -24) = 0",
            "r6 = 0\nr7 = <imm>\n*(u64 *)(r10 -16) = r7\n*(u64 *)(r10 -24) = <small>",
            "r7 = $k\n*(u64 *)(r10 -16) = $k\n*(u64 *)(r10 -24) = 0",
            "*(u64 *)(r10 -16) = r6\n*(u64 *)(r10 -24) = r7",
            "*(u64 *)(r10 -16) = r9\n*(u64 *)(r10 -24) = 0",
        ),
        "over": (
            f"{_AT}\nr2 = <from>\nr3 = <to>\ncall kfunc bpf_iter_num_new\n"
            f"loop {{\n{_AT}\ncall kfunc bpf_iter_num_next\nleave if r0 == 0\n"
            f"<inside_it>\n}} again\n{_AT}\ncall kfunc bpf_iter_num_destroy",
        ),
        "from": ("0", "0", "0", "1", "-3"),
        "to": ("3", "3", "1", "10", "1000", "r8"),
        "inside_it": (
            "<step_>",
            "<step_>",
            "<step_>\n<step_>",
            "<step_>\n<noise>",
            "unless <flip> {\n<step_>\n}",
            "unless r6 >= $k {\n<step_>\n}",
            "unless r6 > $k {\n<use 6>\n}\n<step_>",
            "<step_>\n<inner>",
            "<use 6>",
            "r1 = *(u32 *)(r0 +0)\nunless r1 > $k {\nr6 = r1\n}",
        ),
        "inner": ("r0 = 0", "<over 56>"),
        "step_": (
            "unless r6 >= $k {\nr6 += 1\n}",
            "r6 += 1",
            "r6 += -1",
            "r7 += -1",
            "r7 += 1\nr6 = r7\nr6 &= $k",
            "r6 = r7",
            "r6 = *(u32 *)(r0 +0)",
            "r6 = *(u64 *)(r10 -16)",
            "*(u64 *)(r10 -16) = r6",
            "r1 = *(u64 *)(r10 -16)\nr1 += 1\n*(u64 *)(r10 -16) = r1",
            "r1 = *(u64 *)(r10 -16)\nr1 += -1\n*(u64 *)(r10 -16) = r1",
            "*(u64 *)(r10 -16) = 0",
            "<mask 6>",
            "r6 = <small>",
            "unless r6 == r7 {\nr6 = r7\n}",
            "unless r6 == 0 {\nr6 += -1\n}",
            "<store 6>",
            "<fill 7>",
            "r6 <<= 1",
            "w6 += 1",
        ),
        "after": (
            "<use 6>",
            "<checked 6>",
            "<checked 6>",
            "<checked 7>",
            "r6 = *(u64 *)(r10 -16)\n<use 6>",
            "r6 = *(u64 *)(r10 -16)\n<checked 6>",
            "<fill 6>\n<checked 6>",
            "unless r6 == <small> {\n<bad>\n}",
        ),
    },
)  # fmt: skip
