"""What users import: a Runtime, the objects loaded into it, and checks without a runtime.

The names of policies and machines are resolved here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from importlib import import_module
from pathlib import Path
from threading import RLock
from typing import Any, Literal, ParamSpec, Self, TypeVar, cast

from bpfheap.compile import object_spec
from bpfheap.errors import BpfheapError, LoadRefused, UsageError, Violation
from bpfheap.lifetime import POLICIES, Policy
from bpfheap.machine.model import ModelMachine
from bpfheap.platform.maps import BY_NUMBER as MAP_TYPE
from bpfheap.platform.maps import Shape
from bpfheap.runtime.machine import (
    GLOBAL_ALLOCATOR_ID,
    AllocatorStats,
    Bulk,
    CodeForm,
    Compilation,
    Compiling,
    Context,
    Entry,
    KptrValue,
    Machine,
    Memory,
)
from bpfheap.runtime.system import System
from bpfheap.runtime.values import pack, unpack
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, Verdict, verify


@dataclass(frozen=True, slots=True)
class _MachineOptions:
    """As Runtime's."""

    cpus: int
    seed: int
    jit: bool | None
    budget: int


def _model(options: _MachineOptions) -> Machine:
    if options.jit:
        raise UsageError("the model machine compiles nothing", hint='use machine="native"')
    if not options.budget:
        return ModelMachine(cpus=options.cpus, seed=options.seed)
    return ModelMachine(cpus=options.cpus, seed=options.seed, step_limit=options.budget)


def _native(options: _MachineOptions) -> Machine:
    try:
        native = import_module("bpfheap.machine.native.machine")
    except ImportError as error:
        raise UsageError(
            f"the native machine is not here: {error}",
            hint="it is built when bpfheap is installed where there is a C compiler",
        ) from None
    machine: Machine = native.NativeMachine(
        cpus=options.cpus, seed=options.seed, compiles=options.jit, budget=options.budget
    )
    return machine


#: By name. The first is the default.
MACHINES: dict[str, Callable[[_MachineOptions], Machine]] = {"model": _model, "native": _native}


_IMMORTAL = "immortal-allocator"


_P = ParamSpec("_P")
_R = TypeVar("_R")


def _alone(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """Nobody else changes what the runtime knows meanwhile: threads may share one. Programs run
    without."""

    @wraps(method)
    def inner(*args: _P.args, **options: _P.kwargs) -> _R:
        runtime = cast("Runtime", getattr(args[0], "_runtime", args[0]))
        with runtime._lock:
            return method(*args, **options)

    return inner


@dataclass(frozen=True, slots=True)
class PolicyInfo:
    """One row of `bpfheap policies`. `asks` is what programs have to say for it, beyond what they
    do; None: nothing."""

    name: str
    rule: str
    thread: str
    default: bool
    asks: str | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """`retval` is the low half of r0, unsigned, as BPF_PROG_TEST_RUN gives it; `printk` are the
    lines printed meanwhile, `data` what became of the packet, with the metadata in front, None if
    there was none."""

    retval: int
    printk: list[str]
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that outlived everything that could reach it. `kind` is "leak",
    "immortal-allocator" or a violation's kind; `life` are sentences, oldest first."""

    kind: str
    message: str
    life: tuple[str, ...]

    @property
    def is_error(self) -> bool:
        """A leak or memory error; an allocator that outlives its use is a finding about the
        policy's design."""
        return self.kind != _IMMORTAL


def policies() -> tuple[PolicyInfo, ...]:
    """Every policy that a Runtime takes, the default first."""
    return tuple(PolicyInfo(p.name, p.rule, p.thread, p is POLICIES[0], p.asks) for p in POLICIES)


def machines() -> tuple[str, ...]:
    """The names of the machines that a Runtime takes, the default first."""
    return tuple(MACHINES)


def check(
    source: str | Path | ObjectSpec, *, options: Options = Options()
) -> list[tuple[ProgramSpec, Verdict]]:
    """Verify every program of one file (`.bpf.c` or object) and load nothing.

    Raises CompileError or FormatError if there is no object to verify.
    """
    spec = source if isinstance(source, ObjectSpec) else object_spec(Path(source))
    return [(program, verify(spec, program, options)) for program in spec.programs.values()]


def _policy(name: str) -> Policy:
    for policy in POLICIES:
        if policy.name == name:
            return policy()
    known = ", ".join(p.name for p in POLICIES)
    raise UsageError(f"there is no policy {name}", hint=f"one of {known}")


def _machine(name: str, options: _MachineOptions) -> Machine:
    if name not in MACHINES:
        raise UsageError(f"there is no machine {name}", hint=f"one of {', '.join(MACHINES)}")
    if options.budget < 0:
        raise UsageError(f"a run cannot have a budget of {options.budget} instructions")
    return MACHINES[name](options)


class Runtime:
    """BPF programs, maps and allocators in user space, under one policy on one machine.

    With `grace="auto"` a grace period passes after every call, as it would for somebody who
    waits long enough; with "manual" only `grace_period` lets one pass. Use as a context manager,
    which raises Violation for what `close` would report as a leak or a memory error.

    On the native machine programs become machine code before their first run, unless `jit` is
    False or llvmlite is not installed. A run that takes more than `budget` instructions is broken
    off (0: no limit; loops are counted in steps of their length).

    Raises UsageError for an unknown policy or machine, and for what it does not have.
    """

    def __init__(
        self,
        policy: str = POLICIES[0].name,
        machine: str = "model",
        *,
        cpus: int = 2,
        seed: int = 0,
        strict_identity: bool = False,
        grace: Literal["auto", "manual"] = "auto",
        jit: bool | None = None,
        budget: int = 0,
    ) -> None:
        self._options = Options(strict_identity=strict_identity)
        self._grace = grace
        self.system = System(
            _policy(policy),
            _machine(machine, _MachineOptions(cpus, seed, jit, budget)),
            strict_identity=strict_identity,
        )
        self._attached: list[Attachment] = []
        self._lock = self.system.guard = RLock()

    @property
    def history(self) -> list[str]:
        """What happened so far, a sentence each."""
        return self.system.machine.history

    @property
    def printk(self) -> list[str]:
        """All lines that programs printed so far."""
        return self.system.machine.printk

    @property
    def allocators(self) -> dict[str, Allocator]:
        """The allocators that are alive, by name; of several of one name, the newest."""
        return {a.name: Allocator(self, a.id, a.name) for a in self.system.allocators.values()}

    @_alone
    def load(
        self, source: str | Path | ObjectSpec, *, programs: Iterable[str] | None = None
    ) -> LoadedObject:
        """Compile if need be, verify and load one file. A map whose name and type another loaded
        file has is that file's map. Programs in sections "?..." load only if named in `programs`.

        Raises CompileError, FormatError, VerifierError, LoadRefused, or UsageError for an unknown
        name in `programs`. Then nothing of the file stays.
        """
        spec = source if isinstance(source, ObjectSpec) else object_spec(Path(source))
        chosen = self._chosen(spec, programs)
        loaded = LoadedObject(self, spec)
        try:
            loaded._load(chosen, self._options)
        except BpfheapError:
            loaded.close()
            raise
        self._passed()
        return loaded

    @_alone
    def grace_period(self) -> None:
        """Let grace periods pass until nothing more waits for one that can end."""
        while self.system.grace_period():
            pass

    @_alone
    def attach(self, program: Program, *, signal: int, hz: int = 0) -> Attachment:
        """Let a signal run a program of type perf_event, with the registers that it finds as
        context: whatever they belong to may be interrupted, other runs and allocations too. `hz`
        times a second (of the process' time for SIGPROF, else of the clock's), or whenever somebody
        sends the signal (0).

        Raises UsageError if the machine, the program or the signal is none for that."""
        made = Attachment(self, program, signal, hz)
        self._attached.append(made)
        return made

    @_alone
    def close(self) -> list[Leftover]:
        """Close all descriptors and pins and say what is left although nothing reaches it."""
        found: list[Leftover] = []
        system = self.system
        for attachment in tuple(self._attached):
            attachment.detach()
        steps: list[Callable[[], None]] = [
            *(lambda p=path: system.unpin(p) for path in tuple(system.pins)),
            *(lambda f=fd: system.close(f) for fd in tuple(system.fds)),
        ]
        for step in steps:
            self._collect(found, step)
        # Each violation has one kptr less to free after it.
        known = -1
        while known != len(found):
            known = len(found)
            self._collect(found, self.grace_period)
        # An execution that was never finished may still own objects and reach maps.
        running = sorted({system.programs[p].name for p in system.running.values()})
        held = [f"program {name} is still running" for name in running]
        if not held:
            found += map(_leak, system.machine.allocator_objects(GLOBAL_ALLOCATOR_ID))
        if not system.policy.immortal:
            for allocator in self.allocators.values():
                lives = () if held else allocator.objects()
                found += map(_leak, lives)
                if not lives:
                    reasons = ", ".join(held or system.policy.waits_for(allocator.id, system))
                    found.append(
                        Leftover(
                            _IMMORTAL,
                            f"allocator {allocator.name} is still alive: {reasons}",
                            (),
                        )
                    )
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *rest: object) -> None:
        """Close; raises Violation for the first leak or memory error that shows only then, unless
        the body failed by itself."""
        found = self.close()
        for left in found:
            if error is None and left.is_error:
                raise Violation(left.message, kind=left.kind, life=left.life)

    @staticmethod
    def _collect(found: list[Leftover], step: Callable[[], None]) -> None:
        try:
            step()
        except Violation as seen:
            found.append(Leftover(seen.kind, seen.message, seen.life))

    @staticmethod
    def _chosen(spec: ObjectSpec, programs: Iterable[str] | None) -> list[ProgramSpec]:
        if programs is None:
            return [p for p in spec.programs.values() if not p.section.startswith("?")]
        names = list(programs)
        for name in names:
            if name not in spec.programs:
                raise UsageError(
                    f"there is no program {name}",
                    file=spec.file,
                    hint=f"it has {', '.join(spec.programs) or 'none'}",
                )
        return [spec.programs[name] for name in names]

    @_alone
    def _give_back(self, fd: int) -> None:
        """Close a descriptor, unless `close` did so already: they are never used again."""
        if fd in self.system.fds:
            self.system.close(fd)

    @_alone
    def _passed(self) -> None:
        if self._grace == "auto":
            self.grace_period()


def _leak(life: tuple[str, ...]) -> Leftover:
    return Leftover("leak", "an object is left that nothing can reach any more", life)


@dataclass(frozen=True, slots=True)
class Allocator:
    """An allocator, named after the allocator map that made it; it may outlive the map."""

    runtime: Runtime
    id: int
    name: str

    @property
    def alive(self) -> bool:
        return self.id in self.runtime.system.allocators

    def stats(self) -> AllocatorStats:
        """Raises UsageError once the allocator is gone."""
        if not self.alive:
            raise UsageError(f"allocator {self.name} is gone")
        return self.runtime.system.machine.allocator_stats(self.id)

    def prefill(self, count: int) -> None:
        """The next `count` allocations succeed, in any context: bpf_mem_prefill from user space.
        Raises UsageError for a negative count and once the allocator map is gone."""
        if not self.alive:
            raise UsageError(f"allocator {self.name} is gone")
        self.runtime.system.machine.prefill(self.id, count)

    def types(self) -> dict[str, int]:
        """How many objects live, by the names of their types."""
        return self.runtime.system.machine.allocator_types(self.id)

    def objects(self) -> tuple[tuple[str, ...], ...]:
        """The lives of its live objects, oldest object first."""
        if not self.alive:
            return ()
        return self.runtime.system.machine.allocator_objects(self.id)


class LoadedObject:
    """One file in a runtime: its maps and programs, each behind a descriptor of its own."""

    def __init__(self, runtime: Runtime, spec: ObjectSpec) -> None:
        self.spec = spec
        self.maps: dict[str, Map] = {}
        self.programs: dict[str, Program] = {}
        self._runtime = runtime
        self._btf_fd: int | None = runtime.system.btf_load(spec.btf)

    def _load(self, programs: list[ProgramSpec], options: Options) -> None:
        assert self._btf_fd is not None
        system = self._runtime.system
        ids: dict[str, int] = {}
        for spec in _in_order(self.spec.maps):
            existing = None if spec.data is not None else system.find_map(spec.name)
            if existing is None:
                fd = system.map_create(spec, self._btf_fd, ids)
            else:
                fd = system.map_share(existing, spec)
            ids[spec.name] = system.map_of(fd).id
            self.maps[spec.name] = Map(self._runtime, spec, ids[spec.name], fd)
        for program in programs:
            verdict = verify(self.spec, program, replace(options, facts=True))
            fd = system.program_load(program, verdict, self._btf_fd, ids)
            self.programs[program.name] = Program(self._runtime, program, verdict, fd)
        for opened in self.maps.values():
            # As bpf_object_init_prog_arrays in libbpf.
            if MAP_TYPE[opened.spec.type].shape is Shape.PROGS:
                for slot, name in enumerate(opened.spec.inner_names):
                    if name in self.programs:
                        opened[slot] = self.programs[name]

    @_alone
    def close(self) -> None:
        """Unload the programs and close the maps; what others still hold stays."""
        for program in self.programs.values():
            program._close()
        for opened in self.maps.values():
            opened._close()
        if self._btf_fd is not None:
            self._runtime._give_back(self._btf_fd)
            self._btf_fd = None
        self._runtime._passed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _in_order(maps: Mapping[str, MapSpec]) -> list[MapSpec]:
    """Maps that others name come before those, so that they exist by then."""
    ordered: dict[str, MapSpec] = {}

    def visit(spec: MapSpec, above: frozenset[str]) -> None:
        for name in spec.needs:
            if name in above:
                raise LoadRefused(f"map {spec.name} names itself by way of {name}")
            if name in maps and name not in ordered:
                visit(maps[name], above | {name})
        ordered[spec.name] = spec

    for spec in maps.values():
        if spec.name not in ordered:
            visit(spec, frozenset({spec.name}))
    return list(ordered.values())


class Program:
    """A loaded program. `verdict` has its flows and what verification took."""

    def __init__(self, runtime: Runtime, spec: ProgramSpec, verdict: Verdict, fd: int) -> None:
        self.name = spec.name
        self.spec = spec
        self.verdict = verdict
        self._runtime = runtime
        self._fd: int | None = fd
        self._entries: dict[int | None, Entry] = {}

    @property
    def fd(self) -> int:
        """The descriptor, for `Runtime.system`. Raises UsageError once unloaded."""
        if self._fd is None:
            raise UsageError(f"program {self.name} was unloaded")
        return self._fd

    def run(
        self,
        ctx: bytes = b"",
        *,
        cpu: int = 0,
        context: Context = Context.TASK,
        repeat: int = 1,
        data: bytes = b"",
    ) -> RunResult:
        """Run `repeat` times; the result is the last one's. `ctx` is the context's first bytes, the
        rest is 0; `data` the packet, an Ethernet frame, for types that get one.

        Raises Violation where the machine sees a memory error."""
        if repeat < 1:
            raise UsageError(f"a program cannot run {repeat} times")
        before = len(self._runtime.printk)
        system = self._runtime.system
        for _ in range(repeat):
            done = system.run_on(self.fd, data, ctx, cpu=cpu, context=context)
        self._runtime._passed()
        return RunResult(done.retval & 0xFFFFFFFF, self._runtime.printk[before:], done.data)

    def compilation(self) -> Compilation | None:
        """How the program became machine code, which it does now if it has not yet; None if it is
        interpreted, as on the model machine."""
        machine = self._runtime.system.machine
        if not isinstance(machine, Compiling):
            return None
        return machine.compilation(self._runtime.system.program_of(self.fd).id)

    def dump(self, form: CodeForm = "asm") -> str:
        """The program as LLVM's text or machine code, beside its C source. Raises UsageError on a
        machine that does not compile, BpfheapError for a program that cannot be compiled."""
        machine = self._runtime.system.machine
        if not isinstance(machine, Compiling):
            raise UsageError(
                f"the {machine.name} machine compiles nothing", hint='use machine="native"'
            )
        return machine.dump(self._runtime.system.program_of(self.fd).id, form)

    def entry(self, *, cpu: int | None = None) -> Callable[..., int]:
        """The short way in, for programs that run often: `entry(ctx)` gives r0's lower half, and
        does nothing but run the program, on that CPU or on any. No grace period passes and the
        history does not tell of it. It ends with the program.

        Raises UsageError where there is none: on a machine without real memory, for a program that
        gets a packet, and under a policy that watches each object."""
        return self._entry(cpu).run

    @_alone
    def _entry(self, cpu: int | None) -> Entry:
        if cpu not in self._entries:
            self._entries[cpu] = self._runtime.system.entry(self.fd, cpu)
        return self._entries[cpu]

    def run_batch(self, inputs: Memory, *, cpu: int | None = None) -> memoryview:
        """Run once for each row of `inputs`, which are the first bytes of contexts: a numpy array,
        of rows or of records, or another buffer of items. Gives r0's lower halves, one u32 each.
        Other threads of Python go on meanwhile.

        Raises UsageError where `entry` does, and for inputs that are no rows of a context."""
        rows = memoryview(inputs)
        if not rows.c_contiguous or not rows.ndim:
            raise UsageError("the inputs of a batch must lie in memory one after the other")
        count = rows.shape[0] if rows.shape else 0
        results = memoryview(bytearray(4 * count)).cast("I")
        if count:
            try:
                self._entry(cpu).batch(rows, rows.nbytes // count, results)
            except ValueError as error:
                raise UsageError(f"inputs of program {self.name}: {error}") from None
            self._runtime._passed()
        return results

    @_alone
    def unload(self) -> None:
        """Give the descriptor back; the program goes unless it is pinned."""
        self._close()
        self._runtime._passed()

    def _close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._runtime._give_back(fd)


class Attachment:
    """A program that a signal runs; a context manager, which ends it."""

    def __init__(self, runtime: Runtime, program: Program, signal: int, hz: int) -> None:
        self.signal = signal
        self._runtime = runtime
        system = runtime.system
        # It goes on when the program is unloaded, as a bpf_link does.
        self._fd: int | None = system.program_open(system.program_of(program.fd).id)
        try:
            self._probe = system.attach(self._fd, signal, hz)
        except BaseException:
            runtime._give_back(self._fd)
            raise

    @property
    def runs(self) -> int:
        """How often the program ran."""
        return self._probe.stats()[0]

    @property
    def missed(self) -> int:
        """How many signals came when no CPU was free for it, or all its levels were taken."""
        return self._probe.stats()[1]

    @property
    def retval(self) -> int:
        """What the last run returned."""
        return self._probe.stats()[2] & 0xFFFFFFFF

    @_alone
    def detach(self) -> None:
        """The signal does again what it did before."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        self._probe.detach()
        self._runtime.system.detached(self.signal)
        self._runtime._attached.remove(self)
        self._runtime._give_back(fd)
        self._runtime._passed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.detach()


class Map(Mapping[Any, Any]):
    """A map's content by BTF: `m[7]`, `m[7] = {"var": 1}`, `del m[7]`, iteration over keys.

    Keys and values are ints, sequences, mappings of members, or bytes. Values of per-CPU maps are
    lists with one value for each CPU. A kptr shows the object it points at. Reading a missing key
    raises KeyError; writing raises MapError where bpf(2) would fail.
    """

    def __init__(self, runtime: Runtime, spec: MapSpec, map_id: int, fd: int | None) -> None:
        self.name = spec.name
        self.spec = spec
        self.id = map_id
        self._runtime = runtime
        self._fd = fd
        self._borrowed = fd is None
        self._type = MAP_TYPE[spec.type]

    @property
    def fd(self) -> int:
        """The descriptor, for `Runtime.system`. Raises UsageError once closed."""
        if self._fd is None:
            raise UsageError(f"map {self.name} has no descriptor here")
        return self._fd

    @_alone
    def close(self) -> None:
        """Give the descriptor back; the map goes when no program and nobody else holds it."""
        self._close()
        self._runtime._passed()

    def view(self) -> memoryview:
        """The values of an array, in place: no copy, and no lock (`numpy.frombuffer` takes it).
        Each begins at a multiple of 8 bytes. Use it no longer than the map.

        Raises UsageError on a machine without real memory, and for maps that hold more than plain
        values."""
        return self._bulk.map_view(self.id)

    def lookup_batch(self, keys: Memory) -> bytearray:
        """The values of keys, which are one after the other (BPF_MAP_LOOKUP_BATCH), of per-CPU maps
        those of all CPUs. On a machine with real memory. Raises MapError (ENOENT) for the first key
        that is not there."""
        return self._bulk.map_lookup_batch(self.id, keys)

    @_alone
    def update_batch(self, keys: Memory, values: Memory, flags: int = 0) -> None:
        """Set as many elements as there are keys. On a machine with real memory. Raises MapError
        for the first that fails; those before it are set."""
        self._bulk.map_update_batch(self.id, keys, values, flags)
        self._runtime._passed()

    @_alone
    def delete_batch(self, keys: Memory) -> None:
        """On a machine with real memory. Raises MapError for the first that fails; those before it
        are gone."""
        self._bulk.map_delete_batch(self.id, keys)
        self._runtime._passed()

    @_alone
    def drain(self) -> list[bytes]:
        """The unread records of a ring buffer, oldest first."""
        if self._type.shape is not Shape.RING:
            raise UsageError(f"map {self.name} is no ring buffer")
        return self._machine.map_drain(self.id)

    @_alone
    def __getitem__(self, key: Any) -> Any:
        raw_key = self._key(key)
        raw = self._machine.map_lookup(self.id, raw_key)
        if raw is None:
            raise KeyError(key)
        if self._type.outer:
            inner = int.from_bytes(raw, "little")
            return Map(self._runtime, self._runtime.system.spec_of(inner), inner, None)
        kptrs = self._machine.map_kptrs(self.id, raw_key)
        if not self._type.per_cpu:
            return self._value(raw, kptrs, 0)
        return [self._value(raw, kptrs, at) for at in range(0, len(raw), self._stride)]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.update(key, value)

    @_alone
    def update(self, key: Any, value: Any, flags: int = 0) -> None:
        """Set one element, with the flags of bpf_map_update_elem. For a map of maps, `value` is
        another Map, for an array of programs a Program."""
        with self._open() as fd:
            self._runtime.system.map_update(fd, self._key(key), self._raw(value), flags)
        self._runtime._passed()

    @_alone
    def __delitem__(self, key: Any) -> None:
        if key not in self:
            raise KeyError(key)
        with self._open() as fd:
            self._runtime.system.map_delete(fd, self._key(key))
        self._runtime._passed()

    def __contains__(self, key: object) -> bool:
        return self._machine.map_lookup(self.id, self._key(key)) is not None

    def __iter__(self) -> Iterator[Any]:
        for raw in self._machine.map_keys(self.id):
            if self.spec.key:
                yield unpack(self.spec.btf, self.spec.key, raw)
            else:
                yield int.from_bytes(raw, "little")

    def __len__(self) -> int:
        return len(self._machine.map_keys(self.id))

    def __repr__(self) -> str:
        return f"<{self._type.name} map {self.name}, {len(self)} elements>"

    @contextmanager
    def _open(self) -> Iterator[int]:
        """This map's descriptor; for an inner map that was looked up, one for the moment."""
        if self._fd is not None or not self._borrowed:
            yield self.fd
            return
        system = self._runtime.system
        fd = system.map_open(self.id)
        try:
            yield fd
        finally:
            system.close(fd)

    @property
    def _machine(self) -> Machine:
        if self.id not in self._runtime.system.maps:
            raise UsageError(f"map {self.name} was freed")
        return self._runtime.system.machine

    @property
    def _bulk(self) -> Bulk:
        machine = self._machine
        if not isinstance(machine, Bulk):
            raise UsageError(
                f"map {self.name} has no memory on the {machine.name} machine",
                hint="the native machine has it",
            )
        return machine

    def _key(self, key: Any) -> bytes:
        spec = self.spec
        return pack(spec.btf, spec.key, key, spec.key_size, what=f"the key of {self.name}")

    @property
    def _stride(self) -> int:
        """From one CPU's value to the next one's."""
        return -(-self.spec.value_size // 8) * 8

    def _value(self, raw: bytes, kptrs: tuple[KptrValue, ...], at: int) -> Any:
        if self.spec.value:
            return unpack(self.spec.btf, self.spec.value, raw, kptrs, at=at)
        return raw[at : at + self.spec.value_size]

    def _raw(self, value: Any) -> bytes:
        spec, what = self.spec, f"the value of {self.name}"
        if self._type.shape is Shape.PROGS:
            if not isinstance(value, Program) or value._runtime is not self._runtime:
                raise UsageError(f"{what} is a program of the same runtime")
            return value.fd.to_bytes(4, "little")
        if self._type.outer:
            if not isinstance(value, Map) or value._runtime is not self._runtime:
                raise UsageError(f"{what} is another map of the same runtime")
            return value.fd.to_bytes(4, "little")
        if not self._type.per_cpu:
            return pack(spec.btf, spec.value, value, spec.value_size, what=what)
        if not isinstance(value, list | tuple):
            raise UsageError(f"{what} is a list with one value for each CPU, not {value!r}")
        return b"".join(
            pack(spec.btf, spec.value, one, spec.value_size, what=what).ljust(self._stride, b"\0")
            for one in value
        )

    def _close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._runtime._give_back(fd)
