"""Which nodes a list head or tree root holds.

A head or root keeps pointers to its nodes, in their order; a node keeps one to the head or root
that it is in, or, while bpf_rbtree_add looks for its place, will be in. A tree has no more of a
shape than that: seen as one, the root of a range of nodes is the one in the middle, what comes
before it is its left part and what comes after it its right part.
"""

from __future__ import annotations

from bpfheap.machine.model.records import Status
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.model.values import Pointer


def nodes(state: MachineState, head: Pointer) -> tuple[Pointer, ...]:
    """The nodes of a head or root, first to last."""
    return state.regions[head.region].links.get(head.offset, ())


def owner(state: MachineState, node: Pointer) -> Pointer | None:
    """The head or root that a node is in."""
    return next(iter(state.regions[node.region].links.get(node.offset, ())), None)


def touch(state: MachineState, head: Pointer, at: int, what: str) -> None:
    """Raise Fault if there is a dead object where one that is number `at` comes or goes, as its
    neighbours change with it."""
    for node in nodes(state, head)[max(at - 1, 0) : at + 2]:
        region = state.regions[node.region]
        if region.status is not Status.LIVE:
            raise state.dead(region, f"{what} of {state.field_name(head)}, next to {region.name}")


def reserve(state: MachineState, head: Pointer, node: Pointer) -> None:
    """From now on a node, which is in none, belongs to `head`."""
    state.region(node.region).links[node.offset] = (head,)


def insert(state: MachineState, head: Pointer, at: int, node: Pointer, what: str) -> None:
    """Put a node before the one that is number `at` now; `what` is the call that does it. Raises
    Fault like `touch`."""
    touch(state, head, at, what)
    reserve(state, head, node)
    before = nodes(state, head)
    state.region(head.region).links[head.offset] = (*before[:at], node, *before[at:])


def remove(state: MachineState, head: Pointer, node: Pointer) -> None:
    """Take a node out, which is in."""
    left = tuple([n for n in nodes(state, head) if n != node])
    links = state.region(head.region).links
    if left:
        links[head.offset] = left
    else:
        links.pop(head.offset, None)
    state.region(node.region).links.pop(node.offset, None)


def parts(
    state: MachineState, root: Pointer, node: Pointer
) -> tuple[Pointer | None, Pointer | None]:
    """The left and right child of a node that is in the tree."""
    tree = nodes(state, root)
    at = tree.index(node)
    low, high = 0, len(tree)
    while (middle := (low + high) // 2) != at:
        low, high = (low, middle) if at < middle else (middle + 1, high)
    left = tree[(low + at) // 2] if low < at else None
    right = tree[(at + 1 + high) // 2] if at + 1 < high else None
    return left, right
