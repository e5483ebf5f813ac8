"""Random programs. Seed, index and features determine a program completely, on any machine.

Programs are generated to be valid, except for a bound or offset that is wrong now and then. Two in
three are then mutated in one or two places, so that rejected programs are close to valid ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from bpfheap.errors import UsageError
from bpfheap.fuzz import code, functions, outside, scopes, statements
from bpfheap.fuzz.mutate import mutated
from bpfheap.fuzz.pieces import CodePiece, Pieces, RandomFunction, RandomProgram
from bpfheap.fuzz.surroundings import ALL, FEATURES, MAPS, MAX_FUNCTIONS, function_name
from bpfheap.fuzz.writer import (
    CTX_SLOT,
    Callee,
    CalleeParam,
    Pointee,
    Role,
    ScopedPointer,
    StatementBudget,
    Writer,
)
from bpfheap.isa import Insn
from bpfheap.platform.programs import CtxKind, Offer, ProgramType, program_type

#: Of 100 programs, how many get 0, 1 and 2 mutations.
_MUTATIONS: Final = (35, 40, 25)
#: Blocks nested deeper than this get no statement that has a block itself.
_MAX_DEPTH: Final = 4


class StatementRow(NamedTuple):
    """A kind of statement."""

    #: How often it is chosen, relative to the others.
    weight: int
    write: Callable[[Writer], Pieces]
    #: The feature without which it is never chosen.
    feature: str | None = None


STATEMENTS: Final = (
    StatementRow(8, statements.arithmetic),
    StatementRow(4, statements.move),
    StatementRow(2, statements.context),
    StatementRow(4, statements.stack, "stack"),
    StatementRow(4, statements.branch, "branches"),
    StatementRow(1, statements.loop, "loops"),
    StatementRow(1, statements.call_helper, "maps"),
    StatementRow(4, scopes.value, "maps"),
    StatementRow(6, scopes.through_pointer, "maps"),
    StatementRow(3, scopes.object_, "kptrs"),
    StatementRow(3, scopes.taken, "kptrs"),
    StatementRow(3, functions.call, "calls"),
    StatementRow(3, scopes.packet, "packets"),
    StatementRow(2, scopes.record, "ringbuf"),
    StatementRow(3, scopes.locked, "locks"),
    StatementRow(2, functions.bpf_loop, "callbacks"),
    StatementRow(2, functions.for_each, "callbacks"),
    StatementRow(2, functions.iterate, "iterators"),
    StatementRow(2, outside.outside, "outside"),
)

#: Sections, with how often each is chosen.
_SECTIONS: Final = (("tc", 6), ("xdp", 2), ("syscall", 2), ("cgroup_skb/ingress", 1), ("raw_tp", 1))


def write_statement(w: Writer) -> Pieces:
    """A random statement; nothing if the program has its number of statements."""
    if w.budget.left <= 0:
        return ()
    w.budget.left -= 1
    rows = [row for row in STATEMENTS if row.feature is None or row.feature in w.features]
    if w.depth >= _MAX_DEPTH:
        rows = [row for row in rows if row.write in _WITHOUT_BLOCK]
    chosen = w.rng.choices(rows, [row.weight for row in rows])[0]
    return chosen.write(w)


#: Statements without a block.
_WITHOUT_BLOCK: Final = frozenset(
    {statements.arithmetic, statements.move, statements.context, statements.stack,
     scopes.through_pointer}
)  # fmt: skip


def random_program(seed: int, index: int, features: frozenset[str]) -> RandomProgram:
    """Program number `bounded_index` of a seed."""
    rng = Random(f"{seed}:{index}:{','.join(sorted(features))}")
    section = rng.choices([name for name, _ in _SECTIONS], [often for _, often in _SECTIONS])[0]
    row = program_type(section)
    assert row is not None
    used = features if row.has(Offer.LOCKS) else features - {"locks"}
    made = _ProgramGenerator(rng, used, section, row).program()
    for _ in range(rng.choices(range(len(_MUTATIONS)), _MUTATIONS)[0]):
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
class _ProgramGenerator:
    """Generates all functions of one program."""

    rng: Random
    features: frozenset[str]
    section: str
    row: ProgramType

    def program(self) -> RandomProgram:
        callees = self._callees()
        budget = StatementBudget(self.rng.choice((6, 12, 20, 30, 50)))
        bodies = [self._main(callees, budget)]
        for number, callee in enumerate(callees, 1):
            # A function calls later ones only, so there is no recursion.
            later = tuple(c for c in callees[number:] if c.role is Role.FUNCTION)
            bodies.append(self._callee(callee, later, StatementBudget(self.rng.choice((2, 4, 8)))))
        made = tuple(RandomFunction(function_name(i), body) for i, body in enumerate(bodies))
        return RandomProgram(self.section, made)

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
            return Callee(number, role, (None, CalleeParam(Pointee.STACK)))
        if role is Role.WALK:
            walked = rng.choice(values)
            params = (
                CalleeParam(Pointee.KEY),
                CalleeParam(Pointee.VALUE, walked),
                CalleeParam(Pointee.STACK),
            )
            return Callee(number, role, params, walked)
        kinds: list[CalleeParam | None] = [None, None, CalleeParam(Pointee.STACK)]
        kinds += [CalleeParam(Pointee.VALUE, rng.choice(values))] if values else []
        return Callee(number, role, tuple(rng.choice(kinds) for _ in range(rng.randrange(4))))

    def _writer(self, callees: tuple[Callee, ...], budget: StatementBudget) -> Writer:
        return Writer(self.rng, self.features, self.row, budget, write_statement, callees)

    def _main(self, callees: tuple[Callee, ...], budget: StatementBudget) -> Pieces:
        w = self._writer(callees, budget)
        w.has_ctx = True
        start = [code.store(8, code.FP, CTX_SLOT, 1)]
        start += [self._first_number(w, register) for register in w.numbers]
        body = w.block(w.rng.randint(3, 10))
        return (CodePiece(tuple(start)), *body, self._result(w))

    def _first_number(self, w: Writer, register: int) -> Insn:
        """Give a register its first number: a constant, or a field of the context (r1)."""
        fields = [f for f in self.row.fields if f.kind is CtxKind.SCALAR and f.name == "len"]
        fields += [f for f in self.row.fields if f.name in ("protocol", "rx_queue_index")]
        if w.chance(0.5) or not (fields or self.row.raw_ctx is not None):
            return code.put(register, w.immediate())
        if self.row.raw_ctx is not None:
            return code.load(8, register, 1, w.rng.choice((0, 8, 16)))
        field = w.rng.choice(fields)
        return code.load(field.size, register, 1, field.offset)

    def _result(self, w: Writer) -> CodePiece:
        if self.row.returns is not None:
            # Mostly what may be returned.
            _, most = self.row.returns
            mask = w.rng.choice((0, most, most, 2 * most + 1))
            return CodePiece((code.mov(0, w.number()), code.alu("and", 0, mask)))
        return CodePiece((code.mov(0, w.number()) if w.chance(0.4) else code.put(0, 0),))

    def _callee(
        self, callee: Callee, callees: tuple[Callee, ...], budget: StatementBudget
    ) -> Pieces:
        """A function; its parameters are moved to r6 to r9 or become pointers in scope."""
        w = self._writer(callees, budget)
        # r1 of a callback of bpf_for_each_map_elem is the map.
        first = 2 if callee.role is Role.WALK else 1
        start = [code.put(register, w.immediate()) for register in w.numbers]
        for n, param in enumerate(callee.params, first):
            if param is None:
                start.append(code.mov(w.rng.choice(w.numbers), n))
        for n, param in enumerate(callee.params, first):
            home = None if param is None else w.claim_home()
            if param is not None and home is not None:
                pointer = _pointer(param, home)
                w.held.append(pointer)
                start.append(pointer.save(n))
        body = w.block(w.rng.randint(1, 4))
        return (CodePiece(tuple(start)), *body, self._returns(w, callee))

    def _returns(self, w: Writer, callee: Callee) -> CodePiece:
        if callee.role is Role.FUNCTION:
            return CodePiece((code.mov(0, w.number()) if w.chance(0.7) else code.put(0, 1),))
        if w.chance(0.3):
            return CodePiece((code.mov(0, w.number()), code.alu("and", 0, 1)))
        return CodePiece((code.put(0, w.rng.choice((0, 0, 0, 1))),))


def _pointer(param: CalleeParam, home: int) -> ScopedPointer:
    """A parameter as a pointer in scope."""
    match param.pointee:
        case Pointee.KEY:
            return ScopedPointer(Pointee.KEY, home, (0, 4), writable=False)
        case Pointee.STACK:
            return ScopedPointer(Pointee.STACK, home, (0, functions.LENT))
    assert param.map is not None
    assert param.map.value is not None
    return ScopedPointer(Pointee.VALUE, home, param.map.value.scalars, param.map.value, param.map)
