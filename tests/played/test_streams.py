"""Programs of sockets, streams and options: contexts whose pointers lead to bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bpfheap
from bpfheap.errors import UsageError

SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char _license[] SEC("license") = "GPL";

SEC("sockops") int ops(struct bpf_sock_ops *ctx)
{
	if (ctx->op != BPF_SOCK_OPS_RTT_CB)
		return 0;
	ctx->reply = ctx->args[1] + ctx->args[0];
	return 1;
}
SEC("sockops") int asks(struct bpf_sock_ops *ctx)
{
	ctx->reply = bpf_sock_ops_cb_flags_set(ctx, ctx->args[0]);
	return 1;
}
SEC("sk_msg") int counts(struct sk_msg_md *m)
{
	return bpf_msg_apply_bytes(m, 5) || bpf_msg_cork_bytes(m, 6) ? SK_DROP : SK_PASS;
}
SEC("sk_msg") int msg(struct sk_msg_md *m)
{
	char *d = m->data, *e = m->data_end;

	return d + 4 <= e && d[0] == 'G' ? SK_PASS : SK_DROP;
}
SEC("cgroup/setsockopt") int opt(struct bpf_sockopt *c)
{
	int *v = c->optval;

	if ((void *)(v + 1) > c->optval_end)
		return 0;
	*v = 7;
	return c->level == 1;
}
SEC("sk_skb/stream_verdict") int verdict(struct __sk_buff *skb)
{
	char *d = (void *)(long)skb->data, *e = (void *)(long)skb->data_end;

	return d + 2 <= e && d[1] == 2;
}
SEC("sk_reuseport") int reuse(struct sk_reuseport_md *r)
{
	char *d = r->data;

	return (void *)(d + 1) <= r->data_end && *d == 9;
}
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streams") / "streams.bpf.c"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def programs(machine: dict[str, Any], source: Path) -> Iterator[dict[str, bpfheap.Program]]:
    with bpfheap.Runtime(**machine) as rt:
        yield rt.load(source).programs


def test_operations_of_a_socket(programs: dict[str, bpfheap.Program]) -> None:
    result = programs["ops"].run({"op": 12, "args": [3, 5]})
    assert (result.retval, result.ctx.reply) == (1, 8)
    assert programs["ops"].run({"op": 11}).retval == 0
    with pytest.raises(UsageError, match=r"no field args\[4\]"):
        programs["ops"].run({"args": [1, 2, 3, 4, 5]})
    with pytest.raises(UsageError, match="op is a number, not BPF_SOCK_OPS_STATE_CB"):
        programs["ops"].run({"op": "BPF_SOCK_OPS_STATE_CB"})
    with pytest.raises(UsageError, match=r"no field skt to be set \(did you mean sk"):
        programs["ops"].run({"skt": None})


@pytest.mark.parametrize(
    ("name", "data", "retval"),
    [
        ("msg", b"GET ", 1), ("msg", b"PUT ", 0), ("msg", b"GET", 0), ("msg", b"", 0),
        ("verdict", b"\1\2", 1), ("verdict", b"\1", 0),
        ("reuse", b"\x09", 1), ("reuse", b"", 0),
    ],
)  # fmt: skip
def test_bytes(programs: dict[str, bpfheap.Program], name: str, data: bytes, retval: int) -> None:
    assert programs[name].run(data=data).retval == retval


def test_an_option(programs: dict[str, bpfheap.Program]) -> None:
    result = programs["opt"].run({"level": 1}, data=bytes(8))
    assert (result.retval, result.data) == (1, b"\7" + bytes(7))
    assert programs["opt"].run({"level": 1}, data=bytes(3)).retval == 0
    with pytest.raises(UsageError, match="at most 65536"):
        programs["opt"].run(data=bytes(65537))


def test_events_of_a_socket(source: Path) -> None:
    """As bpf_sock_ops_cb_flags_set of net/core/filter.c: what there is not is given back."""
    with bpfheap.Runtime() as rt:
        program = rt.load(source, programs=["asks"]).programs["asks"]
        for wanted, told, rest in ((0x0C, 0x0C, 0), (0x180, 0, 0x180), (0xFFFFFFFF, 0x7F, -0x80)):
            result = program.run({"is_fullsock": 1, "args": [wanted]})
            assert result.ctx.bpf_sock_ops_cb_flags == told
            assert result.ctx.reply == rest & 0xFFFFFFFF
        result = program.run({"args": [1], "bpf_sock_ops_cb_flags": 2})
        assert (result.ctx.reply, result.ctx.bpf_sock_ops_cb_flags) == (-22 & 0xFFFFFFFF, 2)


def test_a_message_that_is_not_judged_as_a_whole(source: Path) -> None:
    with bpfheap.Runtime() as rt:
        program = rt.load(source, programs=["counts"]).programs["counts"]
        assert program.run(data=b"text").retval == 1
