"""Virtual machines without one: a program in the place of QEMU says what a kernel would, and makes
the calls as the agent would. tests/kernel/test_kernel_traced.py asks real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bpfheap.compile import find_zig
from bpfheap.errors import KernelError, KernelUnavailable, KernelUnsupported, UsageError
from bpfheap.kernel import opened
from bpfheap.kernel.bpf import Attr, Command, bytes_of
from bpfheap.kernel.vm import BOOT_TIMEOUT, Vm
from bpfheap.kernel.vm.agent import WINDOW_SIZE, agent, initramfs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memfd_create is Linux's")

#: A bzImage, as far as anybody looks.
IMAGE = bytes(0x202) + b"HdrS"

#: Opens what it was given as QEMU does, and is the machine from then on.
MACHINE = """#!{python}
import mmap, os, re, struct, sys, time
given = " ".join(sys.argv)
console = open(re.search("id=console,path=(\\S+)", given)[1], "w")
file = os.open(re.search("mem-path=(\\S+)", given)[1], os.O_RDWR)
window = mmap.mmap(file, {size})
BASE = 0x10000

def calls():
    struct.pack_into("<Q", window, 0, BASE)
    while True:
        os.write(1, b"!")
        if not os.read(0, 1):
            return
        number, *args = struct.unpack_from("<7q", window, 16)
        struct.pack_into("<q", window, 8, answer(number, *[arg - BASE for arg in args]))

def answer(number, first, second, third, *rest):
    if number == 63:
        window[first + 130 : first + 137] = b"6.18.0-"
    if number == 321:
        return bpf(first + BASE, second)
    return 0

def bpf(command, attr):
    return 0

{body}
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "vmlinuz"
    path.write_bytes(IMAGE)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a machine that does this into the place of QEMU."""
    monkeypatch.setattr("bpfheap.kernel.vm.qemu.initramfs", lambda: b"")

    def put(body: str) -> None:
        path = tmp_path / "bin" / "qemu-system-x86_64"
        path.parent.mkdir()
        path.write_text(MACHINE.format(python=sys.executable, size=WINDOW_SIZE, body=body))
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(path.parent), prepend=os.pathsep)

    return put


def test_a_call_has_its_memory_there(image: Path, machine: Callable[[str], None]) -> None:
    machine(
        "def bpf(command, attr):\n"
        "    (btf, log, size) = struct.unpack_from('<QQI', window, attr)\n"
        "    if command != 18:\n"
        "        return 3\n"
        "    at = log - BASE\n"
        "    window[at : at + size] = window[btf - BASE : btf - BASE + size].upper()\n"
        "    struct.pack_into('<I', window, attr + 16, 77)\n"
        "    return -22\n"
        "calls()\n"
    )
    with Vm(image) as vm:
        assert (vm.release, vm.cpus) == ("6.18.0-", 1)
        out = bytes_of(b".........")
        attr = Attr(Command.BTF_LOAD, btf=b"types", btf_log_buf=out, btf_size=5)
        assert vm.call(attr) == -22
        assert out.raw == b"TYPES...."
        assert attr["btf_size"] == 77
        assert vm.call(Attr(Command.MAP_FREEZE, map_fd=1)) == 3
        huge = Attr(Command.BTF_LOAD, btf=bytes(WINDOW_SIZE))
        with pytest.raises(KernelError, match="more than a virtual machine takes"):
            vm.call(huge)


def test_descriptors_are_closed_before_the_next_call(
    image: Path, machine: Callable[[str], None]
) -> None:
    machine(
        "closed = []\n"
        "def answer(number, *args):\n"
        "    if number == 3:\n"
        "        closed.append(args[0] + BASE)\n"
        "    return len(closed) if number == 321 else 0\n"
        "calls()\n"
    )
    with Vm(image) as vm:
        assert vm.call(Attr(Command.MAP_FREEZE)) == 1  # that of the first load
        vm.close_descriptor(7)
        vm.close_descriptor(8)
        assert vm.call(Attr(Command.MAP_FREEZE)) == 3


def test_a_call_that_is_broken_off_is_the_last(
    image: Path, machine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("calls()")
    with Vm(image) as vm:
        vm.call(Attr(Command.MAP_FREEZE))

        def interrupted(seconds: float) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(vm._machine, "wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                vm.call(Attr(Command.MAP_FREEZE))
        with pytest.raises(KernelUnavailable, match="was closed"):
            vm.call(Attr(Command.MAP_FREEZE))


def test_a_configuration_lies_beside(image: Path, machine: Callable[[str], None]) -> None:
    machine("calls()")
    config = image.with_name("config")
    with Vm(image) as vm:
        assert not vm.target().has_config()
        config.write_text("# Linux/x86 6.1.9 Kernel Configuration\nCONFIG_HZ=250\n")
        assert vm.target().config("CONFIG_HZ") == "250"
        other = image.with_name("other")
        other.write_text("CONFIG_HZ=100\n")
        assert vm.target(config=str(other)).config("CONFIG_HZ") == "100"
        assert not vm.target("none").has_config()


def test_a_kernel_without_btf(image: Path, machine: Callable[[str], None]) -> None:
    machine("def answer(number, *args):\n    return -2 if number == 2 else 0\ncalls()\n")
    with Vm(image) as vm, pytest.raises(KernelUnsupported, match=r"has no BTF .*DEBUG_INFO_BTF"):
        vm.types()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def bpf(*args):\n    return -38\ncalls()", r"has no bpf\(2\) .*CONFIG_BPF_SYSCALL"),
        ("def bpf(*args):\n    return -1\ncalls()", "6.18.0- loads no programs: EPERM"),
        (
            "console.write('[    1.2] Kernel panic - not syncing: no init\\n[    1.3] more\\n')",
            r"the virtual machine ended: Kernel panic - not syncing: no init",
        ),
        (
            "console.write('bpfheap: no device\\nx\\n[    1.2] Kernel panic - why\\n')",
            "ended: no device",
        ),
        ("console.write('[    0.1] the last\\n\\n')", "ended: its console ends with 'the last'"),
        ("pass", "ended: nothing is on its console"),
        ("sys.exit('qemu: no such option')", "ended: qemu: no such option"),
        ("console.write('[    0.1] slow\\n')\nconsole.flush()\ntime.sleep(60)",
         "did not answer within 1 s: (its console ends with 'slow'|nothing)"),
        ("print(end='!', flush=True)\nos.read(0, 1)", "ended: nothing is on its console"),
    ],
)  # fmt: skip
def test_a_machine_that_is_no_good(
    image: Path, machine: Callable[[str], None], body: str, message: str
) -> None:
    machine(body)
    with Vm(image, boot_timeout=1 if "slow" in body else BOOT_TIMEOUT) as vm:
        for _ in range(2):
            with pytest.raises(KernelUnavailable, match=message):
                vm.call(Attr(Command.MAP_FREEZE))


def test_no_qemu(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        KernelUnavailable,
        match=r"qemu-system-x86_64, which boots .* PATH.*apt-get install.*qemu-system-x86",
    ):
        opened(f"vm:{image}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no kernel for x86-64"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x01\0\x3e\0", "is no kernel for x86-64"),
        (None, "cannot be read: No such file"),
    ],
)
def test_no_image(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "image"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        opened(f"vm:{path}")


def test_no_kernel_of_that_name() -> None:
    with pytest.raises(UsageError, match=r"'live' names no kernel \(write kernel\|vm:VMLINUZ\)"):
        opened("live")


def test_it_ends_with_its_parent(image: Path, machine: Callable[[str], None]) -> None:
    machine("console.write(str(os.getpid()))\nconsole.flush()\ntime.sleep(60)")
    code = (
        "import sys, time, bpfheap.kernel.vm.qemu as q\n"
        "q.initramfs = lambda: b''\n"
        "from bpfheap.kernel import opened\n"
        f"vm = opened('vm:{image}')\n"
        "print(vm._machine._process.pid, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(child)


def _runs(process: int) -> bool:
    """A process that nobody waits for any more is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_closing_ends_it(image: Path, machine: Callable[[str], None]) -> None:
    machine("calls()")
    before = len(os.listdir("/proc/self/fd"))
    with Vm(image) as vm:
        child = vm._machine._process.pid
        assert vm.release
        assert _runs(child)
    assert not _runs(child)
    assert len(os.listdir("/proc/self/fd")) == before
    vm.close()
    with pytest.raises(KernelUnavailable, match="was closed"):
        vm.call(Attr(Command.MAP_FREEZE))


@pytest.mark.skipif(find_zig() is None, reason="the ziglang wheel is not here")
def test_the_agent_is_a_program_without_libraries() -> None:
    made = agent()
    assert made[:4] == b"\x7fELF"
    assert made[16:20] == b"\x02\0\x3e\0"
    assert b"/lib" not in made
    archive = initramfs()
    assert archive.startswith(b"070701")
    assert len(archive) % 4 == 0
    assert archive[110:].startswith(b"init\0")
