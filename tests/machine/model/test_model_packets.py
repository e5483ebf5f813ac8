"""Packets: what programs see of them and may do, here and, where it may be asked, on Linux."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_world import World

from bpfheap.compile import object_spec
from bpfheap.errors import UsageError, Violation
from bpfheap.kernel import Kernel, available
from bpfheap.machine.model import ModelMachine
from bpfheap.runtime.machine import AtCall, Done
from bpfheap.spec import ObjectSpec, ProgramSpec

SOURCE = Path(__file__).with_name("packets.bpf.c")
FRAME = bytes(range(1, 33))
M32 = (1 << 32) - 1

#: Of a frame of 32 bytes.
RESULTS = {
    "xdp_sum": 1021032,
    "xdp_head_forward": 28, "xdp_head_back": 38, "xdp_head_far_back": 248,
    "xdp_head_too_far_back": 2200032, "xdp_head_past_the_end": 2200032,
    "xdp_tail_shorter": 29, "xdp_tail_longer": 40, "xdp_tail_too_short": 2200032,
    "xdp_tail_all_of_it": 3520,
    "xdp_meta_some": 10032, "xdp_meta_odd": 1300032, "xdp_meta_much": 10032,
    "xdp_meta_too_much": 2200032, "xdp_meta_behind": 2200032,
    # 200 bytes of metadata leave room for 16 more, not for 17.
    "xdp_meta_and_head": 0x01020304 - 2200,
    "tc_look": 6801, "tc_store": 12221400, "tc_write": 1, "cgroup_look": 1, "socket_load": 21817,
}  # fmt: skip


@pytest.fixture(scope="module")
def spec() -> ObjectSpec:
    return object_spec(SOURCE, cflags=("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"))


def run(program: ProgramSpec, frame: bytes) -> Done:
    machine = ModelMachine()
    machine.program_load(1, program, {})
    execution = machine.start(1, b"", data=frame)
    while not isinstance(stop := machine.step(execution), Done):
        pass
    return stop


def test_on_the_model_machine(spec: ObjectSpec) -> None:
    found = {name: run(p, FRAME).retval & M32 for name, p in spec.programs.items()}
    assert found == RESULTS


@pytest.mark.skipif(available() is not None, reason=available() or "")
@pytest.mark.parametrize("size", [14, 17, 32, 100, 1000])
def test_linux_makes_the_same_of_them(spec: ObjectSpec, size: int) -> None:
    frame = bytes(i * 7 & 255 for i in range(size))
    with Kernel() as kernel:
        for name, program in spec.programs.items():
            theirs, ours = kernel.test_run(spec, program, frame), run(program, frame)
            # Linux gives the Ethernet header back also to those who never saw it.
            hidden = 14 if name.startswith(("cgroup", "socket")) else 0
            assert ours.retval & M32 == theirs.retval, name
            assert ours.data == theirs.data_out[hidden:], name


# -- faults

XDP = "r6 = r1\nr2 = *(u32 *)(r6 +0)\nr3 = *(u32 *)(r6 +4)\n"
OK = "r0 = 0\nexit"
#: Puts a pointer to the packet's first byte into a map's value.
KEEP = """
r6 = *(u32 *)(r1 +0)
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[name:kept] ll
call bpf_map_lookup_elem
if r0 == 0 goto out
*(u64 *)(r0 +{at}) = r6
out: r0 = 0
exit
"""
FAULTS = {
    "behind the end": ("xdp", f"{XDP}r0 = *(u8 *)(r3 +0)\nexit", "out-of-bounds", "has 32 bytes"),
    "before the beginning": ("xdp", f"{XDP}r0 = *(u8 *)(r2 -1)\nexit", "out-of-bounds", "packet-1"),
    "partly behind": (
        "xdp", f"{XDP}*(u64 *)(r2 +28) = 0\n{OK}", "out-of-bounds", "8 bytes at the packet"),
    "of before": (
        "xdp", f"{XDP}r7 = r2\nr1 = r6\nr2 = 0\ncall bpf_xdp_adjust_head\nr0 = *(u8 *)(r7 +0)\n"
        "exit", "use-after-free", "the packet after it was freed"),
    "of before, though refused": (
        "xdp", f"{XDP}r7 = r2\nr1 = r6\nr2 = 99\ncall bpf_xdp_adjust_meta\nr0 = *(u8 *)(r7 +0)\n"
        "exit", "use-after-free", "the packet after it was freed"),
    "half a pointer": ("xdp", "r0 = *(u16 *)(r1 +0)\nexit", "invalid-access", "as a whole only"),
    "the pointer written": (
        "xdp", "*(u32 *)(r1 +4) = 0\nr0 = 0\nexit", "invalid-access", "as a whole only"),
    "read-only": (
        "cgroup_skb/ingress", f"r2 = *(u32 *)(r1 +76)\n*(u8 *)(r2 +0) = 0\n{OK}", "invalid-access",
        "which is read-only"),
    "another context": (
        "xdp", f"r1 = r10\nr2 = 0\ncall bpf_xdp_adjust_tail\n{OK}", "bad-call", "than the program"),
    "another type": ("tc", f"r2 = 0\ncall bpf_xdp_adjust_tail\n{OK}", "bad-call", "another type"),
    "no type": (
        "syscall", f"r2 = 0\ncall bpf_skb_pull_data\n{OK}", "bad-call", "of another type"),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_misuse_is_seen(what: str) -> None:
    section, text, kind, message = FAULTS[what]
    world = World()
    program = world.load("p", text, section)
    frame = b"" if section == "syscall" else FRAME
    with pytest.raises(Violation, match=message) as seen:
        world.finish(world.machine.start(program, b"", data=frame))
    assert seen.value.kind == kind
    # Nothing of the packet stays that anybody could see.
    assert {r.kind for r in world.machine._state.regions.values() if r.status == "live"} == {"code"}


def test_a_pointer_to_a_packet_may_outlive_it() -> None:
    """In a map's value, as a number: each run overwrites a part of the last one's."""
    world = World()
    kept = world.add_map("kept", "array", value_size=16, max_entries=1)
    for name, at in (("first", 0), ("second", 3)):
        world.load(name, KEEP.format(at=at), "xdp")
        world.run(name)
    value = world.machine.map_lookup(kept, bytes(4))
    assert value is not None
    # The first one's low bytes, then the whole second one.
    assert value[:3] != bytes(3)
    assert value[11:] == bytes(5)


def test_no_packet_has_no_bytes() -> None:
    world = World()
    world.load("p", f"{XDP}r0 = 1\nif r2 == r3 goto pc+1\nr0 = 0\nexit", "xdp")
    assert world.run("p") == 1


@pytest.mark.parametrize(("section", "size"), [("xdp", 13), ("tc", 3521), ("syscall", 20)])
def test_frames_that_cannot_be(section: str, size: int) -> None:
    world = World()
    program = world.load("p", OK, section)
    with pytest.raises(UsageError, match="a packet"):
        world.machine.start(program, b"", data=bytes(size))
    assert not world.machine.executions()


def test_a_copy_has_a_packet_of_its_own() -> None:
    world = World()
    text = f"{XDP}*(u8 *)(r2 +0) = 9\ncall bpf_get_smp_processor_id\nr2 = *(u32 *)(r6 +0)\n"
    text += "r0 = *(u8 *)(r2 +0)\nr0 += 1\n*(u8 *)(r2 +0) = r0\nexit"
    program = world.load("p", text, "xdp")
    execution = world.machine.start(program, b"", data=FRAME)
    assert isinstance(world.machine.step(execution), AtCall)
    before, twin = world.machine.snapshot()
    for machine in (world.machine, twin):
        done = machine.step(execution)
        assert isinstance(done, Done)
        assert (done.retval, done.data) == (10, bytes([10]) + FRAME[1:])
        assert machine.key() != before
