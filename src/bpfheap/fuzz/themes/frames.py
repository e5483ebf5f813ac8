"""What frames of themes have in common."""

from __future__ import annotations

from typing import Final

#: r9 = a value of 40 bytes, which the program may use all of; r6 and r7 = any numbers, alike;
#: r8 = another one.
NUMBERS: Final = """
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:counts] ll
call bpf_map_lookup_elem
if r0 == 0 goto out
r9 = r0
r6 = *(u64 *)(r9 +8)
r7 = *(u64 *)(r9 +16)
r8 = *(u64 *)(r9 +24)
"""

#: A number that is to be within the value behind r9.
INDEX: Final = "r0 = r9\nr0 += r{a}\nr0 = *(u8 *)(r0 +0)"

END: Final = """
out:
r0 = 0
exit
"""


def looked_up(map_: str, key: int, register: int) -> str:
    """r<register> = the address of an element, or NULL."""
    return f"""
*(u32 *)(r10 -4) = {key}
r2 = r10
r2 += -4
r1 = map[name:{map_}] ll
call bpf_map_lookup_elem
r{register} = r0
"""
