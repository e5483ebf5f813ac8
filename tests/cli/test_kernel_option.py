"""`--kernel-btf`, of all commands that read files."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_harness import Cli, cli

from bpfheap import vmlinux
from bpfheap.btf import BtfBuilder, DeclTag, Func, FuncProto, Int, Param
from bpfheap.btf.raw import encode_types
from bpfheap.compile import compile_c

__all__ = ["cli"]

SOURCE = """#include <bpfheap.h>
struct __attribute__((preserve_access_index)) mine { int x, gone; };
struct foo { int a; };
struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__uint(max_entries, 1);
} ma SEC(".maps");
SEC("tc") int guarded(struct __sk_buff *skb)
{
	struct foo *p;
	if (!__builtin_preserve_field_info(((struct mine *)0)->gone, 2))
		return 7;
	p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	if (p)
		unit_free(p);
	return 8;
}
"""
REACHED = """
SEC("tc") int reached(struct __sk_buff *skb)
{
	return __builtin_preserve_field_info(((struct mine *)0)->gone, 0);
}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(vmlinux, "VMLINUX", tmp_path / "nowhere")
    (tmp_path / "guarded.bpf.c").write_text(SOURCE)
    (tmp_path / "reached.bpf.c").write_text(SOURCE + REACHED)
    (tmp_path / "kernel.c").write_text("struct mine { int x; } a;")
    (tmp_path / "kernel").write_bytes(compile_c(tmp_path / "kernel.c"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_check(cli: Cli, folder: Path) -> None:
    fine = cli("check", "guarded.bpf.c", "--kernel-btf", "kernel", "--json")
    assert (fine.code, fine.err) == (0, "")
    # Nothing is allocated on any path that there is.
    assert fine.json["programs"][0]["flows"] == []
    wrong = cli("check", "reached.bpf.c", "--kernel-btf", "kernel", "--json")
    assert wrong.code == 1
    (error,) = [p["error"] for p in wrong.json["programs"] if p["name"] == "reached"]
    assert error["message"] == "invalid func unknown#195896080"
    assert error["detail"] == "the kernel has no struct mine.gone"
    assert error["line"]


@pytest.mark.parametrize("machine", ["model", "native"])
def test_run(cli: Cli, folder: Path, machine: str) -> None:
    if machine == "native":
        pytest.importorskip("bpfheap.machine.native._core")
    args = ("run", "guarded.bpf.c", "--machine", machine)
    assert "guarded returned 7" in cli(*args, "--kernel-btf", "kernel").out
    assert "guarded returned 8" in cli(*args, "--kernel-btf", "none").out


def test_explore_and_replay(cli: Cli, folder: Path) -> None:
    explored = cli("explore", "guarded.bpf.c", "--kernel-btf", "kernel", "--jobs", 1, "--json")
    without = cli("explore", "guarded.bpf.c", "--kernel-btf", "none", "--jobs", 1, "--json")
    states = [found.json["results"][0]["states"] for found in (explored, without)]
    assert states[0] < states[1]
    assert cli("replay", "bpfheap:1 x", "--kernel-btf", "nowhere").code == 2


def test_a_system_without_types_is_said_once_for_a_file(cli: Cli, folder: Path) -> None:
    for command in ("check", "run"):
        noted = cli(command, "guarded.bpf.c")
        assert noted.code == 0
        (line,) = noted.err.splitlines()
        assert line.startswith("guarded.bpf.c: note: CO-RE went by the program's own types")
        assert cli(command, "guarded.bpf.c", "--kernel-btf", "none").err == ""


@pytest.mark.parametrize("command", ["check", "run", "explore"])
def test_no_such_file(cli: Cli, folder: Path, command: str) -> None:
    wrong = cli(command, "guarded.bpf.c", "--kernel-btf", "absent")
    assert wrong.code == 2
    assert wrong.err.startswith("absent: a kernel's BTF cannot be read: No such file")
    assert len(wrong.err.splitlines()) == 1


def test_a_kfunc_that_is_taken_by_its_prototype(cli: Cli, folder: Path) -> None:
    b = BtfBuilder()
    integer = b.add(Int("int", 4, 1, 0, 32))
    function = b.add(Func("made_up", b.add(FuncProto(integer, (Param("n", integer),))), 1))
    b.add(DeclTag("bpf_kfunc", function, -1))
    (folder / "kernel.btf").write_bytes(encode_types(b.build().types))
    (folder / "calls.bpf.c").write_text(
        """#include <bpfheap.h>
extern int made_up(int n) __ksym;
SEC("syscall") int calls(void *ctx) { return made_up(3); }
SEC("tc") int awake(void *ctx) { return made_up(3); }
char _license[] SEC("license") = "GPL";
"""
    )
    options = ("check", "calls.bpf.c", "--kernel-btf", "kernel.btf")
    told = cli(*options)
    lines = told.out.splitlines()
    assert told.code == 4
    assert lines[0].startswith("accept calls ")
    assert lines[1].startswith("    note: kfunc made_up is not known here, and was taken by its ")
    calls, awake = cli(*options, "--json").json["programs"]
    assert calls["notes"] == [lines[1].removeprefix("    note: ")]
    assert (awake["verdict"], awake["missing"], awake["notes"]) == ("unsupported", ["made_up"], [])
    assert awake["error"]["line"] == 4
    assert "must be sleepable" in awake["error"]["message"]
    # No machine has it.
    source = (folder / "calls.bpf.c").read_text().replace('"tc"', '"syscall"')
    (folder / "calls.bpf.c").write_text(source)
    refused = cli("run", "calls.bpf.c", "--kernel-btf", "kernel.btf", "-p", "calls")
    assert refused.code == 1
    assert refused.err.startswith("calls.bpf.c:3: program calls calls made_up, which the")
