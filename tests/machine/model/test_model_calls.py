"""Helpers and kfuncs: every row, callbacks, and what is printed."""

from __future__ import annotations

import pytest
from model_world import World, calls_of, seeded

from bpfheap.errors import MachineUnsupported, RelocationError, UsageError, Violation
from bpfheap.machine.model.calls import CALLS
from bpfheap.machine.printk import FormatRefused, format_line
from bpfheap.platform.calls import HELPERS, KFUNCS
from bpfheap.platform.kfuncs import kfunc_row
from bpfheap.runtime.machine import AtCall
from bpfheap.spec import SourceLine

M64 = (1 << 64) - 1


def test_every_implementation_has_a_row() -> None:
    rows = {row.name for row in (*HELPERS, *KFUNCS)}
    assert [name for name in CALLS if name not in rows and kfunc_row(name) is None] == []


# -- stopping


def test_an_execution_stops_before_each_call() -> None:
    world = seeded()
    execution = world.start("p2")
    first = world.machine.step(execution)
    assert first == AtCall("bpf_map_lookup_elem", 5, SourceLine("src/p2.bpf.c", 6))
    assert calls_of(world, execution) == ["bpf_mem_alloc", "bpf_kptr_xchg"]
    assert world.machine.executions() == frozenset()


def test_callbacks_stop_too() -> None:
    world = World()
    world.load("p", LOOP.format(count=2, stop=9, body="call bpf_ktime_get_ns"))
    execution = world.start("p")
    assert calls_of(world, execution) == ["bpf_loop", "bpf_ktime_get_ns", "bpf_ktime_get_ns"]


# -- loops

LOOP = """
    *(u64 *)(r10 -8) = 0
    r1 = {count}
    r2 = func[name:body] ll
    r3 = r10
    r3 += -8
    r4 = 0
    r6 = 1000
    call bpf_loop
    r1 = *(u64 *)(r10 -8)
    r1 *= 100
    r0 += r1
    r0 += r6
    exit
body:
    r6 = r1
    r7 = r2
    {body}
    r1 = *(u64 *)(r7 +0)
    r1 += 1
    *(u64 *)(r7 +0) = r1
    r0 = 0
    if r6 != {stop} goto pc+1
    r0 = 1
    exit
"""


@pytest.mark.parametrize(
    ("count", "stop", "rounds"), [(0, 9, 0), (1, 9, 1), (5, 9, 5), (5, 2, 3), (5, 0, 1)]
)
def test_loop(count: int, stop: int, rounds: int) -> None:
    text = LOOP.format(count=count, stop=hex(stop), body="r5 = 0")
    assert World().run_text(text) == 1000 + 101 * rounds


@pytest.mark.parametrize("count", ["0x800001", "0x100000003 ll", "0x100000000000000 ll", "-1"])
def test_loop_has_a_limit(count: str) -> None:
    text = LOOP.format(count=count, stop="0x0", body="r5 = 0")
    assert World().run_text(text) == (1000 - 7) & M64


FOR_EACH = """
    *(u64 *)(r10 -8) = 0
    r1 = map[name:m] ll
    r2 = func[name:body] ll
    r3 = r10
    r3 += -8
    r4 = {flags}
    call bpf_for_each_map_elem
    r6 = *(u64 *)(r10 -8)
    r6 *= 100
    r0 += r6
    exit
body:
    r6 = r4
    r1 = *(u64 *)(r6 +0)
    r5 = *(u64 *)(r3 +0)
    r1 += r5
    *(u64 *)(r6 +0) = r1
    {body}
    exit
"""

GO_ON = "r0 = 0"
STOP_AT_2 = "r5 = *(u32 *)(r2 +0)\nr0 = 0\nif r5 != 0x2 goto pc+1\nr0 = 1"
DELETE_ALL = """
    *(u32 *)(r10 -4) = 2
    r7 = r1
    r2 = r10
    r2 += -4
    r1 = map[name:m] ll
    call bpf_map_delete_elem
    r0 = 0
"""


@pytest.mark.parametrize(
    ("type_name", "body", "flags", "result"),
    [
        ("hash", GO_ON, 0, 3 + 100 * 60),
        ("hash", STOP_AT_2, 0, 2 + 100 * 30),
        # The element that is gone is not visited.
        ("hash", DELETE_ALL, 0, 2 + 100 * 40),
        ("hash", GO_ON, 1, -22),
        ("array", GO_ON, 0, 4 + 100 * 60),
        ("array", STOP_AT_2, 0, 3 + 100 * 30),
    ],
)
def test_for_each(type_name: str, body: str, flags: int, result: int) -> None:
    world = World()
    world.add_map("m", type_name)
    for i in (1, 2, 3):
        world.machine.map_update(1, i.to_bytes(4, "little"), (10 * i).to_bytes(8, "little"))
    assert world.run_text(FOR_EACH.format(body=body, flags=flags)) == result & M64
    # Nothing of the walk stays: the map, its values, the program's code.
    values = len(world.machine.map_keys(1))
    assert len(world.machine._state.regions) <= values + 3


def test_a_key_shown_to_a_callback_is_read_only() -> None:
    world = World()
    world.add_map("m", "array")
    with pytest.raises(Violation, match="write to a key of m, which is read-only"):
        world.run_text(FOR_EACH.format(body="*(u8 *)(r2 +0) = 0\nr0 = 0", flags=0))


def test_a_callback_must_be_a_function() -> None:
    with pytest.raises(Violation, match="an argument is no function of the program"):
        World().run_text("r1 = 1\nr2 = 5\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit")


# -- the world around


def test_time_goes_on_and_chance_repeats() -> None:
    clock = "call bpf_ktime_get_ns\nr6 = r0\ncall bpf_ktime_get_boot_ns\nr0 -= r6\nexit"
    assert World().run_text(clock) == 1000
    random = "call bpf_get_prandom_u32\nexit"
    seen = []
    for seed in (1, 1, 2):
        world = World(seed=seed)
        seen.append([world.run_text(random) for _ in range(3)])
    assert seen[0] == seen[1] != seen[2]
    assert len(set(seen[0])) == 3
    assert all(0 <= n < 1 << 32 for n in seen[0])


def test_each_execution_has_its_cpu() -> None:
    world = World(cpus=3)
    world.load("cpu", "call bpf_get_smp_processor_id\nexit")
    assert [world.run("cpu", cpu=c) for c in range(3)] == [0, 1, 2]
    with pytest.raises(UsageError, match="no CPU 3"):
        world.start("cpu", cpu=3)


def test_the_context() -> None:
    world = World()
    world.load("read", "r0 = *(u32 *)(r1 +0)\nr2 = *(u32 *)(r1 +188)\nr0 += r2\nexit")
    assert world.run("read", ctx=b"\5") == 5
    world.load("past", "r0 = *(u32 *)(r1 +192)\nexit")
    with pytest.raises(Violation, match="which has 192 bytes") as seen:
        world.run("past")
    assert seen.value.kind == "out-of-bounds"


@pytest.mark.parametrize(
    ("text", "message"),
    [("r1 = map[name:gone] ll\nexit", "no map gone"),
     ("r1 = ksym[name:jiffies] ll\nexit", "jiffies is a variable of the kernel")],
)  # fmt: skip
def test_references_to_nothing(text: str, message: str) -> None:
    with pytest.raises(RelocationError, match=message) as seen:
        World().load("p", text)
    assert (seen.value.file, seen.value.line) == ("src/p.bpf.c", 1)


def test_calls_of_nothing() -> None:
    with pytest.raises(MachineUnsupported, match="calls nothing, which the") as seen:
        World().load("p", "call kfunc nothing\nexit")
    assert (seen.value.file, seen.value.line) == ("src/p.bpf.c", 1)
    assert seen.value.hint is not None
    assert "@bpf.stub('nothing')" in seen.value.hint


# -- printing

FORMATS = [
    (b"plain", (), "plain"),
    (b"100%%", (), "100%"),
    (b"%d %u", (-1 & M64, -1 & M64), "-1 4294967295"),
    (b"%lld %llu", (-1 & M64, M64), f"-1 {M64}"),
    (b"%ld|%hd|%hhu", (-5 & M64, 0xFFFF, 0x1FF), "-5|-1|255"),
    (b"%x %X %#x", (255, 255, 255), "ff FF 0xff"),
    (b"[%5d][%-5d][%05d]", (42, 42, -42 & M64), "[   42][42   ][-0042]"),
    (b"%c%c", (72, 105), "Hi"),
    (b"%s!", (1,), "text!"),
    (b"[%6s]", (1,), "[  text]"),
    (b"%p", (0xABC,), "0000000000000abc"),
    (b"%i\xff", (3,), "3\ufffd"),
]


def _format(form: bytes, arguments: tuple[int, ...]) -> str:
    padded = (*arguments, 0, 0, 0)[:3]
    return format_line(form, padded, lambda v: v if isinstance(v, int) else 0, lambda _: b"text")


@pytest.mark.parametrize(("form", "arguments", "line"), FORMATS)
def test_formats(form: bytes, arguments: tuple[int, ...], line: str) -> None:
    assert _format(form, arguments) == line


@pytest.mark.parametrize("form", [b"%", b"%f", b"%n", b"%d %d %d %d", b"%z"])
def test_formats_that_are_refused(form: bytes) -> None:
    with pytest.raises(FormatRefused):
        _format(form, (1, 2, 3))


PRINT = """
    r1 = map[name:.rodata][0]+0 ll
    r2 = {size}
    r3 = {argument}
    r4 = 0
    r5 = 0
    call bpf_trace_printk
    exit
"""


def test_printk() -> None:
    world = World()
    world.add_map(".rodata", "array", max_entries=1, value_size=16, data=b"var is %d\n\0x\0")
    assert world.run_text(PRINT.format(size=11, argument=42)) == 10
    assert world.run_text(PRINT.format(size=10, argument=42)) == -22 & M64
    assert world.machine.printk == ["var is 42"]


def test_printk_of_a_string() -> None:
    world = World()
    world.add_map(".rodata", "array", max_entries=1, value_size=16, data=b"<%s>\0abc\0")
    text = PRINT.format(size=5, argument=0).replace("r3 = 0", "r3 = r1\nr3 += 5")
    assert world.run_text(text) == 5
    assert world.machine.printk == ["<abc>"]


@pytest.mark.parametrize("number", [0, 1, 4096, 0x7FFF_FFFF, -1])
def test_printk_of_a_string_that_is_not_there(number: int) -> None:
    world = World()
    world.add_map(".rodata", "array", max_entries=1, value_size=16, data=b"<%s>\0")
    # As bpf_snprintf does on Linux, too: bpf_bprintf_prepare makes an empty string of a fault.
    assert world.run_text(PRINT.format(size=5, argument=number)) == 2
    assert world.machine.printk == ["<>"]


VPRINTK = """
    r1 = 7
    *(u64 *)(r10 -32) = r1
    *(u64 *)(r10 -24) = r1
    *(u64 *)(r10 -16) = r1
    r1 = -1
    *(u64 *)(r10 -8) = r1
    r1 = map[name:.rodata][0]+0 ll
    r2 = 12
    r3 = r10
    r3 += -32
    r4 = {size}
    call bpf_trace_vprintk
    exit
"""


def test_vprintk_takes_words_from_memory() -> None:
    world = World()
    world.add_map(".rodata", "array", max_entries=1, value_size=16, data=b"%d %d %d %d\0")
    assert world.run_text(VPRINTK.format(size=32)) == len("7 7 7 -1")
    assert world.machine.printk == ["7 7 7 -1"]
    for size in (24, 31, 104):
        assert world.run_text(VPRINTK.format(size=size)) == -22 & M64


def test_vprintk_of_nothing() -> None:
    """Words at NULL are refused, not read (____bpf_trace_vprintk)."""
    world = World()
    world.add_map(".rodata", "array", max_entries=1, value_size=16, data=b"%d\0")
    code = VPRINTK.replace("r3 = r10\n    r3 += -32", "r3 = 0")
    assert code != VPRINTK
    assert world.run_text(code.format(size=8)) == -22 & M64
    assert not world.machine.printk
