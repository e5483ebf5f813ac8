"""What a program is given: its context, made of Python values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from zlib import crc32

from bpfheap.api.arguments import octets, shown
from bpfheap.api.kernel.kernel import Kernel, is_list, prototype_of
from bpfheap.api.kernel.objects import KernelObject, address_of
from bpfheap.api.kernel.types import KernelType, pointed_at
from bpfheap.btf import (
    BtfTypes,
    Enum,
    Enum64,
    FoundMember,
    Func,
    FuncProto,
    Int,
    Ptr,
    Struct,
    Void,
)
from bpfheap.errors import BpfheapError, UsageError, among
from bpfheap.machine.frames import ETH_HLEN, told_by, unseen
from bpfheap.platform.programs import (
    FLOW_ARRAYS,
    FLOW_KEYS,
    FLOW_KEYS_SIZE,
    AttachType,
    CtxField,
    CtxForm,
    CtxKind,
    ProgramType,
    attach_target,
    attach_type,
    program_type,
    target_of,
)
from bpfheap.platform.programs.struct_ops import STRUCT_OPS
from bpfheap.runtime.values import StructValue, pack
from bpfheap.runtime.world import UNATTACHED, Leads, Links, Place
from bpfheap.spec import ProgramSpec
from bpfheap.verifier.analysis.attach import Place as Target
from bpfheap.verifier.analysis.attach import find_target
from bpfheap.verifier.analysis.struct_ops import find_member
from bpfheap.verifier.reject import Reject

_WORD = 8
#: Where the kernel's code is.
_TEXT = 0xFFFF_FFFF_8100_0000
_U64 = (1 << 64) - 1
#: Where the first six arguments are, in struct pt_regs of x86-64, and the system call's.
_ARGUMENT_REGISTERS = ("di", "si", "dx", "cx", "r8", "r9")
_SYSCALL_REGISTERS = ("di", "si", "dx", "r10", "r8", "r9")
#: Sections of static probes of user space (USDT), where libbpf's programs look up what their
#: arguments are, that those are in registers (BPF_USDT_ARG_REG), and in which they are here.
_STATIC = ("usdt", "usdt.s")
_SPECS = "__bpf_usdt_specs"
_IN_REGISTER = 1
_STATIC_REGISTERS = (*_ARGUMENT_REGISTERS, "r10", "r11", "r12", "r13", "r14", "r15")
#: Sections of probes whose arguments are those of a system call, in registers of their own.
_SYSCALLS = ("ksyscall", "kretsyscall")
#: Sections of probes of the kernel's functions, without what follows ".", and those among them that
#: find the function's arguments.
_PROBES = ("kprobe", "kretprobe")
_ON_THE_WAY_IN = ("kprobe", "kprobe.multi", "kprobe.session")
#: What a function's result is called beside its arguments.
_RESULT = "ret"
#: Those that are given arguments.
_ARGUED = (CtxForm.ARGUMENTS, CtxForm.REGISTERS, CtxForm.WORDS)
#: Functions of the kernel that have a tracepoint's arguments, behind a pointer.
_OF_TRACEPOINTS = ("__traceiter_", "__probestub_", "__bpf_trace_")
#: How members of tracepoints' records are called that say where a text of variable length is.
_LOCATIONS = ("__data_loc_", "__rel_loc_")
#: Fields of contexts that the packet sets.
_OF_PACKETS = (CtxKind.PACKET, CtxKind.PACKET_END, CtxKind.PACKET_META)
#: Those that see what the function returned, behind its arguments.
_SEE_RESULT = frozenset(
    {AttachType.LSM_MAC, AttachType.LSM_CGROUP, AttachType.TRACE_FEXIT, AttachType.MODIFY_RETURN}
)

#: In place of an argument: what the kernel would pass in a calm moment.
DEFAULT: Any = object()


@dataclass(frozen=True, slots=True)
class Ready:
    """What a machine is given: the context's first bytes, the pointers in it, the packet, and where
    the program is attached."""

    ctx: bytes = b""
    data: bytes = b""
    links: Links = field(default_factory=dict)
    place: Place = UNATTACHED


@dataclass(slots=True)
class _Context:
    """A context in the making."""

    kernel: Kernel
    raw: bytearray = field(default_factory=bytearray)
    links: dict[int, Leads] = field(default_factory=dict)

    def put(self, offset: int, raw: bytes) -> None:
        self.raw.extend(bytes(max(0, offset + len(raw) - len(self.raw))))
        self.raw[offset : offset + len(raw)] = raw

    def word(self, offset: int, to: Leads | int) -> None:
        """8 bytes: a pointer, or a number."""
        if isinstance(to, Leads):
            self.put(offset, bytes(_WORD))
            self.links[offset] = to
        else:
            self.put(offset, (to & _U64).to_bytes(_WORD, "little"))

    def value(self, btf: BtfTypes, type_id: int, offset: int, value: Any, what: str) -> None:
        """One argument, by its type."""
        kind = btf[btf.resolve(type_id)]
        if isinstance(kind, Ptr):
            self.word(offset, self.kernel.led_to(btf, type_id, value, what))
            return
        if isinstance(value, KernelObject | str) or value is None:
            raise UsageError(f"{what} is a number, not {shown(value)}")
        size = btf.size_of(type_id)
        if isinstance(kind, Int | Enum | Enum64) and isinstance(value, int):
            raw = pack(btf, type_id, value, size, what=what)
            self.put(offset, raw.ljust(_WORD, b"\xff" if value < 0 else b"\0"))
            return
        block = self.kernel.machine.block_create("an argument", max(size, 1))
        self.kernel.write(btf, FoundMember(type_id, 0), Leads(block), value, what)
        raw = self.kernel.machine.block_read(block, 0, size)
        self.kernel.machine.block_free(block)
        self.put(offset, raw.ljust(-(-size // _WORD) * _WORD, b"\0"))

    def ready(self, data: bytes = b"", place: Place = UNATTACHED) -> Ready:
        return Ready(bytes(self.raw), data, self.links, place)


class Given(ABC):
    """What a program is to be given; what that comes to, the program says."""

    @abstractmethod
    def ready(self, kernel: Kernel, spec: ProgramSpec) -> Ready:
        """Raises UsageError for what is nothing for that program."""


@dataclass(frozen=True, slots=True)
class Fields(Given):
    """The fields of a context by their names, and the packet; `whole`: is all of it seen?"""

    fields: Mapping[str, Any]
    data: Any = b""
    whole: bool = False

    def ready(self, kernel: Kernel, spec: ProgramSpec) -> Ready:
        row = _row(spec)
        if row.arguments or (row.form is CtxForm.WORDS and _target(kernel, spec) is not None):
            return Named(self.fields).ready(kernel, spec)
        if row.form is CtxForm.REGISTERS and (by_name := _probe_by_name(kernel, spec, self.fields)):
            return by_name
        data = octets_of(self.data)
        if self.whole and len(data) >= unseen(row):
            # What is not seen is the same once more, so that it says the same of the packet.
            data = data[: unseen(row)] + data
        for name, said in told_by(row, data).items():
            if self.fields.get(name, said) != said:
                raise UsageError(
                    f"{name} of the packet is {said}, not {shown(self.fields[name])}",
                    hint="the packet's length and its Ethernet header say it: leave it out",
                )
        if not row.fields:
            made = _by_struct(kernel, spec, row, self.fields)
            return made.ready(data)
        made = _Context(kernel)
        for name, value in self.fields.items():
            _put_field(made, row, name, value)
        return made.ready(data)


@dataclass(frozen=True, slots=True)
class Values(Given):
    """The arguments of what the program is attached to, in their order."""

    values: Sequence[Any]
    ret: Any = None
    registers: Mapping[str, int] = field(default_factory=dict)

    def ready(self, kernel: Kernel, spec: ProgramSpec) -> Ready:
        row = _row(spec)
        if row.form in (CtxForm.ARGUMENTS, CtxForm.WORDS):
            return _arguments(kernel, spec, self.values, self.ret)
        if row.form is CtxForm.REGISTERS:
            return _probe(kernel, spec, self.values, self.ret, self.registers)
        raise UsageError(
            f"a {row.name} program is given no list of arguments",
            hint="give the bytes of its context, or a mapping of its fields",
        )


@dataclass(frozen=True, slots=True)
class Named(Given):
    """The arguments of what the program is attached to by their names. Those that are left out are
    as in Values; of an iterator they are NULL, but for what leads to the output."""

    values: Mapping[str, Any]

    def ready(self, kernel: Kernel, spec: ProgramSpec) -> Ready:
        target = _target(kernel, spec)
        if target is None:
            raise UsageError(
                f"nothing is known of what {spec.name} is attached to",
                hint="give its arguments as a list",
            )
        names = _names(target)
        given = dict(self.values)
        sees = AttachType(attach_type(spec.section)) in _SEE_RESULT
        ret = given.pop(_RESULT, None) if sees and _RESULT not in names else None
        for name in given:
            if name not in names:
                known = ", ".join(filter(None, names))
                raise UsageError(f"{target.target.shown} has no argument {name}",
                                 hint=known or "give its arguments as a list")  # fmt: skip
        iterates = attach_type(spec.section) == AttachType.TRACE_ITER
        missing: dict[str, Any] = dict.fromkeys(names, None if iterates else DEFAULT)
        seq = kernel.types.find("struct seq_file")
        if iterates and seq is not None:
            missing["meta"] = {"seq": kernel.default(seq)}
        values = [given.get(name, missing[name]) for name in names]
        return _arguments(kernel, spec, values, ret)


@dataclass(frozen=True, slots=True)
class Tracepoint(Given):
    """The record of a tracepoint, such as "sched:sched_process_exec"."""

    event: str
    fields: Mapping[str, Any]

    def ready(self, kernel: Kernel, spec: ProgramSpec) -> Ready:
        return _record(kernel, spec, self.event, self.fields).ready()


@dataclass(frozen=True, slots=True)
class Raw(Given):
    """A context's bytes, and the packet."""

    ctx: bytes
    data: bytes

    def ready(self, kernel: Kernel, spec: ProgramSpec) -> Ready:
        return Ready(self.ctx, self.data)


def given_of(ctx: Any, data: Any, spec: ProgramSpec) -> Given:
    """What a test hands to `Program.run`: bytes, something that was made for it, a mapping of
    fields, or a list of arguments; nothing at all is what the program gets by default. Raises
    UsageError for a packet that would be lost."""
    packet = octets_of(data, f"the packet of {spec.name}")
    if packet and isinstance(ctx, Given | list | tuple):
        what = "what says it all" if isinstance(ctx, Given) else "arguments"
        raise UsageError(f"{spec.name} is given data= beside {what}", hint="leave it out")
    if isinstance(ctx, Given):
        return ctx
    if isinstance(ctx, Mapping):
        return Fields(ctx, packet)
    if isinstance(ctx, list | tuple):
        return Values(ctx)
    if isinstance(ctx, KernelObject):
        raise UsageError(f"{spec.name} is given its arguments as a list, such as [{ctx!r}]")
    raw = octets(ctx, f"the context of {spec.name}")
    row = program_type(spec.section)
    if not raw and not packet and row is not None and row.form in _ARGUED:
        return Values(())
    if not raw and not packet and row is not None and row.form is CtxForm.RECORD:
        return Fields({})
    return Raw(raw, packet)


@cache
def _flow_keys_at(section: str) -> int | None:
    """Where contexts lead to them; asked in each run."""
    row = program_type(section)
    fields = () if row is None else row.fields
    return next((field.offset for field in fields if field.kind is CtxKind.FLOW_KEYS), None)


def with_flow_keys(kernel: Kernel, spec: ProgramSpec, ready: Ready) -> tuple[Ready, Leads | None]:
    """What a flow dissector's program fills in is with its context, and tells where headers begin
    (bpf_flow_dissect), unless the context has some already."""
    at = _flow_keys_at(spec.section)
    if at is None:
        return ready, None
    keys = ready.links.get(at)
    if keys is None:
        raw = bytearray(FLOW_KEYS_SIZE)
        raw[:4] = 2 * ETH_HLEN.to_bytes(2, "little")
        at_protocol, _ = FLOW_KEYS["n_proto"]
        raw[at_protocol : at_protocol + 2] = ready.data[ETH_HLEN - 2 : ETH_HLEN].ljust(2, b"\0")
        keys = Leads(kernel.machine.block_create("flow keys", FLOW_KEYS_SIZE))
        kernel.machine.block_write(keys.block, 0, bytes(raw))
    return replace(ready, links={**ready.links, at: keys}), keys


def flow_keys(kernel: Kernel, keys: Leads | None, length: int) -> dict[str, Any]:
    """What it filled in, with headers that begin within the packet, as Linux has it."""
    if keys is None:
        return {}
    raw = bytearray(kernel.machine.block_read(keys.block, keys.offset, FLOW_KEYS_SIZE))
    network, transport = (int.from_bytes(raw[i : i + 2], "little") for i in (0, 2))
    network = min(max(network, ETH_HLEN), length)
    transport = min(max(transport, network), length)
    raw[:4] = network.to_bytes(2, "little") + transport.to_bytes(2, "little")

    def number(at: int, size: int) -> int:
        return int.from_bytes(raw[at : at + size], "little")

    found: dict[str, Any] = {name: number(at, size) for name, (at, size) in FLOW_KEYS.items()}
    for name, (at, size) in FLOW_ARRAYS.items():
        found[name] = [number(at + i * size, size) for i in range(4)]
    return {"flow_keys": StructValue("bpf_flow_keys", found)}


def left_in(raw: bytes, spec: ProgramSpec, more: Mapping[str, Any]) -> Any:
    """What a program left in its context: the fields that are numbers, those of an array as a
    list, and `more`; bytes where it has no fields."""
    row = program_type(spec.section)
    if row is None or not row.fields:
        return raw
    found: dict[str, Any] = {}
    for one in row.fields:
        name, _, rest = one.name.partition("[")
        if one.kind is not CtxKind.SCALAR or not name.isidentifier():
            continue
        value = int.from_bytes(raw[one.offset : one.offset + one.size], "little")
        if rest:
            # Of some arrays, the first element has another name.
            elements = found.setdefault(name, [])
            elements += [0] * (int(rest.rstrip("]")) - len(elements))
            elements.append(value)
        else:
            found[name] = value
    return StructValue(row.ctx_struct, {**found, **more})


def octets_of(data: Any, what: str = "the packet") -> bytes:
    """Of a packet: bytes, or what gives bytes, as packets of other libraries do."""
    if not isinstance(data, bytes | bytearray | memoryview) and hasattr(data, "__bytes__"):
        data = bytes(data)
    return octets(data, what)


def _row(spec: ProgramSpec) -> ProgramType:
    row = program_type(spec.section)
    if row is None:
        raise UsageError(f"program {spec.name} has no type, whose context could be made")
    return row


def _beside(row: ProgramType, name: str) -> CtxField | None:
    """An element of an array of which the row names others: the first one has another name in a
    union (struct bpf_sock_ops)."""
    base, _, index = name.rstrip("]").partition("[")
    if not index.isdigit():
        return None
    for known in row.fields:
        its, _, number = known.name.rstrip("]").partition("[")
        if its == base and number.isdigit() and int(index) < int(number):
            offset = known.offset + (int(index) - int(number)) * known.size
            return replace(known, name=name, offset=offset)
    return None


def _put_field(made: _Context, row: ProgramType, name: str, value: Any) -> None:
    if isinstance(value, list | tuple):
        for i, one in enumerate(value):
            _put_field(made, row, f"{name}[{i}]", one)
        return
    found = next((f for f in row.fields if f.name == name), None) or _beside(row, name)
    if found is None or found.kind in _OF_PACKETS:
        names = [f.name for f in row.fields if f.kind not in _OF_PACKETS]
        raise UsageError(
            f"struct {row.ctx_struct} has no field {name} to be set", hint=among(names, name)
        )
    if found.kind is not CtxKind.SCALAR:
        if value is not None and not isinstance(value, KernelObject):
            raise UsageError(f"{name} is a pointer: it takes an object or None")
        made.word(found.offset, 0 if value is None else address_of(value))
        return
    if not isinstance(value, int):
        raise UsageError(f"{name} is a number, not {shown(value)}")
    if not -(1 << 8 * found.size) >> 1 <= value < 1 << 8 * found.size:
        raise UsageError(f"{shown(value)} does not fit the {found.size} bytes of {name}")
    made.put(found.offset, (value & (1 << 8 * found.size) - 1).to_bytes(found.size, "little"))


def address_of_function(name: str) -> int:
    """Where the kernel would have a function: some address, the same in each run."""
    return _TEXT + 16 * (crc32(name.encode()) & 0xFFFFF)


# -- arguments by the kernel's types


def _target(kernel: Kernel, spec: ProgramSpec) -> Target | None:
    if spec.member is not None:
        types = kernel.source.types()
        return None if types is None else find_member(types, kernel.source, spec.member)
    named = attach_target(spec.section)
    tracepoint = spec.section.partition("/")[2]
    if named is None and tracepoint and _row(spec).form is CtxForm.WORDS:
        # Its arguments are those that programs of tp_btf see.
        named = target_of(AttachType.TRACE_RAW_TP, tracepoint)
    types = None if named is None else kernel.source.types()
    if types is None or named is None:
        return None
    try:
        return find_target(types, kernel.source, named)
    except Reject:
        return None


def _names(target: Target) -> list[str]:
    """Of the arguments. The typedef of a tracepoint has none, but functions made of the same
    declaration do (include/linux/tracepoint.h)."""
    params = target.params
    if target.target.typedef:
        for prefix in _OF_TRACEPOINTS:
            at = target.btf.find(f"{prefix}{target.target.shown}", Func)
            func = None if at is None else target.btf[at]
            proto = target.btf[func.type] if isinstance(func, Func) else None
            if isinstance(proto, FuncProto) and len(proto.params) == len(params) + 1:
                params = proto.params[1:]
                break
    return [param.name for param in params]


def _arguments(kernel: Kernel, spec: ProgramSpec, values: Sequence[Any], ret: Any) -> Ready:
    target = _target(kernel, spec)
    if target is None:
        return _words(kernel, spec, values, ret)
    params = [(p.name, p.type) for p in target.params]
    count = len(params)
    sees = AttachType(attach_type(spec.section)) in _SEE_RESULT
    if sees and not isinstance(target.btf[target.btf.resolve(target.proto.ret)], Void):
        params.append(("the result", target.proto.ret))
        if ret is not None and len(values) < len(params):
            missing = [DEFAULT] * (len(params) - 1 - len(values))
            values = [*values, *missing, ret]
    if len(values) > len(params):
        raise UsageError(
            f"{target.target.shown} has {len(params)} arguments, and {len(values)} are given",
            hint=", ".join(name for name, _ in params),
        )
    made = _Context(kernel)
    at = 0
    for i, (name, type_id) in enumerate(params):
        value = values[i] if i < len(values) else DEFAULT
        promoted = _promoted(kernel, spec, target.btf, type_id)
        if promoted is not None and isinstance(value, Mapping):
            value = kernel.make(promoted, value)
        if value is DEFAULT:
            value = (
                _default(kernel, target.btf, type_id)
                if promoted is None
                else kernel.default(promoted)
            )
        made.value(target.btf, type_id, at, value, f"{name} of {target.target.shown}")
        at += -(-target.btf.size_of(type_id) // _WORD) * _WORD
    name = target.target.shown
    return made.ready(place=Place(count, len(params) > count, address_of_function(name)))


def _promoted(kernel: Kernel, spec: ProgramSpec, btf: BtfTypes, type_id: int) -> KernelType | None:
    """The struct that a struct_ops program sees, where that is not what the argument's type
    says."""
    row = None if spec.member is None else STRUCT_OPS.get(spec.member.struct)
    pointed = pointed_at(btf, type_id)
    if row is None or pointed is None:
        return None
    name = row.promoted.get(pointed.name.removeprefix("struct "))
    return None if name is None else kernel.types.find(f"struct {name}")


def _default(kernel: Kernel, btf: BtfTypes, type_id: int) -> Any:
    """An object of zeros for a pointer to a struct, an empty text, or 0."""
    target = pointed_at(btf, type_id)
    if target is None:
        return bytes(btf.size_of(type_id)) if KernelType(btf, type_id).is_struct else 0
    if target.is_struct:
        try:
            return kernel.default(target)
        except BpfheapError:
            # Of a struct that is declared alone nobody knows the size.
            return None
    return "" if target.name == "char" else None


def _words(kernel: Kernel, spec: ProgramSpec, values: Sequence[Any], ret: Any) -> Ready:
    """Where nobody knows what the arguments are: 8 bytes each."""
    made = _Context(kernel)
    for i, value in enumerate([*values, *([] if ret is None else [ret])]):
        made.word(_WORD * i, kernel.led_to(spec.btf, 0, value, f"argument {i + 1}"))
    return made.ready()


def _probe(
    kernel: Kernel, spec: ProgramSpec, values: Sequence[Any], ret: Any,
    registers: Mapping[str, int],
) -> Ready:  # fmt: skip
    regs = kernel.types.find("struct pt_regs")
    section, _, function = spec.section.removeprefix("?").partition("/")
    is_call = section in _SYSCALLS or function.startswith("__x64_sys_")
    of_kernel = section.partition(".")[0] in _PROBES
    names: Sequence[str] = _SYSCALL_REGISTERS if is_call else _ARGUMENT_REGISTERS
    if section in _STATIC and values and _says_where(kernel, len(values)):
        names = _STATIC_REGISTERS
    if len(values) > len(names):
        raise UsageError(f"a probe has {len(names)} arguments in registers, not {len(values)}")
    made = _Context(kernel)
    at = made
    if is_call and regs is not None:
        # The wrapper of a system call has one argument: the registers of whoever called.
        at = _Context(kernel)
    found = prototype_of(kernel, function) if of_kernel else None
    params = [] if found is None else [(found[0], param.type) for param in found[1].params]
    if section in _ON_THE_WAY_IN and not is_call and not registers:
        values = [*values, *[DEFAULT] * (min(len(params), len(names)) - len(values))]
    for i, (name, value) in enumerate(zip(names, values, strict=False)):
        what = f"argument {i + 1} of {function}"
        btf, type_id = params[i] if i < len(params) and not is_call else (spec.btf, 0)
        if value is DEFAULT:
            # What is no pointer is 0, also a struct that is passed in registers.
            value = _default(kernel, btf, type_id) if pointed_at(btf, type_id) else 0
        if (is_call or section in _STATIC) and (isinstance(value, str | bytes) or is_list(value)):
            value = kernel.user(value + b"\0" if isinstance(value, bytes) else value)
        at.word(_register(name), kernel.led_to(btf, type_id, value, what))
    for name, number in registers.items():
        made.word(_register(name), number)
    if ret is not None:
        made.word(_register("ax"), kernel.led_to(spec.btf, 0, ret, "the result"))
    if at is not made and regs is not None:
        block = kernel.machine.block_create("registers of user space", regs.size, of=regs)
        kernel.machine.block_write(block, 0, bytes(at.raw).ljust(regs.size, b"\0"))
        for offset, to in at.links.items():
            kernel.machine.block_point(block, offset, to)
        made.word(_register("di"), Leads(block))
    return made.ready(place=Place(ip=address_of_function(function)))


def _probe_by_name(kernel: Kernel, spec: ProgramSpec, fields: Mapping[str, Any]) -> Ready | None:
    """Of arguments of the kernel's function by their names, and its result; None where the names
    are those of registers. Raises UsageError for one that is neither."""
    section, _, function = spec.section.removeprefix("?").partition("/")
    found = prototype_of(kernel, function) if section.partition(".")[0] in _PROBES else None
    names = [] if found is None else [param.name for param in found[1].params]
    given = dict(fields)
    ret = None if _RESULT in names else given.pop(_RESULT, None)
    if not fields:
        return None
    regs = kernel.types.find("struct pt_regs")
    strange = [name for name in given if name not in names]
    if strange and regs is not None and all(regs.find(name) for name in fields):
        return None
    if strange:
        known = (
            ", ".join(names) or f"registers have its arguments: {', '.join(_ARGUMENT_REGISTERS)}"
        )
        raise UsageError(f"{function or spec.name} has no argument {strange[0]}", hint=known)
    last = max((names.index(name) for name in given), default=-1)
    values = [given.get(name, DEFAULT) for name in names[: last + 1]]
    return _probe(kernel, spec, values, ret, {})


def _says_where(kernel: Kernel, count: int) -> bool:
    """Let a static probe's arguments be in registers, as user space says in a map of libbpf's
    (usdt.bpf.h) after it has read the notes of the probed program; not where a test says so."""
    system = kernel.system
    found = system.find_map(_SPECS)
    if found is None or count > len(_STATIC_REGISTERS):
        return False
    spec = system.spec_of(found)
    # The probe's number is the cookie, which nobody gave.
    key = bytes(spec.key_size)
    there = system.machine.map_lookup(found, key)
    if there is not None and any(there) and there != kernel.static_probes.get(found):
        return False
    places = [{"arg_type": _IN_REGISTER, "reg_off": _register(name)} for name in _STATIC_REGISTERS]
    told = {"arg_cnt": count, "args": places}
    raw = pack(spec.btf, spec.value, told, spec.value_size, what=_SPECS)
    system.machine.map_update(found, key, raw)
    kernel.static_probes[found] = raw
    return True


_REGISTERS = (
    "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di",
    "orig_ax", "ip", "cs", "flags", "sp", "ss",
)  # fmt: skip


def _register(name: str) -> int:
    if name not in _REGISTERS:
        raise UsageError(f"struct pt_regs has no register {name}", hint=", ".join(_REGISTERS))
    return _WORD * _REGISTERS.index(name)


# -- records of tracepoints


def _by_struct(
    kernel: Kernel, spec: ProgramSpec, row: ProgramType, fields: Mapping[str, Any]
) -> _Context:
    if row.form is CtxForm.RECORD:
        event = spec.section.partition("/")[2].replace("/", ":")
        return _record(kernel, spec, event, fields)
    of = _parameter(spec)
    if of is None:
        raise UsageError(
            f"nothing says what the context of {spec.name} is",
            hint="declare its parameter as a pointer to a struct, or give bytes",
        )
    return _filled(kernel, of, fields)


def _record(kernel: Kernel, spec: ProgramSpec, event: str, fields: Mapping[str, Any]) -> _Context:
    """By the kernel's struct, or by what the program takes its parameter for."""
    category, _, name = event.partition(":")
    if category == "syscalls":
        name = "sys_exit" if name.startswith("sys_exit") else "sys_enter"
    declared = _parameter(spec)
    of = kernel.types.find(f"struct trace_event_raw_{name}")
    if of is None and declared is not None:
        of = kernel.types.find(declared.name) or declared
    if of is None:
        if not fields:
            return _Context(kernel)
        raise UsageError(
            f"nothing says what the record of {event} is",
            hint="declare the program's parameter as a pointer to its struct",
        )
    if declared is not None and not all(_has(of, name) for name in fields):
        of = declared
    user = category == "syscalls"
    # The kernel always has a text there.
    texts = {
        name: "" for name in _texts(of) if not any(f"{at}{name}" in fields for at in _LOCATIONS)
    }
    return _filled(kernel, of, {**texts, **fields}, user=user)


def _has(of: KernelType, name: str) -> bool:
    return any(of.find(f"{prefix}{name}") for prefix in ("", *_LOCATIONS))


def _texts(of: KernelType) -> list[str]:
    """The names of a record's members whose contents lie behind it."""
    struct = of.btf[of.type_id]
    members = struct.members if isinstance(struct, Struct) else ()
    return [
        member.name.removeprefix(prefix)
        for member in members
        for prefix in _LOCATIONS
        if member.name.startswith(prefix)
    ]


def _parameter(spec: ProgramSpec) -> KernelType | None:
    """The struct that the program's first parameter points at, as it declares it."""
    btf = spec.btf
    at = spec.subprogs[0].func_id if spec.subprogs else 0
    func = btf[at] if at else None
    proto = btf[func.type] if isinstance(func, Func) else None
    if not isinstance(proto, FuncProto) or not proto.params:
        return None
    found = pointed_at(btf, proto.params[0].type)
    return found if found is not None and found.is_struct else None


def _filled(
    kernel: Kernel, of: KernelType, fields: Mapping[str, Any], *, user: bool = False
) -> _Context:
    """A struct's members; texts of variable length lie behind it."""
    machine = kernel.machine
    made = _Context(kernel)
    size = of.size
    block = machine.block_create(f"a {of.name}", max(1, size), of=of)
    view = KernelObject(kernel, of, Leads(block))
    behind = bytearray()
    for name, value in fields.items():
        if of.find(name) is None and _has(of, name):
            relative = of.find(f"__rel_loc_{name}")
            raw = value.encode() + b"\0" if isinstance(value, str) else octets(value, name)
            offset = size + len(behind)
            behind += raw
            if relative is not None:
                offset -= relative.offset + 4
            member = f"__{'data' if relative is None else 'rel'}_loc_{name}"
            view[member] = len(raw) << 16 | offset
        elif user and isinstance(value, list | tuple):
            # Arguments of a system call: what is no number is memory of user space.
            view[name] = [0] * len(value)
            found = of.find(name)
            for i, one in enumerate(value):
                if found is not None:
                    _put_argument(kernel, view, found, i, one)
        else:
            view[name] = value
    made.put(0, machine.block_read(block, 0, size) + bytes(behind))
    for offset in range(0, size - _WORD + 1, _WORD):
        leads = machine.block_leads(block, offset)
        if leads is not None:
            made.links[offset] = leads
    machine.block_free(block)
    return made


def _put_argument(
    kernel: Kernel, view: KernelObject, found: FoundMember, i: int, value: Any
) -> None:
    at = address_of(view)
    offset = at.offset + found.offset + i * _WORD
    if isinstance(value, str) or is_list(value):
        value = kernel.user(value)
    to = kernel.led_to(view._type.btf, 0, value, f"argument {i + 1}")
    if isinstance(to, Leads):
        kernel.machine.block_point(at.block, offset, to)
    else:
        kernel.machine.block_write(at.block, offset, to.to_bytes(_WORD, "little"))


# -- what users call


class Inputs:
    """Makes what programs are given."""

    @staticmethod
    def xdp(packet: Any = b"", **fields: Any) -> Given:
        """A packet of an XDP program, and fields of struct xdp_md."""
        return Fields(fields, packet)

    @staticmethod
    def skb(packet: Any = b"", *, whole: bool = False, **fields: Any) -> Given:
        """A packet of a program that gets a struct __sk_buff, and its fields. Programs of sockets
        and control groups do not see its Ethernet header, unless it is to be seen `whole`, as by
        filters of packet sockets."""
        return Fields(fields, packet, whole)

    tc = skb

    @staticmethod
    def context(**fields: Any) -> Given:
        """Any context by its fields: sockops, sk_lookup, cgroup programs."""
        return Fields(fields)

    @staticmethod
    def tracepoint(event: str, **fields: Any) -> Given:
        """The record of a tracepoint, by its struct in the kernel's BTF or the one that the program
        declares: `tracepoint("sched:sched_process_exec", filename="/bin/sh", pid=42)`. Texts of
        variable length lie behind it. `args=[...]` of a system call takes numbers and texts, which
        are memory of user space."""
        return Tracepoint(event, fields)

    @staticmethod
    def arguments(*values: Any, ret: Any = None) -> Given:
        """The arguments of a function that is traced, or a hook; what is left out is an object of
        zeros, an empty text or 0. `ret` is its result, for programs that see it."""
        return Values(values, ret)

    @staticmethod
    def kprobe(*values: Any, ret: Any = None, **registers: int) -> Given:
        """The same in registers, as probes find them; `registers` by their names in struct
        pt_regs of x86-64."""
        return Values(values, ret, registers)

    @staticmethod
    def iterator(**arguments: Any) -> Given:
        """What an iterator's program is given for one element, by the names of its arguments:
        `iterator(task=task)`. Without any it is at its end."""
        return Named(arguments)
