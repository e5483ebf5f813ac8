"""Calls of helpers and kfuncs: one checker for each kind of argument, one builder for each kind
of result; the rows of platform/calls.py say which.

Sources: check_helper_call, check_func_arg, check_reg_type, check_mem_size_reg,
check_map_func_compatibility and check_kfunc_call in kernel/bpf/verifier.c.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from mypy_extensions import i64

from bpfheap.btf import SpecialKind
from bpfheap.errors import LINUX_MAY
from bpfheap.isa import Kind
from bpfheap.platform.calls import (
    FIXED_SIZES,
    KFUNC_BY_NAME,
    NULLABLE,
    READ_ONLY,
    WRITTEN,
    Arg,
    Call,
    Ret,
    SideEffect,
    left_out,
)
from bpfheap.platform.kfuncs import has_generic
from bpfheap.platform.linux import HELPER_NAMES
from bpfheap.platform.maps import BY_NUMBER, Holds, MapFlag, MapType, Shape
from bpfheap.platform.missing import kfunc_name, missing_helper
from bpfheap.platform.programs import FULL_SOCK, XDP_SOCK, Offer, types_with
from bpfheap.platform.releases import Rule
from bpfheap.spec import RefKind
from bpfheap.verifier import hints
from bpfheap.verifier.analysis import release
from bpfheap.verifier.analysis.cfg import Step
from bpfheap.verifier.calls import (
    dynptrs,
    graph,
    interrupts,
    iterators,
    kfuncs,
    locks,
    objects,
    percpu,
    records,
    sockets,
    strings,
    work,
)
from bpfheap.verifier.calls.callback import check_tail_call, enter_callback
from bpfheap.verifier.calls.exceptions import throw
from bpfheap.verifier.calls.meta import Checker, Meta, check_there, expected, length
from bpfheap.verifier.calls.noting import note_call
from bpfheap.verifier.domain.refine import between
from bpfheap.verifier.domain.scalar import UNKNOWN_SCALAR
from bpfheap.verifier.flows import GLOBAL_ALLOCATOR, FlowKind, Holder
from bpfheap.verifier.memory import stack
from bpfheap.verifier.memory.access import helper_access
from bpfheap.verifier.memory.kinds import OBLIGATIONS, within_stack
from bpfheap.verifier.memory.obligations import (
    MEM_TYPES,
    check_aligned,
    check_unmoved,
    readable,
)
from bpfheap.verifier.memory.ownership import (
    acquire_object,
    check_exchanged,
    check_owned,
    exchange,
    free,
    kptr_at,
)
from bpfheap.verifier.memory.packet import forget_packet, in_packet
from bpfheap.verifier.paths.env import Env, licensed
from bpfheap.verifier.paths.precision import mark_register, mark_slot
from bpfheap.verifier.reject import NotKnown, Reject
from bpfheap.verifier.state.state import (
    CTX,
    FUNC,
    KERNEL,
    MAP,
    MAP_VALUE,
    MEM,
    NOTHING,
    NULL,
    SCALAR,
    SOCKET,
    STACK,
    TRUSTED,
    UNINIT,
    UNKNOWN,
    ZERO_OFFSET,
    Gone,
    MapRef,
    Object,
    Reg,
    State,
    is_null,
    number,
    type_name,
)

#: What check_reg_type takes for memory that may be written, and of no dynptr.
_ELEMENTS = frozenset({
    Arg.MAP_KEY, Arg.MAP_VALUE, Arg.MAP_VALUE_OR_NULL, Arg.UNINIT_VALUE,
})  # fmt: skip
#: Operations that change what is in a map (record_func_map).
_CHANGING = frozenset({"update", "delete", "push", "pop"})


def _anything(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    pass


def _scalar(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    if reg.kind != SCALAR and meta.call.number is None:
        # check_kfunc_args
        raise Reject(f"R{n} is not a scalar", register=n, hint="pass a number")
    if reg.kind != SCALAR:
        raise expected(n, reg, "scalar", "pass a number")


def _count(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    _scalar(env, st, n, reg, meta)
    meta.count = n


def _map(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    if reg.kind != MAP or reg.or_null:
        raise expected(n, reg, "map_ptr")
    ref: MapRef = reg.what
    row = BY_NUMBER[ref.spec.type]
    call = meta.call
    op = call.map_op
    passed = f"map_type {row.number} into func {call.title}"
    if op is not None and op not in row.ops:
        raise Reject(
            "expected prog array map for tail call" if call.jumps else f"cannot pass {passed}",
            register=n,
            hint=f"{ref} is a map of type {row.c_name}",
        )
    if op in _CHANGING and ref.readonly:
        raise Reject(
            "write into map forbidden", detail=f"{ref} is read-only for programs", register=n
        )
    changers = row.updaters if op == "update" else row.deleters
    if op in ("update", "delete") and env.type.caller not in changers:
        done = "put sockets into" if op == "update" else "take sockets out of"
        raise Reject(
            f"cannot pass {passed}",
            before="cannot update sockmap in this context",
            register=n,
            hint=f"{types_with(changers)} programs can {done} {ref}",
        )
    if op == "lookup" and ref.unreadable and row.outer:
        raise Reject(
            "read from map forbidden", detail=f"{ref} is write-only for programs", register=n
        )
    meta.map = ref


def _allocator(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    _map(env, st, n, reg, meta)
    if reg.what.holder is Holder.INNER:
        raise Reject(
            f"R{n} is an allocator looked up in {reg.what.name}: which one is not known",
            register=n,
            hint="name the allocator itself: bpf_mem_alloc(&ma, ...)",
        )


def _memory(
    env: Env, st: State, n: int, reg: Reg, meta: Meta, size: int, write: bool = False
) -> None:
    """check_helper_mem_access, and what check_func_arg says of packets and references."""
    arg = meta.args[n - 1]
    null_allowed = arg in NULLABLE
    if not OBLIGATIONS[reg.kind].for_helpers or (reg.or_null and not null_allowed):
        hint = hints.CHECK_NULL if reg.or_null else "pass the address of stack or of a map value"
        # Where NULL may be given, it is asked for its size before.
        nothing = null_allowed and is_null(reg)
        raise expected(n, reg, "fp" if nothing else MEM_TYPES, hint)
    call = meta.call
    if arg in _ELEMENTS and reg.kind == MEM and (reg.what.readonly or reg.what.sliced):
        raise expected(n, reg, MEM_TYPES, hints.COPY_POINTED)
    if in_packet(reg) and not _takes_packet(env, call):
        raise Reject(
            "helper access to the packet is not allowed",
            detail=f"R{n} of {call.title} points there",
            register=n,
            hint="copy what it shall read to the stack first",
        )
    if reg.kind == KERNEL and reg.what.flags == TRUSTED and arg not in READ_ONLY:
        # check_reg_type, which takes keys and values to be written, too.
        raise Reject(
            f"{call.name}() may write into memory pointed by R{n} type={type_name(reg)}",
            register=n,
            hint="programs write no objects of the kernel: pass the address of a variable",
        )
    dynptrs.check_source(meta, n, reg)
    if call.number is not None:
        sockets.refer(n, reg, meta)
    if arg is Arg.CHANGED_MEM:
        helper_access(env, st, n, reg, size, False)
    helper_access(env, st, n, reg, size, write)


def _takes_packet(env: Env, call: Call) -> bool:
    """may_access_direct_pkt_data"""
    return call.reads_packet if env.type.packet_args is None else env.type.packet_args


def _map_key(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    ref = meta.map_of()
    _memory(env, st, n, reg, meta, ref.spec.key_size)
    # To rely on the keys of other maps would only keep loops from being widened.
    tells = BY_NUMBER[ref.spec.type].fixed and ref.spec.key_size == 4
    tells = tells and release.follows(env.release, Rule.CONSTANT_KEYS)
    if tells and reg.kind == STACK and reg.scalar.is_const:
        at = reg.off + reg.scalar.smin
        meta.key = stack.constant_key(st.frames[reg.what], at)
        if meta.key is not None:
            mark_slot(env.cfg, st, reg.what, at >> 3)


def _map_value(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    if BY_NUMBER[meta.map_of().spec.type].holds is Holds.SOCKETS:
        # resolve_map_arg_type
        sockets.any_or_object(env, st, n, reg, meta)
        return
    _memory(env, st, n, reg, meta, meta.map_of().spec.value_size)


def _uninit_value(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    ref = meta.map_of()
    # A filter is asked for the value that is there (resolve_map_arg_type).
    asked = BY_NUMBER[ref.spec.type].shape is Shape.FILTER
    _memory(env, st, n, reg, meta, ref.spec.value_size, write=not asked)


def _sized(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """Memory whose length is the next argument; checked there."""


def _fixed(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """Memory of a size of its own (MEM_FIXED_SIZE); what is written there is aligned."""
    arg = meta.args[n - 1]
    size, write = FIXED_SIZES[arg], arg in WRITTEN
    _memory(env, st, n, reg, meta, size, write)
    if write:
        check_aligned(n, reg, 0, size)


def _size(zero_allowed: bool) -> Checker:
    def check(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
        _scalar(env, st, n, reg, meta)
        meta.size = length(n, reg, zero_allowed=zero_allowed)
        mark_register(env.cfg, st, n)
        memory = st.regs[n - 1]
        arg = meta.args[n - 2]
        if arg in NULLABLE and is_null(memory) and meta.size == 0:
            mark_register(env.cfg, st, n - 1)
            return
        if arg in WRITTEN and memory.kind == STACK and not reg.scalar.is_const:
            # Not all of it need be written, and so is read, too (check_mem_size_reg).
            within_stack(n - 1, memory, 0, meta.size, "write to")
            helper_access(env, st, n - 1, memory, meta.size, False)
        _memory(env, st, n - 1, memory, meta, meta.size, arg in WRITTEN)
        if meta.size:
            check_there(n - 1, memory, meta)

    return check


def _ctx(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    hint = "pass the program's own context, unchanged"
    if reg.kind != CTX:
        raise expected(n, reg, "ctx", hint)
    check_unmoved(n, reg, hint)


def _ctx_or_null(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    if is_null(reg):
        mark_register(env.cfg, st, n)
    else:
        _ctx(env, st, n, reg, meta)


def _kernel_or_null(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    if is_null(reg):
        mark_register(env.cfg, st, n)
    else:
        objects.given(env, st, n, reg, meta, or_null=True)


def _map_value_or_null(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    if is_null(reg):
        mark_register(env.cfg, st, n)
    else:
        _map_value(env, st, n, reg, meta)


def _zero(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """check_helper_call, of the flags of bpf_get_local_storage"""
    if not is_null(reg):
        name = meta.call.name.removeprefix("bpf_")
        raise Reject(f"{name}() doesn't support non-zero flags", register=n, hint="pass 0")
    mark_register(env.cfg, st, n)


def _kptr_field(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    meta.kptr = kptr_at(n, reg, meta.call.name)


def _owned(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    check_owned(env, n, reg, call=meta.call.name, per_cpu=False)
    meta.given, meta.given_register = reg, n


def _owned_or_null(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    if is_null(reg):
        mark_register(env.cfg, st, n)
    elif reg.kind == KERNEL:
        objects.exchanged(n, reg, meta)
    else:
        check_exchanged(env, n, reg, call=meta.call.name)
    meta.given, meta.given_register = reg, n


def _type_id(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    if reg.kind != SCALAR or not reg.scalar.is_const:
        raise Reject(
            f"R{n} must be a known constant: the id of a type",
            register=n,
            hint="write type_id_local(struct ...) in the call",
        )
    mark_register(env.cfg, st, n)
    btf = env.spec.btf
    # Linux names both of its own.
    call = meta.call.name if meta.call.ours else "bpf_obj_new/bpf_percpu_obj_new"
    layout = env.layouts.of_struct(btf, reg.scalar.const_value, call, register=n)
    ref = meta.map
    if ref is not None and ref.spec.value:
        why = env.layouts.why_other(
            ref.spec.btf,
            ref.spec.value,
            btf,
            layout.type_id,
            strict=env.options.strict_identity,
        )
        if why is not None:
            raise Reject(
                f"allocator {ref.name} makes {ref.spec.btf.c_name(ref.spec.value)} only, "
                f"not {layout}: {why}",
                register=n,
                hint=f"ask for {ref.spec.btf.c_name(ref.spec.value)}, or leave out the "
                "allocator's value type",
            )
    meta.layout = layout


def _callback(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    if reg.kind != FUNC:
        raise expected(n, reg, "func", "pass the name of a static function")
    meta.callback = reg.what


def _callback_ctx(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    if is_null(reg):
        # The callback may count with it.
        mark_register(env.cfg, st, n)
    elif reg.kind != STACK:
        raise expected(n, reg, "fp", "pass the address of a local variable, or NULL")


#: Arguments that are not looked at, and so need not be initialised.
UNREAD = frozenset({Arg.UNCHECKED, Arg.UNUSED})

ARGUMENTS: dict[Arg, Checker] = {
    Arg.ANYTHING: _anything,
    Arg.SCALAR: _scalar,
    Arg.COUNT: _count,
    Arg.CONST_SIZE: _size(zero_allowed=False),
    Arg.CONST_SIZE_OR_ZERO: _size(zero_allowed=True),
    Arg.MAP: _map,
    Arg.MAP_KEY: _map_key,
    Arg.MAP_VALUE: _map_value,
    Arg.MAP_VALUE_OR_NULL: _map_value_or_null,
    Arg.UNINIT_VALUE: _uninit_value,
    Arg.MEM: _sized,
    Arg.MEM_OR_NULL: _sized,
    Arg.CHANGED_MEM: _sized,
    Arg.UNINIT_MEM: _sized,
    Arg.UNINIT_MEM_OR_NULL: _sized,
    Arg.INT: _fixed,
    Arg.LONG: _fixed,
    Arg.IPV4_HEADER: _fixed,
    Arg.IPV6_HEADER: _fixed,
    Arg.TCP_HEADER: _fixed,
    Arg.CONST_STRING: strings.constant,
    Arg.FORMAT: strings.constant,
    Arg.CTX: _ctx,
    Arg.CTX_OR_NULL: _ctx_or_null,
    Arg.KERNEL: objects.given,
    Arg.SOCK_COMMON: sockets.common,
    Arg.FULL_SOCK_OR_NULL: sockets.full_or_null,
    Arg.ANY_SOCK: sockets.any_or_object,
    Arg.ANY_SOCK_OR_NULL: sockets.any_or_null,
    Arg.RELEASED_SOCK: sockets.released,
    Arg.KERNEL_OR_NULL: _kernel_or_null,
    Arg.ZERO: _zero,
    Arg.KPTR_FIELD: _kptr_field,
    Arg.OWNED_OR_NULL: _owned_or_null,
    Arg.OWNED: _owned,
    Arg.ALLOCATOR: _allocator,
    Arg.TYPE_ID: _type_id,
    Arg.CALLBACK: _callback,
    Arg.CALLBACK_CTX: _callback_ctx,
    Arg.UNCHECKED: _anything,
    Arg.UNUSED: _anything,
    Arg.ALLOC_SIZE: records.size,
    Arg.RECORD: records.record,
    Arg.OWNED_PERCPU: percpu.owned,
    Arg.PERCPU: percpu.seen,
    Arg.COUNTED: graph.counted,
    Arg.SPIN_LOCK: locks.spin_lock,
    Arg.RES_SPIN_LOCK: locks.res_spin_lock,
    Arg.RES_SPIN_UNLOCK: locks.res_spin_unlock,
    Arg.IRQ_SAVE: interrupts.save,
    Arg.IRQ_RESTORE: interrupts.restore,
    Arg.TIMER: work.timer,
    Arg.WORKQUEUE: work.workqueue,
    Arg.ITS_MAP: work.its_map,
    Arg.LIST_HEAD: graph.root_of(SpecialKind.LIST_HEAD),
    Arg.LIST_NODE: graph.new_node,
    Arg.RB_ROOT: graph.root_of(SpecialKind.RB_ROOT),
    Arg.RB_NODE: graph.new_node,
    Arg.RB_MEMBER: graph.member,
    Arg.LESS: graph.less,
    Arg.DYNPTR: dynptrs.given,
    Arg.NEW_DYNPTR: dynptrs.fresh,
    Arg.OWNED_DYNPTR: dynptrs.released,
    Arg.ITER_NEW: iterators.fresh,
    Arg.ITER: iterators.begun,
    # All at once: see kfuncs.check_arguments.
    Arg.PROTOTYPE: _anything,
}


def _integer(env: Env, st: State, meta: Meta) -> Reg:
    return UNKNOWN


def _cpu(env: Env, st: State, meta: Meta) -> Reg:
    """do_refine_retval_range"""
    known = between(UNKNOWN_SCALAR, 0, env.options.cpus - 1)
    assert known is not None
    return number(known)


def _zero_result(env: Env, st: State, meta: Meta) -> Reg:
    return NULL


def _length(env: Env, st: State, meta: Meta) -> Reg:
    """do_refine_retval_range"""
    known = between(UNKNOWN_SCALAR, -locks.MAX_ERRNO, meta.size)
    assert known is not None
    return number(known)


def _void(env: Env, st: State, meta: Meta) -> Reg:
    return NOTHING


def _entries(ref: MapRef, row: MapType) -> int:
    """How many elements each map that may be there has at least."""
    if ref.holder is not Holder.INNER:
        return ref.spec.max_entries
    # With that flag, what an outer map holds may be shorter (array_map_meta_equal): Linux then
    # takes none for granted.
    if ref.spec.flags & MapFlag.INNER_MAP:
        return 0
    # Maps of other sizes may be there, too (bpf_map_meta_equal). All have one element.
    return 1 if row.per_cpu else ref.spec.max_entries


def _value(env: Env, st: State, meta: Meta) -> Reg:
    return env.map_value(meta.map_of())


def _value_or_null(env: Env, st: State, meta: Meta) -> Reg:
    ref = meta.map_of()
    row = BY_NUMBER[ref.spec.type]
    if row.outer:
        return Reg(MAP, ZERO_OFFSET, id=env.new_id(), what=env.inner(ref), or_null=True)
    if row.holds is Holds.SOCKETS:
        if row.refers:
            return sockets.found(FULL_SOCK, env, st, meta)
        return Reg(SOCKET, ZERO_OFFSET, 0, env.new_id(), 0, XDP_SOCK, True)
    # A constant key of an array is there or not: no check for NULL is needed
    # (can_elide_value_nullness).
    present = (
        meta.call.map_op == "lookup"
        # Known of fixed maps alone.
        and meta.key is not None
        and meta.key < _entries(ref, row)
    )
    if present:
        return env.map_value(ref)
    return Reg(MAP_VALUE, ZERO_OFFSET, id=env.new_id(), what=ref, or_null=True)


def _kptr_or_null(env: Env, st: State, meta: Meta) -> Reg:
    kptr, given = meta.kptr, meta.given
    assert kptr is not None
    assert given is not None
    return exchange(env, st, kptr, meta.given_register, given, meta.slot, meta.call.name)


def _new_or_null(env: Env, st: State, meta: Meta) -> Reg:
    assert meta.layout is not None
    origin = GLOBAL_ALLOCATOR if meta.map is None else meta.map.name
    env.flow(FlowKind.ALLOC, origin, None, meta.slot)
    return acquire_object(env, st, Object(meta.layout, origin), meta.slot)


RESULTS: dict[Ret, Callable[[Env, State, Meta], Reg]] = {
    Ret.INTEGER: _integer,
    Ret.CPU: _cpu,
    Ret.TAKEN: _zero_result,
    Ret.LENGTH: _length,
    Ret.VOID: _void,
    Ret.MAP_VALUE: _value,
    Ret.MAP_VALUE_OR_NULL: _value_or_null,
    Ret.KPTR_OR_NULL: _kptr_or_null,
    Ret.NEW_OR_NULL: _new_or_null,
    Ret.PERCPU_NEW_OR_NULL: percpu.made,
    Ret.PERCPU_MEMBER: percpu.this_cpu,
    Ret.PERCPU_MEMBER_OR_NULL: percpu.any_cpu,
    Ret.SHARED_OR_NULL: graph.shared,
    Ret.SLICE_OR_NULL: dynptrs.data,
    Ret.RECORD_OR_NULL: records.reserved,
    Ret.NODE_OR_NULL: graph.taken_out,
    Ret.PEEK_OR_NULL: graph.peeked,
    Ret.ELEMENT_OR_NULL: iterators.step,
    Ret.KERNEL: objects.found,
    Ret.KERNEL_TRUSTED: objects.trusted,
    Ret.KERNEL_OR_NULL: objects.found_or_null,
    Ret.CAST_OR_NULL: sockets.cast,
    Ret.SOCK_OR_NULL: sockets.full,
    Ret.TCP_SOCK_OR_NULL: sockets.tcp,
    Ret.LISTENER_OR_NULL: sockets.listener,
    Ret.FOUND_SOCK_OR_NULL: sockets.found_full,
    Ret.FOUND_COMMON_OR_NULL: sockets.found_common,
    Ret.PROTOTYPE: kfuncs.result,
}


def _tail_call(env: Env, st: State, meta: Meta) -> None:
    """The program may end here, and another one begin."""
    check_tail_call(st)
    index = st.regs[3]
    known = index.kind == SCALAR and index.scalar.is_const
    if known and index.scalar.const_value < meta.map_of().spec.max_entries:
        # Linux calls that program directly, so its paths differ (record_func_key).
        mark_register(env.cfg, st, 3)
    locks.check_left(env, st, "tail_call")


def _nothing(env: Env, st: State, meta: Meta) -> None:
    pass


def _freed(env: Env, st: State, meta: Meta) -> None:
    assert meta.given is not None
    free(env, st, meta.given, meta.slot, meta.call.name)


def _packet_moved(env: Env, st: State, meta: Meta) -> None:
    forget_packet(st, meta.slot, meta.call.name)


SIDE_EFFECTS: dict[SideEffect, Callable[[Env, State, Meta], None]] = {
    SideEffect.NOTHING: _nothing,
    SideEffect.FREES: _freed,
    # With what comes back.
    SideEffect.STORES: _nothing,
    SideEffect.LINKS: graph.link,
    SideEffect.RELEASES: objects.release,
    SideEffect.RELEASES_RECORD: records.release_record,
    SideEffect.RELEASES_DYNPTR: dynptrs.discard,
    SideEffect.WRITES_DYNPTR: dynptrs.written,
    SideEffect.BEGINS: iterators.new,
    SideEffect.ENDS: iterators.destroy,
    SideEffect.MOVES_PACKET: _packet_moved,
    SideEffect.ENTERS_RCU: locks.rcu_lock,
    SideEffect.LEAVES_RCU: locks.rcu_unlock,
    SideEffect.DISABLES_PREEMPTION: locks.preempt_disable,
    SideEffect.ENABLES_PREEMPTION: locks.preempt_enable,
    SideEffect.FORMATS: strings.check_format,
}


class _Allowed:
    """A call that the program may make, by what does not depend on the path. What the row says is
    looked up once: its enums and properties are Python's.

    `args`: its arguments in this program. `checks`: the register of each that is looked at, and who
    looks; none where the kernel's prototype says what they are.
    """

    __slots__ = (
        "args", "by_prototype", "call", "callback", "checks", "jumps", "later", "result",
        "side_effect", "sleepable", "throws",
    )  # fmt: skip

    def __init__(self, call: Call, args: tuple[Arg, ...], by_prototype: bool) -> None:
        self.call = call
        self.args = args
        self.by_prototype = by_prototype
        self.checks: list[tuple[int, Checker]] = []
        if not by_prototype:
            self.checks += [
                (n, ARGUMENTS[arg]) for n, arg in enumerate(args, 1) if arg not in UNREAD
            ]
        self.callback = call.callback
        self.jumps = call.jumps
        self.throws = call.throws
        self.later = call.later
        self.sleepable = call.sleepable
        self.side_effect = SIDE_EFFECTS[call.side_effect]
        self.result = RESULTS[call.ret]


def _allowed(env: Env, step: Step) -> _Allowed:
    """Raises Reject."""
    call = _row(env, step)
    release.check_call(call.name, call.number, env.release)
    if call.name in env.options.forbidden:
        raise Reject(
            f"program of this type cannot use helper {call.title}"
            if call.number is not None
            else f"calling kernel function {call.name} is not allowed",
            hint="the kernel is said to forbid it",
        )
    by_prototype = call.ret is Ret.PROTOTYPE or Arg.PROTOTYPE in call.args
    if by_prototype:
        kfuncs.check_call(env, call)
    if not call.is_for(env.type):
        raise Reject(
            f"program of this type cannot use helper {call.title}",
            hint=f"{env.type.name} programs cannot, but {types_with(call.offer)} can",
        )
    if call.generic and not has_generic(env.type):
        raise Reject(
            f"calling kernel function {call.name} is not allowed",
            hint=f"{env.type.name} programs cannot call it",
        )
    for offer, names in call.only_in:
        if env.type.caller in offer and env.target not in names:
            others = (
                f"to one of {', '.join(sorted(names)[:5])} and others" if names else "otherwise"
            )
            raise Reject(
                "helper call is not allowed in probe"
                if env.type.caller in Offer.TRAMPOLINES
                else f"program of this type cannot use helper {call.title}",
                detail=f"{env.target} is none that {call.name} may be called in",
                hint=f"attach the program {others}",
            )
    if call.not_in and env.type.caller in Offer.TRAMPOLINES and env.target.startswith(call.not_in):
        raise Reject(
            "helper call is not allowed in probe",
            detail=f"{env.target} is what {call.name} itself calls",
            hint="attach the program otherwise",
        )
    if call.gpl and not env.gpl:
        raise Reject(
            "cannot call GPL-restricted function from non-GPL compatible program",
            detail=f"{call.name} is one, and {licensed(env.spec)}",
            hint=hints.LICENSE,
        )
    return _Allowed(call, call.args_in(env.type.caller), by_prototype)


def _sleeps(env: Env, st: State, call: Call) -> Reject:
    hint = f'{env.type.name} programs cannot sleep here; SEC("syscall") ones can'
    if env.sleepable and st.later:
        hint = "functions that a timer calls cannot sleep: let a bpf_wq call it"
    return Reject(
        "helper call might sleep in a non-sleepable prog"
        if call.number is not None
        else f"program must be sleepable to call sleepable kfunc {call.name}",
        detail="" if call.number is None else f"{call.name} may sleep",
        hint=hint,
    )


def call_outside(env: Env, st: State, step: Step) -> i64:
    """A helper or kfunc. Raises Reject."""
    allowed: _Allowed | None = env.allowed.get(step.slot)
    if allowed is None:
        allowed = env.allowed[step.slot] = _allowed(env, step)
    call = allowed.call
    if allowed.sleepable and not st.sleeps:
        raise _sleeps(env, st, call)
    locks.check_call(env, st, step, call)
    meta = Meta(call, allowed.args, step.slot)
    if allowed.by_prototype:
        kfuncs.check_arguments(env, st, meta)
    for n, check in allowed.checks:
        check(env, st, n, readable(env, st, n), meta)
    if call.makes is not None:
        dynptrs.check_memory(env, st, meta)
    note_call(step, meta)
    if allowed.callback:
        enter_callback(env, st, meta)
    if allowed.later:
        work.call_later(env, meta)
    if allowed.throws:
        return throw(env, st)
    if allowed.jumps:
        _tail_call(env, st, meta)
    allowed.side_effect(env, st, meta)
    result = allowed.result(env, st, meta)
    regs = st.regs
    regs[0] = result
    for n in range(1, 6):
        regs[n] = clobbered(regs[n])
    if allowed.jumps and len(st.frames) > 1:
        return _return_for(env, st, step, call)
    return step.next


def _return_for(env: Env, st: State, step: Step, call: Call) -> i64:
    """The program that was jumped to returns to the caller of the function that jumped, and may
    have changed the packet; without such a program, the function goes on."""
    env.fork(st.copy(), step.next, step.slot)
    st.regs[0] = UNKNOWN
    st.trail.returned()
    left = st.pop()
    forget_packet(st, step.slot, call.name)
    return env.cfg.at(left.callsite).next


def clobbered(reg: Reg) -> Reg:
    """r1 to r5 after a call; where an object went stays known, for the error's sake."""
    if reg.kind == SCALAR and isinstance(reg.what, Gone):
        return Reg(UNINIT, UNKNOWN_SCALAR, what=reg.what)
    return reg if reg.kind == UNINIT else NOTHING


def _row(env: Env, step: Step) -> Call:
    row = step.row
    if row is not None:
        return row
    missing = env.spec.refs.get(step.slot)
    if missing is not None and missing.kind is RefKind.MISSING:
        raise Reject(
            f"invalid func unknown#{step.imm}",
            detail=f"the kernel has no {missing.name}",
            hint="reach it only where the kernel has that: test `if (bpf_ksym_exists(function))`"
            if missing.name.startswith("kfunc ")
            else "reach it only where the kernel has that: test bpf_core_field_exists() first",
        )
    if step.kind is Kind.CALL_HELPER:
        name = missing_helper(step.imm)
        if name is None:
            raise _no_helper(step.imm)
        what, family = f"helper {name}", left_out(step.imm, None)
        close: list[str] = []
    else:
        name = kfunc_name(env.spec, step.slot)
        what, family = f"kfunc {name}", left_out(None, name)
        close = get_close_matches(name, KFUNC_BY_NAME, 3, cutoff=0.8)
    hint = LINUX_MAY
    if family is not None:
        hint = f"{family.name} are not there yet"
    elif name in env.no_guess:
        hint = env.no_guess[name]
    elif close:
        hint = f"did you mean {' or '.join(close)}?"
    raise NotKnown(f"bpfheap does not know {what}", name, hint=hint)


def _no_helper(number: int) -> Reject:
    """For a number that Linux has no helper for (check_helper_call)."""
    if number == 0:
        return Reject(
            "program of this type cannot use helper bpf_unspec#0", hint="0 is no helper's number"
        )
    return Reject(
        f"invalid func unknown#{number}",
        hint=f"Linux has helpers 1 to {max(HELPER_NAMES)}; newer functions are kfuncs",
    )
