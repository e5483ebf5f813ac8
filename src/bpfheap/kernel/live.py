"""The kernel that this process runs on."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from bpfheap.btf import LazyBtf
from bpfheap.errors import BpfheapError, KernelUnavailable, KernelUnsupported
from bpfheap.kernel.bpf import Attr, Transport, errno_name, smallest_load
from bpfheap.vmlinux import VMLINUX, Vmlinux, read_types

#: Number of the system call, by machine; those that are not listed have no table of their own.
_SYSCALL: Mapping[str, int] = {
    "x86_64": 321,
    "aarch64": 280,
    "riscv64": 280,
    "loongarch64": 280,
    "ppc64le": 361,
}
#: The verifier gives up with EAGAIN when a signal is pending; libbpf tries five times too.
_ATTEMPTS = 5


class Live(Transport):
    """The system call itself."""

    def __init__(self) -> None:
        """Raises KernelUnavailable where bpf(2) is not allowed, see `available`."""
        why = available()
        if why is not None:
            raise KernelUnavailable(why, errno_name="EPERM", hint="run it as root, on Linux")

    def call(self, attr: Attr) -> int:
        return _call(attr)

    def close_descriptor(self, number: int) -> None:
        os.close(number)

    def close(self) -> None:
        pass

    @property
    def release(self) -> str:
        return platform.release()

    @property
    def cpus(self) -> int:
        return possible_cpus()

    def types(self) -> LazyBtf:
        return _types()

    def target(self, btf: str | None = None, config: str | None = None) -> Vmlinux:
        # Of this system more is known: its modules, its symbols; and a project may be for another.
        return Vmlinux(btf, config)


def possible_cpus() -> int:
    """How many CPUs there can ever be here."""
    try:
        listed = Path("/sys/devices/system/cpu/possible").read_text()
        return int(listed.strip().rpartition(",")[2].rpartition("-")[2]) + 1
    except (OSError, ValueError):
        return os.cpu_count() or 1


@functools.cache
def available() -> str | None:
    """None if programs may be loaded here, else the reason, for people. Asked once."""
    if not sys.platform.startswith("linux"):
        return f"bpf(2) is a system call of Linux, this is {sys.platform}"
    if platform.machine() not in _SYSCALL:
        return f"the number of bpf(2) on {platform.machine()} is not known"
    if sys.byteorder != "little":
        return "objects are little endian, this machine is not"
    result = _call(smallest_load())
    if result >= 0:
        os.close(result)
        return None
    return f"bpf(2) is not allowed here: {errno_name(-result)}"


def _call(attr: Attr) -> int:
    number = _SYSCALL.get(platform.machine())
    if number is None or not sys.platform.startswith("linux"):
        return -errno.ENOSYS
    libc = _libc()
    raw = attr.at({name: ctypes.addressof(memory) for name, memory in attr.memory.items()})
    buffer = ctypes.create_string_buffer(raw, len(raw))
    size = ctypes.c_uint(len(raw))
    failed = 0
    for _ in range(_ATTEMPTS):
        result = int(libc.syscall(number, int(attr.command), buffer, size))
        if result >= 0:
            attr.raw = buffer.raw
            return result
        failed = ctypes.get_errno()
        if failed not in (errno.EAGAIN, errno.EINTR):
            break
    return -failed


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


@functools.cache
def _types() -> LazyBtf:
    try:
        return read_types(VMLINUX)
    except BpfheapError as error:
        raise KernelUnsupported(
            error.message,
            file=str(VMLINUX),
            hint="the kernel has to be built with CONFIG_DEBUG_INFO_BTF",
        ) from None
