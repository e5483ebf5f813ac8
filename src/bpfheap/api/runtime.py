"""A runtime, what it loads, its allocators, and what it finds left over when it is closed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, Self

from bpfheap.api.arguments import one_of, shown, whole
from bpfheap.api.kernel import Around
from bpfheap.api.map import Map
from bpfheap.api.named import Named
from bpfheap.api.names import MachineOptions, machine_named, policy_named
from bpfheap.api.program import Attachment, Program
from bpfheap.api.session import gives_back, locked
from bpfheap.api.struct_ops import StructOps
from bpfheap.btf import Btf
from bpfheap.compile import object_spec, type_of
from bpfheap.compile.options import GivenOptions, Texts
from bpfheap.elf.target import Target
from bpfheap.errors import BpfheapError, MachineUnsupported, UsageError, Violation
from bpfheap.lifetime import POLICIES
from bpfheap.runtime.loader import Loader, loaded_programs, wanted_maps
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID, AllocatorStats
from bpfheap.runtime.settings import with_entries, with_open_sizes, with_rodata
from bpfheap.runtime.system import System
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, Verdict, verify
from bpfheap.vmlinux import Earlier, Vmlinux, release_named

_IMMORTAL = "immortal-allocator"
#: Virtual CPUs, BH_CPUS_MAX of the native machine.
_MAX_CPUS = 256
_SEEDS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that outlived everything that could reach it, or a memory error on the way.

    `kind`: "leak", "immortal-allocator" or a violation's kind.
    `message`: one sentence.
    `life`: what became of the object, a sentence each, oldest first.
    """

    kind: str
    message: str
    life: tuple[str, ...]

    @property
    def is_error(self) -> bool:
        """A leak or memory error; an allocator that outlives its use is a finding about the
        policy's design."""
        return self.kind != _IMMORTAL


def check(
    source: str | Path | ObjectSpec,
    *,
    options: Options = Options(),
    include: Texts = (),
    define: Texts = (),
    cflags: Texts = (),
    compile_commands: str | Path | None = None,
    kernel_btf: str | Path | None = None,
    kconfig: str | Path | None = None,
    kernel: str | None = None,
) -> list[tuple[ProgramSpec, Verdict]]:
    """Verify every program of one file (`.bpf.c` or object) and load nothing. How C is compiled say
    the same arguments as those of `Runtime.load`; `kernel_btf` and `kconfig` are as in Runtime.
    `kernel`: the release of Linux that programs have to load on, such as "6.1"; the newest that
    bpfheap knows, if not given. It is not asked of an ObjectSpec, which has a kernel.
    Each program has a verdict, those that could not be linked, too: `verdict.kind` says which.

    Raises CompileError or FormatError if there is no object to verify, UsageError for a release
    that is none.
    """
    spec = source
    target: Target = (here := Vmlinux(kernel_btf, kconfig))
    if kernel is not None:
        target = Earlier(here, release_named(kernel))
    if not isinstance(spec, ObjectSpec):
        spec = object_spec(
            spec,
            include=include,
            define=define,
            cflags=cflags,
            compile_commands=compile_commands,
            target=target,
        )
    return [(program, verify(spec, program, options)) for program in spec.programs.values()]


class Runtime(Around):
    """BPF programs, maps and allocators in user space, under one policy on one machine.

    With `grace="auto"` a grace period passes after every call, as it would for somebody who
    waits long enough; with "manual" only `grace_period` lets one pass. Use as a context manager,
    which raises Violation for what `close` would report as a leak or a memory error.

    On the native machine programs become machine code before their first run, unless `jit` is
    False or llvmlite is not installed. A run that takes more than `budget` instructions is broken
    off (0: no limit; loops are counted in steps of their length). Maps and objects take no more
    than `memory` bytes; by default three quarters of what this process could have there, and
    whatever they want on the model machine.
    `hardened` programs there reach the runtime's own memory alone, and come to an end, even if the
    verifier is wrong.

    Files that ask for the types of a kernel (CO-RE, __ksym) see those of `kernel_btf`: a file with
    BTF, or "none". Else they see those that pyproject.toml names (`kernel-btf` in
    `[tool.bpfheap]`), or this system's. What they ask of its configuration (__kconfig) comes from
    the file `kconfig`, the key of that name, or this system.

    A run that is broken off while it holds a lock poisons the runtime, and a fork of the process
    does so on the native machine: everything but `close` then raises RuntimePoisoned.

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
        memory: int | None = None,
        hardened: bool = False,
        kernel_btf: str | Path | None = None,
        kconfig: str | Path | None = None,
    ) -> None:
        one_of(grace, "grace", ("auto", "manual"))
        memory = None if memory is None else whole(memory, "the memory", 1)
        options = MachineOptions(
            whole(cpus, "the number of CPUs", 1, _MAX_CPUS),
            whole(seed, "the seed", -_SEEDS, _SEEDS),
            None if jit is None else bool(jit),
            whole(budget, "the budget"),
            memory,
            bool(hardened),
        )
        kernel = Vmlinux(kernel_btf, kconfig)
        made = machine_named(machine, options)
        system = System(policy_named(policy), made, strict_identity=strict_identity)
        super().__init__(system, grace, kernel, options.cpus)
        self._options = Options(strict_identity=strict_identity)
        self._kernel = kernel
        self._leftovers: list[Leftover] = []
        #: Closed, and no execution is left that could go on.
        self._settled = False

    @property
    def allocators(self) -> dict[str, Allocator]:
        """The allocators that are alive, by name; of several of one name, the newest."""
        return {a.name: Allocator(self, a.id, a.name) for a in self.system.allocators.values()}

    @locked
    def load(
        self,
        source: str | Path | ObjectSpec,
        *,
        programs: Iterable[str] | None = None,
        rodata: Mapping[str, Any] = {},
        max_entries: Mapping[str, int] = {},
        include: Texts = (),
        define: Texts = (),
        cflags: Texts = (),
        compile_commands: str | Path | None = None,
    ) -> LoadedObject:
        """Compile if need be, verify and load one file. A map whose name and type another loaded
        file has is that file's map. Programs in sections "?..." load only if named in `programs`.
        `rodata` has values of constants (`const volatile` variables), which the verifier then
        knows; `max_entries` the sizes of maps (`outer.inner`: of the inner maps of one), where they
        are not to be as the file says. What the file leaves open, as its own loader sets it, is
        warned of, and large enough for most tests.

        Maps of types that bpfheap does not know, or the machine does not offer, are not made, as
        long as no program that is loaded names one.

        C is compiled with headers of the folders `include`, with the macros `define` ("NAME" or
        "NAME=VALUE") and the compiler's flags `cflags`, and with what `[tool.bpfheap]` of the
        pyproject.toml says, and the source's entry in `compile_commands` or the
        compile_commands.json near it.

        Raises CompileError, FormatError, VerifierError for a program that is rejected, Unsupported
        for one that needs what bpfheap does not know, LoadRefused, or UsageError for an unknown
        name in `programs`, `rodata` or `max_entries`, and for a value that does not fit. Then
        nothing of the file stays.
        """
        if not isinstance(source, str | Path | ObjectSpec):
            raise UsageError(f"a file is given by its path, not as {shown(source)}")
        spec = source
        how: GivenOptions = {
            "include": include,
            "define": define,
            "cflags": cflags,
            "compile_commands": compile_commands,
        }
        if not isinstance(spec, ObjectSpec):
            spec = object_spec(spec, target=self._kernel, **how)
        spec = with_entries(with_rodata(spec, rodata), max_entries)
        known, spec = spec.notes, with_open_sizes(spec)
        for note in spec.notes[len(known) :]:
            warnings.warn(f"{spec.file}: {note}", stacklevel=3)
        chosen = self._chosen(spec, programs)
        types = cache(partial(type_of, Path(spec.file), target=self._kernel, **how))
        loaded = LoadedObject(self, spec, types)
        try:
            loaded._load(chosen, self._options)
        except BpfheapError:
            loaded.close()
            raise
        self._passed()
        return loaded

    def _map_by_id(self, map_id: int) -> Map:
        return Map(self, self.system.spec_of(map_id), map_id, None)

    @locked
    def attach(self, program: Program, *, signal: int, hz: int = 0) -> Attachment:
        """Let a signal run a program of type perf_event, with the registers that it finds as
        context: whatever they belong to may be interrupted, other runs and allocations too. `hz`
        times a second (of the process' time for SIGPROF, else of the clock's), or whenever somebody
        sends the signal (0).

        Raises UsageError if the machine, the program or the signal is none for that."""
        hz = whole(hz, "the runs in a second", 0, 1_000_000)
        made = Attachment(self, program, signal, hz)
        self._attached.append(made)
        return made

    def close(self) -> list[Leftover]:
        """Close all descriptors and pins and say what is left although nothing reaches it. Nothing
        can be loaded or run afterwards. If a program is still running, it can end, and then one can
        close once more. A runtime that is poisoned is let go as it is."""
        with self._lock:
            if not self._closed and self._is_over():
                self._abandon()
            elif not self._settled:
                self._leftovers = self._close()
            self._closed = True
            return list(self._leftovers)

    def _abandon(self) -> None:
        """Wait for nothing: somebody may have what would be waited for."""
        for attachment in self._attached:
            attachment.let_go()
        self.system.machine.close()
        self._settled = True

    def _close(self) -> list[Leftover]:
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
            self._collect(found, self._pass_time)
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
        if not held:
            system.machine.close()
            self._settled = True
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
            return loaded_programs(spec)
        if isinstance(programs, str | bytes | memoryview) or not isinstance(programs, Iterable):
            raise UsageError(f"programs are given as a list of names, not as {shown(programs)}")
        names = list(programs)
        for name in names:
            if not isinstance(name, str) or name not in spec.programs:
                raise UsageError(
                    f"there is no program {name}",
                    file=spec.file,
                    hint=f"it has {', '.join(spec.programs) or 'none'}",
                )
        return [spec.programs[name] for name in names]


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
        self.runtime.system.machine.prefill(self.id, whole(count, "the number of objects"))

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

    def __init__(
        self,
        runtime: Runtime,
        spec: ObjectSpec,
        types: Callable[[str], tuple[Btf, int] | None],
    ) -> None:
        self.spec = spec
        self._types = types
        self.maps: dict[str, Map] = Named("map")
        self.programs: dict[str, Program] = Named("program")
        self.struct_ops: dict[str, StructOps] = Named("variable in .struct_ops")
        self._runtime = runtime
        self._btf_fd: int | None = runtime.system.btf_load(spec.btf)

    def _load(self, programs: list[ProgramSpec], options: Options) -> None:
        assert self._btf_fd is not None
        system = self._runtime.system
        loader = Loader(system, self._btf_fd)
        verdicts = [
            verify(self.spec, program, replace(options, facts=True)) for program in programs
        ]
        for program, verdict in zip(programs, verdicts, strict=True):
            if verdict.error is not None:
                raise program.broken or verdict.error
        named = {ref.name for program in programs for ref in program.refs.values()}
        for spec in wanted_maps(self.spec, programs, plays=system.playing is not None):
            # Maps of one name are one map, but every file has data sections of its own.
            existing = None if spec.data is not None else system.find_map(spec.name)
            try:
                fd = loader.open_map(spec, existing)
            except MachineUnsupported:
                if spec.name in named:
                    raise
                continue
            self.maps[spec.name] = Map(
                self._runtime, spec, loader.map_ids[spec.name], fd, self._types
            )
        self._runtime._types.append(self.spec.btf)
        for program, verdict in zip(programs, verdicts, strict=True):
            self._runtime._surround(program)
            fd = loader.load_program(program, verdict)
            loaded = Program(self._runtime, program, verdict, fd)
            self.programs[program.name] = loaded
            self._runtime._loaded.append(loaded)
        loader.fill_program_arrays({p.name: p.fd for p in self.programs.values()})
        for name, ops in self.spec.struct_ops.items():
            self.struct_ops[name] = StructOps(ops, self.programs)

    @gives_back
    def close(self) -> None:
        """Unload the programs and close the maps; what others still hold stays."""
        for program in self.programs.values():
            program._close()
            if program in self._runtime._loaded:
                self._runtime._loaded.remove(program)
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
