"""Objects in real memory as typed values: what the kptrs, lists and trees of a value hold."""

from __future__ import annotations

from collections.abc import Sequence

from bpfheap.btf import KptrField, SpecialField, SpecialKind
from bpfheap.machine.layout import SHOWN_DEPTH, SHOWN_OBJECTS, round_up
from bpfheap.machine.native._core import Core
from bpfheap.machine.native.heaps import TypedUnit
from bpfheap.runtime.machine import KptrValue


def kptr_values(
    core: Core,
    address: int,
    kptrs: tuple[KptrField, ...],
    special: tuple[SpecialField, ...],
    units: Sequence[TypedUnit],
    starts: Sequence[int],
) -> tuple[KptrValue, ...]:
    """What the value at `address` holds; on a hardened core, as much of it as leads to objects
    that live. `units` are those of objects, by the core's number;
    `starts` where its copies begin: one, or one for each CPU, whose offsets count from the first.
    """
    walk = _Walk(core, units)
    found: list[KptrValue] = []
    for start in starts:
        found += walk.held_by(address + start, kptrs, special, shift=start, depth=0)
    return tuple(found)


#: More levels than any tree of nodes has, unless a program made it up.
_DEEPEST = 1 << 16


class _Walk:
    """Goes through a value and the objects in it, as far as a KptrValue shows them."""

    def __init__(self, core: Core, units: Sequence[TypedUnit]) -> None:
        self._core = core
        self._units = units
        #: How many objects may still be shown.
        self._budget = SHOWN_OBJECTS

    def held_by(
        self,
        base: int,
        kptrs: tuple[KptrField, ...],
        special: tuple[SpecialField, ...],
        *,
        shift: int,
        depth: int,
    ) -> list[KptrValue]:
        """`base` is the address of a value or object, `shift` is added to its fields' offsets."""
        held = [(k.path, k.offset, self._word(base + k.offset)) for k in kptrs]
        for head in special:
            if head.contains is not None:
                nodes = self._nodes(base + head.offset, head.kind, self._budget)
                held += [
                    (f"{head.path}[{n}]", head.offset, node - head.contains.offset)
                    for n, node in enumerate(nodes)
                ]
        found: list[KptrValue] = []
        for path, offset, address in held:
            if not address:
                continue
            if depth > SHOWN_DEPTH or not self._budget:
                break
            self._budget -= 1
            found_type = self._core.type_at(address)
            if found_type is None:
                continue
            owner, number = found_type
            typed = self._units[number]
            of = typed.type
            found.append(
                KptrValue(
                    path,
                    shift + offset,
                    f"{of.name}@{address:x}",
                    of.name,
                    owner,
                    of.btf,
                    of.type_id,
                    self._object_bytes(address, typed),
                    tuple(self.held_by(address, of.kptrs, of.special, shift=0, depth=depth + 1)),
                )
            )
        return found

    def _object_bytes(self, address: int, typed: TypedUnit) -> bytes:
        """With the count of its owners, but kptrs and nodes as 0; of a per-CPU
        object all copies."""
        of = typed.type
        if typed.size != of.size:
            return self._bytes(address, round_up(of.size) * (typed.size // of.size))
        data = bytearray(self._bytes(address, of.size))
        for offset, length in (
            *((k.offset, 8) for k in of.kptrs),
            *((s.offset, s.size) for s in of.special if s.kind is not SpecialKind.REFCOUNT),
        ):
            data[offset : offset + length] = bytes(length)
        return bytes(data)

    def _bytes(self, address: int, size: int) -> bytes:
        return self._core.read(address, size) or bytes(size)

    def _word(self, address: int) -> int:
        return int.from_bytes(self._bytes(address, 8), "little")

    def _nodes(self, head: int, kind: SpecialKind, most: int) -> list[int]:
        """The addresses of a list's or tree's first `most` nodes, in order."""
        if kind is SpecialKind.LIST_HEAD:
            nodes: list[int] = []
            node = self._word(head)
            while node and len(nodes) < most:
                nodes.append(node)
                node = self._word(node)
            return nodes
        return self._in_order(self._word(head), most)

    def _in_order(self, root: int, most: int) -> list[int]:
        """Of a tree's nodes: left is the first word, right the second (struct bh_rb_node)."""
        nodes: list[int] = []
        above: list[int] = []
        node = root
        while (node or above) and len(nodes) < most:
            while node and len(above) < _DEEPEST:
                above.append(node)
                node = self._word(node)
            node = above.pop()
            nodes.append(node)
            node = self._word(node + 8)
        return nodes
