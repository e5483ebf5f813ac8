"""A virtual machine in QEMU: how it is started, what it says on its console, and how it ends.

All that it reads and writes is in memory that has no name: whatever ends it, no file is left.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import select
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final, NoReturn

from bpfheap.errors import KernelUnavailable, UsageError
from bpfheap.host import ending_with_parent
from bpfheap.kernel.vm.agent import WINDOW_SIZE, WINDOW_SLOT, initramfs

QEMU: Final = "qemu-system-x86_64"
_MEMORY: Final = "1G"
#: What is not there is not looked for. A panic ends the machine. Of the security modules bpf alone
#: is wanted, which some distributions leave out.
_MACHINE: Final = (
    "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", _MEMORY,
    # Nested in a virtual machine KVM may be there and hang; QEMU's own needs four seconds anywhere.
    "-accel", "tcg", "-cpu", "max",
    "-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1 lsm=bpf",
)  # fmt: skip
#: Where a bzImage has its magic (Documentation/arch/x86/boot.rst).
_BZIMAGE: Final = (0x202, b"HdrS")
#: An ELF file of 64 bits, little endian, an executable for x86-64.
_ELF_HEAD: Final = struct.Struct("<4sBB10xHH")
_VMLINUX: Final = (b"\x7fELF", 2, 1, 2, 62)

#: How a line of the kernel begins: its time.
_TIME: Final = re.compile(r"^\[ *\d+\.\d+\] ")
#: Lines that say why there was an end, the best first: the agent's, the kernel's.
_TELLING: Final = (re.compile(r"^bpfheap: (.+)"), re.compile(r"^(Kernel panic.+)"))


class Machine:
    """A running one. `window` is the memory that it sees, too."""

    def __init__(self, image: Path) -> None:
        """Raises UsageError if the file is no kernel, KernelUnavailable if there is no QEMU."""
        check_image(image)
        self.image = image
        if not sys.platform.startswith("linux"):
            raise KernelUnavailable(f"{image} can be booted on Linux only, this is {sys.platform}")
        qemu = shutil.which(QEMU)
        if qemu is None:
            raise KernelUnavailable(
                f"{QEMU}, which boots {image}, is not on PATH",
                hint="Debian: apt-get install --no-install-recommends qemu-system-x86",
            )
        self._ended: KernelUnavailable | None = None
        self._last_words = ""
        self._files: list[int] = []
        try:
            self._console, self._said = self._file(), self._file()
            window, archive = self._file(), self._file()
            os.ftruncate(window, WINDOW_SIZE)
            os.write(archive, initramfs())
            self.window = mmap.mmap(window, WINDOW_SIZE)
            self._process = subprocess.Popen(
                [
                    qemu, *_MACHINE,
                    "-kernel", str(image.resolve()), "-initrd", _name(archive),
                    "-chardev", f"file,id=console,path={_name(self._console)}",
                    "-serial", "chardev:console",
                    "-chardev", "stdio,id=agent,signal=off", "-serial", "chardev:agent",
                    "-object", "memory-backend-file,id=window,share=on,"
                    f"size={WINDOW_SIZE},mem-path={_name(window)}",
                    "-device", f"ivshmem-plain,memdev=window,addr={WINDOW_SLOT}",
                ],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, bufsize=0,
                pass_fds=self._files,
                preexec_fn=ending_with_parent(),
                # Ctrl-C is for this process, which ends the other.
                start_new_session=True,
            )  # fmt: skip
        except BaseException as error:
            self._close_files()
            if isinstance(error, OSError):
                raise KernelUnavailable(f"{QEMU} cannot be run: {error.strerror}") from None
            raise

    def _file(self) -> int:
        made = os.memfd_create("bpfheap")
        self._files.append(made)
        return made

    def ring(self) -> None:
        """Tell the agent that there is something to do."""
        assert self._process.stdin is not None
        # If it has ended, `wait` tells why.
        with contextlib.suppress(OSError):
            self._process.stdin.write(b"\0")

    def wait(self, seconds: float) -> None:
        """Until the agent is ready, or done. Raises KernelUnavailable if the machine has ended, or
        does not answer in time."""
        self.check()
        port = self._process.stdout
        assert port is not None
        ready, _, _ = select.select([port], [], [], seconds)
        if not (ready and port.read(1)):
            how = "ended" if ready else f"did not answer within {seconds:.0f} s"
            self.fail(f"the virtual machine {how}")

    def check(self) -> None:
        """Raises KernelUnavailable once it has ended."""
        if self._ended is not None:
            raise self._ended

    def fail(
        self, message: str, *, errno_name: str = "ENODEV", hint: str | None = None
    ) -> NoReturn:
        """End it for that reason, which all further calls are told, too."""
        self.close()
        last = "" if hint else f": {self._last_words}"
        file = str(self.image)
        self._ended = KernelUnavailable(message + last, errno_name=errno_name, file=file, hint=hint)
        raise self._ended

    def close(self) -> None:
        """End it. Closing twice does nothing."""
        if not self._files:
            return
        self._ended = KernelUnavailable("the virtual machine was closed", file=str(self.image))
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self.window.close()
        self._last_words = self._telling()
        self._close_files()

    def _close_files(self) -> None:
        while self._files:
            os.close(self._files.pop())

    def _telling(self) -> str:
        """What tells best why it does not run."""
        lines = [_TIME.sub("", line) for line in _text(self._console).splitlines()]
        for telling in _TELLING:
            for line in lines:
                if found := telling.match(line):
                    return found[1]
        said = _text(self._said).strip()
        if said:
            return said.splitlines()[-1]
        last = next((line for line in reversed(lines) if line.strip()), "")
        return f"its console ends with {last!r}" if last else "nothing is on its console"


def check_image(image: Path) -> None:
    """Raises UsageError if a file cannot be a kernel."""
    try:
        with image.open("rb") as file:
            head = file.read(1024)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot be read: {said}", file=str(image), hint=_IMAGES) from None
    at, magic = _BZIMAGE
    is_elf = len(head) >= _ELF_HEAD.size and _ELF_HEAD.unpack_from(head) == _VMLINUX
    if not is_elf and head[at : at + len(magic)] != magic:
        raise UsageError("is no kernel for x86-64", file=str(image), hint=_IMAGES)


_IMAGES: Final = "name a file such as /boot/vmlinuz-*"


def _name(handle: int) -> str:
    """As QEMU, which inherits it, opens it."""
    return f"/dev/fd/{handle}"


def _text(handle: int) -> str:
    size = os.fstat(handle).st_size
    return os.pread(handle, size, 0).decode(errors="replace")
