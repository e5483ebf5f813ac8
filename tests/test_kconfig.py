"""Files with a kernel's configuration."""

from __future__ import annotations

import gzip
import platform
from pathlib import Path

import pytest

import bpfheap
from bpfheap import kconfig
from bpfheap.errors import FormatError, Unsupported, UsageError
from bpfheap.vmlinux import Vmlinux

TEXT = """#
# Automatically generated file; DO NOT EDIT.
# Linux/x86 6.1.300 Kernel Configuration
#
CONFIG_A=y
CONFIG_TEXT="a=b"
CONFIG_A=n
# CONFIG_B is not set
CONFIG_ARCH_HAS_SYSCALL_WRAPPER=y
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONFIG_A", "y"),
        ("CONFIG_TEXT", '"a=b"'),
        ("CONFIG_B", None),
        ("LINUX_KERNEL_VERSION", str(0x601FF)),
        ("LINUX_HAS_BPF_COOKIE", "1"),
        ("LINUX_HAS_SYSCALL_WRAPPER", "1"),
        ("LINUX_MADE_UP", None),
    ],
)
def test_values(name: str, value: str | None) -> None:
    assert kconfig.parse(TEXT.encode(), "config").get(name) == value
    assert kconfig.parse(gzip.compress(TEXT.encode()), "config.gz").get(name) == value


def test_old_kernels() -> None:
    old = kconfig.parse(b"# Linux/arm64 5.14.0-rc1 Kernel Configuration\n", "config")
    names = ("LINUX_KERNEL_VERSION", "LINUX_HAS_BPF_COOKIE", "LINUX_HAS_SYSCALL_WRAPPER")
    assert [old.get(name) for name in names] == [str(0x50E00), "0", "0"]


@pytest.mark.parametrize(
    ("text", "number"),
    [("6.18.44-fc", 0x6122C), ("6.18", 0x61200), ("5.10.300", 0x50AFF), ("x", None), ("6", None)],
)
def test_versions(text: str, number: int | None) -> None:
    assert kconfig.version_number(text) == number


def test_a_file_that_does_not_say_its_version() -> None:
    found = kconfig.parse(b"CONFIG_A=y\n", "config")
    assert found.get("CONFIG_A") == "y"
    with pytest.raises(UsageError, match="config: does not say of which version"):
        found.get("LINUX_KERNEL_VERSION")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"CONFIG_A\n", "config:1: 'CONFIG_A' sets nothing"),
        (b"\nCONFIG_A=\n", "config:2: 'CONFIG_A=' sets nothing"),
        (b"\x1f\x8b" + bytes(20), "no gzip file"),
        (gzip.compress(bytes(1 << 25)), "longer than"),
        (b"\xff\xfe", None),
        (b"", None),
    ],
)
def test_files_that_are_wrong(data: bytes, message: str | None) -> None:
    if message is None:
        assert kconfig.parse(data, "config").values == {}
        return
    with pytest.raises(FormatError, match=message):
        kconfig.parse(data, "config")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system with a configuration in /proc, and a project without."""
    monkeypatch.setattr(kconfig, "PROC", tmp_path / "config.gz")
    monkeypatch.setattr(kconfig, "BOOT", tmp_path)
    monkeypatch.setattr(kconfig, "_SIGNATURE", tmp_path / "version_signature")
    monkeypatch.setattr(platform, "version", lambda: "#1 SMP")
    monkeypatch.setattr(platform, "release", lambda: "6.18.1-test")
    (tmp_path / "config.gz").write_bytes(gzip.compress(b"CONFIG_WHERE=1\n"))
    (tmp_path / "option").write_text("# Linux/x86 5.10.1 Kernel Configuration\nCONFIG_WHERE=3\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_systems(system: Path) -> None:
    assert Vmlinux().config("CONFIG_WHERE") == "1"
    assert Vmlinux().config("LINUX_KERNEL_VERSION") == str(0x61201)
    (system / "config-6.18.1-test").write_text("CONFIG_WHERE=2\n")
    assert Vmlinux().config("CONFIG_WHERE") == "2"


@pytest.mark.parametrize(
    ("signature", "version", "number"),
    [
        ("Ubuntu 5.4.0-12.15-generic 5.4.8\n", "#1 SMP", 0x50408),
        (None, "#1 SMP Debian 4.19.118-2 (2020-04-26)", 0x41376),
        ("odd", "#1 SMP", 0x61201),
    ],
)
def test_versions_of_distributions(
    system: Path,
    monkeypatch: pytest.MonkeyPatch,
    signature: str | None,
    version: str,
    number: int,
) -> None:
    if signature is not None:
        (system / "version_signature").write_text(signature)
    monkeypatch.setattr(platform, "version", lambda: version)
    assert Vmlinux().config("LINUX_KERNEL_VERSION") == str(number)


def test_who_says_which(system: Path) -> None:
    (system / "project").write_text("CONFIG_WHERE=4\n")
    (system / "pyproject.toml").write_text('[tool.bpfheap]\nkconfig = "project"\n')
    assert Vmlinux().config("CONFIG_WHERE") == "4"
    assert Vmlinux(config="option").config("CONFIG_WHERE") == "3"
    assert Vmlinux("none").config("CONFIG_WHERE") == "4"
    assert Vmlinux(config="none").config("CONFIG_WHERE") is None


def test_another_kernels_types_have_another_configuration(system: Path) -> None:
    kernel = Vmlinux("none")
    assert kernel.config("CONFIG_WHERE") is None
    assert not kernel.has_config()
    assert Vmlinux("none", "option").config("CONFIG_WHERE") == "3"


def test_a_system_that_does_not_tell(system: Path) -> None:
    (system / "config.gz").unlink()
    kernel = Vmlinux()
    assert kernel.config("CONFIG_WHERE") is None
    assert not kernel.has_config()


def test_an_option_that_is_no_file(system: Path) -> None:
    with pytest.raises(UsageError, match="nowhere: a kernel's configuration cannot be read"):
        Vmlinux(config="nowhere")


SOURCE = """#include <bpfheap.h>
extern int CONFIG_WHERE __attribute__((section(".kconfig")));
SEC("tc") int p(struct __sk_buff *skb) { return CONFIG_WHERE; }
"""


@pytest.mark.parametrize("machine", ["model", "native"])
def test_programs_read_it(system: Path, machine: str) -> None:
    if machine == "native":
        pytest.importorskip("bpfheap.machine.native._core")
    (system / "where.bpf.c").write_text(SOURCE)
    with bpfheap.Runtime(machine=machine, kconfig="option") as rt:
        loaded = rt.load("where.bpf.c")
        assert loaded.programs["p"].run(data=bytes(14)).retval == 3
    with bpfheap.Runtime(kernel_btf="none") as rt, pytest.raises(Unsupported) as error:
        rt.load("where.bpf.c")
    assert str(error.value) == (
        "where.bpf.c:3: bpfheap does not know CONFIG_WHERE, a value of the kernel's configuration "
        "(give it with --kconfig FILE, such as /boot/config-*, or use a `const volatile` variable)"
    )
