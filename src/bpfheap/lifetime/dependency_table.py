from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar, NamedTuple, Self

from bpfheap.lifetime.facts import FieldId, LoadFacts, Refusal, View
from bpfheap.lifetime.policy import Policy
from bpfheap.verifier.flows import FlowKind, Holder

#: In place of a program that was unloaded: its rows may be discarded.
_NOBODY = 0


class DependencyKind(StrEnum):
    """The three kinds of the message that proposes the table of dependency."""

    STORE = "store"  # the program stores objects of `allocator` into `field`
    EQUAL = "equal"  # `field` and `other` must have one allocator
    USE = "use"  # values of `field` may be on the program's stack


class Dependency(NamedTuple):
    """A row of the table. `program` is 0 once it may be discarded."""

    kind: DependencyKind
    program: int
    field: FieldId
    other: FieldId | None = None
    allocator: int | None = None

    @property
    def fields(self) -> frozenset[FieldId]:
        return frozenset({self.field} if self.other is None else {self.field, self.other})


class Chain(NamedTuple):
    """A connected component of the table: rows that share fields."""

    fields: frozenset[FieldId]
    rows: frozenset[Dependency]

    @property
    def allocators(self) -> frozenset[int]:
        return frozenset(r.allocator for r in self.rows if r.allocator is not None)

    @property
    def discardable(self) -> bool:
        return all(r.program == _NOBODY for r in self.rows)


class ChainWalk(NamedTuple):
    """The walk at a program's unload through the fields of a chain. `vain`: it does not dissolve
    the chain, since it found a value, or a program was loaded meanwhile that may have put one."""

    program: int
    fields: frozenset[FieldId]
    vain: bool = False


@dataclass(frozen=True, slots=True)
class DependencyTable(Policy):
    """The explicit table that the thread ends with. A load materialises what the program depends
    on: which allocator it stores into a field, which fields must have the same one, which it uses.
    All fields of a chain have one allocator, or a placeholder until there is one. An unload leaves
    the program's rows to be discarded; once that holds for a whole chain, the values are walked,
    and if all are NULL, the chain is dissolved and its fields are free for another allocator.
    Otherwise the next unload of a program that uses them tries again. At a map's free, what is
    known of its fields is handed to another field of the chain, since values may have gone on to
    there; with its last map the chain goes.

    A map inside a map has its own field, equal to that of the maps inside the outer one for as
    long as values may be there. Fields of objects cannot be walked and are refused.

    No hole is known. Values that stay keep the allocator, and a field that was emptied other than
    by a program stays bound until a program that uses it is unloaded.
    """

    table: frozenset[Dependency] = frozenset()
    walking: frozenset[ChainWalk] = frozenset()

    name: ClassVar[str] = "dependency-table"
    rule: ClassVar[str] = (
        "an explicit table: dependencies are materialised at load, with placeholders; a "
        "concrete allocator propagates to all related entries; unload marks them discardable; when "
        "a whole chain is discardable and a walk finds only NULL, it is dissolved and the field is "
        "free for another allocator"
    )
    thread: ClassVar[str] = "never two allocators in one field; values that stay keep it"

    def refuse(self, facts: LoadFacts, view: View) -> Refusal | None:
        for field in (f.field for f in facts.fields):
            if field.holder is Holder.TYPE:
                return Refusal(
                    f"struct {field.owner}.{field.path} is part of an object, and no walk finds "
                    "all objects"
                )
        rows = _rows(facts, view)
        for chain in _chains(self.table | rows):
            if len(chain.allocators) > 1 and chain.rows & rows:
                bound = {r.allocator for r in chain.rows - rows if r.allocator is not None}
                names = " and ".join(sorted(map(view.allocator_name, chain.allocators)))
                where = _names(chain, view)
                return Refusal(f"{where} would take objects of {names}", min(bound, default=None))
        return None

    def loaded(self, facts: LoadFacts, view: View) -> Self:
        return self._added(_rows(facts, view))

    def inner_inserted(self, outer: int, inner: int, view: View) -> Self:
        known = {f for row in self.table for f in row.fields}
        return self._added(
            {
                _equal(_NOBODY, field, FieldId(Holder.MAP, inner, field.path))
                for field in known
                if field.holder is Holder.INNER and field.owner == outer
            }
        )

    def _added(self, rows: Iterable[Dependency]) -> Self:
        new = frozenset(rows)
        touched = {f for row in new for f in row.fields}
        walking = (w._replace(vain=True) if w.fields & touched else w for w in self.walking)
        return replace(self, table=self.table | new, walking=frozenset(walking))

    def unloaded(self, program: int, view: View) -> Self:
        mine = {f for row in self.table if row.program == program for f in row.fields}
        table = frozenset(
            row._replace(program=_NOBODY) if row.program == program else row
            for row in self.table
            # What a program had on its stack is gone with it.
            if row.kind is not DependencyKind.USE or row.program != program
        )
        walking = set(self.walking)
        for chain in _chains(table):
            if chain.discardable and chain.fields & mine:
                if chain.allocators and _maps(chain.fields, view):
                    walking.add(ChainWalk(program, chain.fields))
                else:
                    # Without an allocator or a map there is no value.
                    table -= chain.rows
        return replace(self, table=table, walking=frozenset(walking))

    def walks(self, program: int, view: View) -> tuple[int, ...]:
        fields = {f for walk in self.walking if walk.program == program for f in walk.fields}
        return _maps(fields, view)

    def walked(self, program: int, field: FieldId, allocator: int | None, view: View) -> Self:
        if allocator is None:
            return self
        walking = (
            w._replace(vain=True) if w.program == program and field in w.fields else w
            for w in self.walking
        )
        return replace(self, walking=frozenset(walking))

    def walk_ended(self, program: int, view: View) -> Self:
        table = self.table
        ended = {w for w in self.walking if w.program == program}
        for chain in _chains(self.table):
            # No load came in between, so all rows of the chain are still discardable.
            if any(not w.vain and w.fields >= chain.fields for w in ended):
                table -= chain.rows
        return replace(self, table=table, walking=self.walking - ended)

    def map_freed(self, map_id: int, view: View) -> Self:
        table: set[Dependency] = set()
        for chain in _chains(self.table):
            left = sorted((f for f in chain.fields if f.owner != map_id), key=repr)
            if left:
                table.update(_handed_on(chain, map_id, left[0]))
        return replace(self, table=frozenset(table))

    def waits_for(self, allocator: int, view: View) -> tuple[str, ...]:
        return tuple(
            f"the dependency of {_names(chain, view)}"
            for chain in _chains(self.table)
            if allocator in chain.allocators
        )


def _maps(fields: Iterable[FieldId], view: View) -> tuple[int, ...]:
    """The maps that have the fields."""
    found: set[int] = set()
    for field in fields:
        assert isinstance(field.owner, int)
        inner = field.holder is Holder.INNER
        found |= set(view.inner_maps(field.owner)) if inner else {field.owner}
    return tuple(sorted(found))


def _names(chain: Chain, view: View) -> str:
    owners = ((f.owner, f.path) for f in chain.fields)
    return ", ".join(
        sorted(f"{view.map_name(owner)}.{path}" for owner, path in owners if isinstance(owner, int))
    )


def _handed_on(chain: Chain, map_id: int, to: FieldId) -> Iterator[Dependency]:
    """The rows of a chain, with one of its fields in place of all those of a map."""
    for row in chain.rows:
        field, other = (to if f and f.owner == map_id else f for f in (row.field, row.other))
        assert field is not None
        if other is None:
            yield row._replace(field=field)
        elif field != other:
            yield _equal(row.program, field, other)


def _rows(facts: LoadFacts, view: View) -> frozenset[Dependency]:
    """What a program depends on."""
    rows = set()
    program = facts.program
    for flow in facts.flows:
        if flow.field is None:
            continue
        if flow.kind is FlowKind.STORE and isinstance(flow.source, int):
            rows.add(Dependency(DependencyKind.STORE, program, flow.field, allocator=flow.source))
        elif flow.kind is FlowKind.MOVE and isinstance(flow.source, FieldId):
            rows.add(_equal(program, flow.source, flow.field))
        elif flow.kind is FlowKind.TAKE:
            rows.add(Dependency(DependencyKind.USE, program, flow.field))
    for field in {f.field for f in facts.fields if f.field.holder is Holder.INNER}:
        assert isinstance(field.owner, int)
        for inner in view.inner_maps(field.owner):
            rows.add(_equal(program, field, FieldId(Holder.MAP, inner, field.path)))
    return frozenset(rows)


def _equal(program: int, one: FieldId, other: FieldId) -> Dependency:
    if one == other:
        return Dependency(DependencyKind.USE, program, one)
    first, second = sorted((one, other), key=repr)
    return Dependency(DependencyKind.EQUAL, program, first, second)


def _chains(rows: Iterable[Dependency]) -> Iterator[Chain]:
    """The rows by connected components of their fields, in a fixed order."""
    chains: list[Chain] = []
    for row in sorted(rows, key=repr):
        joined = Chain(row.fields, frozenset({row}))
        for known in [c for c in chains if c.fields & row.fields]:
            chains.remove(known)
            joined = Chain(joined.fields | known.fields, joined.rows | known.rows)
        chains.append(joined)
    return iter(chains)
