"""Kfuncs that are judged by their prototype in the kernel's BTF, and by how Linux registers them.

Sources: check_kfunc_call, check_kfunc_args, get_kfunc_ptr_arg_type, process_kf_arg_ptr_to_btf_id,
check_mem_reg and check_func_arg_reg_off in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from bpfheap.btf import Array, BtfTypes, Enum, Enum64, Int, LazyBtf, Struct, Union, Void
from bpfheap.btf.types import name_of
from bpfheap.errors import BtfError
from bpfheap.platform.calls import Call
from bpfheap.platform.kfuncs import KfuncFlag
from bpfheap.platform.programs import FULL_SOCK, SOCK_COMMON, TCP_SOCK, Offer, SocketType
from bpfheap.verifier import hints
from bpfheap.verifier.calls import dynptrs, iterators, strings
from bpfheap.verifier.calls.meta import Meta, check_there, expected, length
from bpfheap.verifier.calls.objects import TAKEN, check_place
from bpfheap.verifier.domain.scalar import ends
from bpfheap.verifier.memory.access import helper_access
from bpfheap.verifier.memory.kinds import OBLIGATIONS
from bpfheap.verifier.memory.ownership import acquire_reference
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.reject import NotKnown, Reject
from bpfheap.verifier.state.kernel import KernelType, Parameter, Prototype, kind_name
from bpfheap.verifier.state.state import (
    BORROWED,
    CTX,
    DISTRUSTED,
    IN_RCU,
    KERNEL,
    MAP,
    MAP_KEY,
    MAP_VALUE,
    MEM,
    NOTHING,
    OBJECT,
    OWNED,
    PACKET,
    PACKET_META,
    READ,
    SCALAR,
    SOCKET,
    STACK,
    TRUSTED,
    UNINIT,
    UNKNOWN,
    ZERO_OFFSET,
    Buffer,
    Iterating,
    KernelObject,
    Mem,
    Reg,
    State,
    is_null,
    is_trusted,
    type_name,
)

_F = KfuncFlag

#: What programs see of a context, and what the kernel has there (btf_is_projection_of).
_PROJECTIONS: Final = frozenset({("__sk_buff", "sk_buff"), ("xdp_md", "xdp_buff")})
#: Kernel structs that are arguments in their own right, by what they belong to.
_APART: Final = {
    "bpf_list_head": "lists", "bpf_list_node": "lists",
    "bpf_rb_root": "trees", "bpf_rb_node": "trees",
    "bpf_task_work": "task work",
}  # fmt: skip
_DYNPTR: Final = "bpf_dynptr"
#: How deep a struct of numbers may be (__btf_type_is_scalar_struct).
_NESTED: Final = 3
#: Names of types that are one type in C and two to the verifier (btf_type_ids_nocast_alias).
_ALIAS: Final = "___init"
#: sizeof(u64)
_WORD: Final = 8


def check_call(env: Env, call: Call) -> None:
    """What does not depend on arguments, and before which nothing is looked at. Raises Reject."""
    row = env.kfunc(call.name)
    if env.prototype(call.name) is None:
        raise NotKnown(f"the kernel has no kfunc {call.name}", call.name)
    member = "" if env.spec.member is None else env.spec.member.name
    if not row.has(env.type, member):
        raise Reject(
            f"calling kernel function {call.name} is not allowed",
            hint=f"{env.spec.member or env.type.name} programs cannot call it",
        )
    if _F.UNREACHABLE in row.flags:
        raise Reject(
            f"unexpected {call.name}() due to uninitialized variable?",
            hint="give the variable a value on every path, and return one",
        )


def check_arguments(env: Env, st: State, meta: Meta) -> None:
    """check_kfunc_args. Raises Reject."""
    name, flags = meta.call.name, env.kfunc(meta.call.name).flags
    found = env.prototype(name)
    assert found is not None
    meta.result = partial(_result, found, flags)
    parameters = found.parameters
    if len(parameters) > len(meta.args):
        raise Reject(
            f"Function {name} has {len(parameters)} > {len(meta.args)} args",
            hint="Linux gives no program more registers than that",
        )
    n = 0
    while n < len(parameters):
        n += 1
        parameter = parameters[n - 1]
        if parameter.name.endswith(("__ign", "__prog")):
            continue
        if not parameter.pointer:
            _scalar(env, st, n, parameter, found, meta)
            continue
        following = parameters[n] if n < len(parameters) else None
        if following is not None and _is_size(found.btf, following, st.regs[n + 1]):
            n += _pointer(env, st, n, parameter, following, found, meta)
        else:
            _pointer(env, st, n, parameter, None, found, meta)
    if _F.RELEASE in flags and not meta.given_register:
        raise Reject(
            f"release kernel function {name} expects refcounted PTR_TO_BTF_ID",
            register=1,
            hint="release what was acquired, and nothing else",
        )
    if _F.RCU_PROTECTED in flags and not env.in_section(st):
        raise Reject(
            f"kernel func {name} requires RCU critical section protection",
            hint="call it between bpf_rcu_read_lock() and bpf_rcu_read_unlock()",
        )


def _is_number(btf: BtfTypes, type_id: int) -> bool:
    """btf_type_is_scalar"""
    return isinstance(btf[type_id], Int | Enum | Enum64)


def _is_size(btf: BtfTypes, parameter: Parameter, reg: Reg) -> bool:
    """is_kfunc_arg_mem_size, is_kfunc_arg_const_mem_size"""
    return parameter.is_size and _is_number(btf, parameter.type) and reg.kind == SCALAR


def _scalar(
    env: Env, st: State, n: int, parameter: Parameter, found: Prototype, meta: Meta
) -> None:
    kind = found.btf[parameter.type]
    if not _is_number(found.btf, parameter.type):
        raise Reject(f"Unrecognized arg#{n - 1} type {kind_name(kind)}", register=n)
    reg = st.regs[n]
    if reg.kind != SCALAR:
        raise Reject(f"R{n} is not a scalar", register=n, hint="pass a number")
    if parameter.name.endswith("__k"):
        _constant(env, st, n, reg, f"R{n} must be a known constant")
        meta.size = reg.scalar.const_value
    elif parameter.name in ("rdonly_buf_size", "rdwr_buf_size"):
        _constant(env, st, n, reg, f"R{n} is not a const")
        meta.size = reg.scalar.const_value
    if n == env.kfunc(meta.call.name).cpu:
        _cpu(env, st, n, reg)


def _cpu(env: Env, st: State, n: int, reg: Reg) -> None:
    """The number of a CPU that there can be; Linux takes any number."""
    scalar, last = reg.scalar, env.options.cpus - 1
    if scalar.u32_max > last:
        raise Reject(
            f"R{n} has {ends(scalar.s32_min, scalar.s32_max)} should have been in [0, {last}]",
            detail="it is the number of a CPU, and the function does not look whether there is one",
            register=n,
            hint="pass what bpf_get_smp_processor_id() gives",
        )
    mark_register(env.cfg, st, n)


def _constant(env: Env, st: State, n: int, reg: Reg, message: str) -> None:
    if not reg.scalar.is_const:
        raise Reject(message, register=n, hint="pass a constant")
    mark_register(env.cfg, st, n)


def _shown(btf: LazyBtf, type_id: int) -> str:
    kind = btf[type_id]
    return f"{kind_name(kind)} {name_of(kind)}"


def _pointer(
    env: Env, st: State, n: int, parameter: Parameter, size: Parameter | None, found: Prototype,
    meta: Meta,
) -> int:  # fmt: skip
    """One that is no number. Gives 1 if its size was checked with it, else 0. Raises Reject."""
    call, reg, btf = meta.call, st.regs[n], found.btf
    flags = env.kfunc(call.name).flags
    trusted = bool(flags & (_F.TRUSTED_ARGS | _F.RELEASE))
    nullable = parameter.name.endswith("__nullable")
    if (
        (trusted or _F.RCU in flags)
        and not nullable
        and (is_null(reg) or (reg.kind != SCALAR and reg.or_null))
    ):
        raise Reject(
            f"Possibly NULL pointer passed to trusted arg{n - 1}",
            register=n,
            hint=hints.CHECK_NULL,
        )
    if reg.ref and _F.RELEASE in flags:
        meta.given, meta.given_register = reg, n
    if reg.ref:
        meta.referenced = n
        if call.name in env.taken:
            raise NotKnown(
                f"bpfheap does not know kfunc {call.name}",
                call.name,
                register=n,
                hint="it may release what it is given, which its prototype does not tell",
            )
    target = btf[parameter.target]
    name = name_of(target)
    if _F.GIVES_CONTEXT in flags or (isinstance(target, Struct) and name in env.type.ctx_names):
        _place(n, reg, meta)
        _context(n, reg)
        return 0
    if nullable and is_null(reg) and size is None:
        # The program goes on otherwise with another pointer.
        mark_register(env.cfg, st, n)
        return 0
    if isinstance(target, Struct) and name == _DYNPTR:
        row, new = env.kfunc(call.name), parameter.name.endswith("__uninit")
        dynptrs.argument(env, st, n, reg, meta, row, new=new)
        return 0
    if isinstance(target, Struct) and name in _APART:
        raise NotKnown(
            f"bpfheap does not know kfunc {call.name}",
            call.name,
            hint=f"{_APART[name]} are not there yet",
        )
    if n == 1 and flags & (_F.ITER_NEW | _F.ITER_NEXT | _F.ITER_DESTROY):
        _iterator(env, st, n, reg, parameter, found, meta)
        return 0
    if parameter.name.endswith("__str"):
        if reg.kind != MAP_VALUE:
            raise Reject(
                f"arg#{n - 1} doesn't point to a const string",
                register=n,
                hint='pass "..." or another constant',
            )
        strings.constant(env, st, n, reg, meta)
        return 0
    if parameter.name.endswith("__map"):
        if reg.kind not in (KERNEL, MAP):
            raise Reject(
                f"pointer in R{n} isn't map pointer",
                register=n,
                hint="pass the address of a map",
            )
        struct = env.struct(_MAP_STRUCT, call.name)
        of_map = parameter._replace(target=struct.type_id)
        _object(env, n, reg, of_map, found, meta, trusted=trusted)
        return 0
    if parameter.name.endswith(("__irq_flag", "__alloc", "__refcounted_kptr", "__iter")):
        raise NotKnown(f"bpfheap does not know kfunc {call.name}", call.name)
    if reg.kind in (KERNEL, OBJECT, MAP) or (reg.kind == SOCKET and reg.what in _SOCKETS):
        if not isinstance(target, Struct | Union):
            raise Reject(
                f"kernel function {call.name} args#{n - 1} pointer type "
                f"{_shown(btf, parameter.target)} is not supported",
                register=n,
                hint="pass the address of a variable or of a map value",
            )
        _object(env, n, reg, parameter, found, meta, trusted=trusted)
        return 0
    void = isinstance(target, Void)
    if (
        not _is_number(btf, parameter.target)
        and not _of_numbers(btf, parameter.target, 0)
        and not (void and size is not None)
    ):
        raise Reject(
            f"arg#{n - 1} pointer type {_shown(btf, parameter.target)} must point to "
            f"{'void, ' if size is not None else ''}scalar, or struct with scalar",
            register=n,
            hint=f"pass a pointer to a {btf.c_name(parameter.target)} of the kernel",
        )
    _place(n, reg, meta)
    if size is None:
        _fixed(env, st, n, reg, parameter, found, meta)
        acquired = _F.ACQUIRE in flags and parameter.target == found.returns.target
        if acquired or (_F.RELEASE in flags and reg.ref):
            # To Linux a struct of numbers is memory, too.
            raise expected(
                n, reg, "trusted_ptr_",
                f"{call.name} counts owners: pass a {btf.c_name(parameter.target)} of the kernel",
            )  # fmt: skip
        return 0
    _sized(env, st, n, reg, parameter, size, meta)
    return 1


def _of_numbers(btf: BtfTypes, type_id: int, depth: int) -> bool:
    """__btf_type_is_scalar_struct"""
    kind = btf[type_id]
    if not isinstance(kind, Struct | Union):
        return False
    for member in kind.members:
        inner = btf.resolve(member.type)
        array = btf[inner]
        if isinstance(array, Struct | Union):
            if depth >= _NESTED or not _of_numbers(btf, inner, depth + 1):
                return False
            continue
        if isinstance(array, Array):
            if not array.count:
                return False
            inner = btf.resolve(array.type)
        if not _is_number(btf, inner):
            return False
    return True


#: What may point anywhere in its memory; and what is no pointer.
_ANYWHERE: Final = frozenset({
    STACK, PACKET, PACKET_META, MAP_KEY, MAP_VALUE, MEM, SCALAR, UNINIT,
})  # fmt: skip


def _opaque(reg: Reg) -> bool:
    """Is it memory that is no memory to check_func_arg_reg_off?"""
    return bool(reg.what.anywhere or reg.what.buffer is Buffer.TRACEPOINT)


def _place(n: int, reg: Reg, meta: Meta) -> None:
    """Where in its memory it may point (check_func_arg_reg_off). Raises Reject."""
    kind = reg.kind
    if meta.given_register == n:
        if reg.off:
            raise Reject(
                f"R{n} must have zero offset when passed to release func or trusted arg to kfunc",
                register=n,
                hint=hints.MAIN_POINTER,
            )
        check_place(n, reg, fixed=False)
        return
    if kind in _ANYWHERE and not (kind == MEM and _opaque(reg)):
        return
    fixed = (kind == KERNEL and reg.what.flags in TAKEN) or (
        kind == OBJECT and reg.what.standing in (OWNED, BORROWED, READ)
    )
    check_place(n, reg, fixed=fixed)


def _context(n: int, reg: Reg) -> None:
    if reg.kind != CTX:
        raise Reject(
            f"arg#{n - 1} expected pointer to ctx, but got {type_name(reg)}",
            register=n,
            hint="pass the program's own context, unchanged",
        )


#: reg2btf_ids: sockets that are objects of these structs to kfuncs.
_SOCKETS: Final[dict[SocketType, str]] = {
    FULL_SOCK: "sock",
    SOCK_COMMON: "sock_common",
    TCP_SOCK: "tcp_sock",
}
_MAP_STRUCT: Final = "bpf_map"


def _is_trusted(reg: Reg) -> bool:
    """is_trusted_reg"""
    if reg.kind == KERNEL:
        return is_trusted(reg)
    if reg.ref:
        return True
    if reg.or_null:
        return False
    if reg.kind == OBJECT:
        return reg.what.standing in (OWNED, BORROWED) and not reg.what.per_cpu
    return True


def _is_protected(reg: Reg) -> bool:
    """is_rcu_reg"""
    if reg.kind == KERNEL:
        return bool(reg.what.flags & IN_RCU)
    return bool(reg.kind == OBJECT and reg.what.standing == READ)


def _unsafe(reg: Reg) -> bool:
    """bpf_type_has_unsafe_modifiers"""
    if reg.or_null:
        return True
    if reg.kind == KERNEL:
        return bool(reg.what.flags & ~TRUSTED)
    return bool(reg.what.standing not in (OWNED, BORROWED) or reg.what.per_cpu)


def _object(
    env: Env, n: int, reg: Reg, parameter: Parameter, found: Prototype, meta: Meta, *,
    trusted: bool,
) -> None:  # fmt: skip
    """An object of the kernel. Raises Reject."""
    rcu = _F.RCU in env.kfunc(meta.call.name).flags
    if (trusted or rcu) and not _is_trusted(reg):
        if not rcu:
            raise Reject(f"R{n} must be referenced or trusted", register=n, hint=hints.VALID)
        if not _is_protected(reg):
            raise Reject(f"R{n} must be a rcu pointer", register=n, hint=hints.VALID)
    _place(n, reg, meta)
    if reg.kind in (KERNEL, OBJECT) and _unsafe(reg) and not _is_protected(reg):
        wanted = "trusted_ptr_" if reg.kind == KERNEL and reg.what.flags & TRUSTED else "ptr_"
        raise Reject(
            f"arg#{n - 1} is {type_name(reg)} expected {wanted} or socket",
            register=n,
            hint=hints.CHECK_NULL if reg.or_null else hints.VALID,
        )
    if _F.CHANGES_MASK in env.kfunc(meta.call.name).flags and n == 1 and not _is_own_mask(reg):
        raise expected(
            n, reg, "trusted_ptr_bpf_cpumask",
            f"{meta.call.name} changes the mask: copy it to one of bpf_cpumask_create() first",
        )  # fmt: skip
    wanted_type = env.kernel_type(found.btf, parameter.target)
    shown, matches = _matches(env, reg, wanted_type, meta)
    if not matches:
        raise Reject(
            f"kernel function {meta.call.name} args#{n - 1} expected pointer to "
            f"{_shown(found.btf, parameter.target)} but R{n} has a pointer to {shown}",
            register=n,
            hint=f"{meta.call.name} takes a pointer to a {wanted_type} of the kernel",
        )
    if not (trusted or rcu):
        check_there(n, reg, meta)


def _is_own_mask(reg: Reg) -> bool:
    """Linux asks for a struct cpumask, which those of tasks are, too."""
    return reg.kind == KERNEL and reg.what.type.name == "bpf_cpumask"


def _matches(env: Env, reg: Reg, wanted: KernelType, meta: Meta) -> tuple[str, bool]:
    """The struct that it is, for people, and whether that is right
    (process_kf_arg_ptr_to_btf_id)."""
    if reg.kind == OBJECT:
        # Of the program's own types, whatever they are called.
        return f"STRUCT {reg.what.layout.name}", False
    if reg.kind == KERNEL:
        given: KernelType = reg.what.type
    else:
        name = _MAP_STRUCT if reg.kind == MAP else _SOCKETS[reg.what]
        given = env.struct(name, meta.call.name)
    released = _F.RELEASE in env.kfunc(meta.call.name).flags and reg.ref
    alias = given.name != wanted.name and given.name.removesuffix(
        _ALIAS
    ) == wanted.name.removesuffix(_ALIAS)
    if (wanted.name, given.name) in _PROJECTIONS:
        return "", True
    strict = bool(released) or alias
    same = given is wanted and not reg.off if strict else given.holds(reg.off, wanted)
    return _shown(given.btf, given.type_id), same


def _fixed(
    env: Env, st: State, n: int, reg: Reg, parameter: Parameter, found: Prototype, meta: Meta
) -> None:
    """Memory as large as what the parameter points at (check_mem_reg)."""
    if not parameter.name.endswith("__nullable"):
        check_there(n, reg, meta)
    if is_null(reg):
        mark_register(env.cfg, st, n)
        return
    try:
        size = found.btf.size_of(parameter.target)
    except BtfError:
        shown = _shown(found.btf, parameter.target)
        raise Reject(
            f"arg#{n - 1} reference type('{shown}') size cannot be determined: -22", register=n
        ) from None
    _access(env, st, n, reg, size)


def _sized(
    env: Env, st: State, n: int, reg: Reg, parameter: Parameter, size: Parameter, meta: Meta
) -> None:
    """Memory as long as the next argument says (check_kfunc_mem_size_reg)."""
    bytes_ = st.regs[n + 1]
    if not is_null(reg) or not parameter.name.endswith("__opt"):
        try:
            most = length(n + 1, bytes_, zero_allowed=True)
            if most == 0 and is_null(reg):
                mark_register(env.cfg, st, n)
            else:
                which, least = env.kfunc(meta.call.name).touched
                _access(env, st, n, reg, max(most, least) if n == which else most)
        except Reject as why:
            # Linux goes on with a line of its own.
            pair = f"arg#{n - 1} arg#{n} memory, len pair leads to invalid memory access"
            detail = f"{why.message}: {why.detail}" if why.detail else why.message
            raise Reject(pair, detail=detail, register=why.register, hint=why.hint) from None
        mark_register(env.cfg, st, n + 1)
        if most and not parameter.name.endswith(("__nullable", "__opt")):
            check_there(n, reg, meta)
    else:
        mark_register(env.cfg, st, n)
    if size.name.endswith("__szk"):
        _constant(env, st, n + 1, bytes_, f"R{n + 1} must be a known constant")
        meta.size = bytes_.scalar.const_value


def _access(env: Env, st: State, n: int, reg: Reg, size: int) -> None:
    """Read and write (check_helper_mem_access). Whether it may be NULL is asked apart."""
    if reg.kind == CTX and size and env.type.raw_ctx is not None and not reg.or_null:
        # What no context access is rewritten for is memory.
        OBLIGATIONS[CTX].load(env, st, n, reg, size - 1, 1, False)
        OBLIGATIONS[CTX].store(env, st, n, reg, size - 1, 1, UNKNOWN)
        return
    memory = OBLIGATIONS.get(reg.kind)
    if memory is None or not memory.for_helpers:
        raise Reject(
            f"R{n} type={type_name(reg)} expected=fp",
            register=n,
            hint="pass the address of a variable or of a map value",
        )
    there = reg.non_null() if reg.or_null else reg
    helper_access(env, st, n, there, size, False)
    helper_access(env, st, n, there, size, True)


def _iterator(
    env: Env, st: State, n: int, reg: Reg, parameter: Parameter, found: Prototype, meta: Meta
) -> None:
    """process_iter_arg"""
    flags, btf = env.kfunc(meta.call.name).flags, found.btf
    if _F.TASKS_OF_CGROUP in flags and not (
        st.sleeps or env.type.has(Offer.LSM | Offer.LSM_CGROUP | Offer.ITER)
    ):
        raise Reject(
            "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs",
            hint="walk all tasks with bpf_iter_task_new(), and look at their cgroups",
        )
    name = name_of(btf[parameter.target]).removeprefix("bpf_iter_")
    meta.slots = btf.size_of(parameter.target) // _WORD
    standing = IN_RCU if _F.RCU_PROTECTED in flags else 0
    meta.iterates = Iterating(name, standing=standing)
    if _F.ITER_NEW in flags:
        iterators.fresh(env, st, n, reg, meta)
        return
    iterators.begun(env, st, n, reg, meta)
    if _F.ITER_NEXT in flags:
        assert meta.iterator is not None
        frame, at = meta.iterator
        iterator = frame.stack[at].reg
        assert iterator is not None
        valid = IN_RCU if iterator.what.standing == IN_RCU else TRUSTED
        meta.element = _leads(env, found, meta, valid, iterator.ref)


def result(env: Env, st: State, meta: Meta) -> Reg:
    """r0, as the kernel's BTF says."""
    assert meta.result is not None
    return meta.result(env, st, meta)


def _result(found: Prototype, flags: KfuncFlag, env: Env, st: State, meta: Meta) -> Reg:
    returns = found.returns
    if not returns.pointer:
        return UNKNOWN if returns.type else NOTHING
    special = next((make for flag, make in _SPECIAL.items() if flag in flags), None)
    if special is not None:
        made = special(env, st, meta, found)
    else:
        # What is referenced is trusted for that (is_trusted_reg).
        valid = DISTRUSTED if _F.UNTRUSTED in flags else 0
        # Before the call, which may have released it.
        ref = st.regs[meta.referenced].ref if meta.referenced else 0
        made = _leads(env, found, meta, valid, ref)
    or_null = _F.RET_NULL in flags
    id_, ref = env.new_id() if or_null else 0, made.ref
    if _F.ACQUIRE in flags:
        ref = acquire_reference(env, st, made.what, meta.slot)
        id_ = ref if or_null else 0
    return Reg(made.kind, made.scalar, made.off, id_, ref, made.what, or_null)


def _leads(env: Env, found: Prototype, meta: Meta, valid: int, ref: int) -> Reg:
    """What the result leads to. Raises Reject for what leads nowhere."""
    btf, target = found.btf, found.returns.target
    kind = btf[target]
    if isinstance(kind, Void):
        return UNKNOWN
    if isinstance(kind, Struct | Union):
        owner = ref if valid == TRUSTED else 0
        object_ = KernelObject(env.kernel_type(btf, target), valid, owner)
        return Reg(KERNEL, ZERO_OFFSET, what=object_)
    try:
        size = btf.size_of(target)
    except BtfError:
        raise Reject(
            f"kernel function {meta.call.name} returns pointer type {_shown(btf, target)} is not "
            "supported"
        ) from None
    return Reg(MEM, ZERO_OFFSET, ref=ref, what=Mem(size, readonly=True))


def _kernel_context(env: Env, st: State, meta: Meta, found: Prototype) -> Reg:
    """The context as the kernel has it (get_kern_ctx_btf_id)."""
    return Reg(KERNEL, ZERO_OFFSET, what=KernelObject(env.kernel_context(), TRUSTED))


def _slice(env: Env, st: State, meta: Meta, found: Prototype) -> Reg:
    return dynptrs.sliced(env, st, meta, env.kfunc(meta.call.name))


def _of_type(env: Env, st: State, meta: Meta, found: Prototype) -> Reg:
    """What bpf_rdonly_cast is told that it is (check_special_kfunc)."""
    # A number of 64 bits, with a sign in the log.
    type_id, btf = (meta.size + 2**63) % 2**64 - 2**63, found.btf
    if not type_id:
        return Reg(MEM, ZERO_OFFSET, what=Mem(0, readonly=True, anywhere=True))
    if not 0 < type_id < len(btf):
        raise Reject(
            f"Unknown type ID {type_id} passed to kfunc {meta.call.name}",
            register=2,
            hint="write bpf_core_type_id_kernel(struct ...) in the call",
        )
    if not isinstance(btf[type_id], Struct | Union):
        raise Reject(
            f"kfunc {meta.call.name} type ID argument must be of a struct or void",
            register=2,
            hint="write bpf_core_type_id_kernel(struct ...) in the call",
        )
    type_ = env.kernel_type(btf, type_id)
    return Reg(KERNEL, ZERO_OFFSET, what=KernelObject(type_, DISTRUSTED))


#: check_special_kfunc
_SPECIAL: dict[KfuncFlag, Callable[[Env, State, Meta, Prototype], Reg]] = {
    _F.READS_SLICE: _slice,
    _F.WRITES_SLICE: _slice,
    _F.GIVES_CONTEXT: _kernel_context,
    _F.GIVES_TYPE: _of_type,
}
