"""One object on our machines and on the live kernel, for tables of what is done and what comes
of it. Both take and give bytes; an operation that fails gives the name of its error."""

from __future__ import annotations

import ctypes
import errno
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import KernelError, MapError
from bpfheap.kernel import Kernel, available
from bpfheap.kernel.bpf import Descriptor
from bpfheap.kernel.live import _SYSCALL, Live
from bpfheap.kernel.maps import create_map
from bpfheap.kernel.program import section_of
from bpfheap.spec import MapSpec, ObjectSpec
from bpfheap.vmlinux import Vmlinux
from on_machines import MACHINES, why_not

PROLOGUE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#define ARGS(type, name) \\
	struct type name = {}; bpf_skb_load_bytes(skb, 14, &name, sizeof(name))
char LICENSE[] SEC("license") = "GPL";
"""
_ETHERNET = bytes(14)
_LOOKUP, _UPDATE, _DELETE, _NEXT, _POP = 1, 2, 3, 4, 21


def frame(*words: int | bytes) -> bytes:
    """A packet with arguments behind its Ethernet header, 4 bytes each."""
    raw = b"".join(w if isinstance(w, bytes) else (w & 0xFFFFFFFF).to_bytes(4, "little")
                   for w in words)  # fmt: skip
    return (_ETHERNET + raw).ljust(64, b"\0")


def words(*args: int) -> bytes:
    """A context with arguments, 8 bytes each."""
    return b"".join(one.to_bytes(8, "little") for one in args)


def compiled(folder: Path, name: str, source: str, target: Vmlinux | None = None) -> ObjectSpec:
    path = folder / f"{name}.bpf.c"
    path.write_text(PROLOGUE + source)
    return object_spec(path, target=target)


class Ours:
    """A machine of ours: there is one of these for each way to run programs."""

    options: ClassVar[Mapping[str, Any]] = MACHINES["model"]

    def __init__(self, spec: ObjectSpec, **options: Any) -> None:
        self.runtime = bpfheap.Runtime(**self.options, **options)
        self.object = self.runtime.load(spec)

    def close(self) -> None:
        self.runtime.close()

    def run(self, name: str, *args: int | bytes) -> int:
        return self.object.programs[name].run(data=frame(*args)).retval

    def trace(self, name: str, *args: int) -> int:
        return self.object.programs[name].run(words(*args)).retval

    def update(self, name: str, key: bytes, value: bytes, flags: int = 0) -> str:
        return self._answer(lambda: self.object.maps[name].update(key, value, flags))

    def push(self, name: str, value: bytes, flags: int = 0) -> str:
        return self._answer(lambda: self.object.maps[name].push(value, flags))

    def delete(self, name: str, key: bytes) -> str:
        map_ = self.object.maps[name]
        return self._answer(lambda: self.runtime.system.map_delete(map_.fd, key))

    def lookup(self, name: str, key: bytes) -> bytes | None:
        return self.runtime.system.machine.map_lookup(self.object.maps[name].id, key)

    def keys(self, name: str) -> list[bytes]:
        return list(self.runtime.system.machine.map_keys(self.object.maps[name].id))

    def pop(self, name: str) -> bytes | None:
        return self._bytes(self.object.maps[name].pop())

    def peek(self, name: str) -> bytes | None:
        return self._bytes(self.object.maps[name].peek())

    def known(self, name: str, value: bytes) -> bool:
        return bool(self.object.maps[name].peek(value))

    @staticmethod
    def _bytes(value: Any) -> bytes | None:
        return value if value is None or isinstance(value, bytes) else value.to_bytes(4, "little")

    @staticmethod
    def _answer(action: Any) -> str:
        try:
            action()
        except MapError as refused:
            return refused.errno_name
        return ""


class Linux:
    def __init__(self, spec: ObjectSpec) -> None:
        self.spec = spec
        self.kernel = Kernel()

    def close(self) -> None:
        self.kernel.close()

    def run(self, name: str, *args: int | bytes) -> int:
        return self.kernel.test_run(self.spec, self.spec.programs[name], frame(*args)).retval

    def trace(self, name: str, *args: int) -> int:
        program = self.spec.programs[name]
        return self.kernel.test_run(self.spec, program, ctx=words(*args)).retval

    def map(self, name: str) -> Descriptor:
        program = next(iter(self.spec.programs.values()))
        loaded, _ = self.kernel._object(self.spec, program)
        return loaded.map(name, section_of(program))

    def _call(
        self, command: int, name: str, key: bytes | None, value: Any = None, flags: int = 0
    ) -> str:
        buffers = [None if one is None else ctypes.create_string_buffer(one, len(one))
                   for one in (key,)]  # fmt: skip
        if isinstance(value, bytes):
            value = ctypes.create_string_buffer(value, len(value))
        words = (ctypes.c_uint64 * 4)(
            self.map(name).number,
            ctypes.addressof(buffers[0]) if buffers[0] is not None else 0,
            ctypes.addressof(value) if value is not None else 0,
            flags,
        )
        libc = ctypes.CDLL(None, use_errno=True)
        number = _SYSCALL[platform.machine()]
        if libc.syscall(number, command, ctypes.byref(words), 32) >= 0:
            return ""
        failed = ctypes.get_errno()
        return "ENOTSUPP" if failed == 524 else errno.errorcode[failed]

    def update(self, name: str, key: bytes, value: bytes, flags: int = 0) -> str:
        return self._call(_UPDATE, name, key, value, flags)

    def push(self, name: str, value: bytes, flags: int = 0) -> str:
        return self._call(_UPDATE, name, None, value, flags)

    def delete(self, name: str, key: bytes) -> str:
        return self._call(_DELETE, name, key)

    def _value(self, command: int, name: str, key: bytes | None) -> bytes | None:
        size = self.spec.maps[name].value_size
        buffer = ctypes.create_string_buffer(size)
        return buffer.raw if self._call(command, name, key, buffer) == "" else None

    def lookup(self, name: str, key: bytes) -> bytes | None:
        return self._value(_LOOKUP, name, key)

    def keys(self, name: str) -> list[bytes]:
        found: list[bytes] = []
        key: bytes | None = None
        while True:
            buffer = ctypes.create_string_buffer(self.spec.maps[name].key_size)
            if self._call(_NEXT, name, key, buffer):
                return found
            key = buffer.raw
            found.append(key)

    def pop(self, name: str) -> bytes | None:
        return self._value(_POP, name, None)

    def peek(self, name: str) -> bytes | None:
        return self._value(_LOOKUP, name, None)

    def known(self, name: str, value: bytes) -> bool:
        return self._call(_LOOKUP, name, None, value) == ""


def sides(ours: type[Ours], linux: type[Linux], unasked: str | None = None) -> list[Any]:
    """`ours` on all machines, and the live kernel unless there is a reason not to ask it."""
    unasked = unasked or (None if available() is None else str(available()))
    each = [(name, type(ours.__name__, (ours,), {"options": options}), why_not(options))
            for name, options in MACHINES.items()]  # fmt: skip
    return [
        pytest.param(side, id=name, marks=pytest.mark.skipif(why is not None, reason=str(why)))
        for name, side, why in (*each, ("linux", linux, unasked))
    ]


SIDES = sides(Ours, Linux)


def play(side: Ours | Linux, steps: list[tuple[Any, ...]]) -> None:
    """Each step is an operation, its arguments, and what it gives."""
    for number, (operation, *args, wanted) in enumerate(steps):
        found = getattr(side, operation)(*args)
        told = f"step {number}, {operation} {args}: {found!r}, and not {wanted!r}"
        assert found == wanted, told


def cannot_be_made(side: type[Ours | Linux], spec: MapSpec) -> str:
    """The error of making a map; "" if there is none."""
    try:
        if issubclass(side, Ours):
            with bpfheap.Runtime(**side.options) as rt:
                rt.system.machine.map_create(1, spec, None, {})
        else:
            create_map(Live(), spec, btf=None).close()
    except (KernelError, MapError) as error:
        return error.errno_name
    return ""
