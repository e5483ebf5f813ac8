"""What waits for a grace period, and what is done when one has passed: unloaded programs and maps
without users are freed, the values of maps are walked."""

from __future__ import annotations

from bpfheap.lifetime import FieldId
from bpfheap.runtime.facts import owning_fields
from bpfheap.runtime.object_table import ObjectTable
from bpfheap.runtime.objects import Handle, HandleType, ValueWalk
from bpfheap.verifier.flows import Holder


class GracePeriods(ObjectTable):
    """Frees what waited until no execution can see it any more (synchronize_rcu, call_rcu)."""

    def grace_period(self) -> bool:
        """One grace period passes: free what waited for executions that are over. Whether
        anything was freed. What this frees may leave more to free, after another one; so does a
        Violation, and then each further one gets past one kptr at least."""
        freed = bool(self.walks)
        self._walk_all()
        freed |= self.grace_period_begin()
        self._walk_all()
        return freed

    def grace_period_begin(self) -> bool:
        """As `grace_period`, but walks over the values of maps only begin: `walk_step` moves them,
        and others may act in between."""
        self.machine.grace_period()
        self.policy = self.policy.grace_period(self)
        ready = [d for d in self.deferred if not d.readers]
        for done in ready:
            self.deferred = tuple(d for d in self.deferred if d is not done)
            if done.handle.type is HandleType.PROGRAM:
                self._unload(done.handle.id)
            else:
                self._note(f"{self.maps[done.handle.id].name} is freed")
                self.walks = tuple(sorted((*self.walks, ValueWalk(done.handle))))
        self._destroy_released_allocators("a grace period passed")
        return bool(ready)

    def grace_period_due(self) -> bool:
        """Something would change if a grace period passed."""
        return (
            any(not d.readers for d in self.deferred)
            or self.machine.reclaimable()
            or self.policy.grace_period(self) != self.policy
        )

    def walk_step(self, handle: Handle) -> bool:
        """One element of the walk of a freed map or an unloaded program; whether that was the
        last. After a Violation the walk goes on behind the kptr that was to blame."""
        walk = next(w for w in self.walks if w.handle == handle)
        if handle.type is HandleType.MAP:
            inner = self.machine.map_inner_ids(handle.id)
            done = self.machine.map_free_step(handle.id)
            if done:
                self._end_walk(walk)
                self._map_freed(handle.id, inner)
            else:
                self._destroy_released_allocators("an element was freed")
            return done
        if walk.todo:
            (map_id, key), *rest = walk.todo
            # Nobody but the program's own maps waits for the walk.
            if map_id in self.maps:
                self._walk_element(handle.id, map_id, key)
            after = walk._replace(todo=tuple(rest))
            self.walks = tuple(after if w is walk else w for w in self.walks)
            return False
        self._end_walk(walk)
        self.policy = self.policy.walk_ended(handle.id, self)
        self._free_program(handle.id)
        return True

    # -- inside

    def _execution_ended(self, execution: int) -> None:
        self.running.pop(execution, None)
        self.deferred = tuple(d._replace(readers=d.readers - {execution}) for d in self.deferred)

    def _walk_all(self) -> None:
        while self.walks:
            self.walk_step(self.walks[0].handle)

    def _end_walk(self, walk: ValueWalk) -> None:
        self.walks = tuple(w for w in self.walks if w is not walk)

    def _unload(self, program: int) -> None:
        """No execution of it is left: tell the policy, which may ask for a walk of its maps."""
        self.policy = self.policy.unloaded(program, self)
        maps = self.policy.walks(program, self)
        if not maps:
            self._free_program(program)
            return
        todo = tuple(
            (m, key)
            for m in maps
            if owning_fields(self.spec_of(m))
            for key in self.machine.map_keys(m)
        )
        self.walks = tuple(
            sorted((*self.walks, ValueWalk(Handle(HandleType.PROGRAM, program), todo)))
        )

    def _walk_element(self, program: int, map_id: int, key: bytes) -> None:
        """What the walk for an unloaded program sees in one element."""
        fields = owning_fields(self.spec_of(map_id))
        seen: dict[str, dict[int | None, None]] = {owning.path: {} for owning in fields}
        for kptr in self.machine.map_kptrs(map_id, key):
            # An object in a list has its number behind the list's path.
            path = kptr.path if kptr.path in seen else kptr.path.rpartition("[")[0]
            seen[path][kptr.allocator] = None
        for path, allocators in seen.items():
            field = FieldId(Holder.MAP, map_id, path)
            for allocator in allocators or (None,):
                self.policy = self.policy.walked(program, field, allocator, self)

    def _free_program(self, program: int) -> None:
        obj = self.programs.pop(program)
        self.machine.program_free(program)
        for map_id in obj.maps:
            self._count_map_refs(map_id, -1)
        self._count_btf_refs(obj.btf, -1)
        self._destroy_released_allocators(f"{obj.name} was freed")

    def _map_freed(self, map_id: int, inner: tuple[int, ...]) -> None:
        """After the values: the policy, then the references, then the BTF."""
        obj = self.maps[map_id]
        self.policy = self.policy.map_freed(map_id, self)
        del self.maps[map_id], self.definitions[map_id]
        if obj.allocator is not None:
            owned = self.allocators[obj.allocator]
            self.allocators[obj.allocator] = owned._replace(closed=True)
            self.machine.allocator_close(obj.allocator)
            self.policy = self.policy.allocator_closed(obj.allocator, self)
        for inner_id in inner:
            self._count_map_refs(inner_id, -1)
        self._destroy_released_allocators(f"{obj.name} was freed")
        self._count_btf_refs(obj.btf, -1)
