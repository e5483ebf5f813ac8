"""What `bpfheap run` puts around a program, and `bpfheap calls`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_harness import Cli, cli

__all__ = ["cli"]

PROGRAMS = Path(__file__).parents[1] / "played" / "programs.bpf.c"
STUBS = PROGRAMS.with_name("stubs.bpf.c")
SYSTEM = Path("/sys/kernel/btf/vmlinux")
KERNEL = f"--kernel-btf={SYSTEM}"

OBJECTS = """current = "sh"
[init]
type = "task_struct"
pid = 1
[sh]
type = "struct task_struct"
pid = 5
real_parent = "@init"
comm = "sh"
"""


@pytest.fixture(autouse=True)
def types() -> None:
    if not SYSTEM.exists():
        pytest.skip(f"no {SYSTEM}, whose types these programs are about")


def run(cli: Cli, *words: str, source: Path = PROGRAMS) -> tuple[int, dict[str, object], str]:
    done = cli("run", str(source), KERNEL, "--json", *words)
    return done.code, json.loads(done.out) if done.out else {}, done.err


def test_fields_of_the_context(cli: Cli) -> None:
    code, said, _ = run(cli, "-p", "exec", "--set", "ctx.filename=/bin/sh", "--set", "ctx.pid=4")
    assert (code, said["retval"]) == (0, 4)
    code, said, _ = run(
        cli, "-p", "unlink_enter", "--set", "ctx.dfd=-3", "--set", 'ctx.name={"name": "/etc/y"}'
    )
    assert (code, said["printk"]) == (0, ["-3 /etc/y"])


SHOWN = """#include <bpfheap.h>
struct event { __u32 n; char comm[4]; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } rb SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(value, int);
} q SEC(".maps");
struct value { int a; unsigned char b[2]; };
#define MAP(name, kind) struct { __uint(type, BPF_MAP_TYPE_##kind); __uint(max_entries, 3); \\
	__type(key, __u32); __type(value, struct value); } name SEC(".maps")
MAP(h, HASH);
MAP(a, ARRAY);
SEC("tc") int leaves(struct __sk_buff *skb)
{
	struct event e = { 5, "\\xff" "b" };
	struct value v = { 0, { 0, 1 } }, none = {};
	__u32 key = 2, zero = 0;

	bpf_map_update_elem(&h, &key, &v, 0);
	bpf_map_update_elem(&h, &zero, &none, 0);
	bpf_map_update_elem(&a, &key, &v, 0);
	bpf_map_push_elem(&q, &key, 0);
	return bpf_ringbuf_output(&rb, &e, sizeof(e), 0);
}
"""


def test_what_is_in_maps(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "shown.bpf.c"
    source.write_text(SHOWN)
    value, none = {"a": 0, "b": [0, 1]}, {"a": 0, "b": [0, 0]}
    words = ("--show", "h", "--show", "a", "--show", "rb=struct event")
    code, said, _ = run(cli, *words, source=source)
    assert (code, said["maps"]) == (
        0,
        {
            "h": [{"key": 2, "value": value}, {"key": 0, "value": none}],
            "a": [{"key": 2, "value": value}],
            "rb": [{"n": 5, "comm": "\\xffb"}],
        },
    )
    done = cli("run", str(source), *words)
    assert "a:\n    2: value(a=0, b=[0, 1])\n" in done.out
    assert "rb:\n    event(n=5, comm=b'\\xffb')\n" in done.out
    for given, message in (
        ("nothing", "there is no map nothing to be shown (there is "),
        ("h=struct event", "map h has a type of its own"),
        ("q", "map q has no keys by which it could be shown"),
        ("rb=struct no", "there is no type struct no"),
        ("rb=event", "did you mean struct event?"),
    ):
        done = cli("run", str(source), "--show", given)
        assert (done.code, message in done.err) == (2, True), done.err


def test_the_current_task(cli: Cli) -> None:
    code, said, _ = run(cli, "-p", "ids", "--current", "uid=7,gid=8,comm=sh")
    assert code == 0
    assert said["printk"] == ["7 8", "1 0"]


def test_objects_of_a_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "objects.toml"
    file.write_text(OBJECTS)
    code, said, _ = run(
        cli, "-p", "each_task", "--kernel-object", str(file), "--set", "ctx.task=@sh"
    )
    assert (code, said["output"]) == (0, "5 sh\n")


def test_stubs_of_a_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "stubs.py"
    file.write_text(
        "@bpf.stub('bpf_fib_lookup')\ndef lookup(ctx, params, size, flags):\n    return 9\n"
    )
    code, said, _ = run(cli, "-p", "route", "--stub", str(file), "--data", "00" * 64, source=STUBS)
    assert (code, said["retval"]) == (0, 9)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", "exec", "--set", "ctx.nothing=1"], "has no member nothing"),
        (["-p", "exec", "--set", "ctx.pid=1", "--ctx", "00"], "--ctx gives the whole context"),
        (["-p", "exec", "--current", "pid"], "--current pid says nothing"),
        (["-p", "exec", "--current", "ppid=1"], "the current task has no ppid"),
        (["-p", "each_task", "--set", "ctx.task=@nobody"], "there is no object nobody"),
        (["-p", "exec", "--kernel-object", "/nowhere.toml"], "cannot be read"),
        (["-p", "exec", "--stub", "/nowhere.py"], "no such file"),
    ],
)
def test_what_is_wrong_is_told(cli: Cli, words: list[str], message: str) -> None:
    done = cli("run", str(PROGRAMS), KERNEL, *words)
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\npid = 1\n", "[a] has no type"),
        ("a = 1\n", "a is no table"),
        ('[a]\ntype = "nothing_at_all"\n', "there is no type nothing_at_all"),
        ("[a\n", "cannot be read"),
    ],
)
def test_broken_files_of_objects(cli: Cli, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "objects.toml"
    file.write_text(text)
    done = cli("run", str(PROGRAMS), KERNEL, "-p", "exec", "--kernel-object", str(file))
    assert done.code == 2
    assert message in done.err
    assert str(file) in done.err


def test_a_broken_file_of_stubs(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "stubs.py"
    file.write_text("1 / 0\n")
    done = cli("run", str(PROGRAMS), KERNEL, "-p", "exec", "--stub", str(file))
    assert done.code == 2
    assert "ZeroDivisionError" in done.err


def test_siblings_and_maps_of_others_do_not_count(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "p.bpf.c"
    source.write_text(
        "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n"
        "struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2);\n"
        '__uint(key_size, 4); __array(values, int(void *)); } jumps SEC(".maps");\n'
        "struct { __uint(type, BPF_MAP_TYPE_ARENA); __uint(map_flags, 1 << 10);\n"
        '__uint(max_entries, 4); } nobody SEC(".maps");\n'
        'SEC("xdp") int fine(struct xdp_md *ctx) { return 3; }\n'
        'SEC("xdp") int refused(struct xdp_md *ctx) { return *(char *)0; }\n'
        'char _license[] SEC("license") = "GPL";\n'
    )
    code, said, _ = run(cli, "-p", "fine", source=source)
    assert (code, said["retval"]) == (0, 3)


def test_what_becomes_of_calls(cli: Cli) -> None:
    done = cli("calls", "--json", "bpf_get_current_comm", "bpf_sys_bpf", "bpf_loop")
    assert done.code == 0
    model = {call["name"]: call["machines"]["model"] for call in json.loads(done.out)["calls"]}
    assert model == {
        "bpf_loop": "real", "bpf_get_current_comm": "played", "bpf_sys_bpf": "to be stubbed",
    }  # fmt: skip
    assert "bpf_task_from_pid" in cli("calls", "bpf_task_from_pid").out
    done = cli("calls", "bpf_nothing")
    assert done.code == 2
    assert "there is no call bpf_nothing" in done.err
