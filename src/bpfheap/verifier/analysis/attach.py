"""The arguments of what a program is attached to: its context, as the kernel's BTF has it.

Sources: btf_ctx_access and btf_ctx_arg_idx in kernel/bpf/btf.c, bpf_check_attach_target and
check_attach_btf_id in kernel/bpf/verifier.c, bpf_lsm_verify_prog in kernel/bpf/bpf_lsm.c of Linux
6.18.
"""

from __future__ import annotations

from typing import NamedTuple

from bpfheap.btf import Enum as BtfEnum
from bpfheap.btf import (
    Enum64,
    Func,
    FuncProto,
    Int,
    LazyBtf,
    Param,
    Ptr,
    Struct,
    Typedef,
    Union,
    pointee,
)
from bpfheap.btf.types import name_of
from bpfheap.errors import BtfError
from bpfheap.platform.programs import AttachTarget, AttachType, attach_target, attach_type, targets
from bpfheap.spec import KernelTypes as KernelSource
from bpfheap.verifier.reject import NotKnown, Reject
from bpfheap.verifier.state.kernel import KernelType, KernelTypes
from bpfheap.verifier.state.state import (
    GIVEN,
    IN_USER,
    PER_CPU,
    TRUSTED,
    Buffer,
    KernelObject,
    Mem,
)

_WORD = 8
#: MAX_BPF_FUNC_ARGS.
_MAX_ARGUMENTS = 12
#: Larger structs are not passed as arguments.
_MAX_SIZE = 16
_S32 = 4
#: How the kernel names parameters that may be NULL.
_NULLABLE = "__nullable"
#: BPF errors are no less than this.
_MAX_ERRNO = 4095
_TRUSTING = frozenset({AttachType.TRACE_RAW_TP, AttachType.TRACE_ITER})
_TRACED = frozenset({AttachType.TRACE_FENTRY, AttachType.TRACE_FEXIT, AttachType.MODIFY_RETURN})
_HOOKS = frozenset({AttachType.LSM_MAC, AttachType.LSM_CGROUP})
#: Those whose programs see what the function returned.
_SEE_RESULT = frozenset(
    {AttachType.LSM_MAC, AttachType.LSM_CGROUP, AttachType.TRACE_FEXIT, AttachType.MODIFY_RETURN}
)
_TAGS = {"user": IN_USER, "percpu": PER_CPU}


#: Memory of an element that an iterator comes to.
_BUFFERS = {
    targets.Given.BUFFER_OR_NULL: Mem(0, buffer=Buffer.WRITABLE),
    targets.Given.READONLY_OR_NULL: Mem(0, readonly=True, buffer=Buffer.READONLY),
}


class Argument(NamedTuple):
    """What is read at a place in the context.

    `start`, `end`: the bytes that it takes.
    `what`: what a pointer leads to, None for a number.
    `or_null`: may the pointer be NULL?
    `whole`: is it a pointer, to be read as a whole only?
    `wrong`: why it cannot be read at all, "" if it can.
    `ends`: between which numbers it is, None if it may be any.
    `owned`: is it an object that the program has to give away?
    """

    start: int
    end: int
    what: KernelObject | Mem | None = None
    or_null: bool = False
    whole: bool = False
    wrong: str = ""
    ends: tuple[int, int] | None = None
    owned: bool = False


class Attached:
    """What a program is attached to.

    `name`: the function's, as messages have it.
    `arguments`: with what it returned at the end, where programs see that.
    `returns`: what the program may return, None for what its type says.
    `half`: does the lower half of that count alone (return_32bit)?
    `void`: does nobody look at it (check_return_code of hooks that return nothing)?
    `gives`: the struct of the object that it may return in place of NULL, None if it returns none.
    `refs`: by the place of an owned argument, its reference.
    """

    def __init__(
        self, name: str, arguments: tuple[Argument, ...], returns: tuple[int, int] | None,
        *, half: bool, void: bool, gives: KernelType | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.arguments = arguments
        self.returns = returns
        self.half = half
        self.void = void
        self.gives = gives
        self.refs: dict[int, int] = {}

    def at(self, off: int, size: int) -> Argument:
        """What a load reads. Raises Reject."""
        if off < 0 or off >= _WORD * _MAX_ARGUMENTS or off % size:
            raise Reject(
                f"invalid bpf_context access off={off} size={size}",
                hint="each argument takes 8 bytes: read as many at most, aligned",
            )
        if off % _WORD:
            raise self._invalid(off, size, f"offset {off} is not multiple of 8")
        for argument in self.arguments:
            if argument.start <= off < argument.end:
                if argument.wrong:
                    raise self._invalid(off, size, argument.wrong)
                if argument.whole and size != _WORD:
                    raise self._invalid(off, size, f"size {size} must be 8")
                return argument
        number = sum(a.end <= off for a in self.arguments) + 1
        raise self._invalid(off, size, f"doesn't have {number}-th argument")

    def _invalid(self, off: int, size: int, why: str) -> Reject:
        return Reject(
            f"invalid bpf_context access off={off} size={size}",
            before=f"func '{self.name}' {why}",
            hint="read the arguments as the kernel's function has them: BPF_PROG() does",
        )


class Place(NamedTuple):
    """Where the target is: its BTF, the name without what BTF puts before it, and its prototype."""

    btf: LazyBtf
    target: AttachTarget
    proto: FuncProto

    @property
    def params(self) -> tuple[Param, ...]:
        """Those that programs see: not the `void *__data` of a tracepoint."""
        return self.proto.params[1:] if self.target.typedef else self.proto.params


def attached(
    kernel: KernelTypes, source: KernelSource, section: str, *, gpl: bool, sleepable: bool
) -> Attached:
    """What the program of a section is attached to. Raises Reject, NotKnown if that cannot be
    known."""
    kind = AttachType(attach_type(section))
    target = attach_target(section)
    if target is None:
        raise Reject(
            "Tracing programs must provide btf_id",
            insn=0,
            hint=f'name what it is attached to: SEC("{section}/NAME")',
        )
    try:
        place = find_target(kernel.types, source, target)
        _check(place, kind, gpl=gpl, sleepable=sleepable)
        return Attached(
            place.target.name if kind is not AttachType.TRACE_RAW_TP else target.shown,
            tuple(_arguments(kernel, place, kind)),
            _returns(place, kind),
            half=kind is AttachType.LSM_MAC,
            void=kind is AttachType.LSM_MAC and not place.btf.resolve(place.proto.ret),
        )
    except BtfError as error:
        raise Reject(error.message, insn=0, hint=error.hint) from None


def find_target(types: LazyBtf, source: KernelSource, target: AttachTarget) -> Place:
    """In the kernel's `types`, or its modules'. Raises Reject if neither has it."""
    wanted = Typedef if target.typedef else Func
    btf, found = types, types.find(target.name, wanted)
    if found is None:
        for module in source.modules():
            found = module.find(target.name, wanted)
            if found is not None:
                btf = module
                break
    if found is None:
        what = "tracepoint" if target.typedef else "function"
        raise Reject(
            f"the kernel has no {what} {target.shown} to attach to",
            detail=f"libbpf would say: failed to find kernel BTF type ID of '{target.name}'",
            insn=0,
            hint="it may have another name in other kernels, or be inlined",
        )
    kind = btf[found]
    assert isinstance(kind, Typedef | Func)
    proto = btf[kind.type]
    if isinstance(proto, Ptr):
        proto = btf[proto.type]
    if not isinstance(proto, FuncProto):
        raise Reject(f"{target.name} of the kernel's BTF is no function", insn=0)
    return Place(btf, target, proto)


def _check(place: Place, kind: AttachType, *, gpl: bool, sleepable: bool) -> None:
    """May a program be attached there?"""
    name = place.target.shown
    if kind in _HOOKS:
        if not gpl:
            raise Reject("LSM programs must have a GPL compatible license", insn=0)
        if name in targets.NO_HOOKS:
            raise Reject(
                f"attach_btf_id points to wrong type name bpf_lsm_{name}",
                insn=0,
                hint="that is a function of the kernel, and no hook",
            )
        if name in targets.DISABLED_HOOKS:
            raise Reject(
                f"attach_btf_id points to disabled hook bpf_lsm_{name}",
                insn=0,
                hint="the kernel calls no programs there",
            )
        if sleepable and name not in targets.SLEEPABLE_HOOKS:
            raise Reject(
                f"{place.target.name} is not sleepable",
                insn=0,
                hint='attach it with SEC("lsm/..."), so that it does not sleep',
            )
    if kind is AttachType.MODIFY_RETURN:
        ret = place.btf[place.btf.resolve(place.proto.ret)]
        if not isinstance(ret, Int | BtfEnum) or ret.size > _WORD:
            raise Reject(
                f"can't modify return codes of {name}", detail="it returns no number", insn=0
            )
    if kind in _TRACED | _HOOKS:
        _check_prototype(place)


def _check_prototype(place: Place) -> None:
    """Is there a trampoline for it (btf_distill_func_proto)?"""
    name, params = place.target.name, place.proto.params
    if len(params) > _MAX_ARGUMENTS:
        raise Reject(f"The function {name} has {len(params)} arguments. Too many.", insn=0)
    if params and not params[-1].type:
        raise Reject(f"The function {name} with variable args is unsupported.", insn=0)
    for i, param in enumerate(params):
        kind = place.btf[place.btf.resolve(param.type)]
        passed = isinstance(kind, Ptr | Int | BtfEnum | Enum64 | Struct | Union)
        if not passed or (isinstance(kind, Struct | Union) and kind.size > _MAX_SIZE):
            raise Reject(
                f"The function {name} arg{i} type {place.btf.c_name(param.type)} is unsupported.",
                insn=0,
            )


def _returns(place: Place, kind: AttachType) -> tuple[int, int] | None:
    """bpf_lsm_get_retval_range; hooks that return nothing take anything."""
    if kind not in _HOOKS:
        return None
    void = not place.btf.resolve(place.proto.ret)
    if kind is AttachType.LSM_CGROUP:
        return (1, 1) if void else (0, 1)
    if void:
        return None
    return (0, 1) if place.target.shown in targets.BOOL_HOOKS else (-_MAX_ERRNO, 0)


def _arguments(kernel: KernelTypes, place: Place, kind: AttachType) -> list[Argument]:
    params = place.params
    found: list[Argument] = []
    at = 0
    for i, param in enumerate(params):
        end = at + width_of(place.btf, param.type)
        flags, or_null, scalar = _standing(place, kind, i, param.name)
        given = targets.ITERATORS.get(place.target.shown, {}).get(param.name)
        if kind is AttachType.TRACE_ITER and given is not None:
            argument = _given(kernel, place, param.type, given, at)
        else:
            argument = argument_of(kernel, place.btf, param.type, i, at, end, flags, or_null)
            if scalar and argument.what is not None:
                argument = argument._replace(what=None, or_null=False)
        found.append(argument)
        at = end
    if kind in _SEE_RESULT and place.btf.resolve(place.proto.ret):
        ret = place.proto.ret
        end = at + width_of(place.btf, ret)
        flags = TRUSTED if _trusts(place, kind) else 0
        result = argument_of(kernel, place.btf, ret, len(params), at, end, flags, False)
        # What the hook's programs before this one returned (get_func_retval_range).
        ends = _returns(place, kind) if kind is AttachType.LSM_MAC else None
        found.append(result._replace(ends=ends))
    return found


def width_of(btf: LazyBtf, type_id: int) -> int:
    """How many bytes of the context an argument takes."""
    return -(-btf.size_of(btf.resolve(type_id)) // _WORD) * _WORD


def _trusts(place: Place, kind: AttachType) -> bool:
    """prog_args_trusted"""
    if kind in _HOOKS:
        return place.target.shown not in targets.UNTRUSTED_HOOKS
    return kind in _TRUSTING


def _standing(place: Place, kind: AttachType, i: int, name: str) -> tuple[int, bool, bool]:
    """The flags of a pointer, whether it may be NULL, and whether it may be an error's number."""
    flags = TRUSTED if _trusts(place, kind) else 0
    or_null = name.endswith(_NULLABLE)
    if kind in _HOOKS:
        return flags, or_null or i + 1 in targets.NULL_IN_HOOKS.get(place.target.shown, ()), False
    if kind is not AttachType.TRACE_RAW_TP:
        return flags, or_null, False
    said = targets.TRACEPOINTS.get(place.target.shown)
    if said is None:
        # Nobody knows what a module passes.
        return flags, or_null or place.btf.is_split, False
    return flags, or_null or i + 1 in said, -(i + 1) in said


def _given(
    kernel: KernelTypes, place: Place, type_id: int, given: targets.Given, at: int
) -> Argument:
    """An iterator's own argument."""
    end = at + _WORD
    if given in _BUFFERS:
        return Argument(at, end, _BUFFERS[given], True, True)
    pointer = place.btf[place.btf.resolve(type_id)]
    assert isinstance(pointer, Ptr)
    target, _ = pointee(place.btf, pointer)
    type_ = kernel.of(place.btf, target)
    trusted = given is targets.Given.TRUSTED_OR_NULL
    object_ = KernelObject(type_, TRUSTED) if trusted else KernelObject(type_, 0, GIVEN)
    return Argument(at, end, object_, True, True)


def argument_of(
    kernel: KernelTypes, btf: LazyBtf, type_id: int, i: int, start: int, end: int, flags: int,
    or_null: bool,
) -> Argument:  # fmt: skip
    """What argument `i`, which is of that type, is at these bytes of the context."""
    kind = btf[btf.resolve(type_id)]
    if isinstance(kind, Int) and kind.size <= _WORD:
        return Argument(start, end)
    if isinstance(kind, BtfEnum | Enum64 | Struct | Union):
        return Argument(start, end)
    if not isinstance(kind, Ptr):
        wrong = (
            f"arg{i} '{name_of(kind)}' has type {btf.c_name(type_id)}. Only pointer access is "
            "allowed"
        )
        return Argument(start, end, wrong=wrong)
    target, tag = pointee(btf, kind)
    pointed = btf[target]
    if not target or isinstance(pointed, Int):
        return Argument(start, end, whole=True)
    if not isinstance(pointed, Struct | Union):
        return Argument(
            start, end, whole=True, wrong=f"arg{i} type {btf.c_name(target)} is not a struct"
        )
    object_ = KernelObject(kernel.of(btf, target), flags | _TAGS.get(tag, 0))
    return Argument(start, end, object_, or_null, True)


def no_types() -> NotKnown:
    """The error of a program that needs the types of a kernel, where there are none."""
    return NotKnown(
        "the program needs the types of a kernel, and there are none",
        "the kernel's BTF",
        insn=0,
        hint="give a kernel's BTF with --kernel-btf FILE, or as kernel-btf in [tool.bpfheap] of "
        "pyproject.toml",
    )
