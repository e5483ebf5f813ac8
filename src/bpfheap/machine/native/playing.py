"""The kernel around the native machine's programs: blocks in real memory, and calls that Python
performs in the middle of a run."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bpfheap.errors import UsageError
from bpfheap.machine.faults import Fault
from bpfheap.machine.layout import round_up
from bpfheap.machine.native._core import Core
from bpfheap.machine.native.maps import Maps
from bpfheap.machine.native.records import NativeProgram
from bpfheap.machine.native.tables import Tables
from bpfheap.machine.packets import Frame, Skb
from bpfheap.machine.tables.common import Keeper, Table, check_op
from bpfheap.platform.called import row_of
from bpfheap.platform.calls import CALL_BY_NAME, Arg
from bpfheap.platform.programs import Offer, ProgramType, program_type
from bpfheap.platform.programs.fields import field_of_calls
from bpfheap.runtime.world import (
    KERNEL_HALF,
    BlockType,
    Current,
    Leads,
    Links,
    Space,
    Stub,
    Word,
    World,
    no_maker,
)

_U64 = 0xFFFF_FFFF_FFFF_FFFF
#: enum bh_space.
_SPACE: Final = {Space.KERNEL: 0, Space.USER: 1, Space.EITHER: 2}
#: Bytes of a chunk that many blocks share; larger blocks have chunks of their own.
_CHUNK: Final = 1 << 18
#: Between two blocks, so that what reads on behind one meets zeros.
_GAP: Final = 64
#: So many freed blocks of a size keep their addresses to themselves.
_QUARANTINE: Final = 256
_POINTER: Final = 8
#: So many packets and signals a run may send: Python keeps them until the next one.
_MOST_SENT: Final = 1 << 12
#: BPF_MAX_VAR_SIZ.
_LONGEST: Final = 1 << 29


@dataclass(slots=True)
class _Block:
    """A block.

    `name`: for people.
    `start`, `size`: where it is.
    `space`: whose memory.
    `type`: what it is, if anybody knows.
    `live`: it was not freed.
    """

    name: str
    start: int
    size: int
    space: Space
    type: BlockType | None
    live: bool = True


class Blocks:
    """By their ids, in memory of the core. What is freed is zeros, and nobody's for a while."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._ids = itertools.count(1)
        self._blocks: dict[int, _Block] = {}
        #: By where they begin, the newest there.
        self._by_start: dict[int, int] = {}
        self._free: dict[int, deque[int]] = {}
        self._next = self._end = 0
        #: Of what is about to be made: Python lets threads change places anywhere.
        self._lock = threading.RLock()

    def create(self, name: str, size: int, space: Space, of: BlockType | None) -> int:
        """Raises OutOfMemory."""
        block = next(self._ids)
        with self._lock:
            start = self._place(round_up(size))
            before = self._by_start.get(start)
            # First, as programs may find it from then on.
            self._blocks[block] = _Block(name, start, size, space, of)
            self._by_start[start] = block
            self._core.block(start, size, _SPACE[space], True)
            if before is not None:
                del self._blocks[before]
        return block

    def free(self, block: int) -> None:
        found = self.at(block, 0, 0)
        found.live = False
        self._core.block(found.start, found.size, _SPACE[found.space], False)
        self._core.store(found.start, bytes(found.size))
        self._free.setdefault(round_up(found.size), deque()).append(found.start)

    def _place(self, size: int) -> int:
        freed = self._free.get(size)
        if freed is not None and len(freed) > _QUARANTINE:
            return freed.popleft()
        whole = size + _GAP
        if whole > _CHUNK // 4:
            return self._core.chunk(whole + _GAP) + _GAP
        if self._next + whole > self._end:
            self._next = self._core.chunk(_CHUNK) + _GAP
            self._end = self._next + _CHUNK - _GAP
        start = self._next
        self._next += -(-whole // 16) * 16
        return start

    def at(self, block: int, offset: int, size: int) -> _Block:
        """Raises UsageError for one that is gone, and for bytes that it does not have."""
        found = self._blocks.get(block)
        if found is None:
            raise UsageError(f"there is no block {block}")
        if not found.live:
            raise UsageError(f"{found.name} was freed")
        if offset < 0 or offset + size > found.size:
            raise UsageError(f"{found.name} has {found.size} bytes, and not {offset + size}")
        return found

    def of_type(self, name: str) -> list[int]:
        """The live ones of a type."""
        return [
            number
            for number, block in list(self._blocks.items())
            if block.live and block.type is not None and block.type.name == name
        ]

    def wrong(self, block: int) -> str | None:
        """Why it is none; None if it is one."""
        found = self._blocks.get(block)
        if found is None:
            return "elements are sockets"
        return None if found.live else f"{found.name} was freed"

    def record(self, block: int) -> _Block | None:
        """Freed, too."""
        return self._blocks.get(block)

    def read(self, block: int, offset: int, size: int) -> bytes:
        found = self.at(block, offset, size)
        return self._core.read(found.start + offset, size) or b""

    def write(self, block: int, offset: int, data: bytes) -> None:
        self._core.store(self.at(block, offset, len(data)).start + offset, bytes(data))

    def address(self, to: Leads) -> int:
        """Raises UsageError for a place in one that is gone."""
        return self.at(to.block, 0, 0).start + to.offset & _U64

    def leads(self, address: int) -> Leads | None:
        """What an address leads to, if that is a block, or was."""
        start = self._core.block_at(address)
        return None if start is None else Leads(self._by_start[start], address - start)


class NativeKernel:
    """What NativeMachine has of runtime.world.Playing."""

    _core: Core
    stubs: dict[str, Stub]
    variables: dict[str, tuple[Leads, ...]]
    maker: Callable[[str], Leads | None]

    def _surround(self, core: Core) -> None:
        """To begin with: an empty kernel."""
        self.stubs = {}
        self.variables = {}
        self.maker = no_maker
        self.blocks = Blocks(core)
        #: By run: what its program does not see of its packet, and what is known of that.
        self.packets: dict[int, tuple[bytes, Skb]] = {}
        #: By name, the tables of variables with a copy for each CPU.
        self._tables: dict[str, int] = {}
        self._world = World()
        #: Blocks that the core reads for calls which ask for the current task.
        self._told: frozenset[int] = frozenset()
        self._tell(self._world.current)

    @property
    def world(self) -> World:
        return self._world

    @world.setter
    def world(self, new: World) -> None:
        before, self._world = self._world.current, new
        if new.current is not before:
            self._tell(new.current)

    @property
    def now(self) -> int:
        """As this system's clock says until somebody sets it."""
        return self._core.now

    @now.setter
    def now(self, new: int) -> None:
        self._core.now = new

    def block_create(
        self, name: str, size: int, *, space: Space = Space.KERNEL,
        of: BlockType | None = None, strict: bool = False,
    ) -> int:  # fmt: skip
        if strict:
            raise UsageError(
                "the native machine does not see whether a member was set",
                hint='kernel.strict is for machine="model"',
            )
        return self.blocks.create(name, size, space, of)

    def block_free(self, block: int) -> None:
        self.blocks.free(block)
        if block in self._told:
            self._tell(self._world.current)

    def block_read(self, block: int, offset: int, size: int) -> bytes:
        return self.blocks.read(block, offset, size)

    def block_write(self, block: int, offset: int, data: bytes) -> None:
        self.blocks.write(block, offset, data)

    def block_point(self, block: int, offset: int, to: Leads) -> None:
        address = self.blocks.address(to)
        self.blocks.write(block, offset, address.to_bytes(_POINTER, "little"))
        if block == self._world.current.task:
            self._tell(self._world.current)

    def block_leads(self, block: int, offset: int) -> Leads | None:
        number = int.from_bytes(self.blocks.read(block, offset, _POINTER), "little")
        return self.blocks.leads(number) if number else None

    def variable(self, name: str) -> tuple[int, int]:
        """The address that programs have for a variable, and its size: of one with a copy for each
        CPU, what bpf_per_cpu_ptr takes."""
        copies = self.variables[name]
        if len(copies) == 1:
            found = self.blocks.at(copies[0].block, 0, 0)
            return found.start + copies[0].offset, found.size
        if name not in self._tables:
            block = self.blocks.create(
                f"variable {name}", _POINTER * len(copies), Space.KERNEL, None
            )
            for n, copy in enumerate(copies):
                address = self.blocks.address(copy)
                self.blocks.write(block, _POINTER * n, address.to_bytes(_POINTER, "little"))
            self._tables[name] = self.blocks.at(block, 0, 0).start
            self._core.variable(self._tables[name])
        return self._tables[name], _POINTER * len(copies)

    def _tell(self, current: Current) -> None:
        """Let the core know of the current task what it needs for the most frequent calls."""
        where = _Members(self.blocks, current.task)
        cred_at = where.address("cred", _POINTER)
        cred = self.blocks.read(current.task, cred_at - where.start, _POINTER) if cred_at else b""
        leads = self.blocks.leads(int.from_bytes(cred, "little"))
        of_cred = _Members(self.blocks, 0 if leads is None else leads.block)
        self._told = frozenset({current.task, 0 if leads is None else leads.block})
        self._core.current(
            where.asked,
            where.start,
            current.pid & 0xFFFF_FFFF,
            current.tgid & 0xFFFF_FFFF,
            current.uid & 0xFFFF_FFFF,
            current.gid & 0xFFFF_FFFF,
            current.comm[:16],
            where.address("pid", 4),
            where.address("tgid", 4),
            where.address("comm", 16),
            cred_at,
            int.from_bytes(cred, "little"),
            of_cred.address("uid.val", 4),
            of_cred.address("gid.val", 4),
        )


class _Members:
    """Where members of a block are, for whoever reads them without a look at its type."""

    def __init__(self, blocks: Blocks, block: int) -> None:
        found = blocks.record(block) if block else None
        live = found is not None and found.live
        #: Reading it is an error, which Python finds.
        self.asked = bool(block) and not live
        self._of = found.type if found is not None and live else None
        self.start = 0 if found is None else found.start

    def address(self, path: str, size: int) -> int:
        """0 if there is no such member."""
        place = None if self._of is None else self._of.member(path)
        return 0 if place is None or place[1] != size else self.start + place[0]


class NativeCaller:
    """A program of the native machine at a call (machine/tables/caller.py). `run` is how the core
    knows its run, `keeper` what changes maps where that is."""

    def __init__(
        self,
        kernel: NativeKernel,
        core: Core,
        maps: Maps,
        program: NativeProgram,
        name: str,
        run: int,
        cpu: int,
        keeper: Tables,
    ) -> None:
        self.name = name
        self.keeper: Keeper = keeper
        self.cpu = cpu
        self._kernel = kernel
        self._core = core
        self._maps = maps
        self._program = program
        self._run = run

    def end(self) -> None:
        """The program has gone on: whoever kept this has nothing any more."""
        self._run = 0

    def _going(self) -> int:
        if not self._run:
            raise UsageError(f"the call of {self.name} is over: its memory is the program's")
        return self._run

    @property
    def cpus(self) -> int:
        return self._core.cpus

    @property
    def world(self) -> World:
        return self._kernel.world

    @world.setter
    def world(self, new: World) -> None:
        if max(len(new.redirects), len(new.signals)) > _MOST_SENT:
            raise Fault("bad-call", f"{self.name} for the {_MOST_SENT + 1}th time in a run")
        self._kernel.world = new

    @property
    def kind(self) -> Offer:
        return self._type.caller

    @property
    def packet(self) -> bytes | None:
        return self._core.packet(self._going())

    def field(self, name: str) -> Word:
        found = field_of_calls(self._type, name)
        if found is None:
            return 0
        context = self._core.context(self._going())
        return int.from_bytes(context[found.offset : found.offset + found.size], "little")

    def show(self, ctx: Word, name: str, value: Word) -> None:
        found = field_of_calls(self._type, name)
        if found is not None:
            self.write(self.moved(ctx, found.offset), int(value).to_bytes(found.size, "little"))

    @property
    def _type(self) -> ProgramType:
        row = program_type(self._program.spec.section)
        if row is None:
            raise Fault("bad-call", f"{self.name} in a program of no type")
        return row

    def number(self, value: Word) -> int:
        return int(value) & _U64

    def read(self, at: Word, size: int) -> bytes:
        found = self._core.fetch(self._going(), at, size)
        if found is None:
            raise Fault("invalid-access", f"{self.name} reads {size} bytes at {at:#x}")
        return found

    def write(self, at: Word, data: bytes) -> None:
        if not self._core.put(self._going(), at, bytes(data)):
            raise Fault("invalid-access", f"{self.name} writes {len(data)} bytes at {at:#x}")

    def moved(self, at: Word, by: int) -> Word:
        return int(at) + by & _U64

    def is_users(self, at: Word) -> bool:
        found = self._kernel.blocks.leads(at)
        block = None if found is None else self._kernel.blocks.record(found.block)
        if block is not None:
            return block.space is Space.USER
        # The kernel that is played, and its programs, are in this process.
        there = self._core.probe(self._going(), at, 1, _SPACE[Space.KERNEL])
        return at < KERNEL_HALF and there is None

    def look(self, at: Word, size: int, space: Space) -> bytes | None:
        return self._core.probe(self._going(), at, size, _SPACE[space]) if size else b""

    def probe(self, to: Word, at: Word, size: int, space: Space) -> bool:
        if not size:
            return True
        found = self._core.probe(self._going(), at, size, _SPACE[space])
        self.write(to, bytes(size) if found is None else found)
        return found is not None

    def text(self, at: Word, limit: int, space: Space) -> bytes | None:
        return self._core.text(self._going(), at, limit, _SPACE[space])

    def block(self, at: Word) -> Leads | None:
        return self._kernel.blocks.leads(at) if at else None

    def pointer(self, to: Leads) -> Word:
        return self._kernel.blocks.address(to)

    def blocks(self, name: str) -> Sequence[int]:
        return self._kernel.blocks.of_type(name)

    def make(self, name: str) -> Leads | None:
        return self._kernel.maker(name)

    def acquire(self, block: int) -> None:
        """That programs give references back, the verifier has seen."""

    def release(self, block: int) -> None:
        """The same."""

    def map_id(self, at: Word) -> int:
        found = self._maps.by_pointer.get(at)
        if found is None:
            raise Fault("bad-call", f"{self.name} is given {at:#x}, which is no map")
        return found.id

    @property
    def section(self) -> str:
        return self._program.spec.section

    def table(self, at: Word, op: str) -> Table:
        found = self._maps.by_pointer.get(at)
        if found is None or found.table is None:
            raise Fault("bad-call", f"{self.name} is given {at:#x}, which is no such map")
        check_op(found.table, op)
        return found.table

    def value(self, table: Table, places: tuple[int, ...]) -> Word:
        own = self.cpu * round_up(table.spec.value_size) if table.type.per_cpu else 0
        return self._maps.tables.address(table, places) + own

    def frame(self, ctx: Word) -> Frame:
        """Of the run's own context, whatever the program gives for it."""
        found, known = self._core.frame(self._going()), self._kernel.packets.get(self._run)
        if found is None or known is None or not self._type.has(row_of(self.name).offer):
            raise Fault("bad-call", f"{self.name} in a program of another type")
        return Frame(*found, *known)

    def within_packet(self, at: int) -> Word:
        if all(field.name != "data" for field in self._type.fields):
            return 0
        frame = self._core.frame(self._going())
        assert frame is not None
        return self.number(self.field("data")) - frame[1] + at

    def load(self, at: Word) -> Word:
        return int.from_bytes(self.read(at, _POINTER), "little")

    def store(self, at: Word, value: Word) -> None:
        self.write(at, self.number(value).to_bytes(_POINTER, "little"))

    def reframe(self, frame: Frame) -> None:
        self._core.reframe(self._going(), frame.whole, frame.data, frame.room, frame.tail)
        self.know(frame)

    def know(self, frame: Frame) -> None:
        self._kernel.packets[self._going()] = frame.unseen, frame.skb

    def poke(self, at: int, data: bytes) -> None:
        self._core.poke(self._going(), at, data)

    def owner(self, at: Word, what: str) -> int | None:
        if not at:
            return None
        leads = self._kernel.blocks.leads(at)
        found = None if leads is None else self._kernel.blocks.record(leads.block)
        if leads is None or found is None:
            raise Fault("bad-call", f"{what} of what is no object of the kernel")
        if not found.live:
            raise Fault("use-after-free", f"{what} of {found.name} after it was freed")
        return leads.block

    def member(self, block: int, path: str) -> Word | None:
        found = self._member(block, path, 8)
        return None if found is None else int.from_bytes(found, "little")

    def bytes_of(self, block: int, path: str) -> bytes | None:
        return self._member(block, path, None)

    def _member(self, block: int, path: str, most: int | None) -> bytes | None:
        found = self._kernel.blocks.record(block)
        place = None if found is None or found.type is None else found.type.member(path)
        if found is None or place is None or (most is not None and place[1] > most):
            return None
        if not found.live:
            what = f"{self.name} reads {path} of {found.name} after it was freed"
            raise Fault("use-after-free", what)
        return self._kernel.blocks.read(block, *place)


def check_sizes(name: str, registers: Sequence[int]) -> None:
    """Raise Fault for more memory than a verified program can name, before anybody makes room for
    as much."""
    row = CALL_BY_NAME.get(name)
    for arg, given in zip(() if row is None else row.args, registers, strict=False):
        if arg in (Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO) and given > _LONGEST:
            raise Fault("invalid-access", f"{name} is given {given} bytes")


def show(blocks: Blocks, memory: bytearray, links: Links) -> None:
    """Let a context lead to blocks. Raises UsageError for one that is gone."""
    for offset, to in links.items():
        found = blocks.record(to.block)
        if found is None or not found.live:
            raise UsageError("an object of the context was freed")
        memory.extend(bytes(max(0, offset + _POINTER - len(memory))))
        address = found.start + to.offset & _U64
        memory[offset : offset + _POINTER] = address.to_bytes(_POINTER, "little")
