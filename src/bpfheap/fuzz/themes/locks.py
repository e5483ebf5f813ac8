"""The spin locks of two elements."""

from bpfheap.fuzz.theme import Theme
from bpfheap.fuzz.themes.frames import END, looked_up

THEME = Theme(
    "locks",
    "the spin locks of two elements",
    frozenset({"maps", "locks"}),
    f"""
r8 = *(u32 *)(r1 +0)
{looked_up("guarded", 0, 6)}
if r6 == 0 goto out
{looked_up("guarded", 1, 7)}
if r7 == 0 goto out
BODY
{END}""",
    (
        "r1 = r{a}\ncall bpf_spin_lock",
        "r1 = r{a}\ncall bpf_spin_unlock",
        "r{a} = r{b}",
        "*(u64 *)(r10 -16) = r{a}",
        "r{a} = *(u64 *)(r10 -16)",
        "*(u32 *)(r{a} +4) = 1",
        "call bpf_get_prandom_u32",
        "if r8 > 3 goto ?",
        "if r{a} == r{b} goto ?",
    ),
    (6, 7),
    length=4,
)
