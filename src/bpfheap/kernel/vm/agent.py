"""The program that runs in a virtual machine, and the archive that it boots from."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from bpfheap.compile import find_zig
from bpfheap.errors import KernelUnavailable
from bpfheap.host import ending_with_parent
from bpfheap.kept import Shelf

#: Bytes of the window: the longest program with all its lines, and a log.
WINDOW_SIZE: Final = 64 << 20
#: Where QEMU plugs in the device that has it, and the file that its memory is in the machine.
WINDOW_SLOT: Final = "0x10"
_WINDOW: Final = "/sys/bus/pci/devices/0000:00:10.0/resource2"

_SOURCE: Final = Path(__file__).with_name("agent.c")
#: Without a libc, which zig would have to compile first, for a minute.
_FLAGS: Final = (
    "-target", "x86_64-linux", "-static", "-nostdlib", "-ffreestanding", "-Os", "-Wall", "-Wextra",
    f'-DWINDOW="{_WINDOW}"', f"-DWINDOW_SIZE={WINDOW_SIZE}",
)  # fmt: skip
_HEADERS: Final = ("x86-linux-any", "any-linux-any")
_TIMEOUT: Final = 60
_SHELF: Final = Shelf("agent", "agents of virtual machines", b"bpfheap agent 1\n")

_REGULAR, _EXECUTABLE = 0o100000, 0o755


def initramfs() -> bytes:
    """A cpio archive, in the form "newc", of the agent as /init
    (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    return _entry("init", _REGULAR | _EXECUTABLE, agent()) + _entry("TRAILER!!!", 0, b"")


def _entry(name: str, mode: int, data: bytes) -> bytes:
    """Inode, owner, time and devices are 0, the number of links is 1."""
    path = name.encode() + b"\0"
    numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + path
    return _padded(head) + _padded(data)


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)


def agent() -> bytes:
    """agent.c, compiled. Raises KernelUnavailable if that cannot be done."""
    key = hashlib.sha256(_SOURCE.read_bytes() + "\0".join(_FLAGS).encode()).digest()
    kept = _SHELF.find(key)
    if kept is None:
        kept = _compiled()
        _SHELF.keep(key, kept)
    return kept


def _compiled() -> bytes:
    zig = find_zig()
    if zig is None:
        raise KernelUnavailable(
            "the agent of the virtual machine cannot be compiled", hint="`pip install ziglang`"
        )
    includes = [f"-isystem{zig.parent / 'lib/libc/include' / name}" for name in _HEADERS]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "agent"
        try:
            subprocess.run(
                [str(zig), "cc", *_FLAGS, *includes, "-o", str(made), str(_SOURCE)],
                env=os.environ | {"ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder},
                capture_output=True,
                timeout=_TIMEOUT,
                check=True,
                preexec_fn=ending_with_parent(),
            )
            return made.read_bytes()
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error).encode()
            raise KernelUnavailable(
                "the agent of the virtual machine cannot be compiled: "
                + said.decode(errors="replace").strip().partition("\n")[0]
            ) from None
