"""The arguments of a member of a struct of functions (struct_ops): the context of the program that
is for it.

Sources: check_struct_ops_btf_id in kernel/bpf/verifier.c, prepare_arg_info in
kernel/bpf/bpf_struct_ops.c of Linux 6.18; bpf_map__init_kern_struct_ops of libbpf.
"""

from __future__ import annotations

from dataclasses import replace

from bpfheap.btf import Func, FuncProto, LazyBtf, Ptr, Struct
from bpfheap.errors import BtfError
from bpfheap.platform.programs import AttachTarget
from bpfheap.platform.programs.struct_ops import NULLABLE, OWNED, STRUCT_OPS, StructOps
from bpfheap.spec import KernelTypes as KernelSource
from bpfheap.spec import OpsMember, ProgramSpec
from bpfheap.verifier.analysis.attach import Argument, Attached, Place, argument_of, width_of
from bpfheap.verifier.reject import NotKnown, Reject
from bpfheap.verifier.state.kernel import KernelType, KernelTypes
from bpfheap.verifier.state.state import TRUSTED, KernelObject

#: How the kernel calls the struct that holds one of these, beside what it needs itself.
_VALUE = "bpf_struct_ops_"
_ANY_NUMBER = (0, 0)


def member_of(program: ProgramSpec, *, gpl: bool) -> OpsMember:
    """Which member a program is for. Raises Reject."""
    if not gpl:
        raise Reject("struct ops programs must have a GPL compatible license", insn=0)
    if program.member is None:
        raise Reject(
            f'SEC("{program.section}") program isn\'t referenced anywhere, did you forget to use '
            "it?",
            insn=0,
            hint='put it into a variable: SEC(".struct_ops") struct tcp_congestion_ops x = '
            f"{{ .init = (void *){program.name} }};",
        )
    return program.member


def attached_member(
    kernel: KernelTypes, source: KernelSource, member: OpsMember, *, sleepable: bool
) -> Attached:
    """What a program is for. Raises Reject, NotKnown if that cannot be known."""
    try:
        return _member(kernel, source, member, sleepable=sleepable)
    except BtfError as error:
        raise Reject(error.message, insn=0, hint=error.hint) from None


def _member(
    kernel: KernelTypes, source: KernelSource, member: OpsMember, *, sleepable: bool
) -> Attached:
    btf, struct_id = _struct(kernel.types, source, member)
    proto = _proto(btf, struct_id, member)
    row = _row(btf, struct_id, member)
    unsupported = (
        (row.members is not None and member.name not in row.members)
        or (sleepable and row.sleepable is not None and member.name not in row.sleepable)
    )  # fmt: skip
    if unsupported:
        others = row.sleepable if sleepable else row.members
        raise Reject(
            f"attach to unsupported member {member.name} of struct {member.struct}",
            insn=0,
            hint=f"programs{' that sleep' if sleepable else ''} can be "
            f"{', '.join(sorted(others or ())) or 'none of its members'}",
        )
    returns, gives = _returned(kernel, btf, proto)
    arguments = tuple(_arguments(kernel, btf, row, member, proto))
    return Attached(
        member.name, arguments, returns, half=False, void=not btf.resolve(proto.ret), gives=gives
    )


def find_member(types: LazyBtf, source: KernelSource, member: OpsMember) -> Place | None:
    """Where the prototype of a member is, None if nowhere."""
    try:
        btf, struct_id = _struct(types, source, member)
        proto = _proto(btf, struct_id, member)
        named = zip(proto.params, _stub(btf, member, len(proto.params)), strict=True)
        # A pointer's prototype has no names.
        params = tuple(
            p._replace(name=p.name or name.removesuffix(NULLABLE).removesuffix(OWNED))
            for p, name in named
        )
        shown = AttachTarget(member.name, str(member))
        return Place(btf, shown, replace(proto, params=params))
    except Reject:
        return None


def _struct(types: LazyBtf, source: KernelSource, member: OpsMember) -> tuple[LazyBtf, int]:
    for btf in (types, *source.modules()):
        found = btf.find(member.struct, Struct)
        if found is not None:
            return btf, found
    raise Reject(
        f"struct {member.struct} is not found in kernel BTF",
        insn=0,
        hint="a kernel that is newer, or configured otherwise, may have it: --kernel-btf FILE",
    )


def _proto(btf: LazyBtf, struct_id: int, member: OpsMember) -> FuncProto:
    struct = btf[struct_id]
    assert isinstance(struct, Struct)
    if btf.find(_VALUE + member.struct, Struct) is None:
        raise Reject(
            f"attach_btf_id {struct_id} is not a supported struct",
            detail=f"the kernel lets no programs be functions of struct {member.struct}",
            insn=0,
            hint="a kernel that is newer, or configured otherwise, may do it",
        )
    for index, each in enumerate(struct.members):
        if each.name != member.name:
            continue
        pointer = btf[btf.resolve(each.type)]
        proto = btf[btf.resolve(pointer.type)] if isinstance(pointer, Ptr) else None
        if isinstance(proto, FuncProto):
            return proto
        raise Reject(
            f"attach to invalid member {member.name}(@idx {index}) of struct {member.struct}",
            insn=0,
            hint="it is no function in this kernel",
        )
    raise Reject(
        f"member {member.name} of struct {member.struct} is not found in kernel BTF",
        detail="libbpf leaves the program out",
        insn=0,
        hint="this kernel does without it; a newer one may have it",
    )


def _row(btf: LazyBtf, struct_id: int, member: OpsMember) -> StructOps:
    found = STRUCT_OPS.get(member.struct)
    if found is None:
        known = ", ".join(sorted(STRUCT_OPS))
        raise NotKnown(
            f"bpfheap does not know what programs may do that are functions of struct "
            f"{member.struct}",
            f"struct_ops {member.struct}",
            insn=0,
            hint=f"it knows {known}",
        )
    return found


def _returned(
    kernel: KernelTypes, btf: LazyBtf, proto: FuncProto
) -> tuple[tuple[int, int] | None, KernelType | None]:
    """What the program may return, None for any number; and the struct of an object that it may
    return, too."""
    kind = btf[btf.resolve(proto.ret)]
    if not isinstance(kind, Ptr):
        return None, None
    target = btf.resolve(kind.type)
    is_struct = isinstance(btf[target], Struct)
    return _ANY_NUMBER, kernel.of(btf, target) if is_struct else None


def _arguments(
    kernel: KernelTypes, btf: LazyBtf, row: StructOps, member: OpsMember, proto: FuncProto
) -> list[Argument]:
    """All are trusted (prog_args_trusted); the stub of the member says which may be NULL, and which
    the program owns."""
    stub = _stub(btf, member, len(proto.params))
    found: list[Argument] = []
    at = 0
    for i, param in enumerate(proto.params):
        end = at + width_of(btf, param.type)
        names = (param.name, stub[i])
        or_null = any(name.endswith(NULLABLE) for name in names)
        or_null = or_null or i + 1 in row.nullable.get(member.name, ())
        argument = argument_of(kernel, btf, param.type, i, at, end, TRUSTED, or_null)
        argument = _replaced(kernel, row, member, i, argument)
        if argument.what is not None and stub[i].endswith(OWNED):
            argument = argument._replace(owned=True)
        found.append(argument)
        at = end
    return found


def _replaced(
    kernel: KernelTypes, row: StructOps, member: OpsMember, i: int, argument: Argument
) -> Argument:
    """An argument of which a program sees another struct than its type says."""
    name = row.given.get((member.name, i + 1), "")
    if isinstance(argument.what, KernelObject):
        name = row.promoted.get(argument.what.type.name, name)
    struct = kernel.named(name) if name else None
    if struct is None:
        return argument
    return Argument(
        argument.start, argument.end, KernelObject(struct, TRUSTED), argument.or_null, True
    )


def _stub(btf: LazyBtf, member: OpsMember, count: int) -> list[str]:
    """The names of the parameters of the function that stands for the member: it is called like
    both."""
    found = btf.find(f"{member.struct}__{member.name}", Func)
    kind = None if found is None else btf[found]
    proto = btf[kind.type] if isinstance(kind, Func) else None
    if not isinstance(proto, FuncProto) or len(proto.params) != count:
        return [""] * count
    return [param.name for param in proto.params]
