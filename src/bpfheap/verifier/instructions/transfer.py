"""What each kind of instruction does to a state: one function per Kind of isa/ops.py.

A function gives the slot to go on with, or END. Sources: do_check,
check_alu_op and its callees in kernel/bpf/verifier.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mypy_extensions import i64

from bpfheap.isa import Kind, Uses
from bpfheap.platform.maps import BY_NUMBER, PAGE_SIZE, Holds
from bpfheap.platform.programs import PROGRAM_TYPES
from bpfheap.spec import RefKind
from bpfheap.verifier import hints
from bpfheap.verifier.analysis.cfg import (
    ALU,
    CALL_LOCAL,
    EXIT,
    JA,
    JCOND,
    LDDW,
    LOAD,
    MOV,
    PLAIN,
    STORE_IMM,
    STORE_REG,
    Step,
    check_depth,
)
from bpfheap.verifier.calls.callback import leave_callback
from bpfheap.verifier.calls.calls import call_outside, clobbered
from bpfheap.verifier.calls.exceptions import check_result
from bpfheap.verifier.calls.globals import call_global
from bpfheap.verifier.calls.locks import check_left, check_local
from bpfheap.verifier.calls.work import check_later_result
from bpfheap.verifier.domain.arith import (
    ADD,
    AND,
    OR,
    SUB,
    alu,
    byteswap,
    cast,
    cast_half,
    load_bounds,
    negated,
    with_low_half,
)
from bpfheap.verifier.domain.scalar import Scalar, bits_text, const, same
from bpfheap.verifier.domain.word import S32_MAX, S32_MIN, U32_MAX, sext32, shl, ule, ult
from bpfheap.verifier.facts import Foreign
from bpfheap.verifier.instructions.branch import jump
from bpfheap.verifier.instructions.pointer import pointer_alu
from bpfheap.verifier.memory import access
from bpfheap.verifier.memory.kinds import obligations_of
from bpfheap.verifier.memory.obligations import check_aligned, check_unmoved, readable
from bpfheap.verifier.memory.ownership import release_reference_nomark
from bpfheap.verifier.memory.rewrites import is_probed, same_kind
from bpfheap.verifier.memory.stack import ANY_BYTES, as_zeros, fits
from bpfheap.verifier.memory.variables import variable
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.reject import NotKnown, Reject
from bpfheap.verifier.state.state import (
    ARENA,
    CTX,
    END,
    FUNC,
    KERNEL,
    MAP,
    MAP_VALUE,
    MEM,
    NULL,
    OBJECT,
    SCALAR,
    SOCKET,
    STACK,
    UNINIT,
    UNKNOWN,
    ZERO_OFFSET,
    Mem,
    Reg,
    State,
    is_null,
    linked,
    number,
    type_name,
)

#: Where loads of classic BPF have their context.
_PACKET_CTX: Final = 6

#: Accesses through these are rewritten, or merged with some that are.
_REWRITTEN: Final = frozenset({CTX, OBJECT, KERNEL, MEM, SOCKET, MAP, ARENA})

#: Atomic operations that x86 has no instruction for which gives the old value
#: (bpf_jit_supports_insn).
_LOOPS_OF_JIT: Final = frozenset({"and", "or", "xor"})
#: Kinds of pointers to what the kernel has and no machine.
_FOREIGN: Final = frozenset({KERNEL, SOCKET})

Transfer = Callable[[Env, State, Step], i64]


def _alu(env: Env, st: State, step: Step) -> i64:
    regs = st.regs
    dst = regs[step.dst]
    src = regs[step.src] if step.with_reg else step.operand
    if dst.kind == SCALAR and src.kind == SCALAR:
        step.pointers |= 4
        if (step.code == AND or step.code == OR) and src.scalar.m == 0:
            dst = _all_or_nothing(env, st, step, dst)
        value = alu(step.code, step.width, dst.scalar, src.scalar)
        if dst.id and not dst.off and (step.code == ADD or step.code == SUB):
            shifted = _plus_constant(step, value, dst, src)
            if shifted is not None:
                regs[step.dst] = shifted
                return step.next
        regs[step.dst] = Reg(SCALAR, value)
        return step.next
    if dst.kind == UNINIT:
        readable(env, st, step.dst)
    if src.kind == UNINIT:
        readable(env, st, step.src)
    if dst.kind == ARENA or src.kind == ARENA:
        # Whatever comes of it, its lower half is a place in the arena.
        regs[step.dst] = Reg(ARENA, ZERO_OFFSET)
        return step.next
    step.pointers |= (0 if dst.kind == SCALAR else 1) | (0 if src.kind == SCALAR else 2)
    if dst.kind == SCALAR:
        mark_register(env.cfg, st, step.dst)
    elif src.kind == SCALAR and step.with_reg:
        mark_register(env.cfg, st, step.src)
    regs[step.dst] = pointer_alu(env, step.name, step.width, step.dst, dst, src)
    return step.next


def _all_or_nothing(env: Env, st: State, step: Step, dst: Reg) -> Reg:
    """A mask that is -1 or 0 is walked as both, so that what it selects is known
    (maybe_fork_scalars)."""
    s = dst.scalar
    if s.smin == -1 and s.smax == 0:
        nothing, everything = ZERO_OFFSET, const(-1)
    elif s.s32_min == -1 and s.s32_max == 0:
        nothing, everything = with_low_half(s, 0), with_low_half(s, -1)
    else:
        return dst
    other = st.copy()
    other.regs[step.dst] = Reg(SCALAR, nothing)
    env.fork(other, step.slot, step.slot)
    return Reg(SCALAR, everything)


def _plus_constant(step: Step, value: Scalar, dst: Reg, src: Reg) -> Reg | None:
    """Still linked to what it was copied from, if a constant was added (BPF_ADD_CONST64 and 32)."""
    narrow = step.width == 32
    if narrow:
        if src.scalar.m & U32_MAX or not ule(dst.scalar.umax, U32_MAX):
            return None
        added = sext32(src.scalar.v)
    else:
        if src.scalar.m:
            return None
        added = src.scalar.v
    if step.code == SUB:
        added = -added
    if not S32_MIN <= added <= S32_MAX:
        return None
    # Less than 2**32 plus 0 is the same number in either width: it is a copy, no narrow sum.
    return Reg(SCALAR, value, added, dst.id, 0, None, False, narrow and added != 0)


def _neg(env: Env, st: State, step: Step) -> i64:
    dst = readable(env, st, step.dst)
    if dst.kind != SCALAR:
        # Meaningless, but a privileged program may have it.
        st.regs[step.dst] = UNKNOWN
        return step.next
    st.regs[step.dst] = number(negated(step.width, dst.scalar))
    return step.next


def _end(env: Env, st: State, step: Step) -> i64:
    dst = readable(env, st, step.dst)
    if dst.kind != SCALAR:
        st.regs[step.dst] = UNKNOWN
        return step.next
    st.regs[step.dst] = number(byteswap(step.name, step.width, dst.scalar))
    return step.next


def _mov(env: Env, st: State, step: Step) -> i64:
    regs = st.regs
    if not step.with_reg:
        regs[step.dst] = step.operand if step.width == 64 else number(const(step.imm & 0xFFFFFFFF))
        return step.next
    src = regs[step.src]
    if src.kind == UNINIT:
        readable(env, st, step.src)
    bits = step.sx or step.width
    if src.kind == SCALAR:
        if bits == 64:
            regs[step.dst] = regs[step.src] = _linkable(env, src)
            return step.next
        if not step.sx:
            value = cast(src.scalar, 32, False)
            all_of_it = same(value, src.scalar)
        else:
            value = (
                cast_half(src.scalar, bits) if step.width == 32 else cast(src.scalar, bits, True)
            )
            all_of_it = ult(src.scalar.umax, shl(1, bits - 1))
        if all_of_it:
            src = regs[step.src] = _linkable(env, src)
            regs[step.dst] = linked(value, src)
        else:
            regs[step.dst] = number(value)
    elif bits == 64:
        regs[step.dst] = src
    else:
        # Half an address: a privileged program may have it, as a number.
        regs[step.dst] = number(load_bounds(step.width if step.sx else bits, False))
    return step.next


def _cast(env: Env, st: State, step: Step) -> i64:
    """Between the addresses that user space has for an arena and those that programs access."""
    readable(env, st, step.src)
    if not env.arena:
        raise Reject(
            "addr_space_cast insn can only be used in a program that has an associated arena",
            register=step.dst,
            hint="name a map of type BPF_MAP_TYPE_ARENA in the program",
        )
    st.regs[step.dst] = Reg(ARENA, ZERO_OFFSET) if step.name == "cast_kern" else UNKNOWN
    return step.next


def _linkable(env: Env, reg: Reg) -> Reg:
    """A scalar whose copies will be known to be equal (assign_scalar_id_before_mov). One that is
    linked as a sum is so no longer."""
    if reg.off:
        reg = Reg(SCALAR, reg.scalar, 0, 0, 0, reg.what)
    if reg.id or reg.scalar.m == 0:
        return reg
    return Reg(SCALAR, reg.scalar, 0, env.new_id(), 0, reg.what)


def _ja(env: Env, st: State, step: Step) -> i64:
    return step.target


def _may_goto(env: Env, st: State, step: Step) -> i64:
    """Jumps when time is up, and goes on as long as that can make a difference."""
    iteration = st.copy()
    iteration.may_gotos += 1
    env.stored.widen(iteration, step.slot, st.parent)
    env.fork(iteration, step.next, step.slot)
    return step.target


def _exit(env: Env, st: State, step: Step) -> i64:
    if len(st.frames) > 1:
        if st.top.callback:
            return leave_callback(env, st)
        result = st.regs[0]
        if result.kind == STACK:
            raise Reject(
                "cannot return stack pointer to the caller",
                register=0,
                hint="the function's variables are gone when it returns",
            )
        left = st.pop()
        return env.cfg.at(left.callsite).next
    given = _given_back(env, st)
    if given:
        release_reference_nomark(st, st.regs[0].ref)
    check_left(env, st, "BPF_EXIT instruction in main prog")
    if st.later:
        check_later_result(env, st, 0)
        return END
    if given:
        return END
    if env.cfg.is_main(st.top.subprog):
        check_result(env, st, 0)
        return END
    result = readable(env, st, 0)
    if result.kind != SCALAR:
        # check_return_code
        raise Reject(
            f"At subprogram exit the register R0 is not a scalar value ({type_name(result)})",
            register=0,
            hint="return a number",
        )
    return END


def _given_back(env: Env, st: State) -> bool:
    """Does the program return an object of its own to the kernel, which asks for one
    (check_reference_leak, check_return_code)? Raises Reject for a part of one."""
    reg = st.regs[0]
    wanted = None if env.attached is None or st.top.subprog else env.attached.gives
    if wanted is None or reg.kind != KERNEL or not reg.ref or reg.what.type is not wanted:
        return False
    if reg.or_null:
        return True
    check_unmoved(0, reg, "return the object as it came")
    return True


#: What the address of a kfunc leads to.
_KFUNC: Final = Mem(0, readonly=True)


def _lddw(env: Env, st: State, step: Step) -> i64:
    ref = env.spec.refs.get(step.slot)
    if ref is None:
        if step.name != "lddw":
            detail = f"{step.name} {step.imm} refers to nothing"
            map_ = step.name.startswith("map")
            raise Reject(
                f"fd {step.imm} is not pointing to valid bpf_map" if map_ else detail,
                detail=detail if map_ else "",
                register=step.dst,
                hint="load programs from an object file, with relocations",
            )
        st.regs[step.dst] = step.operand
        return step.next
    match ref.kind:
        case RefKind.MAP:
            value = Reg(MAP, ZERO_OFFSET, what=env.map(ref.name))
        case RefKind.MAP_VALUE:
            target = env.map(ref.name)
            row = BY_NUMBER.get(target.spec.type)
            if row is None or not row.direct:
                raise Reject(
                    "no direct value access support for this map type",
                    detail=f"{ref.name} is a {row.c_name if row is not None else 'map'}",
                    register=step.dst,
                    hint="look the element up: bpf_map_lookup_elem(&map, &key)",
                )
            if row.holds is Holds.PAGES:
                if ref.offset > target.spec.max_entries * PAGE_SIZE:
                    raise Reject(
                        f"invalid access to map value pointer, value_size=0 off={ref.offset}",
                        detail=f"{ref.name} has {target.spec.max_entries} pages",
                        register=step.dst,
                        hint="let the arena have more pages (max_entries)",
                    )
                # An address of user space; it becomes a pointer by a cast.
                st.regs[step.dst] = UNKNOWN
                return step.next
            size = target.spec.value_size
            if target.spec.max_entries != 1:
                raise Reject(
                    f"invalid access to map value pointer, value_size={size} off={ref.offset}",
                    detail=f"{ref.name} has {target.spec.max_entries} elements",
                    register=step.dst,
                    hint="only the value of an array of one element has an address",
                )
            if not 0 <= ref.offset < size:
                raise Reject(
                    f"invalid access to map value pointer, value_size={size} off={ref.offset}",
                    detail=f"a value of {ref.name} has {size} bytes",
                    register=step.dst,
                )
            value = Reg(MAP_VALUE, ZERO_OFFSET, off=ref.offset, what=target)
        case RefKind.FUNC:
            # check_ld_imm; types of functions are all there or none.
            if any(not sub.func_id for sub in env.cfg.subprogs):
                raise Reject("missing btf func_info", register=step.dst, hint="compile with -g")
            if env.cfg.is_global(env.cfg.starts.get(ref.target, 0)):
                raise Reject(
                    "callback function not static",
                    detail=f"{ref.name}() is global",
                    register=step.dst,
                    hint="make it static",
                )
            value = Reg(FUNC, ZERO_OFFSET, what=ref.target)
        case RefKind.KFUNC_ADDR:
            # check_pseudo_btf_id: memory of no bytes.
            value = Reg(MEM, ZERO_OFFSET, what=_KFUNC)
        case RefKind.KCONFIG:
            raise NotKnown(
                f"bpfheap does not know {ref.name}, a value of the kernel's configuration",
                ref.name,
                register=step.dst,
                hint="give it with --kconfig FILE, such as /boot/config-*, or use a `const "
                "volatile` variable",
            )
        case _:
            value = variable(env, step.dst, ref.name)
    st.regs[step.dst] = value
    return step.next


def _load(env: Env, st: State, step: Step) -> i64:
    src = st.regs[step.src]
    if src.kind == UNINIT:
        readable(env, st, step.src)
    if step.atomic:
        check_aligned(step.src, src, step.off, step.size)
    value = access.load(env, st, step.src, src, step.off, step.size, step.sx != 0)
    if step.through != PLAIN or src.kind in _REWRITTEN:
        same_kind(step, step.src, src, not step.atomic)
        if src.kind == MAP or (src.kind == CTX and value.kind in _FOREIGN):
            _note_foreign(env, step, src)
    elif src.kind == MAP_VALUE and value.kind == MEM:
        env.foreign[step.slot] = Foreign("memory that a process shares", around=False)
    if step.atomic:
        _check_atomic(step.src, src, "loads from")
        if is_probed(src):
            raise Reject(
                f"BPF_ATOMIC loads from R{step.src} {type_name(src)} is not allowed",
                detail="it may lead nowhere, and only ordinary loads are guarded against that",
                register=step.src,
                hint="use an ordinary load",
            )
    if src.kind == CTX and step.dst == step.src and env.attached is None:
        value = _over_context(env, step, src.off + step.off, value)
    st.regs[step.dst] = value
    return step.next


def _over_context(env: Env, step: Step, at: i64, value: Reg) -> Reg:
    """What is loaded from there into the register of the context. Raises Reject."""
    fields = env.type.fields
    field = next((f for f in fields if f.unset and f.offset <= at < f.offset + f.size), None)
    if field is None:
        return value
    if value.kind == SCALAR:
        return UNKNOWN
    raise Reject(
        f"R{step.dst} may still be the context after this load of {field.name}",
        register=step.dst,
        hint="load it into another register",
    )


def _check_atomic(n: i64, reg: Reg, done: str) -> None:
    """atomic_ptr_type_ok. Raises Reject."""
    if not obligations_of(n, reg).atomic:
        raise Reject(
            f"BPF_ATOMIC {done} R{n} {type_name(reg)} is not allowed",
            register=n,
            hint=f"use an ordinary {'load' if done == 'loads from' else 'load and store'}",
        )


def _note_foreign(env: Env, step: Step, src: Reg) -> None:
    """What a load gives is the kernel's."""
    if src.kind == MAP:
        env.foreign[step.slot] = Foreign(f"the kernel's own memory of map {src.what}", around=False)
    elif env.attached is None:
        field = next(field for field in env.type.fields if field.offset == step.off)
        env.foreign[step.slot] = Foreign(f"{field.name} of struct {env.type.ctx_struct}")


def _store_imm(env: Env, st: State, step: Step) -> i64:
    return _store(env, st, step, step.operand)


def _store_reg(env: Env, st: State, step: Step) -> i64:
    value = st.regs[step.src]
    if value.kind == UNINIT:
        readable(env, st, step.src)
    dst = st.regs[step.dst]
    size = step.size
    # check_stack_write_fixed_off: a number at another place is spilled as bytes.
    if (
        value.kind == SCALAR
        and (not value.id or value.off)
        and dst.kind == STACK
        and not (dst.off + step.off) & 7
        and (size == 8 or fits(value.scalar, size))
        and dst.scalar.is_const
    ):
        value = st.regs[step.src] = _linkable(env, value)
    if dst.kind == STACK and is_null(value) and as_zeros(dst, step.off, size):
        mark_register(env.cfg, st, step.src)
    if dst.kind == MAP_VALUE and dst.what.layout.kptrs and is_null(value):
        # Nothing else may be stored into a kptr that is not trusted.
        mark_register(env.cfg, st, step.src)
    return _store(env, st, step, value)


def _store(env: Env, st: State, step: Step, value: Reg) -> i64:
    dst = st.regs[step.dst]
    if dst.kind == UNINIT:
        readable(env, st, step.dst)
    if step.atomic:
        check_aligned(step.dst, dst, step.off, step.size)
    access.store(env, st, step.dst, dst, step.off, step.size, value)
    if step.through != PLAIN or dst.kind in _REWRITTEN:
        same_kind(step, step.dst, dst, False)
    if step.atomic:
        _check_atomic(step.dst, dst, "stores into")
    return step.next


def _atomic(env: Env, st: State, step: Step) -> i64:
    """check_atomic_rmw: a load and a store at one address, which is aligned."""
    dst = readable(env, st, step.dst)
    readable(env, st, step.src)
    if step.name == "cmpxchg":
        readable(env, st, 0)
    _check_atomic(step.dst, dst, "stores into")
    size = step.size
    if dst.kind == ARENA and step.shape.op.fetch and step.name in _LOOPS_OF_JIT:
        # They are loops around a comparison there, which no exception table has.
        raise Reject(
            f"BPF_ATOMIC stores into R{step.dst} {type_name(dst)} is not allowed",
            detail=f"the compiler of Linux for x86 has no fetching {step.name} for arenas",
            register=step.dst,
            hint="use a loop of cmpxchg, or do without the old value",
        )
    check_aligned(step.dst, dst, step.off, size)
    fetched = -1
    if step.op.fetch:
        fetched = 0 if step.name == "cmpxchg" else step.src
    if fetched == step.dst:
        old = bits_text(load_bounds(size * 8, False))
        raise Reject(
            f"misaligned access off {old}+0+{step.off} size {size}",
            detail=f"the old value takes the place of the address in R{step.dst}, which Linux "
            "still needs then",
            register=step.dst,
            hint="put the address into another register",
        )
    if dst.kind == STACK and dst.scalar.m != 0:
        raise Reject(
            "variable offset stack pointer cannot be passed into helper function; "
            f"var_off={bits_text(dst.scalar)} off={dst.off + step.off} size={size}",
            detail=f"R{step.dst}: that is not allowed for atomic operations",
            register=step.dst,
            hint=hints.CONST_OFFSET,
        )
    before = access.load(env, st, step.dst, dst, step.off, size, False)
    access.store(env, st, step.dst, dst, step.off, size, ANY_BYTES)
    if fetched >= 0:
        st.regs[fetched] = before
    return step.next


def _call_local(env: Env, st: State, step: Step) -> i64:
    check_local(env, st)
    number_ = env.cfg.starts[step.target]
    if env.cfg.is_global(number_):
        call_global(env, st, number_, step.slot)
        return step.next
    check_depth(st, step.slot)
    st.push(number_, step.slot)
    return step.target


def _call_register(env: Env, st: State, step: Step) -> i64:
    raise Reject(
        f"unknown opcode {step.op.opcode:02x}",
        detail=f"callx r{step.dst}: calls through a register are not supported",
        register=step.dst,
        hint="call the function by its name, and compile with -O2",
    )


def _legacy(env: Env, st: State, step: Step) -> i64:
    """check_ld_abs: a load from the packet, or the end of the function. The context is in r6."""
    if not env.type.loads_packet:
        able = ", ".join(dict.fromkeys(row.name for row in PROGRAM_TYPES if row.loads_packet))
        raise Reject(
            "BPF_LD_[ABS|IND] instructions not allowed for this program type",
            hint=f"{env.type.name} programs cannot have them, but {able} can",
        )
    if st.top.callback:
        # As later versions of Linux, which look at its callers, too: 6.18 comes upon a bug of its
        # own (backtrack_insn).
        raise Reject(
            "cannot use BPF_LD_[ABS|IND] within callback",
            hint="where the packet is too short the function ends, which a callback may not: "
            "read it with bpf_skb_load_bytes()",
        )
    ctx = readable(env, st, _PACKET_CTX)
    check_left(env, st, "BPF_LD_[ABS|IND]")
    if ctx.kind != CTX:
        raise Reject(
            "at the time of BPF_LD_ABS|IND R6 != pointer to skb",
            detail=f"it is {type_name(ctx)}",
            register=_PACKET_CTX,
            hint="pass the program's context",
        )
    if Uses.SRC in step.op.uses:
        readable(env, st, step.src)
    check_unmoved(_PACKET_CTX, ctx, "pass the program's context, unchanged")
    regs = st.regs
    for n in range(1, 6):
        regs[n] = clobbered(regs[n])
    regs[0] = UNKNOWN
    if len(st.frames) == 1:
        return step.next
    # Where the packet is too short, the function ends, with 0 (bpf_gen_ld_abs).
    env.fork(st.copy(), step.next, step.slot)
    regs[0] = NULL
    st.trail.returned()
    left = st.pop()
    return env.cfg.at(left.callsite).next


def transfer(env: Env, st: State, step: Step) -> i64:
    """Walk one instruction; the most frequent kinds without a look into the table."""
    tag = step.tag
    if tag == ALU:
        return _alu(env, st, step)
    if tag == MOV:
        return _mov(env, st, step)
    if tag == JCOND:
        return jump(env, st, step)
    if tag == LOAD:
        return _load(env, st, step)
    if tag == STORE_REG:
        return _store_reg(env, st, step)
    if tag == JA:
        return _ja(env, st, step)
    if tag == STORE_IMM:
        return _store_imm(env, st, step)
    if tag == LDDW:
        return _lddw(env, st, step)
    if tag == EXIT:
        return _exit(env, st, step)
    if tag == CALL_LOCAL:
        return _call_local(env, st, step)
    if step.wrong is not None:
        raise step.wrong
    return TRANSFER[step.kind](env, st, step)


TRANSFER: dict[Kind, Transfer] = {
    Kind.ALU: _alu,
    Kind.MOV: _mov,
    Kind.CAST: _cast,
    Kind.NEG: _neg,
    Kind.END: _end,
    Kind.JA: _ja,
    Kind.JCOND: jump,
    Kind.MAY_GOTO: _may_goto,
    Kind.CALL_HELPER: call_outside,
    Kind.CALL_LOCAL: _call_local,
    Kind.CALL_KFUNC: call_outside,
    Kind.CALL_REG: _call_register,
    Kind.EXIT: _exit,
    Kind.LDDW: _lddw,
    Kind.LOAD: _load,
    Kind.STORE_IMM: _store_imm,
    Kind.STORE_REG: _store_reg,
    Kind.ATOMIC: _atomic,
    Kind.LEGACY: _legacy,
}
