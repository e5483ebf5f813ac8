"""Helpers and kfuncs: one row each, with every fact that somebody needs. The verifier checks calls
against the row, a machine looks its implementation up by the row's name, the explorer and those who
compare machines ask the row what a call does; the C header is tested against it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bpfheap.platform.dynptrs import DynptrKind
from bpfheap.platform.maps import CREATE
from bpfheap.platform.programs import Offer, ProgramType
from bpfheap.platform.programs.struct_ops import TCP_SOCKOPT
from bpfheap.platform.programs.targets import (
    D_PATH,
    SLEEPABLE_HOOKS,
    SOCKOPT_HOOKS,
    SOCKOPT_ITERATORS,
)


class Arg(StrEnum):
    """What an argument must be (enum bpf_arg_type, and the kfunc argument kinds)."""

    ANYTHING = "anything"  # any initialised register
    SCALAR = "scalar"
    COUNT = "count"  # a number: how often the callback is called, at most
    CONST_SIZE = "const-size"  # length of the memory in the argument before; not 0
    CONST_SIZE_OR_ZERO = "const-size-or-zero"
    MAP = "map"  # ARG_CONST_MAP_PTR
    MAP_KEY = "map-key"  # readable, key_size bytes
    MAP_VALUE = "map-value"  # readable, value_size bytes
    MAP_VALUE_OR_NULL = "map-value-or-null"
    UNINIT_VALUE = "uninit-value"  # writable, value_size bytes; need not be initialised
    MEM = "mem"  # readable, as long as the next argument says
    MEM_OR_NULL = "mem-or-null"
    CHANGED_MEM = "changed-mem"  # readable and writable, as long as the next argument says
    UNINIT_MEM = "uninit-mem"  # writable, need not be initialised
    UNINIT_MEM_OR_NULL = "uninit-mem-or-null"
    INT = "int"  # writable, 4 bytes, aligned; need not be initialised
    LONG = "long"  # the same of 8 bytes
    IPV4_HEADER = "ipv4-header"  # readable, the bytes of a struct iphdr
    IPV6_HEADER = "ipv6-header"
    TCP_HEADER = "tcp-header"
    CONST_STRING = "const-string"  # in memory that nobody can change any more; ends with a NUL
    FORMAT = "format"  # the same, for the values in the two arguments behind it
    CTX = "ctx"
    CTX_OR_NULL = "ctx-or-null"
    KERNEL = "kernel"  # an object of the kernel, of the struct that the row says
    KERNEL_OR_NULL = "kernel-or-null"
    SOCK_COMMON = "sock-common"  # a socket of any of SOCKET_TYPES
    FULL_SOCK_OR_NULL = "full-sock-or-null"  # a full socket, or NULL
    ANY_SOCK = "any-sock"  # a SOCK_COMMON, or an object that begins with a struct sock_common
    ANY_SOCK_OR_NULL = "any-sock-or-null"
    RELEASED_SOCK = "released-sock"  # an ANY_SOCK to which the program has a reference; it goes
    ZERO = "zero"  # the constant 0
    ALLOC_SIZE = "alloc-size"  # ARG_CONST_ALLOC_SIZE_OR_ZERO: a known constant, the result's size
    RECORD = "record"  # a reserved ring buffer record, at its start; goes
    KPTR_FIELD = "kptr-field"  # address of a kptr field in a map value or an object
    OWNED_OR_NULL = "owned-or-null"  # an object that the program owns, or NULL; ownership goes
    OWNED = "owned"  # an object that the program owns; ownership goes
    ALLOCATOR = "allocator"  # a map of type allocator
    OWNED_PERCPU = "owned-percpu"  # as OWNED, for what bpf_percpu_obj_new gave
    PERCPU = "percpu"  # a per-CPU object, owned or under RCU
    COUNTED = "counted"  # an object with a bpf_refcount, owned or in a list or tree
    SPIN_LOCK = "spin-lock"  # address of a bpf_spin_lock in a map value, global or object
    RES_SPIN_LOCK = "res-spin-lock"  # address of a bpf_res_spin_lock that is taken, if it can be
    RES_SPIN_UNLOCK = "res-spin-unlock"  # address of the one that was taken last
    IRQ_SAVE = "irq-save"  # stack for what interrupts were; 8 bytes, uninitialised
    IRQ_RESTORE = "irq-restore"  # such stack, the last one that was filled
    TIMER = "timer"  # address of a bpf_timer in a map value
    WORKQUEUE = "workqueue"  # address of a bpf_wq in a map value
    ITS_MAP = "its-map"  # the map that has the value
    LIST_HEAD = "list-head"  # address of a bpf_list_head, whose lock is held
    LIST_NODE = "list-node"  # address of an owned object's bpf_list_node; ownership goes
    RB_ROOT = "rb-root"
    RB_NODE = "rb-node"  # address of an owned object's bpf_rb_node; ownership goes
    RB_MEMBER = "rb-member"  # address of the bpf_rb_node of an object that is in the tree
    LESS = "less"  # address of a subprogram that compares two nodes
    ITER_NEW = "iter-new"  # stack for a bpf_iter_num, uninitialised
    ITER = "iter"  # a bpf_iter_num in progress
    TYPE_ID = "type-id"  # a constant: id of a struct in the program's own BTF
    CALLBACK = "callback"  # address of a subprogram
    CALLBACK_CTX = "callback-ctx"  # pointer to stack, or NULL
    UNCHECKED = "unchecked"  # need not even be initialised, as what a format may not ask for
    DYNPTR = "dynptr"  # a dynptr that is set up, of any kind
    NEW_DYNPTR = "new-dynptr"  # stack for one, of the kind that the row says
    OWNED_DYNPTR = "owned-dynptr"  # one that stands for a ring buffer record; that goes
    UNUSED = "unused"  # filled in by the kernel's loader; any value
    PROTOTYPE = "prototype"  # whatever the kernel's BTF says, if it says that there is one


class Ret(StrEnum):
    """What r0 is after the call."""

    INTEGER = "integer"
    CPU = "cpu"  # the number of a CPU
    TAKEN = "taken"  # 0, and the lock is; on another path -MAX_ERRNO to -1, and it is not
    LENGTH = "length"  # at most as many bytes as CONST_SIZE says, or -MAX_ERRNO and more
    VOID = "void"
    MAP_VALUE = "map-value"  # one that is there
    MAP_VALUE_OR_NULL = "map-value-or-null"
    KPTR_OR_NULL = "kptr-or-null"  # what was in the field; owned by the program
    NEW_OR_NULL = "new-or-null"  # a fresh object of the type named; owned by the program
    PERCPU_NEW_OR_NULL = "percpu-new-or-null"  # one such object for each CPU
    PERCPU_MEMBER = "percpu-member"  # this CPU's copy, which the program does not own
    PERCPU_MEMBER_OR_NULL = "percpu-member-or-null"  # a given CPU's copy; NULL if there is none
    SHARED_OR_NULL = "shared-or-null"  # the counted object, owned once more; NULL never if it was
    SLICE_OR_NULL = "slice-or-null"  # ALLOC_SIZE bytes of what a dynptr leads to
    RECORD_OR_NULL = "record-or-null"  # ring buffer memory of ALLOC_SIZE bytes; owned
    NODE_OR_NULL = "node-or-null"  # an object taken out of a list or tree; owned
    PEEK_OR_NULL = "peek-or-null"  # an object that stays in its list or tree; not owned
    ELEMENT_OR_NULL = "element-or-null"  # the iterator's int, NULL at the end
    KERNEL = "kernel"  # an object of the kernel, of the struct that the row says
    KERNEL_TRUSTED = "kernel-trusted"  # one that stays as long as the program runs
    KERNEL_OR_NULL = "kernel-or-null"
    CAST_OR_NULL = "cast-or-null"  # the socket that was given, as another struct of the kernel
    SOCK_OR_NULL = "sock-or-null"  # a socket, which lives as long as what was given
    TCP_SOCK_OR_NULL = "tcp-sock-or-null"
    LISTENER_OR_NULL = "listener-or-null"  # a socket under RCU
    FOUND_SOCK_OR_NULL = "found-sock-or-null"  # a socket to which the program has a reference
    FOUND_COMMON_OR_NULL = "found-common-or-null"
    PROTOTYPE = "prototype"  # what the kernel's BTF says


class Effect(StrEnum):
    """What others may notice of a call, or a call of what others do. SHARED is always safe to say:
    the explorer then visits every order."""

    LOCAL = "local"  # nothing: thread-local state and counters; commutes with every action
    FINDS = "finds"  # whether a key's element is there; commutes while it stays, if nothing changes
    SHARED = "shared"  # something


class Sees(StrEnum):
    """What a call tells of where and when a program runs, beyond its arguments and memory."""

    NOTHING = "nothing"
    TIME = "time"  # differs from run to run
    CHANCE = "chance"  # differs from machine to machine
    CPU = "cpu"  # tells CPUs apart by their numbers
    OWN_COPY = "own-copy"  # leads to what belongs to this CPU, and shows no number


class Course(StrEnum):
    """How a program goes on from a call."""

    RETURNS = "returns"  # behind it, soon
    CALLS_BACK = "calls-back"  # in a subprogram of its own, any number of times
    CALLS_LATER = "calls-later"  # behind it; a subprogram of its own is called apart from it
    LOOPS = "loops"  # behind it, and it begins a loop whose end nobody knows before
    JUMPS = "jumps"  # in another program (bpf_tail_call)
    SLEEPS = "sleeps"  # behind it, and others may run before: only where programs may sleep
    WAITS = "waits"  # behind it, once another context lets it, which may take for ever
    PRINTS = "prints"  # behind it, once a line was formatted
    THROWS = "throws"  # nowhere: the program ends, in its exception callback if it has one


class SideEffect(StrEnum):
    """What verifying a call does beyond its arguments and its result: first of all, what becomes
    of what it was given."""

    NOTHING = "nothing"
    FREES = "frees"  # the object
    STORES = "stores"  # the object, in the field whose content comes back
    LINKS = "links"  # the object, into a list or tree
    RELEASES = "releases"  # the reference to an object of the kernel
    RELEASES_RECORD = "releases-record"  # the record: it is the reader's, or nobody's
    RELEASES_DYNPTR = "releases-dynptr"  # the record that it stands for
    WRITES_DYNPTR = "writes-dynptr"  # what it leads to, which may move a packet
    BEGINS = "begins"  # the iterator
    ENDS = "ends"  # the iterator
    MOVES_PACKET = "moves-packet"  # pointers into it are void (bpf_helper_changes_pkt_data)
    ENTERS_RCU = "enters-rcu"
    LEAVES_RCU = "leaves-rcu"
    DISABLES_PREEMPTION = "disables-preemption"
    ENABLES_PREEMPTION = "enables-preemption"
    FORMATS = "formats"  # the values, of which there have to be as many as the format asks for


class Availability(StrEnum):
    """Availability a call is, and under which licences programs may use it."""

    LINUX = "linux"  # Linux's; any program
    LINUX_GPL = "linux-gpl"  # programs under the GPL alone: gpl_only helpers, and all its kfuncs
    OURS = "ours"  # machines in user space alone have it, and have no such demand


#: Arguments that may be NULL in place of the memory that they are.
NULLABLE = frozenset({Arg.MEM_OR_NULL, Arg.UNINIT_MEM_OR_NULL, Arg.MAP_VALUE_OR_NULL})
#: Arguments that are memory of a size of their own, in bytes.
FIXED_SIZES = {
    Arg.INT: 4, Arg.LONG: 8, Arg.IPV4_HEADER: 20, Arg.IPV6_HEADER: 40, Arg.TCP_HEADER: 20,
}  # fmt: skip
#: Arguments that are memory which the call writes.
WRITTEN = frozenset({
    Arg.UNINIT_VALUE, Arg.CHANGED_MEM, Arg.UNINIT_MEM, Arg.UNINIT_MEM_OR_NULL, Arg.INT, Arg.LONG,
    Arg.ITER_NEW, Arg.ITER, Arg.IRQ_SAVE, Arg.NEW_DYNPTR, Arg.PROTOTYPE,
})  # fmt: skip
#: Arguments that are memory which the call is known to leave as it is (MEM_RDONLY).
READ_ONLY = frozenset({
    Arg.MEM, Arg.MEM_OR_NULL, Arg.IPV4_HEADER, Arg.IPV6_HEADER, Arg.TCP_HEADER,
})  # fmt: skip

#: Arguments that give something away, by what becomes of it.
_GIVEN = {
    SideEffect.FREES: frozenset({Arg.OWNED, Arg.OWNED_PERCPU}),
    SideEffect.STORES: frozenset({Arg.OWNED_OR_NULL}),
    SideEffect.LINKS: frozenset({Arg.LIST_NODE, Arg.RB_NODE}),
    SideEffect.RELEASES: frozenset({Arg.RELEASED_SOCK}),
    SideEffect.RELEASES_RECORD: frozenset({Arg.RECORD}),
    SideEffect.RELEASES_DYNPTR: frozenset({Arg.OWNED_DYNPTR}),
    SideEffect.BEGINS: frozenset({Arg.ITER_NEW}),
    SideEffect.FORMATS: frozenset({Arg.FORMAT}),
}
_CALLBACKS = frozenset({Arg.CALLBACK, Arg.LESS})
_COPIES = frozenset({Ret.PERCPU_MEMBER, Ret.PERCPU_MEMBER_OR_NULL})
_MAPS = frozenset({Arg.MAP, Arg.ALLOCATOR})
_OBJECTS = frozenset({Arg.KERNEL, Arg.KERNEL_OR_NULL})
_FOUND = frozenset({
    Ret.KERNEL, Ret.KERNEL_TRUSTED, Ret.KERNEL_OR_NULL, Ret.CAST_OR_NULL,
})  # fmt: skip
#: What every struct of a socket begins with.
SOCK_STRUCT = "sock_common"


@dataclass(frozen=True, slots=True)
class Call:
    """A helper (`number` is its id) or a kfunc (`number` is None).

    `map_op` is the operation (MapType.ops) that the map argument's type must offer. `offer`: which
    kinds of programs may call it. `reads_packet`: memory arguments of this helper may be in the
    packet (pkt_access). `locked`: may be called with a bpf_spin_lock held. `stand_in`: for one of
    ours, the function of Linux that does the same with its one allocator, if there is any.
    `other_args`: what the arguments are for some kinds of programs; never more of them. `takes`,
    `gives`: the kernel's structs of KERNEL arguments and results. `only_in`: by
    kinds of programs, the functions, hooks and iterators that they have to be attached to.
    `checks_null`: arguments, from 1, that Linux's function compares with NULL itself: memory,
    whatever its length, and objects that were found by walking. `generic`: programs of the types
    that Linux registers its functions for objects, lists and trees for may call it
    (generic_kfunc_set), of those that `offer` says. `holds`: what the function that it calls back
    is called in, where that must not sleep: rcu_read_lock, but for arrays, or mmap_lock.
    `not_in`: how the names of functions begin that a program which calls it may not be attached to.
    `sleeps_with`: flags, in the fourth argument, with which it may sleep in a program that does.
    `makes`: the kind of the dynptr that it sets up.

    Raises ValueError for facts that exclude each other.
    """

    name: str
    number: int | None
    args: tuple[Arg, ...]
    ret: Ret
    effect: Effect
    sees: Sees
    course: Course
    side_effect: SideEffect
    offer: Offer
    availability: Availability
    map_op: str | None = None
    reads_packet: bool = False
    locked: bool = False
    stand_in: str | None = None
    other_args: tuple[tuple[Offer, tuple[Arg, ...]], ...] = ()
    takes: str = ""
    gives: str = ""
    only_in: tuple[tuple[Offer, frozenset[str]], ...] = ()
    checks_null: tuple[int, ...] = ()
    generic: bool = False
    holds: str = ""
    sleeps_with: int = 0
    not_in: str = ""
    makes: DynptrKind | None = None

    @property
    def title(self) -> str:
        """As Linux names it: with its number, if it has one."""
        return self.name if self.number is None else f"{self.name}#{self.number}"

    def is_for(self, row: ProgramType) -> bool:
        """Is it offered to programs of that type? Kfuncs for all are also for those that have no
        helpers."""
        if row.has(self.offer):
            return True
        return self.number is None and Offer.OPS in self.offer and row.has(Offer.NO_HELPERS)

    def args_in(self, caller: Offer) -> tuple[Arg, ...]:
        """What the arguments are in programs of that kind."""
        return next((args for offer, args in self.other_args if caller in offer), self.args)

    @property
    def ours(self) -> bool:
        """Whether Linux has nothing of that name, or something else."""
        return self.availability is Availability.OURS

    @property
    def gpl(self) -> bool:
        """Whether a program that calls it has to be under the GPL."""
        return self.availability is Availability.LINUX_GPL

    @property
    def sleepable(self) -> bool:
        """Whether it may sleep."""
        return self.course is Course.SLEEPS

    @property
    def packet(self) -> bool:
        """Whether pointers into the packet are void after it."""
        return self.side_effect is SideEffect.MOVES_PACKET

    @property
    def jumps(self) -> bool:
        """Whether another program begins there."""
        return self.course is Course.JUMPS

    @property
    def callback(self) -> bool:
        """Whether it calls a subprogram."""
        return self.course is Course.CALLS_BACK

    @property
    def later(self) -> bool:
        """Whether a subprogram is called by somebody else, who knows when."""
        return self.course is Course.CALLS_LATER

    @property
    def throws(self) -> bool:
        """Whether the program ends there."""
        return self.course is Course.THROWS

    @property
    def waits(self) -> bool:
        """Whether a run may be broken off there, since another context never comes."""
        return self.course is Course.WAITS

    @property
    def reads_cpu(self) -> bool:
        """Whether what comes of it depends on the CPU."""
        return self.sees in (Sees.CPU, Sees.OWN_COPY)

    def __post_init__(self) -> None:
        args = set(self.args)
        all_args = (self.args, *(other for _, other in self.other_args))
        for wrong, why in (
            (len(self.args) > 5, "more arguments than there are registers"),
            (
                bool(args & _CALLBACKS) != (self.callback or self.later),
                "a callback argument if it calls back",
            ),
            (
                (self.map_op == "tail_call") != self.jumps,
                "map_op tail_call if it jumps",
            ),
            (
                self.effect is Effect.FINDS and self.args[:2] != (Arg.MAP, Arg.MAP_KEY),
                "a map and a key first, to find something",
            ),
            (self.ret is Ret.CPU and self.sees is not Sees.CPU, "sees CPU, to tell its number"),
            (
                (Arg.PERCPU in args or self.ret in _COPIES) and not self.reads_cpu,
                "sees CPU or OWN_COPY, to lead to a CPU's copy",
            ),
            (
                (self.map_op is None) == bool(args & _MAPS),
                "a map that has the operation, and the operation for a map",
            ),
            (
                bool(self.sleeps_with) and (len(self.args) < 4 or self.sleepable),
                "a fourth argument for flags, and no other way to sleep, to sleep with them",
            ),
            (Arg.COUNT in args and not self.callback, "a callback, to count its calls"),
            (
                (Arg.NEW_DYNPTR in args) != (self.makes is not None),
                "the kind of the dynptr that it sets up",
            ),
            (
                self.side_effect is SideEffect.WRITES_DYNPTR
                and not args & {Arg.DYNPTR, Arg.PROTOTYPE},
                "a dynptr, to write what it leads to",
            ),
            (
                bool(self.takes) != any(_OBJECTS & {*given} for given in all_args),
                "the struct that it takes, if it takes one of the kernel's",
            ),
            (
                bool(self.gives) != (self.ret in _FOUND),
                "the struct that it gives, if it gives one of the kernel's",
            ),
            *(
                (
                    Arg.PROTOTYPE not in args
                    and bool(args & given) != (self.side_effect is side_effect),
                    f"{side_effect}, for what it is given",
                )
                for side_effect, given in _GIVEN.items()
            ),
            (
                self.side_effect is SideEffect.ENDS and not args & {Arg.ITER, Arg.PROTOTYPE},
                "an iterator, to end it",
            ),
            (
                (self.side_effect is SideEffect.STORES) != (self.ret is Ret.KPTR_OR_NULL),
                "what was in the field, if it stores",
            ),
            (
                self.number is None and self.availability is Availability.LINUX,
                "LINUX_GPL: Linux lets programs under other licences call no kfunc",
            ),
            (self.stand_in is not None and not self.ours, "a place to stand in at: it is Linux's"),
            (
                self.packet and not args & {Arg.CTX, Arg.PROTOTYPE},
                "the context of the packet that it moves",
            ),
            (
                any(len(other) > len(self.args) for _, other in self.other_args),
                "as many arguments as other programs give it",
            ),
        ):
            if wrong:
                raise ValueError(f"{self.name}: the row needs {why}")


A, R, E, S, C, D, P, W = Arg, Ret, Effect, Sees, Course, SideEffect, Offer, Availability

#: The greatest CONFIG_NR_CPUS; Linux itself knows how many there can be where it runs.
MAX_CPUS = 8192


# Families whose members have most facts in common.


def _clock(name: str, number: int, offer: Offer = P.ALL) -> Call:
    return Call(name, number, (), R.INTEGER,
                E.SHARED, S.TIME, C.RETURNS, D.NOTHING, offer, W.LINUX)  # fmt: skip


def _outside(
    name: str,
    number: int,
    *args: Arg,
    offer: Offer = P.ALL,
    availability: Availability = W.LINUX,
    map_op: str | None = None,
    reads_packet: bool = False,
    other_args: tuple[tuple[Offer, tuple[Arg, ...]], ...] = (),
    takes: str = "",
    course: Course = C.RETURNS,
    only_in: tuple[tuple[Offer, frozenset[str]], ...] = (),
    checks_null: tuple[int, ...] = (),
) -> Call:
    """Asks for what is around the program, such as the task that runs, or does something to it."""
    return Call(name, number, args, R.INTEGER,
                E.SHARED, S.CHANCE, course, D.NOTHING, offer, availability, map_op,
                reads_packet, other_args=other_args, takes=takes, only_in=only_in,
                checks_null=checks_null)  # fmt: skip


def _leads(
    name: str, number: int, args: tuple[Arg, ...], ret: Ret, gives: str, takes: str = "",
    offer: Offer = P.ALL, availability: Availability = W.LINUX, checks_null: tuple[int, ...] = (),
) -> Call:  # fmt: skip
    """Gives an object of the kernel."""
    return Call(name, number, args, ret,
                E.SHARED, S.CHANCE, C.RETURNS, D.NOTHING, offer, availability,
                takes=takes, gives=gives, checks_null=checks_null)  # fmt: skip


#: BPF_F_USER_BUILD_ID: for these, pages of files are read.
_USER_BUILD_ID = 1 << 11
#: The ends of the connection of a socket that is looked for (struct bpf_sock_tuple).
_TUPLE = (A.CTX, A.MEM, A.CONST_SIZE_OR_ZERO, A.ANYTHING, A.ANYTHING)
#: bpf_sk_base_func_proto and tracing_prog_func_proto
_SOCKETS = (P.PACKETS | P.SK_SKB | P.SYSCALL | P.TYPED | P.CGROUP_SKB | P.ADDRESSES | P.SOCK_OPS
            | P.SK_MSG | P.SK_LOOKUP)  # fmt: skip
#: Those that get and set options of a socket that they are given.
_OF_SOCKETS = P.SETSOCKOPT | P.ITER | P.LSM_CGROUP | P.TCP_CA
_SOCKOPT_PLACES = (
    (P.ITER, SOCKOPT_ITERATORS), (P.LSM_CGROUP, SOCKOPT_HOOKS), (P.TCP_CA, TCP_SOCKOPT),
)  # fmt: skip
#: Those of tracing_prog_func_proto.
_PROBES = P.TP_BTF | P.FENTRY | P.FEXIT | P.FMOD_RET | P.ITER
#: bpf_sk_storage_tracing_allowed
_NO_RESULTS = ((P.FMOD_RET, frozenset[str]()),)
_OWN_FUNCTIONS = "bpf_sk_storage"
#: Those that have storage beside sockets.
_KEEP = (P.TC | P.TYPED | P.TCP_CA | P.CGROUP_SKB | P.ADDRESSES | P.SOCKOPT | P.SOCK_OPS
         | P.SK_MSG)  # fmt: skip


def _cast(struct: str, number: int, arg: Arg = A.ANY_SOCK, ret: Ret = R.CAST_OR_NULL) -> Call:
    """A socket as what it is besides, if it is that."""
    return _leads(f"bpf_skc_to_{struct}", number, (arg,), ret, struct, offer=_SOCKETS,
                  checks_null=(1,))  # fmt: skip


def _storage(kind: str, get: int, delete: int, owner: str, offer: Offer) -> tuple[Call, Call]:
    """Of values that belong to objects of the kernel."""
    op = f"{kind}_storage"
    gets = (A.MAP, A.KERNEL_OR_NULL, A.MAP_VALUE_OR_NULL, A.ANYTHING)
    return (
        Call(f"bpf_{op}_get", get, gets, R.MAP_VALUE_OR_NULL,
             E.SHARED, S.CHANCE, C.RETURNS, D.NOTHING, offer, W.LINUX, op, takes=owner,
             sleeps_with=CREATE),
        Call(f"bpf_{op}_delete", delete, gets[:2], R.INTEGER,
             E.SHARED, S.CHANCE, C.RETURNS, D.NOTHING, offer, W.LINUX, op, takes=owner),
    )  # fmt: skip


def _lookup(name: str, number: int, ret: Ret, offer: Offer, args: tuple[Arg, ...] = _TUPLE) -> Call:
    """Finds a socket."""
    return Call(name, number, args, ret,
                E.SHARED, S.CHANCE, C.RETURNS, D.NOTHING, offer, W.LINUX,
                reads_packet=args is _TUPLE)  # fmt: skip


#: Programs that may look for sockets.
_SOCKETS_FIND = P.TC | P.XDP | P.SK_SKB | P.CGROUP_SKB | P.ADDRESSES
_HEADERS = (A.ANY_SOCK, A.MEM, A.CONST_SIZE, A.MEM, A.CONST_SIZE)


def _text(name: str, number: int, *args: Arg) -> Call:
    """Reads text."""
    return Call(name, number, args, R.INTEGER,
                E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX)  # fmt: skip


def _probe_read(name: str, number: int, ret: Ret = R.INTEGER, offer: Offer = P.ALL) -> Call:
    """Copies from an address that may lead nowhere."""
    return Call(name, number, (A.UNINIT_MEM, A.CONST_SIZE_OR_ZERO, A.ANYTHING), ret,
                E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, offer, W.LINUX_GPL)  # fmt: skip


def _packet(name: str, number: int, args: tuple[Arg, ...], offer: Offer) -> Call:
    """Changes the packet."""
    return Call(name, number, (A.CTX, *args), R.INTEGER,
                E.SHARED, S.NOTHING, C.RETURNS, D.MOVES_PACKET, offer, W.LINUX)  # fmt: skip


def _graph(
    name: str,
    args: tuple[Arg, ...],
    ret: Ret,
    side_effect: SideEffect,
    course: Course = C.RETURNS,
    *,
    filled: int = 0,
) -> Call:
    """Of lists and trees, under their lock. Programs pass NULL for the last `filled` arguments,
    which the kernel's verifier fills in."""
    args += (A.UNUSED,) * filled
    return Call(name, None, args, ret,
                E.SHARED, S.NOTHING, course, side_effect, P.ALL, W.LINUX_GPL,
                locked=True, generic=True)  # fmt: skip


#: Programs that may say what a system call fails with (cgroup_common_func_proto).
_RETURNING = (
    P.CGROUP_SOCK | P.SETS_ADDRESS | P.CONNECTS | P.CGROUP_DEVICE | P.CGROUP_SYSCTL | P.SOCKOPT
)


HELPERS: tuple[Call, ...] = (
    Call("bpf_map_lookup_elem", 1, (A.MAP, A.MAP_KEY), R.MAP_VALUE_OR_NULL,
         E.FINDS, S.NOTHING, C.RETURNS, D.NOTHING, P.FEW, W.LINUX, "lookup", reads_packet=True),
    Call("bpf_map_update_elem", 2, (A.MAP, A.MAP_KEY, A.MAP_VALUE, A.ANYTHING), R.INTEGER,
         E.FINDS, S.NOTHING, C.RETURNS, D.NOTHING, P.FEW, W.LINUX, "update", reads_packet=True),
    Call("bpf_map_delete_elem", 3, (A.MAP, A.MAP_KEY), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.FEW, W.LINUX, "delete", reads_packet=True),
    _probe_read("bpf_probe_read", 4, offer=P.TRACES),
    _clock("bpf_ktime_get_ns", 5, P.FEW),
    Call("bpf_trace_printk", 6, (A.MEM, A.CONST_SIZE, A.UNCHECKED, A.UNCHECKED, A.UNCHECKED),
         R.INTEGER,
         E.SHARED, S.NOTHING, C.PRINTS, D.NOTHING, P.FEW, W.LINUX_GPL),
    Call("bpf_get_prandom_u32", 7, (), R.INTEGER,
         E.SHARED, S.CHANCE, C.RETURNS, D.NOTHING, P.FEW, W.LINUX),
    Call("bpf_get_smp_processor_id", 8, (), R.CPU,
         E.LOCAL, S.CPU, C.RETURNS, D.NOTHING, P.ALL, W.LINUX),
    _packet("bpf_skb_store_bytes", 9, (A.ANYTHING, A.MEM, A.CONST_SIZE, A.ANYTHING),
            P.TC | P.LWT_XMIT | P.SK_SKB),
    _packet("bpf_l3_csum_replace", 10, (A.ANYTHING,) * 4, P.TC | P.LWT_XMIT),
    _packet("bpf_l4_csum_replace", 11, (A.ANYTHING,) * 4, P.TC | P.LWT_XMIT),
    Call("bpf_tail_call", 12, (A.CTX, A.MAP, A.ANYTHING), R.VOID,
         E.SHARED, S.NOTHING, C.JUMPS, D.NOTHING, P.FEW, W.LINUX, "tail_call"),
    _packet("bpf_clone_redirect", 13, (A.ANYTHING,) * 2, P.TC | P.LWT_XMIT),
    _outside("bpf_get_current_pid_tgid", 14),
    _outside("bpf_get_current_uid_gid", 15),
    _outside("bpf_get_current_comm", 16, A.UNINIT_MEM, A.CONST_SIZE),
    _outside("bpf_get_cgroup_classid", 17, A.CTX,
             other_args=((P.ALL & ~(P.TC | P.LWT), ()),)),
    _packet("bpf_skb_vlan_push", 18, (A.ANYTHING,) * 2, P.TC),
    _packet("bpf_skb_vlan_pop", 19, (), P.TC),
    _outside("bpf_skb_get_tunnel_key", 20, A.CTX, A.UNINIT_MEM, A.CONST_SIZE, A.ANYTHING,
             offer=P.TC | P.LWT_XMIT),
    _outside("bpf_skb_set_tunnel_key", 21, A.CTX, A.MEM, A.CONST_SIZE, A.ANYTHING,
             offer=P.TC | P.LWT_XMIT),
    Call("bpf_perf_event_read", 22, (A.MAP, A.ANYTHING), R.INTEGER,
         E.SHARED, S.CHANCE, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL, "event"),
    _outside("bpf_redirect", 23, A.ANYTHING, A.ANYTHING, offer=P.TC | P.XDP | P.LWT_XMIT),
    _outside("bpf_get_route_realm", 24, A.CTX, offer=P.TC | P.LWT),
    Call("bpf_perf_event_output", 25,
         (A.CTX, A.MAP, A.ANYTHING, A.MEM, A.CONST_SIZE_OR_ZERO), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING,
         P.ALL & ~(P.FLOW_DISSECTOR | P.SK_REUSEPORT | P.NETFILTER | P.OPS), W.LINUX_GPL,
         "event"),
    Call("bpf_skb_load_bytes", 26, (A.CTX, A.ANYTHING, A.UNINIT_MEM, A.CONST_SIZE), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING,
         P.SOCKET | P.TC | P.LWT | P.SK_SKB | P.FLOW_DISSECTOR | P.CGROUP_SKB | P.SK_REUSEPORT,
         W.LINUX),
    Call("bpf_get_stackid", 27, (A.CTX, A.MAP, A.ANYTHING), R.INTEGER,
         E.SHARED, S.CHANCE, C.RETURNS, D.NOTHING, P.TRACES, W.LINUX_GPL, "stack"),
    Call("bpf_csum_diff", 28,
         (A.MEM_OR_NULL, A.CONST_SIZE_OR_ZERO, A.MEM_OR_NULL, A.CONST_SIZE_OR_ZERO, A.ANYTHING),
         R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.TC | P.XDP | P.LWT, W.LINUX,
         reads_packet=True),
    _outside("bpf_skb_get_tunnel_opt", 29, A.CTX, A.UNINIT_MEM, A.CONST_SIZE,
             offer=P.TC | P.LWT_XMIT),
    _outside("bpf_skb_set_tunnel_opt", 30, A.CTX, A.MEM, A.CONST_SIZE, offer=P.TC | P.LWT_XMIT),
    _packet("bpf_skb_change_proto", 31, (A.ANYTHING,) * 2, P.TC),
    _outside("bpf_skb_change_type", 32, A.CTX, A.ANYTHING, offer=P.TC),
    Call("bpf_skb_under_cgroup", 33, (A.CTX, A.MAP, A.ANYTHING), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.TC | P.LWT, W.LINUX, "cgroup"),
    _outside("bpf_get_hash_recalc", 34, A.CTX, offer=P.TC | P.LWT),
    _outside("bpf_get_current_task", 35, availability=W.LINUX_GPL),
    _outside("bpf_probe_write_user", 36, A.ANYTHING, A.MEM, A.CONST_SIZE, offer=P.TRACES,
             availability=W.LINUX_GPL),
    Call("bpf_current_task_under_cgroup", 37, (A.MAP, A.ANYTHING), R.INTEGER,
         E.SHARED, S.CHANCE, C.RETURNS, D.NOTHING, P.ALL, W.LINUX, "cgroup"),
    _packet("bpf_skb_change_tail", 38, (A.ANYTHING,) * 2, P.TC | P.LWT_XMIT | P.SK_SKB),
    _packet("bpf_skb_pull_data", 39, (A.ANYTHING,), P.TC | P.LWT | P.SK_SKB),
    _outside("bpf_csum_update", 40, A.CTX, A.ANYTHING, offer=P.TC | P.LWT_XMIT),
    _outside("bpf_set_hash_invalid", 41, A.CTX, offer=P.TC | P.LWT_XMIT),
    Call("bpf_get_numa_node_id", 42, (), R.INTEGER,
         E.SHARED, S.CPU, C.RETURNS, D.NOTHING, P.ALL, W.LINUX),
    _packet("bpf_skb_change_head", 43, (A.ANYTHING,) * 2, P.TC | P.LWT_XMIT | P.SK_SKB),
    _packet("bpf_xdp_adjust_head", 44, (A.ANYTHING,), P.XDP),
    _probe_read("bpf_probe_read_str", 45, R.LENGTH, P.TRACES),
    _outside("bpf_get_socket_cookie", 46, A.CTX,
             offer=P.SOCKET | P.TC | P.SK_SKB | P.TYPED | P.SYSCALL | P.CGROUP_SKB | P.CGROUP_SOCK
             | P.ADDRESSES | P.SOCK_OPS | P.SK_REUSEPORT,
             other_args=((P.TYPED | P.SYSCALL | P.SK_REUSEPORT, (A.ANY_SOCK_OR_NULL,)),)),
    _outside("bpf_get_socket_uid", 47, A.CTX, offer=P.SOCKET | P.TC | P.SK_SKB | P.CGROUP_SKB),
    _outside("bpf_set_hash", 48, A.CTX, A.ANYTHING, offer=P.TC),
    _outside("bpf_setsockopt", 49, A.CTX, A.ANYTHING, A.ANYTHING, A.MEM, A.CONST_SIZE,
             offer=P.ADDRESSES | P.SOCK_OPS | _OF_SOCKETS,
             other_args=(
                 (_OF_SOCKETS, (A.ANY_SOCK, A.ANYTHING, A.ANYTHING, A.MEM, A.CONST_SIZE)),
             ), only_in=_SOCKOPT_PLACES),
    _packet("bpf_skb_adjust_room", 50, (A.ANYTHING,) * 3, P.TC | P.SK_SKB),
    Call("bpf_redirect_map", 51, (A.MAP, A.ANYTHING, A.ANYTHING), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.XDP, W.LINUX, "redirect"),
    _outside("bpf_sk_redirect_map", 52, A.CTX, A.MAP, A.ANYTHING, A.ANYTHING, offer=P.SK_SKB,
             map_op="socket_at"),
    _outside("bpf_sock_map_update", 53, A.CTX, A.MAP, A.MAP_KEY, A.ANYTHING, offer=P.SOCK_OPS,
             map_op="socket_at", reads_packet=True),
    _packet("bpf_xdp_adjust_meta", 54, (A.ANYTHING,), P.XDP),
    Call("bpf_perf_event_read_value", 55, (A.MAP, A.ANYTHING, A.UNINIT_MEM, A.CONST_SIZE),
         R.INTEGER,
         E.SHARED, S.CHANCE, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL, "event"),
    _outside("bpf_perf_prog_read_value", 56, A.CTX, A.UNINIT_MEM, A.CONST_SIZE,
             offer=P.PERF_EVENT, availability=W.LINUX_GPL),
    _outside("bpf_getsockopt", 57, A.CTX, A.ANYTHING, A.ANYTHING, A.UNINIT_MEM, A.CONST_SIZE,
             offer=P.ADDRESSES | P.SOCK_OPS | _OF_SOCKETS,
             other_args=(
                 (_OF_SOCKETS, (A.ANY_SOCK, A.ANYTHING, A.ANYTHING, A.UNINIT_MEM, A.CONST_SIZE)),
             ), only_in=_SOCKOPT_PLACES),
    _outside("bpf_override_return", 58, A.CTX, A.ANYTHING, offer=P.KPROBE,
             availability=W.LINUX_GPL),
    _outside("bpf_sock_ops_cb_flags_set", 59, A.CTX, A.ANYTHING, offer=P.SOCK_OPS),
    _outside("bpf_msg_redirect_map", 60, A.CTX, A.MAP, A.ANYTHING, A.ANYTHING, offer=P.SK_MSG,
             map_op="socket_at"),
    _outside("bpf_msg_apply_bytes", 61, A.CTX, A.ANYTHING, offer=P.SK_MSG),
    _outside("bpf_msg_cork_bytes", 62, A.CTX, A.ANYTHING, offer=P.SK_MSG),
    _packet("bpf_msg_pull_data", 63, (A.ANYTHING,) * 3, P.SK_MSG),
    _outside("bpf_bind", 64, A.CTX, A.MEM, A.CONST_SIZE, offer=P.CONNECTS),
    _packet("bpf_xdp_adjust_tail", 65, (A.ANYTHING,), P.XDP),
    _outside("bpf_skb_get_xfrm_state", 66, A.CTX, A.ANYTHING, A.UNINIT_MEM, A.CONST_SIZE,
             A.ANYTHING, offer=P.TC),
    Call("bpf_get_stack", 67, (A.CTX, A.UNINIT_MEM, A.CONST_SIZE_OR_ZERO, A.ANYTHING), R.LENGTH,
         E.SHARED, S.CHANCE, C.RETURNS, D.NOTHING, P.TRACES, W.LINUX_GPL,
         sleeps_with=_USER_BUILD_ID),
    _outside("bpf_skb_load_bytes_relative", 68, A.CTX, A.ANYTHING, A.UNINIT_MEM, A.CONST_SIZE,
             A.ANYTHING, offer=P.SOCKET | P.TC | P.CGROUP_SKB | P.SK_REUSEPORT),
    _outside("bpf_fib_lookup", 69, A.CTX, A.UNINIT_MEM, A.CONST_SIZE, A.ANYTHING,
             offer=P.TC | P.XDP, availability=W.LINUX_GPL),
    _outside("bpf_sock_hash_update", 70, A.CTX, A.MAP, A.MAP_KEY, A.ANYTHING, offer=P.SOCK_OPS,
             map_op="socket_of", reads_packet=True),
    _outside("bpf_msg_redirect_hash", 71, A.CTX, A.MAP, A.MAP_KEY, A.ANYTHING, offer=P.SK_MSG,
             map_op="socket_of"),
    _outside("bpf_sk_redirect_hash", 72, A.CTX, A.MAP, A.MAP_KEY, A.ANYTHING, offer=P.SK_SKB,
             map_op="socket_of"),
    _packet("bpf_lwt_push_encap", 73, (A.ANYTHING, A.MEM, A.CONST_SIZE), P.LWT_IN | P.LWT_XMIT),
    _packet("bpf_lwt_seg6_store_bytes", 74, (A.ANYTHING, A.MEM, A.CONST_SIZE), P.LWT_SEG6),
    _packet("bpf_lwt_seg6_adjust_srh", 75, (A.ANYTHING,) * 2, P.LWT_SEG6),
    _packet("bpf_lwt_seg6_action", 76, (A.ANYTHING, A.MEM, A.CONST_SIZE), P.LWT_SEG6),
    _outside("bpf_rc_repeat", 77, A.CTX, offer=P.LIRC, availability=W.LINUX_GPL),
    _outside("bpf_rc_keydown", 78, A.CTX, A.ANYTHING, A.ANYTHING, A.ANYTHING, offer=P.LIRC,
             availability=W.LINUX_GPL),
    _outside("bpf_skb_cgroup_id", 79, A.CTX, offer=P.TC | P.CGROUP_SKB),
    _outside("bpf_get_current_cgroup_id", 80),
    Call("bpf_get_local_storage", 81, (A.MAP, A.ZERO), R.MAP_VALUE,
         E.SHARED, S.CHANCE, C.RETURNS, D.NOTHING, P.CGROUPS | P.SOCK_OPS, W.LINUX, "storage"),
    _outside("bpf_sk_select_reuseport", 82, A.CTX, A.MAP, A.MAP_KEY, A.ANYTHING,
             offer=P.SK_REUSEPORT, map_op="select"),
    _outside("bpf_skb_ancestor_cgroup_id", 83, A.CTX, A.ANYTHING, offer=P.TC | P.CGROUP_SKB),
    _lookup("bpf_sk_lookup_tcp", 84, R.FOUND_SOCK_OR_NULL, _SOCKETS_FIND),
    _lookup("bpf_sk_lookup_udp", 85, R.FOUND_SOCK_OR_NULL, _SOCKETS_FIND),
    Call("bpf_sk_release", 86, (A.RELEASED_SOCK,), R.INTEGER,
         E.SHARED, S.CHANCE, C.RETURNS, D.RELEASES, _SOCKETS_FIND | P.SK_LOOKUP, W.LINUX),
    Call("bpf_map_push_elem", 87, (A.MAP, A.MAP_VALUE, A.ANYTHING), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.FEW, W.LINUX, "push", reads_packet=True),
    Call("bpf_map_pop_elem", 88, (A.MAP, A.UNINIT_VALUE), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.FEW, W.LINUX, "pop"),
    Call("bpf_map_peek_elem", 89, (A.MAP, A.UNINIT_VALUE), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.FEW, W.LINUX, "peek"),
    _packet("bpf_msg_push_data", 90, (A.ANYTHING,) * 3, P.SK_MSG),
    _packet("bpf_msg_pop_data", 91, (A.ANYTHING,) * 3, P.SK_MSG),
    _outside("bpf_rc_pointer_rel", 92, A.CTX, A.ANYTHING, A.ANYTHING, offer=P.LIRC,
             availability=W.LINUX_GPL),
    Call("bpf_spin_lock", 93, (A.SPIN_LOCK,), R.VOID,
         E.SHARED, S.NOTHING, C.WAITS, D.NOTHING, P.ALL, W.LINUX),
    Call("bpf_spin_unlock", 94, (A.SPIN_LOCK,), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX, locked=True),
    _lookup("bpf_sk_fullsock", 95, R.SOCK_OR_NULL, P.TC | P.CGROUP_SKB, (A.SOCK_COMMON,)),
    _lookup("bpf_tcp_sock", 96, R.TCP_SOCK_OR_NULL,
            P.TC | P.CGROUP_SKB | P.SOCK_OPS | P.SOCKOPT, (A.SOCK_COMMON,)),
    _outside("bpf_skb_ecn_set_ce", 97, A.CTX, offer=P.TC | P.CGROUP_SKB),
    _lookup("bpf_get_listener_sock", 98, R.LISTENER_OR_NULL, P.TC | P.CGROUP_SKB,
            (A.SOCK_COMMON,)),
    _lookup("bpf_skc_lookup_tcp", 99, R.FOUND_COMMON_OR_NULL, _SOCKETS_FIND),
    _outside("bpf_tcp_check_syncookie", 100, *_HEADERS, offer=P.TC | P.XDP,
             availability=W.LINUX_GPL, reads_packet=True, checks_null=(1,)),
    _outside("bpf_sysctl_get_name", 101, A.CTX, A.UNINIT_MEM, A.CONST_SIZE, A.ANYTHING,
             offer=P.CGROUP_SYSCTL),
    _outside("bpf_sysctl_get_current_value", 102, A.CTX, A.UNINIT_MEM, A.CONST_SIZE,
             offer=P.CGROUP_SYSCTL),
    _outside("bpf_sysctl_get_new_value", 103, A.CTX, A.UNINIT_MEM, A.CONST_SIZE,
             offer=P.CGROUP_SYSCTL),
    _outside("bpf_sysctl_set_new_value", 104, A.CTX, A.MEM, A.CONST_SIZE, offer=P.CGROUP_SYSCTL),
    _text("bpf_strtol", 105, A.MEM, A.CONST_SIZE, A.ANYTHING, A.LONG),
    _text("bpf_strtoul", 106, A.MEM, A.CONST_SIZE, A.ANYTHING, A.LONG),
    Call("bpf_sk_storage_get", 107, (A.MAP, A.ANY_SOCK, A.MAP_VALUE_OR_NULL, A.ANYTHING),
         R.MAP_VALUE_OR_NULL,
         E.SHARED, S.CHANCE, C.RETURNS, D.NOTHING, _KEEP | P.CGROUP_SOCK, W.LINUX, "sk_storage",
         only_in=_NO_RESULTS, not_in=_OWN_FUNCTIONS, other_args=(
             (P.CGROUP_SOCK, (A.MAP, A.CTX, A.MAP_VALUE_OR_NULL, A.ANYTHING)),
             (_PROBES, (A.MAP, A.KERNEL_OR_NULL, A.MAP_VALUE_OR_NULL, A.ANYTHING)),
         ), takes=SOCK_STRUCT, checks_null=(2,), sleeps_with=CREATE),
    Call("bpf_sk_storage_delete", 108, (A.MAP, A.ANY_SOCK), R.INTEGER,
         E.SHARED, S.CHANCE, C.RETURNS, D.NOTHING, _KEEP, W.LINUX, "sk_storage",
         only_in=_NO_RESULTS, not_in=_OWN_FUNCTIONS,
         other_args=((_PROBES, (A.MAP, A.KERNEL_OR_NULL)),), takes=SOCK_STRUCT, checks_null=(2,)),
    _outside("bpf_send_signal", 109, A.ANYTHING),
    _outside("bpf_tcp_gen_syncookie", 110, *_HEADERS, offer=P.TC | P.XDP,
             availability=W.LINUX_GPL, reads_packet=True, checks_null=(1,)),
    _outside("bpf_skb_output", 111, A.KERNEL, A.MAP, A.ANYTHING, A.MEM, A.CONST_SIZE_OR_ZERO,
             offer=P.TYPED | P.SYSCALL, availability=W.LINUX_GPL, map_op="event", takes="sk_buff",
             checks_null=(1,)),
    _probe_read("bpf_probe_read_user", 112),
    _probe_read("bpf_probe_read_kernel", 113),
    _probe_read("bpf_probe_read_user_str", 114, R.LENGTH),
    _probe_read("bpf_probe_read_kernel_str", 115, R.LENGTH),
    _outside("bpf_tcp_send_ack", 116, A.KERNEL, A.ANYTHING, offer=P.TCP_CA, takes="tcp_sock"),
    _outside("bpf_send_signal_thread", 117, A.ANYTHING),
    _clock("bpf_jiffies64", 118),
    _outside("bpf_read_branch_records", 119, A.CTX, A.UNINIT_MEM_OR_NULL, A.CONST_SIZE_OR_ZERO,
             A.ANYTHING, offer=P.PERF_EVENT, availability=W.LINUX_GPL, checks_null=(2,)),
    _outside("bpf_get_ns_current_pid_tgid", 120, A.ANYTHING, A.ANYTHING, A.UNINIT_MEM,
             A.CONST_SIZE),
    _outside("bpf_xdp_output", 121, A.KERNEL, A.MAP, A.ANYTHING, A.MEM, A.CONST_SIZE_OR_ZERO,
             offer=P.TYPED | P.SYSCALL, availability=W.LINUX_GPL, map_op="event", takes="xdp_buff",
             checks_null=(1,)),
    _outside("bpf_get_netns_cookie", 122, A.CTX_OR_NULL,
             offer=P.SOCKET | P.TC | P.CGROUP_SKB | P.CGROUP_SOCK | P.ADDRESSES | P.SOCKOPT
             | P.SOCK_OPS | P.SK_MSG),
    _outside("bpf_get_current_ancestor_cgroup_id", 123, A.ANYTHING),
    _outside("bpf_sk_assign", 124, A.CTX, A.ANY_SOCK, A.ANYTHING, offer=P.TC | P.SK_LOOKUP,
             other_args=((P.SK_LOOKUP, (A.CTX, A.FULL_SOCK_OR_NULL, A.ANYTHING)),),
             checks_null=(2,)),
    _clock("bpf_ktime_get_boot_ns", 125, P.FEW),
    _outside("bpf_seq_printf", 126, A.KERNEL, A.MEM, A.CONST_SIZE, A.MEM_OR_NULL,
             A.CONST_SIZE_OR_ZERO, offer=P.ITER, availability=W.LINUX_GPL, takes="seq_file",
             checks_null=(4,)),
    _outside("bpf_seq_write", 127, A.KERNEL, A.MEM, A.CONST_SIZE_OR_ZERO, offer=P.ITER,
             availability=W.LINUX_GPL, takes="seq_file"),
    _outside("bpf_sk_cgroup_id", 128, A.ANY_SOCK, offer=P.CGROUP_SKB),
    _outside("bpf_sk_ancestor_cgroup_id", 129, A.ANY_SOCK, A.ANYTHING, offer=P.CGROUP_SKB),
    Call("bpf_ringbuf_output", 130, (A.MAP, A.MEM, A.CONST_SIZE_OR_ZERO, A.ANYTHING), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX, "output"),
    Call("bpf_ringbuf_reserve", 131, (A.MAP, A.ALLOC_SIZE, A.ANYTHING), R.RECORD_OR_NULL,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX, "output"),
    Call("bpf_ringbuf_submit", 132, (A.RECORD, A.ANYTHING), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.RELEASES_RECORD, P.ALL, W.LINUX),
    Call("bpf_ringbuf_discard", 133, (A.RECORD, A.ANYTHING), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.RELEASES_RECORD, P.ALL, W.LINUX),
    Call("bpf_ringbuf_query", 134, (A.MAP, A.ANYTHING), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX, "output"),
    _outside("bpf_csum_level", 135, A.CTX, A.ANYTHING, offer=P.TC | P.LWT_XMIT),
    _cast("tcp6_sock", 136),
    _cast("tcp_sock", 137),
    _cast("tcp_timewait_sock", 138),
    _cast("tcp_request_sock", 139),
    _cast("udp6_sock", 140),
    Call("bpf_get_task_stack", 141,
         (A.KERNEL, A.UNINIT_MEM, A.CONST_SIZE_OR_ZERO, A.ANYTHING), R.LENGTH,
         E.SHARED, S.CHANCE, C.RETURNS, D.NOTHING, P.ALL, W.LINUX, takes="task_struct",
         sleeps_with=_USER_BUILD_ID),
    _outside("bpf_load_hdr_opt", 142, A.CTX, A.UNINIT_MEM, A.CONST_SIZE, A.ANYTHING,
             offer=P.SOCK_OPS),
    _packet("bpf_store_hdr_opt", 143, (A.MEM, A.CONST_SIZE, A.ANYTHING), P.SOCK_OPS),
    _outside("bpf_reserve_hdr_opt", 144, A.CTX, A.ANYTHING, A.ANYTHING, offer=P.SOCK_OPS),
    *_storage("inode", 145, 146, "inode", P.LSM | P.LSM_CGROUP),
    _outside("bpf_d_path", 147, A.KERNEL, A.UNINIT_MEM, A.CONST_SIZE_OR_ZERO,
             offer=P.ITER | P.TRAMPOLINES, takes="path", checks_null=(1,),
             only_in=((P.TRAMPOLINES, D_PATH | SLEEPABLE_HOOKS),)),
    Call("bpf_copy_from_user", 148, (A.UNINIT_MEM, A.CONST_SIZE_OR_ZERO, A.ANYTHING), R.INTEGER,
         E.SHARED, S.NOTHING, C.SLEEPS, D.NOTHING, P.ALL, W.LINUX),
    _outside("bpf_snprintf_btf", 149, A.UNINIT_MEM, A.CONST_SIZE, A.MEM, A.CONST_SIZE,
             A.ANYTHING),
    _outside("bpf_seq_printf_btf", 150, A.KERNEL, A.MEM, A.CONST_SIZE_OR_ZERO, A.ANYTHING,
             offer=P.ITER, availability=W.LINUX_GPL, takes="seq_file"),
    _outside("bpf_skb_cgroup_classid", 151, A.CTX, offer=P.TC),
    _outside("bpf_redirect_neigh", 152, A.ANYTHING, A.MEM_OR_NULL, A.CONST_SIZE_OR_ZERO,
             A.ANYTHING, offer=P.TC),
    Call("bpf_per_cpu_ptr", 153, (A.PERCPU, A.ANYTHING), R.PERCPU_MEMBER_OR_NULL,
         E.SHARED, S.CPU, C.RETURNS, D.NOTHING, P.ALL, W.LINUX),
    Call("bpf_this_cpu_ptr", 154, (A.PERCPU,), R.PERCPU_MEMBER,
         E.SHARED, S.OWN_COPY, C.RETURNS, D.NOTHING, P.ALL, W.LINUX),
    _outside("bpf_redirect_peer", 155, A.ANYTHING, A.ANYTHING, offer=P.TC),
    *_storage("task", 156, 157, "task_struct", P.ALL),
    _leads("bpf_get_current_task_btf", 158, (), R.KERNEL_TRUSTED, "task_struct",
           availability=W.LINUX_GPL),
    _outside("bpf_bprm_opts_set", 159, A.KERNEL, A.ANYTHING, offer=P.LSM | P.LSM_CGROUP,
             takes="linux_binprm"),
    _clock("bpf_ktime_get_coarse_ns", 160,
           P.ALL & ~(P.TRACES | P.CGROUP_DEVICE | P.SOCKOPT | P.NETFILTER | P.OPS) | P.TCP_CA),
    _outside("bpf_ima_inode_hash", 161, A.KERNEL, A.UNINIT_MEM, A.CONST_SIZE,
             offer=P.LSM, takes="inode", course=C.SLEEPS, checks_null=(1,),
             only_in=((P.LSM, SLEEPABLE_HOOKS),)),
    _leads("bpf_sock_from_file", 162, (A.KERNEL,), R.KERNEL_OR_NULL, "socket", "file",
           offer=P.TYPED | P.SYSCALL),
    _outside("bpf_check_mtu", 163, A.CTX, A.ANYTHING, A.INT, A.ANYTHING, A.ANYTHING,
             offer=P.TC | P.XDP, availability=W.LINUX_GPL),
    Call("bpf_for_each_map_elem", 164, (A.MAP, A.CALLBACK, A.CALLBACK_CTX, A.ANYTHING), R.INTEGER,
         E.SHARED, S.NOTHING, C.CALLS_BACK, D.NOTHING, P.ALL, W.LINUX, "iterate",
         holds="rcu_read_lock"),
    Call("bpf_snprintf", 165,
         (A.UNINIT_MEM_OR_NULL, A.CONST_SIZE_OR_ZERO, A.FORMAT, A.MEM_OR_NULL,
          A.CONST_SIZE_OR_ZERO), R.INTEGER,
         E.SHARED, S.NOTHING, C.PRINTS, D.FORMATS, P.ALL, W.LINUX_GPL, checks_null=(4,)),
    _outside("bpf_sys_bpf", 166, A.ANYTHING, A.CHANGED_MEM, A.CONST_SIZE, offer=P.SYSCALL,
             course=C.SLEEPS),
    _outside("bpf_btf_find_by_name_kind", 167, A.MEM, A.CONST_SIZE, A.ANYTHING, A.ANYTHING,
             offer=P.SYSCALL, course=C.SLEEPS),
    _outside("bpf_sys_close", 168, A.ANYTHING, offer=P.SYSCALL, course=C.SLEEPS),
    Call("bpf_timer_init", 169, (A.TIMER, A.ITS_MAP, A.ANYTHING), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL),
    Call("bpf_timer_set_callback", 170, (A.TIMER, A.CALLBACK), R.INTEGER,
         E.SHARED, S.NOTHING, C.CALLS_LATER, D.NOTHING, P.ALL, W.LINUX_GPL),
    Call("bpf_timer_start", 171, (A.TIMER, A.ANYTHING, A.ANYTHING), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL),
    Call("bpf_timer_cancel", 172, (A.TIMER,), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL),
    _outside("bpf_get_func_ip", 173, A.CTX, offer=P.KPROBE | P.TRAMPOLINES,
             availability=W.LINUX_GPL),
    _outside("bpf_get_attach_cookie", 174, A.CTX,
             offer=P.TRACES & ~(P.SYSCALL | P.ITER | P.LSM_CGROUP)),
    _leads("bpf_task_pt_regs", 175, (A.KERNEL,), R.KERNEL, "pt_regs", "task_struct",
           availability=W.LINUX_GPL),
    _outside("bpf_get_branch_snapshot", 176, A.UNINIT_MEM, A.CONST_SIZE_OR_ZERO, A.UNCHECKED,
             availability=W.LINUX_GPL),
    Call("bpf_trace_vprintk", 177, (A.MEM, A.CONST_SIZE, A.MEM_OR_NULL, A.CONST_SIZE_OR_ZERO),
         R.INTEGER,
         E.SHARED, S.NOTHING, C.PRINTS, D.NOTHING, P.ALL, W.LINUX_GPL, checks_null=(3,)),
    _cast("unix_sock", 178, ret=R.KERNEL_OR_NULL),
    _outside("bpf_kallsyms_lookup_name", 179, A.MEM, A.CONST_SIZE_OR_ZERO, A.ANYTHING, A.LONG,
             offer=P.SYSCALL),
    Call("bpf_find_vma", 180, (A.KERNEL, A.ANYTHING, A.CALLBACK, A.CALLBACK_CTX, A.ANYTHING),
         R.INTEGER,
         E.SHARED, S.CHANCE, C.CALLS_BACK, D.NOTHING, P.ALL, W.LINUX, takes="task_struct",
         checks_null=(1,), holds="mmap_lock"),
    Call("bpf_loop", 181, (A.COUNT, A.CALLBACK, A.CALLBACK_CTX, A.ANYTHING), R.INTEGER,
         E.SHARED, S.NOTHING, C.CALLS_BACK, D.NOTHING, P.ALL, W.LINUX),
    _text("bpf_strncmp", 182, A.MEM, A.CONST_SIZE, A.CONST_STRING),
    _outside("bpf_get_func_arg", 183, A.CTX, A.ANYTHING, A.LONG, offer=P.TRAMPOLINES),
    _outside("bpf_get_func_ret", 184, A.CTX, A.LONG, offer=P.TRAMPOLINES),
    _outside("bpf_get_func_arg_cnt", 185, A.CTX, offer=P.TRAMPOLINES),
    _outside("bpf_get_retval", 186, offer=_RETURNING),
    _outside("bpf_set_retval", 187, A.ANYTHING, offer=_RETURNING),
    _outside("bpf_xdp_get_buff_len", 188, A.CTX, offer=P.XDP | P.SYSCALL | P.TYPED,
             other_args=((P.SYSCALL | P.TYPED, (A.KERNEL,)),), takes="xdp_buff"),
    _outside("bpf_xdp_load_bytes", 189, A.CTX, A.ANYTHING, A.UNINIT_MEM, A.CONST_SIZE,
             offer=P.XDP),
    _outside("bpf_xdp_store_bytes", 190, A.CTX, A.ANYTHING, A.MEM, A.CONST_SIZE, offer=P.XDP),
    _outside("bpf_copy_from_user_task", 191, A.UNINIT_MEM, A.CONST_SIZE_OR_ZERO, A.ANYTHING,
             A.KERNEL, A.ANYTHING, availability=W.LINUX_GPL, takes="task_struct", course=C.SLEEPS),
    _outside("bpf_skb_set_tstamp", 192, A.CTX, A.ANYTHING, A.ANYTHING, offer=P.TC),
    _outside("bpf_ima_file_hash", 193, A.KERNEL, A.UNINIT_MEM, A.CONST_SIZE,
             offer=P.LSM, takes="file", course=C.SLEEPS, checks_null=(1,),
             only_in=((P.LSM, SLEEPABLE_HOOKS),)),
    Call("bpf_kptr_xchg", 194, (A.KPTR_FIELD, A.OWNED_OR_NULL), R.KPTR_OR_NULL,
         E.SHARED, S.NOTHING, C.RETURNS, D.STORES, P.ALL, W.LINUX),
    Call("bpf_map_lookup_percpu_elem", 195, (A.MAP, A.MAP_KEY, A.ANYTHING), R.MAP_VALUE_OR_NULL,
         E.SHARED, S.CPU, C.RETURNS, D.NOTHING, P.ALL, W.LINUX, "lookup_percpu", reads_packet=True),
    _cast("mptcp_sock", 196, A.SOCK_COMMON),
    Call("bpf_dynptr_from_mem", 197,
         (A.UNINIT_MEM, A.CONST_SIZE_OR_ZERO, A.ANYTHING, A.NEW_DYNPTR), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX, makes=DynptrKind.LOCAL),
    Call("bpf_ringbuf_reserve_dynptr", 198, (A.MAP, A.ANYTHING, A.ANYTHING, A.NEW_DYNPTR),
         R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX, "output",
         makes=DynptrKind.RINGBUF),
    Call("bpf_ringbuf_submit_dynptr", 199, (A.OWNED_DYNPTR, A.ANYTHING), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.RELEASES_DYNPTR, P.ALL, W.LINUX),
    Call("bpf_ringbuf_discard_dynptr", 200, (A.OWNED_DYNPTR, A.ANYTHING), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.RELEASES_DYNPTR, P.ALL, W.LINUX),
    Call("bpf_dynptr_read", 201,
         (A.UNINIT_MEM, A.CONST_SIZE_OR_ZERO, A.DYNPTR, A.ANYTHING, A.ANYTHING), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX),
    Call("bpf_dynptr_write", 202,
         (A.DYNPTR, A.ANYTHING, A.MEM, A.CONST_SIZE_OR_ZERO, A.ANYTHING), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.WRITES_DYNPTR, P.ALL, W.LINUX),
    Call("bpf_dynptr_data", 203, (A.DYNPTR, A.ANYTHING, A.ALLOC_SIZE), R.SLICE_OR_NULL,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX),
    _outside("bpf_tcp_raw_gen_syncookie_ipv4", 204, A.IPV4_HEADER, A.MEM, A.CONST_SIZE_OR_ZERO,
             offer=P.TC | P.XDP, availability=W.LINUX_GPL, reads_packet=True),
    _outside("bpf_tcp_raw_gen_syncookie_ipv6", 205, A.IPV6_HEADER, A.MEM, A.CONST_SIZE_OR_ZERO,
             offer=P.TC | P.XDP, availability=W.LINUX_GPL, reads_packet=True),
    _outside("bpf_tcp_raw_check_syncookie_ipv4", 206, A.IPV4_HEADER, A.TCP_HEADER,
             offer=P.TC | P.XDP, availability=W.LINUX_GPL, reads_packet=True),
    _outside("bpf_tcp_raw_check_syncookie_ipv6", 207, A.IPV6_HEADER, A.TCP_HEADER,
             offer=P.TC | P.XDP, availability=W.LINUX_GPL, reads_packet=True),
    _clock("bpf_ktime_get_tai_ns", 208),
    Call("bpf_user_ringbuf_drain", 209, (A.MAP, A.CALLBACK, A.CALLBACK_CTX, A.ANYTHING),
         R.INTEGER,
         E.SHARED, S.NOTHING, C.CALLS_BACK, D.NOTHING, P.ALL, W.LINUX, "drain"),
    *_storage("cgrp", 210, 211, "cgroup", P.ALL),
)  # fmt: skip

KFUNCS: tuple[Call, ...] = (
    Call("bpf_mem_alloc", None, (A.ALLOCATOR, A.TYPE_ID), R.NEW_OR_NULL,
         E.LOCAL, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.OURS, "alloc",
         stand_in="bpf_obj_new_impl"),
    Call("unit_free", None, (A.OWNED,), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.FREES, P.ALL, W.OURS,
         stand_in="bpf_obj_drop_impl"),
    Call("bpf_mem_prefill", None, (A.ALLOCATOR, A.SCALAR), R.INTEGER,
         E.SHARED, S.NOTHING, C.SLEEPS, D.NOTHING, P.ALL, W.OURS, "alloc"),
    # The second argument is filled in by the kernel's verifier; programs pass NULL.
    Call("bpf_obj_new_impl", None, (A.TYPE_ID, A.UNUSED), R.NEW_OR_NULL,
         E.LOCAL, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL, generic=True),
    Call("bpf_obj_drop_impl", None, (A.OWNED, A.UNUSED), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.FREES, P.ALL, W.LINUX_GPL, generic=True),
    Call("bpf_percpu_obj_new_impl", None, (A.TYPE_ID, A.UNUSED), R.PERCPU_NEW_OR_NULL,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL, generic=True),
    Call("bpf_percpu_obj_drop_impl", None, (A.OWNED_PERCPU, A.UNUSED), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.FREES, P.ALL, W.LINUX_GPL, generic=True),
    _graph("bpf_refcount_acquire_impl", (A.COUNTED,), R.SHARED_OR_NULL, D.NOTHING, filled=1),
    _graph("bpf_list_push_front_impl", (A.LIST_HEAD, A.LIST_NODE), R.INTEGER, D.LINKS, filled=2),
    _graph("bpf_list_push_back_impl", (A.LIST_HEAD, A.LIST_NODE), R.INTEGER, D.LINKS, filled=2),
    _graph("bpf_list_pop_front", (A.LIST_HEAD,), R.NODE_OR_NULL, D.NOTHING),
    _graph("bpf_list_pop_back", (A.LIST_HEAD,), R.NODE_OR_NULL, D.NOTHING),
    _graph("bpf_list_front", (A.LIST_HEAD,), R.PEEK_OR_NULL, D.NOTHING),
    _graph("bpf_list_back", (A.LIST_HEAD,), R.PEEK_OR_NULL, D.NOTHING),
    _graph("bpf_rbtree_add_impl", (A.RB_ROOT, A.RB_NODE, A.LESS), R.INTEGER, D.LINKS, C.CALLS_BACK,
           filled=2),
    _graph("bpf_rbtree_remove", (A.RB_ROOT, A.RB_MEMBER), R.NODE_OR_NULL, D.NOTHING),
    _graph("bpf_rbtree_first", (A.RB_ROOT,), R.PEEK_OR_NULL, D.NOTHING),
    _graph("bpf_rbtree_root", (A.RB_ROOT,), R.PEEK_OR_NULL, D.NOTHING),
    _graph("bpf_rbtree_left", (A.RB_ROOT, A.RB_MEMBER), R.PEEK_OR_NULL, D.NOTHING),
    _graph("bpf_rbtree_right", (A.RB_ROOT, A.RB_MEMBER), R.PEEK_OR_NULL, D.NOTHING),
    Call("bpf_rcu_read_lock", None, (), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.ENTERS_RCU, P.ALL, W.LINUX_GPL),
    Call("bpf_rcu_read_unlock", None, (), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.LEAVES_RCU, P.ALL, W.LINUX_GPL),
    Call("bpf_preempt_disable", None, (), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.DISABLES_PREEMPTION, P.ALL, W.LINUX_GPL),
    Call("bpf_preempt_enable", None, (), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.ENABLES_PREEMPTION, P.ALL, W.LINUX_GPL),
    Call("bpf_local_irq_save", None, (A.IRQ_SAVE,), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL),
    Call("bpf_local_irq_restore", None, (A.IRQ_RESTORE,), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL),
    Call("bpf_res_spin_lock", None, (A.RES_SPIN_LOCK,), R.TAKEN,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL, locked=True),
    Call("bpf_res_spin_unlock", None, (A.RES_SPIN_UNLOCK,), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL, locked=True),
    Call("bpf_res_spin_lock_irqsave", None, (A.RES_SPIN_LOCK, A.IRQ_SAVE), R.TAKEN,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL, locked=True),
    Call("bpf_res_spin_unlock_irqrestore", None, (A.RES_SPIN_UNLOCK, A.IRQ_RESTORE), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL, locked=True),
    Call("bpf_wq_init", None, (A.WORKQUEUE, A.ITS_MAP, A.SCALAR), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL),
    Call("bpf_wq_set_callback_impl", None, (A.WORKQUEUE, A.CALLBACK, A.SCALAR, A.UNUSED),
         R.INTEGER,
         E.SHARED, S.NOTHING, C.CALLS_LATER, D.NOTHING, P.ALL, W.LINUX_GPL),
    Call("bpf_wq_start", None, (A.WORKQUEUE, A.SCALAR), R.INTEGER,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL),
    Call("bpf_throw", None, (A.SCALAR,), R.VOID,
         E.SHARED, S.NOTHING, C.THROWS, D.NOTHING, P.ALL, W.LINUX_GPL, generic=True),
    Call("bpf_iter_num_new", None, (A.ITER_NEW, A.SCALAR, A.SCALAR), R.INTEGER,
         E.SHARED, S.NOTHING, C.LOOPS, D.BEGINS, P.ALL, W.LINUX_GPL, locked=True),
    Call("bpf_iter_num_next", None, (A.ITER,), R.ELEMENT_OR_NULL,
         E.SHARED, S.NOTHING, C.RETURNS, D.NOTHING, P.ALL, W.LINUX_GPL, locked=True),
    Call("bpf_iter_num_destroy", None, (A.ITER,), R.VOID,
         E.SHARED, S.NOTHING, C.RETURNS, D.ENDS, P.ALL, W.LINUX_GPL, locked=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Family:
    """Calls of the kernel that are left out on purpose, by number or by how their names begin."""

    name: str
    numbers: frozenset[int]
    prefixes: tuple[str, ...]


LEFT_OUT: tuple[Family, ...] = (
    Family("items of task work", frozenset(), ("bpf_task_work_",)),
    Family("sessions of probes", frozenset(), ("bpf_session_",)),
)  # fmt: skip


def left_out(number: int | None, name: str | None) -> Family | None:
    """The family of a helper's number or a kfunc's name, None if it is in none."""
    for family in LEFT_OUT:
        if number in family.numbers:
            return family
        if name is not None and name.startswith(family.prefixes):
            return family
    return None


HELPER_BY_NUMBER: dict[int, Call] = {c.number: c for c in HELPERS if c.number is not None}
#: By name, for assembly.
HELPER_NUMBERS: dict[str, int] = {c.name: n for n, c in HELPER_BY_NUMBER.items()}
KFUNC_BY_NAME: dict[str, Call] = {c.name: c for c in KFUNCS}
#: By whether each CPU has one: what gives an object of the program's own back, in Linux.
DROPS: dict[bool, Call] = {
    per_cpu: next(
        c for c in KFUNCS if c.args[:1] == (arg,) and c.side_effect is SideEffect.FREES
        and not c.ours
    )
    for per_cpu, arg in ((False, Arg.OWNED), (True, Arg.OWNED_PERCPU))
}  # fmt: skip
CALL_BY_NAME: dict[str, Call] = {c.name: c for c in (*HELPERS, *KFUNCS)}
