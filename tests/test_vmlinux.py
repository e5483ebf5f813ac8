"""Which kernel programs are for: who says so, and what is made of bad answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bpfheap
from bpfheap import vmlinux
from bpfheap.btf import BtfIndex, LazyBtf, Struct
from bpfheap.btf.lazy import index_of
from bpfheap.btf.raw import TypeReader
from bpfheap.errors import BpfheapError, BtfError, UsageError
from bpfheap.vmlinux import Vmlinux, read_types

sys.path.insert(0, str(Path(__file__).parent / "elf"))
from elf_objects import build
from kernels import types_of

from split_btf import split


def kernel(name: str) -> bytes:
    return types_of(f"struct {name} {{ int x; }} a;")


def named(types: object) -> str:
    """The only struct of a kernel."""
    assert isinstance(types, LazyBtf)
    found = next(types[i] for i in range(len(types)) if isinstance(types[i], Struct))
    assert isinstance(found, Struct)
    return found.name


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system with a kernel, and a folder in a project that is for another."""
    (tmp_path / "system").write_bytes(kernel("system"))
    (tmp_path / "project").write_bytes(kernel("project"))
    (tmp_path / "option").write_bytes(kernel("option"))
    monkeypatch.setattr(vmlinux, "VMLINUX", tmp_path / "system")
    monkeypatch.setattr(vmlinux, "KALLSYMS", tmp_path / "kallsyms")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path / "folder")
    return tmp_path


def project(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(text)


KEY = '[tool.bpfheap]\nkernel-btf = "{}"\n'


@pytest.mark.parametrize(
    ("outer", "inner", "option", "expected"),
    [
        (None, None, None, "system"),
        (None, None, "../option", "option"),
        (KEY.format("project"), None, None, "project"),
        (KEY.format("project"), None, "../option", "option"),
        # The nearest that says something of it.
        (KEY.format("project"), "[tool.bpfheap]\n", None, "project"),
        (KEY.format("project"), "[project]\nname = 'x'\n", None, "project"),
        (KEY.format("project"), KEY.format("../option"), None, "option"),
        (KEY.format("project"), KEY.format("none"), None, None),
        (KEY.format("project"), None, "none", None),
        (None, None, "none", None),
    ],
)
def test_who_says_which(
    world: Path, outer: str | None, inner: str | None, option: str | None, expected: str | None
) -> None:
    for folder, text in ((world, outer), (world / "folder", inner)):
        if text is not None:
            project(folder, text)
    types = Vmlinux(option).types()
    assert (None if types is None else named(types)) == expected


def test_nothing_is_opened_before_it_is_asked_for(world: Path) -> None:
    project(world, "nonsense of bpfheap")
    found = Vmlinux()
    with pytest.raises(UsageError, match=r"pyproject\.toml: this is no TOML"):
        found.types()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.bpfheap]\nkernel-btf = 7\n", "kernel-btf is no text"),
        (KEY.format("nowhere"), "kernel-btf names .*nowhere: a kernel's BTF cannot be read"),
        (KEY.format("."), "a kernel's BTF is no file"),
        ("bpfheap = " + "[" * 10000, "this is no TOML"),
        ("[tool]\nbpfheap = 3", "tool.bpfheap is no table"),
        ("[tool.bpfheap]\nkernel_btf = 'x'", "has no key kernel_btf .*kernel-btf, kconfig"),
        ("tool = 3 # bpfheap", None),
        # What says nothing of bpfheap is nobody's business here.
        ("x = [", None),
    ],
)
def test_projects_that_are_wrong(world: Path, text: str, message: str | None) -> None:
    project(world, text)
    if message is None:
        types = Vmlinux().types()
        assert named(types) == "system"
        return
    with pytest.raises(UsageError, match=message) as error:
        Vmlinux().types()
    assert "\n" not in str(error.value)


def test_a_working_directory_that_is_gone(world: Path) -> None:
    gone = world / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    assert named(Vmlinux().types()) == "system"


@pytest.mark.parametrize("name", ["nowhere", ".", "", "a\0b"])
def test_an_option_that_is_no_file_is_refused_at_once(world: Path, name: str) -> None:
    with pytest.raises(UsageError, match="a kernel's BTF"):
        Vmlinux(name)


def test_a_pipe_is_not_waited_for(world: Path) -> None:
    os.mkfifo(world / "pipe")
    with pytest.raises(UsageError, match="is no file"):
        Vmlinux(world / "pipe")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"", "too short for a header"),
        (lambda: b"\x7fELF", "broken ELF"),
        (lambda: b"\x7fELF" + bytes(200), "ELF"),
        (lambda: b"text" * 100, "magic"),
        (lambda: kernel("cut")[:-9], "its sections end beyond its end"),
        (lambda: build("int f(void) { return 0; }", cflags=("-g0",)), "ELF file without BTF"),
    ],
)
def test_files_without_types(world: Path, content: Callable[[], bytes], message: str) -> None:
    (world / "bad").write_bytes(content())
    with pytest.raises(BtfError, match=message) as error:
        Vmlinux(world / "bad").types()
    assert error.value.file == str(world / "bad")


def test_an_elf_file_with_types(world: Path) -> None:
    (world / "vmlinux").write_bytes(build("struct in_elf { int x; } a;"))
    assert named(read_types(world / "vmlinux")) == "in_elf"


def test_a_file_that_changed_is_read_again(world: Path) -> None:
    path = world / "option"
    assert named(read_types(path)) == "option"
    path.write_bytes(kernel("another"))
    assert named(read_types(path)) == "another"


def test_the_index_is_kept(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPFHEAP_CACHE", str(world / "cache"))
    made: list[int] = []

    def counted(reader: TypeReader) -> BtfIndex:
        made.append(1)
        return index_of(reader)

    monkeypatch.setattr("bpfheap.vmlinux.index_of", counted)
    for _ in range(2):
        vmlinux._read.cache_clear()
        assert named(read_types(world / "option")) == "option"
    assert len(made) == 1
    # What somebody broke is made anew.
    (kept,) = (world / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    vmlinux._read.cache_clear()
    assert named(read_types(world / "option")) == "option"
    assert len(made) == 2


def test_symbols_are_known_of_the_system_alone(world: Path) -> None:
    (world / "kallsyms").write_text(
        "ffffffff81000000 T one\n0000000000000000 d two\t[module]\n"
        "ffffffff81000000 d four.llvm.123\n"
    )
    vmlinux._symbols.cache_clear()
    try:
        system = Vmlinux()
        assert [system.has_symbol(name) for name in ("one", "two", "three")] == [True, True, False]
        assert Vmlinux(world / "option").has_symbol("one") is None
        assert Vmlinux("none").has_symbol("one") is False
        assert system.has_symbol("four")
        # A system without BTF has symbols.
        vmlinux.VMLINUX.unlink()
        bare = Vmlinux()
        assert [bare.has_symbol(name) for name in ("one", "three")] == [True, False]
        (world / "kallsyms").unlink()
        vmlinux._symbols.cache_clear()
        assert Vmlinux().has_symbol("one") is None
    finally:
        vmlinux._symbols.cache_clear()


ASKING = """#include <bpfheap.h>
struct __attribute__((preserve_access_index)) absent { int x; };
SEC("tc") int p(struct __sk_buff *skb)
{
	return __builtin_preserve_field_info(((struct absent *)0)->x, 2);
}
"""


@pytest.fixture
def asking(world: Path) -> Path:
    path = world / "asking.bpf.c"
    path.write_text(ASKING)
    return path


@pytest.mark.parametrize(("kernel_btf", "retval"), [(None, 0), ("../option", 0), ("none", 1)])
def test_a_runtime_is_for_a_kernel(asking: Path, kernel_btf: str | None, retval: int) -> None:
    with bpfheap.Runtime(kernel_btf=kernel_btf) as rt:
        loaded = rt.load(asking)
        assert loaded.spec.notes == ()
        assert loaded.programs["p"].run(data=bytes(14)).retval == retval


def test_a_system_without_types_is_noted(
    asking: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vmlinux, "VMLINUX", world / "nowhere")
    with bpfheap.Runtime() as rt:
        (note,) = rt.load(asking).spec.notes
    assert note.startswith("CO-RE went by the program's own types, not by a kernel's: this system")
    assert "--kernel-btf FILE" in note
    with bpfheap.Runtime(kernel_btf="none") as rt:
        assert rt.load(asking).spec.notes == ()


def test_a_system_whose_types_are_broken(asking: Path, world: Path) -> None:
    (world / "system").write_bytes(b"broken")
    with bpfheap.Runtime() as rt, pytest.raises(BpfheapError, match="too short for a header"):
        rt.load(asking)


def test_check_takes_a_kernel(asking: Path, world: Path) -> None:
    ((_, verdict),) = bpfheap.check(asking, kernel_btf=world / "option")
    assert verdict.accepted


DEAD = """#include <bpfheap.h>
#define KSYM __attribute__((section(".ksyms"), weak))
#define FIELD(name, kind) __builtin_preserve_field_info(((struct option *)0)->name, kind)
struct __attribute__((preserve_access_index)) option { int x; int gone; unsigned long wide; };
extern void *bpf_no_such_kfunc(int) KSYM;
extern void bpf_rcu_read_lock(void) KSYM;
extern void bpf_rcu_read_unlock(void) KSYM;
SEC("tc") int p(struct __sk_buff *skb)
{
	int r = 1;
	if (FIELD(gone, 2)) {
		struct option *o = (void *)(long)skb->data;
		r += FIELD(gone, 0) + o->wide;
	}
	if (bpf_no_such_kfunc)
		r += bpf_no_such_kfunc(1) != 0;
	if (bpf_rcu_read_lock) {
		bpf_rcu_read_lock();
		bpf_rcu_read_unlock();
		r += 10;
	}
	return r;
}
char _license[] SEC("license") = "GPL";
"""


@pytest.mark.parametrize("machine", ["model", "interpreted", "compiled", "hardened"])
def test_machines_run_what_has_poison_beside_its_paths(world: Path, machine: str) -> None:
    (world / "dead.bpf.c").write_text(DEAD)
    options: dict[str, Any] = {"machine": "model"}
    if machine != "model":
        pytest.importorskip("bpfheap.machine.native._core")
        pytest.importorskip("llvmlite")
        options = {"machine": "native", "jit": machine != "interpreted"}
        options["hardened"] = machine == "hardened"
    with bpfheap.Runtime(kernel_btf=world / "option", **options) as rt:
        loaded = rt.load(world / "dead.bpf.c")
        assert loaded.programs["p"].run(data=bytes(14)).retval == 11


def test_modules_are_the_systems_alone(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = world / "btf"
    folder.mkdir()
    (folder / "vmlinux").write_bytes(types_of("int first; struct task { int pid; } a;"))
    monkeypatch.setattr(vmlinux, "VMLINUX", folder / "vmlinux")
    system = Vmlinux()
    base = system.types()
    assert base is not None
    task = base.find("task", Struct)
    assert task is not None
    (folder / "extra").write_bytes(split(base, "extra", task))
    (folder / "broken").write_bytes(b"broken")
    (module,) = system.modules()
    assert module.find("extra", Struct) == len(base)
    assert system.modules()[0] is module
    assert Vmlinux(world / "option").modules() == ()
    assert Vmlinux("none").modules() == ()
