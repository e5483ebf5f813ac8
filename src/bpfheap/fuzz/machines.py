"""Do all machines do the same? Programs that the verifier accepts run on the model machine, which
is the specification, and on the native one, interpreted and compiled, under the same contexts and
with the same maps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, NamedTuple, Protocol

from bpfheap.errors import KernelError, RunTooLong, Violation
from bpfheap.fuzz.differences import section_of_run
from bpfheap.fuzz.generate import random_program
from bpfheap.fuzz.pieces import RandomProgram
from bpfheap.fuzz.results import LIMIT, FuzzResult, Made, Outcome, crashed, not_accepted
from bpfheap.fuzz.soundness import RUNS, STEPS, context, fill, packet
from bpfheap.fuzz.surroundings import linked, surroundings
from bpfheap.kernel.load import KernelRun
from bpfheap.lifetime import LiveCount
from bpfheap.machine.frames import unseen
from bpfheap.machine.model import ModelMachine
from bpfheap.machine.native.machine import NativeMachine
from bpfheap.machine.native.programs import has_compiler
from bpfheap.platform.called import calls_of
from bpfheap.platform.calls import Ret, Sees
from bpfheap.platform.programs import program_type
from bpfheap.runtime.loader import Loader, creation_order
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID, Machine
from bpfheap.runtime.system import System
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, Verdict, verify

#: What differs from machine to machine.
_OF_THE_MACHINE: Final = frozenset({Sees.CHANCE, Sees.CPU})
#: What memory that Linux does not clear may be full of: of large numbers and of small ones.
_GARBAGE: Final = (*(byte * 0x0101010101010101 for byte in (0xFF, 0x01, 0x80, 0x7F)), 0x7_00000007)
#: Ways to run a program on the native machine.
_WAYS: Final = {"interpreted": False, "compiled": True}


class _Seen(NamedTuple):
    """What there is to see of a run."""

    retval: int
    data: bytes | None
    printk: tuple[str, ...]
    maps: dict[str, object]
    live: int


class _World:
    """A program and its maps on one machine."""

    def __init__(
        self,
        machine: Machine,
        obj: ObjectSpec,
        spec: ProgramSpec,
        verdict: Verdict,
        rng: Random | None,
    ) -> None:
        self.spec = spec
        self.machine = machine
        self.system = System(LiveCount(), machine)
        loader = Loader(self.system, self.system.btf_load(obj.btf))
        for map_ in creation_order(obj):
            fd = loader.open_map(map_, None)
            if rng is not None:
                fill(self.system, fd, map_, rng)
        self.ids = loader.map_ids
        self.program = loader.load_program(spec, verdict)

    def run(self, rng: Random) -> _Seen:
        done = self.system.run_on(self.program, packet(self.spec, rng), context(self.spec, rng))
        maps = {name: self._content(map_id) for name, map_id in self.ids.items()}
        live = self.machine.allocator_stats(GLOBAL_ALLOCATOR_ID).live
        return _Seen(done.retval, done.data, tuple(self.machine.printk), maps, live)

    def _content(self, map_id: int) -> object:
        machine = self.machine
        records = machine.map_drain(map_id)
        values = {key: machine.map_lookup(map_id, key) for key in machine.map_keys(map_id)}
        objects = {key: _shown(machine.map_kptrs(map_id, key)) for key in values}
        return records, values, objects

    def end(self) -> int:
        """Let go of everything: the objects that are left."""
        for fd in tuple(self.system.fds):
            self.system.close(fd)
        while self.system.grace_period():
            pass
        return self.machine.allocator_stats(GLOBAL_ALLOCATOR_ID).live


def _shown(kptrs: tuple[Any, ...]) -> object:
    """Kptrs without the names of objects."""
    return [(k.path, k.offset, k.type_name, k.data, _shown(k.nested)) for k in kptrs]


class Runner(Protocol):
    """The live kernel."""

    def test_run(
        self, obj: ObjectSpec, program: ProgramSpec, data: bytes = b"", ctx: bytes = b""
    ) -> KernelRun: ...


@dataclass(frozen=True, slots=True)
class AgainstNative:
    """An Examiner. Where there is a `kernel`, it runs programs, too."""

    seed: int
    features: frozenset[str]
    kernel: Runner | None = None
    made: Made = random_program

    def program(self, index: int) -> RandomProgram:
        return self.made(self.seed, index, self.features)

    def examine(self, program: RandomProgram, index: int) -> FuzzResult:
        obj, spec = surroundings(self.features), linked(program)
        try:
            verdict = verify(obj, spec, Options(complexity_limit=LIMIT, facts=True, explain=False))
            if not verdict.accepted:
                return not_accepted(verdict)
            found = compared(obj, spec, verdict, f"{self.seed}:{index}")
            if found.outcome is Outcome.ACCEPTED and self.kernel is not None:
                return beside_linux(obj, spec, verdict, f"{self.seed}:{index}", self.kernel)
            return found
        except Violation as seen:
            return FuzzResult(Outcome.VIOLATION, theirs=f"{seen.kind}: {seen.message}")
        except Exception as error:
            return crashed(error)


def _seen_by(spec: ProgramSpec) -> set[Sees]:
    """What the calls of a program tell it of where and when it runs."""
    return {row.sees for _, row in calls_of(spec) if row is not None}


def _walks(spec: ProgramSpec) -> bool:
    return any(row is not None and row.map_op == "iterate" for _, row in calls_of(spec))


def _stores_late(spec: ProgramSpec) -> bool:
    """May it put an object into an element that it has removed? When that one goes is up to a
    machine: with the grace period, or when its memory is used again."""
    rows = [row for _, row in calls_of(spec) if row is not None]
    removes = any(row.map_op in ("update", "delete") for row in rows)
    return removes and any(row.ret is Ret.KPTR_OR_NULL for row in rows)


def compared(
    obj: ObjectSpec, spec: ProgramSpec, verdict: Verdict, seed: str, *, filled: bool = True
) -> FuzzResult:
    """Run an accepted program RUNS times on each machine, then let go of everything. The verdict
    has facts; maps are `filled` first. Raises Violation where the model sees one."""
    if Sees.TIME in _seen_by(spec):
        return FuzzResult(Outcome.INCOMPARABLE)

    def world(machine: Machine) -> _World:
        return _World(machine, obj, spec, verdict, Random(f"{seed}:maps") if filled else None)

    model = ModelMachine(step_limit=STEPS, seed=1, history_limit=0)
    ours = world(model)
    theirs = {
        how: world(NativeMachine(seed=1, history_limit=0, compiles=compiles, cached=False))
        for how, compiles in _WAYS.items()
        if not compiles or has_compiler()
    }
    for number in range(RUNS):
        try:
            wanted = ours.run(Random(f"{seed}:{number}"))
        except RunTooLong:
            return FuzzResult(Outcome.ACCEPTED)
        if model.shows_addresses():
            return FuzzResult(Outcome.INCOMPARABLE)
        for how, native in theirs.items():
            found = native.run(Random(f"{seed}:{number}"))
            if found != wanted and _walks(spec):
                # In which order, is up to a machine.
                return FuzzResult(Outcome.INCOMPARABLE)
            if found._replace(live=wanted.live) == wanted and _stores_late(spec):
                continue
            if found != wanted:
                return FuzzResult(Outcome.DIFFERENT, theirs=_difference(wanted, found, number, how))
    left = {"on the model": ours.end(), **{how: world.end() for how, world in theirs.items()}}
    if any(left.values()):
        told = ", ".join(f"{count} {how}" for how, count in left.items())
        return FuzzResult(Outcome.DIFFERENT, theirs=f"objects are left: {told}")
    return FuzzResult(Outcome.ACCEPTED)


def _difference(wanted: _Seen, found: _Seen, number: int, how: str) -> str:
    pairs: list[tuple[str, object, object]] = [
        *zip(_Seen._fields, wanted, found, strict=True),
        *((name, wanted.maps[name], found.maps[name]) for name in wanted.maps),
    ]
    name, a, b = next((n, a, b) for n, a, b in pairs if n != "maps" and a != b)
    return f"run {number}: {name} is {a!r} on the model, {b!r} {how}"


def beside_linux(
    obj: ObjectSpec, spec: ProgramSpec, verdict: Verdict, seed: str, kernel: Runner
) -> FuzzResult:
    """Run an accepted program once, compiled and on the live kernel, with empty maps: what it
    returns and makes of its packet is the same. ACCEPTED also for what Linux does not run."""
    row = program_type(spec.section)
    assert verdict.facts is not None
    if row is None or row.test_run is None or verdict.facts.ctx > row.test_run:
        return FuzzResult(Outcome.ACCEPTED)
    if _seen_by(spec) & _OF_THE_MACHINE:
        return FuzzResult(Outcome.ACCEPTED)
    rng = Random(f"{seed}:linux")
    # Linux refuses contexts with fields that it fills itself.
    ctx = b"" if row.has_packet else context(spec, rng)
    data = packet(spec, rng)

    def run(machine: Machine) -> tuple[int, bytes]:
        world = _World(machine, obj, spec, verdict, None)
        done = world.system.run_on(world.program, data, ctx)
        world.end()
        return done.retval & 0xFFFF_FFFF, (data and done.data) or b""

    model = ModelMachine(step_limit=STEPS, seed=1, history_limit=0)
    try:
        ours = run(model)
        compiled = run(NativeMachine(seed=1, history_limit=0, cached=False))
    except RunTooLong:
        return FuzzResult(Outcome.ACCEPTED)
    if model.shows_addresses():
        return FuzzResult(Outcome.INCOMPARABLE)
    try:
        # Maps of its own: they keep what runs put into them.
        theirs = kernel.test_run(replace(obj, file=seed), spec, data, ctx)
    except KernelError as error:
        return FuzzResult(Outcome.UNASKED, theirs=str(error))
    wanted = theirs.retval, theirs.data_out[unseen(row) :] if ours[1] else b""
    if ours == compiled == wanted:
        return FuzzResult(Outcome.ACCEPTED)
    for garbage in _GARBAGE:
        try:
            other = run(ModelMachine(step_limit=STEPS, seed=1, history_limit=0, garbage=garbage))
        except RunTooLong:
            return FuzzResult(Outcome.INCOMPARABLE)
        if other != ours:
            return FuzzResult(Outcome.INCOMPARABLE)
    section = section_of_run(spec)
    if section is not None:
        return FuzzResult(Outcome.EXPLAINED, section=section)
    how, found = ("on the model", ours) if ours != wanted else ("compiled", compiled)
    if found[0] != wanted[0]:
        told = f"returns {found[0]:#x} {how}, {wanted[0]:#x} on Linux"
    else:
        told = f"leaves the packet {found[1].hex()} {how}, {wanted[1].hex()} on Linux"
    return FuzzResult(Outcome.DIFFERENT, theirs=told)
