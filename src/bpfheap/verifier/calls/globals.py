"""Global functions: each is walked once, for any arguments of its declared types, and its callers
rely on no more than that.

Sources: btf_check_func_arg_match, check_func_call and do_check_subprogs in kernel/bpf/verifier.c of
Linux 6.18.
"""

from __future__ import annotations

from bpfheap.platform.dynptrs import DynptrKind
from bpfheap.verifier import hints
from bpfheap.verifier.analysis.signature import Parameter, Passing
from bpfheap.verifier.calls import dynptrs
from bpfheap.verifier.calls.callback import check_tail_call
from bpfheap.verifier.calls.exceptions import check_callback, check_nothing_left
from bpfheap.verifier.calls.locks import check_global
from bpfheap.verifier.calls.meta import expected
from bpfheap.verifier.calls.objects import check_struct, check_taken
from bpfheap.verifier.facts import Foreign
from bpfheap.verifier.memory.access import ANYWHERE, helper_access
from bpfheap.verifier.memory.kinds import OBLIGATIONS
from bpfheap.verifier.memory.obligations import MEM_TYPES
from bpfheap.verifier.memory.packet import forget_packet, in_packet, is_slice
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.reject import NotKnown, Reject
from bpfheap.verifier.state.state import (
    ARENA,
    CTX,
    DISTRUSTED,
    DYNPTR,
    IN_RCU,
    KERNEL,
    MEM,
    NOTHING,
    OBJECT,
    SCALAR,
    TRUSTED,
    UNINIT,
    UNKNOWN,
    ZERO_OFFSET,
    Dynptr,
    KernelObject,
    Mem,
    Reg,
    State,
    is_null,
    is_walked,
    type_name,
)


def arguments(env: Env, number: int) -> list[Reg]:
    """r0 to r5 when a global function begins: anything of the declared types, no better than what
    the calls met so far give."""
    regs = [NOTHING]
    declared = env.parameters(number)
    if number == env.cfg.exception_cb:
        check_callback(env.cfg.subprogs[number].start, declared)
    for n, parameter in enumerate(declared, 1):
        match parameter.passing:
            case Passing.NUMBER | Passing.ARENA:
                regs.append(UNKNOWN)
            case Passing.CTX:
                regs.append(Reg(CTX, ZERO_OFFSET))
            case Passing.DYNPTR:
                given = env.lent.get((number, n), _said(parameter))
                regs.append(Reg(DYNPTR, ZERO_OFFSET, id=env.new_id(), what=given))
            case Passing.MEMORY:
                or_null = parameter.or_null
                id_ = env.new_id() if or_null else 0
                what = env.lent.get((number, n), Mem(parameter.size))
                regs.append(Reg(MEM, ZERO_OFFSET, id=id_, what=what, or_null=or_null))
            case Passing.TRUSTED | Passing.UNTRUSTED if parameter.type is not None:
                trusted = parameter.passing is Passing.TRUSTED
                said = KernelObject(parameter.type, TRUSTED if trusted else DISTRUSTED)
                of_kernel = env.lent.get((number, n), said)
                or_null = parameter.or_null
                id_ = env.new_id() if or_null else 0
                regs.append(Reg(KERNEL, ZERO_OFFSET, id=id_, what=of_kernel, or_null=or_null))
            case Passing.UNTRUSTED:
                regs.append(Reg(MEM, ZERO_OFFSET, what=ANYWHERE))
    return regs + [NOTHING] * (6 - len(regs))


def call_global(env: Env, st: State, number: int, slot: int) -> None:
    """A call of subprogram `number`, which is global. Raises Reject for arguments that it does
    not declare."""
    sub = env.cfg.subprogs[number]
    check_global(env, st, number, sub.name)
    try:
        for n, parameter in enumerate(env.parameters(number), 1):
            _check(env, st, n, parameter)
            if parameter.passing in _LENT:
                _lend(env, st, number, n, parameter)
            if parameter.passing in _FOREIGN:
                env.foreign[slot] = Foreign(f"what argument {n} of {sub.name}() leads to")
    except NotKnown:
        raise
    except Reject as wrong:
        raise Reject(
            f"Caller passes invalid args into func#{number} ('{sub.name}')",
            before="\n".join(line for line in (wrong.before, wrong.message) if line),
            detail=f"{wrong.message}: {wrong.detail}" if wrong.detail else wrong.message,
            register=wrong.register,
            hint=wrong.hint,
        ) from None
    if env.tail_calls(number):
        check_tail_call(st)
    if env.throws(number):
        check_nothing_left(env, st)
    env.called.setdefault(number)
    if env.changes_packet(number) or env.writes_dynptr(number):
        forget_packet(st, slot, f"{sub.name}()")
    st.regs[0:6] = [UNKNOWN, *[NOTHING] * 5]


#: What a call may give less of than the parameter says.
_LENT = frozenset({Passing.MEMORY, Passing.TRUSTED, Passing.DYNPTR})
#: What a function reads through them may be the kernel's, or not be there at all.
_FOREIGN = frozenset({Passing.TRUSTED, Passing.UNTRUSTED})


def _check(env: Env, st: State, n: int, parameter: Parameter) -> None:
    reg = st.regs[n]
    if parameter.passing is Passing.UNTRUSTED:
        return
    if parameter.passing is Passing.ARENA:
        if reg.kind not in (ARENA, SCALAR):
            raise Reject(
                f"R{n} is not a pointer to arena or scalar.",
                register=n,
                hint="pass an address in the arena, or a number",
            )
        return
    if reg.kind == UNINIT:
        raise Reject(
            f"R{n} is not a scalar" if parameter.passing is Passing.NUMBER else f"R{n} !read_ok",
            detail="nothing was written to it",
            register=n,
            hint=hints.INIT,
        )
    match parameter.passing:
        case Passing.NUMBER:
            if reg.kind != SCALAR:
                raise Reject(f"R{n} is not a scalar", register=n, hint="pass a number")
        case Passing.CTX:
            if reg.kind != CTX or reg.off or not reg.scalar.is_const or reg.scalar.v:
                raise Reject(
                    f"R{n} expected pointer to ctx", register=n, hint="pass the program's context"
                )
        case Passing.TRUSTED:
            _check_trusted(env, st, n, reg, parameter)
        case Passing.DYNPTR:
            dynptrs.check_either(n, reg)
            dynptrs.initialized(env, st, n, reg)
        case Passing.MEMORY:
            if is_null(reg):
                mark_register(env.cfg, st, n)
                if parameter.or_null:
                    return
                raise Reject(
                    f"arg#{n - 1} is expected to be non-NULL",
                    register=n,
                    hint="the function's parameter is tagged __arg_nonnull: pass an address",
                )
            if not OBLIGATIONS[reg.kind].for_helpers and reg.kind != OBJECT:
                raise Reject(f"R{n} type={type_name(reg)} expected={MEM_TYPES}", register=n)
            helper_access(env, st, n, reg, parameter.size, False)
            if reg.kind != MEM or not reg.what.unwritable:
                helper_access(env, st, n, reg, parameter.size, True)
            if reg.or_null and not parameter.or_null:
                raise Reject(
                    f"arg#{n - 1} is expected to be non-NULL", register=n, hint=hints.CHECK_NULL
                )


def _lend(env: Env, st: State, number: int, n: int, parameter: Parameter) -> None:
    """Linux takes what a global function is given for as good as the parameter says: memory for its
    own, which it may write, no call moves and is aligned, and objects for ones with an owner. Here
    it is walked for the least that a call gives, once more if need be."""
    reg = st.regs[n]
    found: Mem | KernelObject | Dynptr
    known = found = env.lent.get((number, n), _said(parameter))
    if isinstance(known, Dynptr):
        # To Linux it leads to a value of a map.
        moves = dynptrs.initialized(env, st, n, reg).what.moves
        found = known._replace(moves=known.moves or moves)
    elif parameter.type is not None:
        # What an RCU section keeps may have no owner any more.
        if reg.kind == KERNEL and reg.what.flags & IN_RCU and not reg.ref:
            found = KernelObject(parameter.type, IN_RCU)
    elif isinstance(known, Mem):
        packet = in_packet(reg)
        unwritable = reg.kind == KERNEL or (packet and not env.type.writes_packet)
        unwritable = unwritable or (reg.kind == MEM and reg.what.unwritable)
        found = known._replace(
            packet=known.packet or packet,
            unwritable=known.unwritable or unwritable,
            moves=known.moves or is_slice(reg),
            align=min(known.align, _alignment(reg)),
        )
    if found != known:
        env.lent[number, n] = found
        env.walked.discard(number)


def _said(parameter: Parameter) -> Mem | Dynptr:
    """What the function may take for granted, as long as no call gives less."""
    if parameter.passing is Passing.DYNPTR:
        return Dynptr(DynptrKind.LOCAL)
    return Mem(parameter.size)


def _alignment(reg: Reg) -> int:
    """What the address is a multiple of, at most 8, in bytes."""
    if in_packet(reg) or is_slice(reg):
        return 1
    most: int = reg.what.align if reg.kind == MEM else 8
    odd = (reg.off + reg.scalar.v) | reg.scalar.m | most
    return odd & -odd


def _check_trusted(env: Env, st: State, n: int, reg: Reg, parameter: Parameter) -> None:
    """check_reg_type and check_func_arg_reg_off, of ARG_PTR_TO_BTF_ID | PTR_TRUSTED"""
    wanted = parameter.type
    assert wanted is not None
    if is_null(reg) and parameter.or_null:
        mark_register(env.cfg, st, n)
        return
    hint = f"pass a pointer to {wanted} of the kernel"
    check_taken(n, reg, hint, or_null=parameter.or_null)
    check_struct(n, reg, wanted, hint)
    if is_walked(reg):
        # Linux takes it. The function then reads it as what is surely there.
        raise expected(
            n, reg, "trusted_ptr_, rcu_ptr_",
            "what was found by walking from one struct to the next may not be there: tag the "
            "parameter __arg_untrusted",
        )  # fmt: skip
