"""What programs see of sockets, as types: no BTF has to have them."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby

from bpfheap.btf import Array, Btf, BtfBuilder, Int, Member, Struct
from bpfheap.platform.programs.fields import array_of
from bpfheap.platform.programs.socket_types import SOCKET_TYPES


@lru_cache(maxsize=1)
def socket_views() -> Btf:
    """struct bpf_sock and its like, by the rows of SOCKET_TYPES."""
    made = BtfBuilder()
    numbers = {size: made.add(Int(f"u{8 * size}", size, 0, 0, 8 * size)) for size in (1, 2, 4, 8)}
    # The row with most fields says what is in a struct.
    rows = {row.view: row for row in sorted(SOCKET_TYPES.values(), key=lambda r: len(r.fields))}
    for view, row in rows.items():
        members = []
        for name, group in groupby(row.fields, key=array_of):
            fields = list(group)
            of = numbers[fields[0].size]
            if len(fields) > 1:
                of = made.add(Array(of, numbers[4], len(fields)))
            members.append(Member(name, of, 8 * fields[0].offset))
        size = max(field.offset + field.size for field in row.fields)
        made.add(Struct(view, -(-size // 8) * 8, tuple(members)))
    return made.build()
