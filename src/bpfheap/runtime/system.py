"""The rules of life: objects, references, descriptors, pins, grace periods (design, section 4).

A `System` is what a kernel is to BPF: every operation of bpf(2) is a method, and what the kernel
does later, after a grace period, is a step of its own (`grace_period`), so that tests and the
explorer decide when it happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property

from bpfheap.btf import Btf
from bpfheap.errors import LoadRefused, UsageError
from bpfheap.platform.maps import ALLOCATOR_NUMBER
from bpfheap.platform.programs import program_type
from bpfheap.runtime.definitions import declared_only, why_other_map
from bpfheap.runtime.facts import load_facts, map_facts
from bpfheap.runtime.grace import GracePeriods
from bpfheap.runtime.machine import (
    Context,
    Direct,
    Done,
    Entry,
    Probe,
    Sampling,
    Stop,
)
from bpfheap.runtime.objects import (
    AllocatorObject,
    BtfObject,
    Handle,
    HandleType,
    MapObject,
    ProgramObject,
)
from bpfheap.runtime.world import NO_LINKS, Links, Playing
from bpfheap.spec import MapSpec, ProgramSpec
from bpfheap.verifier.verdict import Verdict


class System(GracePeriods):
    """All objects of one runtime, on one machine, under one policy.

    `guard` is entered for what starts and ends an execution, so that threads whose executions go
    on at the same time can share a system; whoever does so calls nothing else without it.

    Descriptors are small integers. Methods that take one raise UsageError for a descriptor that
    is closed or of another type; all may raise Violation, when the machine sees a memory error.
    """

    guard: AbstractContextManager[object] = nullcontext()

    @cached_property
    def playing(self) -> Playing | None:
        """The machine, if it plays a kernel. To look at all methods of one takes a while, and runs
        ask often."""
        return self.machine if isinstance(self.machine, Playing) else None

    # -- BTF

    def btf_load(self, btf: Btf) -> int:
        """A descriptor of a new BTF object. The runtime keeps no types: maps and programs bring
        their own; what counts here is how long the object lives."""
        btf_id = self._new_id(HandleType.BTF, btf.file or "")
        self.btfs[btf_id] = BtfObject(btf_id)
        return self._new_descriptor(Handle(HandleType.BTF, btf_id))

    # -- maps

    def find_map(self, name: str) -> int | None:
        """The map that a program naming `name` would get: as if all were pinned by name."""
        for obj in self.maps.values():
            if obj.name == name and not obj.freeing:
                return obj.id
        return None

    def map_of(self, fd: int) -> MapObject:
        return self.maps[self._handle(fd, HandleType.MAP).id]

    def map_create(self, spec: MapSpec, btf_fd: int, by_name: Mapping[str, int]) -> int:
        """Create a map and give a descriptor. `by_name` are ids of maps that the definition may
        name: initial inner maps and allocators.

        Raises LoadRefused if the definition names a map that is not there or not an allocator.
        """
        btf = self._handle(btf_fd, HandleType.BTF).id
        inner = {
            slot: self._map_named(spec, name, by_name)
            for slot, name in enumerate(spec.inner_names if spec.inner is not None else ())
            if name is not None
        }
        kptr_allocator = self._allocator_named(spec, spec.names_kptr_allocator, by_name)
        for inner_id in inner.values():
            self._check_inner(spec, kptr_allocator, inner_id)
        elem_allocator = self._allocator_named(spec, spec.elem_allocator, by_name)
        map_id = self._new_id(HandleType.MAP, spec.identity)
        allocator = None
        if spec.type == ALLOCATOR_NUMBER:
            allocator = self._new_id(None, spec.name)
            self.machine.allocator_create(allocator, spec.name, spec.max_entries)
            self.allocators[allocator] = AllocatorObject(allocator, spec.name)
        self.machine.map_create(map_id, spec, allocator, inner, elem_allocator)
        self.maps[map_id] = MapObject(
            map_id,
            spec.name,
            btf,
            allocator=allocator,
            kptr_allocator=kptr_allocator,
            elem_allocator=elem_allocator,
        )
        self.definitions[map_id] = (spec,)
        self._count_btf_refs(btf, +1)
        for inner_id in inner.values():
            self._count_map_refs(inner_id, +1)
        self._note(f"{spec.name} was created")
        facts = map_facts(self.maps[map_id], spec)
        self.policy = self.policy.map_created(facts, self)
        return self._new_descriptor(Handle(HandleType.MAP, map_id))

    def map_open(self, map_id: int) -> int:
        """A descriptor of a map by its id (BPF_MAP_GET_FD_BY_ID). Raises UsageError if the map is
        gone or about to go."""
        obj = self.maps.get(map_id)
        if obj is None or obj.freeing:
            raise UsageError(f"there is no map with id {map_id}")
        return self._new_descriptor(Handle(HandleType.MAP, map_id))

    def map_share(self, map_id: int, spec: MapSpec) -> int:
        """One more descriptor of a map, for somebody who defines it too.

        Raises LoadRefused if the definition describes another map: type, sizes, flags and the
        types of keys and values have to agree all the way down.
        """
        known = self.definitions[map_id]
        for other in known:
            why = why_other_map(other, spec, strict=self.strict_identity)
            if why is not None:
                raise LoadRefused(
                    f"map {spec.name} exists already and differs: {why}",
                    file=spec.file or None,
                    hint="maps of one name are one map; rename one or make them agree",
                )
        if declared_only(known[0]) is not None:
            if declared_only(spec) is None:
                self.definitions[map_id] = (spec,)
            elif all(other.btf != spec.btf for other in known):
                self.definitions[map_id] = (*known, spec)
        return self._new_descriptor(Handle(HandleType.MAP, map_id))

    def map_update(self, fd: int, key: bytes, value: bytes, flags: int = 0) -> None:
        """From user space. For a map of maps, `value` is a descriptor of the inner map, as 4
        bytes; for an array of programs, of the program. Raises MapError."""
        obj = self.map_of(fd)
        if self._holds_programs(obj):
            self._put_program(obj, key, value, flags)
            return
        if not self._is_outer(obj):
            self.machine.map_update(obj.id, key, value, flags)
            self._destroy_released_allocators(f"{obj.name} was updated")
            return
        inner = self.map_of(int.from_bytes(value, "little"))
        self._check_inner(self.spec_of(obj.id), obj.kptr_allocator, inner.id)
        old = self.machine.map_lookup(obj.id, key)
        self.machine.map_update(obj.id, key, inner.id.to_bytes(4, "little"), flags)
        self._count_map_refs(inner.id, +1)
        self._note(f"{inner.name} went into {obj.name}")
        self.policy = self.policy.inner_inserted(obj.id, inner.id, self)
        self._drop_inner_map(obj, old)

    def map_delete(self, fd: int, key: bytes) -> None:
        """From user space. Raises MapError."""
        obj = self.map_of(fd)
        if self._holds_programs(obj):
            self._take_program_out(obj, key)
            return
        old = self.machine.map_lookup(obj.id, key) if self._is_outer(obj) else None
        self.machine.map_delete(obj.id, key)
        self._drop_inner_map(obj, old)
        self._destroy_released_allocators(f"an element of {obj.name} was deleted")

    # -- programs

    def program_of(self, fd: int) -> ProgramObject:
        return self.programs[self._handle(fd, HandleType.PROGRAM).id]

    def program_load(
        self, spec: ProgramSpec, verdict: Verdict, btf_fd: int, by_name: Mapping[str, int]
    ) -> int:
        """Load a verified program and give a descriptor. `by_name` are the ids of the maps that
        its code names.

        Raises the verdict's VerifierError, or LoadRefused with the policy's reason.
        """
        if verdict.error is not None:
            raise verdict.error
        names = dict.fromkeys(ref.name for ref in spec.refs.values() if ref.name in by_name)
        used = {name: by_name[name] for name in names}
        program = self._new_id(HandleType.PROGRAM, f"{spec.file}:{spec.name}")
        facts = load_facts(
            program,
            spec,
            self._handle(btf_fd, HandleType.BTF).id,
            verdict.flows,
            {name: self.maps[map_id] for name, map_id in used.items()},
            self.spec_of,
        )
        reason = self.policy.refuse(facts, self)
        if reason is not None:
            self._note(f"{spec.name} was refused: {reason}")
            raise LoadRefused(
                f"policy {self.policy.name} refuses program {spec.name}: {reason}",
                file=spec.file,
                allocator=reason.allocator,
            )
        row = program_type(spec.section)
        kind = row.name if row is not None else ""
        for map_id in facts.maps:
            self._check_program_type(self.maps[map_id], kind, spec.name)
        self.machine.program_load(program, spec, used, verdict.facts)
        self.programs[program] = ProgramObject(program, spec.name, facts.btf, facts.maps, type=kind)
        for map_id in facts.maps:
            self._count_map_refs(map_id, +1)
        self._count_btf_refs(facts.btf, +1)
        self.policy = self.policy.loaded(facts, self)
        self._note(f"{spec.name} was loaded")
        return self._new_descriptor(Handle(HandleType.PROGRAM, program))

    def program_open(self, program: int) -> int:
        """A descriptor of a program by its id (BPF_PROG_GET_FD_BY_ID). Raises UsageError if it is
        gone or about to go."""
        obj = self.programs.get(program)
        if obj is None or not obj.users:
            raise UsageError(f"there is no program with id {program}")
        return self._new_descriptor(Handle(HandleType.PROGRAM, program))

    def attach(self, fd: int, signal: int, hz: int) -> Probe:
        """Let a signal run a program. Whoever asks keeps a descriptor until it is detached.

        Raises UsageError if the machine has no signals, or the program is none for that."""
        if not isinstance(self.machine, Sampling):
            raise UsageError(
                f"signals run no programs on the {self.machine.name} machine",
                hint="the native machine has them",
            )
        program = self.program_of(fd)
        probe = self.machine.attach(program.id, signal, hz)
        self._note(f"{program.name} runs on signal {signal}")
        return probe

    def detached(self, signal: int) -> None:
        """After a signal has ceased to run a program: what its runs left to be done."""
        self._note(f"signal {signal} runs nothing any more")
        self._destroy_released_allocators("the last object was freed")

    # -- executions

    def start(
        self,
        fd: int,
        ctx: bytes = b"",
        *,
        cpu: int = 0,
        context: Context = Context.TASK,
        data: bytes = b"",
        links: Links = NO_LINKS,
    ) -> int:
        """An execution's id; `step` moves it. A descriptor is needed to start, not to go on."""
        with self.guard:
            program = self.program_of(fd)
            execution = self.machine.start(
                program.id, ctx, cpu=cpu, context=context, data=data, links=links
            )
            self.running[execution] = program.id
            self._note(f"{program.name} runs")
        return execution

    def step(self, execution: int, *, through: bool = False) -> Stop:
        """On to the next helper call or the end; with `through`, calls need not be stopped at."""
        try:
            stop = self.machine.step(execution, through=through)
        except BaseException:
            # A KeyboardInterrupt, too: nobody goes on with it.
            with self.guard:
                self._execution_ended(execution)
            raise
        with self.guard:
            if isinstance(stop, Done):
                self._execution_ended(execution)
            self._destroy_released_allocators("the last object was freed")
        return stop

    def run(
        self, fd: int, ctx: bytes = b"", *, cpu: int = 0, context: Context = Context.TASK
    ) -> int:
        """Run from start to end without a break; gives r0."""
        return self.run_on(fd, b"", ctx, cpu=cpu, context=context).retval

    def run_on(
        self,
        fd: int,
        data: bytes,
        ctx: bytes = b"",
        *,
        cpu: int = 0,
        context: Context = Context.TASK,
        links: Links = NO_LINKS,
    ) -> Done:
        """The same on a packet, with what became of it; `links` are the pointers in the context."""
        execution = self.start(fd, ctx, cpu=cpu, context=context, data=data, links=links)
        while not isinstance(stop := self.step(execution, through=True), Done):
            pass
        return stop

    def entry(self, fd: int, cpu: int | None) -> Entry:
        """The short way into a program, until it goes; the history does not tell of such runs, and
        what policies do after a run is done after the next one that is told of.

        Raises UsageError if the machine or the program has none."""
        if not isinstance(self.machine, Direct):
            raise self._no_entry()
        return self.machine.entry(self.program_of(fd).id, cpu)

    def context(self, ctx: bytes, links: Links) -> bytes:
        """What an entry is given for a context with pointers. Raises UsageError where there are
        no entries, and for a pointer to what is gone."""
        if not isinstance(self.machine, Direct):
            raise self._no_entry()
        return self.machine.context(ctx, links)

    def _no_entry(self) -> UsageError:
        return UsageError(
            f"programs of the {self.machine.name} machine have no entry",
            hint="the native machine's have",
        )

    # -- descriptors and pins

    def close(self, fd: int) -> None:
        """Give a descriptor back; the object goes when nothing else holds it."""
        handle = self._handle(fd)
        del self.fds[fd]
        self._count_users(handle, -1)

    def pin(self, fd: int, path: str) -> None:
        """Keep an object under a name. Raises UsageError if the name is taken."""
        if path in self.pins:
            raise UsageError(f"{path} is pinned already", hint="unpin it first")
        handle = self._handle(fd)
        self.pins[path] = handle
        self._count_users(handle, +1)

    def open_pin(self, path: str) -> int:
        """A descriptor of a pinned object."""
        if path not in self.pins:
            raise UsageError(f"nothing is pinned as {path}")
        return self._new_descriptor(self.pins[path])

    def unpin(self, path: str) -> None:
        """Raises UsageError if nothing is pinned there."""
        if path not in self.pins:
            raise UsageError(f"nothing is pinned as {path}")
        self._count_users(self.pins.pop(path), -1)

    # -- inside

    def _check_program_type(self, obj: MapObject, kind: str, name: str) -> None:
        """Raise LoadRefused if program `name` is of another type than an array's programs."""
        if not self._holds_programs(obj):
            return
        if obj.program_type not in (None, kind):
            raise LoadRefused(
                f"{obj.name} is an array of {obj.program_type} programs, and {name} is a {kind}"
            )
        self.maps[obj.id] = obj._replace(program_type=kind)

    def _put_program(self, obj: MapObject, key: bytes, value: bytes, flags: int) -> None:
        program = self.program_of(int.from_bytes(value, "little"))
        self._check_program_type(obj, program.type, program.name)
        old = self.machine.map_lookup(obj.id, key)
        self.machine.map_update(obj.id, key, program.id.to_bytes(4, "little"), flags)
        self._count_users(Handle(HandleType.PROGRAM, program.id), +1)
        self._note(f"{program.name} went into {obj.name}")
        self._drop_program(old)

    def _drop_inner_map(self, outer: MapObject, old: bytes | None) -> None:
        if old is not None:
            inner = int.from_bytes(old, "little")
            self._note(f"{self.maps[inner].name} left {outer.name}")
            self._count_map_refs(inner, -1)

    def _map_named(self, spec: MapSpec, name: str, by_name: Mapping[str, int]) -> int:
        if name not in by_name:
            raise LoadRefused(f"map {spec.name} names map {name}, which is not there")
        return by_name[name]

    def _allocator_named(
        self, spec: MapSpec, name: str | None, by_name: Mapping[str, int]
    ) -> int | None:
        if name is None:
            return None
        allocator = self.maps[self._map_named(spec, name, by_name)].allocator
        if allocator is None:
            raise LoadRefused(f"map {spec.name} names {name} as its allocator, which is none")
        return allocator

    def _check_inner(self, outer: MapSpec, allocator: int | None, inner_id: int) -> None:
        """`allocator` is the one that the outer map's definition names, for all maps inside."""
        template = outer.inner
        inner = self.spec_of(inner_id)
        why: str | None = "it has no template for inner maps"
        hint = None
        if template is not None:
            why = why_other_map(template, inner, strict=self.strict_identity)
            named = self.maps[inner_id].kptr_allocator
            if why is None and allocator is not None and named != allocator:
                # There may be two of one name: an allocator outlives its map.
                own = "none" if named is None else f"another one, {self.allocator_name(named)}"
                why = f"its kptr_allocator is {own}, not {self.allocator_name(allocator)}"
            # Programs may meet in the inner map that share neither the outer map nor its name.
            declared = declared_only(outer) or declared_only(inner)
            if why is None and declared is not None:
                why = f"{declared}, which its values own, is only declared"
                hint = f"define it, and write __kptr_type({declared}); behind the definition"
        if why is not None:
            raise LoadRefused(
                f"{inner.name} cannot be an inner map of {outer.name}: {why}", hint=hint
            )
