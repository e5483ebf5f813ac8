"""What the runtime asks of a machine. A machine knows memory and execution and nothing of
policies, descriptors or reference counts: the runtime decides *when*, the machine does it.

All ids (maps, programs, allocators) are given by the runtime: small positive integers that are
never used twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from bpfheap.btf import Btf
from bpfheap.errors import BpfheapError
from bpfheap.events import ObjectEvent
from bpfheap.runtime.world import NO_LINKS, Links
from bpfheap.spec import MapSpec, ProgramSpec, SourceLine
from bpfheap.verifier.facts import Facts

#: bytes, a memoryview, a numpy array: what offers its bytes (PEP 688 is newer than Python 3.11).
Memory: TypeAlias = Any

#: The allocator behind bpf_obj_new; every machine has it from the start.
GLOBAL_ALLOCATOR_ID = 0


class Sentence(str):
    """What happened, in words, and the source line of the program that did it, if one did."""

    line: SourceLine | None

    def __new__(cls, text: str, line: SourceLine | None = None) -> Sentence:
        made = super().__new__(cls, text)
        made.line = line
        return made


class Context(StrEnum):
    """What a program runs in. An nmi may interrupt anything on its own CPU."""

    TASK = "task"
    IRQ = "irq"
    NMI = "nmi"


@dataclass(frozen=True, slots=True)
class AllocatorStats:
    """An allocator's counts.

    `live`: objects that programs, maps or other objects own.
    `peak`: the most that were live; in real memory, the most that a sample found.
    `cached`: free objects that are kept.
    `bytes`: the bytes of live objects.
    `failures`: allocations that gave NULL.
    `slabs`, `memory`: where objects lie in real memory, how many slabs they are in, and the bytes
        of these.
    """

    live: int
    peak: int
    cached: int
    bytes: int
    failures: int
    slabs: int = 0
    memory: int = 0


@dataclass(frozen=True, slots=True)
class KptrValue:
    """A non-NULL kptr found in a map value.

    `path`, `offset`: the field, and its first byte in the value.
    `object`: the object's name for people, such as "foo#1".
    `type_name`, `btf`, `type_id`: its struct.
    `allocator`: the id of the allocator that it came from.
    `data`: its bytes.
    `nested`: the kptrs in it.
    """

    path: str
    offset: int
    object: str
    type_name: str
    allocator: int
    btf: Btf = field(compare=False, repr=False)
    type_id: int = 0
    data: bytes = b""
    nested: tuple[KptrValue, ...] = ()


@dataclass(frozen=True, slots=True)
class AtCall:
    """An execution stopped before a helper or kfunc call; `step` again performs it."""

    name: str
    slot: int
    line: SourceLine | None


@dataclass(frozen=True, slots=True)
class Done:
    """An execution ended with r0 = `retval` (unsigned 64 bits). `data` is what it made of its
    packet, with the metadata in front, None if it had none; `steps` how many instructions it
    executed, None where nobody counts them, `ctx` the bytes of its context; pointers there are
    what they happen to be."""

    retval: int
    data: bytes | None = field(default=None, compare=False)
    steps: int | None = field(default=None, compare=False)
    ctx: bytes = field(default=b"", compare=False)


Stop = AtCall | Done


class Machine(Protocol):
    """Every method may raise Violation where the machine sees a memory error."""

    name: str
    printk: list[str]
    #: What objects and maps went through, a sentence each, oldest first.
    history: list[str]
    #: What became of objects since somebody last emptied it; None (the default): nobody watches.
    object_events: list[ObjectEvent] | None

    def note(self, sentence: str) -> None:
        """Add to the history, whose length the machine bounds."""

    def check(self) -> None:
        """Raises RuntimeClosed after `close`, and RuntimePoisoned if nothing can run here any more
        because a run was broken off while it held a lock, or in a fork."""

    def close(self) -> None:
        """Nothing runs any more, and threads of the machine end."""

    # -- allocators: live from create to destroy; close is when the allocator map goes.
    def allocator_create(self, allocator: int, name: str, capacity: int) -> None:
        """`capacity` objects are prefilled and guaranteed (0: none)."""

    def allocator_close(self, allocator: int) -> None:
        """Nothing can be allocated any more; caches are drained; live objects stay."""

    def allocator_destroy(self, allocator: int, why: str) -> None:
        """Give everything back. Objects still reachable dangle from here on. `why` is for the
        life of such an object ("the last map that held a reference, M1, was freed")."""

    def allocator_stats(self, allocator: int) -> AllocatorStats: ...

    def allocator_types(self, allocator: int) -> dict[str, int]:
        """How many objects live, by the names of their types."""

    def allocator_objects(self, allocator: int) -> tuple[tuple[str, ...], ...]:
        """The lives of all live objects, oldest object first, each a tuple of sentences."""

    def prefill(self, allocator: int, count: int) -> None:
        """The next `count` allocations succeed, in any context."""

    # -- maps
    def map_create(
        self,
        map_id: int,
        spec: MapSpec,
        allocator: int | None,
        inner: Mapping[int, int],
        elem_allocator: int | None = None,
    ) -> None:
        """`allocator` is the id of the allocator that an allocator map names, else None; `inner`
        is the initial content of a map of maps: slot to map id. The memory of elements is
        `elem_allocator`'s, if one is named, and is not given back before the map goes."""

    def map_lookup(self, map_id: int, key: bytes, cpu: int | None = None) -> bytes | None:
        """The value's bytes (kptr fields read as 0), None if absent. A map of maps gives the
        inner map's id as 4 bytes. Per-CPU maps: all CPUs' values one after the other, each
        rounded up to 8 bytes, or one CPU's."""

    def map_kptrs(self, map_id: int, key: bytes) -> tuple[KptrValue, ...]:
        """The non-NULL kptrs of one value, and the objects in its lists and trees: these have the
        head's offset, and their number behind its path."""

    def map_update(self, map_id: int, key: bytes, value: bytes, flags: int = 0) -> None:
        """Raises MapError (E2BIG, EEXIST, ENOENT, EINVAL). Old kptrs are freed, new ones NULL."""

    def map_delete(self, map_id: int, key: bytes) -> None:
        """Raises MapError (ENOENT, EINVAL)."""

    def map_keys(self, map_id: int) -> tuple[bytes, ...]: ...

    def map_inner_ids(self, map_id: int) -> tuple[int, ...]:
        """The maps that a map of maps holds now."""

    def map_drain(self, map_id: int, cpu: int | None = None) -> list[bytes]:
        """The records of a ring buffer, or of perf events, that were not read yet, oldest first; of
        perf events with a `cpu` those of that alone."""

    def map_free_step(self, map_id: int) -> bool:
        """One step of freeing a map: free the kptrs of its next element, or, once all elements
        were walked, the map's memory. True when the map is gone. Others may act in between."""

    # -- programs
    def program_load(
        self,
        program: int,
        spec: ProgramSpec,
        maps: Mapping[str, int],
        facts: Facts | None = None,
    ) -> None:
        """`maps` gives the ids of all maps that the program's references name; `facts` are the
        verifier's, for machines that compile."""

    def program_free(self, program: int) -> None: ...

    # -- execution
    def start(
        self,
        program: int,
        ctx: bytes,
        *,
        cpu: int = 0,
        context: Context = Context.TASK,
        data: bytes = b"",
        links: Links = NO_LINKS,
    ) -> int:
        """A new execution's id; nothing has run yet. `data` is the packet of a program that gets
        one, as an Ethernet frame. `links` are the pointers in the context, on a machine that plays
        a kernel."""

    def step(self, execution: int, *, through: bool = False) -> Stop:
        """Perform the call it stopped before, if any, and go on to the next one or the end. At the
        end, objects that the execution still holds are a leak (Violation). With `through`, nobody
        wants to act in between: the machine need not stop before calls."""

    def executions(self) -> frozenset[int]:
        """Those started and not done. One that raised Violation is done."""

    def reclaimable(self) -> bool:
        """A grace period would reclaim something now."""

    def grace_period(self) -> None:
        """Reclaim what no execution running since before it was retired can still see."""


class Probe(Protocol):
    """A program that a signal runs."""

    def detach(self) -> None:
        """Put back what the signal did before."""

    def stats(self) -> tuple[int, int, int]:
        """How often it ran, how many signals came when there was no CPU for it, and what the last
        run returned."""

    def error(self) -> BpfheapError | None:
        """Why the signal runs it no more although it was not detached: a run that did not end."""


@runtime_checkable
class Sampling(Protocol):
    """A machine on which signals can run programs, in the middle of anything."""

    def attach(self, program: int, signal: int, hz: int) -> Probe:
        """`hz` times a second, or whenever somebody sends it (0). Raises UsageError if the program
        or the signal is none for that."""


@runtime_checkable
class Bulk(Protocol):
    """A machine whose maps lie in real memory, and take many elements at once. Keys and values are
    one after the other; per-CPU values as in `map_lookup`."""

    def map_view(self, map_id: int) -> memoryview:
        """An array's values, in place, each at a multiple of 8 bytes. Raises UsageError for maps
        that hold more than plain values."""

    def map_lookup_batch(self, map_id: int, keys: Memory) -> bytearray:
        """Raises MapError (ENOENT) for the first key that is not there."""

    def map_update_batch(self, map_id: int, keys: Memory, values: Memory, flags: int) -> None:
        """Raises MapError for the first that fails; those before it are done."""

    def map_delete_batch(self, map_id: int, keys: Memory) -> None:
        """Raises MapError for the first that fails; those before it are done."""


@runtime_checkable
class Pushing(Protocol):
    """A machine with maps that have no keys, into which values are pushed: `map_update` with no key
    does that, `map_lookup` tells what would come out next."""

    def map_pop(self, map_id: int) -> bytes | None:
        """Take the next one out of a queue or stack; None if there is none."""

    def map_peek(self, map_id: int, value: bytes) -> bool:
        """Whether a filter takes a value for one that was pushed."""

    def map_len(self, map_id: int) -> int:
        """How many values are there, as far as the machine knows."""


class Entry(Protocol):
    """The short way into a program: no more than it takes to run it. Raises UsageError once the
    program is gone, ValueError for a context that is too long."""

    def run(self, ctx: Memory = b"", /) -> int:
        """r0's lower half. `ctx` is the context's first bytes, the rest is 0."""

    def batch(self, inputs: Memory, size: int, results: Memory, /) -> int:
        """Run once for each `size` bytes of `inputs`, which are contexts' first bytes; `results` is
        filled with 4 bytes of each run. Other threads go on meanwhile. Gives the number of runs."""


@runtime_checkable
class Direct(Protocol):
    """A machine with short ways in."""

    def entry(self, program: int, cpu: int | None) -> Entry:
        """On that CPU, or on any. Raises UsageError for a program that cannot have one."""

    def context(self, ctx: bytes, links: Links) -> bytes:
        """What an entry is given for a context with pointers in it. Raises UsageError for one that
        leads to a block that is gone."""


class Compilation(Protocol):
    """How a program became machine code.

    `why`: why it did not, so that it is interpreted; "" if it did.
    `ns`: how long that took.
    `cached`: whether the code was there already.
    `size`: the bytes of the object file.
    """

    @property
    def why(self) -> str: ...
    @property
    def ns(self) -> int: ...
    @property
    def cached(self) -> bool: ...
    @property
    def size(self) -> int: ...


#: How compiled code is shown: LLVM's text as its passes leave it, or the machine's instructions.
CodeForm = Literal["ir", "asm"]


@runtime_checkable
class Waiting(Protocol):
    """A machine on which threads wait for one another's runs."""

    @property
    def within(self) -> bool:
        """Is this thread in a run?"""

    def want(self, more: bool, /) -> None:
        """This thread, which is in a run, waits for a lock of Python, or no longer: nobody who has
        that lock needs to wait for a grace period."""

    def waits(self, thread: int, /) -> int:
        """How often a thread looked whether to go on waiting for runs, several times a second;
        others may be counted along."""


@runtime_checkable
class Compiling(Protocol):
    """A machine that can turn programs into machine code."""

    def compilation(self, program: int) -> Compilation | None:
        """That of a program, which is compiled now if it has not been; None if it is not to be."""

    def dump(self, program: int, form: CodeForm) -> str:
        """Its code, beside its source. Raises UsageError, or BpfheapError for a
        program that cannot be compiled."""
