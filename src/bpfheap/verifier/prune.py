"""Where paths meet: is what is known here covered by what was walked already? Does a path run in
circles?

Sources: is_state_visited, states_equal, regsafe, stacksafe, refsafe and check_ids in
kernel/bpf/verifier.c. Scalars that decide nothing later are not compared (see liveness).
"""

from __future__ import annotations

from bpfheap.verifier import hints
from bpfheap.verifier.env import Env
from bpfheap.verifier.liveness import FIRST_SLOT, Demand, demands
from bpfheap.verifier.program import Program
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.scalar import UNKNOWN_SCALAR, subset
from bpfheap.verifier.state import (
    ALL_MISC,
    SCALAR,
    SLOT,
    SPILL,
    STACK_SIZE,
    UNINIT,
    ZERO,
    Frame,
    Reg,
    RegKind,
    Slot,
    State,
)

# A state is stored only after this much has happened since the last one; storing costs time at
# every later visit. Within a loop the next iterations rarely meet it.
_MIN_JUMPS, _MIN_INSNS = 2, 8
_MIN_LOOP_JUMPS, _MIN_LOOP_INSNS = 20, 100
# A state that was compared more often than this without use is forgotten.
_MISSES_PER_HIT, _MAX_LOOP_MISSES = 3, 64


class Stored:
    """A state at a slot. `branches` counts the paths from it that are not walked to their ends
    yet: as long as there are any, it says nothing of safety, but can show a loop."""

    __slots__ = ("branches", "hits", "misses", "parent", "state")

    def __init__(self, state: State, parent: Stored | None) -> None:
        self.state = state
        self.parent = parent
        self.branches = 1
        self.hits = 0
        self.misses = 0


def _useless(stored: Stored) -> bool:
    """Compared often and of no use: every later visit would pay for it."""
    if stored.branches:
        return stored.misses > _MAX_LOOP_MISSES
    return stored.misses > _MISSES_PER_HIT * (stored.hits + 1)


class _Point:
    """All states stored at one slot. `latest` has the newest one for each set of values of what
    decides something here: a path in circles meets itself there."""

    __slots__ = ("exact_registers", "exact_slots", "latest", "stored")

    def __init__(self, demand: Demand) -> None:
        self.exact_registers = tuple(i for i in range(10) if demand.exact >> i & 1)
        self.exact_slots = tuple(
            -1 - i for i in range(STACK_SIZE // SLOT) if demand.exact >> (FIRST_SLOT + i) & 1
        )
        self.stored: list[Stored] = []
        self.latest: dict[tuple[int, ...], Stored] = {}

    def key(self, st: State) -> tuple[int, ...]:
        """Equal for states that are the same in all that decides something; mostly the number
        that a loop counts with."""
        values: list[int] = []
        for i in self.exact_registers:
            reg = st.regs[i]
            if reg.kind is SCALAR:
                values += (reg.scalar.umin, reg.scalar.umax)
        stack = st.top.stack
        for at in self.exact_slots:
            slot = stack.get(at)
            if slot is not None and slot.reg is not None:
                values += (slot.reg.scalar.umin, slot.reg.scalar.umax)
        return tuple(values)


class History:
    """All states stored, by slot."""

    def __init__(self, env: Env) -> None:
        self._program = env.program
        #: For each slot, what the rest of its function depends on.
        self._demand = demands(env.program, env.spec)
        self._points: dict[int, _Point] = {}
        self._last_jumps = 0
        self._last_insns = 0
        self.count = 0

    def start(self, st: State) -> None:
        """The first path begins."""
        st.parent = Stored(st.copy(), None)

    def visit(self, st: State, slot: int, insns: int, jumps: int) -> bool:
        """May the path end here, because another one covered it? Stores the state otherwise, if
        that is worth it. Raises Reject for a loop without end."""
        point = self._points.get(slot)
        if point is None:
            point = self._points[slot] = _Point(self._demand[slot])
        key = point.key(st)
        before = point.latest.get(key)
        if before is not None and before.branches and self._same(before, st, slot, exact=True):
            raise Reject(f"infinite loop detected at insn {slot}", hint=hints.LOOP)
        jumped, walked = jumps - self._last_jumps, insns - self._last_insns
        store = jumped >= _MIN_JUMPS and walked >= _MIN_INSNS
        # An iteration that differs: let some pass before the next one is stored.
        in_loop = jumped < _MIN_LOOP_JUMPS and walked < _MIN_LOOP_INSNS
        useless = False
        for stored in point.stored:
            if stored.branches:
                if in_loop:
                    store = False
            elif self._same(stored, st, slot, exact=False):
                stored.hits += 1
                return True
            if store:
                stored.misses += 1
                useless = useless or _useless(stored)
        if useless:
            point.stored[:] = [stored for stored in point.stored if not _useless(stored)]
        if store:
            self._last_jumps, self._last_insns = jumps, insns
            self.count += 1
            stored = Stored(st.copy(), st.parent)
            point.stored.append(stored)
            point.latest[key] = stored
            st.parent = stored
        return False

    def _same(self, stored: Stored, st: State, slot: int, *, exact: bool) -> bool:
        return _Comparison(self._program, self._demand, exact=exact).same(stored.state, st, slot)

    @staticmethod
    def end(st: State) -> None:
        """The path is walked to its end (update_branch_counts)."""
        stored: Stored | None = st.parent
        while stored is not None:
            stored.branches -= 1
            if stored.branches:
                break
            stored = stored.parent


class _Comparison:
    """One comparison of an old state with a new one, which may call equal things by other ids.

    With `exact`, all that decides anything must be the same; otherwise the old state must allow
    all that the new one allows.
    """

    __slots__ = ("_demand", "_exact", "_ids", "_links", "_program", "_reverse")

    def __init__(self, program: Program, demand: list[Demand], *, exact: bool) -> None:
        self._program = program
        self._demand = demand
        self._exact = exact
        self._ids: dict[int, int] = {}
        self._reverse: dict[int, int] = {}
        self._links: dict[int, int] = {}

    def same(self, old: State, new: State, slot: int) -> bool:
        if len(old.frames) != len(new.frames) or len(old.refs) != len(new.refs):
            return False
        last = len(new.frames) - 1
        demand = self._demand
        # The top frame differs most often.
        for i in range(last, -1, -1):
            a, b = old.frames[i], new.frames[i]
            if a.callsite != b.callsite:
                return False
            at = slot if i == last else self._program.at(new.frames[i + 1].callsite).next
            if not self._frame(a, b, demand[at]):
                return False
        return all(
            self._same_id(a.id, b.id) and a.object == b.object
            for a, b in zip(old.refs, new.refs, strict=True)
        )

    def _frame(self, old: Frame, new: Frame, demand: Demand) -> bool:
        live, exact = demand
        a, b = old.regs, new.regs
        for i in range(10):
            if live >> i & 1 and not self._register(a[i], b[i], bool(exact >> i & 1)):
                return False
        stack = new.stack
        for at, slot in old.stack.items():
            bit = FIRST_SLOT - 1 - at
            if live >> bit & 1 and not self._slot(slot, stack.get(at), bool(exact >> bit & 1)):
                return False
        # Where the old state knows nothing of a slot it covers whatever the new one knows.
        return not self._exact or all(
            at in old.stack or not exact >> (FIRST_SLOT - 1 - at) & 1 for at in stack
        )

    def _register(self, old: Reg, new: Reg, exact: bool) -> bool:
        kind = old.kind
        if kind is UNINIT and not self._exact:
            return True
        if kind is not new.kind:
            return False
        if kind is SCALAR:
            if not exact:
                return True
            if self._exact:
                return old.scalar == new.scalar and self._same_id(old.id, new.id)
            return subset(new.scalar, old.scalar) and self._same_link(old.id, new.id)
        if kind is UNINIT:
            return True
        if old.off != new.off or old.or_null != new.or_null:
            return False
        if old.what is not new.what and old.what != new.what:
            return False
        if self._exact or kind is not RegKind.MAP_VALUE:
            if old.scalar != new.scalar:
                return False
        elif not subset(new.scalar, old.scalar):
            return False
        return self._same_id(old.id, new.id) and self._same_id(old.ref, new.ref)

    def _slot(self, old: Slot, new: Slot | None, exact: bool) -> bool:
        reg = old.reg
        if reg is not None and reg.kind is not SCALAR:
            return (
                new is not None
                and new.reg is not None
                and new.kinds == old.kinds
                and self._register(reg, new.reg, exact)
            )
        if self._exact:
            if new is None or new.kinds != old.kinds:
                return not exact
            if reg is None or new.reg is None:
                return True
            return self._register(reg, new.reg, exact)
        if not exact:
            # Numbers, whatever they are. A pointer can be read as a number too, but not in parts.
            return new is None or new.reg is None or new.reg.kind is SCALAR
        if new is None:
            return reg is not None and reg.scalar == UNKNOWN_SCALAR and not reg.id
        if reg is not None and new.reg is not None and new.kinds == old.kinds:
            return self._register(reg, new.reg, exact)
        return reg is None and all(
            was == ALL_MISC[0] or (was == ZERO and (now == ZERO or (now == SPILL and _zero(new))))
            for was, now in zip(old.kinds, new.kinds, strict=True)
        )

    def _same_id(self, old: int, new: int) -> bool:
        """Each id of one side stands for one of the other (check_ids)."""
        if not old or not new:
            return old == new
        return self._ids.setdefault(old, new) == new and self._reverse.setdefault(new, old) == old

    def _same_link(self, old: int, new: int) -> bool:
        """What was tied to one another must be so again; more may be tied (check_scalar_ids)."""
        if not old:
            return True
        if not new:
            # Tied to nothing: a name of its own, which no other register will have.
            new = -1 - len(self._links)
        return self._links.setdefault(old, new) == new


def _zero(slot: Slot) -> bool:
    reg = slot.reg
    return reg is not None and reg.kind is SCALAR and reg.scalar.umax == 0
