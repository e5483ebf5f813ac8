"""The model machine: what the runtime asks of a machine, on a state of plain data."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from bpfheap.errors import BpfheapError, RuntimeClosed, RuntimePoisoned, UsageError, Violation
from bpfheap.events import ObjectEvent
from bpfheap.isa import check_structure
from bpfheap.machine import frames
from bpfheap.machine.definitions import (
    check_definition,
    check_key,
    check_special,
    check_update,
    error_of,
    row_of,
)
from bpfheap.machine.faults import Fault
from bpfheap.machine.layout import SHOWN_DEPTH, SHOWN_OBJECTS, Types, round_up
from bpfheap.machine.lookup import by_id, check_cpu, check_cpus
from bpfheap.machine.model import heap, lives, packets, playing, ringbuf
from bpfheap.machine.model.calls import CALLS, perform
from bpfheap.machine.model.code import make
from bpfheap.machine.model.frozen import FrozenMap, constants_of, thaw_map
from bpfheap.machine.model.interp import Core, Handler, LoadedProgram, Registers
from bpfheap.machine.model.key import key_of, reachable
from bpfheap.machine.model.lives import USER_SPACE, Place
from bpfheap.machine.model.maps import ELEMENTS, elements
from bpfheap.machine.model.maps.ring import drain
from bpfheap.machine.model.mutator import Mutator, drop
from bpfheap.machine.model.options import ModelOptions
from bpfheap.machine.model.playing import PlayedKernel
from bpfheap.machine.model.records import (
    AllocatorRecord,
    Execution,
    ForEach,
    MapRecord,
    Region,
    RegionKind,
    Status,
)
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.model.values import Pointer, Value
from bpfheap.machine.offers import check_program, implementation
from bpfheap.machine.relocations import resolve
from bpfheap.machine.tables.apart import ShownElements
from bpfheap.machine.tables.common import Values, copies
from bpfheap.machine.tables.events import drained, listening
from bpfheap.machine.tables.owners import forget
from bpfheap.machine.tables.queue import queue_of
from bpfheap.platform.maps import Holds
from bpfheap.platform.programs import program_type
from bpfheap.runtime.machine import (
    GLOBAL_ALLOCATOR_ID,
    AllocatorStats,
    AtCall,
    Context,
    Done,
    KptrValue,
    Sentence,
    Stop,
)
from bpfheap.runtime.world import NO_LINKS, Links, no_maker
from bpfheap.spec import MapSpec, ProgramSpec
from bpfheap.verifier.facts import Facts

_BROKEN_OFF = "a run was broken off while it held a lock: what that guards may be half done"


class ModelMachine(PlayedKernel):
    """The executable specification of `runtime.machine.Machine`, and of `runtime.world.Playing`.

    Beyond the protocol: `copy` gives an independent machine in the same state, `key` says whether
    two are in the same state, `snapshot` does both. See ModelOptions for the arguments.

    After an exception in `step`, that execution is over and the rest goes on; but see `check`.
    """

    name = "model"

    def __init__(
        self,
        cpus: int = 2,
        seed: int = 0,
        step_limit: int = 10_000_000,
        allocator_limit: int | None = None,
        failing_allocations: Iterable[int] = (),
        history_limit: int = 100_000,
        garbage: int = 0,
        memory: int | None = None,
    ) -> None:
        self.options = ModelOptions(
            check_cpus(cpus),
            seed,
            step_limit,
            allocator_limit,
            frozenset(failing_allocations),
            history_limit,
            garbage,
            memory,
        )
        self.printk: list[str] = []
        self.history: list[str] = []
        self.object_events: list[ObjectEvent] | None = None
        self._over: BpfheapError | None = None
        self._programs: dict[int, LoadedProgram] = {}
        self.stubs = {}
        self.variables = {}
        self.maker = no_maker
        self._state = MachineState(seed)
        self._state.allocators[GLOBAL_ALLOCATOR_ID] = AllocatorRecord(
            GLOBAL_ALLOCATOR_ID, "the global allocator"
        )

    # -- states

    def copy(self) -> ModelMachine:
        """A machine of its own in the same state; costs a few small dicts."""
        twin = ModelMachine.over(self._state.copy(), dict(self._programs), self.options)
        twin.printk = list(self.printk)
        twin.history = list(self.history)
        twin.stubs = dict(self.stubs)
        twin.variables = dict(self.variables)
        twin.maker = self.maker
        twin.object_events = None if self.object_events is None else list(self.object_events)
        return twin

    @classmethod
    def over(
        cls, state: MachineState, programs: dict[int, LoadedProgram], options: ModelOptions
    ) -> ModelMachine:
        """A machine on a state and loaded programs that somebody else brings."""
        made = object.__new__(cls)
        made.options = options
        made.printk = []
        made.history = []
        made.object_events = None
        made._over = None
        made._programs = programs
        made.stubs = {}
        made.variables = {}
        made.maker = no_maker
        made._state = state
        return made

    def key(self) -> Hashable:
        """Equal for two machines exactly if nothing but sentences and statistics differs."""
        return key_of(self._state), frozenset(self._programs)

    def shows_addresses(self) -> bool:
        """Whether anybody has looked at a pointer as a number yet: what these are is up to a
        machine."""
        return self._state.showed

    def snapshot(self) -> tuple[Hashable, ModelMachine]:
        """The key, and a copy to go back to."""
        return self.key(), self.copy()

    def check(self) -> None:
        """What a lock guards may be half done where somebody broke off who had it."""
        if self._over is not None:
            raise type(self._over)(self._over.message)

    def close(self) -> None:
        self._over = self._over or RuntimeClosed("the runtime is closed")

    def note(self, sentence: str) -> None:
        self._mutator().say(sentence)

    # -- allocators

    def allocator_create(self, allocator: int, name: str, capacity: int) -> None:
        self._state.allocators[allocator] = AllocatorRecord(allocator, name)
        heap.prefill(self._state, allocator, capacity)
        self._mutator().say(f"allocator {name} was created")

    def allocator_close(self, allocator: int) -> None:
        a = self._allocator(allocator)
        heap.close(self._state, allocator)
        self._mutator().say(f"the map of allocator {a.name} is gone: nothing more comes from it")

    def allocator_destroy(self, allocator: int, why: str) -> None:
        self._allocator(allocator)
        self._mutator().say(heap.destroy(self._state, allocator, why))

    def allocator_stats(self, allocator: int) -> AllocatorStats:
        a = self._allocator(allocator)
        return AllocatorStats(a.live, a.peak, a.free, a.live_bytes, a.failures)

    def allocator_types(self, allocator: int) -> dict[str, int]:
        self._allocator(allocator)
        live = heap.live_objects(self._state, allocator)
        return dict(Counter(r.type.name for r in live if r.type is not None))

    def allocator_objects(self, allocator: int) -> tuple[tuple[str, ...], ...]:
        self._allocator(allocator)
        return tuple(
            (*lives.tell(r.life), *heap.owner_cycle(self._state, r))
            for r in heap.live_objects(self._state, allocator)
        )

    def prefill(self, allocator: int, count: int) -> None:
        a = self._allocator(allocator)
        if a.closed or count < 0:
            raise UsageError(f"allocator {a.name} cannot prefill {count} objects")
        heap.prefill(self._state, allocator, count)

    # -- maps

    def map_create(
        self,
        map_id: int,
        spec: MapSpec,
        allocator: int | None,
        inner: Mapping[int, int],
        elem_allocator: int | None = None,
    ) -> None:
        """Elements have no memory here, so it is nobody's. Raises MapError for a map that could not
        be made, BtfError for kptr fields that cannot be."""
        row = row_of(spec)
        implementation(self.name, spec, row, ELEMENTS)
        check_definition(spec, row, self.options.cpus)
        state = self._state
        size = heap.map_bytes(spec, row, self.options.cpus)
        if not heap.fits(state, self.options, size):
            why = f"it needs {size} bytes, and the runtime has {self.options.memory} in all"
            raise error_of(spec.name, "creation", "ENOMEM", why)
        region = state.add_region(RegionKind.MAP, f"map {spec.name}", 0, subject=map_id)
        constants = constants_of(spec, allocator)
        check_special(spec, row, constants.special)
        record = thaw_map(state, map_id, FrozenMap(), constants, region.id)
        record.inner = {slot.to_bytes(4, "little"): of for slot, of in inner.items()}
        if row.holds is Holds.EVENTS:
            record.inner = listening(record, self.options.cpus)
        state.maps[map_id] = record
        if spec.data is not None and row.fixed:
            found = elements(row).regions(self._mutator(), record, bytes(4))
            for region_id in found or ():
                state.fill(region_id, spec.data[: spec.value_size])

    def map_lookup(self, map_id: int, key: bytes, cpu: int | None = None) -> bytes | None:
        record = self._map(map_id)
        shape = elements(record.type)
        check_key(record.spec, key, "lookup")
        if record.type.pointers:
            inner = record.inner.get(key)
            return None if inner is None else inner.to_bytes(4, "little")
        if isinstance(shape, ShownElements):
            return shape.shown(record, key)
        if not shape.has(record, key):
            return None
        size = record.spec.value_size
        # Of what is there from the start, nothing need be made.
        fixed = record.type.fixed
        regions = record.entries.get(key) if fixed else shape.regions(self._mutator(), record, key)
        values = (
            [bytes(size)] * copies(self._mutator(), record)
            if regions is None
            else [self._value(r) for r in regions]
        )
        if not record.type.per_cpu:
            return values[0]
        if cpu is not None:
            return values[self._cpu(cpu)]
        return b"".join(v.ljust(round_up(size), b"\0") for v in values)

    def map_kptrs(self, map_id: int, key: bytes) -> tuple[KptrValue, ...]:
        """For a per-CPU map, offsets are those in what `map_lookup` gives."""
        record = self._map(map_id)
        found: list[KptrValue] = []
        for cpu, region_id in enumerate(record.entries.get(key, ())):
            base = cpu * round_up(record.spec.value_size)
            found += self._kptrs(self._state.regions[region_id], base, 0, [SHOWN_OBJECTS])
        return tuple(found)

    def map_update(self, map_id: int, key: bytes, value: bytes, flags: int = 0) -> None:
        record = self._map(map_id)
        check_update(record.spec, record.type, key, value, self.options.cpus)
        values: Values = (value,)
        if record.type.per_cpu:
            size = record.spec.value_size
            values = tuple(value[at : at + size] for at in range(0, len(value), round_up(size)))
        mutator = self._mutator()
        try:
            elements(record.type).update(mutator, record, key, values, flags)
        except Fault as fault:
            raise self._violation(fault, mutator) from None

    def map_delete(self, map_id: int, key: bytes) -> None:
        record = self._map(map_id)
        check_key(record.spec, key, "delete")
        mutator = self._mutator()
        try:
            elements(record.type).delete(mutator, record, key)
        except Fault as fault:
            raise self._violation(fault, mutator) from None

    def map_keys(self, map_id: int) -> tuple[bytes, ...]:
        record = self._map(map_id)
        return elements(record.type).keys(record)

    def map_inner_ids(self, map_id: int) -> tuple[int, ...]:
        record = self._map(map_id)
        return tuple(record.inner.values()) if record.type.outer else ()

    def map_drain(self, map_id: int, cpu: int | None = None) -> list[bytes]:
        record = self._map(map_id)
        if record.type.holds is Holds.EVENTS:
            return drained(self._mutator(), record, cpu)
        return drain(self._state, record) if record.type.holds is Holds.RECORDS else []

    def map_pop(self, map_id: int) -> bytes | None:
        record = self._map(map_id)
        queue = queue_of(record)
        return None if queue is None else queue.pop(self._mutator(), record)

    def map_peek(self, map_id: int, value: bytes) -> bool:
        return value in self._map(map_id).used

    def map_len(self, map_id: int) -> int:
        record = self._map(map_id)
        return len(record.used) or len(record.records)

    def map_free_step(self, map_id: int) -> bool:
        """An array's elements that nobody ever touched are not walked: they are empty. After a
        Violation the walk goes on behind the kptr that was to blame."""
        self._map(map_id)
        state = self._state
        record = state.map(map_id)
        name = record.spec.name
        if record.freeing is None:
            record.freeing = tuple(record.entries) if record.kptrs or record.special else ()
        if not record.freeing:
            for regions in () if record.type.borrows else record.entries.values():
                for region_id in regions:
                    drop(state, region_id)
            drop(state, record.region)
            del state.maps[map_id]
            return True
        mutator = self._mutator(Place(f"the free of {name}"))
        try:
            for region_id in record.entries[record.freeing[0]]:
                mutator.release_kptrs(region_id, f"free of {name} frees", f"as {name} was freed")
        except Fault as fault:
            raise self._violation(fault, mutator) from None
        record.freeing = record.freeing[1:]
        return False

    def block_free(self, block: int) -> None:
        mutator = self._mutator(Place("the free of an object"))
        super().block_free(block)
        try:
            forget(mutator, self._state.maps.values(), block)
        except Fault as fault:
            raise self._violation(fault, mutator) from None

    # -- programs

    def program_load(
        self,
        program: int,
        spec: ProgramSpec,
        maps: Mapping[str, int],
        facts: Facts | None = None,
    ) -> None:
        """Raises InsnError for what is no program, RelocationError for a reference to nothing,
        MachineUnsupported for a call or a packet that this machine does not offer."""
        check_structure(spec.insns, spec.refs)
        check_program(self.name, spec, {*CALLS, *self.stubs}, facts)
        code_region = self._state.add_region(
            RegionKind.CODE, f"the code of {spec.name}", 0, subject=program
        )
        variables = {n: self.variable(n) for n in self.variables}
        links = resolve(spec, _Addresses(self._mutator(), maps, code_region.id, variables))
        code, calls = make(spec.insns, links, b"" if facts is None else facts.guarded)
        self._programs[program] = LoadedProgram(
            program, spec.name, spec, code, calls, code_region.id, Types(spec.btf),
            facts is not None and facts.void,
        )  # fmt: skip

    def loaded(self, program: int) -> LoadedProgram:
        """A loaded program, as it was made ready to run."""
        return self._program(program)

    def watch(self, program: int, see: Callable[[Core], None]) -> None:
        """Call `see` before each instruction of a loaded program, with what executes it; the
        execution's `slot` tells where. A call of a helper is seen once, before it."""
        loaded = self._program(program)
        code = tuple(_watched(step, slot, see) for slot, step in enumerate(loaded.code))
        self._programs[program] = replace(loaded, code=code)

    def program_free(self, program: int) -> None:
        freed = self._program(program)
        drop(self._state, freed.region)
        del self._programs[program]

    # -- execution

    def start(
        self,
        program: int,
        ctx: bytes,
        *,
        cpu: int = 0,
        context: Context = Context.TASK,
        data: bytes = b"",
        links: Links = NO_LINKS,
    ) -> int:
        loaded = self._program(program)
        row = program_type(loaded.spec.section) if loaded.spec is not None else None
        frames.check(row, ctx, data)
        size = max(len(ctx), row.ctx_size if row is not None else 0)
        region = self._state.add_region(RegionKind.CTX, f"the context of {loaded.name}", size, ctx)
        playing.show(self._state, region.id, links)
        execution = self._begin(loaded, region, (), self._cpu(cpu), context)
        if row is not None and row.has_packet:
            packets.attach(self._state, self._state.execution(execution), row, data)
        return execution

    def step(self, execution: int, *, through: bool = False) -> Stop:
        if execution not in self._state.executions:
            raise UsageError(f"execution {execution} has ended or never began")
        running = self._state.execution(execution)
        program = self._programs[running.program]
        mutator = self._mutator(Place(program.name), running.cpu)
        core = Core(mutator, running, program, self.printk.append, self._programs, self)
        try:
            mutator.place = core.place()
            if running.at_call:
                perform(core, core.call_name())
            # A lock that somebody else holds is waited for at the call; what throws may have ended.
            if not running.at_call and not running.done:
                core.run()
            stop: Stop = self._stopped(core)
        except Fault as fault:
            mutator.place = core.place()
            self._finish(core)
            raise self._violation(fault, mutator) from None
        except BaseException as error:
            line = core.place().line
            if core.execution.lock is not None:
                self._over = RuntimePoisoned(_BROKEN_OFF)
            self._finish(core)
            if isinstance(error, BpfheapError) and line is not None:
                error.at(line.file, line.line)
            raise
        if isinstance(stop, Done):
            self._finish(core)
        return stop

    def executions(self) -> frozenset[int]:
        return frozenset(self._state.executions)

    def reclaimable(self) -> bool:
        return any(not r.readers for r in self._state.retired)

    def grace_period(self) -> None:
        mutator = self._mutator(Place("a grace period"))
        try:
            mutator.reclaim()
        except Fault as fault:
            raise self._violation(fault, mutator) from None

    def _begin(
        self,
        program: LoadedProgram,
        first: Region,
        rest: Sequence[Value],
        cpu: int,
        context: Context,
    ) -> int:
        """A new execution with r1 = a pointer to `first` and r2... = `rest`."""
        state = self._state
        # The lowest free one: an execution leaves nothing behind that knows it by its id.
        execution_id = next(i for i in itertools.count(1) if i not in state.executions)
        execution = Execution(
            execution_id, program.id, 0, [None] * 11, cpu, context, first.id, state.token
        )
        state.executions[execution_id] = execution
        core = Core(self._mutator(), execution, program, self.printk.append, self._programs, self)
        execution.registers[1 : 2 + len(rest)] = [Pointer(first.id, 0), *rest]
        execution.registers[10] = core.new_stack()
        return execution_id

    def _stopped(self, core: Core) -> Stop:
        execution = core.execution
        if execution.done:
            data = packets.content(core.state, execution)
            ctx = bytes(core.state.regions[execution.ctx].data)
            return Done(core.state.number(execution.registers[0]), data, execution.steps, ctx)
        return AtCall(core.call_name(), execution.slot, core.place().line)

    def _finish(self, core: Core) -> None:
        """The execution is over: its memory goes, and what it alone kept from being reclaimed."""
        state, execution = self._state, core.execution
        for top in (execution.registers[10], *(f.saved[-1] for f in execution.frames)):
            core.drop_stack(top)
        for frame in execution.frames:
            if isinstance(frame.after, ForEach):
                state.regions.pop(frame.after.key, None)
        ringbuf.abandon(core)
        for region_id in (execution.ctx, *execution.progress.regions):
            state.regions.pop(region_id, None)
        with suppress(Fault):
            core.let_go()
        del state.executions[execution.id]
        state.retired = tuple(
            [r._replace(readers=r.readers - {execution.id}) for r in state.retired]
        )
        # Nobody can tell whether a retired value without kptrs is there, once nobody sees it.
        for retired in state.retired:
            if not retired.readers and not any(
                state.regions[r].slots or state.regions[r].links for r in retired.regions
            ):
                for region_id in retired.regions:
                    drop(state, region_id)
                state.retired = tuple(r for r in state.retired if r is not retired)
        state.settle()
        if state.crowded():
            self._sweep()

    def _sweep(self) -> None:
        """Forget dead regions that nothing leads to any more."""
        state = self._state
        kept = reachable(state)
        state.regions = {
            i: r for i, r in state.regions.items() if r.status is Status.LIVE or i in kept
        }
        state.sweep_at = max(4096, 2 * len(state.regions))

    # -- what the rest is made of

    def _mutator(self, place: Place = USER_SPACE, cpu: int = 0) -> Mutator:
        return Mutator(self._state, self.options, self.history, place, cpu, self.object_events)

    def _allocator(self, allocator: int) -> AllocatorRecord:
        return by_id(self._state.allocators, allocator, "allocator")

    def _map(self, map_id: int) -> MapRecord:
        return by_id(self._state.maps, map_id, "map")

    def _program(self, program: int) -> LoadedProgram:
        return by_id(self._programs, program, "program")

    def _cpu(self, cpu: int) -> int:
        return check_cpu(cpu, self.options.cpus)

    def _violation(self, fault: Fault, mutator: Mutator) -> Violation:
        line = mutator.place.line
        last = Sentence(fault.text if line is None else f"{mutator.place}: {fault.text}", line)
        mutator.say(last)
        return Violation(
            fault.text,
            kind=fault.kind,
            life=(*lives.tell(self._state.life(fault.region)), last),
            file=None if line is None else line.file,
            line=None if line is None else line.line,
        )

    def _value(self, region_id: int) -> bytes:
        """A value's bytes, its kptr fields as 0."""
        return bytes(self._state.whole(region_id))

    def _kptrs(self, region: Region, base: int, depth: int, budget: list[int]) -> list[KptrValue]:
        """What the kptrs, lists and trees of a region hold; `budget`: how many objects may still
        be shown. What a list holds has the list's offset and its name with a number."""
        held = [
            (k.path, k.offset, region.slots[k.offset])
            for k in region.kptrs
            if k.offset in region.slots
        ]
        for head in region.special:
            if head.contains is not None:
                held += [
                    (f"{head.path}[{n}]", head.offset, node)
                    for n, node in enumerate(region.links.get(head.offset, ()))
                ]
        found: list[KptrValue] = []
        for path, offset, pointer in held:
            if depth > SHOWN_DEPTH or not budget[0]:
                break
            inner = self._state.regions[pointer.region]
            if inner.kind is RegionKind.BLOCK:
                continue
            budget[0] -= 1
            kind = inner.type
            assert kind is not None
            assert inner.allocator is not None
            found.append(
                KptrValue(
                    path,
                    base + offset,
                    inner.name,
                    kind.name,
                    inner.allocator,
                    kind.btf,
                    kind.type_id,
                    self._object(inner),
                    tuple(self._kptrs(inner, 0, depth + 1, budget)),
                )
            )
        return found

    def _object(self, region: Region) -> bytes:
        """An object's bytes; of a per-CPU object all copies, that of CPU 0 first."""
        if region.kind is not RegionKind.PERCPU:
            return bytes(region.data.ljust(region.size, b"\0"))
        copies = [self._state.regions[copy.region] for copy in region.links[0]]
        return b"".join([bytes(c.data).ljust(round_up(c.size), b"\0") for c in copies])


@dataclass(frozen=True, slots=True)
class _Addresses:
    """Of what a program refers to, for `resolve`."""

    mutator: Mutator
    maps: Mapping[str, int]
    #: The program's own.
    code_region: int
    variables: Mapping[str, Pointer]

    def function(self, slot: int) -> Pointer:
        return Pointer(self.code_region, slot)

    def map(self, name: str) -> Pointer | None:
        record = self._record(name)
        return None if record is None else Pointer(record.region, 0)

    def value(self, name: str, offset: int) -> Pointer | None:
        record = self._record(name)
        if record is None or not record.type.direct:
            return None
        found = elements(record.type).regions(self.mutator, record, bytes(4))
        return None if found is None else Pointer(found[0], offset)

    def variable(self, name: str) -> Pointer | None:
        return self.variables.get(name)

    def _record(self, name: str) -> MapRecord | None:
        return self.mutator.state.maps.get(self.maps.get(name, -1))


def _watched(step: Handler, slot: int, see: Callable[[Core], None]) -> Handler:
    def run(core: Core, registers: Registers) -> int:
        core.execution.slot = slot
        see(core)
        return step(core, registers)

    return run
