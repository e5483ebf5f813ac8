"""Kernels as users name them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bpfheap.errors import UsageError
from bpfheap.kernel.bpf import Transport
from bpfheap.kernel.live import Live
from bpfheap.kernel.vm import Vm

#: How they write it.
NAMES: Final = "kernel|vm:VMLINUZ"
_LIVE, _VM = "kernel", "vm:"


def opened(name: str) -> Transport:
    """A way to "kernel", the live one, or to "vm:VMLINUZ", an image that boots in QEMU.

    Raises UsageError for other names and for a file that is no kernel, KernelUnavailable if the
    kernel cannot be reached.
    """
    if name == _LIVE:
        return Live()
    if name.startswith(_VM):
        return Vm(Path(name.removeprefix(_VM)))
    raise UsageError(f"{name!r} names no kernel", hint=f"write {NAMES}")
