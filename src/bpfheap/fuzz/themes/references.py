"""Records of a ring buffer, which have to be given back."""

from bpfheap.fuzz.theme import Theme
from bpfheap.fuzz.themes.frames import END

THEME = Theme(
    "references",
    "records of a ring buffer: reserved, copied, checked, given back",
    frozenset({"ringbuf"}),
    f"""
r8 = *(u32 *)(r1 +0)
r6 = 0
r7 = 0
BODY
{END}""",
    (
        "r1 = map[name:ring] ll\nr2 = 8\nr3 = 0\ncall bpf_ringbuf_reserve\nr{a} = r0",
        "r1 = r{a}\nr2 = 0\ncall bpf_ringbuf_submit",
        "r1 = r{a}\nr2 = 0\ncall bpf_ringbuf_discard",
        "r{a} = r{b}",
        "r{a} = 0",
        "*(u64 *)(r10 -16) = r{a}",
        "r{a} = *(u64 *)(r10 -16)",
        "*(u64 *)(r{a} +0) = 1",
        "if r{a} == 0 goto ?",
        "if r{a} != 0 goto ?",
        "if r8 > 3 goto ?",
    ),
    (6, 7),
    length=4,
)
