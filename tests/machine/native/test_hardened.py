"""A hardened machine: programs that nobody verified reach no other memory, end nothing, and end."""

from __future__ import annotations

import ctypes
import errno
import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import BpfheapError, MapError, RunTooLong, UsageError, Violation
from bpfheap.machine.native.code import _ARGUMENT
from bpfheap.platform.calls import CALL_BY_NAME, Arg
from bpfheap.runtime.machine import Done
from bpfheap.spec import MapSpec, ObjectSpec, SourceLine
from bpfheap.verifier import verify
from bpfheap.verifier.facts import CallFacts

pytest.importorskip("bpfheap.machine.native._core")
pytest.importorskip("llvmlite")

from wild import World, assembled, made_up

from bpfheap.machine.native._core import CALLS, LAYOUT
from bpfheap.machine.native.machine import NativeMachine

HERE = Path(__file__).parent
OPTIONS = (
    {"jit": False},
    {"jit": True},
    {"hardened": True, "jit": False},
    {"hardened": True, "jit": True},
)
WAYS = ("interpreted", "compiled")
ENDLESS = (
    "around_loop", "around_no_rounds", "around_iterator", "around_empty_iterator", "around_calls",
    "around_may_goto", "around_elements", "around_two", "around_one_that_is_left", "in_a_callback",
    "in_a_function", "in_a_global_function",
)  # fmt: skip


def runtime(options: dict[str, bool], budget: int = 0) -> bpfheap.Runtime:
    return bpfheap.Runtime(
        machine="native",
        jit=options["jit"],
        hardened=options.get("hardened", False),
        budget=budget,
    )


def wild(*arguments: str) -> str:
    """Run wild.py: the last lines of what it says."""
    ran = subprocess.run(
        [sys.executable, HERE / "wild.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    said = "\n".join(ran.stdout.splitlines()[-3:])
    assert ran.returncode == 0, f"{ran.returncode} after {said}: {ran.stderr[-2000:]}"
    return said


# -- programs that nobody verified


@pytest.mark.parametrize("how", WAYS)
def test_random_programs_stay_inside(how: str) -> None:
    wild(how, "0", "60")


@pytest.mark.long
@pytest.mark.parametrize("how", WAYS)
def test_many_random_programs_stay_inside(how: str) -> None:
    wild(how, "1000", "3000")


@pytest.mark.long
@pytest.mark.parametrize("how", WAYS)
def test_what_the_verifier_refuses_stays_inside(how: str) -> None:
    assert "Violation" in wild(how)


@pytest.fixture(scope="module", params=WAYS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(object_spec(HERE / "wild.bpf.c"), jit=request.param == "compiled")
    yield made
    made.runtime.close()


#: Programs of unsound.bpf.c, and what comes of them.
UNSOUND = {
    "inner_template": "Violation",
    # The next run waits for the lock that stays.
    "unlocks_another": "done, RunTooLong",
    "changes_another": "done",
    "null_for_nonnull": "Violation",
    "owns_itself": "done",
    "refcount_inside": "Violation",
    "counted_churn": "done",
    "sleeping_global": "done",
    "untrusted_number": "Violation",
}


@pytest.fixture(scope="module")
def unsound() -> ObjectSpec:
    return object_spec(HERE / "unsound.bpf.c")


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", UNSOUND)
def test_what_was_accepted_wrongly_stays_inside(unsound: ObjectSpec, name: str, how: str) -> None:
    own = World(replace(unsound, programs={}), jit=how == "compiled", budget=1 << 20)
    address = (own.outside.address + 8).to_bytes(8, "little")
    own.machine.map_update(own.maps["numbers"], bytes(4), address)
    inner = own.maps["small"].to_bytes(4, "little")
    own.machine.map_update(own.maps["outer"], bytes(4), inner)
    outcomes = set()
    for seed in range(3):
        chance = random.Random(seed)
        outcomes.add(own.run(unsound.programs[name], chance))
        own.look(chance)
    assert outcomes - {"left in the middle"} == set(UNSOUND[name].split(", "))
    own.runtime.close()


FAULTS = {
    "a store": "r1 = {outside} ll\n*(u64 *)(r1 +0) = 1\nr0 = 0\nexit",
    "a store through NULL": "r1 = 0\n*(u64 *)(r1 +0) = 1\nr0 = 0\nexit",
    "a store where nothing is": "r1 = {closed} ll\n*(u64 *)(r1 +0) = 1\nr0 = 0\nexit",
    "a misaligned atomic": "r1 = 1\nlock *(u64 *)(r10 -12) += r1\nr0 = 0\nexit",
    "a misaligned load that acquires": "r1 = load_acquire((u64 *)(r10 -12))\nr0 = 0\nexit",
    "a misaligned store that releases": "store_release((u32 *)(r10 -6), r10)\nr0 = 0\nexit",
    "a store that releases": "r1 = {outside} ll\nstore_release((u64 *)(r1 +0), r10)\nr0 = 0\nexit",
    "a map that is none": "r1 = {outside} ll\nr2 = r10\nr2 += -8\ncall bpf_map_lookup_elem\nexit",
    "a key outside": "r1 = map[name:words] ll\nr2 = {closed} ll\ncall bpf_map_lookup_elem\nexit",
    "more than there is": (
        "r1 = map[name:ring] ll\nr2 = r10\nr3 = 0x7fffffff\nr4 = 0\ncall bpf_ringbuf_output\nexit"
    ),
    "a ring that is none": (
        "r1 = map[name:words] ll\nr2 = 8\nr3 = 0\ncall bpf_ringbuf_reserve\nexit"
    ),
    "programs that are maps": ("r2 = map[name:maps] ll\nr3 = 0\ncall bpf_tail_call\nr0 = 0\nexit"),
    "a pointer in a map of maps": (
        "r1 = map[name:maps] ll\nr2 = r10\nr2 += -8\nr3 = r10\nr3 += -16\nr4 = 0\n"
        "call bpf_map_update_elem\nexit"
    ),
    "an object that is none": "r1 = r10\nr1 += -8\nr2 = 0\ncall kfunc bpf_obj_drop_impl\nexit",
    "an object outside": "r1 = {outside} ll\nr2 = 0\ncall kfunc bpf_obj_drop_impl\nexit",
    "an object twice": (
        "r1 = {plain}\nr2 = 0\ncall kfunc bpf_obj_new_impl\nr6 = r0\nr1 = r0\nr2 = 0\n"
        "call kfunc bpf_obj_drop_impl\nr1 = r6\nr2 = 0\ncall kfunc bpf_obj_drop_impl\nexit"
    ),
    "code that is none": "r1 = 1\nr2 = 4096\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit",
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_is_a_violation(world: World, what: str) -> None:
    code = FAULTS[what]
    if world.machine.compiles and "misaligned" in what:
        pytest.skip("machine code aligns the address")
    for name, value in (
        ("outside", world.outside.address),
        # In the guard, and nobody's.
        ("closed", world.places()[-3]),
        ("plain", world.type_id("plain")),
    ):
        code = code.replace("{" + name + "}", str(value))
    program = world.load(assembled(code, world.obj.btf))
    execution = world.machine.start(program, bytes(8))
    with pytest.raises(Violation, match=r"reaches out of its memory: .* instruction \d") as caught:
        world.machine.step(execution, through=True)
    assert caught.value.kind == "invalid-access"
    assert not world.outside.changed()


def test_a_verifier_that_is_wrong_frees_nothing_twice(world: World) -> None:
    """The same where the verifier says that the object may be freed in place."""
    code = FAULTS["an object twice"].replace("{plain}", str(world.type_id("plain")))
    spec = assembled(code, world.obj.btf)
    calls = {slot: CallFacts(plain=True, size=8) for slot in range(len(spec.insns))}
    facts = replace(made_up(spec, random.Random(1)), calls=calls)
    execution = world.machine.start(world.load(spec, facts), bytes(8))
    with pytest.raises(Violation):
        world.machine.step(execution, through=True)


def test_a_run_that_faults_releases_its_lock(world: World) -> None:
    code = """
        r1 = map[name:one][0]+32 ll
        call bpf_spin_lock
        r1 = 0
        *(u64 *)(r1 +0) = 1
        r0 = 0
        exit
    """
    program = world.load(assembled(code, world.obj.btf))
    for _ in range(2):
        with pytest.raises(Violation):
            world.machine.step(world.machine.start(program, bytes(8)), through=True)


#: For a lock that it makes up.
WAITS = """
    r1 = map[name:one][0]+32 ll
    *(u32 *)(r1 +0) = 1
    r1 = map[name:one] ll
    *(u64 *)(r10 -8) = 0
    r2 = r10
    r2 += -8
    r3 = r10
    r3 += -512
    r4 = 0
    call bpf_map_update_elem
    r1 = map[name:one][0]+32 ll
    *(u32 *)(r1 +0) = 0
    r0 = 0
    exit
"""
UNLOCK = "r1 = map[name:one][0]+32 ll\n*(u32 *)(r1 +0) = 0\nr0 = 0\nexit"


def test_a_lock_that_is_made_up_is_not_waited_for(world: World) -> None:
    program = world.load(assembled(WAITS, world.obj.btf))
    with pytest.raises(BpfheapError, match="without coming to an end"):
        world.machine.step(world.machine.start(program, bytes(8)), through=True)
    world.machine.step(world.machine.start(world.load(assembled(UNLOCK, world.obj.btf)), bytes(8)))


def test_a_violation_names_the_line(world: World) -> None:
    spec = assembled("r1 = 0\n*(u64 *)(r1 +0) = 1\nr0 = 0\nexit", world.obj.btf)
    line = SourceLine("some.c", 12, 0, "*p = 1;")
    program = world.load(replace(spec, lines={1: line}))
    with pytest.raises(Violation, match="instruction 1 is about 0x") as caught:
        world.machine.step(world.machine.start(program, bytes(8)), through=True)
    assert (caught.value.file, caught.value.line) == ("some.c", 12)


def test_a_fault_in_a_signal_is_the_last_run(world: World) -> None:
    spec = assembled("r1 = 0\n*(u64 *)(r1 +0) = 1\nr0 = 0\nexit", world.obj.btf)
    probe = world.machine.attach(world.load(replace(spec, section="perf_event")), signal.SIGUSR2, 0)
    for _ in range(2):
        signal.raise_signal(signal.SIGUSR2)
    assert isinstance(probe.error(), Violation)
    assert probe.stats()[0] == 1
    probe.detach()


_AROUND_OTHERS = """
import ctypes, faulthandler, sys
sys.path.insert(0, sys.argv[1])
from bpfheap.compile import object_spec
from bpfheap.errors import Violation
from wild import World, assembled
world = World(object_spec(sys.argv[1] + "/wild.bpf.c"), jit=True)
program = world.load(assembled("r1 = 0\\n*(u64 *)(r1 +0) = 1\\nr0 = 0\\nexit", world.obj.btf))
def faults():
    try:
        world.machine.step(world.machine.start(program, bytes(8)), through=True)
    except Violation as error:
        print("Violation", flush=True)
faults()
faulthandler.enable()
faults()
faulthandler.disable()
faulthandler.enable()
faults()
ctypes.string_at(8)
"""


def test_other_handlers_of_faults_come_and_go() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _AROUND_OTHERS, str(HERE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.split() == ["Violation"] * 3, ran.stderr
    # A fault of somebody else's is told by whoever was there before, and ends the process.
    assert ran.returncode == -signal.SIGSEGV
    assert ran.stderr.count("Fatal Python error: Segmentation fault") == 1


# -- loops that programs make up in what the core reads

#: An object with the most owners there can be in r6, and a holder in r7.
HELD = """
    r1 = {leaf}
    r2 = 0
    call kfunc bpf_obj_new_impl
    r6 = r0
    *(u32 *)(r6 +8) = 0x7fffffff
    r1 = {holder}
    r2 = 0
    call kfunc bpf_obj_new_impl
    r7 = r0
"""
DROP = "r1 = r7\nr2 = 0\ncall kfunc bpf_obj_drop_impl\nr0 = 1\nexit"
AROUND = {
    "a list": "r1 = r6\nr1 += 16\n*(u64 *)(r1 +0) = r1\n*(u64 *)(r7 +16) = r1\n" + DROP,
    "a tree": (
        "r1 = r6\nr1 += 40\n*(u64 *)(r1 +0) = r1\n*(u64 *)(r1 +8) = r1\n"
        "*(u64 *)(r1 +24) = r1\n*(u64 *)(r7 +32) = r1\n" + DROP
    ),
    "the first of a tree": (
        "r1 = r6\nr1 += 40\n*(u64 *)(r1 +0) = r1\n*(u64 *)(r7 +32) = r1\nr8 = 100\n"
        "again: r1 = r7\nr1 += 32\ncall kfunc bpf_rbtree_first\nr8 += -1\n"
        "if r8 != 0 goto again\nr0 = 1\nexit"
    ),
}


@pytest.mark.parametrize("what", AROUND)
def test_what_leads_round_has_an_end(world: World, what: str) -> None:
    code = HELD + AROUND[what]
    for name in ("leaf", "holder"):
        code = code.replace("{" + name + "}", str(world.type_id(name)))
    program = world.load(assembled(code, world.obj.btf))
    stop = world.machine.step(world.machine.start(program, bytes(8)), through=True)
    assert isinstance(stop, Done)
    assert stop.retval == 1


def test_the_budget_pays_for_much_memory(world: World) -> None:
    machine, size = world.machine, 1 << 25
    machine.map_create(1 << 20, MapSpec("large", 2, 4, size, 1, world.obj.btf), None, {})
    address = machine._maps.record(1 << 20).map.address(bytes(4))
    code = f"r1 = {address} ll\nr2 = {size}\nr3 = 0\ncall bpf_copy_from_user\nr0 = 0\nexit"
    program = world.load(assembled(code, world.obj.btf))
    with pytest.raises(RunTooLong):
        machine.step(machine.start(program, bytes(8)), through=True)
    machine.map_free_step(1 << 20)


def outcome(world: World, code: str, section: str = "raw_tp") -> Done:
    """What comes of a run, of a program that nobody verified."""
    spec = replace(assembled(code, world.obj.btf), section=section)
    data = bytes(64) if section == "tc" else b""
    execution = world.machine.start(world.load(spec), bytes(8), data=data)
    stop = world.machine.step(execution, through=True)
    assert isinstance(stop, Done)
    return stop


#: Over and over; what a call gives is the next round's r9.
AGAIN = "r8 = {rounds}\nagain:\n{call}\nr8 += -1\nif r8 != 0 goto again\nr0 = r9\nexit"
#: The first 64 KiB are zeros.
EVENT = (
    "r1 = 0\nr2 = map[name:events] ll\nr3 = 0xffffffff ll\nr4 = 0\nr5 = 65536\n"
    "call bpf_perf_event_output\nr9 = r0"
)


@pytest.mark.parametrize(
    "call",
    [
        EVENT,
        "r1 = 0\nr2 = 65536\nr3 = 0\nr4 = 65536\nr5 = 0\ncall bpf_csum_diff",
        "r1 = 0\nr2 = 0\nr3 = 65536\ncall bpf_seq_write",
    ],
)
def test_the_budget_pays_for_what_python_looks_at(world: World, call: str) -> None:
    with pytest.raises(RunTooLong):
        outcome(world, AGAIN.format(rounds=4, call=call))
    world.machine.map_drain(world.maps["events"])


@pytest.mark.parametrize("how", WAYS)
def test_what_python_keeps_of_programs_has_an_end(how: str) -> None:
    own = World(object_spec(HERE / "wild.bpf.c"), jit=how == "compiled", budget=1 << 26)
    machine, events = own.machine, own.maps["events"]
    machine._core.fail_at(10)
    full = outcome(own, AGAIN.format(rounds=20, call=EVENT))
    assert full.retval == -errno.ENOSPC & (1 << 64) - 1
    machine._core.fail_at(0)
    before = machine._core.mapped
    kept = sum(map(len, machine.map_drain(events)))
    assert kept == 8 * 65536
    assert kept < before - machine._core.mapped < kept + 4096
    with pytest.raises(Violation, match="bpf_redirect for the 4097th time in a run"):
        outcome(own, AGAIN.format(rounds=5000, call="r1 = 1\nr2 = 0\ncall bpf_redirect"), "tc")
    text = "*(u64 *)(r10 -8) = 0x61\nr1 = r10\nr1 += -8\nr2 = 2\ncall bpf_trace_printk\nr9 = r0"
    machine._printed = 1 << 27
    machine.printk.append("a line")
    assert outcome(own, AGAIN.format(rounds=2, call=text)).retval == -errno.EBUSY & (1 << 64) - 1
    machine.printk.clear()
    assert outcome(own, AGAIN.format(rounds=2, call=text)).retval == 1
    assert machine.printk == ["a", "a"]
    own.runtime.close()


def test_python_performs_no_calls_through_registers(world: World) -> None:
    """Which the verifier refuses. The number would not tell Python what is called."""
    code = "r1 = map[name:tasks] ll\nr2 = r10\nr2 += -8\nr6 = 1\ncallx r6\nr0 = 0\nexit"
    with pytest.raises(Violation, match="a call through a register"):
        outcome(world, code)


def test_a_map_is_emptied_whatever_its_locks_say() -> None:
    own = World(object_spec(HERE / "wild.bpf.c"), jit=False)
    code = f"""
        r1 = {own.type_id("leaf")}
        r2 = 0
        call kfunc bpf_obj_new_impl
        r6 = r0
        r7 = map[name:one][0]+0 ll
        r1 = r7
        r1 += 40
        r2 = r6
        r2 += 16
        r3 = 0
        r4 = 0
        call kfunc bpf_list_push_front_impl
        *(u32 *)(r7 +32) = 1
        r0 = r6
        exit
    """
    program = own.load(assembled(code, own.obj.btf))
    stop = own.machine.step(own.machine.start(program, bytes(8)), through=True)
    assert isinstance(stop, Done)
    core = own.machine._core
    assert core.type_at(stop.retval) is not None
    own.runtime.close()
    assert core.type_at(stop.retval) is None


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_what_is_freed_on_another_cpu_comes_back(options: dict[str, bool]) -> None:
    """After a grace period on a hardened machine: ten times as many objects as a slab holds."""
    with runtime(options) as rt:
        loaded = rt.load(object_spec(HERE / "elsewhere.bpf.c"))
        make, take = (loaded.programs[name] for name in ("make", "take"))
        for n in range(200):
            assert make.run(cpu=n % 2).retval == 100
            assert take.run(cpu=1 - n % 2).retval == 100
            if n % 20 == 19:
                rt.grace_period()
        stats = rt.allocators["ma"].stats()
    assert (stats.live, stats.failures, stats.slabs) == (0, 0, 1)


def test_the_budget_pays_for_buckets_without_elements(world: World) -> None:
    machine = world.machine
    spec = MapSpec("wide", 1, 4, 8, 1 << 20, world.obj.btf)
    machine.map_create(1 << 20, spec, None, {})
    code = """
        r1 = map[name:wide] ll
        r2 = func[name:sub] ll
        r3 = 0
        r4 = 0
        call bpf_for_each_map_elem
        r0 = 1
        exit
        sub: r0 = 0
        exit
    """
    made = assembled(code, world.obj.btf)
    machine.program_load(1 << 20, made, {**world.maps, "wide": 1 << 20}, None)
    with pytest.raises(RunTooLong):
        machine.step(machine.start(1 << 20, bytes(8)), through=True)
    machine.program_free(1 << 20)
    machine.map_free_step(1 << 20)


def _bucket(address: int, size: int, key: int, buckets: int) -> int:
    """Where a key of 4 or 8 bytes is, in a hash map."""
    seed = ctypes.c_uint64.from_address(address + LAYOUT["bh_map.seed"]).value
    low = (1 << 64) - 1
    if size == 4:
        return ((seed ^ key) * LAYOUT["BH_HASH_WORD"] & low) >> 32 & buckets - 1
    product = (seed ^ size ^ key) * LAYOUT["BH_HASH_LAST"]
    return (product ^ product >> 64) & buckets - 1


#: Of `met`, a map with keys of {size} bytes.
FIND = """
    r1 = map[name:met] ll
    r2 = r10
    r2 += -8
    call bpf_map_lookup_elem
    if r0 == 0 goto none
"""
#: Writes over the key of the element of {second}, looks for {first}, and changes what is found.
OVER_A_KEY = f"""
    r7 = {{first}}
    *(u64 *)(r10 -8) = {{second}}
    {FIND}
    *(u{{bits}} *)(r0 -8) = r7
    *(u64 *)(r10 -8) = r7
    {FIND}
    r1 = r0
    r0 = *(u64 *)(r1 +0)
    r2 = 5
    *(u64 *)(r1 +0) = r2
    exit
    none: r0 = 0
    exit
"""
#: The value of the key that the context has.
LOOK = f"r3 = *(u64 *)(r1 +0)\n*(u64 *)(r10 -8) = r3\n{FIND}\nr0 = *(u64 *)(r0 +0)\nnone: exit"


def with_met(world: World, size: int, code: str) -> tuple[int, int]:
    """A map and a program."""
    world._next += 2
    map_id, program = world._next - 1, world._next
    machine, made = world.machine, assembled(code, world.obj.btf)
    machine.map_create(map_id, MapSpec("met", 1, size, 8, 64, world.obj.btf), None, {})
    machine.program_load(program, made, {**world.maps, "met": map_id}, None)
    return map_id, program


@pytest.mark.parametrize("size", [4, 8])
def test_who_writes_over_a_key_finds_another_element_at_most(world: World, size: int) -> None:
    machine = world.machine
    map_id, _ = with_met(world, size, "r0 = 0\nexit")
    address = machine._maps.record(map_id).map.pointer
    bucket = _bucket(address, size, 1, 64)
    second = next(k for k in itertools.count(2) if _bucket(address, size, k, 64) == bucket)
    code = OVER_A_KEY.format(first=1, second=second, bits=8 * size)
    machine.program_load(map_id + 2, assembled(code, world.obj.btf), {"met": map_id}, None)
    world._next += 2
    one, other = ((1).to_bytes(size, "little"), second.to_bytes(size, "little"))
    machine.map_update(map_id, one, (10).to_bytes(8, "little"))
    # The first of the bucket, as it came last.
    machine.map_update(map_id, other, (20).to_bytes(8, "little"))
    stop = machine.step(machine.start(map_id + 2, bytes(8)), through=True)
    assert isinstance(stop, Done)
    assert stop.retval == (20 if machine.compiles else 10)
    # The core has its own keys.
    values = [machine.map_lookup(map_id, key) for key in (one, other)]
    expected = [10, 5] if machine.compiles else [5, 20]
    assert values == [value.to_bytes(8, "little") for value in expected]
    machine.map_delete(map_id, one)
    assert machine.map_lookup(map_id, one) is None
    assert machine.map_lookup(map_id, other) is not None
    machine.map_delete(map_id, other)
    assert not list(machine.map_keys(map_id))
    assert not world.outside.changed()


@pytest.mark.parametrize("size", [4, 8])
def test_lookups_find_what_is_there(world: World, size: int) -> None:
    """Elements are used again for other keys."""
    map_id, program = with_met(world, size, LOOK)
    machine, chance = world.machine, random.Random(size)
    there: dict[int, int] = {}
    for n in range(1, 500):
        number = chance.randrange(40)
        key = number.to_bytes(size, "little")
        if there.pop(number, None) is None:
            there[number] = n
            machine.map_update(map_id, key, n.to_bytes(8, "little"))
        else:
            machine.map_delete(map_id, key)
        asked = chance.randrange(40)
        stop = machine.step(machine.start(program, asked.to_bytes(8, "little")), through=True)
        assert isinstance(stop, Done)
        assert stop.retval == there.get(asked, 0)


def test_a_chain_does_not_get_long(world: World) -> None:
    """Of keys that programs can find: they see a map's address, and so its seed."""
    machine = world.machine
    machine.map_create(1 << 21, MapSpec("met", 1, 4, 8, 4096, world.obj.btf), None, {})
    address = machine._maps.record(1 << 21).map.pointer
    seed = ctypes.c_uint64.from_address(address + LAYOUT["bh_map.seed"]).value
    low = (1 << 32) - 1
    hashes = ((seed ^ key) * LAYOUT["BH_HASH_WORD"] >> 32 & low for key in itertools.count())
    meet = (key for key, hash_ in enumerate(hashes) if hash_ & 4095 == 0)
    for key in itertools.islice(meet, 256):
        machine.map_update(1 << 21, key.to_bytes(4, "little"), bytes(8))
    with pytest.raises(MapError):
        machine.map_update(1 << 21, next(meet).to_bytes(4, "little"), bytes(8))
    machine.map_free_step(1 << 21)


def test_a_run_that_goes_on_is_left_alone(world: World) -> None:
    program = world.load(assembled(WAITS, world.obj.btf))
    execution = world.machine.start(program, bytes(8))
    run = world.machine._executions[execution].run

    def wait() -> None:
        with pytest.raises(RunTooLong):
            world.machine.step(execution, through=True)
        ended.append(True)

    ended: list[bool] = []
    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    for way in (run.go, run.close, run.data, lambda: run.answer(0)):
        with pytest.raises(UsageError, match="going on"):
            way()
    thread.join()
    assert ended
    world.machine.step(world.machine.start(world.load(assembled(UNLOCK, world.obj.btf)), bytes(8)))


def test_nothing_waits_in_a_signal_for_whom_it_interrupts(world: World) -> None:
    code = "r1 = map[name:heap] ll\nr2 = 1\ncall kfunc bpf_mem_prefill\nexit"
    spec = replace(assembled(code, world.obj.btf), section="perf_event")
    probe = world.machine.attach(world.load(spec), signal.SIGUSR2, 0)
    signal.raise_signal(signal.SIGUSR2)
    assert probe.error() is None
    assert probe.stats()[2] == -errno.EBUSY & (1 << 64) - 1
    probe.detach()


# -- programs without end


@pytest.mark.parametrize("jit", [False, True])
def test_may_goto_counts_when_it_jumps_back(jit: bool) -> None:
    # More than may_goto has rounds: from then on it is the only jump.
    own = World(object_spec(HERE / "wild.bpf.c"), jit=jit, budget=1 << 26)
    spec = assembled("l: r0 = 0\nmay_goto l\ngoto l\nr0 = 0\nexit", own.obj.btf)
    with pytest.raises(RunTooLong):
        own.machine.step(own.machine.start(own.load(spec), bytes(8)), through=True)
    own.runtime.close()


@pytest.fixture(scope="module")
def endless() -> ObjectSpec:
    return object_spec(HERE / "endless.bpf.c")


@pytest.mark.parametrize("name", ENDLESS)
def test_the_verifier_refuses_it(endless: ObjectSpec, name: str) -> None:
    error = verify(endless, endless.programs[name]).error
    assert error is not None
    assert error.message.startswith(("infinite loop detected", "BPF program is too large"))


def unverified(rt: bpfheap.Runtime, endless: ObjectSpec, name: str, section: str) -> NativeMachine:
    """A machine with a program that the verifier refuses, whose number is 1."""
    machine = rt.system.machine
    assert isinstance(machine, NativeMachine)
    machine.map_create(1, endless.maps["words"], None, {})
    machine.program_load(1, replace(endless.programs[name], section=section), {"words": 1}, None)
    return machine


def forever(rt: bpfheap.Runtime, endless: ObjectSpec, name: str) -> None:
    machine = unverified(rt, endless, name, "raw_tp")
    machine.step(machine.start(1, bytes(8)), through=True)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", ENDLESS)
def test_a_loop_without_end_has_a_budget(endless: ObjectSpec, name: str, jit: bool) -> None:
    with (
        runtime({"hardened": True, "jit": jit}, 100_000) as rt,
        pytest.raises(BpfheapError, match="without coming to an end"),
    ):
        forever(rt, endless, name)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", ENDLESS)
def test_a_loop_without_end_can_be_interrupted(endless: ObjectSpec, name: str, jit: bool) -> None:
    with runtime({"hardened": True, "jit": jit}) as rt:
        machine = unverified(rt, endless, name, "raw_tp")
        # Not at the first step: what is raised in a destructor of the compiler is lost.
        machine.compilation(1)
        run = machine.start(1, bytes(8))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        late = threading.Timer(0.1, lambda: signal.raise_signal(signal.SIGINT))

        def interrupted() -> None:
            # Where the machine is busy, it may come before the run has begun.
            late.start()
            machine.step(run, through=True)

        with pytest.raises(KeyboardInterrupt):
            interrupted()


@pytest.mark.parametrize("options", OPTIONS[2:], ids=str)
@pytest.mark.parametrize("name", ENDLESS)
def test_a_loop_without_end_has_a_budget_in_a_signal(
    endless: ObjectSpec, name: str, options: dict[str, bool]
) -> None:
    with runtime(options, 100_000) as rt:
        probe = unverified(rt, endless, name, "perf_event").attach(1, signal.SIGUSR2, 0)
        for _ in range(2):
            signal.raise_signal(signal.SIGUSR2)
        assert "without coming to an end" in str(probe.error())
        assert probe.stats()[0] == 1
        probe.detach()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_signal_breaks_off_what_has_no_end(endless: ObjectSpec, options: dict[str, bool]) -> None:
    with runtime(options) as rt:
        sampled = replace(endless, programs={"sampled": endless.programs["sampled"]})
        program = rt.load(sampled).programs["sampled"]
        attached = rt.attach(program, signal=signal.SIGUSR2)
        signal.raise_signal(signal.SIGUSR2)
        assert "without coming to an end" in str(attached.error)
        # Once is enough.
        signal.raise_signal(signal.SIGUSR2)
        assert attached.runs == 1
        attached.detach()
        with (
            pytest.raises(BpfheapError, match="without coming to an end"),
            rt.attach(program, signal=signal.SIGUSR2),
        ):
            signal.raise_signal(signal.SIGUSR2)


def test_every_kind_of_argument_is_checked() -> None:
    given = {arg for name in CALLS for arg in CALL_BY_NAME[name].args}
    assert set(_ARGUMENT) | {Arg.MAP} == given


# -- who has it


def test_the_model_machine_has_no_use_for_it() -> None:
    with pytest.raises(UsageError, match="sees every access"):
        bpfheap.Runtime(hardened=True)
