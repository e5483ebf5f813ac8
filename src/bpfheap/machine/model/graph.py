"""Objects in lists and trees, and objects with several owners (kernel/bpf/helpers.c).

Lists and trees are kept as links.py says. What a program gets of one are pointers to nodes, which
lie in the objects: what it takes out it owns, what it only looks at stays where it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.btf import SpecialKind, Struct
from bpfheap.machine.faults import Fault
from bpfheap.machine.model import heap, links, lives, locks
from bpfheap.machine.model.convention import CALLBACK, Arguments, Implementation, error
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.records import Region, Status, TreeSearch
from bpfheap.machine.model.values import NULL, U32, Pointer, Value


def _head(core: Core, value: Value, kind: SpecialKind, what: str) -> Pointer:
    """The head or root at a pointer. Raises Fault unless its lock is held."""
    region, field = core.state.special_field(value, kind, what)
    locks.require(core, region.id, f"{what} of {region.name}.{field.path}")
    return Pointer(region.id, field.offset)


def _changed_root(core: Core, value: Value, what: str) -> Pointer:
    """A root to be changed. Raises Fault also while the program looks for a place in it."""
    root = _head(core, value, SpecialKind.RB_ROOT, what)
    for frame in core.execution.frames:
        if isinstance(frame.after, TreeSearch) and frame.after.root == root:
            raise Fault("bad-call", f"{what} in the callback of bpf_rbtree_add on the same tree")
    return root


def _node(core: Core, head: Pointer, value: Value, kind: SpecialKind, what: str) -> Pointer:
    """The node at a pointer. Raises Fault for one that cannot be in `head`."""
    state = core.state
    region, field = state.special_field(value, kind, what)
    container = state.regions[head.region]
    contains = next(f.contains for f in container.special if f.offset == head.offset)
    assert contains is not None
    held = _content(core, container, contains.type)
    if field.offset != contains.offset or region.type is None or held != region.type.name:
        raise Fault(
            "bad-call",
            f"{what} of {region.name}.{field.path}, but {state.field_name(head)} holds others",
            region.id,
        )
    return Pointer(region.id, field.offset)


def _content(core: Core, container: Region, type_id: int) -> str:
    """The name of the struct that a head in `container` holds."""
    kind = container.type
    btf = core.state.maps[container.subject].spec.btf if kind is None else kind.btf
    struct = btf[type_id]
    assert isinstance(struct, Struct)
    return struct.name


def _give(core: Core, node: Pointer, what: str) -> Region:
    """The program gives up an object that it owns."""
    region = core.state.regions[node.region]
    core.owned(region, what)
    core.give_up(region.id)
    return region


def _refuse(core: Core, region: Region) -> int:
    """The node is in a list or tree already, so the object has other owners: the one that the
    program was goes."""
    core.mutator.release(region.id, lives.freed(region.name, core.place()), core.program.id)
    # An int: the upper half of r0 is 0.
    return error("EINVAL") & U32


def _push(name: str, *, front: bool) -> Implementation:
    def push(core: Core, args: Arguments) -> Value:
        state = core.state
        head = _head(core, args[0], SpecialKind.LIST_HEAD, name)
        node = _node(core, head, args[1], SpecialKind.LIST_NODE, name)
        region = _give(core, node, name)
        if links.owner(state, node) is not None:
            return _refuse(core, region)
        links.insert(state, head, 0 if front else len(links.nodes(state, head)), node, name)
        core.note(region.id, lives.stored(region.name, state.field_name(head), core.place()))
        return 0

    return push


def _take(core: Core, head: Pointer, node: Pointer, what: str) -> Pointer:
    """Take a node out; the program owns its object."""
    links.touch(core.state, head, links.nodes(core.state, head).index(node), what)
    links.remove(core.state, head, node)
    core.own(node.region)
    name = core.state.regions[node.region].name
    core.note(node.region, lives.taken(name, core.state.field_name(head), core.place()))
    return node


def _end(name: str, kind: SpecialKind, *, front: bool = True, take: bool = False) -> Implementation:
    """The first or last node."""

    def end(core: Core, args: Arguments) -> Value:
        head = _head(core, args[0], kind, name)
        nodes = links.nodes(core.state, head)
        if not nodes:
            return NULL
        node = nodes[0 if front else -1]
        return _take(core, head, node, name) if take else node

    return end


def _add(core: Core, args: Arguments) -> Value | str:
    state = core.state
    root = _changed_root(core, args[0], "bpf_rbtree_add")
    node = _node(core, root, args[1], SpecialKind.RB_NODE, "bpf_rbtree_add")
    less = core.function_at(args[2])
    region = _give(core, node, "bpf_rbtree_add")
    if links.owner(state, node) is not None:
        return _refuse(core, region)
    links.reserve(state, root, node)
    core.note(region.id, lives.stored(region.name, state.field_name(root), core.place()))
    core.search(TreeSearch(less, root, node, 0, len(links.nodes(state, root))))
    return CALLBACK


def _remove(core: Core, args: Arguments) -> Value:
    root = _changed_root(core, args[0], "bpf_rbtree_remove")
    node = _node(core, root, args[1], SpecialKind.RB_NODE, "bpf_rbtree_remove")
    if node not in links.nodes(core.state, root):
        return NULL
    return _take(core, root, node, "bpf_rbtree_remove")


def _root(core: Core, args: Arguments) -> Value:
    root = _head(core, args[0], SpecialKind.RB_ROOT, "bpf_rbtree_root")
    nodes = links.nodes(core.state, root)
    return nodes[len(nodes) // 2] if nodes else NULL


def _child(name: str, *, right: bool) -> Implementation:
    def child(core: Core, args: Arguments) -> Value:
        root = _head(core, args[0], SpecialKind.RB_ROOT, name)
        node = _node(core, root, args[1], SpecialKind.RB_NODE, name)
        if node not in links.nodes(core.state, root):
            return NULL
        found = links.parts(core.state, root, node)[right]
        return NULL if found is None else found

    return child


def _acquire(core: Core, args: Arguments) -> Value:
    """One owner more, unless the last one is gone (refcount_inc_not_zero): the memory of a
    counted object stays for a grace period."""
    state, what = core.state, "bpf_refcount_acquire"
    value = args[0]
    seen = state.regions.get(value.region) if isinstance(value, Pointer) else None
    if seen is not None and seen.status is Status.FREED and heap.counted(seen):
        return NULL
    region = heap.object_at(state, value, what)
    field = heap.counted(region)
    if field is None:
        raise Fault("bad-call", f"{what} of {region.name}, which has no bpf_refcount", region.id)
    state.set_word(region.id, field, state.word(region.id, field) + 1)
    core.own(region.id)
    core.note(region.id, lives.shared(region.name, core.place()))
    return Pointer(region.id, 0)


CALLS: Mapping[str, Implementation] = {
    "bpf_list_push_front_impl": _push("bpf_list_push_front", front=True),
    "bpf_list_push_back_impl": _push("bpf_list_push_back", front=False),
    "bpf_list_pop_front": _end("bpf_list_pop_front", SpecialKind.LIST_HEAD, take=True),
    "bpf_list_pop_back": _end("bpf_list_pop_back", SpecialKind.LIST_HEAD, front=False, take=True),
    "bpf_list_front": _end("bpf_list_front", SpecialKind.LIST_HEAD),
    "bpf_list_back": _end("bpf_list_back", SpecialKind.LIST_HEAD, front=False),
    "bpf_rbtree_add_impl": _add,
    "bpf_rbtree_remove": _remove,
    "bpf_rbtree_first": _end("bpf_rbtree_first", SpecialKind.RB_ROOT),
    "bpf_rbtree_root": _root,
    "bpf_rbtree_left": _child("bpf_rbtree_left", right=False),
    "bpf_rbtree_right": _child("bpf_rbtree_right", right=True),
    "bpf_refcount_acquire_impl": _acquire,
}
