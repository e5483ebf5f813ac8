"""Stacks of callers, on our machines and on Linux, where they are what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from two_sides import SIDES, Ours, cannot_be_made, compiled, play, words

import bpfheap
from bpfheap.btf import Btf
from bpfheap.errors import UsageError
from bpfheap.platform.maps import BY_NAME
from bpfheap.spec import MapSpec, ObjectSpec
from bpfheap.vmlinux import Vmlinux

SOURCE = """
struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(max_entries, 1000);
	__uint(key_size, 4); __uint(value_size, 24);
} stacks SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(max_entries, 1);
	__uint(key_size, 4); __uint(value_size, 24);
} single SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(max_entries, 2);
	__uint(key_size, 4); __uint(value_size, 24);
} two SEC(".maps");
__u64 seen[4];

SEC("raw_tp/x") int id(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_get_stackid(ctx, &stacks, ctx->args[0]);
}
SEC("raw_tp/x") int only(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_get_stackid(ctx, &single, ctx->args[0]);
}
SEC("raw_tp/x") int fill(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 size = ctx->args[1];

	if (size > sizeof(seen))
		return -1;
	seen[3] = 99;
	return bpf_get_stack(ctx, seen, size, ctx->args[0]);
}
SEC("raw_tp/x") int last(struct bpf_raw_tracepoint_args *ctx)
{
	return seen[3];
}
SEC("raw_tp/x") int either(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_get_stackid(ctx, &two, ctx->args[0]);
}
"""
NOMEM, FAULT, EXIST, INVAL, OPNOTSUPP = ((1 << 32) - n for n in (12, 14, 17, 22, 95))
USER, FAST, REUSE, BUILD_ID = 1 << 8, 1 << 9, 1 << 10, 1 << 11
ZERO = bytes(4)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    return compiled(tmp_path_factory.mktemp("stacks"), "stacks", SOURCE)


TABLES: dict[str, list[tuple[Any, ...]]] = {
    "flags": [
        ("trace", "id", BUILD_ID, INVAL),
        ("trace", "id", 1 << 12, INVAL),
        ("trace", "id", 1 << 32, INVAL),
        ("trace", "id", 255, FAULT),
        ("trace", "id", 255 | USER, FAULT),
    ],
    "two stacks in one place": [
        ("lookup", "single", ZERO, None),
        ("trace", "only", 0, 0),
        ("trace", "only", 0, 0),
        ("trace", "only", FAST, 0),
        ("trace", "only", REUSE, 0),
        ("trace", "only", 1, EXIST),
        ("trace", "only", 1 | FAST, EXIST),
        ("keys", "single", [ZERO]),
        ("trace", "only", 1 | REUSE, NOMEM),
        ("trace", "only", 0, 0),
        ("delete", "single", ZERO, ""),
        ("delete", "single", ZERO, "ENOENT"),
        ("delete", "single", b"\1\0\0\0", "E2BIG"),
        ("update", "single", ZERO, bytes(24), "EINVAL"),
        ("trace", "only", 0, 0),
    ],
    "stacks as bytes": [
        ("trace", "fill", 0, 16, 16),
        ("trace", "last", 0, 99),
        ("trace", "fill", 0, 0, 0),
        ("trace", "fill", 0, 12, INVAL),
        ("trace", "fill", 1 << 9, 32, INVAL),
        ("trace", "last", 0, 0),
        ("trace", "fill", BUILD_ID, 32, INVAL),
        ("trace", "fill", USER | BUILD_ID, 16, INVAL),
        ("trace", "fill", USER | BUILD_ID, 32, 32),
        ("trace", "fill", 255, 16, FAULT),
    ],
}  # fmt: skip


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("steps", TABLES.values(), ids=TABLES)
def test_stacks(spec: ObjectSpec, side: Any, steps: list[tuple[Any, ...]]) -> None:
    world = side(spec)
    play(world, steps)
    world.close()


def test_they_are_what_a_test_says(machine: dict[str, Any], spec: ObjectSpec) -> None:
    with bpfheap.Runtime(**machine) as rt:
        obj = rt.load(spec)
        rt.current.stack = [0xA, 0xB, 0xC, 0xD]
        rt.current.user_stack = [0x1]
        assert rt.current.stack == (0xA, 0xB, 0xC, 0xD)
        programs, stacks = obj.programs, obj.maps["stacks"]
        assert stacks[programs["id"].run(words(0)).retval] == [0xA, 0xB, 0xC]
        assert stacks[programs["id"].run(words(3)).retval] == [0xD]
        assert stacks[programs["id"].run(words(USER)).retval] == [1]
        assert programs["id"].run(words(4)).retval == FAULT
        assert programs["fill"].run(words(1, 32)).retval == 24
        assert obj.maps[".bss"][0].seen == [0xB, 0xC, 0xD, 0]
        assert programs["fill"].run(words(4, 32)).retval == 0
        assert programs["fill"].run(words(USER | BUILD_ID, 32)).retval == 32
        assert obj.maps[".bss"][0].seen == [2, 0, 0, 1]
        assert len(stacks) == 3
        rt.current.stack = []
        assert programs["id"].run(words(0)).retval == FAULT
        with pytest.raises(UsageError, match="the current task has no stak"):
            rt.current.set(stak=[1])


def test_one_stack_takes_the_place_of_another(machine: dict[str, Any], spec: ObjectSpec) -> None:
    with bpfheap.Runtime(**machine) as rt:
        obj = rt.load(spec)
        program, map_ = obj.programs["either"], obj.maps["two"]

        def run(address: int, flags: int = 0) -> int:
            rt.current.stack = [address]
            return program.run(words(flags)).retval

        first = run(1)
        for other in range(2, 100):
            if run(other) == EXIST:
                break
            del map_[1 - first]
        assert run(other, REUSE) == first
        assert run(1) == EXIST
        assert map_[first] == [other]


TASKS = """
struct task_struct { int pid; } __attribute__((preserve_access_index));
__u64 seen[2];
SEC("raw_tp/x") int mine(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_get_task_stack(bpf_get_current_task_btf(), seen, 16, ctx->args[0]);
}
SEC("tp_btf/task_newtask") int made(__u64 *ctx)
{
	return bpf_get_task_stack((void *)ctx[0], seen, sizeof(seen), ctx[1]);
}
"""
VMLINUX = Path("/sys/kernel/btf/vmlinux")


@pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF")
@pytest.mark.parametrize("side", SIDES)
def test_of_the_current_task(tmp_path: Path, side: Any) -> None:
    made = compiled(tmp_path, "tasks", TASKS, Vmlinux(VMLINUX))
    world = side(made, kernel_btf=VMLINUX) if issubclass(side, Ours) else side(made)
    play(world, [("trace", "mine", 0, 16), ("trace", "mine", 255, FAULT),
                 ("trace", "mine", FAST, INVAL), ("trace", "mine", USER, 16)])  # fmt: skip
    world.close()


@pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF")
def test_of_another_task(machine: dict[str, Any], tmp_path: Path) -> None:
    with bpfheap.Runtime(**machine, kernel_btf=VMLINUX) as rt:
        program = rt.load(compiled(tmp_path, "tasks", TASKS, Vmlinux(VMLINUX))).programs["made"]
        rt.current.stack = [1]
        mine, other = rt.current.task, rt.kernel.task_struct()
        assert program.run([mine, 0]).retval == 8
        assert program.run([mine, USER]).retval == 16
        assert program.run([other, 0]).retval == 16
        assert program.run([other, USER]).retval == OPNOTSUPP


@pytest.mark.parametrize(
    ("key", "value", "entries", "flags", "wanted"),
    [(4, 8, 1, 0, ""), (4, 0, 1, 0, "EINVAL"), (4, 12, 1, 0, "EINVAL"), (4, 8, 0, 0, "EINVAL"),
     (8, 8, 1, 0, "EINVAL"), (4, 1016, 1, 0, ""), (4, 1024, 1, 0, "EINVAL"),
     (4, 32, 1, 1 << 5, ""), (4, 40, 1, 1 << 5, "EINVAL"), (4, 4064, 1, 1 << 5, "")],
)  # fmt: skip
@pytest.mark.parametrize("side", SIDES)
def test_maps_that_can_be(
    key: int, value: int, entries: int, flags: int, wanted: str, side: Any
) -> None:
    number = BY_NAME["stack_trace"].number
    made = MapSpec("m", number, key, value, entries, Btf((), "m"), flags=flags)
    assert cannot_be_made(side, made) == wanted


def test_of_files_nothing_is_known(machine: dict[str, Any], tmp_path: Path) -> None:
    """What BPF_F_STACK_BUILD_ID gives then is addresses (BPF_STACK_BUILD_ID_IP)."""
    made = compiled(tmp_path, "files", """
        struct {
            __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(max_entries, 4);
            __uint(map_flags, BPF_F_STACK_BUILD_ID);
            __uint(key_size, 4); __uint(value_size, 64);
        } files SEC(".maps");
        SEC("raw_tp/x") int id(struct bpf_raw_tracepoint_args *ctx)
        {
            return bpf_get_stackid(ctx, &files, BPF_F_USER_STACK);
        }
    """)  # fmt: skip
    with bpfheap.Runtime(**machine) as rt:
        obj = rt.load(made)
        rt.current.user_stack = [0x10, 0x20, 0x30]
        found = obj.maps["files"][obj.programs["id"].run(words(0)).retval]
        assert found == words(2, 0, 0, 0x10, 2, 0, 0, 0x20)
