"""Tests the verifier's soundness: accepted programs run on the model machine, which sees every
memory error, with random contexts and map contents. Before each instruction the registers are
compared with the verifier's states at that instruction.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from bpfheap.errors import RunTooLong, Violation
from bpfheap.fuzz.generate import random_program
from bpfheap.fuzz.known import ConcretePointer, ConcreteValue, Knowledge, verifier_knowledge
from bpfheap.fuzz.pieces import RandomProgram
from bpfheap.fuzz.results import LIMIT, FuzzResult, Made, Outcome, crashed, not_accepted
from bpfheap.fuzz.surroundings import linked, surroundings
from bpfheap.lifetime import LiveCount
from bpfheap.machine.model import ModelMachine
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.records import RegionKind
from bpfheap.machine.model.values import Pointer
from bpfheap.platform.maps import BY_NUMBER, Holds
from bpfheap.platform.programs import program_type
from bpfheap.runtime.loader import Loader, creation_order
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID
from bpfheap.runtime.system import System
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, Verdict, verify

#: Runs of each program; maps keep their contents from one to the next.
RUNS: Final = 4
#: Instructions after which a run is broken off; that is no bug.
STEPS: Final = 50_000

#: Lengths of packets.
_LENGTHS: Final = (14, 15, 34, 60, 64, 65, 100, 300)
#: Bytes that are chosen more often than others.
_BYTES: Final = (0, 0, 0, 1, 2, 7, 8, 127, 128, 255)


class RuledOutValue(Exception):
    """During a run a register held a value that the verifier had ruled out."""


@dataclass(frozen=True, slots=True)
class AgainstModel:
    """An Examiner."""

    seed: int
    features: frozenset[str]
    made: Made = random_program

    def program(self, index: int) -> RandomProgram:
        return self.made(self.seed, index, self.features)

    def examine(self, program: RandomProgram, index: int) -> FuzzResult:
        obj, spec = surroundings(self.features), linked(program)
        rng = Random(f"{self.seed}:{index}:runs")
        try:
            options = Options(complexity_limit=LIMIT, explain=False, facts=True)
            verdict = verify(obj, spec, options)
            if not verdict.accepted:
                return not_accepted(verdict)
            run(obj, spec, verdict, rng, verifier_knowledge(obj, spec, LIMIT))
        except Violation as seen:
            return FuzzResult(Outcome.VIOLATION, theirs=f"{seen.kind}: {seen.message}")
        except RuledOutValue as found:
            return FuzzResult(Outcome.OUTSIDE, theirs=str(found))
        except Exception as error:
            return crashed(error)
        return FuzzResult(Outcome.ACCEPTED)


def run(
    obj: ObjectSpec,
    spec: ProgramSpec,
    verdict: Verdict,
    rng: Random,
    knowledge: Knowledge | None = None,
) -> None:
    """Run an accepted program RUNS times, then close everything.

    Raises Violation for a memory error, and for objects that are left at the end (a leak).
    """
    machine = ModelMachine(step_limit=STEPS, seed=rng.randrange(1 << 32), history_limit=0)
    system = System(LiveCount(), machine)
    loader = Loader(system, system.btf_load(obj.btf))
    for map_ in creation_order(obj):
        fill(system, loader.open_map(map_, None), map_, rng)
    loaded = loader.load_program(spec, verdict)
    if knowledge is not None:
        _watch(machine, system.program_of(loaded).id, spec, knowledge)
    for _ in range(RUNS):
        try:
            system.run_on(loaded, packet(spec, rng), context(spec, rng))
        except RunTooLong:
            # Objects that it still owns are no leak.
            return
    for fd in tuple(system.fds):
        system.close(fd)
    while system.grace_period():
        pass
    left = system.machine.allocator_stats(GLOBAL_ALLOCATOR_ID).live
    if left:
        raise Violation(f"{left} objects are left when all maps are gone", kind="leak")


def _bytes(rng: Random, size: int) -> bytes:
    """Random bytes, most of them from _BYTES."""
    return bytes(
        rng.choice(_BYTES) if rng.random() < 0.7 else rng.randrange(256) for _ in range(size)
    )


def fill(system: System, fd: int, map_: MapSpec, rng: Random) -> None:
    """Fill all elements of an array, or about half of a hash map, with random values."""
    row = BY_NUMBER[map_.type]
    if row.holds is not Holds.VALUES:
        return
    for number in range(map_.max_entries):
        if row.fixed or rng.random() < 0.5:
            key = number.to_bytes(map_.key_size, "little")
            system.map_update(fd, key, _bytes(rng, map_.value_size))


def context(spec: ProgramSpec, rng: Random) -> bytes:
    """A random context for a program."""
    row = program_type(spec.section)
    assert row is not None
    return _bytes(rng, min(row.ctx_size, 192))


def packet(spec: ProgramSpec, rng: Random) -> bytes:
    """A random packet; empty for programs that get none."""
    row = program_type(spec.section)
    if row is None or not row.has_packet:
        return b""
    return _bytes(rng, rng.choice(_LENGTHS))


def _watch(machine: ModelMachine, program: int, spec: ProgramSpec, knowledge: Knowledge) -> None:
    """Have the machine compare all registers with `knowledge` before each instruction; the run
    then raises RuledOutValue at the first one that does not fit."""

    def see(core: Core) -> None:
        slot = core.execution.slot
        registers = [_concrete(core, value) for value in core.execution.registers]
        if not knowledge.allows(slot, registers):
            shown = ", ".join(
                f"r{n}={_text(value)}" for n, value in enumerate(registers) if value is not None
            )
            raise RuledOutValue(f"before instruction {slot} of {len(spec.insns)}: {shown}")

    machine.watch(program, see)


def _concrete(core: Core, value: int | Pointer | None) -> ConcreteValue:
    if not isinstance(value, Pointer):
        return value
    region = core.state.regions.get(value.region)
    if region is None:
        # A pointer into freed memory: the register is dead.
        return None
    base = region.size if region.kind is RegionKind.STACK else 0
    packet = core.execution.progress.packet
    if packet is not None and packet.region == value.region:
        base = packet.data
    # This assigns the memory an address if it had none. Any address is as good as another: the
    # program has not seen it yet.
    return ConcretePointer(region.kind, value.offset - base, core.state.address(value))


def _text(value: ConcreteValue) -> str:
    return (
        f"{value.memory}{value.offset:+d}" if isinstance(value, ConcretePointer) else f"{value:#x}"
    )
