"""Sockets that a test makes, and programs find."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from packet_calls import IP, IPV6, on_stack, program

import bpfheap
from bpfheap.compile import compile_c
from bpfheap.errors import UsageError, Violation

SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct input {
	struct bpf_sock_tuple tuple;
	__u32 size;
	__u64 netns, flags;
	__u32 level, name, value;
};
struct seen { __u32 state, dst_port, src_ip4, mark, cwnd, full, tcp, listener; };

#define ONE(of, called)                                                                         \\
	struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32);  \\
		__type(value, struct of); } called SEC(".maps")
ONE(input, inputs);
ONE(seen, outputs);

static const __u32 zero;

#define FIND(call)                                                                              \\
	SEC("tc") int call(struct __sk_buff *skb)                                               \\
	{                                                                                       \\
		struct input *in = bpf_map_lookup_elem(&inputs, &zero);                         \\
		struct seen seen = {};                                                          \\
		struct bpf_sock *sk, *other;                                                    \\
		struct bpf_tcp_sock *tp;                                                        \\
                                                                                                \\
		if (!in || in->size > sizeof(in->tuple))                                        \\
			return -1;                                                              \\
		sk = bpf_##call(skb, &in->tuple, in->size, in->netns, in->flags);               \\
		if (!sk)                                                                        \\
			return 0;                                                               \\
		seen.state = sk->state;                                                         \\
		seen.dst_port = sk->dst_port;                                                   \\
		seen.src_ip4 = sk->src_ip4;                                                     \\
		other = bpf_sk_fullsock(sk);                                                    \\
		seen.full = !!other;                                                            \\
		if (other)                                                                      \\
			seen.mark = other->mark;                                                \\
		tp = bpf_tcp_sock(sk);                                                          \\
		seen.tcp = !!tp;                                                                \\
		if (tp)                                                                         \\
			seen.cwnd = tp->snd_cwnd;                                               \\
		other = bpf_get_listener_sock(sk);                                              \\
		seen.listener = !!other;                                                        \\
		bpf_sk_release(sk);                                                             \\
		bpf_map_update_elem(&outputs, &zero, &seen, 0);                                 \\
		return 1;                                                                       \\
	}

FIND(sk_lookup_tcp)
FIND(sk_lookup_udp)
FIND(skc_lookup_tcp)

SEC("tc") int assign(struct __sk_buff *skb)
{
	struct input *in = bpf_map_lookup_elem(&inputs, &zero);
	struct bpf_sock *sk;
	long error;

	if (!in)
		return -1;
	sk = bpf_skc_lookup_tcp(skb, &in->tuple, sizeof(in->tuple.ipv4), -1, 0);
	if (!sk)
		return 1000;
	error = bpf_sk_assign(skb, sk, in->flags);
	bpf_sk_release(sk);
	return -error;
}

SEC("tc") int facts(struct __sk_buff *skb)
{
	return bpf_get_socket_cookie(skb) + 1000 * bpf_get_socket_uid(skb)
		+ 1000000 * bpf_skb_cgroup_id(skb) + 10000000 * bpf_skb_ancestor_cgroup_id(skb, 0)
		+ 100000000 * bpf_skb_ancestor_cgroup_id(skb, 9);
}

SEC("cgroup/connect4") int sets(struct bpf_sock_addr *ctx)
{
	struct input *in = bpf_map_lookup_elem(&inputs, &zero);

	if (in)
		in->flags = -bpf_setsockopt(ctx, in->level, in->name, &in->value, 4);
	return 1;
}

SEC("cgroup/connect4") int gets(struct bpf_sock_addr *ctx)
{
	struct input *in = bpf_map_lookup_elem(&inputs, &zero);

	if (in)
		in->flags = -bpf_getsockopt(ctx, in->level, in->name, &in->value, 4);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
"""

FRAME = bytes(12) + b"\x08\0" + bytes(40)
HERE, THERE = ("10.0.0.1", 80), ("10.0.0.2", 4000)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "sockets.bpf.c"
    path.write_text(SOURCE)
    return path


class World:
    """A runtime with the programs, and a way to ask them."""

    def __init__(self, source: Path, bpf: bpfheap.Runtime) -> None:
        self.net = bpf.net
        self.loaded = bpf.load(source)

    def give(self, ends: bytes = b"", *, netns: int = -1, flags: int = 0, option: Any = ()) -> None:
        option = (*option, *[0] * (3 - len(option)))
        raw = struct.pack("<36sIqQIII", ends, len(ends), netns, flags, *option)
        self.loaded.maps["inputs"][0] = raw.ljust(72, b"\0")

    def find(self, call: str, remote: Any, local: Any, **how: Any) -> bool:
        """Look for the socket that a packet from `remote` would go to."""
        self.give(ends(remote, local), **how)
        return bool(self.loaded.programs[call].run(data=FRAME).retval)

    @property
    def seen(self) -> Any:
        return self.loaded.maps["outputs"][0]

    def option(self, program: str, sock: Any, *option: int) -> tuple[int, int]:
        """The error and the value of an option."""
        self.give(option=option)
        self.loaded.programs[program].run({"sk": sock})
        found = self.loaded.maps["inputs"][0]
        return found["flags"], found["value"]


def ends(remote: Any, local: Any) -> bytes:
    """A struct bpf_sock_tuple."""
    raw = b"".join(ip_address(end[0]).packed for end in (remote, local))
    return raw + b"".join(end[1].to_bytes(2, "big") for end in (remote, local))


@pytest.fixture
def world(machine: dict[str, Any], source: Path) -> Iterator[World]:
    with bpfheap.Runtime(**machine, kernel_btf="none") as bpf:
        yield World(source, bpf)


def test_a_connection_is_found(world: World) -> None:
    sock = world.net.socket("tcp", local=HERE, remote=THERE, mark=7)
    world.net.view(sock, "bpf_tcp_sock").snd_cwnd = 10
    for call in ("sk_lookup_tcp", "skc_lookup_tcp"):
        assert world.find(call, THERE, HERE)
        assert world.seen == {
            "state": 1, "dst_port": 0xA00F, "src_ip4": 0x0100000A, "mark": 7, "cwnd": 10,
            "full": 1, "tcp": 1, "listener": 0,
        }  # fmt: skip
    assert not world.find("sk_lookup_tcp", HERE, THERE)
    assert not world.find("sk_lookup_tcp", ("10.0.0.2", 4001), HERE)
    assert not world.find("sk_lookup_udp", THERE, HERE)
    assert not world.find("sk_lookup_tcp", THERE, HERE, netns=5)
    assert not world.find("sk_lookup_tcp", THERE, HERE, flags=1)
    world.net.close(sock)
    assert not world.find("sk_lookup_tcp", THERE, HERE)


def test_listeners_are_found_by_where_they_listen(world: World) -> None:
    world.net.socket("tcp", local=("::", 80))
    assert world.find("sk_lookup_tcp", THERE, HERE)
    assert world.seen["src_ip4"] == 0
    assert world.find("sk_lookup_tcp", ("fd00::2", 4000), ("fd00::1", 80))
    world.net.socket("tcp", local=("0.0.0.0", 80), mark=1)
    world.net.socket("tcp", local=HERE, mark=2)
    for local, mark in ((HERE, 2), (("10.0.0.9", 80), 1)):
        assert world.find("sk_lookup_tcp", THERE, local)
        assert (world.seen["mark"], world.seen["listener"]) == (mark, 1)
    assert not world.find("sk_lookup_tcp", THERE, ("10.0.0.1", 81))
    world.net.socket("tcp", local=HERE, remote=THERE, state="CLOSE_WAIT")
    assert world.find("sk_lookup_tcp", THERE, HERE)
    assert world.seen["state"] == 8


def test_what_is_no_whole_socket(world: World) -> None:
    """A connection that is over, and one that is about to be made."""
    listener = world.net.socket("tcp", local=HERE)
    world.net.socket("tcp", HERE, THERE, "TIME_WAIT")
    other = ("10.0.0.3", 4000)
    world.net.socket("tcp", HERE, other, "NEW_SYN_RECV", listener=listener)
    assert not world.find("sk_lookup_tcp", THERE, HERE)
    assert world.find("skc_lookup_tcp", THERE, HERE)
    assert (world.seen["state"], world.seen["full"], world.seen["tcp"]) == (6, 0, 0)
    assert world.find("sk_lookup_tcp", other, HERE)
    assert world.seen["state"] == 10
    assert world.find("skc_lookup_tcp", other, HERE)
    assert (world.seen["state"], world.seen["listener"]) == (12, 1)


def test_udp_goes_to_who_is_connected_first(world: World) -> None:
    world.net.socket("udp", local=("0.0.0.0", 80), mark=1)
    world.net.socket("udp", local=HERE, remote=THERE, mark=2)
    assert world.find("sk_lookup_udp", THERE, HERE)
    assert (world.seen["mark"], world.seen["tcp"], world.seen["state"]) == (2, 0, 1)
    assert world.find("sk_lookup_udp", ("10.0.0.3", 1), HERE)
    assert (world.seen["mark"], world.seen["state"]) == (1, 7)


def test_a_packet_may_be_given_a_socket(world: World) -> None:
    sock = world.net.socket("tcp", local=HERE)
    assign = world.loaded.programs["assign"]
    for flags, error in ((1, 22), (0, 0)):
        assert world.net.assigned is None
        world.give(ends(THERE, HERE), flags=flags)
        assert assign.run(data=FRAME).retval == error
    assert world.net.assigned == sock
    world.give(ends(THERE, ("10.0.0.1", 81)))
    assert assign.run(data=FRAME).retval == 1000
    assert world.net.assigned is None


def test_facts_of_the_packet_s_socket(world: World) -> None:
    facts = world.loaded.programs["facts"]
    assert facts.run(data=FRAME).retval == 65534 * 1000
    sock = world.net.socket("tcp", HERE, THERE, cookie=5, uid=7, cgroups=(2, 3))
    assert facts.run({"sk": sock}, data=FRAME).retval == 23_007_005


def test_options_are_kept(world: World) -> None:
    sock = world.net.socket("tcp", HERE, THERE, mark=9)
    for level, name in ((1, 8), (6, 1), (0, 1)):
        assert world.option("gets", sock, level, name, 5) == (0, 0)
        assert world.option("sets", sock, level, name, 5) == (0, 5)
        assert world.option("gets", sock, level, name) == (0, 5)
    # SO_MARK is a member, too.
    assert world.option("gets", sock, 1, 36) == (0, 9)
    assert world.option("sets", sock, 1, 36, 3) == (0, 3)
    assert sock.mark == 3
    assert world.option("gets", sock, 6, 999, 5) == (22, 0)
    assert world.option("sets", sock, 99, 1) == (22, 0)
    # Options of IPv6 and of TCP are for sockets of these.
    assert world.option("sets", sock, 41, 67, 5) == (22, 5)
    datagrams = world.net.socket("udp", ("::", 80))
    assert world.option("sets", datagrams, 41, 67, 5) == (0, 5)
    assert world.option("sets", datagrams, 6, 1, 5) == (22, 5)


LOOKUP = """
*(u64 *)(r10 -16) = 0
*(u64 *)(r10 -8) = 0
r1 = r6
r2 = r10
r2 += -12
r3 = 12
r4 = -1
r5 = 0
call bpf_sk_lookup_tcp
"""


def looked_up(bpf: bpfheap.Runtime, rest: str, protocol: str = "tcp") -> int:
    """What `rest` makes of the socket in r0 that LOOKUP finds; nothing is verified."""
    machine: Any = bpf.system.machine
    machine.program_load(1, program(f"{LOOKUP.replace('tcp', protocol)}{rest}")[1], {})
    try:
        execution = machine.start(1, b"", data=FRAME)
        while hasattr(stop := machine.step(execution), "slot"):
            pass
        return int(stop.retval)
    finally:
        machine.program_free(1)


RELEASE = "r1 = r7\ncall bpf_sk_release\nr0 = r8"
COOKIE = (
    "r1 = r7\nr2 = r10\nr2 += -80\nr3 = {}\nr4 = r10\nr4 += -40\nr5 = {}\n"
    "call bpf_tcp_{}_syncookie\n"
)
SYN, ACK = 2, 16


@pytest.mark.parametrize("ip", [IP[14:34], IPV6[14:54]], ids=["IPv4", "IPv6"])
def test_a_cookie_that_was_made_is_taken(machine: dict[str, Any], ip: bytes) -> None:
    def tcp(flags: int) -> bytes:
        return IP[34:46] + b"\x50" + bytes([flags]) + IP[48:54]

    def error(code: str) -> int:
        return -((looked_up(bpf, f"r7 = r0\n{code}r8 = r0\n{RELEASE}") ^ 1 << 63) - (1 << 63))

    with bpfheap.Runtime(**machine, kernel_btf="none") as bpf:
        listener = bpf.net.socket("tcp", local=("0.0.0.0", 0))
        syn = on_stack(ip, 80) + on_stack(tcp(SYN), 40)
        gen = COOKIE.format(len(ip), 20, "gen")
        # The answer acknowledges it, and comes one byte later.
        answer = "r0 += 1\nr0 = be32 r0\n*(u32 *)(r10 -32) = r0\nr1 = *(u32 *)(r10 -36)\n"
        answer += "r1 = be32 r1\nr1 += 1\nr1 = be32 r1\n*(u32 *)(r10 -36) = r1\n"
        answer += f"*(u8 *)(r10 -27) = {ACK}\n"
        check = COOKIE.format(len(ip), 20, "check")
        sizes = {20: 536, 40: 1220}
        assert error(f"{syn}{gen}r0 s>>= 32\n") == -sizes[len(ip)]
        assert error(f"{syn}{gen}{answer}{check}") == 0
        assert error(f"{syn}{gen}r0 += 7\n{answer}{check}") == 2
        # No SYN; no ACK; headers that are too short; nobody who listens.
        assert error(f"{on_stack(ip, 80)}{on_stack(tcp(SYN | ACK), 40)}{gen}") == 22
        assert error(f"{syn}{check}") == 2
        assert error(syn + COOKIE.format(19, 20, "gen")) == 22
        assert error(syn + COOKIE.format(len(ip), 16, "gen")) == 22
        bpf.net.close(listener)
        bpf.net.socket("tcp", ("0.0.0.0", 0), ("0.0.0.0", 0))
        assert error(f"{syn}{gen}") == 22


#: What a socket is, by what it was made as.
CASTS = {
    ("tcp", ("0.0.0.0", 0), "LISTEN"): {"tcp_sock"},
    ("tcp", ("::", 0), "LISTEN"): {"tcp_sock", "tcp6_sock"},
    ("udp", ("::", 0), "CLOSE"): {"udp6_sock"},
    ("udp", ("0.0.0.0", 0), "CLOSE"): set(),
}
STRUCTS = (
    "tcp_sock", "tcp6_sock", "tcp_timewait_sock", "tcp_request_sock", "udp6_sock", "unix_sock",
    "mptcp_sock",
)  # fmt: skip


@pytest.mark.parametrize("what", CASTS, ids=lambda what: f"{what[0]} {what[1][0]}")
def test_a_socket_is_seen_as_what_it_is(machine: dict[str, Any], what: Any, tmp_path: Path) -> None:
    protocol, local, state = what
    types = "".join(f"struct {name} {{ char at[8]; }} *{name};" for name in STRUCTS)
    (tmp_path / "kernel.c").write_text(types)
    kernel = tmp_path / "kernel.o"
    kernel.write_bytes(compile_c(tmp_path / "kernel.c"))
    with bpfheap.Runtime(**machine, kernel_btf=kernel) as bpf:
        sock = bpf.net.socket(protocol, local, state=state)
        found = set()
        for name in STRUCTS:
            code = f"r7 = r0\nr1 = r0\ncall bpf_skc_to_{name}\nr8 = 1\nif r0 != 0 goto ok\n"
            code = f"{code}r8 = 0\nok: r8 = r8\n{RELEASE}"
            if looked_up(bpf, code, protocol):
                found.add(name)
                assert bpf.net.view(sock, name) != sock
        assert found == CASTS[what]


def test_what_is_not_given_back_is_a_leak() -> None:
    with bpfheap.Runtime(machine="model", kernel_btf="none") as bpf:
        bpf.net.socket("tcp", local=("0.0.0.0", 0))

        def run(rest: str) -> int:
            return looked_up(bpf, rest)

        again = "r1 = r0\ncall bpf_sk_release\n"
        assert run(f"r7 = r0\n{again}r0 = 3") == 3
        with pytest.raises(Violation, match=r"still owns struct bpf_sock#1") as seen:
            run("r0 = 0")
        assert seen.value.kind == "leak"
        with pytest.raises(Violation, match="does not own"):
            run(f"r7 = r0\n{again}r0 = r7\n{again}r0 = 0")


WRONG = {
    "there is no protocol sctp": lambda net: net.socket("sctp"),
    "there is no state OPEN": lambda net: net.socket("tcp", HERE, state="OPEN"),
    "is no end of a socket": lambda net: net.socket("tcp", "10.0.0.1"),
    "a port cannot be 65536": lambda net: net.socket("tcp", ("10.0.0.1", 65536)),
    "addresses of one kind": lambda net: net.socket("tcp", HERE, ("fd00::1", 1)),
    "has no member colour": lambda net: net.socket("tcp", HERE, colour=1),
    "one control group at least": lambda net: net.socket("tcp", HERE, cgroups=()),
    "no socket with a struct tcp_sock": lambda net: net.view(net.socket("udp", HERE), "tcp_sock"),
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_what_cannot_be(message: str) -> None:
    made: Any = WRONG[message]
    with (
        bpfheap.Runtime(machine="model", kernel_btf="none") as bpf,
        pytest.raises(UsageError, match=message),
    ):
        made(bpf.net)


SELECTS = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, __u32);
	__type(value, __u64); } errors SEC(".maps");
static const __u32 one = 1;

SEC("sk_lookup") int selects(struct bpf_sk_lookup *ctx)
{
	__u32 zero = 0;
	__u64 *flags = bpf_map_lookup_elem(&errors, &zero);
	__u64 *error = bpf_map_lookup_elem(&errors, &one);

	if (flags && error)
		*error = -bpf_sk_assign(ctx, ctx->sk, *flags);
	return 1;
}

SEC("sk_lookup") int forgets(struct bpf_sk_lookup *ctx)
{
	return bpf_sk_assign(ctx, NULL, 1) == 0 && !ctx->sk;
}

char LICENSE[] SEC("license") = "GPL";
"""
#: The fields of a struct bpf_sk_lookup, flags and the error.
SELECTED = (
    ({"protocol": 6, "family": 2}, 0, 17),
    ({"protocol": 6, "family": 2}, 1, 0),
    ({"protocol": 6, "family": 2}, 3, 0),
    ({"protocol": 6, "family": 2}, 4, 22),
    ({"protocol": 17, "family": 2}, 0, 91),
    ({"protocol": 6, "family": 10}, 1, 97),
)


def test_a_lookup_may_be_told_its_socket(machine: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "selects.bpf.c"
    path.write_text(SELECTS)
    with bpfheap.Runtime(**machine, kernel_btf="none") as bpf:
        loaded = bpf.load(path)
        sock = bpf.net.socket("tcp", local=HERE)
        for fields, flags, error in SELECTED:
            loaded.maps["errors"][0] = flags
            loaded.programs["selects"].run({**fields, "sk": sock})
            assert loaded.maps["errors"][1] == error
            # Each run starts with none.
            assert bpf.net.assigned == (None if error else sock)
        assert loaded.programs["forgets"].run({"protocol": 6, "sk": sock}).retval == 1
        assert bpf.net.assigned is None
        connected = bpf.net.socket("tcp", HERE, THERE)
        loaded.maps["errors"][0] = 1
        loaded.programs["selects"].run({"protocol": 6, "family": 2, "sk": connected})
        assert loaded.maps["errors"][1] == 94
