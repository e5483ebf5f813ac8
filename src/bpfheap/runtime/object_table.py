"""The objects of a system, who refers to them, and what happens when nobody does any more."""

from __future__ import annotations

from bpfheap.errors import UsageError, Violation
from bpfheap.lifetime import Policy
from bpfheap.platform.maps import BY_NUMBER as MAP_TYPE
from bpfheap.platform.maps import Holds
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID, Machine
from bpfheap.runtime.objects import (
    AllocatorObject,
    BtfObject,
    Deferred,
    Handle,
    HandleType,
    MapObject,
    ProgramObject,
    ValueWalk,
)
from bpfheap.spec import MapSpec
from bpfheap.verifier.flows import GLOBAL_ALLOCATOR


class ObjectTable:
    """Objects by id, descriptors and pins, and the counts of who holds what. An object that nobody
    holds waits for a grace period (`deferred`); an allocator that no policy keeps is destroyed."""

    def __init__(self, policy: Policy, machine: Machine, *, strict_identity: bool = False) -> None:
        self.policy = policy
        self.machine = machine
        self.strict_identity = strict_identity
        self.maps: dict[int, MapObject] = {}
        self.programs: dict[int, ProgramObject] = {}
        self.allocators: dict[int, AllocatorObject] = {}
        self.btfs: dict[int, BtfObject] = {}
        self.fds: dict[int, Handle] = {}
        self.pins: dict[str, Handle] = {}
        self.deferred: tuple[Deferred, ...] = ()
        self.walks: tuple[ValueWalk, ...] = ()
        self.running: dict[int, int] = {}
        #: What is known of each map's types: one complete definition, or, until there is one, all
        #: different ones, since each may define a struct that the others only declare.
        self.definitions: dict[int, tuple[MapSpec, ...]] = {}
        self._next_id = GLOBAL_ALLOCATOR_ID
        self._next_fd = 2
        if policy.watches_objects:
            machine.object_events = []

    # -- what policies and tools look at

    def live(self, allocator: int) -> int:
        return self.machine.allocator_stats(allocator).live

    def inner_maps(self, map_id: int) -> tuple[int, ...]:
        return self.machine.map_inner_ids(map_id)

    def btf_of(self, map_id: int) -> int:
        return self.maps[map_id].btf

    def kptr_allocator(self, map_id: int) -> int | None:
        return self.maps[map_id].kptr_allocator

    def map_name(self, map_id: int) -> str:
        return self.maps[map_id].name

    def allocator_name(self, allocator: int) -> str:
        if allocator == GLOBAL_ALLOCATOR_ID:
            return GLOBAL_ALLOCATOR
        return self.allocators[allocator].name

    def spec_of(self, map_id: int) -> MapSpec:
        """A definition of the map: the complete one, if there is one."""
        return self.definitions[map_id][0]

    # -- descriptors

    def _new_id(self, kind: HandleType | None, name: str) -> int:
        """An id that was never used before, for an object of that kind (None: an allocator)."""
        self._next_id += 1
        return self._next_id

    def _new_fd(self, handle: Handle) -> int:
        self._next_fd += 1
        return self._next_fd

    def _new_descriptor(self, handle: Handle) -> int:
        fd = self._new_fd(handle)
        self.fds[fd] = handle
        self._count_users(handle, +1)
        return fd

    def _handle(self, fd: int, expected: HandleType | None = None) -> Handle:
        handle = self.fds.get(fd)
        if handle is None:
            raise UsageError(f"descriptor {fd} is not open")
        if expected is not None and handle.type is not expected:
            raise UsageError(f"descriptor {fd} is a {handle.type}, not a {expected}")
        return handle

    def _note(self, sentence: str) -> None:
        self.machine.note(sentence)

    # -- counts

    def _count_users(self, handle: Handle, change: int) -> None:
        """Count a descriptor or a pin; the last one gone lets the object go."""
        match handle.type:
            case HandleType.BTF:
                self._count_btf_refs(handle.id, change)
            case HandleType.MAP:
                obj = self.maps[handle.id]
                self.maps[handle.id] = obj._replace(users=obj.users + change)
                if obj.users + change == 0 and self._holds_programs(obj):
                    # Programs in it may hold the map (map_release_uref in the kernel).
                    for key in self.machine.map_keys(obj.id):
                        self._take_program_out(obj, key)
                self._maybe_free_map(handle.id)
            case HandleType.PROGRAM:
                program = self.programs[handle.id]
                self.programs[handle.id] = program._replace(users=program.users + change)
                if program.users + change == 0:
                    self._note(f"{program.name} was unloaded")
                    self._defer(handle)

    def _count_map_refs(self, map_id: int, change: int) -> None:
        obj = self.maps[map_id]
        self.maps[map_id] = obj._replace(refs=obj.refs + change)
        self._maybe_free_map(map_id)

    def _count_btf_refs(self, btf: int, change: int) -> None:
        obj = self.btfs[btf]
        self.btfs[btf] = obj._replace(refs=obj.refs + change)
        if obj.refs + change == 0:
            del self.btfs[btf]
            self.policy = self.policy.btf_freed(btf, self)
            self._destroy_released_allocators("the BTF was freed")

    def _maybe_free_map(self, map_id: int) -> None:
        obj = self.maps[map_id]
        if obj.users == 0 and obj.refs == 0 and not obj.freeing:
            self.maps[map_id] = obj._replace(freeing=True)
            self._defer(Handle(HandleType.MAP, map_id))

    def _defer(self, handle: Handle) -> None:
        # Grace periods promise no order. Sorted, it does not depend on the order of events, and the
        # explorer has fewer states.
        added = (*self.deferred, Deferred(handle, frozenset(self.running)))
        self.deferred = tuple(sorted(added, key=lambda d: d.handle))

    # -- arrays of programs

    def _is_outer(self, obj: MapObject) -> bool:
        return MAP_TYPE[self.spec_of(obj.id).type].outer

    def _holds_programs(self, obj: MapObject) -> bool:
        row = MAP_TYPE.get(self.spec_of(obj.id).type)
        return row is not None and row.holds is Holds.PROGRAMS

    def _take_program_out(self, obj: MapObject, key: bytes) -> None:
        old = self.machine.map_lookup(obj.id, key)
        self.machine.map_delete(obj.id, key)
        self._drop_program(old)

    def _drop_program(self, old: bytes | None) -> None:
        if old is not None:
            self._count_users(Handle(HandleType.PROGRAM, int.from_bytes(old, "little")), -1)

    # -- allocators

    def _destroy_released_allocators(self, event: str) -> None:
        """Destroy the allocators that nothing keeps any more."""
        self._tell_policy_of_objects()
        for allocator in [a for a in self.allocators.values() if a.closed]:
            if not self.policy.waits_for(allocator.id, self):
                self.machine.allocator_destroy(
                    allocator.id,
                    f"its map was gone, and policy {self.policy.name} had no reason left to keep "
                    f"it once {event}",
                )
                del self.allocators[allocator.id]
                self.policy = self.policy.allocator_destroyed(allocator.id)

    def _tell_policy_of_objects(self) -> None:
        """Tell the policy what became of objects. Raises Violation for a free that goes to
        another allocator than the object's."""
        events = self.machine.object_events
        while events:
            event = events.pop(0)
            why = self.policy.misdirected(event, self)
            if why is not None:
                events.clear()
                raise Violation(why, kind="use-after-free")
            self.policy = self.policy.object_event(event, self)
