"""The native machine's maps: what user space does with them."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sized

from bpfheap.btf import SpecialField
from bpfheap.errors import OutOfMemory, UsageError
from bpfheap.machine.definitions import (
    check_definition,
    check_key,
    check_special,
    check_update,
    error_of,
    fields_of,
    is_readonly,
    row_of,
    user_value_size,
)
from bpfheap.machine.layout import round_up
from bpfheap.machine.lookup import by_id, check_cpu
from bpfheap.machine.native import _core
from bpfheap.machine.native.heaps import Heaps, NativeAllocator, fields, has_lock
from bpfheap.machine.native.records import PLAYED, NativeMap, shape_number
from bpfheap.machine.native.tables import NativeTable, Tables, memory_for, place_key
from bpfheap.machine.native.typed import kptr_values
from bpfheap.machine.tables import elements
from bpfheap.machine.tables.apart import ShownElements
from bpfheap.machine.tables.common import Values
from bpfheap.machine.tables.events import drained, listening
from bpfheap.machine.tables.owners import forget
from bpfheap.machine.tables.queue import queue_of
from bpfheap.machine.tables.trie import walked
from bpfheap.platform.maps import ANY, Holds, MapFlag, MapType, Shape
from bpfheap.runtime.machine import KptrValue, Memory
from bpfheap.spec import MapSpec


class Maps:
    """By their ids. `program_pointer` gives the address of a program's record, None if there is no
    such program; `executions` are those that have not ended; `tables` has the memory of maps whose
    elements Python keeps."""

    def __init__(
        self,
        core: _core.Core,
        heaps: Heaps,
        program_pointer: Callable[[int], int | None],
        executions: Sized,
        tables: Tables,
    ) -> None:
        self.tables = tables
        self.records: dict[int, NativeMap] = {}
        #: The same by how programs name them.
        self.by_pointer: dict[int, NativeMap] = {}
        self._core = core
        self._heaps = heaps
        self._program_pointer = program_pointer
        self._executions = executions

    def create(
        self,
        map_id: int,
        spec: MapSpec,
        allocates: NativeAllocator | None,
        inner: Mapping[int, int],
        heap: NativeAllocator | None,
    ) -> None:
        """`allocates` is what an allocator map names, `heap` whose memory the values are."""
        row = row_of(spec)
        shape = shape_number(spec, row)
        check_definition(spec, row, self._core.cpus)
        kptrs, special = fields_of(spec)
        check_special(spec, row, special)
        layout = None
        if kptrs or special:
            layout = _core.Type(spec.value_size, fields(kptrs, special))
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
                heap=None if heap is None else heap.heap,
                allocates=None if allocates is None else allocates.heap,
                programs=row.holds is Holds.PROGRAMS,
            )
            table = None
            if _core.SHAPES[shape] == PLAYED:
                table = self._table(map_id, spec, row, special, layout)
        except OutOfMemory as error:
            raise error_of(spec.name, "creation", "ENOMEM", str(error)) from None
        allocator = None if allocates is None else allocates.id
        self.records[map_id] = record = NativeMap(
            map_id, spec, row, made, kptrs, special, allocator, heap, table
        )
        self.by_pointer[made.pointer] = record
        if heap is not None:
            heap.maps += 1
        for slot, of in inner.items():
            self._put(record, slot.to_bytes(4, "little"), of, ANY)
        if spec.data is not None and row.fixed:
            data = spec.data[: spec.value_size].ljust(spec.value_size, b"\0")
            made.update(bytes(4), data)

    def free(self, map_id: int) -> None:
        """All of it in one step."""
        record = self.record(map_id)
        self._core.synchronize()
        pointer = record.map.pointer
        record.map.free()
        if record.table is not None:
            record.table.forget()
        del self.records[map_id]
        del self.by_pointer[pointer]
        if record.elements is not None:
            record.elements.maps -= 1
            record.elements.settle()

    def record(self, map_id: int) -> NativeMap:
        return by_id(self.records, map_id, "map")

    # -- one element

    def lookup(self, map_id: int, key: bytes, cpu: int | None) -> bytes | None:
        record = self.record(map_id)
        check_key(record.spec, key, "lookup")
        found = self._found(record, key)
        if found is None or record.row.pointers:
            return found
        size = record.spec.value_size
        if not record.row.per_cpu:
            return found[:size]
        if cpu is None:
            return found
        at = check_cpu(cpu, self._core.cpus) * record.map.stride
        return found[at : at + size]

    def kptrs(self, map_id: int, key: bytes) -> tuple[KptrValue, ...]:
        record = self.record(map_id)
        memory = record.map
        if not (record.kptrs or record.special):
            return ()
        if record.table is not None and record.table.memory is not None:
            memory, places = record.table.memory, record.table.entries.get(key)
            key = b"" if places is None else place_key(places[0])
        address = memory.address(key) if key else None
        if address is None:
            return ()
        copies = self._core.cpus if record.row.per_cpu else 1
        starts = [copy * memory.stride for copy in range(copies)]
        return kptr_values(
            self._core, address, record.kptrs, record.special, self._heaps.units, starts
        )

    def update(self, map_id: int, key: bytes, value: bytes, flags: int) -> None:
        record = self.record(map_id)
        check_update(record.spec, record.row, key, value, self._core.cpus)
        if record.row.pointers:
            self._put(record, key, int.from_bytes(value, "little"), flags)
            return
        if record.table is not None:
            self._change(record, key, value, flags)
            return
        self._check_lock(record, key, "update")
        self._answer(record, "update", record.map.update(key, value, flags))

    def delete(self, map_id: int, key: bytes) -> None:
        record = self.record(map_id)
        check_key(record.spec, key, "delete")
        if record.table is not None:
            with self.tables.at_work() as keeper:
                elements(record.row).delete(keeper, record.table, key)
            self._heaps.drain()
            return
        self._check_lock(record, key, "delete")
        hint = None
        if record.row.fixed:
            hint = "elements of an array cannot be deleted"
        self._answer(record, "delete", record.map.delete(key), hint)

    def keys(self, map_id: int) -> tuple[bytes, ...]:
        record = self.record(map_id)
        if record.table is not None:
            return elements(record.row).keys(record.table)
        keys = record.map.keys()
        return walked(keys) if record.row.shape is Shape.TRIE else tuple(keys)

    def drain(self, map_id: int, cpu: int | None) -> list[bytes]:
        record = self.record(map_id)
        if record.table is None:
            return record.map.records()
        if record.row.holds is not Holds.EVENTS:
            return []
        with self.tables.at_work() as keeper:
            return drained(keeper, record.table, cpu)

    def pop(self, map_id: int) -> bytes | None:
        table = self.record(map_id).table
        queue = None if table is None else queue_of(table)
        if table is None or queue is None:
            return None
        with self.tables.at_work() as keeper:
            return queue.pop(keeper, table)

    def peek(self, map_id: int, value: bytes) -> bool:
        table = self.record(map_id).table
        return table is not None and value in table.used

    def count(self, map_id: int) -> int:
        table = self.record(map_id).table
        return 0 if table is None else len(table.used) or len(table.records)

    def forget(self, block: int) -> None:
        """An object of the kernel goes."""
        tables = [record.table for record in self.records.values() if record.table is not None]
        with self.tables.at_work() as keeper:
            forget(keeper, tables, block)
        self._heaps.drain()

    def inner_ids(self, map_id: int) -> tuple[int, ...]:
        record = self.record(map_id)
        if not record.row.outer:
            return ()
        found = (record.map.lookup(key) for key in record.map.keys())  # noqa: SIM118
        return tuple(int.from_bytes(inner, "little") for inner in found if inner is not None)

    # -- many elements, and memory

    def view(self, map_id: int) -> memoryview:
        """Raises UsageError for a map that is no array of plain values."""
        record = self.record(map_id)
        try:
            return memoryview(record.map)
        except BufferError as error:
            raise UsageError(f"map {record.spec.name} has no view: {error}") from None

    def lookup_batch(self, map_id: int, keys: Memory) -> bytearray:
        """Raises MapError (ENOENT) for the first key that is not there."""
        record = self._valued(map_id)
        count = memoryview(keys).nbytes // record.spec.key_size
        values = bytearray(count * user_value_size(record.spec, record.row, self._core.cpus))
        self._batch(record, "lookup", record.map.lookup_batch, keys, values)
        return values

    def update_batch(self, map_id: int, keys: Memory, values: Memory, flags: int) -> None:
        """Raises MapError for the first that fails; those before it are done."""
        record = self._valued(map_id)
        if record.spec.readonly:
            raise error_of(record.spec.name, "update", "EPERM")
        self._batch(record, "update", record.map.update_batch, keys, values, flags)

    def delete_batch(self, map_id: int, keys: Memory) -> None:
        """Raises MapError for the first that fails; those before it are done."""
        record = self._valued(map_id)
        self._batch(record, "delete", record.map.delete_batch, keys)

    # -- inside

    def _table(
        self,
        map_id: int,
        spec: MapSpec,
        row: MapType,
        special: tuple[SpecialField, ...],
        layout: _core.Type | None,
    ) -> NativeTable:
        """Raises OutOfMemory."""
        table = NativeTable(
            id=map_id, spec=spec, type=row, readonly=is_readonly(spec), special=special,
            core=self._core, memory=None,
        )  # fmt: skip
        if row.holds is Holds.EVENTS:
            table.inner = listening(table, self._core.cpus)
        if not isinstance(elements(row), ShownElements):
            table.memory = memory_for(self._core, table, layout)
        return table

    def _found(self, record: NativeMap, key: bytes) -> bytes | None:
        table = record.table
        if table is None:
            return record.map.lookup(key)
        shape = elements(record.row)
        if isinstance(shape, ShownElements):
            with self.tables.lock:
                return shape.shown(table, key)
        with self.tables.at_work() as keeper:
            places = shape.regions(keeper, table, key)
            return None if places is None else keeper.shown(table, places[0])

    def _change(self, record: NativeMap, key: bytes, value: bytes, flags: int) -> None:
        assert record.table is not None
        values: Values = (value,)
        if record.row.per_cpu:
            size, whole = record.spec.value_size, round_up(record.spec.value_size)
            values = tuple(value[at : at + size] for at in range(0, len(value), whole))
        with self.tables.at_work() as keeper:
            elements(record.row).update(keeper, record.table, key, values, flags)
        self._heaps.drain()

    def _valued(self, map_id: int) -> NativeMap:
        record = self.record(map_id)
        if record.row.holds is not Holds.VALUES or record.table is not None:
            raise UsageError(f"map {record.spec.name} has no values to take many of")
        return record

    def _batch(
        self, record: NativeMap, doing: str, do: Callable[..., tuple[int, int]], *arguments: object
    ) -> None:
        try:
            done, answer = do(*arguments)
        except ValueError as error:
            raise UsageError(f"{doing} of map {record.spec.name}: {error}") from None
        hint = f"it is number {done + 1} of these; those before it are done"
        self._answer(record, doing, answer, hint)

    def _check_lock(self, record: NativeMap, key: bytes, doing: str) -> None:
        """Nobody can wait for an execution that is stopped while it holds the value's lock."""
        lock = has_lock(record.special)
        if lock is None or not self._executions:
            return
        address = record.map.address(key)
        if address is not None and any(self._core.read(address + lock, 4) or b""):
            raise error_of(record.spec.name, doing, "EBUSY")

    def _put(self, record: NativeMap, key: bytes, what: int, flags: int) -> None:
        """Let an element be a map, or a program."""
        if record.row.outer:
            found = self.records.get(what)
            pointer = None if found is None else found.map.pointer
        else:
            pointer = self._program_pointer(what)
        if record.row.shape is not Shape.HASH and flags != ANY:
            raise error_of(record.spec.name, "update", "EINVAL")
        if pointer is None:
            kind = "map" if record.row.outer else "program"
            raise error_of(
                record.spec.name, "update", "EINVAL", f"there is no {kind} with id {what}"
            )
        self._answer(record, "update", record.map.update(key, pointer.to_bytes(8, "little"), flags))

    def _answer(self, record: NativeMap, doing: str, answer: int, hint: str | None = None) -> None:
        """`answer` is the core's: 0, or a negative errno. Objects may have been freed."""
        self._heaps.drain()
        if answer:
            raise error_of(record.spec.name, doing, errno.errorcode[-answer], hint)
