"""Another kernel than the live one: an image that boots in QEMU, for the time of its questions."""

from __future__ import annotations

import ctypes
import errno
import struct
import threading
from pathlib import Path
from typing import Final

from bpfheap.btf import LazyBtf
from bpfheap.errors import KernelError, KernelUnsupported
from bpfheap.kernel.bpf import Attr, Transport, errno_name, smallest_load
from bpfheap.kernel.vm.agent import WINDOW_SIZE
from bpfheap.kernel.vm.qemu import Machine
from bpfheap.vmlinux import VMLINUX, Vmlinux, types_in

#: Seconds until it is up, four on an idle machine, and for one call: a million instructions.
BOOT_TIMEOUT: Final = 60.0
CALL_TIMEOUT: Final = 300.0

# The start of the window, struct request of agent.c.
_ADDRESS: Final = struct.Struct("<Q")
_RESULT: Final = struct.Struct("<q")
_CALL: Final = struct.Struct("<7q")
_RESULT_AT, _CALL_AT = 8, 16
#: Where a call's memory begins.
_MEMORY: Final = 4096
_ALIGNED: Final = 64

# Of x86-64: arch/x86/entry/syscalls/syscall_64.tbl.
_READ, _OPEN, _CLOSE, _UNAME, _BPF = 0, 2, 3, 63, 321
#: struct new_utsname: six strings, of which the third one is the release.
_UTS_LENGTH: Final = 65
_RELEASE: Final = 2


class Vm(Transport):
    """The machine starts at once, and the first question waits until it is up."""

    def __init__(self, image: Path, *, boot_timeout: float = BOOT_TIMEOUT) -> None:
        """Raises UsageError if the file is no kernel, KernelUnavailable if there is no QEMU."""
        self._machine = Machine(image)
        self._boot_timeout = boot_timeout
        #: Where the window is in the machine, once it is up.
        self._base = 0
        self._release = ""
        self._types: LazyBtf | None = None
        self._unused: list[int] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the machine, and with it all that was loaded there."""
        self._machine.close()

    # -- as a transport

    def call(self, attr: Attr) -> int:
        with self._lock:
            self._boot()
            while self._unused:
                self._system_call(_CLOSE, self._unused.pop())
            return self._bpf(attr)

    def close_descriptor(self, number: int) -> None:
        # The collector may come by in the middle of a call.
        self._unused.append(number)

    @property
    def release(self) -> str:
        with self._lock:
            self._boot()
            return self._release

    @property
    def cpus(self) -> int:
        return 1

    def types(self) -> LazyBtf:
        with self._lock:
            if self._types is None:
                self._boot()
                data = self._read(str(VMLINUX))
                if data is None:
                    raise KernelUnsupported(
                        "the kernel has no BTF",
                        file=str(self._machine.image),
                        hint="it has to be built with CONFIG_DEBUG_INFO_BTF",
                    )
                self._types = types_in(data, f"{self._machine.image}: {VMLINUX}")
            return self._types

    def target(self, btf: str | None = None, config: str | None = None) -> Vmlinux:
        image = self._machine.image
        beside = image.with_name(image.name.replace("vmlinuz", "config", 1))
        if config is None and btf is None and beside != image and beside.is_file():
            config = str(beside)
        return super().target(btf, config)

    # -- in the machine

    def _boot(self) -> None:
        self._machine.check()
        if self._base:
            return
        self._machine.wait(self._boot_timeout)
        (self._base,) = _ADDRESS.unpack_from(self._machine.window)
        self._system_call(_UNAME, self._base + _MEMORY)
        names = self._machine.window[_MEMORY : _MEMORY + (_RELEASE + 1) * _UTS_LENGTH]
        self._release = names[_RELEASE * _UTS_LENGTH :].partition(b"\0")[0].decode()
        result = self._bpf(smallest_load())
        if result >= 0:
            self._system_call(_CLOSE, result)
        elif result == -errno.ENOSYS:
            self._machine.fail(
                f"Linux {self._release} has no bpf(2)",
                errno_name="ENOSYS",
                hint="it has to be built with CONFIG_BPF_SYSCALL",
            )
        else:
            name = errno_name(-result)
            self._machine.fail(f"Linux {self._release} loads no programs: {name}", errno_name=name)

    def _system_call(self, number: int, *args: int) -> int:
        """The result, or a negative errno."""
        padded = args + (0,) * (6 - len(args))
        _CALL.pack_into(self._machine.window, _CALL_AT, number, *padded)
        self._machine.ring()
        try:
            self._machine.wait(CALL_TIMEOUT)
        except BaseException:
            # Ctrl-C, say: the answer is still to come, and would be taken for the next one's.
            self._machine.close()
            raise
        (result,) = _RESULT.unpack_from(self._machine.window, _RESULT_AT)
        return int(result)

    def _bpf(self, attr: Attr) -> int:
        places: dict[str, int] = {}
        at = _MEMORY
        for name, memory in attr.memory.items():
            places[name] = at
            at += len(memory) + -len(memory) % _ALIGNED
        raw = attr.at({name: self._base + place for name, place in places.items()})
        if at + len(raw) > WINDOW_SIZE:
            raise KernelError(
                f"{attr.command.name}: {at} bytes are more than a virtual machine takes",
                errno_name="E2BIG",
            )
        window = self._machine.window
        for name, memory in attr.memory.items():
            window[places[name] : places[name] + len(memory)] = memory.raw
        window[at : at + len(raw)] = raw
        result = self._system_call(_BPF, int(attr.command), self._base + at, len(raw))
        attr.raw = window[at : at + len(raw)]
        for name, memory in attr.memory.items():
            ctypes.memmove(memory, window[places[name] : places[name] + len(memory)], len(memory))
        return result

    def _read(self, path: str) -> bytes | None:
        """A file there, None if there is none."""
        window = self._machine.window
        name = path.encode() + b"\0"
        window[_MEMORY : _MEMORY + len(name)] = name
        handle = self._system_call(_OPEN, self._base + _MEMORY)
        if handle < 0:
            return None
        parts = []
        while (size := self._system_call(
            _READ, handle, self._base + _MEMORY, WINDOW_SIZE - _MEMORY
        )) > 0:  # fmt: skip
            parts.append(window[_MEMORY : _MEMORY + size])
        self._system_call(_CLOSE, handle)
        return b"".join(parts)
