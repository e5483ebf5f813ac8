"""What a row of a program type says, and what its parts say."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Flag, StrEnum, auto


class CtxKind(StrEnum):
    """What a load of a context field gives."""

    SCALAR = "scalar"
    PACKET = "packet"  # a pointer to the packet's first byte
    PACKET_END = "packet-end"  # one behind its last byte
    PACKET_META = "packet-meta"  # to the metadata before it
    BUFFER = "buffer"  # to the tracepoint's own record, which the program may change
    FLOW_KEYS = "flow-keys"  # to the struct bpf_flow_keys that the program fills in
    SOCKET = "socket"  # a pointer to a socket, of the type that the field says
    KERNEL = "kernel"  # to an object of the kernel, of the struct that the field says


@dataclass(frozen=True, slots=True)
class CtxField:
    """`narrow`: may be read in smaller pieces (bpf_ctx_narrow_access_ok), which a pointer may not,
    and in no smaller ones than `least` bytes; those of a field that is read `from_start` begin
    where it does. Fields that are `joined` may be read and written like an array of bytes, which
    ends at `until`; of `wide` ones, 8 bytes that are aligned (bpf_ctx_wide_access_ok). A `padded`
    one of two bytes may also be read as four. `target`: the name of the SocketType that a SOCKET
    field leads to, or of the struct that a KERNEL one does; `or_null`: or it is NULL. A load of one
    that may be `unset` into the register of the context may leave that there.

    Raises ValueError for a pointer that is narrow or joined."""

    name: str
    offset: int
    size: int
    kind: CtxKind
    writable: bool = False
    narrow: bool = False
    joined: bool = False
    wide: bool = False
    until: int = 0
    least: int = 1
    from_start: bool = False
    padded: bool = False
    target: str = ""
    or_null: bool = False
    unset: bool = False

    def __post_init__(self) -> None:
        if (self.narrow or self.joined) and self.kind is not CtxKind.SCALAR:
            raise ValueError(f"{self.name} is a pointer: it is read as a whole only")

    def allows(self, off: int, size: int, *, write: bool) -> bool:
        """May a program access `size` bytes at `off`, the first of which is in the field?"""
        if off & (size - 1) or (write and not self.writable):
            return False
        if self.joined or (self.wide and size == 8):
            return off + size <= self.until
        if off + size > self.offset + self.size:
            return self.padded and off == self.offset and size == 2 * self.size
        if size == self.size:
            return True
        at_start = off == self.offset or not self.from_start
        return self.narrow and not write and size >= self.least and at_start


class CtxForm(StrEnum):
    """What whoever makes a context up says of it."""

    FIELDS = "fields"  # its fields by name, or the members of a struct of the program's
    ARGUMENTS = "arguments"  # those of what the program is attached to, by the kernel's types
    REGISTERS = "registers"  # as struct pt_regs has them, arguments among them
    RECORD = "record"  # of a tracepoint, with texts behind it
    WORDS = "words"  # arguments, of 8 bytes each, whose types nobody knows


class PacketKind(StrEnum):
    """Which packet a program gets, as BPF_PROG_TEST_RUN makes it (net/bpf/test_run.c)."""

    NONE = "none"
    XDP = "xdp"  # the whole frame, with room around it (struct xdp_buff)
    SKB = "skb"  # the whole frame; the context tells its length and protocol
    SKB_PAYLOAD = "skb-payload"  # the same, without the Ethernet header
    OTHER = "other"  # bytes that pointers in the context lead to


class Offer(Flag):
    """Kinds of programs, as helpers tell them apart (get_func_proto of struct bpf_verifier_ops): to
    which of them a helper is offered, and which of them a program is."""

    SOCKET = auto()
    TC = auto()  # sched_cls and sched_act
    XDP = auto()
    LWT_IN = auto()
    LWT_OUT = auto()
    LWT_XMIT = auto()
    LWT_SEG6 = auto()
    SK_SKB = auto()
    FLOW_DISSECTOR = auto()
    KPROBE = auto()
    TRACEPOINT = auto()  # raw ones, too
    PERF_EVENT = auto()
    TP_BTF = auto()
    FENTRY = auto()
    FEXIT = auto()
    FMOD_RET = auto()
    ITER = auto()
    LSM = auto()
    LSM_CGROUP = auto()
    TCP_CA = auto()  # struct_ops programs, by their struct
    SCHED_EXT = auto()
    HID = auto()
    QDISC = auto()
    DUMMY_OPS = auto()
    STRUCT_OPS = auto()  # those that are no member of one
    EXT = auto()
    SYSCALL = auto()
    CGROUP_SKB = auto()
    CGROUP_SOCK = auto()
    SETS_ADDRESS = auto()  # cgroup_sock_addr programs that may refuse it
    CONNECTS = auto()  # those of connect4 and connect6
    TELLS_ADDRESS = auto()  # those that may not
    CGROUP_DEVICE = auto()
    CGROUP_SYSCTL = auto()
    GETSOCKOPT = auto()
    SETSOCKOPT = auto()
    SOCK_OPS = auto()
    SK_MSG = auto()
    SK_REUSEPORT = auto()
    SK_LOOKUP = auto()
    NETFILTER = auto()
    LIRC = auto()

    # What many rows ask for.
    LWT = LWT_IN | LWT_OUT | LWT_XMIT | LWT_SEG6
    TRAMPOLINES = FENTRY | FEXIT | FMOD_RET | LSM  # bpf_prog_has_trampoline
    TYPED = TRAMPOLINES | TP_BTF | ITER | LSM_CGROUP | EXT  # by the kernel's types
    OPS = TCP_CA | SCHED_EXT | HID | QDISC
    NO_HELPERS = DUMMY_OPS | STRUCT_OPS  # verifier_ops without get_func_proto
    TRACES = KPROBE | TRACEPOINT | PERF_EVENT | TYPED | SYSCALL  # bpf_tracing_func_proto
    ADDRESSES = SETS_ADDRESS | CONNECTS | TELLS_ADDRESS
    SOCKOPT = GETSOCKOPT | SETSOCKOPT
    CGROUPS = CGROUP_SKB | CGROUP_SOCK | ADDRESSES | CGROUP_DEVICE | CGROUP_SYSCTL | SOCKOPT
    STREAMS = SK_SKB | SK_MSG | SOCK_OPS | SK_REUSEPORT | SK_LOOKUP
    PACKETS = SOCKET | TC | XDP | LWT | FLOW_DISSECTOR
    ALL = PACKETS | TRACES | CGROUPS | STREAMS | NETFILTER | OPS  # bpf_base_func_proto
    FEW = ALL | LIRC
    EVERY = FEW | NO_HELPERS
    #: Maps whose values have a bpf_spin_lock (check_map_prog_compatibility).
    LOCKS = (
        TC | XDP | LWT | FLOW_DISSECTOR | TYPED | OPS | NO_HELPERS | SYSCALL | CGROUPS | STREAMS
        | NETFILTER | LIRC
    )  # fmt: skip


#: A context without a struct of its own.
_NO_STRUCT = "void"
_PROJECTED = {"__sk_buff": "sk_buff", "xdp_md": "xdp_buff"}
#: Among `ctx_tagged`: a number of 8 bytes; any type that has a name.
NUMBER, ANY_TYPE = "u64", "*"
_IN_PACKET = frozenset({CtxKind.PACKET, CtxKind.PACKET_END, CtxKind.PACKET_META})


@dataclass(frozen=True, slots=True)
class Section:
    """A name of a section, as libbpf's section_defs has it.

    `attach`: the expected attach type, an AttachType, or 0 where there is none;
    `attach_optional`: kernels that do not know it load the program without (SEC_EXP_ATTACH_OPT).
    `extras`: "/..." may follow. `sleepable`: programs in it may sleep (SEC_SLEEPABLE). `frags`:
    their packets may be in several pieces (SEC_XDP_FRAGS). `attach_btf`: what follows names a
    function or type of the kernel (SEC_ATTACH_BTF).
    """

    name: str
    attach: int = 0
    extras: bool = False
    sleepable: bool = False
    frags: bool = False
    attach_optional: bool = False
    attach_btf: bool = False


@dataclass(frozen=True, slots=True)
class ProgramType:
    """Programs of one type that Linux verifies alike: a type has several rows where that depends on
    the attach type.

    `names` are the sections that select the row.
    `ctx_size` is in bytes. With `raw_ctx`, any bytes of the context from there on may be
    read (and written, where `ctx_writable`): tracing contexts and syscall programs; with None only
    `fields`, which otherwise begin before. Those that
    read packets may write them too with `writes_packet` (may_access_direct_pkt_data). With
    `loads_packet`, they may have the loads of classic BPF (may_access_skb). `packet_args`: whether
    they may give pointers into the packet to helpers; None where that is the helper's to say. With
    `private_stack`, functions with large frames have them elsewhere than on the kernel's stack
    (bpf_enable_priv_stack).
    `number` is enum bpf_prog_type's. `returns` are the least and the greatest result that a
    program may have, None for any (check_return_code). `test_run`: so many bytes of its context
    are what BPF_PROG_TEST_RUN is given, beyond them is what it makes itself; None if it does not
    run such programs. `objects`: Linux has bpf_obj_new and its like for them (generic_kfunc_set).
    `interrupts`: they run in interrupts, and so in signals. `sleepable`: in any section, they run
    where one may sleep, and so not in an RCU section. `caller`: what its programs are to
    helpers, one member of Offer. `kernel_types`: nothing here says what its context holds.

    A global function's parameter is the context if it points at `ctx_struct`, or is declared with
    `ctx_typedef` (btf_is_prog_ctx_type); with a tag, it may also point at what `ctx_tagged` names:
    structs, typedefs, NUMBER, ANY_TYPE (btf_validate_prog_ctx_type).

    Raises ValueError for facts that exclude each other.
    """

    name: str
    number: int
    names: tuple[Section, ...]
    ctx_struct: str
    ctx_size: int
    fields: tuple[CtxField, ...] = ()
    raw_ctx: int | None = None
    ctx_writable: bool = False
    writes_packet: bool = False
    loads_packet: bool = False
    packet_args: bool | None = None
    private_stack: bool = False
    objects: bool = False
    kernel_types: bool = False
    form: CtxForm = CtxForm.FIELDS
    ctx_typedef: str = ""
    ctx_tagged: frozenset[str] = frozenset()
    sleepable: bool = field(kw_only=True)
    interrupts: bool = field(kw_only=True)
    packet: PacketKind = field(kw_only=True)
    caller: Offer = field(kw_only=True)
    returns: tuple[int, int] | None = field(kw_only=True)
    test_run: int | None = field(kw_only=True)

    @property
    def sections(self) -> tuple[str, ...]:
        """The names alone."""
        return tuple(section.name for section in self.names)

    @property
    def ctx_names(self) -> frozenset[str]:
        """Structs that a global function's parameter points at if it is the context; the kernel's
        own is as good as what programs see of it (btf_is_projection_of), and names are compared
        alone, so that a struct may have the typedef's (btf_is_prog_ctx_type)."""
        if self.ctx_struct == _NO_STRUCT:
            return frozenset()
        own = self.ctx_struct
        return frozenset({own, _PROJECTED.get(own, own), self.ctx_typedef or own})

    @property
    def ctx_pointer(self) -> str:
        """A pointer to the context, in C."""
        return "void *" if self.ctx_struct == _NO_STRUCT else f"struct {self.ctx_struct} *"

    @property
    def arguments(self) -> bool:
        """Whether its context are the arguments of what it is attached to, as the kernel's BTF has
        them."""
        return self.form is CtxForm.ARGUMENTS

    @property
    def of_skb(self) -> bool:
        """Whether its context stands for a struct sk_buff, of which it shows some fields."""
        return self.packet in (PacketKind.SKB, PacketKind.SKB_PAYLOAD)

    @property
    def has_packet(self) -> bool:
        return self.packet is not PacketKind.NONE

    def has(self, offer: Offer) -> bool:
        """Whether what is offered to those is offered to programs of this type."""
        return self.caller in offer

    def __post_init__(self) -> None:
        if any(f.kind in _IN_PACKET for f in self.fields) and not self.has_packet:
            raise ValueError(f"{self.name}: fields lead into a packet, and there is none")
        if (self.writes_packet or self.loads_packet) and not self.has_packet:
            raise ValueError(f"{self.name}: accesses a packet, and there is none")
        if self.raw_ctx is not None and any(f.offset >= self.raw_ctx for f in self.fields):
            raise ValueError(f"{self.name}: all bytes of the context are alike, or it has fields")
        if self.ctx_writable and self.raw_ctx is None:
            raise ValueError(f"{self.name}: each field tells whether it is writable")
        if len(self.caller) != 1:
            raise ValueError(f"{self.name}: its programs are of one kind to helpers")
        if self.sleepable and self.interrupts:
            raise ValueError(f"{self.name}: nobody sleeps in an interrupt")
