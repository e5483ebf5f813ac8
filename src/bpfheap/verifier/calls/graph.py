"""Lists, trees and counted objects: who owns what is in them.

Sources: __process_kf_arg_ptr_to_graph_root, __process_kf_arg_ptr_to_graph_node,
check_reg_allocation_locked, mark_reg_graph_node, ref_set_non_owning and
ref_convert_owning_non_owning in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from bpfheap.btf import NODE_OF, SpecialKind
from bpfheap.verifier import hints
from bpfheap.verifier.calls.locks import compares, lockable
from bpfheap.verifier.calls.meta import Checker, Meta, const_offset
from bpfheap.verifier.flows import Field, FlowKind
from bpfheap.verifier.memory.obligations import check_unmoved
from bpfheap.verifier.memory.ownership import acquire_object, make_borrowed
from bpfheap.verifier.paths.env import Env, field_of
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.layouts import Layout
from bpfheap.verifier.state.state import (
    BORROWED,
    FUNC,
    OBJECT,
    OWNED,
    READ,
    ZERO_OFFSET,
    MapRef,
    Object,
    Reg,
    State,
)

#: -EINVAL
_NO_SPIN_LOCK = -22


def root_of(kind: SpecialKind) -> Checker:
    """The address of a list head or tree root, whose lock is held."""

    def check(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
        holder = lockable(reg)
        if holder is None:
            raise Reject(
                f"arg#{n - 1} expected pointer to map value or allocated object",
                register=n,
                hint=f"pass the address of a {kind}",
            )
        offset = const_offset(n, reg, str(kind))
        layout = holder.layout if isinstance(holder, MapRef) else holder
        root = layout.special_at(offset, kind)
        if root is None:
            raise Reject(
                f"{kind} not found at offset={offset}",
                detail=f"R{n} points into {holder}",
                register=n,
                hint=f"pass the address of a {kind}",
            )
        # Linux has no words for the other kind of lock.
        at = layout.lock if layout.lock >= 0 else _NO_SPIN_LOCK
        if st.lock is None:
            raise Reject(
                f"bpf_spin_lock at off={at} must be held for {kind}",
                register=n,
                hint="call bpf_spin_lock first"
                if layout.lock >= 0
                else "call bpf_res_spin_lock first",
            )
        if st.lock.find(holder, reg.id) is None:
            other = "held lock and object are not in the same allocation"
            raise Reject(
                f"bpf_spin_lock at off={at} must be held for {kind}",
                before=other,
                detail=f"{other}: the lock taken at {env.place(st.lock.insn)} is another one",
                register=n,
                hint=f"take the lock beside {root.path}",
            )
        meta.root, meta.layout = root, layout
        meta.field = field_of(reg.what, root.path)

    return check


def _node(env: Env, n: int, reg: Reg, meta: Meta) -> None:
    """The register points at that node of an object which the list or tree links by."""
    root = meta.root
    assert root is not None
    assert root.contains is not None
    assert meta.field is not None
    kind = NODE_OF[root.kind]
    object_: Object = reg.what
    layout = object_.layout
    offset = const_offset(n, reg, str(kind))
    if layout.special_at(offset, kind) is None:
        raise Reject(
            f"{kind} not found at offset={offset}",
            detail=f"R{n} points into {layout}",
            register=n,
            hint=f"pass the address of the object's {kind}",
        )
    wanted = _contained(env, meta)
    why = env.layouts.why_other(
        layout.btf, layout.type_id, wanted.btf, wanted.type_id, strict=env.options.strict_identity
    )
    if why is not None or offset != root.contains.offset:
        place = f"{kind} at offset={root.contains.offset} in {wanted}"
        raise Reject(
            f"arg#{n - 1} offset={offset}, but expected {place}"
            if why is None
            else f"operation on {root.kind} expects arg#{n - 1} {place}, but arg is at "
            f"offset={offset} in {layout}",
            register=n,
            hint=f"{meta.field} links objects of {wanted} by their member {root.contains.member}",
        )


def _contained(env: Env, meta: Meta) -> Layout:
    """The type of what is in the list or tree."""
    assert meta.root is not None
    assert meta.root.contains is not None
    assert meta.layout is not None
    return env.layouts.of(meta.layout.btf, meta.root.contains.type)


def new_node(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """The node of an object that the program owns and puts in."""
    _unmoved_if_null(n, reg)
    whole = reg.kind == OBJECT and not reg.or_null and not reg.what.per_cpu
    if not whole or reg.what.standing != OWNED:
        raise Reject(
            f"arg#{n - 1} expected pointer to allocated object",
            register=n,
            hint=hints.CHECK_NULL
            if reg.or_null
            else "only an object that the program owns can be put in, and only once",
        )
    if meta.root is not None and meta.root.kind is SpecialKind.RB_ROOT:
        # Linux lets a comparison put a counted object into the tree that is being searched.
        _outside_comparison(env, st, n, meta)
    _node(env, n, reg, meta)
    meta.given, meta.given_register = reg, n


def _unmoved_if_null(n: int, reg: Reg) -> None:
    """What may be NULL is not an object's node to Linux, so that it has to be at its start."""
    if reg.kind == OBJECT and reg.or_null:
        check_unmoved(n, reg, hints.CHECK_NULL)


def member(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """The node of an object that may be in the tree."""
    _unmoved_if_null(n, reg)
    known = reg.kind == OBJECT and not reg.or_null and not reg.what.per_cpu
    if not known or not (reg.ref or reg.what.standing == BORROWED):
        raise Reject(
            f"{meta.call.name} can only take non-owning or refcounted bpf_rb_node pointer",
            register=n,
            hint=hints.CHECK_NULL
            if reg.or_null
            else "pass what bpf_rbtree_first and the like gave, under the same lock",
        )
    _outside_comparison(env, st, n, meta)
    _node(env, n, reg, meta)


def _outside_comparison(env: Env, st: State, n: int, meta: Meta) -> None:
    if compares(env, st):
        raise Reject(
            f"{meta.call.name} not allowed in rbtree cb",
            register=n,
            hint="a comparison must not change the tree",
        )


def counted(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """An object with a bpf_refcount, owned or in a list or tree or map."""
    if reg.kind == OBJECT and reg.or_null:
        raise Reject(
            f"Possibly NULL pointer passed to trusted arg{n - 1}",
            register=n,
            hint=hints.CHECK_NULL,
        )
    if reg.kind != OBJECT or reg.what.per_cpu or reg.what.standing not in (OWNED, BORROWED, READ):
        raise Reject(
            f"arg#{n - 1} is neither owning or non-owning ref",
            register=n,
            hint="pass an object that the program owns, or one that it sees under a lock or in an "
            "RCU section",
        )
    layout: Layout = reg.what.layout
    if layout.one(SpecialKind.REFCOUNT) is None:
        raise Reject(
            f"arg#{n - 1} doesn't point to a type with bpf_refcount field",
            detail=f"it points to a {layout}",
            register=n,
            hint=f"give {layout} a member of type struct bpf_refcount",
        )
    # Linux counts at any address in it, and takes what comes back for the object's start.
    check_unmoved(n, reg, f"pass the address of the {layout} itself, not that of a member")
    meta.given, meta.given_register = reg, n


def less(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """The function that compares two nodes."""
    if reg.kind != FUNC:
        raise Reject(
            f"arg{n - 1} expected pointer to func",
            register=n,
            hint="pass the name of a static function",
        )
    meta.callback = reg.what


def compared(env: Env, st: State, meta: Meta) -> list[Reg]:
    """(struct bpf_rb_node *a, const struct bpf_rb_node *b) of a comparison."""
    return [_seen(env, meta), _seen(env, meta)]


def link(env: Env, st: State, meta: Meta) -> None:
    """An object goes into a list or tree."""
    assert meta.given is not None
    assert meta.field is not None
    origin = meta.given.what.origin
    kind = FlowKind.MOVE if isinstance(origin, Field) else FlowKind.STORE
    env.flow(kind, origin, meta.field, meta.slot)
    make_borrowed(st, meta.given.ref)


def taken_out(env: Env, st: State, meta: Meta) -> Reg:
    """An object that is in no list or tree any more, or NULL."""
    assert meta.root is not None
    assert meta.root.contains is not None
    assert meta.field is not None
    env.flow(FlowKind.TAKE, None, meta.field, meta.slot)
    reg = acquire_object(env, st, Object(_contained(env, meta), meta.field), meta.slot)
    return reg.moved(meta.root.contains.offset, ZERO_OFFSET)


def peeked(env: Env, st: State, meta: Meta) -> Reg:
    """An object that stays where it is, or NULL."""
    reg = _seen(env, meta)
    return Reg(OBJECT, reg.scalar, reg.off, env.new_id(), 0, reg.what, True)


def _seen(env: Env, meta: Meta) -> Reg:
    assert meta.root is not None
    assert meta.root.contains is not None
    assert meta.field is not None
    object_ = Object(_contained(env, meta), meta.field, BORROWED)
    return Reg(OBJECT, ZERO_OFFSET, meta.root.contains.offset, env.new_id(), 0, object_)


def shared(env: Env, st: State, meta: Meta) -> Reg:
    """The same object, owned once more; NULL if the last owner is about to free it, which cannot
    be as long as the program is one."""
    given = meta.given
    assert given is not None
    object_: Object = given.what
    if not given.ref and isinstance(object_.origin, Field):
        env.flow(FlowKind.TAKE, None, object_.origin, meta.slot)
    reg = acquire_object(env, st, object_._replace(standing=OWNED), meta.slot)
    return reg.non_null() if given.ref else reg
