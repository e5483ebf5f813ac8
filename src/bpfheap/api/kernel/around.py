"""What a runtime has of the kernel around its programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeVar

from bpfheap.api.arguments import shown
from bpfheap.api.kernel.current import Clock, CurrentTask
from bpfheap.api.kernel.inputs import Fields, Inputs, Tracepoint
from bpfheap.api.kernel.kernel import Kernel
from bpfheap.api.kernel.net import Net
from bpfheap.api.kernel.objects import KernelObject, address_of
from bpfheap.api.kernel.stubs import stub_of
from bpfheap.api.session import Session, locked
from bpfheap.btf import BtfTypes, Var
from bpfheap.errors import UsageError
from bpfheap.platform.programs import CtxForm, program_type, section_def
from bpfheap.runtime.system import System
from bpfheap.runtime.world import TASK, Leads, Place, World
from bpfheap.spec import ProgramSpec, RefKind
from bpfheap.vmlinux import Vmlinux

_F = TypeVar("_F", bound=Callable[..., Any])


class Fired(Protocol):
    """A loaded program."""

    name: str
    spec: ProgramSpec

    def run(self, ctx: Any) -> Any: ...


class Around(Session, Inputs):
    """A session with a kernel around its programs.

    `kernel` makes the kernel's objects, `current` is the task that runs, `clock` the time, `net`
    the network.
    """

    def __init__(
        self, system: System, grace: Literal["auto", "manual"], source: Vmlinux, cpus: int
    ) -> None:
        super().__init__(system, grace)
        self._types: list[BtfTypes] = []
        self._loaded: list[Fired] = []
        self.kernel = Kernel(self, source, self._types, cpus)
        self.clock = Clock(self.kernel)
        self.net = Net(self.kernel)
        self._current = CurrentTask(self.kernel)
        if system.playing is not None:
            system.playing.maker = self._make

    @property
    def current(self) -> CurrentTask:
        """The task that runs: `bpf.current.pid = 42`. Assign a struct task_struct of `kernel`, or a
        mapping of facts, to make another one current."""
        return self._current

    @current.setter
    def current(self, new: KernelObject | Mapping[str, Any]) -> None:
        if isinstance(new, Mapping):
            self._current.set(**new)
        elif isinstance(new, KernelObject):
            self._current.task = new  # type: ignore[misc]
        else:
            raise UsageError(f"the current task is an object or a mapping, not {shown(new)}")

    def stub(self, name: str) -> Callable[[_F], _F]:
        """Let a Python function be a helper or kfunc: `@bpf.stub("bpf_fib_lookup")` above it,
        before the programs that call it are loaded. It gets the call's arguments: numbers, objects,
        maps, and memory as StubMemory, which writes back; lengths of memory too. It gives a
        number, an object, or None for 0.

        Raises UsageError for a name that is no helper's and no kfunc's."""

        def decorate(function: _F) -> _F:
            stub = stub_of(self.kernel, name, function, self._map_by_id)
            self.kernel.machine.stubs[name] = stub
            return function

        return decorate

    @locked
    def fire(self, where: str, given: Any = None, **fields: Any) -> dict[str, Any]:
        """Run all loaded programs that would be attached there, in the order in which they were
        loaded; gives their results by name. `where` is a tracepoint ("sched:sched_process_exec"),
        or a section ("kprobe/do_unlinkat", "xdp"); `given` what the programs are given, or
        `fields` the fields of their context.

        Raises UsageError if nothing is attached there."""
        found = [program for program in self._loaded if attached(program.spec, where)]
        if not found:
            there = ", ".join(sorted({p.spec.section for p in self._loaded})) or "nothing"
            raise UsageError(f"no program is attached to {where}", hint=f"loaded is {there}")
        if given is None and _is_event(where):
            given = Tracepoint(where, fields)
        elif given is None:
            # Without anything, each is given what it gets by default.
            given = Fields(fields) if fields else b""
        return {program.name: program.run(given) for program in found}

    def _map_by_id(self, map_id: int) -> Any:
        raise NotImplementedError

    def _surround(self, spec: ProgramSpec) -> None:
        """Make what a program that is about to be loaded finds around it: the variables that it
        names, and the current task. Raises UsageError."""
        if self.system.playing is None:
            return
        for ref in spec.refs.values():
            if ref.kind is RefKind.KSYM:
                at = spec.btf.find(ref.name, Var)
                var = None if at is None else spec.btf[at]
                if isinstance(var, Var):
                    self.kernel.variables.declare(spec.btf, ref.name, var.type)

    def _make(self, name: str) -> Leads | None:
        """An object that a call wants: of a task, the current one."""
        if name == TASK:
            task = self._current.task
            return None if task is None else address_of(task)
        of = self.kernel.types.find(name)
        return None if of is None else address_of(self.kernel.make(of, {}))

    def _enter(self, place: Place) -> None:
        """Before a run: it is attached there, and has done nothing yet."""
        machine = self.system.playing
        if machine is not None:
            world = machine.world
            machine.world = world._replace(
                place=place,
                returns=None,
                signals=(),
                output=b"",
                stdout=b"",
                stderr=b"",
                redirects=(),
                network=world.network._replace(assigned=0),
            )

    def _is_at(self, place: Place) -> None:
        """Before a run of which nobody asks what it did."""
        machine = self.system.playing
        if machine is not None and machine.world.place is not place:
            machine.world = machine.world._replace(place=place)

    def _world(self) -> World:
        """What programs did to it."""
        machine = self.system.playing
        return World() if machine is None else machine.world


def _is_event(where: str) -> bool:
    """Is that a tracepoint's name? A section may have a colon in it, too: that of a probe of a
    library's function."""
    return ":" in where and "/" not in where


def attached(spec: ProgramSpec, where: str) -> bool:
    """Would a program of that section be attached there?"""
    section = spec.section.removeprefix("?")
    if _is_event(where):
        row = program_type(section)
        event = where.replace(":", "/")
        records = row is not None and row.form is CtxForm.RECORD
        return records and section.partition("/")[2] == event
    mine, its = section_def(section), section_def(where)
    if mine is None or its is None or program_type(section) != program_type(where):
        return section == where
    here, there = section.partition("/"), where.partition("/")
    row = program_type(section)
    # Of one type are probes of the way into a function, of the way out of it and of system calls.
    probe = row is not None and row.form is CtxForm.REGISTERS
    if probe and here[0].partition(".")[0] != there[0].partition(".")[0]:
        return False
    return mine.attach == its.attach and (not there[1] or here[2] == there[2])
