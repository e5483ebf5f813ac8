"""Machines refuse programs that read what the kernel alone has, by name and line."""

from __future__ import annotations

from pathlib import Path

import pytest

import bpfheap
from bpfheap.errors import MachineUnsupported

SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc") int reads(struct __sk_buff *skb) { return skb->sk != NULL; }
SEC("cgroup/bind4") int surely(struct bpf_sock_addr *ctx) { return ctx->sk->family == 2; }
SEC("tc") int elsewhere(struct __sk_buff *skb) { return skb->len; }
SEC("tc") int finds(struct __sk_buff *skb)
{
	struct bpf_xfrm_state state = {};

	return bpf_skb_get_xfrm_state(skb, 0, &state, sizeof(state), 0);
}
char _license[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("foreign") / "socks.bpf.c"
    path.write_text(SOURCE)
    return path


def test_the_verifier_takes_them(source: Path) -> None:
    assert all(verdict.accepted for _, verdict in bpfheap.check(source))


@pytest.mark.parametrize(
    ("machine", "program", "line", "what"),
    [
        ("native", "finds", 12, "calls bpf_skb_get_xfrm_state"),
        ("model", "finds", 12, "calls bpf_skb_get_xfrm_state"),
    ],
)
def test_no_machine_runs_them(
    source: Path, machine: str, program: str, line: int, what: str
) -> None:
    with bpfheap.Runtime(machine=machine) as rt:
        with pytest.raises(MachineUnsupported, match=what) as seen:
            rt.load(source, programs=[program])
        assert f"which the {machine} machine does not offer" in str(seen.value)
        assert seen.value.line == line


@pytest.mark.parametrize("machine", ["model", "native"])
def test_machines_have_sockets(source: Path, machine: str) -> None:
    with bpfheap.Runtime(machine=machine) as rt:
        obj = rt.load(source, programs=["reads", "surely"])
        sock = rt.kernel.new("struct bpf_sock", family=2)
        assert obj.programs["reads"].run(data=bytes(64)).retval == 0
        assert obj.programs["reads"].run({"sk": sock}, data=bytes(64)).retval == 1
        assert obj.programs["surely"].run({"sk": sock}).retval == 1


@pytest.mark.parametrize("machine", ["model", "native"])
def test_others_of_that_type_run(source: Path, machine: str) -> None:
    with bpfheap.Runtime(machine=machine) as rt:
        obj = rt.load(source, programs=["elsewhere"])
        assert obj.programs["elsewhere"].run(data=bytes(64)).retval == 64
