"""Members of the kernel's structs that programs may write.

Source: nfct_btf_struct_access, which tc_cls_act_btf_struct_access and xdp_btf_struct_access of
Linux 6.18 ask.
"""

from __future__ import annotations

from typing import NamedTuple


class Writable(NamedTuple):
    """`programs`: the names of their types. `struct`: what has the members; `structs`: that one and
    those that begin with it."""

    programs: frozenset[str]
    struct: str
    structs: frozenset[str]
    members: frozenset[str]


WRITABLE = (
    Writable(
        frozenset({"sched_cls", "sched_act", "xdp"}),
        "nf_conn",
        frozenset({"nf_conn", "nf_conn___init"}),
        frozenset({"mark"}),
    ),
)
