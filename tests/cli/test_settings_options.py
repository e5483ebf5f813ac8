"""`--set` and `--map`."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_harness import Cli, cli

__all__ = ["cli"]

SOURCE = """#include <bpfheap.h>
const volatile unsigned cap = 99;
const volatile char name[4];
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, char[16]);
} m SEC(".maps");
SEC("tc") int p(struct __sk_buff *skb)
{
	__u32 k = 3;
	char *v = bpf_map_lookup_elem(&m, &k);

	return v ? v[cap] + cap + name[0] : 1;
}
"""
OTHER = """#include <bpfheap.h>
SEC("tc") int other(struct __sk_buff *skb) { return 0; }
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.chdir(tmp_path)
    Path("p.bpf.c").write_text(SOURCE)
    Path("other.bpf.c").write_text(OTHER)
    return ("p.bpf.c", "other.bpf.c")


def test_check(cli: Cli, files: tuple[str, str]) -> None:
    assert cli("check", *files).code == 1
    assert cli("check", *files, "--set", "cap=15").code == 0
    assert cli("check", *files, "--set", "cap=0x10").code == 1


def test_run(cli: Cli, files: tuple[str, str]) -> None:
    args = ("run", *files, "-p", "p", "--set", "cap=3")
    assert "p returned 1" in cli(*args).out
    assert "p returned 3" in cli(*args, "--map", "m=4").out
    assert "p returned 68" in cli(*args, "--map", "m=4", "--set", 'name="ABC"').out


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--set", "cap", "--set cap sets nothing (write --set NAME=VALUE)"),
        ("--set", "=1", "--set =1 sets nothing"),
        ("--set", "cpa=1", "there is no constant cpa (there is cap, name"),
        ("--set", "cap=-1", "p.bpf.c: -1 does not fit cap"),
        ("--set", "cap=text", "cap is an integer, not 'text'"),
        ("--set", "name=longer", "name has room for 4 elements, not for 6"),
        ("--map", "m", "--map m sets nothing"),
        ("--map", "m=many", "--map m=many gives no number of entries"),
        ("--map", "m=0", "map m cannot have 0 entries"),
        ("--map", "x=1", "there is no map x (there is m)"),
    ],
)
def test_what_is_wrong(
    cli: Cli, files: tuple[str, str], command: str, option: str, text: str, message: str
) -> None:
    wrong = cli(command, *files, *(("-p", "p") if command == "run" else ()), option, text)
    assert wrong.code == 2
    assert message in wrong.err
    assert len(wrong.err.splitlines()) == 1


NESTED = """#include <bpfheap.h>
struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps");
SEC("tc") int p(struct __sk_buff *skb)
{
	__u32 k = 0, last = 4;
	void *inner = bpf_map_lookup_elem(&outer, &k);
	__u32 *v;

	if (!inner)
		return 1;
	v = bpf_map_lookup_elem(inner, &last);
	return *v;
}
"""


def test_inner_maps(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nested.bpf.c").write_text(NESTED)
    # A constant key that every such map has.
    assert cli("check", "nested.bpf.c").code == 1
    assert cli("check", "nested.bpf.c", "--map", "outer.inner=4").code == 1
    assert cli("check", "nested.bpf.c", "--map", "outer.inner=5").code == 0
    assert cli("check", "nested.bpf.c", "--map", "outer=5").code == 1
    wrong = cli("check", "nested.bpf.c", "--map", "outer.outer=5")
    assert "there is no map outer.outer (there is outer, outer.inner)" in wrong.err
