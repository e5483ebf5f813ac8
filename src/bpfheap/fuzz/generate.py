"""Random programs: the one with a seed and an index is the same wherever it is made.

A program is written so that it should be valid, up to bounds and offsets that are missed now and
then; about half of all are then changed in one place, so that what is refused is close to what is
not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from bpfheap.errors import UsageError
from bpfheap.fuzz import code, functions, scopes, statements
from bpfheap.fuzz.mutate import mutated
from bpfheap.fuzz.pieces import Code, Function, Pieces, Program
from bpfheap.fuzz.surroundings import ALL, FEATURES, MAPS, MAX_FUNCTIONS, function_name
from bpfheap.fuzz.writer import (
    CTX_SLOT,
    Callee,
    Held,
    Memory,
    Param,
    Purse,
    Role,
    Writer,
)
from bpfheap.isa import Insn
from bpfheap.platform.programs import CtxKind, ProgramType, program_type

#: How many programs, of 100, are changed so many times once they are written.
_CHANGES: Final = (35, 40, 25)
_DEEPEST: Final = 4


class Row(NamedTuple):
    """A statement: how often, and the feature without which it is not written."""

    weight: int
    write: Callable[[Writer], Pieces]
    feature: str | None = None


STATEMENTS: Final = (
    Row(8, statements.arithmetic),
    Row(4, statements.move),
    Row(2, statements.context),
    Row(4, statements.stack, "stack"),
    Row(4, statements.branch, "branches"),
    Row(1, statements.loop, "loops"),
    Row(1, statements.call_helper, "maps"),
    Row(4, scopes.value, "maps"),
    Row(6, scopes.through_pointer, "maps"),
    Row(3, scopes.object_, "kptrs"),
    Row(3, scopes.taken, "kptrs"),
    Row(3, functions.call, "calls"),
    Row(3, scopes.packet, "packets"),
    Row(2, scopes.record, "ringbuf"),
    Row(3, scopes.locked, "locks"),
    Row(2, functions.bpf_loop, "callbacks"),
    Row(2, functions.for_each, "callbacks"),
    Row(2, functions.iterate, "iterators"),
)

#: Sections, with how often each is chosen.
_SECTIONS: Final = (("tc", 6), ("xdp", 2), ("syscall", 2), ("cgroup_skb/ingress", 1), ("raw_tp", 1))


def statement(w: Writer) -> Pieces:
    """Some statement, none where there have been enough."""
    if w.purse.left <= 0:
        return ()
    w.purse.left -= 1
    rows = [row for row in STATEMENTS if row.feature is None or row.feature in w.features]
    if w.depth >= _DEEPEST:
        rows = [row for row in rows if row.write in _FLAT]
    chosen = w.rng.choices(rows, [row.weight for row in rows])[0]
    return chosen.write(w)


_FLAT: Final = frozenset(
    {statements.arithmetic, statements.move, statements.context, statements.stack,
     scopes.through_pointer}
)  # fmt: skip


def program(seed: int, index: int, features: frozenset[str]) -> Program:
    """Program number `index` of a seed."""
    rng = Random(f"{seed}:{index}:{','.join(sorted(features))}")
    section = rng.choices([name for name, _ in _SECTIONS], [often for _, often in _SECTIONS])[0]
    row = program_type(section)
    assert row is not None
    # Programs that trace may not take locks at all.
    used = features - {"locks"} if row.name == "raw_tracepoint" else features
    made = _Maker(rng, used, section, row).program()
    for _ in range(rng.choices(range(len(_CHANGES)), _CHANGES)[0]):
        made = mutated(rng, made)
    return made


def features_of(names: str) -> frozenset[str]:
    """From "maps,kptrs" or "all". Raises UsageError for a name that there is not."""
    if names == "all":
        return ALL
    chosen = frozenset(name.strip() for name in names.split(",") if name.strip())
    for name in sorted(chosen - ALL):
        raise UsageError(
            f"there is no feature {name}", hint=f"all, or some of {', '.join(sorted(ALL))}"
        )
    for feature in FEATURES:
        missing = feature.needs - chosen
        if feature.name in chosen and missing:
            raise UsageError(
                f"feature {feature.name} is nothing without {', '.join(sorted(missing))}",
                hint=f"--features {','.join(sorted(chosen | missing))}",
            )
    return chosen


@dataclass(slots=True)
class _Maker:
    """Writes all functions of one program."""

    rng: Random
    features: frozenset[str]
    section: str
    row: ProgramType

    def program(self) -> Program:
        callees = self._callees()
        purse = Purse(self.rng.choice((6, 12, 20, 30, 50)))
        bodies = [self._main(callees, purse)]
        for number, callee in enumerate(callees, 1):
            # A function calls those behind it, so that none calls itself.
            later = tuple(c for c in callees[number:] if c.role is Role.FUNCTION)
            bodies.append(self._callee(callee, later, Purse(self.rng.choice((2, 4, 8)))))
        made = tuple(Function(function_name(i), body) for i, body in enumerate(bodies))
        return Program(self.section, made)

    def _callees(self) -> tuple[Callee, ...]:
        rng = self.rng
        roles: list[Role] = []
        if "callbacks" in self.features:
            roles += rng.sample((Role.LOOP, Role.WALK), rng.choice((0, 1, 1, 2)))
        if "calls" in self.features:
            roles += [Role.FUNCTION] * rng.choice((0, 0, 1, 2, 3))
        callees = [self._signature(number, role) for number, role in enumerate(roles, 1)]
        return tuple(callees[: MAX_FUNCTIONS - 1])

    def _signature(self, number: int, role: Role) -> Callee:
        rng = self.rng
        values = [p for p in MAPS if p.value is not None and p.feature in self.features]
        if role is Role.LOOP:
            return Callee(number, role, (None, Param(Memory.STACK)))
        if role is Role.WALK:
            walked = rng.choice(values)
            params = (Param(Memory.KEY), Param(Memory.VALUE, walked), Param(Memory.STACK))
            return Callee(number, role, params, walked)
        kinds: list[Param | None] = [None, None, Param(Memory.STACK)]
        kinds += [Param(Memory.VALUE, rng.choice(values))] if values else []
        return Callee(number, role, tuple(rng.choice(kinds) for _ in range(rng.randrange(4))))

    def _writer(self, callees: tuple[Callee, ...], purse: Purse) -> Writer:
        return Writer(self.rng, self.features, self.row, purse, statement, callees)

    def _main(self, callees: tuple[Callee, ...], purse: Purse) -> Pieces:
        w = self._writer(callees, purse)
        w.has_ctx = True
        start = [code.store(8, code.FP, CTX_SLOT, 1)]
        start += [self._first_number(w, register) for register in w.numbers]
        body = w.block(w.rng.randint(3, 10))
        return (Code(tuple(start)), *body, self._result(w))

    def _first_number(self, w: Writer, register: int) -> Insn:
        """A known number, or a field of the context, which r1 points at."""
        fields = [f for f in self.row.fields if f.kind is CtxKind.SCALAR and f.name == "len"]
        fields += [f for f in self.row.fields if f.name in ("protocol", "rx_queue_index")]
        if w.chance(0.5) or not (fields or self.row.raw_ctx):
            return code.put(register, w.immediate())
        if self.row.raw_ctx:
            return code.load(8, register, 1, w.rng.choice((0, 8, 16)))
        field = w.rng.choice(fields)
        return code.load(field.size, register, 1, field.offset)

    def _result(self, w: Writer) -> Code:
        if self.row.name == "cgroup_skb":
            return Code((code.mov(0, w.number()), code.alu("and", 0, w.rng.choice((0, 1, 1, 3)))))
        return Code((code.mov(0, w.number()) if w.chance(0.4) else code.put(0, 0),))

    def _callee(self, callee: Callee, callees: tuple[Callee, ...], purse: Purse) -> Pieces:
        """A function with its parameters in r6 and up, or as pointers in scope."""
        w = self._writer(callees, purse)
        # A walk's first parameter is the map itself.
        first = 2 if callee.role is Role.WALK else 1
        start = [code.put(register, w.immediate()) for register in w.numbers]
        for n, param in enumerate(callee.params, first):
            if param is None:
                start.append(code.mov(w.rng.choice(w.numbers), n))
        for n, param in enumerate(callee.params, first):
            home = None if param is None else w.claim()
            if param is not None and home is not None:
                pointer = _pointer(param, home)
                w.held.append(pointer)
                start.append(pointer.keep(n))
        body = w.block(w.rng.randint(1, 4))
        return (Code(tuple(start)), *body, self._returns(w, callee))

    def _returns(self, w: Writer, callee: Callee) -> Code:
        if callee.role is Role.FUNCTION:
            return Code((code.mov(0, w.number()) if w.chance(0.7) else code.put(0, 1),))
        if w.chance(0.3):
            return Code((code.mov(0, w.number()), code.alu("and", 0, 1)))
        return Code((code.put(0, w.rng.choice((0, 0, 0, 1))),))


def _pointer(param: Param, home: int) -> Held:
    """A parameter as a pointer in scope."""
    match param.memory:
        case Memory.KEY:
            return Held(Memory.KEY, home, (0, 4), writable=False)
        case Memory.STACK:
            return Held(Memory.STACK, home, (0, functions.LENT))
    assert param.map is not None
    assert param.map.value is not None
    return Held(Memory.VALUE, home, param.map.value.plain, param.map.value, param.map)
