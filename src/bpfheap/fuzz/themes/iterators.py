"""A loop over the numbers of an iterator, and what differs from one iteration to the next."""

from bpfheap.fuzz.theme import Theme
from bpfheap.fuzz.themes.frames import END, INDEX, NUMBERS

THEME = Theme(
    "iterators",
    "a loop over the numbers of an iterator, and what differs from one iteration to the next",
    frozenset({"maps", "iterators"}),
    f"""{NUMBERS}
r6 = 0
r7 = 0
r1 = r10
r1 += -32
r2 = 0
r3 = 3
call kfunc bpf_iter_num_new
next:
r1 = r10
r1 += -32
call kfunc bpf_iter_num_next
if r0 == 0 goto done
BODY
goto next
done:
r1 = r10
r1 += -32
call kfunc bpf_iter_num_destroy
LAST
{END}""",
    (
        "r{a} += 1",
        "r{a} = 0",
        "r{a} &= 7",
        "r{a} = r{b}",
        "r{a} = *(u32 *)(r0 +0)",
        "*(u64 *)(r10 -16) = r{a}",
        "r{a} = *(u64 *)(r10 -16)",
        "if r{a} > 6 goto ?",
        "if r{a} == r{b} goto ?",
        "if r{a} > 3 goto ?",
        "if r8 == 0 goto ?",
    ),
    (6, 7),
    (INDEX,),
    again=True,
)
