"""Where packets go by maps of devices and CPUs, on our machines and on Linux."""

from __future__ import annotations

from typing import Any

import pytest
from two_sides import SIDES, cannot_be_made, compiled, frame, play

import bpfheap
from bpfheap.btf import Btf
from bpfheap.errors import MapError, UsageError
from bpfheap.platform.maps import BY_NAME
from bpfheap.runtime.world import Redirect
from bpfheap.spec import MapSpec, ObjectSpec

SOURCE = """
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 4);
	__uint(key_size, 4); __uint(value_size, 4); } devices SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP_HASH); __uint(max_entries, 2);
	__uint(key_size, 4); __uint(value_size, 8); } hashed SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_CPUMAP); __uint(max_entries, 2);
	__uint(key_size, 4); __uint(value_size, 4); } cpus SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_XSKMAP); __uint(max_entries, 2);
	__uint(key_size, 4); __uint(value_size, 4); } sockets SEC(".maps");

#define INPUT \\
	void *data = (void *)(long)ctx->data; \\
	__u32 *in = data + 14; \\
	if ((void *)(in + 2) > (void *)(long)ctx->data_end) \\
		return -1;
#define TO(map) \\
SEC("xdp") int to_##map(struct xdp_md *ctx) { INPUT return bpf_redirect_map(&map, in[0], in[1]); }
TO(devices)
TO(hashed)
TO(cpus)
TO(sockets)
SEC("xdp") int far(struct xdp_md *ctx)
{
	INPUT
	return bpf_redirect_map(&devices, in[0] | 1ULL << 32, in[1] | 1ULL << 32);
}
SEC("xdp") int interface(struct xdp_md *ctx)
{
	INPUT
	__u32 *found = bpf_map_lookup_elem(&devices, in);
	return found ? *found : -1;
}
SEC("xdp") int interface_hashed(struct xdp_md *ctx)
{
	INPUT
	struct bpf_devmap_val *found = bpf_map_lookup_elem(&hashed, in);
	return found ? found->ifindex + 100 * found->bpf_prog.id : -1;
}
SEC("xdp") int queue(struct xdp_md *ctx)
{
	INPUT
	struct bpf_xdp_sock *found = bpf_map_lookup_elem(&sockets, in);
	return found ? found->queue_id : -1;
}
"""
ABORTED, DROP, PASS, TX, REDIRECT = range(5)
BROADCAST, EXCLUDE = 8, 16
NONE = 0xFFFFFFFF
ANY, NOEXIST, EXIST = 0, 1, 2


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    return compiled(tmp_path_factory.mktemp("redirects"), "redirects", SOURCE)


def u32(*values: int) -> bytes:
    return b"".join((value & 0xFFFFFFFF).to_bytes(4, "little") for value in values)


#: Interface 1 is the loopback device.
TABLES: dict[str, list[tuple[Any, ...]]] = {
    "devices": [
        ("run", "to_devices", 0, 0, ABORTED),
        ("run", "to_devices", 0, PASS, PASS),
        ("run", "to_devices", 0, TX, TX),
        ("run", "to_devices", 0, 4, ABORTED),
        ("update", "devices", u32(1), u32(1), ANY, ""),
        ("update", "devices", u32(1), u32(1), EXIST, ""),
        ("update", "devices", u32(2), u32(1), EXIST, ""),
        ("update", "devices", u32(3), u32(1), NOEXIST, "EEXIST"),
        ("update", "devices", u32(3), u32(1), 3, "EINVAL"),
        ("update", "devices", u32(4), u32(1), ANY, "E2BIG"),
        ("update", "devices", u32(2), u32(0), ANY, ""),
        ("lookup", "devices", u32(1), u32(1)),
        ("lookup", "devices", u32(2), None),
        ("run", "interface", 1, 0, 1),
        ("run", "interface", 2, 0, NONE),
        ("run", "interface", 7, 0, NONE),
        ("run", "to_devices", 1, PASS, REDIRECT),
        ("run", "to_devices", 2, PASS, PASS),
        ("run", "to_devices", 7, PASS, PASS),
        ("run", "to_devices", 2, BROADCAST, REDIRECT),
        ("run", "to_devices", 2, BROADCAST | EXCLUDE | PASS, REDIRECT),
        ("run", "to_devices", 2, EXCLUDE | PASS, PASS),
        ("run", "to_devices", 2, 32, ABORTED),
        ("run", "far", 1, PASS, ABORTED),
        ("delete", "devices", u32(1), ""),
        ("delete", "devices", u32(1), ""),
        ("delete", "devices", u32(4), "EINVAL"),
        ("run", "to_devices", 1, PASS, PASS),
        ("run", "to_devices", 1, BROADCAST, REDIRECT),
    ],
    "devices by a hash": [
        ("run", "to_hashed", 900, PASS, PASS),
        ("update", "hashed", u32(900), u32(1, 0), EXIST, ""),
        ("update", "hashed", u32(900), u32(1, 0), NOEXIST, "EEXIST"),
        ("update", "hashed", u32(900), u32(0, 0), ANY, "EINVAL"),
        ("update", "hashed", u32(900), u32(1, 0), 3, "EINVAL"),
        ("update", "hashed", u32(901), u32(1, -1), ANY, ""),
        ("update", "hashed", u32(902), u32(1, 0), ANY, "E2BIG"),
        ("lookup", "hashed", u32(901), u32(1, 0)),
        ("lookup", "hashed", u32(902), None),
        ("run", "interface_hashed", 901, 0, 1),
        ("run", "to_hashed", 900, PASS, REDIRECT),
        ("delete", "hashed", u32(900), ""),
        ("delete", "hashed", u32(900), "ENOENT"),
        ("run", "to_hashed", 900, DROP, DROP),
    ],
    "CPUs": [
        ("run", "to_cpus", 0, PASS, PASS),
        ("update", "cpus", u32(0), u32(16385), ANY, "EOVERFLOW"),
        ("update", "cpus", u32(0), u32(8), NOEXIST, "EEXIST"),
        ("update", "cpus", u32(2), u32(8), ANY, "E2BIG"),
        ("update", "cpus", u32(0), u32(8), 4, "EINVAL"),
        ("update", "cpus", u32(0), u32(8), ANY, ""),
        ("lookup", "cpus", u32(0), u32(8)),
        ("lookup", "cpus", u32(1), None),
        ("run", "to_cpus", 0, PASS, REDIRECT),
        ("run", "to_cpus", 0, BROADCAST, ABORTED),
        ("run", "to_cpus", 1, PASS, PASS),
        ("update", "cpus", u32(0), u32(0), ANY, ""),
        ("run", "to_cpus", 0, PASS, PASS),
        ("delete", "cpus", u32(0), ""),
        ("delete", "cpus", u32(2), "EINVAL"),
    ],
    "sockets": [
        ("run", "to_sockets", 0, PASS, PASS),
        ("run", "to_sockets", 0, BROADCAST, ABORTED),
        ("run", "queue", 0, 0, NONE),
        ("delete", "sockets", u32(0), ""),
        ("delete", "sockets", u32(2), "EINVAL"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("steps", TABLES.values(), ids=TABLES)
def test_redirects(spec: ObjectSpec, side: Any, steps: list[tuple[Any, ...]]) -> None:
    world = side(spec)
    play(world, steps)
    world.close()


def test_where_packets_went(machine: dict[str, Any], spec: ObjectSpec) -> None:
    with bpfheap.Runtime(**machine) as rt:
        obj = rt.load(spec)
        programs, maps = obj.programs, obj.maps
        maps["devices"][0], maps["devices"][3] = 7, 5
        maps["hashed"][44] = 9
        maps["cpus"][1] = 192
        assert (maps["devices"][b"\0\0\0\0"], list(maps["devices"])) == (u32(7), [0, 3])

        def sent(name: str, index: int, flags: int, **ctx: int) -> tuple[Redirect, ...]:
            return programs[name].run(ctx, data=frame(index, flags)).redirects

        call = "bpf_redirect_map"
        assert sent("to_devices", 3, 2) == (Redirect(call, 5, "devices", 2),)
        assert sent("to_devices", 1, 2) == ()
        assert sent("to_devices", 1, BROADCAST) == (
            Redirect(call, 7, "devices", 8), Redirect(call, 5, "devices", 8),
        )  # fmt: skip
        back = sent("to_devices", 1, BROADCAST | EXCLUDE, ingress_ifindex=7)
        assert back == (Redirect(call, 5, "devices", 24),)
        assert sent("to_hashed", 44, 0) == (Redirect(call, 9, "hashed"),)
        assert sent("to_cpus", 1, 0) == (Redirect(call, 1, "cpus"),)
        sock = rt.kernel.new("struct bpf_xdp_sock", queue_id=6)
        maps["sockets"][1] = sock
        assert maps["sockets"][1] == sock
        assert programs["queue"].run(data=frame(1)).retval == 6
        (found,) = sent("to_sockets", 1, 2)
        assert rt.kernel.object(found.to) == sock
        del maps["sockets"][1]
        assert sent("to_sockets", 1, 2) == ()
        assert sock.queue_id == 6


def test_what_cannot_be_put_there(machine: dict[str, Any], spec: ObjectSpec) -> None:
    with bpfheap.Runtime(**machine, cpus=1) as rt:
        maps = rt.load(spec).maps
        with pytest.raises(MapError, match="EINVAL") as seen:
            maps["hashed"][0] = u32(1, 3)
        assert seen.value.hint == "programs of elements are not played: give 0"
        with pytest.raises(MapError, match="ENODEV: there is no such device or CPU"):
            maps["cpus"][1] = 5
        with pytest.raises(UsageError, match="is a socket, such as an object of struct bpf_sock"):
            maps["sockets"][0] = 5
        with pytest.raises(UsageError, match="there is no object 0"):
            rt.kernel.object(0)
        gone = rt.kernel.new("struct bpf_xdp_sock")
        gone.free()
        with pytest.raises(MapError, match="EINVAL"):
            maps["sockets"][0] = gone


@pytest.mark.parametrize(
    ("type_name", "key", "value", "entries", "flags", "wanted"),
    [
        ("devmap", 4, 4, 1, 0, ""), ("devmap", 4, 8, 1, 0, ""), ("devmap", 4, 12, 1, 0, "EINVAL"),
        ("devmap", 8, 4, 1, 0, "EINVAL"), ("devmap", 4, 4, 0, 0, "EINVAL"),
        ("devmap_hash", 4, 6, 1, 0, "EINVAL"), ("cpumap", 4, 8, 1, 0, ""),
        ("cpumap", 4, 2, 1, 0, "EINVAL"), ("cpumap", 4, 4, 1, 1, "EINVAL"),
        ("xskmap", 4, 4, 1, 0, ""), ("xskmap", 4, 8, 1, 0, "EINVAL"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("side", SIDES)
def test_maps_that_can_be(
    type_name: str, key: int, value: int, entries: int, flags: int, wanted: str, side: Any
) -> None:
    made = MapSpec("m", BY_NAME[type_name].number, key, value, entries, Btf((), "m"), flags=flags)
    assert cannot_be_made(side, made) == wanted
