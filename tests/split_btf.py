"""BTF of a module, split off a kernel's; compilers make none."""

from __future__ import annotations

import struct

from bpfheap.btf import LazyBtf


def split(base: LazyBtf, name: str, inner: int) -> bytes:
    """`struct name { TYPE pid; TYPE1 own; }`, where TYPE has the id `inner` and is of 4 bytes, and
    the name pid is the kernel's; and a pointer to it."""
    start = len(base.reader.strings)
    # Strings of a module need not begin with NUL.
    strings = name.encode() + b"\0own\0"
    pid = base.reader.strings.index(b"pid\0")
    types = struct.pack("<III", start, 4 << 24 | 2, 8)
    types += struct.pack("<III", pid, inner, 0)
    types += struct.pack("<III", start + len(name) + 1, 1, 32)
    types += struct.pack("<III", 0, 2 << 24, len(base))
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return header + types + strings
