"""A map's content as Python values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from struct import iter_unpack
from typing import Any

from bpfheap.api.arguments import buffer, whole
from bpfheap.api.kernel import Around
from bpfheap.api.kernel.objects import KernelObject, address_of
from bpfheap.api.program import Program
from bpfheap.api.session import gives_back, locked
from bpfheap.btf import Btf, BtfType, Enum, Enum64, Int, Struct, Typedef, Union
from bpfheap.errors import BpfheapError, UsageError
from bpfheap.machine.layout import round_up
from bpfheap.platform.maps import BY_NUMBER as MAP_TYPE
from bpfheap.platform.maps import Holds, MapFlag, Shape
from bpfheap.runtime.machine import Bulk, KptrValue, Machine, Memory, Pushing
from bpfheap.runtime.values import last_array, pack, unpack
from bpfheap.spec import MapSpec

#: What a type's name begins with.
_TAGGED: Mapping[str, type[BtfType]] = {"struct": Struct, "union": Union, "enum": Enum}
_NAMED = (Struct, Union, Typedef, Int, Enum, Enum64)
#: What a number says most of: an interface, or how long a CPU's queue is.
_NUMBERED = (Holds.DEVICES, Holds.CPUS)
#: u64.
_FLAGS = (1 << 64) - 1


class Map(Mapping[Any, Any]):
    """A map's content by BTF: `m[7]`, `m[7] = {"var": 1}`, `del m[7]`, iteration over keys.

    Keys and values are ints, sequences, mappings of members, or bytes. Values of per-CPU maps are
    lists with one value for each CPU. A kptr shows the object it points at. Reading a missing key
    raises KeyError; writing raises MapError where bpf(2) would fail. Queues, stacks and bloom
    filters have no keys: `push`, `pop`, `peek`. Values of devmaps are interfaces, of cpumaps the
    lengths of queues, of arrays of control groups their numbers, of stack traces lists of
    addresses, the innermost first; of maps of sockets, objects of the kernel, such as a struct
    bpf_sock. Those are the keys of what belongs to them (`task_storage`).
    """

    def __init__(
        self,
        runtime: Around,
        spec: MapSpec,
        map_id: int,
        fd: int | None,
        types: Callable[[str], tuple[Btf, int] | None] = lambda _: None,
    ) -> None:
        self.name = spec.name
        self.spec = spec
        self.id = map_id
        self._runtime = runtime
        self._fd = fd
        #: Finds types of the file's source that are not in its BTF.
        self._types = types
        self._borrowed = fd is None
        self._type = MAP_TYPE[spec.type]

    @property
    def fd(self) -> int:
        """The descriptor, for `Runtime.system`. Raises UsageError once closed."""
        if self._fd is None:
            raise UsageError(f"map {self.name} has no descriptor here")
        return self._fd

    @gives_back
    def close(self) -> None:
        """Give the descriptor back; the map goes when no program and nobody else holds it."""
        self._close()
        self._runtime._passed()

    def view(self) -> memoryview:
        """The values of an array, in place: no copy, and no lock (`numpy.frombuffer` takes it).
        Each begins at a multiple of 8 bytes. The memory stays as long as somebody looks at it; once
        the map is gone, nobody else does.

        Raises UsageError on a machine without real memory, and for maps that hold more than plain
        values."""
        return self._bulk.map_view(self.id)

    def lookup_batch(self, keys: Memory) -> bytearray:
        """The values of keys, which are one after the other (BPF_MAP_LOOKUP_BATCH), of per-CPU maps
        those of all CPUs. On a machine with real memory. Raises MapError (ENOENT) for the first key
        that is not there."""
        return self._bulk.map_lookup_batch(self.id, self._buffer(keys, "keys"))

    @locked
    def update_batch(self, keys: Memory, values: Memory, flags: int = 0) -> None:
        """Set as many elements as there are keys. On a machine with real memory. Raises MapError
        for the first that fails; those before it are set."""
        flags = whole(flags, "the flags", 0, _FLAGS)
        self._bulk.map_update_batch(
            self.id, self._buffer(keys, "keys"), self._buffer(values, "values"), flags
        )
        self._runtime._passed()

    @locked
    def delete_batch(self, keys: Memory) -> None:
        """On a machine with real memory. Raises MapError for the first that fails; those before it
        are gone."""
        self._bulk.map_delete_batch(self.id, self._buffer(keys, "keys"))
        self._runtime._passed()

    @locked
    def drain(self, cpu: int | None = None) -> list[bytes]:
        """The unread records of a ring buffer, or of an array of perf events, oldest first. Of perf
        events those of all CPUs, or of one. (Linux fills their records up with up to 7 bytes.)"""
        if self._type.holds not in (Holds.RECORDS, Holds.EVENTS):
            raise UsageError(f"map {self.name} is no ring buffer and no array of perf events")
        return self._machine.map_drain(self.id, cpu)

    def records(self, type_name: str = "", *, cpu: int | None = None) -> list[Any]:
        """The same as values of a type: `records("struct event")`, of the file's types. Without a
        name it is the struct that the map says its values are, or they are bytes. A type that the
        file's BTF lacks comes from its source. Of an array at the struct's end, programs may send
        a part, and as much as they like if it has no length: what was not sent is 0.

        Raises UsageError for a type that is not there. A record that lacks more than that raises
        it, too, and all are gone then."""
        btf, type_id = self._record_type(type_name)
        raw = self.drain(cpu)
        if not type_id:
            return list(raw)
        size = btf.size_of(type_id)
        tail = last_array(btf, type_id)
        least = size if tail is None else tail.bit_offset // 8
        for one in raw:
            if len(one) < least:
                raise UsageError(
                    f"a record of {self.name} has {len(one)} bytes, and {btf.c_name(type_id)} has "
                    f"{size}",
                    hint="take them as bytes: drain()",
                )
        return [unpack(btf, type_id, one.ljust(size, b"\0"), behind=True) for one in raw]

    def _record_type(self, name: str) -> tuple[Btf, int]:
        """0 if there is none."""
        btf = self.spec.btf
        if not name:
            value = btf.resolve(self.spec.value) if self.spec.value else 0
            return btf, value if isinstance(btf[value], Struct | Union) else 0
        prefix, _, rest = name.rpartition(" ")
        kinds = (_TAGGED[prefix],) if prefix in _TAGGED else _NAMED
        for kind in kinds:
            found = btf.find(rest if prefix in _TAGGED else name, kind)
            if found is not None:
                return btf, found
        more = self._types(name)
        if more is not None:
            return more
        hint = (
            "compilers leave out what no map, function or variable is of: write "
            f"{name} *unused __attribute__((unused)); or __type(value, {name})"
        )
        if not prefix and (btf.find(name, Struct) or self._types(f"struct {name}")):
            hint = f"did you mean struct {name}?"
        raise UsageError(f"there is no type {name} in the file of map {self.name}", hint=hint)

    @locked
    def __getitem__(self, key: Any) -> Any:
        raw_key = self._key(key)
        raw = self._machine.map_lookup(self.id, raw_key)
        if raw is None:
            raise KeyError(key)
        if self._type.outer:
            inner = int.from_bytes(raw, "little")
            return Map(self._runtime, self._runtime.system.spec_of(inner), inner, None)
        if self._type.borrows:
            return self._runtime.kernel.object(int.from_bytes(raw, "little"))
        kptrs = self._machine.map_kptrs(self.id, raw_key)
        if not self._type.per_cpu:
            return self._value(raw, kptrs, 0)
        return [self._value(raw, kptrs, at) for at in range(0, len(raw), self._stride)]

    @locked
    def push(self, value: Any, flags: int = 0) -> None:
        """Put a value into a queue, stack or bloom filter; with BPF_EXIST (2), the oldest makes
        room in one that is full. Raises MapError (E2BIG, EINVAL)."""
        self._without_keys("push")
        self.update(b"", value, flags)

    @locked
    def pop(self) -> Any:
        """Take the next value out of a queue or stack (BPF_MAP_LOOKUP_AND_DELETE_ELEM); None if it
        is empty."""
        raw = self._without_keys("pop").map_pop(self.id)
        return None if raw is None else self._value(raw, (), 0)

    @locked
    def peek(self, *value: Any) -> Any:
        """The value that would be popped next; None if there is none. Of a bloom filter, whether
        it takes `value` for one that was pushed; here it is never mistaken."""
        machine = self._without_keys("peek")
        if "pop" in self._type.ops:
            if value:
                raise UsageError(f"map {self.name} is no filter: peek tells what comes next")
            raw = self._machine.map_lookup(self.id, b"")
            return None if raw is None else self._value(raw, (), 0)
        if len(value) != 1:
            raise UsageError(f"map {self.name} is a filter: peek takes a value")
        return machine.map_peek(self.id, self._raw(value[0]))

    def _without_keys(self, op: str) -> Pushing:
        """The machine, for a map that has an operation."""
        if op not in self._type.ops:
            raise UsageError(f"map {self.name} is a {self._type.name}, which has no {op}")
        machine = self._machine
        assert isinstance(machine, Pushing)
        return machine

    def __setitem__(self, key: Any, value: Any) -> None:
        self.update(key, value)

    @locked
    def update(self, key: Any, value: Any, flags: int = 0) -> None:
        """Set one element, with the flags of bpf_map_update_elem. For a map of maps, `value` is
        another Map, for an array of programs a Program."""
        flags = whole(flags, "the flags", 0, _FLAGS)
        with self._open() as fd:
            self._runtime.system.map_update(fd, self._key(key), self._raw(value), flags)
        self._runtime._passed()

    @locked
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
            if self._type.shape is Shape.OWNERS:
                yield self._runtime.kernel.object(int.from_bytes(raw, "little"))
            elif self.spec.key:
                yield unpack(self.spec.btf, self.spec.key, raw)
            else:
                yield int.from_bytes(raw, "little")

    def __len__(self) -> int:
        if "push" in self._type.ops:
            return self._without_keys("push").map_len(self.id)
        return len(self._machine.map_keys(self.id))

    def __repr__(self) -> str:
        try:
            content = f"{len(self)} elements"
        except BpfheapError as error:
            content = error.message
        return f"<{self._type.name} map {self.name}, {content}>"

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
        self._runtime._check()
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

    def _buffer(self, given: Memory, what: str) -> memoryview:
        return buffer(given, f"the {what} of {self.name}")

    def _key(self, key: Any) -> bytes:
        spec = self.spec
        if self._type.shape is Shape.OWNERS:
            if not isinstance(key, KernelObject):
                raise UsageError(
                    f"the key of {self.name} is the object that a value belongs to",
                    hint="make one: kernel.task_struct(...)",
                )
            self._runtime.kernel.check_mine(key)
            return address_of(key).block.to_bytes(spec.key_size, "little")
        return pack(spec.btf, spec.key, key, spec.key_size, what=f"the key of {self.name}")

    @property
    def _stride(self) -> int:
        """From one CPU's value to the next one's."""
        return round_up(self.spec.value_size)

    def _value(self, raw: bytes, kptrs: tuple[KptrValue, ...], at: int) -> Any:
        if self._type.holds is Holds.STACKS and not self.spec.flags & MapFlag.STACK_BUILD_ID:
            # Whatever type they are declared with; 0 is none's address.
            found = [address for (address,) in iter_unpack("<Q", raw)]
            return found[: sum(map(bool, found))]
        if self.spec.value:
            return unpack(self.spec.btf, self.spec.value, raw, kptrs, at=at)
        return raw[at : at + self.spec.value_size]

    def _raw(self, value: Any) -> bytes:
        spec, what = self.spec, f"the value of {self.name}"
        if self._type.holds is Holds.PROGRAMS:
            if not isinstance(value, Program) or value._runtime is not self._runtime:
                raise UsageError(f"{what} is a program of the same runtime")
            return value.fd.to_bytes(4, "little")
        if self._type.outer:
            if not isinstance(value, Map) or value._runtime is not self._runtime:
                raise UsageError(f"{what} is another map of the same runtime")
            return value.fd.to_bytes(4, "little")
        if self._type.borrows:
            if not isinstance(value, KernelObject):
                raise UsageError(f"{what} is a socket, such as an object of struct bpf_sock")
            self._runtime.kernel.check_mine(value)
            return address_of(value).block.to_bytes(spec.value_size, "little")
        if self._type.holds in _NUMBERED and isinstance(value, int):
            return pack(spec.btf, 0, value, 4, what=what).ljust(spec.value_size, b"\0")
        if not self._type.per_cpu:
            return pack(spec.btf, spec.value, value, spec.value_size, what=what)
        if not isinstance(value, list | tuple):
            raise UsageError(f"{what} is a list with one value for each CPU, not {value!r}")
        cpus = self._runtime.kernel.cpus
        if len(value) != cpus:
            raise UsageError(
                f"{what} is a list with one value for each of {cpus} CPUs, and has {len(value)}",
                hint="Runtime(cpus=...) says how many there are",
            )
        return b"".join(
            pack(spec.btf, spec.value, one, spec.value_size, what=what).ljust(self._stride, b"\0")
            for one in value
        )

    def _close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._runtime._give_back(fd)
