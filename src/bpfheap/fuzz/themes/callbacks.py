"""A callback of bpf_loop and its context on the caller's stack."""

from bpfheap.fuzz.theme import Theme
from bpfheap.fuzz.themes.frames import END, NUMBERS

THEME = Theme(
    "callbacks",
    "a callback of bpf_loop, and what it does to numbers and pointers on its caller's stack",
    frozenset({"maps"}),
    f"""{NUMBERS}
*(u64 *)(r10 -24) = 0
*(u64 *)(r10 -16) = 0
r8 &= 3
r1 = r8
r2 = func[name:f1] ll
r3 = r10
r3 += -24
r4 = 0
call bpf_loop
r6 = *(u64 *)(r10 -16)
r0 = r9
r0 += r6
r0 = *(u8 *)(r0 +0)
{END}
f1:
r6 = r1
r7 = r2
r2 = 0
r3 = 0
BODY
r0 = 0
exit
""",
    (
        "r{a} = *(u64 *)(r7 +0)",
        "r{a} = *(u64 *)(r7 +8)",
        "r{a} = *(u32 *)(r7 +8)",
        "*(u64 *)(r7 +0) = r{a}",
        "*(u64 *)(r7 +8) = r{a}",
        "*(u32 *)(r7 +8) = r{a}",
        "*(u64 *)(r7 +0) = r7",
        "*(u64 *)(r7 +8) = 8",
        "r{a} = r6",
        "r{a} = 7",
        "r{a} += 1",
        "if r{a} > 6 goto ?",
        "if r{a} == 0 goto ?",
    ),
    (2, 3),
    again=True,
)
