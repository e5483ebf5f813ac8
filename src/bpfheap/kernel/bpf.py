"""bpf(2) itself: the layouts of its attributes (union bpf_attr in uapi/linux/bpf.h), one table row
a field, and what carries a call to a kernel."""

from __future__ import annotations

import ctypes
import errno
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import IntEnum, IntFlag
from types import TracebackType
from typing import Self

from bpfheap.btf import LazyBtf
from bpfheap.errors import KernelError
from bpfheap.vmlinux import Vmlinux

#: The kernel's own number for "not supported", which C libraries do not know.
ENOTSUPP = 524


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

#: Memory that a call reads and writes.
Buffer = ctypes.Array[ctypes.c_char]
Value = int | bytes | Buffer
#: The struct code of a pointer.
_POINTER = "Q"


class Attr:
    """The attributes of one call, and the memory that they point at.

    A pointer's field has bytes, of which the kernel gets a copy, or a buffer, which it may write;
    no bytes are NULL. `raw` is what the kernel left of the attributes.
    """

    def __init__(self, command: Command, **fields: Value) -> None:
        """Fields that are not named are 0. Raises KernelError for a number that does not fit."""
        values = {**_EMPTY[command], **fields}
        assert len(values) == len(_EMPTY[command]), f"{command.name} has no such field: {fields}"
        self.command = command
        #: By field, as `at` wants the addresses.
        self.memory: dict[str, Buffer] = {}
        for name, code in LAYOUTS[command]:
            if code == _POINTER and not isinstance(value := values[name], int):
                values[name] = 0
                if len(value):
                    self.memory[name] = bytes_of(value) if isinstance(value, bytes) else value
        self._values = values
        try:
            self.raw = self.at({})
        except struct.error:
            wrong = ", ".join(f"{k}={v!r}" for k, v in fields.items() if isinstance(v, int))
            raise KernelError(
                f"{command.name}: a number does not fit its field in {wrong}", errno_name="EINVAL"
            ) from None

    def at(self, addresses: Mapping[str, int]) -> bytes:
        """The attributes, with the memory at these addresses."""
        values = {**self._values, **addresses}
        return _STRUCTS[self.command].pack(*(values[name] for name in _NAMES[self.command]))

    def __getitem__(self, name: str) -> int:
        """A field's value after the call; only numbers are ever asked for."""
        values = _STRUCTS[self.command].unpack(self.raw)
        return int(values[_NAMES[self.command].index(name)])


def smallest_load() -> Attr:
    """Of a program that does nothing, of a type that only CAP_BPF and CAP_NET_ADMIN may load:
    sched_cls."""
    exit_0 = bytes.fromhex("b7000000000000009500000000000000")
    return Attr(Command.PROG_LOAD, prog_type=3, insn_cnt=2, insns=exit_0, license=b"GPL\0")


class Closing(ABC):
    """A context manager that is closed at its end."""

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds; closing twice does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Transport(Closing):
    """What carries calls to a kernel: to the one that this process runs on, or to another."""

    @abstractmethod
    def call(self, attr: Attr) -> int:
        """The result, a descriptor or 0; a negative errno if the call failed. Raises
        KernelUnavailable if there is nobody to call any more."""

    @abstractmethod
    def close_descriptor(self, number: int) -> None:
        """Of a descriptor that a call gave. Called by the garbage collector, too, so at any
        time."""

    @abstractmethod
    def close(self) -> None:
        """Leave the kernel; closing twice does nothing."""

    @property
    @abstractmethod
    def release(self) -> str:
        """What uname(2) calls the kernel."""

    @property
    @abstractmethod
    def cpus(self) -> int:
        """How many CPUs there can ever be (nr_cpu_ids)."""

    @abstractmethod
    def types(self) -> LazyBtf:
        """The kernel's own types. Raises KernelUnsupported if it has none."""

    def target(self, btf: str | None = None, config: str | None = None) -> Vmlinux:
        """What objects that are loaded there are for; `btf` and `config` have the last word, as
        Vmlinux takes them."""
        return Vmlinux(self.types if btf is None else btf, config)


def errno_name(number: int) -> str:
    """`number` is positive."""
    return "ENOTSUPP" if number == ENOTSUPP else errno.errorcode.get(number, f"errno {number}")


def refused(what: str, number: int, *, hint: str | None = None, log: str = "") -> KernelError:
    """The error for a call that gave -`number`."""
    return KernelError(
        f"{what}: {errno_name(number)}", errno_name=errno_name(number), hint=hint, log=log
    )


def bytes_of(data: bytes) -> Buffer:
    """Memory with these bytes, at an address that stays."""
    return ctypes.create_string_buffer(data, len(data))


def object_name(name: str) -> bytes:
    """What the kernel takes as a name (bpf_obj_name_cpy): 15 characters, few of them special."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in name)[
        :15
    ].encode()


class Descriptor(Closing):
    """An open file descriptor of a BPF object. Closing twice does nothing."""

    def __init__(self, transport: Transport, number: int) -> None:
        self.transport = transport
        self.number = number

    def close(self) -> None:
        number, self.number = self.number, -1
        if number >= 0:
            self.transport.close_descriptor(number)

    def __del__(self) -> None:
        self.close()
