"""The kernel around programs, as somebody makes it up, and what a machine needs to play it.

A *block* is memory that no program made: an object of the kernel, a string of user space, a
variable of the kernel. Blocks hold numbers and pointers into one another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from bpfheap.platform.programs import Offer
from bpfheap.runtime.network import Network

#: What a register holds: a number, or on a machine that follows pointers, a pointer.
Word: TypeAlias = Any


#: The type of a task, of which one is current.
TASK = "struct task_struct"


#: Where the addresses of the kernel begin; below there is user space, or no address at all.
KERNEL_HALF = 0xFFFF_8000_0000_0000


class Space(StrEnum):
    """Whose memory a block is, as bpf_probe_read_kernel and bpf_probe_read_user tell it apart."""

    KERNEL = "kernel"
    USER = "user"
    EITHER = "either"  # made in passing, and nobody said which


class Leads(NamedTuple):
    """A pointer to byte `offset` of a block."""

    block: int
    offset: int = 0


class BlockType(Protocol):
    """Of what type a block is."""

    @property
    def name(self) -> str:
        """As C has it, such as "struct task_struct"."""

    def member(self, path: str) -> tuple[int, int] | None:
        """Byte offset and size of a member such as "mm.owner"; None if there is none, or if it is a
        bitfield."""

    def place(self, offset: int) -> str:
        """The member that a byte is in, as a path."""


class Current(NamedTuple):
    """What the calls that ask for the current task tell where the block `task` does not. `cgroups`
    are the ids of its control groups, the root's first. `stack` and `user_stack` are the addresses
    that its functions return to, the innermost first."""

    task: int = 0
    pid: int = 1000
    tgid: int = 1000
    uid: int = 1000
    gid: int = 1000
    comm: bytes = b"test"
    cgroups: tuple[int, ...] = (1,)
    stack: tuple[int, ...] = (0xFFFFFFFF81001234, 0xFFFFFFFF81002468, 0xFFFFFFFF8100369C)
    user_stack: tuple[int, ...] = (0x555555551234, 0x555555552468)


class Place(NamedTuple):
    """Where the program that runs is attached: how many arguments a function has that is traced
    (`returned`: and behind them in the context, what it returned), where it is, and the cookie that
    user space gave."""

    arguments: int = 0
    returned: bool = False
    ip: int = 0
    cookie: int = 0


#: Nowhere that matters.
UNATTACHED = Place()


class Redirect(NamedTuple):
    """Where a program asked for a packet, or a connection, to go.

    `call`: the helper. `to`: the interface, CPU or index; of a socket, its block. `map`: where that
    was looked up, if it was. `data`: the packet, where the helper sends a copy, and what a
    bpf_redirect_neigh was given. But for copies, the last one counts, if the program returns its
    result.
    """

    call: str
    to: int
    map: str = ""
    flags: int = 0
    data: bytes = b""


class World(NamedTuple):
    """What calls ask of the kernel around programs, beside its memory, and what they do to it.

    `place`: where the program that runs is attached.
    `returns`: what the kernel is about to return (bpf_get_retval, bpf_set_retval); None where a
        program has not said it, of a function that it overrides.
    `signals`: those that it sent to the current task, or to its thread.
    `output`: what iterators' programs wrote (bpf_seq_printf) since somebody emptied it.
    `stdout`, `stderr`: what programs wrote to their streams since then (bpf_stream_vprintk).
    `redirects`: what was sent where since then, in order.
    """

    current: Current = Current()
    place: Place = UNATTACHED
    returns: int | None = None
    signals: tuple[int, ...] = ()
    output: bytes = b""
    stdout: bytes = b""
    stderr: bytes = b""
    redirects: tuple[Redirect, ...] = ()
    network: Network = Network()


class Caller(Protocol):
    """A program that stands at a call which Python performs. What reads and writes the program's
    own memory raises Fault where it may not be."""

    #: Of the helper or kfunc.
    name: str

    @property
    def cpu(self) -> int: ...

    @property
    def cpus(self) -> int:
        """How many the machine has."""

    @property
    def world(self) -> World: ...

    @world.setter
    def world(self, new: World) -> None: ...

    @property
    def kind(self) -> Offer:
        """Which kind of programs it is, as helpers tell them apart."""

    @property
    def packet(self) -> bytes | None:
        """As the program sees it, without metadata; None if there is none."""

    def field(self, name: str) -> Word:
        """A field of the program's context; 0 if it has none of that name."""

    def show(self, ctx: Word, name: str, value: Word) -> None:
        """Let a field of the context that a call was given be something else."""

    def acquire(self, block: int) -> None:
        """The program has a reference to a block from here on, or one more; it has to give all of
        them back."""

    def release(self, block: int) -> None:
        """It gives one back. Raises Fault if it has none."""

    def number(self, value: Word) -> int:
        """As 64 unsigned bits; a pointer's are its address."""

    def read(self, at: Word, size: int) -> bytes: ...

    def write(self, at: Word, data: bytes) -> None: ...

    def moved(self, at: Word, by: int) -> Word:
        """So many bytes further."""

    def probe(self, to: Word, at: Word, size: int, space: Space) -> bool:
        """Copy from an address that may lead nowhere, pointers as pointers. False, and zeros at
        `to`, if it does, or into memory of another space."""

    def is_users(self, at: Word) -> bool:
        """Is an address one of user space, as far as anybody knows?"""

    def look(self, at: Word, size: int, space: Space) -> bytes | None:
        """Bytes from an address that may lead nowhere: then None."""

    def text(self, at: Word, limit: int, space: Space) -> bytes | None:
        """Up to `limit` bytes before a NUL, from an address that may lead nowhere: then None."""

    def block(self, at: Word) -> Leads | None:
        """Where a pointer leads to if that is a block."""

    def pointer(self, to: Leads) -> Word: ...

    def blocks(self, name: str) -> Sequence[int]:
        """Those of a type, such as "struct task_struct"."""

    def make(self, name: str) -> Leads | None:
        """A new block of a type, None where nobody knows such a type. Of TASK, the current one."""

    def map_id(self, at: Word) -> int:
        """Of the map that an argument is."""

    def member(self, block: int, path: str) -> Word | None:
        """A member of a block, of up to 8 bytes; None if its type has no such member."""

    def bytes_of(self, block: int, path: str) -> bytes | None:
        """A member of any size."""


#: A call that Python performs: what r1 to r5 hold, and r0; None counts as 0.
Stub: TypeAlias = Callable[[Caller, Sequence[Word]], Word | None]


@runtime_checkable
class Playing(Protocol):
    """A machine that plays a kernel. Blocks are numbered by the machine, and never twice alike.

    All methods raise UsageError for a block that is gone, and for bytes that it does not have.
    """

    world: World
    #: Nanoseconds, of all clocks.
    now: int
    #: By the name of a helper or kfunc: what is called instead of what the machine has.
    stubs: dict[str, Stub]
    #: Variables of the kernel, by name: one block, or one for each CPU.
    variables: dict[str, tuple[Leads, ...]]
    #: Makes a block of a type of the kernel.
    maker: Callable[[str], Leads | None]

    def block_create(
        self, name: str, size: int, *, space: Space = Space.KERNEL,
        of: BlockType | None = None, strict: bool = False,
    ) -> int:  # fmt: skip
        """Zeros. Programs may not read of a `strict` one what `block_write` did not write."""

    def block_free(self, block: int) -> None:
        """Whoever reads it from here on uses it after it was freed."""

    def block_read(self, block: int, offset: int, size: int) -> bytes:
        """Pointers are shown as their addresses."""

    def block_write(self, block: int, offset: int, data: bytes) -> None: ...

    def block_point(self, block: int, offset: int, to: Leads) -> None:
        """Write a pointer."""

    def block_leads(self, block: int, offset: int) -> Leads | None:
        """Where the 8 bytes there lead, None if they are no pointer into a block."""


#: The pointers in a context, by their offsets.
Links: TypeAlias = Mapping[int, Leads]
NO_LINKS: Links = MappingProxyType({})


def no_maker(name: str) -> Leads | None:
    """Where nobody knows types."""
    return None
