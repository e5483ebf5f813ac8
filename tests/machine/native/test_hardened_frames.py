"""Hardened programs: what callbacks do on their caller's stack, and accesses of maps' values, where
the code itself shows that they stay there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import ANY

import pytest

from bpfheap.compile import object_spec
from bpfheap.errors import Violation
from bpfheap.runtime.machine import Done

pytest.importorskip("bpfheap.machine.native._core")
pytest.importorskip("llvmlite")

from wild import World, assembled

from bpfheap.machine.native import jit
from bpfheap.machine.native.jit import blocks, frames

HERE = Path(__file__).parent

LOOP = "r1 = 3\nr2 = func[name:callback] ll\n{ctx}\nr4 = 0\ncall bpf_loop\n"
#: Sets up what the callback changes, and has its address in r3.
AT_16 = "*(u64 *)(r10 -16) = 5\n*(u64 *)(r10 -8) = 7\n*(u64 *)(r10 -24) = 9\nr3 = r10\nr3 += -16"
LEFT = "r0 = *(u64 *)(r10 -16)\nr1 = *(u64 *)(r10 -8)\nr0 += r1\n"
LEFT += "r1 = *(u64 *)(r10 -24)\nr0 += r1\nexit\n"
ONCE = LOOP.format(ctx=AT_16) + LEFT + "callback: {body}\nr0 = 0\nexit"
AROUND = LOOP.format(ctx=AT_16) + LEFT + "callback: {body}"
ADD = "r3 = *(u64 *)(r2 {at})\nr3 += r1\n*(u64 *)(r2 {at}) = r3"
ELEMENTS = "r1 = map[name:array] ll\nr2 = func[name:callback] ll\n" + AT_16 + "\nr4 = 0\n"
ELEMENTS += "call bpf_for_each_map_elem\n" + LEFT
#: Code, its result, and what the callback shows of its context: the register that it is in when it
#: begins, and which bytes from there it is about.
CONTEXTS: dict[str, tuple[str, int, tuple[int, int, int] | None]] = {
    "a sum": (ONCE.format(body=ADD.format(at="+0")), 24, (2, 0, 8)),
    "two variables": (
        ONCE.format(body=ADD.format(at="+0") + "\n" + ADD.format(at="+8")), 27, (2, 0, 16),
    ),
    "one before it": (ONCE.format(body=ADD.format(at="-8")), 24, (2, -8, 1)),
    "that nobody looks at": (ONCE.format(body="r3 = 1"), 21, (2, 0, 1)),
    "moved": (
        ONCE.format(body="r6 = r2\nr6 += 8\nr6 -= 4\n*(u32 *)(r6 -4) = 1"), 17, (2, 0, 4),
    ),
    "over a call": (
        ONCE.format(body="r6 = r2\ncall bpf_get_smp_processor_id\n*(u8 *)(r6 +1) = 1"), 277,
        (2, 0, 2),
    ),
    "from two calls": (
        LOOP.format(ctx=AT_16) + "r6 = *(u64 *)(r10 -16)\n" + LOOP.format(ctx="r3 = r10\nr3 += -8")
        + "r0 = *(u64 *)(r10 -8)\nr0 += r6\nexit\ncallback: " + ADD.format(at="+0")
        + "\nr0 = 0\nexit", 18, (2, 0, 8),
    ),
    "of elements": (
        ELEMENTS + "callback: r3 = *(u64 *)(r4 +0)\nr3 += 1\n*(u64 *)(r4 +0) = r3\nr0 = 0\nexit",
        37, (4, 0, 8),
    ),
    "one of two addresses": (
        AROUND.format(
            body="if r1 != 0 goto n\nr2 += 8\nn: r3 = 0\n*(u64 *)(r2 +0) = r3\nr0 = 0\nexit"
        ), 9, None,
    ),
    "its own stack or its caller's": (
        AROUND.format(
            body="*(u64 *)(r10 -8) = 0\nif r1 != 0 goto n\nr2 = r10\nr2 += -8\n"
            "n: r3 = 0\n*(u64 *)(r2 +0) = r3\nr0 = 0\nexit"
        ), 16, None,
    ),
    "or a number": (
        AROUND.format(
            body="if r1 != 0 goto n\nr2 = r10\nr2 += -8\nn: *(u64 *)(r10 -8) = 0\n"
            "if r1 != 2 goto e\n*(u64 *)(r2 +0) = 1\ne: r0 = 0\nexit"
        ), 17, None,
    ),
    "moved, one of two addresses": (
        AROUND.format(
            body="if r1 != 0 goto n\nr2 += 8\nn: r2 += -8\nr3 = 0\n*(u64 *)(r2 +0) = r3\n"
            "r0 = 0\nexit"
        ), 7, None,
    ),
    "spilled": (
        ONCE.format(body="*(u64 *)(r10 -8) = r2\nr3 = *(u64 *)(r10 -8)\n*(u64 *)(r3 +0) = 0"),
        16, None,
    ),
    "stored in itself": (ONCE.format(body="*(u64 *)(r2 +0) = r2\n*(u64 *)(r2 +0) = 1"), 17, None),
    "compared": (ONCE.format(body="if r2 == 0 goto pc+1\n*(u64 *)(r2 +0) = 1"), 17, None),
    "at a variable offset": (
        ONCE.format(body="r1 &= 7\nr2 += r1\nr3 = 0\n*(u8 *)(r2 +0) = r3"), 16, None,
    ),
    "a key": (
        ONCE.format(
            body="r6 = r2\nr1 = map[name:words] ll\ncall bpf_map_lookup_elem\n*(u64 *)(r6 +0) = 1"
        ), 17, None,
    ),
    "changed by an atomic": (
        ONCE.format(body="r3 = 1\nlock *(u64 *)(r2 +0) += r3"), 24, None,
    ),
    "released and acquired": (
        ONCE.format(
            body="r3 = load_acquire((u64 *)(r2 +0))\nr3 += 1\nstore_release((u64 *)(r2 +0), r3)"
        ), 24, None,
    ),
    "passed on": (
        AROUND.format(
            body="r3 = r2\nr1 = 2\nr2 = func[name:inner] ll\nr4 = 0\ncall bpf_loop\nr0 = 0\nexit\n"
            "inner: " + ADD.format(at="+0") + "\nr0 = 0\nexit"
        ), 24, None,
    ),
    "from a call that gives none": (
        LOOP.format(ctx=AT_16) + LOOP.format(ctx="r3 = 0") + LEFT
        + "callback: if r2 == 0 goto n\n" + ADD.format(at="+0") + "\nn: r0 = 0\nexit", 24, None,
    ),
    "partly outside": (
        LOOP.format(ctx=AT_16) + "r0 = 0\nexit\ncallback: r3 = *(u64 *)(r2 +12)\nr0 = 0\nexit",
        0, None,
    ),
    "far outside": (
        LOOP.format(ctx=AT_16) + "r0 = 0\nexit\ncallback: *(u64 *)(r2 -30000) = 0\nr0 = 0\nexit",
        0, None,
    ),
}  # fmt: skip

FIND = (
    "*(u32 *)(r10 -4) = {key}\nr1 = map[name:array] ll\nr2 = r10\nr2 += -4\n"
    "call bpf_map_lookup_elem\n"
)
STORED = FIND.format(key=3) + "if r0 == 0 goto n\n*(u64 *)(r0 +0) = 77\nn: r6 = 1\n"
#: Code, its result (None if that does not matter), and how many of its accesses are seen to be in a
#: value.
VALUES: dict[str, tuple[str, int | type[Violation] | None, int]] = {
    "asked for NULL": (
        STORED + FIND.format(key=3) + "if r0 == 0 goto e\nr0 = *(u64 *)(r0 +0)\ne: exit", 77, 2,
    ),
    "a copy": (STORED + FIND.format(key=3) + "r6 = r0\nr0 = *(u32 *)(r6 +0)\nexit", 77, 2),
    "part of it": (STORED + FIND.format(key=3) + "r0 = *(u8 *)(r0 +0)\nexit", 77, 2),
    "NULL reads as zero": (STORED + FIND.format(key=99) + "r0 = *(u64 *)(r0 +0)\nexit", 0, 2),
    "NULL is not written to": (FIND.format(key=99) + "*(u64 *)(r0 +0) = 1\nexit", Violation, 1),
    "behind it": (STORED + FIND.format(key=15) + "r0 = *(u64 *)(r0 +4)\nr0 = 5\nexit", 5, 1),
    "before it": (STORED + FIND.format(key=3) + "r0 = *(u8 *)(r0 -1)\nr0 = 5\nexit", 5, 1),
    "moved": (STORED + FIND.format(key=3) + "r0 += 1\nr0 = *(u8 *)(r0 +0)\nexit", 0, 1),
    "or a number": (
        STORED + FIND.format(key=3) + "if r0 != 0 goto n2\nr0 = 5\nn2: r0 = *(u64 *)(r0 +0)\nexit",
        77, 1,
    ),
    "changed": (
        STORED + FIND.format(key=3) + "r3 = 1\nlock *(u64 *)(r0 +0) += r3\n"
        "r0 = *(u64 *)(r0 +0)\nexit", 78, 3,
    ),
    "changed where it is not aligned": (
        STORED + FIND.format(key=3) + "r3 = 0\nlock *(u32 *)(r0 +2) += r3\nr0 = 3\nexit",
        None, 1,
    ),
    "released and acquired": (
        STORED + FIND.format(key=3) + "store_release((u16 *)(r0 +2), r6)\n"
        "r0 = load_acquire((u64 *)(r0 +0))\nexit", 0x1004D, 3,
    ),
    "acquired where it is not aligned": (
        STORED + FIND.format(key=3) + "r0 = load_acquire((u32 *)(r0 +2))\nr0 = 3\nexit", None, 1,
    ),
    "released where it is not aligned": (
        STORED + FIND.format(key=3) + "store_release((u16 *)(r0 +1), r6)\nr0 = 3\nexit", None, 1,
    ),
    "NULL acquires zero": (
        STORED + FIND.format(key=99) + "r0 = load_acquire((u64 *)(r0 +0))\nexit", 0, 2,
    ),
    "of an inner map": (
        "*(u32 *)(r10 -4) = 0\nr1 = map[name:maps] ll\nr2 = r10\nr2 += -4\n"
        "call bpf_map_lookup_elem\nr1 = r0\nif r1 == 0 goto n\nr0 = *(u64 *)(r1 +0)\n"
        "n: r0 = 4\nexit", None, 0,
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=["interpreted", "compiled"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(object_spec(HERE / "wild.bpf.c"), jit=request.param == "compiled")
    yield made
    made.runtime.close()


def result_of(world: World, code: str) -> int | type[Violation]:
    program = world.load(assembled(code, world.obj.btf))
    try:
        stop = world.machine.step(world.machine.start(program, bytes(32)), through=True)
    except Violation:
        return Violation
    finally:
        assert not world.outside.changed()
    assert isinstance(stop, Done)
    return stop.retval


def frames_of(world: World, code: str) -> dict[int, frames.StackFrame]:
    machine = world.machine
    found = machine.source(world.load(assembled(code, world.obj.btf)))
    return frames.frames_of(blocks.split(found), found)


@pytest.mark.parametrize("what", CONTEXTS)
def test_a_callback_changes_its_callers_variables(world: World, what: str) -> None:
    code, result, _ = CONTEXTS[what]
    assert result_of(world, code) == result


@pytest.mark.parametrize("what", CONTEXTS)
def test_only_what_a_callback_shows_is_divided(world: World, what: str) -> None:
    code, _, shown = CONTEXTS[what]
    found = frames_of(world, code)
    contexts = {f.context for f in found.values()} - {None}
    assert contexts == (set() if shown is None else {frames.Context(*shown)})
    assert found[0].whole == (shown is None)


@pytest.mark.parametrize("what", VALUES)
def test_values_are_reached(world: World, what: str) -> None:
    code, result, _ = VALUES[what]
    assert result_of(world, code) == (result if result is not None else ANY)


@pytest.mark.parametrize("what", VALUES)
def test_only_what_is_in_a_value_goes_without_a_mask(world: World, what: str) -> None:
    code, _, accesses = VALUES[what]
    found = world.machine.source(world.load(assembled(code, world.obj.btf)))
    text, _ = jit.ir(found, check=True)
    assert text.count(", ptr %region, ptr %") == accesses


def test_keys_of_elements_leave_room_for_all_frames(world: World) -> None:
    """Eight frames of one piece, and a key of an array between the last two."""
    shown = "r1 = r10\nr1 += -8\n*(u64 *)(r10 -16) = r1\n"
    code = shown + "call f1\nexit\n"
    for n in range(1, 7):
        ends = f"call f{n + 1}\nexit\n"
        if n == 6:
            ends = (
                "r1 = map[name:array] ll\nr2 = func[name:each] ll\nr3 = 0\nr4 = 0\n"
                "call bpf_for_each_map_elem\nexit\n"
            )
        code += f"f{n}: {shown}{ends}"
    code += (
        f"each: {shown}r0 = *(u32 *)(r2 +0)\nr0 -= 15\nif r0 != 0 goto pc+1\nr0 = 1\nr0 = 0\nexit"
    )
    assert result_of(world, code) == 16


def test_functions_that_call_on_and_on_are_refused(world: World) -> None:
    code = "call f1\nexit\n" + "".join(f"f{n}: call f{n + 1}\nexit\n" for n in range(1, 1500))
    assert result_of(world, code + "f1500: r0 = 0\nexit") is Violation
