"""Perf events of the live kernel that programs write records into, one for each CPU."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct

#: perf_event_open(2) on x86-64 and elsewhere.
_NUMBERS = {"x86_64": 298}
_PAGES = 8
_PAGE = mmap.PAGESIZE
_HEAD, _TAIL = 1024, 1032
_SAMPLE = 9
#: PERF_TYPE_SOFTWARE, PERF_COUNT_SW_BPF_OUTPUT, PERF_SAMPLE_RAW.
_TYPE, _CONFIG, _RAW = 1, 10, 1 << 10


def is_possible() -> bool:
    """Whether there are any here."""
    return os.uname().machine in _NUMBERS


class Event:
    """That of one CPU, with its buffer."""

    def __init__(self, cpu: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        # A wakeup for each record; the rest of struct perf_event_attr is 0.
        head = struct.pack("<IIQQQQQII", _TYPE, 112, _CONFIG, 1, _RAW, 0, 0, 1, 0)
        attr = ctypes.create_string_buffer(head.ljust(112, b"\0"), 112)
        number = _NUMBERS[os.uname().machine]
        self.fd = int(libc.syscall(number, attr, -1, cpu, -1, 0))
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "perf_event_open")
        self.memory = mmap.mmap(self.fd, _PAGE * (_PAGES + 1))

    def records(self) -> list[bytes]:
        """Those that were not read yet, with what Linux filled them up with."""
        (head,) = struct.unpack_from("<Q", self.memory, _HEAD)
        (tail,) = struct.unpack_from("<Q", self.memory, _TAIL)
        data = self.memory[_PAGE:]
        found = []
        while tail < head:
            kind, _, size = struct.unpack_from("<IHH", data, tail % len(data))
            if kind == _SAMPLE:
                at = tail % len(data) + 8
                (length,) = struct.unpack_from("<I", data, at)
                found.append(data[at + 4 : at + 4 + length])
            tail += size
        struct.pack_into("<Q", self.memory, _TAIL, head)
        return found

    def close(self) -> None:
        self.memory.close()
        os.close(self.fd)
