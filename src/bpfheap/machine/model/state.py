"""The state of the machine: regions of memory and everything that refers to them.

Loads and stores are here; what allocators, maps and programs do with them is elsewhere.
"""

from __future__ import annotations

from typing import Any

from bpfheap.btf import KptrField, SpecialField, SpecialKind
from bpfheap.machine.faults import NOT_SET, Fault
from bpfheap.machine.layout import ObjectType
from bpfheap.machine.model.lives import Life, add
from bpfheap.machine.model.records import (
    AllocatorRecord,
    Around,
    Execution,
    MapRecord,
    Region,
    RegionKind,
    Retired,
    StateToken,
    Status,
)
from bpfheap.machine.model.values import Pointer, Unowned, Value, Word
from bpfheap.runtime.world import Space, World

#: Where addresses start: in the kernel's half, as programs are used to, and no lower half is NULL,
#: which compilers compare for pointers that are loaded as such.
_FIRST_ADDRESS = 0xFFFF_8880_0010_0000
#: Of memory that a run had, a stack or a packet: where it was is not known any more.
_GONE_ADDRESS = 0xFFFF_C900_0000_0000
#: Where blocks of user space are.
_FIRST_OF_USER = 0x0000_5555_0010_0000
_PAGE = 4096
#: Looked up at every access.
_LIVE = Status.LIVE
_OPAQUE = frozenset({RegionKind.MAP, RegionKind.CODE, RegionKind.PERCPU})


class MachineState:
    """Plain data; `copy` is independent of the original.

    `clock` is in nanoseconds. `names` counts objects by type for their names, `growths` the
    allocations that nothing guaranteed. `showed`: an address was looked at. `world` is what calls
    ask of the kernel around programs.
    """

    __slots__ = (
        "allocators", "clock", "executions", "growths", "maps", "names", "next_address",
        "next_region", "random", "regions", "retired", "showed", "sweep_at", "token",
        "world",
    )  # fmt: skip

    def __init__(self, seed: int = 0) -> None:
        self.token = StateToken()
        self.regions: dict[int, Region] = {}
        self.executions: dict[int, Execution] = {}
        self.maps: dict[int, MapRecord] = {}
        self.allocators: dict[int, AllocatorRecord] = {}
        self.retired: tuple[Retired, ...] = ()
        self.names: dict[str, int] = {}
        self.clock = 0
        self.random = seed
        self.growths = 0
        self.next_region = 1
        self.next_address = _FIRST_ADDRESS
        self.showed = False
        self.sweep_at = 4096
        self.world = World()

    def copy(self) -> MachineState:
        twin = object.__new__(MachineState)
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.regions = dict(self.regions)
        twin.executions = dict(self.executions)
        twin.maps = dict(self.maps)
        twin.allocators = dict(self.allocators)
        twin.names = dict(self.names)
        # From here on neither may write what both show.
        twin.token = StateToken()
        self.token = StateToken()
        return twin

    # -- records to write to

    def region(self, region_id: int) -> Region:
        """The region, to be written to."""
        region = self.regions[region_id]
        if region.token is not self.token:
            region = self.regions[region_id] = region.clone(self.token)
        return region

    def execution(self, execution_id: int) -> Execution:
        execution = self.executions[execution_id]
        if execution.token is not self.token:
            execution = self.executions[execution_id] = execution.clone(self.token)
        return execution

    def map(self, map_id: int) -> MapRecord:
        record = self.maps[map_id]
        if record.token is not self.token:
            record = self.maps[map_id] = record.clone(self.token)
        return record

    # -- regions

    def add_region(
        self, kind: RegionKind, name: str, size: int, data: bytes = b"", **fields: Any
    ) -> Region:
        """A new live region; what `data` leaves out is 0."""
        subject, of = fields.get("subject", 0), fields.get("type")
        region_id = self.new_region_id(kind, subject, apart=is_apart(kind, of))
        region = Region(region_id, kind, name, bytearray(data), size, self.token, **fields)
        self.regions[region_id] = region
        return region

    def new_region_id(self, kind: RegionKind, subject: int, *, apart: bool) -> int:
        """Never used before."""
        region_id = self.next_region
        self.next_region += 1
        return region_id

    def settle(self) -> None:
        """An execution is over."""

    def crowded(self) -> bool:
        """It is time to look for dead regions that can be forgotten."""
        return len(self.regions) > self.sweep_at

    def note(self, region_id: int, sentence: str) -> None:
        region = self.region(region_id)
        region.life = add(region.life, sentence)

    def life(self, region_id: int | None) -> Life:
        region = None if region_id is None else self.regions.get(region_id)
        return None if region is None else region.life

    def address(self, pointer: Pointer) -> int:
        """The number that a program sees if it looks at a pointer as one. That is no access: the
        memory may be gone."""
        self.showed = True
        region = self.regions.get(pointer.region)
        if region is None:
            return (_GONE_ADDRESS + pointer.region * _PAGE + pointer.offset) & 0xFFFF_FFFF_FFFF_FFFF
        if not region.address:
            region = self.region(pointer.region)
            of_user = region.around is not None and region.around.space is Space.USER
            region.address = self.next_address
            if of_user:
                region.address += _FIRST_OF_USER - _FIRST_ADDRESS
            self.next_address += (region.size // _PAGE + 2) * _PAGE
        return (region.address + pointer.offset) & 0xFFFF_FFFF_FFFF_FFFF

    def pointer_to(self, address: int) -> Pointer | None:
        """What has that address, if a program saw it: before that it has none."""
        if address < _FIRST_OF_USER:
            return None
        for region in self.regions.values():
            if region.address and 0 <= address - region.address < region.size:
                return Pointer(region.id, address - region.address)
        return None

    def number(self, value: Value) -> int:
        """A value as a number. None is the caller's to exclude; it counts as 0."""
        if isinstance(value, Pointer):
            return self.address(value)
        return value or 0

    # -- access

    def access(self, at: Value, size: int, verb: str) -> Region:
        """The region in which `size` bytes at `at` may be accessed; raises Fault if they may not.

        `verb` is "read" or "write" (which asks for more).
        """
        if type(at) is not Pointer and not isinstance(at, Pointer):
            what = "NULL" if not at else f"{at:#x}, which is a number and no pointer"
            raise Fault("invalid-access", f"{verb} of {size} bytes at {what}")
        region = self.regions.get(at.region)
        if region is None:
            raise Fault("use-after-free", f"{verb} of {size} bytes of memory that is gone")
        if region.status is not _LIVE:
            raise self.dead(region, f"{verb} of {_bytes(size)} at {_place(region, at.offset)}")
        end = at.offset + size
        if at.offset < 0 or end > len(region.data):
            if region.kind in _OPAQUE:
                raise Fault("invalid-access", f"{verb} of {_bytes(size)} inside {region.name}")
            if at.offset < 0 or end > region.size:
                raise Fault(
                    "out-of-bounds",
                    f"{verb} of {_bytes(size)} at {_place(region, at.offset)}, "
                    f"which has {region.size} bytes",
                    region.id,
                )
            region.data.extend(bytes(end - len(region.data)))
        if verb == "write" and region.readonly:
            raise Fault("invalid-access", f"write to {region.name}, which is read-only")
        if region.special:
            _guard_special(region, at.offset, size, verb)
        if region.around is not None and region.around.known is not None and verb == "read":
            _check_known(region, region.around, at.offset, size)
        return region

    def dead(self, region: Region, what: str) -> Fault:
        """The fault of doing `what` with a region that is not live any more."""
        if region.status is Status.ORPHANED:
            name = self.allocator_name(region.allocator)
            return Fault("use-after-free", f"{what}, whose allocator {name} is gone", region.id)
        return Fault("use-after-free", f"{what} after it was freed", region.id)

    def allocator_name(self, allocator: int | None) -> str:
        record = self.allocators.get(-1 if allocator is None else allocator)
        return record.name if record is not None else "that it came from"

    def load(self, at: Value, size: int) -> int | Pointer:
        """`size` bytes, little endian; 8 bytes that hold a pointer give that pointer."""
        region = self.access(at, size, "read")
        assert isinstance(at, Pointer)
        offset = at.offset
        if region.slots:
            if size == 8:
                found = region.slots.get(offset)
                if found is not None:
                    if type(found) is not Pointer:
                        return _unmarked(region, offset, found)
                    if region.kptrs and any(k.offset == offset for k in region.kptrs):
                        return Unowned(found.region, found.offset)
                    return found
            elif size == 4 and region.kind is RegionKind.CTX:
                found = region.slots.get(offset)
                if type(found) is Word:
                    return Pointer(found.region, found.offset)
            return int.from_bytes(self._flat(region, offset, size), "little")
        return int.from_bytes(region.data[offset : offset + size], "little")

    def store(self, at: Value, size: int, value: int | Pointer) -> None:
        """The low `size` bytes of a value. A pointer stays one only as 8 whole bytes."""
        region = self.access(at, size, "write")
        assert isinstance(at, Pointer)
        offset = at.offset
        if region.kptrs:
            self._guard_kptrs(region, offset, size)
        if region.token is not self.token:
            region = self.region(region.id)
        if region.slots:
            self._break_slots(region, offset, size)
        if isinstance(value, Pointer):
            if size == 8:
                region.slots[offset] = value
                value = 0
            else:
                value = self.address(value)
                region = self.region(region.id)
        mask = (1 << (size * 8)) - 1
        region.data[offset : offset + size] = (value & mask).to_bytes(size, "little")

    def read(self, at: Value, size: int) -> bytes:
        """Bytes for a helper; pointers among them read as their addresses."""
        if size == 0:
            return b""
        region = self.access(at, size, "read")
        assert isinstance(at, Pointer)
        if region.slots:
            return self._flat(region, at.offset, size)
        return bytes(region.data[at.offset : at.offset + size])

    def read_string(self, at: Value, limit: int = 1024) -> bytes:
        """Up to the first NUL or the region's end, at most `limit` bytes."""
        region = self.access(at, 1, "read")
        assert isinstance(at, Pointer)
        size = min(limit, region.size - at.offset)
        return self.read(at, size).partition(b"\0")[0]

    def whole(self, region_id: int) -> bytearray:
        """A value's bytes as user space sees them: kptrs, locks, heads and roots are 0."""
        region = self.regions[region_id]
        raw = bytearray(self._flat(region, 0, region.size).ljust(region.size, b"\0"))
        for kptr in region.kptrs:
            raw[kptr.offset : kptr.offset + 8] = bytes(8)
        for field in region.special:
            raw[field.offset : field.offset + field.size] = bytes(field.size)
        return raw

    def fill(self, region_id: int, data: bytes) -> None:
        """Overwrite a value as a map update does: kptr fields, locks, heads and roots keep what
        they are."""
        region = self.region(region_id)
        new = bytearray(data)
        for kptr in region.kptrs:
            new[kptr.offset : kptr.offset + 8] = bytes(8)
        for field in region.special:
            place = slice(field.offset, field.offset + field.size)
            new[place] = region.data[place].ljust(field.size, b"\0")
        region.data[:] = new
        kept = {k.offset for k in region.kptrs}
        region.slots = {o: p for o, p in region.slots.items() if o in kept}

    def kptr_field(self, at: Value) -> tuple[Region, KptrField]:
        """The kptr field at a pointer; raises Fault if there is none."""
        region = self.access(at, 8, "read")
        assert isinstance(at, Pointer)
        for kptr in region.kptrs:
            if kptr.offset == at.offset:
                return region, kptr
        raise Fault("bad-call", f"{_place(region, at.offset)} is no kptr field", region.id)

    # -- fields that no program may touch

    def special_field(self, at: Value, kind: SpecialKind, what: str) -> tuple[Region, SpecialField]:
        """The field of that kind at a pointer; `what` is the call that wants it. Raises Fault if
        there is none."""
        if not isinstance(at, Pointer):
            shown = "NULL" if not at else "a number"
            raise Fault("bad-call", f"{what} of {shown}, which is no {kind}")
        region = self.regions.get(at.region)
        if region is None:
            raise Fault("use-after-free", f"{what} of memory that is gone")
        if region.status is not _LIVE:
            raise self.dead(region, f"{what} of {_place(region, at.offset)}")
        for field in region.special:
            if field.offset == at.offset and field.kind is kind:
                return region, field
        raise Fault(
            "bad-call", f"{what} of {_place(region, at.offset)}, which is no {kind}", region.id
        )

    def word(self, region_id: int, field: SpecialField) -> int:
        """What a lock or count holds."""
        data = self.regions[region_id].data
        return int.from_bytes(data[field.offset : field.offset + field.size], "little")

    def set_word(self, region_id: int, field: SpecialField, word: int) -> None:
        data = self.region(region_id).data
        end = field.offset + field.size
        data.extend(bytes(max(0, end - len(data))))
        data[field.offset : end] = word.to_bytes(field.size, "little")

    def field_name(self, at: Pointer) -> str:
        """A special field's name, such as "m[0].lock"."""
        region = self.regions.get(at.region)
        if region is None:
            return "memory that is gone"
        paths = (f"{region.name}.{f.path}" for f in region.special if f.offset == at.offset)
        return next(paths, _place(region, at.offset))

    def _guard_kptrs(self, region: Region, offset: int, size: int) -> None:
        for kptr in region.kptrs:
            if kptr.offset < offset + size and offset < kptr.offset + 8:
                raise Fault(
                    "invalid-access",
                    f"write over the kptr {region.name}.{kptr.path}, "
                    "which only bpf_kptr_xchg may change",
                    region.id,
                )

    def _flat(self, region: Region, offset: int, size: int) -> bytes:
        data = bytearray(region.data[offset : offset + size])
        for at, pointer in region.slots.items():
            if at < offset + size and offset < at + _width(pointer):
                if type(pointer) is not Pointer:
                    _unmarked(region, at, pointer)
                for i, byte in enumerate(self.address(pointer).to_bytes(8, "little"), at):
                    if offset <= i < offset + size:
                        data[i - offset] = byte
        return bytes(data)

    def _break_slots(self, region: Region, offset: int, size: int) -> None:
        """A pointer that is overwritten in part goes on as the bytes of its address."""
        end = offset + size
        for at in [a for a, p in region.slots.items() if a < end and offset < a + _width(p)]:
            if type(region.slots[at]) is not Pointer:
                _unmarked(region, at, region.slots[at])
            pointer = region.slots.pop(at)
            if not (offset <= at and at + 8 <= offset + size):
                region.data[at : at + 8] = self.address(pointer).to_bytes(8, "little")


def is_apart(kind: RegionKind, of: ObjectType | None) -> bool:
    """Whether a region can be reached from several places, and so is no part of any of them:
    objects in lists and trees, counted ones, and those that exist once per CPU."""
    return kind in (RegionKind.PERCPU, RegionKind.COPY) or (of is not None and bool(of.special))


def _guard_special(region: Region, offset: int, size: int, verb: str) -> None:
    for field in region.special:
        if field.offset < offset + size and offset < field.offset + field.size:
            raise Fault(
                "invalid-access",
                f"{verb} over the {field.kind} {region.name}.{field.path}, "
                "which only the calls for it may touch",
                region.id,
            )


def _check_known(region: Region, around: Around, offset: int, size: int) -> None:
    if around.known is None or any(
        start <= offset and offset + size <= end for start, end in around.known
    ):
        return
    known = [at for start, end in around.known for at in range(start, end)]
    first = next(at for at in range(offset, offset + size) if at not in known)
    member = f"byte {first}" if around.type is None else around.type.place(first)
    raise Fault(NOT_SET, f"read of {member} of {region.name}, which was never set", region.id)


def _width(slot: Pointer) -> int:
    return 4 if type(slot) is Word else 8


def _unmarked(region: Region, offset: int, slot: Pointer) -> Pointer:
    """A pointer that is no plain one. Raises Fault for bytes that hold none of the program's."""
    if type(slot) is Unowned:
        return slot
    if type(slot) is Word:
        raise Fault(
            "invalid-access",
            f"access to {_place(region, offset)}, which can be read as a whole only",
        )
    raise Fault("invalid-access", f"access to the iterator at {_place(region, offset)}")


def _bytes(size: int) -> str:
    return f"{size} byte{'s' if size != 1 else ''}"


def _place(region: Region, offset: int) -> str:
    return region.name if offset == 0 else f"{region.name}{offset:+d}"
