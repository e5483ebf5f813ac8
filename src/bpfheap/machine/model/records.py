"""What a state consists of: plain records.

A record belongs to one state, the one whose `token` it bears; every other state that shows the
same record must clone it before writing. Copying a state is therefore copying a few dicts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Self

from bpfheap.btf import KptrField, SpecialField
from bpfheap.machine.layout import ObjectType
from bpfheap.machine.model.lives import Life
from bpfheap.machine.model.progress import NOTHING, ExecutionProgress
from bpfheap.machine.model.values import Pointer, Value
from bpfheap.machine.tables.common import Output, Table, Unfinished
from bpfheap.runtime.machine import Context
from bpfheap.runtime.world import BlockType, Space


class StateToken:
    """The mark of one state; compared by identity."""

    __slots__ = ()


class RegionKind(StrEnum):
    """What a region is."""

    STACK = "stack"
    CTX = "context"
    MEM = "memory"  # the input of a raw program
    KEY = "key"  # handed to a callback
    ELEMENT = "element"  # what an iterator shows
    RECORD = "record"  # reserved in a ring buffer
    PACKET = "packet"
    VALUE = "map value"
    OBJECT = "object"
    PERCPU = "per-CPU object"  # opaque: its copies are what programs see
    COPY = "copy"  # one CPU's, of a per-CPU object
    MAP = "map"  # opaque: what a program's map pointers point at
    CODE = "code"  # opaque: offset is a slot
    BLOCK = "block"  # of the kernel around programs, or of user space


class Status(StrEnum):
    """What became of a region."""

    LIVE = "live"
    FREED = "freed"
    ORPHANED = "orphaned"  # an object whose allocator was destroyed


class Around(NamedTuple):
    """What a block is.

    `known`: the bytes that somebody wrote, as ranges in order; None where nobody asks, and all that
    was not written is 0.
    """

    space: Space
    type: BlockType | None
    known: tuple[tuple[int, int], ...] | None


@dataclass(slots=True)
class Region:
    """Bytes with provenance. Where `slots` has an offset, the 8 bytes there are that pointer.

    `size` may exceed `len(data)`: the rest is 0 and appears when it is touched. `subject` is the
    map's id for maps and values, the program's for code. `address` is the number that the region
    has had since a program first saw a pointer into it as a number, else 0. `name` and `life` are
    for people.

    `links`, by offset, are what no program may touch: a list head's or tree root's nodes in their
    order; the head or root that a node is in; the copies, by CPU, of a per-CPU object. Locks and
    counts are in `data`.
    """

    id: int
    kind: RegionKind
    name: str
    data: bytearray
    size: int
    token: StateToken
    slots: dict[int, Pointer] = field(default_factory=dict)
    status: Status = Status.LIVE
    readonly: bool = False
    kptrs: tuple[KptrField, ...] = ()
    type: ObjectType | None = None
    allocator: int | None = None
    subject: int = 0
    address: int = 0
    life: Life = None
    special: tuple[SpecialField, ...] = ()
    links: dict[int, tuple[Pointer, ...]] = field(default_factory=dict)
    around: Around | None = None

    def clone(self, token: StateToken) -> Region:
        return Region(
            self.id, self.kind, self.name, bytearray(self.data), self.size, token,
            dict(self.slots), self.status, self.readonly, self.kptrs, self.type, self.allocator,
            self.subject, self.address, self.life, self.special, dict(self.links), self.around,
        )  # fmt: skip


class Loop(NamedTuple):
    """bpf_loop in progress: `iterations` were begun of at most `limit`. `ctx` is the callback's
    second argument."""

    callback: int
    ctx: Value
    iterations: int
    limit: int


class ForEach(NamedTuple):
    """bpf_for_each_map_elem in progress.

    `callback`, `ctx`: the function, and its last argument.
    `keys`: those that the map had at the beginning.
    `at`: how many of them were looked up so far.
    `visited`: how many of them were there and went to the callback.
    `key`: the region that shows the current one to the callback.
    """

    callback: int
    ctx: Value
    map_id: int
    keys: tuple[bytes, ...]
    at: int
    visited: int
    key: int


class TreeSearch(NamedTuple):
    """bpf_rbtree_add in progress: `node` belongs among the nodes `low` to `high` of `root`, and is
    compared with the one in their middle."""

    callback: int
    root: Pointer
    node: Pointer
    low: int
    high: int

    @property
    def middle(self) -> int:
        return (self.low + self.high) // 2

    def narrowed(self, *, less: bool) -> TreeSearch:
        """After a comparison with the middle."""
        return self._replace(high=self.middle) if less else self._replace(low=self.middle + 1)


class CallFrame(NamedTuple):
    """A caller, while the function that it called runs.

    `return_slot`: where it goes on.
    `saved`: its r6 to r10.
    `after`: what a callback returns to; None for a call of the program's own.
    `may_gotos`: the caller's count (see ExecutionProgress).
    `program`: the program whose code it is.
    `base`: as ExecutionProgress has it.
    """

    return_slot: int
    saved: tuple[Value, ...]
    after: Loop | ForEach | TreeSearch | None = None
    may_gotos: int = 0
    program: int = 0
    base: int = 0


@dataclass(slots=True)
class Execution:
    """A run of a program.

    `slot`: the next instruction.
    `ctx`: the region of its context.
    `frames`: its callers, outermost first.
    `progress`: what else it is in the middle of.
    `held`: the objects that it owns, in the order in which it got them.
    `at_call`: the next instruction is a helper or kfunc call, which `step` performs first.
    `steps`: instructions executed so far.
    `shares`: for counted objects, how many references it has beyond the first.
    `lock`: the bpf_spin_lock that it holds.
    """

    id: int
    program: int
    slot: int
    registers: list[Value]
    cpu: int
    context: Context
    ctx: int
    token: StateToken
    frames: tuple[CallFrame, ...] = ()
    progress: ExecutionProgress = NOTHING
    held: dict[int, None] = field(default_factory=dict)
    at_call: bool = False
    done: bool = False
    steps: int = 0
    shares: dict[int, int] = field(default_factory=dict)
    lock: Pointer | None = None

    def clone(self, token: StateToken) -> Execution:
        return Execution(
            self.id, self.program, self.slot, list(self.registers), self.cpu, self.context,
            self.ctx, token, self.frames, self.progress, dict(self.held), self.at_call,
            self.done, self.steps,
            dict(self.shares), self.lock,
        )  # fmt: skip


class AllocatorRecord(NamedTuple):
    """An allocator.

    `owned`: objects that are live or kept free.
    `free`: objects that are kept free.
    `reserve`: how many of the owned are guaranteed (prefilled).
    `live_bytes`: the bytes of live objects.
    `peak`, `failures`: statistics; no behaviour depends on them.
    `closed`: its map is gone.
    """

    id: int
    name: str
    owned: int = 0
    free: int = 0
    reserve: int = 0
    live_bytes: int = 0
    peak: int = 0
    failures: int = 0
    closed: bool = False

    @property
    def live(self) -> int:
        return self.owned - self.free


@dataclass(slots=True, kw_only=True)
class MapRecord(Table):
    """A map.

    `region`: what map pointers point at.
    `kptrs`: those of its values that own objects.
    `allocator`: the one that an allocator map names.
    `consumed`: the bytes of a ring buffer that user space is through with.
    `freeing`: the keys that map free has still to walk; None before that.
    """

    records: tuple[bytes | Unfinished | Output, ...] = ()
    used: frozenset[bytes] = frozenset()
    region: int
    kptrs: tuple[KptrField, ...]
    allocator: int | None
    token: StateToken
    consumed: int = 0
    freeing: tuple[bytes, ...] | None = None

    def clone(self, token: StateToken) -> Self:
        return type(self)(
            id=self.id, spec=self.spec, type=self.type, readonly=self.readonly,
            special=self.special, region=self.region, kptrs=self.kptrs, allocator=self.allocator,
            token=token, entries=dict(self.entries), inner=dict(self.inner), records=self.records,
            used=self.used, values=dict(self.values), consumed=self.consumed,
            freeing=self.freeing,
        )  # fmt: skip


class Retired(NamedTuple):
    """The regions of a value that left its map, and the executions that may still see them."""

    regions: tuple[int, ...]
    readers: frozenset[int]
