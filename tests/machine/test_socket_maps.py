"""Maps of sockets, on our machines and on Linux, and what sends connections there."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from two_sides import SIDES, Linux, Ours, cannot_be_made, compiled, play, sides

import bpfheap
from bpfheap.btf import Btf
from bpfheap.errors import MapError
from bpfheap.platform.maps import BY_NAME
from bpfheap.runtime.world import Redirect
from bpfheap.spec import MapSpec, ObjectSpec

SOURCE = """
#define SOCKETS(NAME, map) \\
struct { __uint(type, BPF_MAP_TYPE_##NAME); __uint(max_entries, 2); \\
	__uint(key_size, 4); __uint(value_size, 8); } map SEC(".maps")
SOCKETS(SOCKMAP, indexed);
SOCKETS(SOCKHASH, hashed);
SOCKETS(REUSEPORT_SOCKARRAY, shared);
struct copy { __u32 from, to, flags; };

#define OF(map) \\
SEC("tc") int find_##map(struct __sk_buff *skb) \\
{ \\
	ARGS(copy, args); \\
	struct bpf_sock *sk = bpf_map_lookup_elem(&map, &args.from); \\
	int family = sk ? sk->family : -1; \\
	if (sk) \\
		bpf_sk_release(sk); \\
	return family; \\
} \\
SEC("tc") int copy_##map(struct __sk_buff *skb) \\
{ \\
	ARGS(copy, args); \\
	struct bpf_sock *sk = bpf_map_lookup_elem(&map, &args.from); \\
	int result = sk ? bpf_map_update_elem(&map, &args.to, sk, args.flags) : -1; \\
	if (sk) \\
		bpf_sk_release(sk); \\
	return result; \\
} \\
SEC("tc") int drop_##map(struct __sk_buff *skb) \\
{ ARGS(copy, args); return bpf_map_delete_elem(&map, &args.from); }
OF(indexed)
OF(hashed)
"""
ENOENT, E2BIG, EEXIST, EINVAL, EOPNOTSUPP = ((1 << 32) - n for n in (2, 7, 17, 22, 95))
NONE = 0xFFFFFFFF
ANY, NOEXIST, EXIST = 0, 1, 2


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    return compiled(tmp_path_factory.mktemp("sockets"), "sockets", SOURCE)


class OurSockets(Ours):
    """Both put one of two sockets somewhere."""

    def __init__(self, spec: ObjectSpec) -> None:
        super().__init__(spec)
        self._sockets = [
            self.runtime.kernel.new("struct bpf_sock", family=socket.AF_INET) for _ in range(2)
        ]

    def put(self, name: str, index: int, number: int, flags: int = ANY) -> str:
        map_ = self.object.maps[name]
        return self._answer(lambda: map_.update(index, self._sockets[number], flags))

    def take(self, name: str, index: int) -> str:
        return self.delete(name, index.to_bytes(4, "little"))

    def there(self, name: str) -> list[int]:
        return sorted(self.object.maps[name])


class LinuxSockets(Linux):
    def __init__(self, spec: ObjectSpec) -> None:
        super().__init__(spec)
        self._sockets = []
        for _ in range(2):
            made = socket.socket()
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            made.bind(("127.0.0.1", 0))
            made.listen()
            self._sockets.append(made)

    def put(self, name: str, index: int, number: int, flags: int = ANY) -> str:
        fd = self._sockets[number].fileno().to_bytes(8, "little")
        return self.update(name, index.to_bytes(4, "little"), fd, flags)

    def take(self, name: str, index: int) -> str:
        return self.delete(name, index.to_bytes(4, "little"))

    def there(self, name: str) -> list[int]:
        keys = (key for key in self.keys(name) if self.lookup(name, key) is not None)
        return sorted(int.from_bytes(key, "little") for key in keys)

    def close(self) -> None:
        super().close()
        for one in self._sockets:
            one.close()


SOCKET_SIDES = sides(OurSockets, LinuxSockets)
TABLES: dict[str, list[tuple[Any, ...]]] = {
    "by index": [
        ("run", "find_indexed", 0, NONE),
        ("take", "indexed", 0, "EINVAL"),
        ("take", "indexed", 2, "EINVAL"),
        ("put", "indexed", 0, 0, EXIST, "ENOENT"),
        ("put", "indexed", 0, 0, 3, "EINVAL"),
        ("put", "indexed", 2, 0, "E2BIG"),
        ("put", "indexed", 0, 0, NOEXIST, ""),
        ("put", "indexed", 0, 1, NOEXIST, "EEXIST"),
        ("put", "indexed", 0, 1, EXIST, ""),
        ("run", "find_indexed", 0, socket.AF_INET),
        ("run", "find_indexed", 1, NONE),
        ("run", "find_indexed", 2, NONE),
        ("run", "copy_indexed", 0, 1, EXIST, ENOENT),
        ("run", "copy_indexed", 0, 2, ANY, E2BIG),
        ("run", "copy_indexed", 0, 1, 3, EINVAL),
        ("run", "copy_indexed", 0, 1, ANY, 0),
        ("run", "copy_indexed", 0, 1, NOEXIST, EEXIST),
        ("there", "indexed", [0, 1]),
        ("run", "drop_indexed", 1, 0),
        ("run", "drop_indexed", 1, EINVAL),
        ("run", "drop_indexed", 7, EINVAL),
        ("there", "indexed", [0]),
        ("take", "indexed", 0, ""),
        ("run", "find_indexed", 0, NONE),
    ],
    "by a hash": [
        ("run", "find_hashed", 700, NONE),
        ("take", "hashed", 700, "ENOENT"),
        ("put", "hashed", 700, 0, EXIST, "ENOENT"),
        ("put", "hashed", 700, 0, 3, "EINVAL"),
        ("put", "hashed", 700, 0, NOEXIST, ""),
        ("put", "hashed", 700, 1, NOEXIST, "EEXIST"),
        ("put", "hashed", 700, 1, EXIST, ""),
        ("run", "find_hashed", 700, socket.AF_INET),
        ("run", "copy_hashed", 700, 701, EXIST, ENOENT),
        ("run", "copy_hashed", 700, 701, ANY, 0),
        ("run", "copy_hashed", 700, 702, ANY, E2BIG),
        ("put", "hashed", 702, 1, "E2BIG"),
        ("there", "hashed", [700, 701]),
        ("run", "drop_hashed", 701, 0),
        ("run", "drop_hashed", 701, ENOENT),
        ("take", "hashed", 700, ""),
        ("there", "hashed", []),
    ],
    "of one port": [
        ("take", "shared", 0, "ENOENT"),
        ("take", "shared", 2, "E2BIG"),
        ("put", "shared", 0, 0, EXIST, "ENOENT"),
        ("put", "shared", 0, 0, 3, "EINVAL"),
        ("put", "shared", 2, 0, "E2BIG"),
        ("put", "shared", 0, 0, NOEXIST, ""),
        ("put", "shared", 0, 1, NOEXIST, "EEXIST"),
        ("put", "shared", 0, 1, EXIST, ""),
        ("there", "shared", [0]),
        ("take", "shared", 0, ""),
        ("there", "shared", []),
    ],
}  # fmt: skip


@pytest.mark.parametrize("side", SOCKET_SIDES)
@pytest.mark.parametrize("steps", TABLES.values(), ids=TABLES)
def test_maps_of_sockets(spec: ObjectSpec, side: Any, steps: list[tuple[Any, ...]]) -> None:
    world = side(spec)
    try:
        play(world, steps)
    finally:
        world.close()


def test_a_socket_that_is_found_is_a_reference(machine: dict[str, Any], spec: ObjectSpec) -> None:
    """Those that a test makes with a network around them, too."""
    with bpfheap.Runtime(**machine) as rt:
        obj = rt.load(spec)
        obj.maps["indexed"][0] = rt.net.socket("tcp", local=("10.0.0.1", 80))
        assert obj.programs["find_indexed"].run(bytes(0), data=bytes(64)).retval == socket.AF_INET


def test_a_socket_that_was_freed_leaves_its_maps(machine: dict[str, Any], spec: ObjectSpec) -> None:
    with bpfheap.Runtime(**machine) as rt:
        obj = rt.load(spec)
        gone, other = (rt.kernel.new("struct bpf_sock", family=2) for _ in range(2))
        obj.maps["indexed"][0], obj.maps["indexed"][1] = gone, other
        obj.maps["hashed"][7] = gone
        gone.free()
        assert (list(obj.maps["indexed"]), list(obj.maps["hashed"])) == ([1], [])
        assert obj.programs["find_indexed"].run(bytes(0), data=bytes(64)).retval == NONE


def test_sockets_stay_when_their_map_goes(machine: dict[str, Any], spec: ObjectSpec) -> None:
    with bpfheap.Runtime(**machine) as rt:
        obj = rt.load(spec)
        one = rt.kernel.new("struct bpf_sock", family=2)
        obj.maps["hashed"][3] = one
        assert obj.maps["hashed"][3] == one
        obj.close()
        assert one.family == 2


CONNECTIONS = """
#define SOCKETS(NAME, map) \\
struct { __uint(type, BPF_MAP_TYPE_##NAME); __uint(max_entries, 2); \\
	__uint(key_size, 4); __uint(value_size, 4); } map SEC(".maps")
SOCKETS(SOCKMAP, indexed);
SOCKETS(SOCKHASH, hashed);
SOCKETS(REUSEPORT_SOCKARRAY, shared);
struct settings { __u32 key, flags; };
struct settings settings;
#define key settings.key
#define flags settings.flags

SEC("sk_skb") int to_index(struct __sk_buff *skb)
{ return bpf_sk_redirect_map(skb, &indexed, key, flags); }
SEC("sk_skb") int to_hash(struct __sk_buff *skb)
{ return bpf_sk_redirect_hash(skb, &hashed, &key, flags); }
SEC("sk_msg") int message_to_index(struct sk_msg_md *msg)
{ return bpf_msg_redirect_map(msg, &indexed, key, flags); }
SEC("sk_msg") int message_to_hash(struct sk_msg_md *msg)
{ return bpf_msg_redirect_hash(msg, &hashed, &key, flags); }
SEC("sk_reuseport") int select(struct sk_reuseport_md *ctx)
{ return bpf_sk_select_reuseport(ctx, &shared, &key, flags) ? SK_DROP : SK_PASS; }
SEC("sockops") int keep(struct bpf_sock_ops *ctx)
{ return bpf_sock_map_update(ctx, &indexed, &key, flags) == 0; }
SEC("sockops") int keep_hashed(struct bpf_sock_ops *ctx)
{ return bpf_sock_hash_update(ctx, &hashed, &key, flags) == 0; }
"""
DROP, PASS, INGRESS = 0, 1, 1
#: BPF_SOCK_OPS_RTO_CB, and those where a connection begins, or somebody listens.
OPS = {8: 0, 4: 1, 5: 1, 11: 1, 6: 0}


@pytest.fixture
def connections(machine: dict[str, Any], tmp_path: Any) -> Any:
    with bpfheap.Runtime(**machine) as rt:
        obj = rt.load(compiled(tmp_path, "connections", CONNECTIONS))
        sockets = [rt.kernel.new("struct bpf_sock", family=2) for _ in range(2)]
        yield rt, obj, sockets


def say(obj: Any, key: int, flags: int) -> None:
    obj.maps[".bss"][0] = key.to_bytes(4, "little") + flags.to_bytes(4, "little")


@pytest.mark.parametrize(
    ("name", "map_name", "call"),
    [
        ("to_index", "indexed", "bpf_sk_redirect_map"),
        ("to_hash", "hashed", "bpf_sk_redirect_hash"),
        ("message_to_index", "indexed", "bpf_msg_redirect_map"),
        ("message_to_hash", "hashed", "bpf_msg_redirect_hash"),
        ("select", "shared", "bpf_sk_select_reuseport"),
    ],
)
def test_where_connections_go(connections: Any, name: str, map_name: str, call: str) -> None:
    rt, obj, sockets = connections
    obj.maps[map_name][1] = sockets[1]
    selects = name == "select"
    for key, flags, wanted in (
        (1, 0, PASS), (0, 0, DROP), (5, 0, DROP), (1, INGRESS, DROP if selects else PASS),
        (1, 2, DROP),
    ):  # fmt: skip
        say(obj, key, flags)
        result = obj.programs[name].run()
        assert (key, flags, result.retval) == (key, flags, wanted)
        if wanted == PASS:
            (sent,) = result.redirects
            assert rt.kernel.object(sent.to) == sockets[1]
            assert sent == Redirect(call, sent.to, map_name, flags)
        else:
            assert result.redirects == ()


@pytest.mark.parametrize(("name", "map_name"), [("keep", "indexed"), ("keep_hashed", "hashed")])
def test_connections_are_kept_as_they_begin(connections: Any, name: str, map_name: str) -> None:
    _, obj, sockets = connections
    program, map_ = obj.programs[name], obj.maps[map_name]
    for number, (op, wanted) in enumerate(OPS.items()):
        say(obj, number % 2, ANY)
        assert (op, program.run({"op": op, "sk": sockets[0]}).retval) == (op, wanted)
    assert program.run({"op": 4}).retval == 0
    assert map_[1] == sockets[0]
    say(obj, 1, NOEXIST)
    assert program.run({"op": 4, "sk": sockets[1]}).retval == 0
    say(obj, 1, EXIST)
    assert program.run({"op": 4, "sk": sockets[1]}).retval == 1
    assert map_[1] == sockets[1]


def test_only_sockets_go_in(connections: Any) -> None:
    rt, obj, _ = connections
    with pytest.raises(MapError, match="EINVAL"):
        rt.system.map_update(obj.maps["indexed"].fd, bytes(4), b"\xff\xff\0\0")


@pytest.mark.parametrize(
    ("type_name", "key", "value", "entries", "wanted"),
    [
        ("sockmap", 4, 4, 1, ""), ("sockmap", 4, 8, 1, ""), ("sockmap", 4, 16, 1, "EINVAL"),
        ("sockmap", 8, 4, 1, "EINVAL"), ("sockmap", 4, 4, 0, "EINVAL"), ("sockhash", 12, 4, 1, ""),
        ("sockhash", 0, 4, 1, "EINVAL"), ("sockhash", 4, 2, 1, "EINVAL"),
        ("sockhash", 513, 4, 1, "E2BIG"), ("reuseport_sockarray", 4, 8, 1, ""),
        ("reuseport_sockarray", 4, 2, 1, "EINVAL"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("side", SIDES)
def test_maps_that_can_be(
    type_name: str, key: int, value: int, entries: int, wanted: str, side: Any
) -> None:
    made = MapSpec("m", BY_NAME[type_name].number, key, value, entries, Btf((), "m"))
    assert cannot_be_made(side, made) == wanted
