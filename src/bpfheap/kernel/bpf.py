"""bpf(2) itself: the system call, and the layouts of its attributes (union bpf_attr in
uapi/linux/bpf.h), one table row a field."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import struct
import sys
from collections.abc import Mapping
from enum import IntEnum, IntFlag
from pathlib import Path
from types import TracebackType

from bpfheap.errors import KernelError

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
#: The kernel's own number for "not supported", which C libraries do not know.
ENOTSUPP = 524


def possible_cpus() -> int:
    """How many CPUs there can ever be here (nr_cpu_ids)."""
    try:
        listed = Path("/sys/devices/system/cpu/possible").read_text()
        return int(listed.strip().rpartition(",")[2].rpartition("-")[2]) + 1
    except (OSError, ValueError):
        return os.cpu_count() or 1


class Command(IntEnum):
    """enum bpf_cmd."""

    MAP_CREATE = 0
    MAP_UPDATE_ELEM = 2
    PROG_LOAD = 5
    PROG_TEST_RUN = 10
    BTF_LOAD = 18
    MAP_FREEZE = 22


class LogLevel(IntFlag):
    """BPF_LOG_*. WALK gives the way to a rejection, PATHS all ways; STATS alone no instructions,
    only the numbers at the end."""

    NONE = 0
    WALK = 1
    PATHS = 2
    STATS = 4


class Pseudo(IntEnum):
    """What the source register says of an immediate: BPF_PSEUDO_*, those of lddw first."""

    MAP_FD = 1
    MAP_VALUE = 2
    BTF_ID = 3
    FUNC = 4
    CALL = 1
    KFUNC_CALL = 2


#: What to do about allocators.
REWRITE = "Kernel(rewrite=True) makes programs use the kernel's own allocator"

F_SLEEPABLE = 1 << 4
F_XDP_HAS_FRAGS = 1 << 5
F_RDONLY_PROG = 1 << 7

#: Command -> fields in order, each a name and its struct code.
LAYOUTS: Mapping[Command, tuple[tuple[str, str], ...]] = {
    Command.MAP_CREATE: (
        ("map_type", "I"), ("key_size", "I"), ("value_size", "I"), ("max_entries", "I"),
        ("map_flags", "I"), ("inner_map_fd", "I"), ("numa_node", "I"), ("map_name", "16s"),
        ("map_ifindex", "I"), ("btf_fd", "I"), ("btf_key_type_id", "I"),
        ("btf_value_type_id", "I"), ("btf_vmlinux_value_type_id", "I"), ("map_extra", "Q"),
    ),
    Command.MAP_UPDATE_ELEM: (
        ("map_fd", "I"), ("pad", "4x"), ("key", "Q"), ("value", "Q"), ("flags", "Q"),
    ),
    Command.PROG_LOAD: (
        ("prog_type", "I"), ("insn_cnt", "I"), ("insns", "Q"), ("license", "Q"),
        ("log_level", "I"), ("log_size", "I"), ("log_buf", "Q"), ("kern_version", "I"),
        ("prog_flags", "I"), ("prog_name", "16s"), ("prog_ifindex", "I"),
        ("expected_attach_type", "I"), ("prog_btf_fd", "I"), ("func_info_rec_size", "I"),
        ("func_info", "Q"), ("func_info_cnt", "I"), ("line_info_rec_size", "I"),
        ("line_info", "Q"), ("line_info_cnt", "I"), ("attach_btf_id", "I"),
    ),
    Command.PROG_TEST_RUN: (
        ("prog_fd", "I"), ("retval", "I"), ("data_size_in", "I"), ("data_size_out", "I"),
        ("data_in", "Q"), ("data_out", "Q"), ("repeat", "I"), ("duration", "I"),
        ("ctx_size_in", "I"), ("ctx_size_out", "I"), ("ctx_in", "Q"), ("ctx_out", "Q"),
        ("flags", "I"), ("cpu", "I"), ("batch_size", "I"),
    ),
    Command.BTF_LOAD: (
        ("btf", "Q"), ("btf_log_buf", "Q"), ("btf_size", "I"), ("btf_log_size", "I"),
        ("btf_log_level", "I"),
    ),
    Command.MAP_FREEZE: (("map_fd", "I"),),
}  # fmt: skip

_STRUCTS = {
    command: struct.Struct("=" + "".join(code for _, code in row))
    for command, row in LAYOUTS.items()
}
_NAMES = {
    command: tuple(name for name, code in row if not code.endswith("x"))
    for command, row in LAYOUTS.items()
}
_EMPTY = {
    command: {name: b"" if code.endswith("s") else 0 for name, code in row if "x" not in code}
    for command, row in LAYOUTS.items()
}

Value = int | bytes


class Attr:
    """The attributes of one call, as bytes that the kernel reads and may write."""

    def __init__(self, command: Command, **fields: Value) -> None:
        """Fields that are not named are 0. Raises KernelError for a number that does not fit."""
        values = {**_EMPTY[command], **fields}
        assert len(values) == len(_EMPTY[command]), f"{command.name} has no such field: {fields}"
        try:
            packed = _STRUCTS[command].pack(*(values[name] for name in _NAMES[command]))
        except struct.error:
            wrong = ", ".join(f"{k}={v!r}" for k, v in fields.items() if isinstance(v, int))
            raise KernelError(
                f"{command.name}: a number does not fit its field in {wrong}", errno_name="EINVAL"
            ) from None
        self.command = command
        self.buffer = ctypes.create_string_buffer(packed, len(packed))

    def __getitem__(self, name: str) -> int:
        """A field's value after the call; only numbers are ever asked for."""
        values = _STRUCTS[self.command].unpack(self.buffer.raw)
        return int(values[_NAMES[self.command].index(name)])


def call(attr: Attr) -> int:
    """The result, a descriptor or 0; a negative errno if the call failed."""
    number = _SYSCALL.get(platform.machine())
    if number is None or not sys.platform.startswith("linux"):
        return -errno.ENOSYS
    libc = _libc()
    size = ctypes.c_uint(len(attr.buffer))
    for _ in range(_ATTEMPTS):
        result = int(libc.syscall(number, int(attr.command), attr.buffer, size))
        if result >= 0:
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


def errno_name(number: int) -> str:
    """`number` is positive."""
    return "ENOTSUPP" if number == ENOTSUPP else errno.errorcode.get(number, f"errno {number}")


def refused(what: str, number: int, *, hint: str | None = None, log: str = "") -> KernelError:
    """The error for a call that gave -`number`."""
    return KernelError(
        f"{what}: {errno_name(number)}", errno_name=errno_name(number), hint=hint, log=log
    )


def bytes_of(data: bytes) -> ctypes.Array[ctypes.c_char]:
    """Memory with these bytes, at an address that stays; hold it as long as the call lasts."""
    return ctypes.create_string_buffer(data, max(len(data), 1))


def object_name(name: str) -> bytes:
    """What the kernel takes as a name (bpf_obj_name_cpy): 15 characters, few of them special."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in name)[
        :15
    ].encode()


class Descriptor:
    """An open file descriptor of a BPF object. Closing twice does nothing."""

    def __init__(self, number: int) -> None:
        self.number = number

    def close(self) -> None:
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)

    def __enter__(self) -> Descriptor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


@functools.cache
def available() -> str | None:
    """None if programs may be loaded here, else the reason, for people. Asked once."""
    if not sys.platform.startswith("linux"):
        return f"bpf(2) is a system call of Linux, this is {sys.platform}"
    if platform.machine() not in _SYSCALL:
        return f"the number of bpf(2) on {platform.machine()} is not known"
    if sys.byteorder != "little":
        return "objects are little endian, this machine is not"
    exit_0 = bytes_of(bytes.fromhex("b7000000000000009500000000000000"))
    license_ = bytes_of(b"GPL\0")
    sched_cls = 3  # what only CAP_BPF and CAP_NET_ADMIN may load
    result = call(
        Attr(
            Command.PROG_LOAD,
            prog_type=sched_cls,
            insn_cnt=2,
            insns=ctypes.addressof(exit_0),
            license=ctypes.addressof(license_),
        )
    )
    if result >= 0:
        os.close(result)
        return None
    return f"bpf(2) is not allowed here: {errno_name(-result)}"
