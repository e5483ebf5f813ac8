"""The native machine: real memory, the C core's maps and allocator, and its interpreter.

It trusts the verifier: where the model machine sees a memory error, this one has one.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from errno import EBUSY
from typing import TYPE_CHECKING, Never

from bpfheap.errors import BpfheapError, UsageError
from bpfheap.events import ObjectEvent
from bpfheap.machine import frames, played
from bpfheap.machine.faults import Fault
from bpfheap.machine.lookup import by_id, check_cpu, check_cpus
from bpfheap.machine.native import _core
from bpfheap.machine.native.compiling import courses, is_brief
from bpfheap.machine.native.heaps import Heaps, NativeAllocator
from bpfheap.machine.native.maps import Maps
from bpfheap.machine.native.playing import NativeCaller, NativeKernel, check_sizes, show
from bpfheap.machine.native.printk import printk
from bpfheap.machine.native.programs import Programs, has_compiler
from bpfheap.machine.native.records import MACHINE, NativeProgram, Running
from bpfheap.machine.native.stops import End, Limit, Sampler, failure, violation
from bpfheap.machine.native.tables import CALLS, Tables
from bpfheap.machine.packets import known_of
from bpfheap.machine.played.skb import AS_CLASSIC, classic
from bpfheap.machine.tables.caller import Played
from bpfheap.platform.calls import Course
from bpfheap.platform.programs import PROGRAM_TYPES, ProgramType, program_type
from bpfheap.runtime.machine import (
    GLOBAL_ALLOCATOR_ID,
    AllocatorStats,
    AtCall,
    CodeForm,
    Context,
    Done,
    KptrValue,
    Memory,
    Stop,
)
from bpfheap.runtime.world import NO_LINKS, Links
from bpfheap.spec import MapSpec, ProgramSpec, RefKind
from bpfheap.verifier.facts import Facts

if TYPE_CHECKING:
    from bpfheap.machine.native.jit import Compilation
    from bpfheap.machine.native.jit.source import Source

#: How far a run may go in a signal, where nobody can break it off.
_SIGNAL_STEPS = 1 << 24
_U64 = 0xFFFF_FFFF_FFFF_FFFF
_POINTER = 8
#: What stands for loads of classic BPF.
_CLASSIC = "bpf_skb_load_helper"
#: What Python performs here.
_PLAYED: Mapping[str, Played] = {**played.CALLS, **CALLS, _CLASSIC: classic}
#: Bytes of lines that a hardened machine keeps, and what each of them has beside its own.
_MOST_PRINTED, _LINE = 1 << 26, 64
#: How often one execution may find locks held by others.
_MAX_WAITS = 100_000


class NativeMachine(NativeKernel):
    """What the runtime asks of a machine, on real memory; it plays a kernel, too.

    `cpus` is the number of virtual CPUs, `seed` starts bpf_get_prandom_u32, `step_limit` bounds
    the jumps back and calls of one execution, `allocator_limit` the objects of one type of one
    allocator (0: no limit), `memory` the bytes of all maps and objects. `budget` bounds the
    instructions of a run in loops, in steps of their length, also where the verifier has seen
    their end (0: no limit). `compiles`: programs become machine code before their first run; by
    default where llvmlite is installed; the code is `cached` on disk. `hardened`: programs reach
    their own memory alone, whatever they do, and come to an end. Raises OSError if the core's
    thread cannot be had, UsageError for compilation without llvmlite.
    """

    name = MACHINE

    def __init__(
        self,
        cpus: int = 2,
        seed: int = 0,
        step_limit: int = 1 << 36,
        allocator_limit: int = 0,
        history_limit: int = 100_000,
        *,
        compiles: bool | None = None,
        cached: bool = True,
        budget: int = 0,
        memory: int = 0,
        hardened: bool = False,
    ) -> None:
        check_cpus(cpus)
        self.printk: list[str] = []
        #: Of a hardened machine, about the bytes that these lines have.
        self._printed = 0
        self.history: list[str] = []
        self._cpus = cpus
        self._limit = Limit(budget or step_limit, counts_instructions=bool(budget))
        self._allocator_limit = allocator_limit
        self._history_limit = history_limit
        self._signal_limit = Limit(
            min(self._limit.steps, _SIGNAL_STEPS), counts_instructions=bool(budget)
        )
        self._hardened = hardened
        self._core = _core.Core(cpus=cpus, seed=seed, memory=memory, hardened=hardened)
        self._heaps = Heaps(self._core)
        self._surround(self._core)
        self.compiles = has_compiler() if compiles is None else compiles
        self._programs = Programs(
            self._core,
            self._heaps,
            compiles=self.compiles,
            cached=cached,
            counted=bool(budget) or hardened,
            hardened=hardened,
        )
        self._executions: dict[int, Running] = {}
        tables = Tables(self._core, self.blocks.wrong)
        self._maps = Maps(self._core, self._heaps, self._programs.pointer, self._executions, tables)
        self._ids = itertools.count(1)
        self._heaps.create(GLOBAL_ALLOCATOR_ID, "the global allocator", 0, limit=allocator_limit)

    @property
    def object_events(self) -> list[ObjectEvent] | None:
        """Only objects of allocators and types that come later are watched."""
        return self._heaps.object_events

    @object_events.setter
    def object_events(self, events: list[ObjectEvent] | None) -> None:
        self._heaps.watch(events)

    def check(self) -> None:
        self._core.check()

    @property
    def within(self) -> bool:
        return self._core.within

    def want(self, more: bool, /) -> None:
        self._core.want(more)

    def waits(self, thread: int, /) -> int:
        return self._core.waits(thread)

    def close(self) -> None:
        self._core.close()

    def note(self, sentence: str) -> None:
        limit = self._history_limit
        if not limit:
            return
        if len(self.history) >= limit:
            del self.history[: limit // 2 + 1]
        self.history.append(sentence)

    # -- allocators

    def allocator_create(self, allocator: int, name: str, capacity: int) -> None:
        self._heaps.create(allocator, name, capacity, self._allocator_limit)
        self.note(f"allocator {name} was created")

    def allocator_close(self, allocator: int) -> None:
        a = self._allocator(allocator)
        a.closed = True
        a.settle()
        self.note(f"the map of allocator {a.name} is gone: nothing more comes from it")

    def allocator_destroy(self, allocator: int, why: str) -> None:
        """Objects that are still live keep their memory: a policy may let go too early, and this
        machine cannot see who still looks at them."""
        a = self._allocator(allocator)
        self.note(f"allocator {a.name} was destroyed: {why}")
        self._heaps.destroy(allocator)

    def allocator_stats(self, allocator: int) -> AllocatorStats:
        return self._allocator(allocator).stats()

    def allocator_types(self, allocator: int) -> dict[str, int]:
        return self._allocator(allocator).live_by_type()

    def allocator_objects(self, allocator: int) -> tuple[tuple[str, ...], ...]:
        """What there are: this machine keeps nobody's life."""
        a = self._allocator(allocator)
        return tuple(
            (f"a struct {typed.type.name} was allocated from {a.name}",)
            for typed in a.units.values()
            for _ in range(typed.unit.stats()["live"])
        )

    def prefill(self, allocator: int, count: int) -> None:
        """Raises UsageError, or OutOfMemory with nothing done."""
        a = self._allocator(allocator)
        if a.closed or count < 0:
            raise UsageError(f"allocator {a.name} cannot prefill {count} objects")
        a.promise(count)

    # -- maps

    def map_create(
        self,
        map_id: int,
        spec: MapSpec,
        allocator: int | None,
        inner: Mapping[int, int],
        elem_allocator: int | None = None,
    ) -> None:
        """Raises MapError for a map that could not be made, BtfError for kptr fields that cannot
        be."""
        allocates = None if allocator is None else self._allocator(allocator)
        elements = None if elem_allocator is None else self._allocator(elem_allocator)
        self._maps.create(map_id, spec, allocates, inner, elements)

    def map_lookup(self, map_id: int, key: bytes, cpu: int | None = None) -> bytes | None:
        return self._maps.lookup(map_id, key, cpu)

    def map_kptrs(self, map_id: int, key: bytes) -> tuple[KptrValue, ...]:
        return self._maps.kptrs(map_id, key)

    def map_update(self, map_id: int, key: bytes, value: bytes, flags: int = 0) -> None:
        self._maps.update(map_id, key, value, flags)

    def map_delete(self, map_id: int, key: bytes) -> None:
        self._maps.delete(map_id, key)

    def map_keys(self, map_id: int) -> tuple[bytes, ...]:
        return self._maps.keys(map_id)

    def map_inner_ids(self, map_id: int) -> tuple[int, ...]:
        return self._maps.inner_ids(map_id)

    def map_drain(self, map_id: int, cpu: int | None = None) -> list[bytes]:
        return self._maps.drain(map_id, cpu)

    def map_pop(self, map_id: int) -> bytes | None:
        return self._maps.pop(map_id)

    def map_peek(self, map_id: int, value: bytes) -> bool:
        return self._maps.peek(map_id, value)

    def map_len(self, map_id: int) -> int:
        return self._maps.count(map_id)

    def block_free(self, block: int) -> None:
        super().block_free(block)
        self._maps.forget(block)

    def map_view(self, map_id: int) -> memoryview:
        return self._maps.view(map_id)

    def map_lookup_batch(self, map_id: int, keys: Memory) -> bytearray:
        return self._maps.lookup_batch(map_id, keys)

    def map_update_batch(self, map_id: int, keys: Memory, values: Memory, flags: int) -> None:
        self._maps.update_batch(map_id, keys, values, flags)

    def map_delete_batch(self, map_id: int, keys: Memory) -> None:
        self._maps.delete_batch(map_id, keys)

    def map_free_step(self, map_id: int) -> bool:
        """All of it in one step."""
        self._maps.free(map_id)
        self._heaps.drain()
        return True

    # -- programs

    def program_load(
        self,
        program: int,
        spec: ProgramSpec,
        maps: Mapping[str, int],
        facts: Facts | None = None,
    ) -> None:
        """Raises InsnError for what is no program, RelocationError for a reference to nothing."""
        records = self._maps.records
        named = {name: records[map_id] for name, map_id in maps.items() if map_id in records}
        variables = {
            ref.name: self.variable(ref.name)
            for ref in spec.refs.values()
            if ref.kind is RefKind.KSYM and ref.name in self.variables
        }
        self._programs.load(program, spec, named, facts, variables, self.stubs)

    def program_free(self, program: int) -> None:
        self._programs.free(program)

    def compilation(self, program: int) -> Compilation | None:
        """How a program became machine code, which it does now if it has not yet; None if it is
        interpreted."""
        return self._programs.compile(self._programs.record(program))

    def dump(self, program: int, form: CodeForm) -> str:
        """Raises UsageError without a compiler, or where nothing is known of the program;
        CannotCompile."""
        if not has_compiler():
            raise UsageError("programs cannot be compiled", hint="install llvmlite")
        from bpfheap.machine.native.jit import dump

        return dump.dump(self.source(program), form)

    def source(self, program: int) -> Source:
        """What the compiler is told of a program. Raises UsageError if nothing is known of it."""
        return self._programs.source(program)

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
        loaded = self._programs.record(program)
        row = program_type(loaded.spec.section)
        frames.check(row, ctx, data)
        memory = bytearray(ctx)
        memory.extend(bytes(max(0, _ctx_used(loaded, row) - len(ctx))))
        show(self.blocks, memory, links)
        frame = None
        if row is not None and row.has_packet:
            frame = frames.frame_for(row, memory, data)
        run = _core.Execution(
            self._core, loaded.program, bytes(memory), check_cpu(cpu, self._cpus), self._limit.steps
        )
        if frame is not None and row is not None:
            wide = any(f.offset == frame.fields[0] and f.size == _POINTER for f in row.fields)
            most = len(frame.data) + frame.tail
            run.packet(frame.data, frame.room, most, *frame.fields, wide)
            self.packets[run.pointer] = known_of(row, data)
        execution = next(self._ids)
        self._executions[execution] = Running(run, cpu)
        return execution

    def step(self, execution: int, *, through: bool = False) -> Stop:
        if execution not in self._executions:
            raise UsageError(f"execution {execution} has ended or never began")
        running = self._executions[execution]
        # Whoever watches objects hears of each call's before the next one.
        stepping = not through or self._heaps.watched
        if not stepping:
            self._programs.compile(self._programs.records[running.run.program])
        try:
            stop = self._go(running, stepping=stepping)
        except BaseException:
            # Somebody may keep the exception, and with it the run.
            running.run.close()
            self._forget(execution)
            raise
        if isinstance(stop, Done):
            self._forget(execution)
        self._heaps.drain()
        return stop

    def _forget(self, execution: int) -> None:
        self.packets.pop(self._executions.pop(execution).run.pointer, None)

    def _go(self, running: Running, *, stepping: bool) -> Stop:
        run = running.run
        while True:
            stop = _core.STOPS[run.go(stepping, self._ask)]
            if stop == "done":
                return Done(run.register(0), run.data(), ctx=run.ctx)
            program = self._programs.records[run.program]
            match stop:
                case "at-call":
                    return _at_call(run, program)
                case "again":
                    running.waits += 1
                    if running.waits <= _MAX_WAITS:
                        return _at_call(run, program)
                case "outside":
                    registers = [run.register(n) for n in range(1, 6)]
                    called = program.call_name(run)
                    r0 = self._perform(called, program, run.slot, run.pointer, run.cpu, registers)
                    run.answer(r0)
                    continue
            slot = run.slot
            if stop == "fault" and run.pc:
                slot = self._programs.slot_of(program, run.pc)
            called = program.call_name(run) if run.slot in program.calls else "nothing"
            raise failure(stop, program, slot, called, self._limit, run.fault)

    def _ask(self, run: int, cpu: int, program: int, slot: int, *registers: int) -> int:
        """A call that the core cannot make, in the middle of a run: r1 to r5."""
        loaded = self._programs.records[program]
        here = run + _core.LAYOUT["bh_run.here"]
        called = loaded.calls.get(slot, _CLASSIC)
        if isinstance(called, int):
            # Which one that is, a register tells; the verifier accepts no such calls.
            line = loaded.spec.line_of(slot)
            raise violation(line, "a call through a register, of what Python performs")
        return self._perform(called, loaded, slot, run, cpu, registers, here)

    def _perform(
        self,
        called: str,
        program: NativeProgram,
        slot: int,
        run: int,
        cpu: int,
        registers: Sequence[int],
        here: int = 0,
    ) -> int:
        """`here` is the run's context if it goes on meanwhile. Raises Violation, and whatever a
        stub raises."""
        stub = self.stubs.get(called)
        ours = _PLAYED.get(called)
        if stub is None and ours is None:
            return self._print(called, registers)
        keeper = self._maps.tables.at(here)
        name = AS_CLASSIC if called == _CLASSIC else called
        caller = NativeCaller(self, self._core, self._maps, program, name, run, cpu, keeper)
        try:
            if stub is not None:
                return int(stub(caller, registers) or 0) & _U64
            assert ours is not None
            if self._hardened:
                check_sizes(called, registers)
            if here:
                with keeper.lock:
                    return int(ours(caller, registers) or 0) & _U64
            with keeper.at_work() as caller.keeper:
                return int(ours(caller, registers) or 0) & _U64
        except Fault as fault:
            line = program.spec.line_of(slot)
            raise violation(line, fault.text, fault.kind) from None
        finally:
            caller.end()

    def _print(self, called: str, registers: Sequence[int]) -> int:
        """On a hardened machine no more than somebody reads, or there is memory for."""
        if not self._hardened:
            return printk(self._core, called, registers, self.printk)
        before = len(self.printk)
        if not before:
            self._printed = 0
        if self._printed > _MOST_PRINTED:
            return -EBUSY & _U64
        r0 = printk(self._core, called, registers, self.printk)
        self._printed += sum(map(len, self.printk[before:])) + _LINE
        return r0

    def attach(self, program: int, signal: int, hz: int) -> Sampler:
        """Let a signal run a program, `hz` times a second, or when somebody sends it (0).

        Raises UsageError if that cannot be."""
        loaded = self._programs.record(program)
        row = program_type(loaded.spec.section)
        if row is None or not row.interrupts:
            able = " or ".join(f'"{t.sections[0]}"' for t in PROGRAM_TYPES if t.interrupts)
            raise UsageError(
                f"program {loaded.name} cannot run in a signal", hint=f"its section is {able}"
            )
        if self._heaps.watched:
            raise UsageError(
                f"program {loaded.name} cannot run in a signal: the policy watches every object"
            )
        kept = [name for name, found in loaded.maps.items() if found.is_played]
        if kept:
            raise UsageError(
                f"program {loaded.name} cannot run in a signal: Python keeps the elements of map "
                f"{kept[0]}"
            )
        if loaded.asked:
            raise UsageError(
                f"program {loaded.name} cannot run in a signal: it calls {min(loaded.asked)}, "
                "which Python performs"
            )
        self._programs.compile(loaded)
        try:
            probe = _core.Probe(self._core, loaded.program, signal, hz, self._signal_limit.steps)
        except OSError as error:
            raise UsageError(
                f"signal {signal} cannot run program {loaded.name}: {error.strerror}"
            ) from None
        return Sampler(probe, lambda end: self._failure(end, self._signal_limit))

    def entry(self, program: int, cpu: int | None) -> _core.Entry:
        """The short way in. Raises UsageError for a program that gets a packet, and where every
        object is watched."""
        loaded = self._programs.record(program)
        row = program_type(loaded.spec.section)
        if row is not None and row.has_packet:
            raise UsageError(
                f"program {loaded.name} gets a packet, and so has no entry", hint="use run"
            )
        if self._heaps.watched:
            raise UsageError(f"program {loaded.name} has no entry: the policy watches every object")
        self._programs.compile(loaded)
        made = _core.Entry(
            self._core,
            loaded.program,
            0 if row is None else row.ctx_size,
            _ctx_used(loaded, row),
            -1 if cpu is None else check_cpu(cpu, self._cpus),
            self._limit.steps,
            not self._limit.counts_instructions
            and not loaded.asked
            and not any(found.is_played for found in loaded.maps.values())
            and is_brief(loaded.spec, loaded.calls),
            self._ask,
            self._fail,
        )
        loaded.entries.append(made)
        return made

    def context(self, ctx: bytes, links: Links) -> bytes:
        memory = bytearray(ctx)
        show(self.blocks, memory, links)
        return bytes(memory)

    def _fail(self, stop: int, program: int, slot: int, fault: int, pc: int) -> Never:
        """Raise what a run that did not end is about."""
        if stop < 0:
            raise UsageError("the program was unloaded")
        raise self._failure((stop, program, slot, fault, pc), self._limit)

    def _failure(self, end: End, limit: Limit) -> BpfheapError:
        stop, program, slot, fault, pc = end
        loaded = self._programs.records[program]
        slot = self._programs.slot_of(loaded, pc) if pc else slot
        called = loaded.calls.get(slot, "nothing")
        return failure(_core.STOPS[stop], loaded, slot, called, limit, fault)

    def executions(self) -> frozenset[int]:
        return frozenset(self._executions)

    def reclaimable(self) -> bool:
        return False

    def grace_period(self) -> None:
        """None passes within a run, from where Python was called: the next one is after it."""
        if self._core.within:
            return
        self._core.barrier()
        self._heaps.sweep()
        self._heaps.drain()

    def _allocator(self, allocator: int) -> NativeAllocator:
        return by_id(self._heaps.allocators, allocator, "allocator")


def _at_call(run: _core.Execution, program: NativeProgram) -> AtCall:
    return AtCall(program.call_name(run), run.slot, program.spec.line_of(run.slot))


def _ctx_used(program: NativeProgram, row: ProgramType | None) -> int:
    """The bytes of its context that a run may look at."""
    if row is None:
        return 0
    passed_on = Course.JUMPS in courses(program.calls) or row.has_packet
    return row.ctx_size if program.facts is None or passed_on else program.facts.ctx
