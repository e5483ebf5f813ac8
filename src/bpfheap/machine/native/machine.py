"""The native machine: real memory, the C core's maps and allocator, and its interpreter.

It trusts the verifier: where the model machine sees a memory error, this one has one.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Never

from bpfheap.btf import KptrField, SpecialField, SpecialKind
from bpfheap.errors import BpfheapError, RelocationError, UsageError, Violation
from bpfheap.events import ObjectEvent, ObjectKind
from bpfheap.isa import Insn, check_structure, op_of
from bpfheap.isa import Kind as InsnKind
from bpfheap.machine import frames
from bpfheap.machine.definitions import (
    check_definition,
    check_special,
    error_of,
    fields_of,
    is_readonly,
    row_of,
)
from bpfheap.machine.layout import Types
from bpfheap.machine.native import _core
from bpfheap.machine.native.code import helper_name, helper_numbers, make
from bpfheap.machine.native.compiling import NamedMap, Origin, courses, is_brief, source_of
from bpfheap.machine.native.heaps import Allocator, Heaps, Kind, fields, has_lock
from bpfheap.machine.offers import check_calls, implementation
from bpfheap.machine.printk import FormatRefused, format_line
from bpfheap.platform.calls import KFUNC_BY_NAME, Arg, Course, Ret
from bpfheap.platform.maps import ANY, Holds, MapFlag, MapType, Shape
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
from bpfheap.spec import MapSpec, ProgramSpec, RefKind, SourceLine
from bpfheap.verifier.facts import Facts

if TYPE_CHECKING:
    from bpfheap.machine.native.jit import Compilation
    from bpfheap.machine.native.jit.source import Source

#: In a site's type, as BH_PERCPU_TYPE: objects with a copy for each CPU.
_PERCPU_TYPE = 1 << 30
#: MAX_BPRINTF_VARARGS.
_MAX_PRINTK_WORDS = 12
#: Of one call, for a lock.
_MAX_WAITS = 100_000
_U32, _U64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF
_SHAPE = {name: number for number, name in enumerate(_core.SHAPES)}
#: The core's shape for maps of a shape that hold something.
SHAPES = {
    (Shape.HASH, Holds.VALUES): "hash",
    (Shape.LRU, Holds.VALUES): "lru",
    (Shape.ARRAY, Holds.VALUES): "array",
    (Shape.HASH, Holds.MAPS): "hash",
    (Shape.ARRAY, Holds.MAPS): "array",
    (Shape.ARRAY, Holds.PROGRAMS): "array",
    (Shape.NONE, Holds.RECORDS): "ring",
    (Shape.NONE, Holds.NOTHING): "none",
}
# How many objects a KptrValue shows inside one another, and in all.
_SHOWN_DEPTH = 64
_SHOWN_OBJECTS = 1024


def has_compiler() -> bool:
    """Whether programs can become machine code."""
    return find_spec("llvmlite") is not None


@dataclass(slots=True)
class _Map:
    spec: MapSpec
    row: MapType
    map: _core.Map
    kptrs: tuple[KptrField, ...]
    special: tuple[SpecialField, ...]
    #: That an allocator map names.
    allocator: int | None
    #: Whose memory elements are.
    elements: Allocator | None


@dataclass(slots=True)
class _Program:
    name: str
    spec: ProgramSpec
    program: _core.Program
    calls: dict[int, str | int]
    #: What it takes to compile it; without facts it cannot be.
    facts: Facts | None
    maps: dict[str, NamedMap]
    origins: tuple[Origin, ...]
    entries: list[_core.Entry] = field(default_factory=list)
    compilation: Compilation | None = None


@dataclass(slots=True)
class _Execution:
    run: _core.Execution
    cpu: int
    waits: int = field(default=0)


class NativeMachine:
    """What the runtime asks of a machine, on real memory.

    `cpus` is the number of virtual CPUs, `seed` starts bpf_get_prandom_u32, `step_limit` bounds the
    jumps back and calls of one execution, `allocator_limit` the objects of one type of one
    allocator (0: no limit). `budget` bounds the instructions of a run in loops, in steps of their
    length, also where the verifier has seen their end (0: no limit). `compiles`: programs become
    machine code before their first run; by default where llvmlite is installed; the code is
    `cached` on disk. Raises OSError if the core's thread cannot be had, UsageError for compilation
    without llvmlite.
    """

    name = "native"

    def __init__(
        self,
        cpus: int = 2,
        seed: int = 0,
        step_limit: int = 1 << 40,
        allocator_limit: int = 0,
        history_limit: int = 100_000,
        *,
        compiles: bool | None = None,
        cached: bool = True,
        budget: int = 0,
    ) -> None:
        if cpus < 1:
            raise UsageError(f"a machine cannot have {cpus} CPUs")
        self.printk: list[str] = []
        self.history: list[str] = []
        self._events: list[ObjectEvent] | None = None
        self._cpus = cpus
        self._step_limit = budget or step_limit
        self._counted = bool(budget)
        self._cached = cached
        self._compiles = has_compiler() if compiles is None else compiles
        if self._compiles and not has_compiler():
            raise UsageError("programs cannot be compiled", hint="install llvmlite")
        self._allocator_limit = allocator_limit
        self._history_limit = history_limit
        self._core = _core.Core(cpus=cpus, seed=seed)
        self._heaps = Heaps(self._core)
        self._maps: dict[int, _Map] = {}
        self._programs: dict[int, _Program] = {}
        self._executions: dict[int, _Execution] = {}
        self._ids = itertools.count(1)
        self._heaps.create(GLOBAL_ALLOCATOR_ID, "the global allocator", 0, limit=allocator_limit)

    @property
    def object_events(self) -> list[ObjectEvent] | None:
        """Only objects of allocators and types that come later are watched."""
        return self._events

    @object_events.setter
    def object_events(self, events: list[ObjectEvent] | None) -> None:
        self._events = events
        self._heaps.events = None if events is None else _core.Events()

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
            (f"a struct {kind.type.name} was allocated from {a.name}",)
            for kind in a.kinds.values()
            for _ in range(kind.unit.stats()["live"])
        )

    def prefill(self, allocator: int, count: int) -> None:
        """Raises UsageError, or MemoryError with nothing done."""
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
        row = row_of(spec)
        check_definition(spec, row, self._cpus)
        shape = _SHAPE[implementation(self.name, spec, row, SHAPES)]
        kptrs, special = fields_of(spec)
        check_special(spec, row, special)
        layout = None
        if kptrs or special:
            layout = _core.Type(spec.value_size, fields(kptrs, special))
        elements = None if elem_allocator is None else self._allocator(elem_allocator)
        try:
            made = _core.Map(
                self._core,
                map_id,
                shape,
                spec.key_size,
                8 if row.pointers else spec.value_size,
                spec.max_entries,
                per_cpu=row.per_cpu,
                pointers=row.pointers,
                preallocated=not spec.flags & MapFlag.NO_PREALLOC and not row.outer,
                readonly=is_readonly(spec),
                type=layout,
                heap=None if elements is None else elements.heap,
                allocates=None if allocator is None else self._allocator(allocator).heap,
            )
        except MemoryError:
            raise error_of(spec.name, "creation", "ENOMEM") from None
        self._maps[map_id] = record = _Map(spec, row, made, kptrs, special, allocator, elements)
        if elements is not None:
            elements.maps += 1
        for slot, of in inner.items():
            self._put(record, slot.to_bytes(4, "little"), of, ANY)
        if spec.data is not None and row.fixed:
            data = spec.data[: spec.value_size].ljust(spec.value_size, b"\0")
            made.update(bytes(4), data)

    def map_lookup(self, map_id: int, key: bytes, cpu: int | None = None) -> bytes | None:
        record = self._map(map_id)
        self._check_key(record, key, "lookup")
        found = record.map.lookup(key)
        if found is None or cpu is None or not record.row.per_cpu:
            return found if found is None or record.row.per_cpu else self._cut(record, found)
        at = self._cpu(cpu) * record.map.stride
        return found[at : at + record.spec.value_size]

    def map_kptrs(self, map_id: int, key: bytes) -> tuple[KptrValue, ...]:
        record = self._map(map_id)
        address = record.map.address(key) if record.kptrs or record.special else None
        if address is None:
            return ()
        copies = self._cpus if record.row.per_cpu else 1
        budget = [_SHOWN_OBJECTS]
        found: list[KptrValue] = []
        for base in range(0, copies * record.map.stride, record.map.stride):
            found += self._kptrs(address + base, record.kptrs, record.special, base, 0, budget)
        return tuple(found)

    def map_update(self, map_id: int, key: bytes, value: bytes, flags: int = 0) -> None:
        record = self._map(map_id)
        spec = record.spec
        size = 4 if record.row.outer else spec.value_size
        whole = record.map.stride * self._cpus if record.row.per_cpu else size
        if len(key) != spec.key_size or len(value) != whole:
            hint = f"keys have {spec.key_size} bytes, values {whole}"
            raise error_of(spec.name, "update", "EINVAL", hint)
        if spec.readonly:
            raise error_of(spec.name, "update", "EPERM")
        if record.row.pointers:
            self._put(record, key, int.from_bytes(value, "little"), flags)
            return
        self._check_lock(record, key, "update")
        self._answer(record, "update", record.map.update(key, value, flags))

    def map_delete(self, map_id: int, key: bytes) -> None:
        record = self._map(map_id)
        self._check_key(record, key, "delete")
        self._check_lock(record, key, "delete")
        hint = None
        if record.row.fixed:
            hint = "elements of an array cannot be deleted"
        self._answer(record, "delete", record.map.delete(key), hint)

    def map_keys(self, map_id: int) -> tuple[bytes, ...]:
        return tuple(self._map(map_id).map.keys())

    def map_inner_ids(self, map_id: int) -> tuple[int, ...]:
        record = self._map(map_id)
        if not record.row.outer:
            return ()
        found = (record.map.lookup(key) for key in record.map.keys())  # noqa: SIM118
        return tuple(int.from_bytes(inner, "little") for inner in found if inner is not None)

    def map_drain(self, map_id: int) -> list[bytes]:
        return self._map(map_id).map.records()

    def map_view(self, map_id: int) -> memoryview:
        """Raises UsageError for a map that is no array of plain values."""
        record = self._map(map_id)
        try:
            return memoryview(record.map)
        except BufferError as error:
            raise UsageError(f"map {record.spec.name} has no view: {error}") from None

    def map_lookup_batch(self, map_id: int, keys: Memory) -> bytearray:
        """Raises MapError (ENOENT) for the first key that is not there."""
        record = self._bulk(map_id)
        count = memoryview(keys).nbytes // record.spec.key_size
        values = bytearray(count * self._value_bytes(record))
        self._batch(record, "lookup", record.map.lookup_batch, keys, values)
        return values

    def map_update_batch(self, map_id: int, keys: Memory, values: Memory, flags: int) -> None:
        """Raises MapError for the first that fails; those before it are done."""
        record = self._bulk(map_id)
        if record.spec.readonly:
            raise error_of(record.spec.name, "update", "EPERM")
        self._batch(record, "update", record.map.update_batch, keys, values, flags)

    def map_delete_batch(self, map_id: int, keys: Memory) -> None:
        """Raises MapError for the first that fails; those before it are done."""
        record = self._bulk(map_id)
        self._batch(record, "delete", record.map.delete_batch, keys)

    def _bulk(self, map_id: int) -> _Map:
        record = self._map(map_id)
        if record.row.holds is not Holds.VALUES:
            raise UsageError(f"map {record.spec.name} has no values to take many of")
        return record

    def _value_bytes(self, record: _Map) -> int:
        return record.map.stride * self._cpus if record.row.per_cpu else record.spec.value_size

    def _batch(
        self, record: _Map, doing: str, do: Callable[..., tuple[int, int]], *arguments: object
    ) -> None:
        try:
            done, answer = do(*arguments)
        except ValueError as error:
            raise UsageError(f"{doing} of map {record.spec.name}: {error}") from None
        hint = f"it is number {done + 1} of these; those before it are done"
        self._answer(record, doing, answer, hint)

    def map_free_step(self, map_id: int) -> bool:
        """All of it in one step."""
        record = self._map(map_id)
        self._core.synchronize()
        record.map.free()
        del self._maps[map_id]
        if record.elements is not None:
            record.elements.maps -= 1
            record.elements.settle()
        self._drain()
        return True

    # -- programs

    def program_load(
        self,
        program: int,
        spec: ProgramSpec,
        maps: Mapping[str, int],
        facts: Facts | None = None,
    ) -> None:
        """Raises InsnError for what is no program, RelocationError for a reference to nothing,
        MachineUnsupported for a call that this machine does not offer."""
        check_structure(spec.insns, spec.refs)
        check_calls(self.name, spec, _core.CALLS)
        addresses: dict[int, int] = {}
        kfuncs: dict[int, str] = {}
        used: dict[int, _Map] = {}
        for slot, ref in spec.refs.items():
            where = spec.line_of(slot)
            file, line = (spec.file or None, None) if where is None else (where.file, where.line)
            match ref.kind:
                case RefKind.KFUNC:
                    if ref.name not in KFUNC_BY_NAME:
                        raise RelocationError(f"there is no kfunc {ref.name}", file=file, line=line)
                    kfuncs[slot] = ref.name
                case RefKind.FUNC:
                    addresses[slot] = ref.target
                case RefKind.MAP | RefKind.MAP_VALUE:
                    map_id = maps.get(ref.name, -1)
                    if map_id not in self._maps:
                        raise RelocationError(f"there is no map {ref.name}", file=file, line=line)
                    record = used[map_id] = self._maps[map_id]
                    if ref.kind is RefKind.MAP:
                        addresses[slot] = record.map.pointer
                        continue
                    value = None
                    if record.row.direct:
                        value = record.map.address(bytes(4))
                    if value is None:
                        raise RelocationError(
                            f"map {ref.name} has no value to point into", file=file, line=line
                        )
                    addresses[slot] = value + ref.offset
                case RefKind.KSYM:
                    raise RelocationError(
                        f"{ref.name} is a variable of the kernel, and there is none here",
                        file=file,
                        line=line,
                    )
        code, calls = make(spec.insns, addresses, kfuncs)
        origins, sites = self._sites(spec, set(kfuncs.values()), maps)
        made = _core.Program(
            program,
            code,
            self._heaps.allocators[GLOBAL_ALLOCATOR_ID].heap,
            sites,
            helper_numbers(),
            tuple(record.map for record in used.values()),
        )
        named = {
            ref.name: self._named(self._maps[maps[ref.name]])
            for ref in spec.refs.values()
            if ref.name in maps
        }
        self._programs[program] = _Program(spec.name, spec, made, calls, facts, named, origins)

    def _named(self, record: _Map) -> NamedMap:
        spec, row = record.spec, record.row
        return NamedMap(
            record.map,
            spec.key_size,
            spec.value_size,
            spec.max_entries,
            row.per_cpu,
            record.row.pointers,
            _SHAPE[SHAPES[row.shape, row.holds]],
        )

    def compilation(self, program: int) -> Compilation | None:
        """How a program became machine code, which it does now if it has not yet; None if it is
        interpreted."""
        loaded = self._program(program)
        self._compile(loaded)
        return loaded.compilation

    def dump(self, program: int, form: CodeForm) -> str:
        """Raises UsageError without a compiler, or where nothing is known of the program;
        CannotCompile."""
        if not has_compiler():
            raise UsageError("programs cannot be compiled", hint="install llvmlite")
        from bpfheap.machine.native.jit import dump

        return dump.dump(self.source(program), form)

    def source(self, program: int) -> Source:
        """What the compiler is told of a program. Raises UsageError if nothing is known of it."""
        loaded = self._program(program)
        if loaded.facts is None:
            raise UsageError(f"the verifier said nothing of program {loaded.name}")
        return self._source(loaded, loaded.facts)[0]

    def _source(self, loaded: _Program, facts: Facts) -> tuple[Source, dict[str, int]]:
        return source_of(
            loaded.spec,
            facts,
            loaded.maps,
            loaded.origins,
            loaded.calls,
            counted=self._counted,
            watched=self._events is not None,
            cpus=self._cpus,
        )

    def _compile(self, loaded: _Program) -> None:
        if not self._compiles or loaded.facts is None or loaded.compilation is not None:
            return
        from bpfheap.machine.native import jit

        source, addresses = self._source(loaded, loaded.facts)
        loaded.compilation = compilation = jit.compile_for(source, cached=self._cached)
        if compilation.made is not None:
            code = jit.load(compilation.made, addresses)
            loaded.program.compiled(code.address, code)

    def program_free(self, program: int) -> None:
        for entry in self._program(program).entries:
            entry.close()
        self._core.synchronize()
        del self._programs[program]

    def _sites(
        self, spec: ProgramSpec, kfuncs: set[str], maps: Mapping[str, int]
    ) -> tuple[tuple[Origin, ...], tuple[tuple[int, _core.Unit], ...]]:
        """Where the program may allocate from. Types are named by constants, which reach the call
        through registers: each constant that is a type's number counts, since a unit that nobody
        uses costs nothing."""
        allocators = self._heaps.allocators
        sources: list[tuple[Allocator, int, str]] = []
        rows = (KFUNC_BY_NAME[name] for name in kfuncs)
        news = {(row.ret, Arg.ALLOCATOR in row.args) for row in rows}
        if (Ret.NEW_OR_NULL, True) in news:
            for name in sorted({r.name for r in spec.refs.values() if r.name in maps}):
                found = self._maps[maps[name]].allocator
                if found is not None:
                    sources.append((allocators[found], 0, name))
        if (Ret.NEW_OR_NULL, False) in news:
            sources.append((allocators[GLOBAL_ALLOCATOR_ID], 0, ""))
        if (Ret.PERCPU_NEW_OR_NULL, False) in news:
            sources.append((allocators[GLOBAL_ALLOCATOR_ID], self._cpus, ""))
        if not sources:
            return (), ()
        types = Types(spec.btf)
        origins: list[Origin] = []
        sites: list[tuple[int, _core.Unit]] = []
        for number in sorted(_constants(spec)):
            kind = types.object(number)
            if kind is None:
                continue
            for allocator, cpus, name in sources:
                made = self._heaps.unit(allocator, kind, cpus)
                if not cpus:
                    origins.append(Origin(name, number, made.unit, made))
                sites.append((number | (_PERCPU_TYPE if cpus else 0), made.unit))
        return tuple(origins), tuple(sites)

    # -- execution

    def start(
        self,
        program: int,
        ctx: bytes,
        *,
        cpu: int = 0,
        context: Context = Context.TASK,
        data: bytes = b"",
    ) -> int:
        loaded = self._program(program)
        row = program_type(loaded.spec.section)
        frames.check(row, data)
        memory = bytearray(ctx)
        memory.extend(bytes(max(0, _ctx_used(loaded, row) - len(ctx))))
        frame = None
        if row is not None and row.has_packet:
            frame = frames.frame_for(row, memory, data)
        run = _core.Execution(
            self._core, loaded.program, bytes(memory), self._cpu(cpu), self._step_limit
        )
        if frame is not None:
            run.packet(frame.data, frame.room, len(frame.data) + frame.tail, *frame.fields)
        execution = next(self._ids)
        self._executions[execution] = _Execution(run, cpu)
        return execution

    def step(self, execution: int, *, through: bool = False) -> Stop:
        if execution not in self._executions:
            raise UsageError(f"execution {execution} has ended or never began")
        running = self._executions[execution]
        # Whoever watches objects hears of each call's before the next one.
        stepping = not through or self._events is not None
        if not stepping:
            self._compile(self._programs[running.run.program])
        try:
            stop = self._go(running, stepping=stepping)
        except BaseException:
            del self._executions[execution]
            raise
        if isinstance(stop, Done):
            del self._executions[execution]
        self._drain()
        return stop

    def _go(self, running: _Execution, *, stepping: bool) -> Stop:
        run = running.run
        while True:
            stop = _core.STOPS[run.go(stepping, self._ask)]
            program = self._programs[run.program]
            match stop:
                case "done":
                    return Done(run.register(0), run.data())
                case "at-call":
                    return AtCall(self._call_name(run, program), run.slot, _line(program, run))
                case "again":
                    running.waits += 1
                    if running.waits > _MAX_WAITS:
                        text = "waits for a lock that is never released"
                        raise _error(program, _line(program, run), text)
                    return AtCall(self._call_name(run, program), run.slot, _line(program, run))
                case "outside":
                    words = [run.register(n) for n in range(1, 6)]
                    run.answer(self._printk(self._call_name(run, program), words))
                case "pause":
                    raise self._out_of_budget(program, _line(program, run))
                case "no-call":
                    name = self._call_name(run, program)
                    text = f"call of {name}, which no machine knows"
                    raise _violation(_line(program, run), text)
                case _:
                    text = "a call would be the 9th frame on the stack"
                    raise _violation(_line(program, run), text)

    def _out_of_budget(self, program: _Program, line: SourceLine | None) -> BpfheapError:
        made = "ran for" if self._counted else "made"
        what = "instructions in loops" if self._counted else "calls and jumps back"
        return _error(
            program,
            line,
            f"{made} {self._step_limit} {what} without coming to an end",
            hint="its loops must end; raise the budget if it needs more",
        )

    def _call_name(self, run: _core.Execution, program: _Program) -> str:
        called = program.calls[run.slot]
        return called if isinstance(called, str) else helper_name(run.register(called))

    def _ask(self, program: int, slot: int, *registers: int) -> int:
        """A call that the core cannot make, in the middle of a run: r1 to r5."""
        called = self._programs[program].calls[slot]
        return self._printk(str(called), registers)

    def _printk(self, name: str, r: Sequence[int]) -> int:
        """bpf_trace_printk and bpf_trace_vprintk: the result."""
        refused = -errno.EINVAL & _U64
        form = _core.read(r[0], r[1] & _U32)
        if name == "bpf_trace_vprintk":
            size = r[3] & _U32
            data = r[2]
            if size % 8 or size > _MAX_PRINTK_WORDS * 8 or (size and not data):
                return refused
            raw = _core.read(data, size) if size else b""
            words = [int.from_bytes(raw[at : at + 8], "little") for at in range(0, size, 8)]
        else:
            words = list(r[2:5])
        if not form.endswith(b"\0"):
            return refused
        try:
            line = format_line(form.partition(b"\0")[0], words, int, _core.read_string)
        except FormatRefused:
            return refused
        self.printk.append(line.removesuffix("\n"))
        return len(line.encode())

    def attach(self, program: int, signal: int, hz: int) -> _core.Probe:
        """Let a signal run a program, `hz` times a second, or when somebody sends it (0).

        Raises UsageError if that cannot be."""
        loaded = self._program(program)
        row = program_type(loaded.spec.section)
        if row is None or not row.interrupts:
            able = " or ".join(f'"{t.sections[0]}"' for t in PROGRAM_TYPES if t.interrupts)
            raise UsageError(
                f"program {loaded.name} cannot run in a signal", hint=f"its section is {able}"
            )
        if self._events is not None:
            raise UsageError(
                f"program {loaded.name} cannot run in a signal: the policy watches every object"
            )
        self._compile(loaded)
        try:
            return _core.Probe(self._core, loaded.program, signal, hz)
        except OSError as error:
            raise UsageError(
                f"signal {signal} cannot run program {loaded.name}: {error.strerror}"
            ) from None

    def entry(self, program: int, cpu: int | None) -> _core.Entry:
        """The short way in. Raises UsageError for a program that gets a packet, and where every
        object is watched."""
        loaded = self._program(program)
        row = program_type(loaded.spec.section)
        if row is not None and row.has_packet:
            raise UsageError(
                f"program {loaded.name} gets a packet, and there is none", hint="use run(data=...)"
            )
        if self._events is not None:
            raise UsageError(f"program {loaded.name} has no entry: the policy watches every object")
        self._compile(loaded)
        made = _core.Entry(
            self._core,
            loaded.program,
            0 if row is None else row.ctx_size,
            _ctx_used(loaded, row),
            -1 if cpu is None else self._cpu(cpu),
            self._step_limit,
            not self._counted and is_brief(loaded.spec, loaded.calls),
            self._ask,
            self._fail,
        )
        loaded.entries.append(made)
        return made

    def _fail(self, stop: int, program: int, slot: int) -> Never:
        """Raise what a run that did not end is about."""
        if stop < 0:
            raise UsageError("the program was unloaded")
        loaded = self._programs[program]
        where = loaded.spec.line_of(slot)
        match _core.STOPS[stop]:
            case "pause":
                raise self._out_of_budget(loaded, where)
            case "no-call":
                called = loaded.calls.get(slot, "nothing")
                raise _violation(where, f"call of {called}, which no machine knows")
            case _:
                raise _violation(where, "a call would be the 9th frame on the stack")

    def executions(self) -> frozenset[int]:
        return frozenset(self._executions)

    def reclaimable(self) -> bool:
        return False

    def grace_period(self) -> None:
        self._core.barrier()
        self._heaps.sweep()
        self._drain()

    # -- inside

    def _drain(self) -> None:
        if self._events is None or self._heaps.events is None:
            return
        for freed, owner, kind, cpu, program in self._heaps.events.drain():
            self._events.append(
                ObjectEvent(
                    ObjectKind.FREE if freed else ObjectKind.ALLOC,
                    owner,
                    cpu,
                    None if program < 0 else program,
                    self._heaps.kinds[kind].type.name,
                )
            )

    def _allocator(self, allocator: int) -> Allocator:
        found = self._heaps.allocators.get(allocator)
        if found is None:
            raise UsageError(f"there is no allocator with id {allocator}")
        return found

    def _map(self, map_id: int) -> _Map:
        if map_id not in self._maps:
            raise UsageError(f"there is no map with id {map_id}")
        return self._maps[map_id]

    def _program(self, program: int) -> _Program:
        if program not in self._programs:
            raise UsageError(f"there is no program with id {program}")
        return self._programs[program]

    def _cpu(self, cpu: int) -> int:
        if not 0 <= cpu < self._cpus:
            raise UsageError(f"there is no CPU {cpu}", hint=f"0 to {self._cpus - 1}")
        return cpu

    def _check_key(self, record: _Map, key: bytes, doing: str) -> None:
        size = record.spec.key_size
        if len(key) != size:
            raise error_of(record.spec.name, doing, "EINVAL", f"keys have {size} bytes")

    def _check_lock(self, record: _Map, key: bytes, doing: str) -> None:
        """Nobody can wait for an execution that is stopped while it holds the value's lock."""
        lock = has_lock(record.special)
        if lock is None or not self._executions:
            return
        address = record.map.address(key)
        if address is not None and any(_core.read(address + lock, 4)):
            raise error_of(record.spec.name, doing, "EBUSY")

    def _put(self, record: _Map, key: bytes, what: int, flags: int) -> None:
        """Let an element be a map, or a program."""
        shape = record.row.shape
        if record.row.outer:
            found = self._maps.get(what)
            pointer = None if found is None else found.map.pointer
        else:
            program = self._programs.get(what)
            if program is not None:
                self._compile(program)
            pointer = None if program is None else program.program.pointer
        if shape is not Shape.HASH and flags != ANY:
            raise error_of(record.spec.name, "update", "EINVAL")
        if pointer is None:
            kind = "map" if record.row.outer else "program"
            raise error_of(
                record.spec.name, "update", "EINVAL", f"there is no {kind} with id {what}"
            )
        self._answer(record, "update", record.map.update(key, pointer.to_bytes(8, "little"), flags))

    def _answer(self, record: _Map, doing: str, answer: int, hint: str | None = None) -> None:
        self._drain()
        if answer:
            raise error_of(record.spec.name, doing, errno.errorcode[-answer], hint)

    def _cut(self, record: _Map, found: bytes) -> bytes:
        return found if record.row.pointers else found[: record.spec.value_size]

    def _kptrs(
        self,
        base: int,
        kptrs: tuple[KptrField, ...],
        special: tuple[SpecialField, ...],
        shift: int,
        depth: int,
        budget: list[int],
    ) -> list[KptrValue]:
        """What the kptrs, lists and trees of the value or object at `base` hold. `shift` is added
        to offsets; `budget`: how many objects may still be shown."""
        held = [(k.path, k.offset, _word(base + k.offset)) for k in kptrs]
        for head in special:
            if head.contains is not None:
                nodes = _nodes(base + head.offset, head.kind, budget[0])
                held += [
                    (f"{head.path}[{n}]", head.offset, node - head.contains.offset)
                    for n, node in enumerate(nodes)
                ]
        found: list[KptrValue] = []
        for path, offset, address in held:
            if not address:
                continue
            if depth > _SHOWN_DEPTH or not budget[0]:
                break
            budget[0] -= 1
            owner, number = _core.type_at(address)
            found_kind = self._heaps.kinds[number]
            kind = found_kind.type
            found.append(
                KptrValue(
                    path,
                    shift + offset,
                    f"{kind.name}@{address:x}",
                    kind.name,
                    owner,
                    kind.btf,
                    kind.type_id,
                    _object(address, found_kind),
                    tuple(self._kptrs(address, kind.kptrs, kind.special, 0, depth + 1, budget)),
                )
            )
        return found


def _constants(spec: ProgramSpec) -> set[int]:
    """What a program moves into registers as it stands in the code."""
    found: set[int] = set()
    slot = 0
    while slot < len(spec.insns):
        op = op_of(spec.insns[slot])
        if op.kind is InsnKind.LDDW or (op.kind is InsnKind.MOV and not op.reg):
            found.add(spec.insns[slot].imm)
        slot += op.slots
    return found


def _line(program: _Program, run: _core.Execution) -> SourceLine | None:
    return program.spec.line_of(run.slot)


def _ctx_used(program: _Program, row: ProgramType | None) -> int:
    """The bytes of its context that a run may look at."""
    if row is None:
        return 0
    passed_on = Course.JUMPS in courses(program.calls) or row.has_packet
    return row.ctx_size if program.facts is None or passed_on else program.facts.ctx


def _error(
    program: _Program, line: SourceLine | None, text: str, hint: str | None = None
) -> BpfheapError:
    error = BpfheapError(f"program {program.name} {text}", hint=hint)
    return error if line is None else error.at(line.file, line.line)


def _violation(line: SourceLine | None, text: str) -> Violation:
    return Violation(
        text,
        kind="bad-call",
        file=None if line is None else line.file,
        line=None if line is None else line.line,
    )


def _object(address: int, kind: Kind) -> bytes:
    """An object's bytes, with the count of its owners, but kptrs and nodes as 0; of a per-CPU
    object all copies."""
    of = kind.type
    if kind.size != of.size:
        stride = -(-of.size // 8) * 8
        return _core.read(address, stride * (kind.size // of.size))
    data = bytearray(_core.read(address, of.size))
    for offset, length in (
        *((k.offset, 8) for k in of.kptrs),
        *((s.offset, s.size) for s in of.special if s.kind is not SpecialKind.REFCOUNT),
    ):
        data[offset : offset + length] = bytes(length)
    return bytes(data)


def _word(address: int) -> int:
    return int.from_bytes(_core.read(address, 8), "little")


def _nodes(head: int, kind: SpecialKind, most: int) -> list[int]:
    """The nodes of a list or tree, in order."""
    if kind is SpecialKind.LIST_HEAD:
        nodes: list[int] = []
        node = _word(head)
        while node and len(nodes) < most:
            nodes.append(node)
            node = _word(node)
        return nodes
    return _in_order(_word(head), most)


def _in_order(root: int, most: int) -> list[int]:
    nodes: list[int] = []
    above: list[int] = []
    node = root
    while (node or above) and len(nodes) < most:
        while node:
            above.append(node)
            node = _word(node)
        node = above.pop()
        nodes.append(node)
        node = _word(node + 8)
    return nodes


def prepared(
    insns: Sequence[Insn], *, step_limit: int = 10_000_000, compiles: bool = False
) -> Callable[[bytes], int]:
    """A bare program, ready to run from start to end as often as one likes: r1 points at the bytes
    that it is given, r2 is their number; r0 comes back. Nobody has verified it: it must be one
    that does no harm. With `compiles` it becomes machine code.

    Raises InsnError for what is no program; a run, BpfheapError if it does not end.
    """
    check_structure(insns)
    core = _core.Core()
    code, calls = make(insns, {}, {})
    program = _core.Program(0, code, _core.Heap(core), (), helper_numbers(), ())
    if compiles:
        from bpfheap.machine.native import jit

        named = {slot: name if isinstance(name, str) else None for slot, name in calls.items()}
        made = jit.compiled(jit.Source("raw", tuple(insns), calls=named, counted=True), check=True)
        loaded = jit.load(made, {})
        program.compiled(loaded.address, loaded)

    def run(mem: bytes) -> int:
        execution = _core.Execution(core, program, mem, limit=step_limit)
        stop = _core.STOPS[execution.go()]
        if stop != "done":
            raise BpfheapError(f"the program stopped at slot {execution.slot}: {stop}")
        return execution.register(0)

    return run


def run_raw(
    insns: Sequence[Insn],
    mem: bytes = b"",
    *,
    step_limit: int = 10_000_000,
    compiles: bool = False,
) -> int:
    """Run a program once: see `prepared`."""
    return prepared(insns, step_limit=step_limit, compiles=compiles)(mem)
