"""User space and its CPUs: everything that can happen next, and making it happen.

A `World` drives one System as people and events would: it holds the descriptors, knows what runs
where, and asks the System for nothing that bpf(2) would not offer. It plays histories (`replay`)
and, on a System whose state is looked at piece by piece, is what the explorer explores.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, NamedTuple

from bpfheap.errors import LoadRefused, MapError, UsageError, Violation
from bpfheap.explore.plan import Plan, ProgramPlan
from bpfheap.runtime.loader import Loader
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID, AtCall, Context
from bpfheap.runtime.objects import Handle, HandleType
from bpfheap.runtime.system import System
from bpfheap.spec import MapSpec


class Action(NamedTuple):
    """Something that happens.

    `verb`: a key of VERBS.
    `subject`: the map, program or insert that it happens to, "" if there is none.
    `cpu`: where a program is started or stepped; None for everything else.
    `nmi`: the program is started in an nmi, which may interrupt another one.
    """

    verb: str
    subject: str = ""
    cpu: int | None = None
    nmi: bool = False

    def __str__(self) -> str:
        words = [self.verb, self.subject] if self.subject else [self.verb]
        if self.cpu is not None:
            words.append(f"cpu{self.cpu}")
        if self.nmi:
            words.append("nmi")
        return " ".join(words)


#: Longer numbers name nothing that there is, and Python reads the longest not at all.
_DIGITS = 9


def parse_action(text: str) -> Action:
    """The inverse of str(action). Raises UsageError for anything else."""
    words = text.split()
    verb = words.pop(0) if words else ""
    if verb not in VERBS:
        raise UsageError(f"{text!r} is no action", hint=f"actions are {', '.join(VERBS)}")
    nmi = bool(words) and words[-1] == "nmi"
    if nmi:
        words.pop()
    cpu = None
    if words and verb in ("run", "step") and words[-1].startswith("cpu"):
        number = words.pop()[len("cpu") :]
        if not number.isdecimal() or len(number) > _DIGITS:
            raise UsageError(f"{text!r} names no CPU")
        cpu = int(number)
    return Action(verb, " ".join(words), cpu, nmi)


class Actor(NamedTuple):
    """Somebody who acts: a map's or program's user, a CPU, the grace period, walks. `kind` is a key
    of _ENABLED, `name` which of them."""

    kind: str
    name: str


class MapUser(NamedTuple):
    """What user space remembers of a map.

    `fd`: its open descriptor.
    `id`: the map that it created last under the name.
    `creates`: how often it created one.
    `pins`: how often it pinned or unpinned it, so that it is pinned while that is odd.
    """

    fd: int | None = None
    id: int | None = None
    creates: int = 0
    pins: int = 0


class ProgramUser(NamedTuple):
    """What user space remembers of a program. `runs`: since it was loaded last."""

    fd: int | None = None
    loads: int = 0
    runs: int = 0


class FileUser(NamedTuple):
    """A file whose BTF is open. `uses`: the open maps and programs that came from it; the last one
    closes the BTF."""

    fd: int
    uses: int


class InsertUser(NamedTuple):
    inserts: int = 0
    deletes: int = 0


_NO_MAP, _NO_PROGRAM, _NO_INSERT = MapUser(), ProgramUser(), InsertUser()


class World:
    """`users` holds what user space remembers, by actor."""

    def __init__(
        self,
        plan: Plan,
        system: System,
        users: MutableMapping[Actor, Any] | None = None,
        *,
        any_cpu: bool = False,
    ) -> None:
        """`any_cpu`: a program starts on the first idle CPU, since one is as good as another."""
        self.plan = plan
        self.system = system
        self.users: MutableMapping[Actor, Any] = {} if users is None else users
        self._any_cpu = any_cpu
        #: By CPU, the call before which the program there stands.
        self.stops: dict[int, AtCall] = {}

    # -- what can happen

    def actors(self) -> list[Actor]:
        return [
            *(Actor("cpu", str(n)) for n in range(self.plan.bounds.cpus)),
            *(Actor("map", name) for name in self.plan.maps),
            Actor("process", ""),
            *(Actor("insert", str(n)) for n in range(len(self.plan.inserts))),
            *(Actor("program", label) for label in self.plan.programs),
            Actor("walks", ""),
            Actor("grace", ""),
        ]

    def enabled(self, actor: Actor) -> list[Action]:
        """What an actor can do now; always in the same order."""
        return _ENABLED[actor.kind](self, actor)

    def _map_actions(self, actor: Actor) -> list[Action]:
        name, plan = actor.name, self.plan
        user: MapUser = self.users.get(actor, _NO_MAP)
        found = []
        exited = plan.bounds.one_process and self.users.get(Actor("process", ""), False)
        if (
            not exited
            and user.fd is None
            and not user.pins % 2
            and user.creates < plan.creates(name)
        ):
            gone = user.id is None or self._map_id(name) is None
            if gone and all(self._map_id(n) is not None for n in plan.maps[name].spec.needs):
                found.append(Action("create", name))
        if user.fd is not None:
            if not plan.bounds.one_process:
                found.append(Action("close", name))
            if name in plan.pins and not user.pins % 2 and user.pins // 2 < user.creates:
                found.append(Action("pin", name))
        if user.pins % 2:
            found.append(Action("unpin", name))
        return found

    def _process_actions(self, actor: Actor) -> list[Action]:
        if not self.plan.bounds.one_process or self.users.get(actor, False):
            return []
        return [Action("exit")] if self._open_maps() else []

    def _program_actions(self, actor: Actor) -> list[Action]:
        user: ProgramUser = self.users.get(actor, _NO_PROGRAM)
        bounds = self.plan.bounds
        label = actor.name
        if user.fd is None:
            maps = self.plan.programs[label].maps
            if user.loads < bounds.loads and all(self._map_id(n) is not None for n in maps):
                return [Action("load", label)]
            return []
        found = [Action("unload", label)]
        if user.runs < bounds.runs:
            for cpu in range(bounds.cpus):
                busy = len(self._running(cpu))
                if busy == 0:
                    found.append(Action("run", label, cpu))
                    if self._any_cpu:
                        break
                elif busy == 1 and bounds.nmi:
                    found.append(Action("run", label, cpu, nmi=True))
        return found

    def _cpu_actions(self, actor: Actor) -> list[Action]:
        cpu = int(actor.name)
        return [Action("step", "", cpu)] if self._running(cpu) else []

    def _insert_actions(self, actor: Actor) -> list[Action]:
        insert = self.plan.inserts[int(actor.name)]
        outer: MapUser = self.users.get(Actor("map", insert.outer), _NO_MAP)
        if outer.fd is None:
            return []
        user: InsertUser = self.users.get(actor, _NO_INSERT)
        assert outer.id is not None
        present = self.system.machine.map_lookup(outer.id, insert.key)
        if present is not None:
            return [Action("delete", actor.name)] if not user.deletes else []
        inner: MapUser = self.users.get(Actor("map", insert.inner), _NO_MAP)
        return [Action("insert", actor.name)] if inner.fd is not None and not user.inserts else []

    def _walk_actions(self, actor: Actor) -> list[Action]:
        return [Action("walk", self._handle_name(w.handle)) for w in self.system.walks]

    def _grace_actions(self, actor: Actor) -> list[Action]:
        return [Action("grace")] if self.system.grace_period_due() else []

    # -- making it happen

    def do(self, action: Action) -> LoadRefused | None:
        """Why a load was refused, else None. Raises Violation for what a machine sees, UsageError
        for an action that is not possible now."""
        if action.verb not in VERBS:
            raise UsageError(f"{action} is no action")
        try:
            return VERBS[action.verb](self, action)
        except (KeyError, StopIteration) as error:
            raise UsageError(f"{action} is not possible here") from error

    def _create(self, action: Action) -> None:
        actor = Actor("map", action.subject)
        user: MapUser = self.users.get(actor, _NO_MAP)
        plan = self.plan.maps[action.subject]
        there = {name: self._known(name) for name in plan.spec.needs}
        loader = Loader(self.system, self._open_file(plan.file), there)
        fd = loader.open_map(plan.spec, None)
        map_id = loader.map_ids[action.subject]
        self.users[actor] = user._replace(fd=fd, id=map_id, creates=user.creates + 1)

    def _close(self, action: Action) -> None:
        actor = Actor("map", action.subject)
        user: MapUser = self.users[actor]
        self.system.close(self._open(user.fd, action))
        self.users[actor] = user._replace(fd=None)
        self._close_file(self.plan.maps[action.subject].file)

    def _exit(self, action: Action) -> None:
        for name in self._open_maps():
            self._close(Action("close", name))
        self.users[Actor("process", "")] = True

    def _pin(self, action: Action) -> None:
        actor = Actor("map", action.subject)
        user: MapUser = self.users[actor]
        self.system.pin(self._open(user.fd, action), action.subject)
        self.users[actor] = user._replace(pins=user.pins + 1)

    def _unpin(self, action: Action) -> None:
        actor = Actor("map", action.subject)
        user: MapUser = self.users[actor]
        self.system.unpin(action.subject)
        self.users[actor] = user._replace(pins=user.pins + 1)

    def _load(self, action: Action) -> LoadRefused | None:
        actor = Actor("program", action.subject)
        user: ProgramUser = self.users.get(actor, _NO_PROGRAM)
        plan = self.plan.programs[action.subject]
        loader = Loader(self.system, self._open_file(plan.file))
        fd = None
        refused = None
        try:
            for name, spec in plan.maps.items():
                loader.open_map(spec, self._known(name))
            for spec in plan.sections.values():
                loader.open_map(spec, self._section(plan, spec))
            fd = loader.load_program(plan.spec, plan.verdict)
            loader.fill_program_arrays({plan.spec.name: fd})
        except LoadRefused as refusal:
            refused = refusal
        loader.close_maps()
        if refused is not None:
            if fd is not None:
                self.system.close(fd)
            self._close_file(plan.file)
            return refused
        self.users[actor] = ProgramUser(fd, user.loads + 1)
        return None

    def _section(self, plan: ProgramPlan, spec: MapSpec) -> int | None:
        """The data section, if programs of the file are loaded that use it: they share it."""
        for other in self.plan.programs.values():
            if other.file != plan.file or spec.name not in other.sections:
                continue
            user: ProgramUser = self.users.get(Actor("program", other.label), _NO_PROGRAM)
            if user.fd is not None:
                maps = self.system.program_of(user.fd).maps
                return next(m for m in maps if self.system.maps[m].name == spec.name)
        return None

    def _unload(self, action: Action) -> None:
        actor = Actor("program", action.subject)
        user: ProgramUser = self.users[actor]
        self.system.close(self._open(user.fd, action))
        self.users[actor] = user._replace(fd=None, runs=0)
        self._close_file(self.plan.programs[action.subject].file)

    def _run(self, action: Action) -> None:
        actor = Actor("program", action.subject)
        user: ProgramUser = self.users[actor]
        cpu = self._cpu(action)
        context = Context.NMI if action.nmi else Context.TASK
        execution = self.system.start(self._open(user.fd, action), b"", cpu=cpu, context=context)
        self.users[actor] = user._replace(runs=user.runs + 1)
        on = Actor("cpu", str(cpu))
        self.users[on] = (*self._running(cpu), execution)
        self._move(on, execution)

    def _step(self, action: Action) -> None:
        cpu = self._cpu(action)
        running = self._running(cpu)
        if not running:
            raise UsageError(f"nothing runs on CPU {cpu}")
        self._move(Actor("cpu", str(cpu)), running[-1])

    def _move(self, on: Actor, execution: int) -> None:
        """An execution that raises is over, too."""
        over = True
        self.stops.pop(int(on.name), None)
        try:
            stop = self.system.step(execution)
            if isinstance(stop, AtCall):
                over = False
                self.stops[int(on.name)] = stop
        finally:
            if over:
                left = self.users[on][:-1]
                if left:
                    self.users[on] = left
                else:
                    del self.users[on]

    def _grace(self, action: Action) -> None:
        self.system.grace_period_begin()

    def _walk(self, action: Action) -> None:
        handle = next(
            w.handle for w in self.system.walks if self._handle_name(w.handle) == action.subject
        )
        self.system.walk_step(handle)

    def _insert(self, action: Action) -> None:
        self._change(action, insert=True)

    def _delete(self, action: Action) -> None:
        self._change(action, insert=False)

    def _change(self, action: Action, *, insert: bool) -> None:
        actor = Actor("insert", action.subject)
        user: InsertUser = self.users.get(actor, _NO_INSERT)
        by_number = {str(n): insert for n, insert in enumerate(self.plan.inserts)}
        plan = by_number[action.subject]
        outer = self._open(self.users[Actor("map", plan.outer)].fd, action)
        try:
            if insert:
                inner = self._open(self.users[Actor("map", plan.inner)].fd, action)
                self.system.map_update(outer, plan.key, inner.to_bytes(4, "little"))
                self.users[actor] = user._replace(inserts=user.inserts + 1)
            else:
                self.system.map_delete(outer, plan.key)
                self.users[actor] = user._replace(deletes=user.deletes + 1)
        except (MapError, LoadRefused) as refused:
            raise UsageError(f"{action}: {refused.message}") from None

    # -- at the end

    def leaks(self) -> Violation | None:
        """Called when nothing can happen any more, so everything is closed."""
        machine = self.system.machine
        allocators = {a.id: a.name for a in self.system.allocators.values()}
        for allocator, name in {GLOBAL_ALLOCATOR_ID: "bpf_obj_new", **allocators}.items():
            objects = machine.allocator_objects(allocator)
            if objects:
                text = f"an object of {name} is left that nothing can reach any more"
                return Violation(text, kind="leak", life=objects[0])
        return None

    def program_on(self, cpu: int) -> str:
        """The name of the program that runs there; "" if none does."""
        running = self._running(cpu)
        return self.system.programs[self.system.running[running[-1]]].name if running else ""

    def is_gone(self, name: str) -> bool:
        """The map was there once, and neither it nor its allocator is any more."""
        user: MapUser = self.users.get(Actor("map", name), _NO_MAP)
        obj = None if user.id is None else self.system.maps.get(user.id)
        return user.creates > 0 and obj is None

    def creates(self, name: str) -> int:
        """How often a map was created."""
        user: MapUser = self.users.get(Actor("map", name), _NO_MAP)
        return user.creates

    # -- inside

    def _open_maps(self) -> list[str]:
        """The maps of which user space has a descriptor."""
        users = ((name, self.users.get(Actor("map", name), _NO_MAP)) for name in self.plan.maps)
        return [name for name, user in users if user.fd is not None]

    def _running(self, cpu: int) -> tuple[int, ...]:
        running: tuple[int, ...] = self.users.get(Actor("cpu", str(cpu)), ())
        return running

    def _map_id(self, name: str) -> int | None:
        """The map that is known under that name, unless it is about to go."""
        user: MapUser = self.users.get(Actor("map", name), _NO_MAP)
        obj = None if user.id is None else self.system.maps.get(user.id)
        return None if obj is None or obj.freeing else obj.id

    def _known(self, name: str) -> int:
        found = self._map_id(name)
        if found is None:
            raise UsageError(f"there is no map {name} now")
        return found

    @staticmethod
    def _open(fd: int | None, action: Action) -> int:
        if fd is None:
            raise UsageError(f"{action} is not possible: {action.subject} is closed")
        return fd

    def _cpu(self, action: Action) -> int:
        if action.cpu is None or not 0 <= action.cpu < self.plan.bounds.cpus:
            raise UsageError(f"{action} names no CPU")
        return action.cpu

    def _handle_name(self, handle: Handle) -> str:
        if handle.type is HandleType.MAP:
            return self.system.maps[handle.id].name
        return f"maps of {self.system.programs[handle.id].name}"

    def _open_file(self, file: int) -> int:
        """The descriptor of a file's BTF, counted once more."""
        actor = Actor("file", str(file))
        user: FileUser | None = self.users.get(actor)
        if user is None:
            user = FileUser(self.system.btf_load(self.plan.files[file].btf), 0)
        self.users[actor] = user._replace(uses=user.uses + 1)
        return user.fd

    def _close_file(self, file: int) -> None:
        actor = Actor("file", str(file))
        user: FileUser = self.users[actor]
        if user.uses > 1:
            self.users[actor] = user._replace(uses=user.uses - 1)
            return
        del self.users[actor]
        self.system.close(user.fd)


_ENABLED = {
    "map": World._map_actions,
    "process": World._process_actions,
    "program": World._program_actions,
    "cpu": World._cpu_actions,
    "insert": World._insert_actions,
    "walks": World._walk_actions,
    "grace": World._grace_actions,
}

#: What an action does, by its verb.
VERBS = {
    "create": World._create,
    "close": World._close,
    "exit": World._exit,
    "pin": World._pin,
    "unpin": World._unpin,
    "load": World._load,
    "unload": World._unload,
    "run": World._run,
    "step": World._step,
    "grace": World._grace,
    "walk": World._walk,
    "insert": World._insert,
    "delete": World._delete,
}
