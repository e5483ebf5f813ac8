"""bpf_trace_printk and bpf_trace_vprintk, whose arguments are addresses in real memory."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from bpfheap.machine.native._core import Core
from bpfheap.machine.printk import MAX_WORDS, FormatRefused, format_line

_U32, _U64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF
_REFUSED = -errno.EINVAL & _U64


def printk(core: Core, name: str, registers: Sequence[int], lines: list[str]) -> int:
    """Call the helper `name` with r1 to r5. Gives r0; adds what it says to `lines`."""
    form = core.read(registers[0], registers[1] & _U32) or b""
    if name == "bpf_trace_vprintk":
        data, size = registers[2], registers[3] & _U32
        if size % 8 or size > MAX_WORDS * 8 or (size and not data):
            return _REFUSED
        raw = (core.read(data, size) if size else None) or b""
        words = [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)]
    else:
        words = list(registers[2:5])
    if not form.endswith(b"\0"):
        return _REFUSED
    try:
        line = format_line(
            form.partition(b"\0")[0],
            words,
            int,
            core.read_string,
            lambda at, count: core.read(at, count) or bytes(count),
        )
    except FormatRefused:
        return _REFUSED
    lines.append(line.removesuffix("\n"))
    return len(line.encode())
