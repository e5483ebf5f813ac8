"""Loops of hardened programs: which of them the code bounds, what they do, and that all end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import RunTooLong
from bpfheap.runtime.machine import Done

pytest.importorskip("bpfheap.machine.native._core")
pytest.importorskip("llvmlite")

from wild import World, assembled

from bpfheap.machine.native import jit
from bpfheap.machine.native.jit import blocks
from bpfheap.machine.native.jit.loops import tight_loops

HERE = Path(__file__).parent
STEPS = 1 << 16
ENDLESS = -1
#: Code, its result, and whether the compiler sees how many rounds there are at most. Each begins
#: with 0 in r0, what it was called with in r1, and "l" is where its loop begins.
LOOPS = {
    "up to a number": ("r2 = 0\nl: r0 += 3\nr2 += 1\nif r2 != 100 goto l", 300, True),
    "by more than one": ("r2 = 0\nl: r0 += 1\nr2 += 4\nif r2 != 100 goto l", 25, True),
    "down": ("r2 = 100\nl: r0 += 1\nr2 += -1\nif r2 != 0 goto l", 100, True),
    "below zero": ("r2 = 7\nl: r0 += 1\nr2 -= 2\nif r2 s> -8 goto l", 8, True),
    "of 32 bits": ("w2 = -3\nl: r0 += 1\nw2 += 1\nif w2 != 3 goto l", 6, True),
    "of 32 bits, with a sign": ("w2 = -3\nl: r0 += 1\nw2 += 1\nif w2 s< 3 goto l", 6, True),
    "to a register": ("r3 = 9\nr2 = 0\nl: r0 += 1\nr2 += 1\nif r2 < r3 goto l", 9, True),
    "asked first": ("r2 = 0\nl: if r2 == 9 goto e\nr0 += 1\nr2 += 1\ngoto l\ne: r0 += 0", 9, True),
    "left in the middle": (
        "r2 = 0\nl: r0 += 1\nif r0 == 5 goto e\nr2 += 1\nif r2 != 100 goto l\ne: r0 += 0", 5, True,
    ),
    "with a choice": (
        "r2 = 0\nl: r3 = r2\nr3 &= 1\nif r3 == 0 goto n\nr0 += 1\nn: r2 += 1\n"
        "if r2 != 100 goto l", 50, True,
    ),
    "within another": (
        "r4 = 0\no: r2 = 0\nl: r0 += 1\nr2 += 1\nif r2 != 10 goto l\nr4 += 1\nif r4 != 7 goto o",
        70, True,
    ),
    "one after the other": (
        "r2 = 0\nl: r0 += 1\nr2 += 1\nif r2 != 10 goto l\nr2 = 10\n"
        "m: r0 += 1\nr2 += -1\nif r2 != 0 goto m", 20, True,
    ),
    "longer than may be taken at a time": (
        "r2 = 0\nl: r0 += 1\nr2 += 1\nif r2 != 100000 goto l", 100_000, False,
    ),
    "to what was given": (
        "r1 = *(u8 *)(r1 +9)\nr2 = 0\nl: r0 += 1\nr2 += 1\nif r2 < r1 goto l", 9, False,
    ),
    "from what was given": (
        "r2 = *(u8 *)(r1 +9)\nl: r0 += 1\nr2 += 1\nif r2 != 20 goto l", 11, False,
    ),
    "from one of two": (
        "r2 = 5\nif r1 != 0 goto l\nr2 = 6\nl: r0 += 1\nr2 += 1\nif r2 != 20 goto l", 15, False,
    ),
    "entered in the middle": (
        "r2 = 0\nif r1 != 0 goto m\nl: r0 += 1\nm: r2 += 1\nif r2 != 20 goto l", 19, None,
    ),
    "past the number": ("r2 = 0\nl: r0 += 1\nr2 += 3\nif r2 != 100 goto l", ENDLESS, False),
    "the wrong way": ("r2 = 0\nl: r0 += 1\nr2 += -1\nif r2 s< 100 goto l", ENDLESS, False),
    "changed on some ways": (
        "r2 = 0\nl: r0 += 1\nif r0 s> 5 goto n\nr2 += 1\nn: if r2 != 100 goto l", ENDLESS, False,
    ),
    "changed back": (
        "r2 = 0\nl: r0 += 1\nr2 += 1\nif r0 != 50 goto n\nr2 = 0\nr0 = 0\nn: if r2 != 100 goto l",
        ENDLESS, False,
    ),
    "changed by a load": (
        "*(u64 *)(r10 -8) = 0\nr2 = 0\nl: r2 += 1\nr2 = *(u64 *)(r10 -8)\nif r2 != 100 goto l",
        ENDLESS, False,
    ),
    "changed by an atomic": (
        "*(u64 *)(r10 -8) = 0\nr3 = r10\nr3 += -8\nr2 = 0\nl: r2 += 1\n"
        "r2 = atomic64_fetch_and((u64 *)(r3 +0), r2)\nif r2 != 100 goto l", ENDLESS, False,
    ),
    "a limit that moves": (
        "r3 = 9\nr2 = 0\nl: r0 += 1\nr2 += 1\nr3 += 1\nif r2 < r3 goto l", ENDLESS, False,
    ),
    "not asked each time": (
        "r2 = 0\nl: r0 += 1\nr2 += 1\nif r0 != 0 goto l\nif r2 != 100 goto l", ENDLESS, False,
    ),
    "half a number": ("r2 = 1 ll\nr2 <<= 33\nl: r0 += 1\nw2 += 1\nif r2 > 5 goto l", 1, False),
    "that does not change": ("r2 = 0\nl: r0 += 1\nr2 += 0\nif r2 != 100 goto l", ENDLESS, False),
}  # fmt: skip


@pytest.fixture(scope="module", params=["interpreted", "compiled"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    jit_ = request.param == "compiled"
    made = World(object_spec(HERE / "wild.bpf.c"), jit=jit_, budget=1_000_000)
    yield made
    made.runtime.close()


@pytest.mark.parametrize("what", LOOPS)
def test_a_loop_ends_as_it_should(world: World, what: str) -> None:
    code, result, _ = LOOPS[what]
    program = world.load(assembled(f"r0 = 0\n{code}\nexit", world.obj.btf))
    execution = world.machine.start(program, bytes(range(32)))
    if result == ENDLESS:
        with pytest.raises(RunTooLong):
            world.machine.step(execution, through=True)
    else:
        stop = world.machine.step(execution, through=True)
        assert isinstance(stop, Done)
        assert stop.retval == result


@pytest.mark.parametrize("what", LOOPS)
def test_only_what_the_code_shows_is_bounded(world: World, what: str) -> None:
    code, _, bounded = LOOPS[what]
    spec = assembled(f"r0 = 0\n{code}\nexit", world.obj.btf)
    source = jit.Source("loop", spec.insns, hardened=True)
    (function,) = blocks.split(source).functions.values()
    found = set(tight_loops(function, source, STEPS).values())
    assert {loop.bounded for loop in found} == (set() if bounded is None else {bounded})


def test_what_loops_take_is_counted(world: World) -> None:
    """Bounded ones, in one that is not."""
    code = "r2 = 0\nl: r0 += 1\nr2 += 1\nif r2 != 10000 goto l\nif r0 != 0 goto o"
    program = world.load(assembled(f"r0 = 0\no: {code}\nexit", world.obj.btf))
    execution = world.machine.start(program, bytes(32))
    with pytest.raises(RunTooLong):
        world.machine.step(execution, through=True)


def test_bytes_are_added_up_many_at_a_time() -> None:
    with bpfheap.Runtime(machine="native", hardened=True) as rt:
        obj = rt.load(HERE / "many_bytes.bpf.c")
        obj.maps["block"][0] = {"byte": [7] * 4096}
        assert obj.programs["sum"].run().retval == 7 * 4096
        # Vectors, of whatever length the CPU has.
        assert re.search(r"add <\d+ x i\d+>", obj.programs["sum"].dump("ir"))
