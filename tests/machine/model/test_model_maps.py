"""Maps: the kernel's answers as a table, and each shape against a dict."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from model_world import KEY, World, alloc, lookup

from bpfheap.errors import MapError, UsageError, Violation
from bpfheap.machine.model.records import Status
from bpfheap.platform.maps import ANY, EXIST, NOEXIST, MapFlag

K = [i.to_bytes(4, "little") for i in range(8)]
V = [i.to_bytes(8, "little") for i in range(8)]
M64 = (1 << 64) - 1


def world(type_name: str, **fields: Any) -> World:
    w = World()
    w.add_map("m", type_name, **fields)
    return w


UPDATES = [
    # type, keys that are there, key, flags, errno
    ("hash", (), K[0], ANY, None),
    ("hash", (), K[0], NOEXIST, None),
    ("hash", (), K[0], EXIST, "ENOENT"),
    ("hash", (0,), K[0], NOEXIST, "EEXIST"),
    ("hash", (0,), K[0], EXIST, None),
    ("hash", (0, 1, 2, 3), K[4], ANY, "E2BIG"),
    ("hash", (0, 1, 2, 3), K[0], ANY, None),
    ("hash", (), K[0], 4, "EINVAL"),
    ("hash", (), b"123", ANY, "EINVAL"),
    ("array", (), K[3], ANY, None),
    ("array", (), K[3], EXIST, None),
    ("array", (), K[3], NOEXIST, "EEXIST"),
    ("array", (), K[4], ANY, "E2BIG"),
    ("array", (), K[0], 3, "EINVAL"),
]


@pytest.mark.parametrize(("type_name", "there", "key", "flags", "errno_name"), UPDATES)
def test_updates_from_user_space(
    type_name: str, there: tuple[int, ...], key: bytes, flags: int, errno_name: str | None
) -> None:
    w = world(type_name)
    for i in there:
        w.machine.map_update(1, K[i], V[i])
    if errno_name is None:
        w.machine.map_update(1, key, V[7], flags)
        assert w.machine.map_lookup(1, key) == V[7]
    else:
        with pytest.raises(MapError) as seen:
            w.machine.map_update(1, key, V[7], flags)
        assert seen.value.errno_name == errno_name
        assert "map m" in seen.value.message


def test_a_value_of_another_size_is_refused() -> None:
    w = world("hash")
    with pytest.raises(MapError, match="EINVAL"):
        w.machine.map_update(1, K[0], b"1234")


@pytest.mark.parametrize(
    ("type_name", "key", "errno_name"),
    [("hash", K[0], "ENOENT"), ("array", K[0], "EINVAL"), ("hash", b"", "EINVAL"),
     ("ringbuf", b"", "EINVAL")],
)  # fmt: skip
def test_deletes_that_fail(type_name: str, key: bytes, errno_name: str) -> None:
    ring = {"key_size": 0, "max_entries": 4096}
    w = world(type_name, **(ring if type_name == "ringbuf" else {}))
    with pytest.raises(MapError) as seen:
        w.machine.map_delete(1, key)
    assert seen.value.errno_name == errno_name


def test_arrays_are_full_of_zeros() -> None:
    w = world("array")
    assert w.machine.map_keys(1) == tuple(K[:4])
    assert w.machine.map_lookup(1, K[3]) == bytes(8)
    assert w.machine.map_lookup(1, K[4]) is None


def test_insertion_order_is_kept() -> None:
    w = world("hash")
    for i in (2, 0, 3):
        w.machine.map_update(1, K[i], V[i])
    w.machine.map_update(1, K[2], V[1])
    assert w.machine.map_keys(1) == (K[2], K[0], K[3])


class HashAgainstDict(RuleBasedStateMachine):
    """A hash map of four elements does what a dict does, from user space and from a program."""

    LIMIT: ClassVar[int] = 4
    keys = st.integers(0, 5)
    values = st.integers(0, 255)

    def __init__(self) -> None:
        super().__init__()
        self.world = world("hash", max_entries=self.LIMIT)
        self.model: dict[int, int] = {}

    def expected(self, key: int, flags: int) -> int:
        if flags == NOEXIST and key in self.model:
            return -17
        if flags == EXIST and key not in self.model:
            return -2
        if key not in self.model and len(self.model) == self.LIMIT:
            return -7
        return 0

    @rule(key=keys, value=values, flags=st.sampled_from([ANY, NOEXIST, EXIST]))
    def update(self, key: int, value: int, flags: int) -> None:
        expected = self.expected(key, flags)
        try:
            self.world.machine.map_update(1, K[key], value.to_bytes(8, "little"), flags)
            result = 0
        except MapError as error:
            result = {"EEXIST": -17, "ENOENT": -2, "E2BIG": -7}[error.errno_name]
        assert result == expected
        if not expected:
            self.model[key] = value

    @rule(key=keys, value=values, flags=st.sampled_from([ANY, NOEXIST, EXIST]))
    def update_from_program(self, key: int, value: int, flags: int) -> None:
        expected = self.expected(key, flags)
        text = f"""
            *(u32 *)(r10 -4) = {key}
            *(u64 *)(r10 -16) = {value}
            r2 = r10
            r2 += -4
            r3 = r10
            r3 += -16
            r4 = {flags}
            r1 = map[name:m] ll
            call bpf_map_update_elem
            exit
        """
        assert self.world.run_text(text) == expected & M64
        if not expected:
            self.model[key] = value

    @rule(key=keys)
    def delete(self, key: int) -> None:
        text = f"""
            *(u32 *)(r10 -4) = {key}
            r2 = r10
            r2 += -4
            r1 = map[name:m] ll
            call bpf_map_delete_elem
            exit
        """
        assert self.world.run_text(text) == (0 if key in self.model else -2 & M64)
        self.model.pop(key, None)

    @rule(key=keys)
    def increment(self, key: int) -> None:
        text = f"""
            *(u32 *)(r10 -4) = {key}
            r2 = r10
            r2 += -4
            r1 = map[name:m] ll
            call bpf_map_lookup_elem
            if r0 == 0x0 goto out
            r1 = *(u64 *)(r0 +0)
            r1 += 1
            *(u64 *)(r0 +0) = r1
            r0 = 1
        out:
            exit
        """
        assert self.world.run_text(text) == (key in self.model)
        if key in self.model:
            self.model[key] += 1

    @invariant()
    def same(self) -> None:
        machine = self.world.machine
        assert machine.map_keys(1) == tuple(K[k] for k in self.model)
        for key, value in self.model.items():
            assert machine.map_lookup(1, K[key]) == value.to_bytes(8, "little")
        assert machine.map_lookup(1, K[7]) is None

    @invariant()
    def nothing_stays_behind(self) -> None:
        # The map, its values, and a code region for each program.
        regions = self.world.machine._state.regions.values()
        live = [r for r in regions if r.status is Status.LIVE]
        assert len(live) == 1 + len(self.model) + len(self.world.programs)


TestHashAgainstDict = HashAgainstDict.TestCase
TestHashAgainstDict.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


# -- per CPU


@pytest.mark.parametrize("type_name", ["percpu_array", "percpu_hash"])
def test_each_cpu_has_its_own_value(type_name: str) -> None:
    w = world(type_name, value_size=4)
    w.machine.map_update(1, K[0], b"\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0")
    w.load("add", lookup("m") + "r1 = *(u32 *)(r0 +0)\nr1 += 10\n*(u32 *)(r0 +0) = r1\nexit")
    w.load(
        "of",
        KEY + "r1 = map[name:m] ll\nr3 = *(u32 *)(r10 -8)\n"
        "call bpf_map_lookup_percpu_elem\nif r0 == 0x0 goto pc+1\nr0 = *(u32 *)(r0 +0)\nexit",
    )
    w.run("add", cpu=1)
    assert w.machine.map_lookup(1, K[0]) == b"\1\0\0\0\0\0\0\0\x0c\0\0\0\0\0\0\0"
    assert w.machine.map_lookup(1, K[0], cpu=1) == b"\x0c\0\0\0"
    assert w.run("of") == 1
    with pytest.raises(UsageError, match="no CPU 2"):
        w.machine.map_lookup(1, K[0], cpu=2)
    with pytest.raises(MapError, match="EINVAL"):
        w.machine.map_update(1, K[0], b"1234")


PUT = (
    KEY
    + """
    *(u64 *)(r10 -16) = 7
    r3 = r10
    r3 += -16
    r4 = 0
    r1 = map[name:m] ll
    call bpf_map_update_elem
    exit
"""
)


@pytest.mark.parametrize("type_name", ["percpu_array", "percpu_hash"])
def test_a_program_updates_its_own_cpu(type_name: str) -> None:
    w = world(type_name)
    w.load("put", PUT)
    assert w.run("put", cpu=1) == 0
    assert w.machine.map_lookup(1, K[0]) == bytes(8) + V[7]
    assert w.run("put", cpu=0) == 0
    assert w.machine.map_lookup(1, K[0]) == V[7] + V[7]


# -- maps of maps


def outer(type_name: str) -> World:
    w = World()
    w.add_map("one")
    w.add_map("two")
    w.add_map("outer", type_name, value_size=4, max_entries=2, inner={1: 1})
    return w


@pytest.mark.parametrize("type_name", ["array_of_maps", "hash_of_maps"])
def test_maps_of_maps(type_name: str) -> None:
    w = outer(type_name)
    m, o = w.machine, w.maps["outer"]
    assert m.map_inner_ids(o) == (1,)
    assert m.map_lookup(o, K[1]) == K[1]
    assert m.map_lookup(o, K[0]) is None
    m.map_update(o, K[0], K[2])
    assert sorted(m.map_inner_ids(o)) == [1, 2]
    assert set(m.map_keys(o)) == {K[0], K[1]}
    m.map_delete(o, K[1])
    assert m.map_inner_ids(o) == (2,)
    for bad, errno_name in ((K[5], "EINVAL"), (K[0], None)):
        if errno_name:
            with pytest.raises(MapError, match=errno_name):
                m.map_update(o, K[1], bad)
    with pytest.raises(MapError, match="ENOENT"):
        m.map_delete(o, K[1])


@pytest.mark.parametrize(
    ("type_name", "key", "flags", "errno_name"),
    [("array_of_maps", 2, ANY, "E2BIG"), ("array_of_maps", 1, EXIST, "EINVAL"),
     ("hash_of_maps", 1, NOEXIST, "EEXIST"), ("hash_of_maps", 0, EXIST, "ENOENT")],
)  # fmt: skip
def test_maps_of_maps_refuse(type_name: str, key: int, flags: int, errno_name: str) -> None:
    w = outer(type_name)
    with pytest.raises(MapError) as seen:
        w.machine.map_update(w.maps["outer"], K[key], K[2], flags)
    assert seen.value.errno_name == errno_name


def test_a_program_looks_into_an_inner_map() -> None:
    w = outer("array_of_maps")
    w.machine.map_update(w.maps["outer"], K[0], K[2])
    w.machine.map_update(w.maps["two"], K[0], V[6])
    inner = "r1 = r0\n" + KEY.replace("\n", "\n ") + "call bpf_map_lookup_elem\n"
    assert w.run_text(lookup("outer") + inner + "r0 = *(u64 *)(r0 +0)\nexit") == 6
    with pytest.raises(Violation, match="update of map outer: a array_of_maps map has none"):
        w.run_text(PUT.replace("name:m]", "name:outer]"))
    with pytest.raises(Violation, match="only user space may do that"):
        w.run_text(KEY + "r1 = map[name:outer] ll\ncall bpf_map_delete_elem\nexit")


# -- data sections, flags, ring buffers


def test_data_is_there_and_read_only_data_stays() -> None:
    w = World()
    w.add_map(".rodata", "array", max_entries=1, data=b"abc", readonly=True)
    w.add_map(".data", "array", max_entries=1, data=b"\7")
    read = "r1 = map[name:{}][0]+{} ll\nr0 = *(u8 *)(r1 +0)\nexit"
    assert w.run_text(read.format(".rodata", 1)) == ord("b")
    assert w.run_text(read.format(".data", 0)) == 7
    with pytest.raises(Violation, match="which is read-only"):
        w.run_text("r1 = map[name:.rodata][0]+0 ll\n*(u8 *)(r1 +0) = 0\nr0 = 0\nexit")
    with pytest.raises(MapError) as seen:
        w.machine.map_update(1, K[0], V[0])
    assert seen.value.errno_name == "EPERM"
    assert w.run_text(PUT.replace("name:m]", "name:.rodata]")) == -1 & M64
    w.machine.map_update(2, K[0], V[5])
    assert w.run_text(read.format(".data", 0)) == 5


def test_a_map_may_be_read_only_for_programs_alone() -> None:
    w = world("hash", flags=MapFlag.RDONLY_PROG)
    w.machine.map_update(1, K[0], V[3])
    with pytest.raises(Violation, match="which is read-only"):
        w.run_text(lookup("m") + "*(u8 *)(r0 +0) = 0\nr0 = 0\nexit")


OUTPUT = """
    *(u64 *)(r10 -512) = 258
    r2 = r10
    r2 += -512
    r3 = {size}
    r4 = {flags}
    r1 = map[name:m] ll
    call bpf_ringbuf_output
    exit
"""


def test_a_ring_buffer_keeps_order_until_it_is_full() -> None:
    w = world("ringbuf", key_size=0, value_size=0, max_entries=4096)
    # Each takes 8 bytes more, rounded up to 8: after these not even an empty one has room.
    fitting = ((2, 0), (3, 1), *[(512, 0)] * 7, (408, 0))
    results = [w.run_text(OUTPUT.format(size=s, flags=f)) for s, f in
               (*fitting, (0, 0), (4097, 0), (1, 8))]  # fmt: skip
    assert results == [*[0] * len(fitting), -11 & M64, -11 & M64, -22 & M64]
    records = w.machine.map_drain(1)
    assert records[:2] == [b"\2\1", b"\2\1\0"]
    assert [len(r) for r in records] == [size for size, _ in fitting]
    assert w.machine.map_drain(1) == []
    assert w.run_text(OUTPUT.format(size=1, flags=0)) == 0


# -- kptrs in values


@pytest.mark.parametrize("type_name", ["array", "percpu_array", "percpu_hash", "hash"])
def test_an_update_frees_what_the_value_held(type_name: str) -> None:
    w = World()
    w.add_allocator()
    w.add_map("m", type_name, value="map_val", max_entries=1)
    cpus = 2 if "percpu" in type_name else 1
    w.machine.map_update(w.maps["m"], K[0], bytes(16 * cpus))
    w.load("put", lookup("m") + "r6 = r0" + alloc()
           + "r2 = r0\nr1 = r6\nr1 += 8\ncall bpf_kptr_xchg\nr0 = 0\nexit")  # fmt: skip
    for cpu in range(cpus):
        w.run("put", cpu=cpu)
    kptrs = w.machine.map_kptrs(w.maps["m"], K[0])
    assert [k.offset for k in kptrs] == [8, 24][:cpus]
    assert w.machine.map_lookup(w.maps["m"], K[0]) == bytes(16 * cpus)
    # What user space writes into a kptr field is not taken over.
    w.machine.map_update(w.maps["m"], K[0], b"\xff" * 16 * cpus)
    assert w.machine.map_kptrs(w.maps["m"], K[0]) == ()
    raw = (b"\xff" * 8 + bytes(8)) * cpus
    assert w.machine.map_lookup(w.maps["m"], K[0]) == raw
    assert w.machine.allocator_stats(w.allocator).live == 0


def test_unknown_ids_are_usage_errors() -> None:
    m = World().machine
    for call in (
        lambda: m.map_lookup(9, K[0]),
        lambda: m.map_free_step(9),
        lambda: m.allocator_stats(9),
        lambda: m.start(9, b""),
        lambda: m.step(9),
        lambda: m.program_free(9),
    ):
        with pytest.raises(UsageError):
            call()


@pytest.mark.parametrize(
    ("type_name", "fields", "errno_name"),
    [
        ("hash", {"key_size": 0}, "EINVAL"),
        ("hash", {"value_size": 0}, "EINVAL"),
        ("array", {"max_entries": 0}, "EINVAL"),
        ("array", {"key_size": 8}, "EINVAL"),
        ("array_of_maps", {"key_size": 8, "value_size": 4}, "EINVAL"),
        ("hash", {"key_size": 513}, "E2BIG"),
        ("hash", {"value_size": 1 << 31}, "E2BIG"),
        ("array", {"max_entries": (1 << 32) - 1}, "E2BIG"),
        ("ringbuf", {"max_entries": 0}, "EINVAL"),
        ("ringbuf", {"max_entries": 2048}, "EINVAL"),
        ("ringbuf", {"max_entries": 12288}, "EINVAL"),
    ],
)
def test_maps_that_cannot_be(type_name: str, fields: dict[str, int], errno_name: str) -> None:
    with pytest.raises(MapError) as seen:
        world(type_name, **fields)
    assert seen.value.errno_name == errno_name


def test_a_large_array_costs_what_is_touched() -> None:
    w = world("array", max_entries=1 << 28)
    key = ((1 << 28) - 1).to_bytes(4, "little")
    w.machine.map_update(1, key, V[1])
    assert w.machine.map_lookup(1, key) == V[1]
    assert len(w.machine._state.regions) == 2
