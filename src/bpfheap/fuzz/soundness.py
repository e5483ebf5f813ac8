"""Is it true what the verifier says? Programs that it accepts run on the model machine, which sees
every memory error, under random contexts and with random map contents; before each instruction its
registers are compared with what the verifier knew there."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from bpfheap.errors import BpfheapError, Violation
from bpfheap.fuzz.generate import program
from bpfheap.fuzz.known import At, Concrete, Knowledge, known
from bpfheap.fuzz.pieces import Program
from bpfheap.fuzz.results import Outcome, Result
from bpfheap.fuzz.surroundings import linked, surroundings
from bpfheap.lifetime import LiveCount
from bpfheap.machine.frames import has_packet
from bpfheap.machine.model import ModelMachine
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.records import Kind
from bpfheap.machine.model.values import Pointer
from bpfheap.platform.maps import BY_NUMBER, Shape
from bpfheap.platform.programs import program_type
from bpfheap.runtime.loader import Loader, creation_order
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID
from bpfheap.runtime.system import System
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, Verdict, verify

#: Walks longer than this are not worth their time here.
LIMIT: Final = 50_000
#: So often each program runs; what a run leaves in the maps is there for the next.
RUNS: Final = 4
#: No run takes more instructions. One that would is broken off, which says nothing against it.
STEPS: Final = 50_000

#: Of packets.
_LENGTHS: Final = (14, 15, 34, 60, 64, 65, 100, 300)
_BYTES: Final = (0, 0, 0, 1, 2, 7, 8, 127, 128, 255)


class _Outside(Exception):
    """A register holds what the verifier had ruled out."""


@dataclass(frozen=True, slots=True)
class AgainstModel:
    """An Examiner."""

    seed: int
    features: frozenset[str]

    def program(self, index: int) -> Program:
        return program(self.seed, index, self.features)

    def examine(self, program: Program, index: int) -> Result:
        obj, spec = surroundings(self.features), linked(program)
        rng = Random(f"{self.seed}:{index}:runs")
        try:
            verdict = verify(obj, spec, Options(complexity_limit=LIMIT))
            if not verdict.accepted:
                return Result(Outcome.REFUSED)
            run(obj, spec, verdict, rng, known(obj, spec, LIMIT))
        except Violation as seen:
            return Result(Outcome.VIOLATION, theirs=f"{seen.kind}: {seen.message}")
        except _Outside as found:
            return Result(Outcome.OUTSIDE, theirs=str(found))
        except Exception as error:
            return Result(Outcome.CRASH, f"{type(error).__name__}: {error}")
        return Result(Outcome.ACCEPTED)


def run(
    obj: ObjectSpec,
    spec: ProgramSpec,
    verdict: Verdict,
    rng: Random,
    knowledge: Knowledge | None = None,
) -> None:
    """Run an accepted program RUNS times, then let go of everything.

    Raises Violation for what the model machine sees, and for objects that are left.
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
        except Violation:
            raise
        except BpfheapError:
            # It runs too long: the program is all right, but its objects are still its own.
            return
    for fd in tuple(system.fds):
        system.close(fd)
    while system.grace_period():
        pass
    left = system.machine.allocator_stats(GLOBAL_ALLOCATOR_ID).live
    if left:
        raise Violation(f"{left} objects are left when all maps are gone", kind="leak")


def _bytes(rng: Random, size: int) -> bytes:
    """Numbers that are often at the edge of something."""
    return bytes(
        rng.choice(_BYTES) if rng.random() < 0.7 else rng.randrange(256) for _ in range(size)
    )


def fill(system: System, fd: int, map_: MapSpec, rng: Random) -> None:
    """Give a map all elements that it can have, or about half of them."""
    row = BY_NUMBER[map_.type]
    if row.shape not in (Shape.ARRAY, Shape.HASH, Shape.LRU):
        return
    for number in range(map_.max_entries):
        if row.shape is Shape.ARRAY or rng.random() < 0.5:
            key = number.to_bytes(map_.key_size, "little")
            system.map_update(fd, key, _bytes(rng, map_.value_size))


def context(spec: ProgramSpec, rng: Random) -> bytes:
    """Some context for a program."""
    row = program_type(spec.section)
    assert row is not None
    return _bytes(rng, min(row.ctx_size, 192))


def packet(spec: ProgramSpec, rng: Random) -> bytes:
    """What comes in, for programs that see packets."""
    if not has_packet(program_type(spec.section)):
        return b""
    return _bytes(rng, rng.choice(_LENGTHS))


def _watch(machine: ModelMachine, program: int, spec: ProgramSpec, knowledge: Knowledge) -> None:
    """Compare all registers with what is known of them, before each instruction.

    Raises _Outside out of the run.
    """

    def see(core: Core) -> None:
        slot = core.execution.slot
        registers = [_concrete(core, value) for value in core.execution.registers]
        if not knowledge.allows(slot, registers):
            shown = ", ".join(
                f"r{n}={_text(value)}" for n, value in enumerate(registers) if value is not None
            )
            raise _Outside(f"before instruction {slot} of {len(spec.insns)}: {shown}")

    machine.watch(program, see)


def _concrete(core: Core, value: int | Pointer | None) -> Concrete:
    if not isinstance(value, Pointer):
        return value
    region = core.state.regions.get(value.region)
    if region is None:
        # Memory that is gone: the register is dead.
        return None
    base = region.size if region.kind is Kind.STACK else 0
    packet = core.execution.progress.packet
    if packet is not None and packet.region == value.region:
        base = packet.data
    # Asking for it gives the memory its place, if it had none: what the program may have found out
    # by comparing is true of any place.
    return At(region.kind, value.offset - base, core.state.address(value))


def _text(value: Concrete) -> str:
    return f"{value.memory}{value.offset:+d}" if isinstance(value, At) else f"{value:#x}"
