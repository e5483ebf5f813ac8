"""Values that belong to tasks, sockets, inodes and control groups, on our machines and, as far
as it runs such programs, on Linux."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from two_sides import SIDES, Linux, Ours, cannot_be_made, compiled, frame, play, sides, words

import bpfheap
from bpfheap.btf import Btf
from bpfheap.errors import MapError, UsageError, Violation
from bpfheap.platform.maps import BY_NAME
from bpfheap.spec import MapSpec, ObjectSpec
from bpfheap.vmlinux import Vmlinux

VMLINUX = Path("/sys/kernel/btf/vmlinux")
pytestmark = pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF")

SOURCE = """
struct task_struct { int pid; } __attribute__((preserve_access_index));
struct { __uint(type, BPF_MAP_TYPE_TASK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int); __type(value, __u64); } tasks SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_CGROUP_ARRAY); __uint(max_entries, 2);
	__uint(key_size, 4); __uint(value_size, 4); } groups SEC(".maps");

SEC("raw_tp/x") int get(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 *found = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, ctx->args[0]);
	return found ? *found : -1;
}
SEC("raw_tp/x") int get_or(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 first = ctx->args[1];
	__u64 *found = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), &first,
					ctx->args[0]);
	return found ? ++*found : -1;
}
SEC("raw_tp/x") int drop(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_task_storage_delete(&tasks, bpf_get_current_task_btf());
}
SEC("raw_tp/x") int under(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_current_task_under_cgroup(&groups, ctx->args[0]);
}
struct index { __u32 at; };
SEC("tc") int skb_under(struct __sk_buff *skb)
{
	ARGS(index, args);
	return bpf_skb_under_cgroup(skb, &groups, args.at);
}
"""
ANY, NOEXIST, EXIST, LOCK, CREATE = 0, 1, 2, 4, 1
NONE = 0xFFFFFFFF
ENOENT, E2BIG, EAGAIN, EINVAL = ((1 << 32) - n for n in (2, 7, 11, 22))


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    return compiled(tmp_path_factory.mktemp("owned"), "owned", SOURCE, Vmlinux(VMLINUX))


class OurTasks(Ours):
    """Of user space's operations, those for the current task."""

    def __init__(self, spec: ObjectSpec) -> None:
        super().__init__(spec, kernel_btf=VMLINUX)

    def put(self, value: int, flags: int = ANY) -> str:
        map_, task = self.object.maps["tasks"], self.runtime.current.task
        return self._answer(lambda: map_.update(task, value, flags))

    def there(self) -> int | None:
        found: int | None = self.object.maps["tasks"].get(self.runtime.current.task)
        return found

    def take(self) -> str:
        task = self.runtime.current.task
        if task not in self.object.maps["tasks"]:
            return "ENOENT"
        del self.object.maps["tasks"][task]
        return ""


class LinuxTasks(Linux):
    def __init__(self, spec: ObjectSpec) -> None:
        super().__init__(spec)
        self._task = os.pidfd_open(os.getpid())
        self._key = self._task.to_bytes(4, "little")

    def put(self, value: int, flags: int = ANY) -> str:
        return self.update("tasks", self._key, value.to_bytes(8, "little"), flags)

    def there(self) -> int | None:
        found = self.lookup("tasks", self._key)
        return None if found is None else int.from_bytes(found, "little")

    def take(self) -> str:
        return self.delete("tasks", self._key)

    def close(self) -> None:
        os.close(self._task)
        super().close()


TASK_SIDES = sides(OurTasks, LinuxTasks)
TABLES: dict[str, list[tuple[Any, ...]]] = {
    "programs": [
        ("trace", "get", 0, NONE),
        ("trace", "get", 2, NONE),
        ("trace", "get", 3, NONE),
        ("trace", "drop", ENOENT),
        ("trace", "get", CREATE, 0),
        ("trace", "get_or", CREATE, 5, 1),
        ("trace", "get_or", 0, 5, 2),
        ("trace", "get", 0, 2),
        ("trace", "get", CREATE, 2),
        ("trace", "drop", 0),
        ("trace", "drop", ENOENT),
        ("trace", "get_or", CREATE, 5, 6),
        ("trace", "drop", 0),
    ],
    "user space": [
        ("there", None),
        ("take", "ENOENT"),
        ("put", 4, EXIST, "ENOENT"),
        ("put", 4, NOEXIST, ""),
        ("put", 5, NOEXIST, "EEXIST"),
        ("put", 5, EXIST, ""),
        ("put", 5, 3, "EINVAL"),
        ("put", 5, LOCK, "EINVAL"),
        ("there", 5),
        ("trace", "get", 0, 5),
        ("trace", "get_or", 0, 0, 6),
        ("there", 6),
        ("put", 7, ""),
        ("trace", "get", 0, 7),
        ("take", ""),
        ("trace", "get", 0, NONE),
    ],
    "control groups": [
        ("trace", "under", 0, EAGAIN),
        ("trace", "under", 2, E2BIG),
        ("trace", "under", 1 << 32 | 1, EAGAIN),
        ("run", "skb_under", 0, EAGAIN),
        ("run", "skb_under", 2, E2BIG),
        ("delete", "groups", bytes(4), "ENOENT"),
        ("delete", "groups", b"\2\0\0\0", "E2BIG"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("side", TASK_SIDES)
@pytest.mark.parametrize("steps", TABLES.values(), ids=TABLES)
def test_the_current_task(spec: ObjectSpec, side: Any, steps: list[tuple[Any, ...]]) -> None:
    world = side(spec)
    play(world, steps)
    world.close()


def test_each_task_has_its_own(machine: dict[str, Any], spec: ObjectSpec) -> None:
    with bpfheap.Runtime(**machine, kernel_btf=VMLINUX) as rt:
        obj = rt.load(spec)
        tasks = obj.maps["tasks"]
        one, two = rt.kernel.task_struct(pid=1), rt.kernel.task_struct(pid=2)
        tasks[one], tasks[two] = 10, 20
        rt.current = two
        assert obj.programs["get_or"].run(words(0, 0)).retval == 21
        rt.current = one
        assert obj.programs["get_or"].run(words(0, 0)).retval == 11
        assert {task.pid: value for task, value in tasks.items()} == {1: 11, 2: 21}
        assert one in tasks
        del tasks[one]
        assert one not in tasks
        # What belongs to a task goes with it.
        rt.current = one
        two.free()
        assert len(tasks) == 0
        for wrong in (5, b"\0\0\0\0"):
            with pytest.raises(UsageError, match="the key of tasks is the object that a value"):
                tasks[wrong]
        with bpfheap.Runtime(**machine, kernel_btf=VMLINUX) as other:
            foreign = other.kernel.task_struct()
            with pytest.raises(UsageError, match="of another runtime"):
                tasks[foreign]


def test_control_groups_are_those_of_the_current_task(
    machine: dict[str, Any], spec: ObjectSpec
) -> None:
    with bpfheap.Runtime(**machine, kernel_btf=VMLINUX) as rt:
        obj = rt.load(spec)
        groups = obj.maps["groups"]
        rt.current.cgroups = [1, 7]
        groups[0], groups[1] = 7, 8
        assert (list(groups), groups[b"\0\0\0\0"]) == ([0, 1], b"\7\0\0\0")
        for index, wanted in ((0, 1), (1, 0)):
            assert obj.programs["under"].run(words(index)).retval == wanted
            assert obj.programs["skb_under"].run(data=frame(index)).retval == wanted
        with pytest.raises(MapError, match="E2BIG"):
            groups[2] = 1


OTHERS = """
struct inode { int i_ino; } __attribute__((preserve_access_index));
struct file { struct inode *f_inode; } __attribute__((preserve_access_index));
struct task_struct { int pid; } __attribute__((preserve_access_index));
struct cgroup { int level; } __attribute__((preserve_access_index));
#define STORAGE(NAME, map) \\
struct { __uint(type, BPF_MAP_TYPE_##NAME##_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); \\
	__type(key, int); __type(value, __u32); } map SEC(".maps")
STORAGE(SK, socks);
STORAGE(INODE, inodes);
STORAGE(CGRP, groups);

SEC("tc") int sock(struct __sk_buff *skb)
{
	__u32 *found = skb->sk ? bpf_sk_storage_get(&socks, skb->sk, 0, 1) : 0;
	return found ? ++*found : -1;
}
SEC("tc") int drop_sock(struct __sk_buff *skb)
{
	return skb->sk ? bpf_sk_storage_delete(&socks, skb->sk) : -1;
}
SEC("lsm/file_open") int inode(__u64 *ctx)
{
	struct file *file = (void *)ctx[0];
	__u32 *found = bpf_inode_storage_get(&inodes, file->f_inode, 0, 1);
	if (found)
		++*found;
	return 0;
}
SEC("tp_btf/cgroup_mkdir") int group(__u64 *ctx)
{
	__u32 *found = bpf_cgrp_storage_get(&groups, (struct cgroup *)ctx[0], 0, 1);
	if (found)
		++*found;
	return 0;
}
"""


def test_other_owners(machine: dict[str, Any], tmp_path: Path) -> None:
    made = compiled(tmp_path, "others", OTHERS, Vmlinux(VMLINUX))
    with bpfheap.Runtime(**machine, kernel_btf=VMLINUX) as rt:
        programs, maps = (obj := rt.load(made)).programs, obj.maps
        sock, other = (rt.kernel.new("struct bpf_sock", family=2) for _ in range(2))
        for ctx, wanted in (({"sk": sock}, 1), ({"sk": sock}, 2), ({"sk": other}, 1), ({}, NONE)):
            assert programs["sock"].run(ctx, data=frame()).retval == wanted
        assert [maps["socks"][one] for one in (sock, other)] == [2, 1]
        assert programs["drop_sock"].run({"sk": sock}, data=frame()).retval == 0
        assert programs["drop_sock"].run({"sk": sock}, data=frame()).retval == ENOENT
        inode = rt.kernel.inode()
        for _ in range(3):
            programs["inode"].run([rt.kernel.file(f_inode=inode)])
        assert maps["inodes"][inode] == 3
        group = rt.kernel.cgroup()
        programs["group"].run([group, "/a"])
        assert maps["groups"][group] == 1
        inode.free()
        assert len(maps["inodes"]) == 0
        file = rt.kernel.file(f_inode=group)
        group.free()
        with pytest.raises(Violation, match=r"bpf_inode_storage_get of struct cgroup#1 after"):
            programs["inode"].run([file])


GROUPS = """
struct { __uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key); __type(value, __u32); } exact SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE);
	__type(key, __u64); __type(value, __u32); } each SEC(".maps");
SEC("cgroup_skb/egress") int exactly(struct __sk_buff *skb)
{
	__u32 *found = bpf_get_local_storage(&exact, 0);
	return ++*found & 3;
}
SEC("cgroup_skb/egress") int on_each(struct __sk_buff *skb)
{
	return ++*(__u32 *)bpf_get_local_storage(&each, 0) & 3;
}
"""
#: BPF_CGROUP_INET_EGRESS.
EGRESS = 1


def test_values_of_control_groups(machine: dict[str, Any], tmp_path: Path) -> None:
    made = compiled(tmp_path, "groups", GROUPS)
    with bpfheap.Runtime(**machine) as rt:
        programs, maps = (obj := rt.load(made)).programs, obj.maps
        exact, each = maps["exact"], maps["each"]
        rt.current.cgroups = [1, 5]
        assert [programs["exactly"].run(data=frame()).retval for _ in range(2)] == [1, 2]
        rt.current.cgroups = [1, 6]
        assert programs["exactly"].run(data=frame()).retval == 1
        assert [(k.cgroup_inode_id, k.attach_type, v) for k, v in exact.items()] == [
            (5, EGRESS, 2), (6, EGRESS, 1),
        ]  # fmt: skip
        for cpu in (0, 1, 1):
            programs["on_each"].run(data=frame(), cpu=cpu)
        assert each[6] == [1, 2]
        each[6] = [0, 0]
        each[7] = [4, 5]
        rt.current.cgroups = [7]
        assert programs["on_each"].run(data=frame(), cpu=1).retval == 6 & 3
        with pytest.raises(MapError, match="EINVAL"):
            each.update(6, [1, 1], NOEXIST)
        with pytest.raises(MapError, match="EINVAL"):
            del each[6]


@pytest.mark.parametrize("side", SIDES)
def test_the_first_run(tmp_path: Path, side: Any) -> None:
    """Linux makes new values for each test run."""
    world = side(compiled(tmp_path, "groups", GROUPS))
    play(world, [("run", "exactly", 1), ("run", "on_each", 1)])
    world.close()


@pytest.mark.parametrize(
    ("type_name", "key", "value", "entries", "flags", "wanted"),
    [
        ("cgroup_storage", 8, 4, 0, 0, ""), ("cgroup_storage", 16, 4, 0, 0, ""),
        ("cgroup_storage", 12, 4, 0, 0, "EINVAL"), ("cgroup_storage", 8, 4, 1, 0, "EINVAL"),
        ("cgroup_storage", 8, 0, 0, 0, "EINVAL"), ("percpu_cgroup_storage", 8, 4, 0, 0, ""),
        ("cgroup_array", 4, 4, 1, 0, ""), ("cgroup_array", 4, 8, 1, 0, "EINVAL"),
        ("cgroup_array", 4, 4, 0, 0, "EINVAL"), ("task_storage", 4, 4, 0, 0, "EINVAL"),
        ("task_storage", 4, 4, 1, 1, "EINVAL"), ("task_storage", 8, 4, 0, 1, "EINVAL"),
        ("task_storage", 4, 0, 0, 1, "EINVAL"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("side", SIDES)
def test_maps_that_can_be(
    type_name: str, key: int, value: int, entries: int, flags: int, wanted: str, side: Any
) -> None:
    made = MapSpec("m", BY_NAME[type_name].number, key, value, entries, Btf((), "m"), flags=flags)
    assert cannot_be_made(side, made) == wanted
