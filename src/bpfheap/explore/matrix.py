"""Policies side by side: what every scenario that was explored says of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bpfheap.explore.plan import Plan, plan_of
from bpfheap.explore.results import Breach, FindingKind, Result, Retention, VerdictKind
from bpfheap.explore.scenario import Scenario
from bpfheap.lifetime import POLICIES

#: No scenario that was explored says anything of this.
NOT_APPLICABLE = "n/a"

_ASKS: Mapping[str, str | None] = {policy.name: policy.asks for policy in POLICIES}
_ORDER: Mapping[str, int] = {policy.name: n for n, policy in enumerate(POLICIES)}


class Shows(NamedTuple):
    """What a scenario can show of any policy. `storing` are the programs that put new objects into
    fields; `contested`: two of them fill one field from different allocators; `inner`: there is a
    map of maps."""

    storing: frozenset[str]
    contested: bool = False
    inner: bool = False


def shows(scenario: Scenario) -> Shows:
    """Raises what compiling and verifying the scenario's files raises."""
    plan = plan_of(scenario)
    storing = frozenset(label for label in plan.programs if plan.stores(label))
    inner = any(m.spec.inner is not None for m in plan.maps.values())
    return Shows(storing, _is_contested(plan, storing), inner)


def _is_contested(plan: Plan, storing: Iterable[str]) -> bool:
    allocators: dict[str, str] = {}
    for label in storing:
        for store in plan.stores(label):
            if allocators.setdefault(store.field, store.allocator) != store.allocator:
                return True
    return False


class Counterexample(NamedTuple):
    """The shortest violation that a policy allows, and where."""

    scenario: str
    breach: Breach

    @property
    def steps(self) -> int:
        return len(self.breach.history.steps)

    def to_json(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario,
            "kind": self.breach.kind,
            "message": self.breach.message,
            "steps": self.steps,
            "replay": self.breach.history.replay,
        }


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one policy. The lists are names of scenarios.

    `counterexample` is the shortest of all; `broken` are the scenarios with any. `vacuous` are
    those in which no program that stores was ever let in, so that there was nothing to get wrong;
    `open` those whose search ended at a bound. `order` have a load that is refused in some orders
    only, `immortal` an allocator that is never freed.
    """

    policy: str
    sound: str
    counterexample: Counterexample | None
    broken: tuple[str, ...]
    vacuous: tuple[str, ...]
    open: tuple[str, ...]
    order: tuple[str, ...] | None
    reuse: str
    together: str
    inner: str
    retention: Retention
    immortal: tuple[str, ...]
    asks: str | None

    def to_json(self) -> dict[str, Any]:
        found = self.counterexample
        return {
            "policy": self.policy,
            "sound": self.sound,
            "counterexample": None if found is None else found.to_json(),
            "broken": list(self.broken),
            "vacuous": list(self.vacuous),
            "open": list(self.open),
            "order_dependent_refusals": None if self.order is None else list(self.order),
            "field_reuse": self.reuse,
            "two_allocators_in_one_field": self.together,
            "inner_maps": self.inner,
            "retention": self.retention.to_json(),
            "immortal": list(self.immortal),
            "asks": self.asks,
        }

    def cells(self) -> tuple[str, ...]:
        """One text for each of COLUMNS."""
        return tuple(show(self) for show in COLUMNS.values())


def _sound_cell(row: Row) -> str:
    found = row.counterexample
    if found is not None:
        more = len(row.broken) - 1
        also = f", and {more} more" if more else ""
        return f"no: {found.scenario}, {_count(found.steps, 'step')} ({found.breach.kind}){also}"
    if row.sound == "open":
        return f"open: not finished in {_listed(row.open)}"
    if row.sound == "vacuous":
        return "vacuous: refused"
    return f"yes (vacuous in {_listed(row.vacuous)})" if row.vacuous else "yes"


def _order_cell(row: Row) -> str:
    if row.order is None:
        return NOT_APPLICABLE
    return _listed(row.order) if row.order else "none found" if row.open else "none"


def _retention_cell(row: Row) -> str:
    if row.immortal:
        return f"for ever: {_listed(row.immortal)}"
    if not row.retention.steps:
        return "none"
    steps, allocators = row.retention.steps, row.retention.allocators
    return f"{_count(steps, 'step')}, {_count(allocators, 'allocator')}"


#: The columns of the table, and what each shows of a row.
COLUMNS: Mapping[str, Callable[[Row], str]] = {
    "policy": lambda row: row.policy,
    "sound": _sound_cell,
    "order-dependent refusals": _order_cell,
    "field reuse": lambda row: row.reuse,
    "two allocators in a field": lambda row: row.together,
    "inner maps": lambda row: row.inner,
    "retention": _retention_cell,
    "asks for": lambda row: row.asks or "nothing",
}


class Matrix:
    """The table. `shown` says, by the scenario's name, what there was to see in it; without that a
    result speaks for itself only."""

    def __init__(self, results: Sequence[Result], shown: Mapping[str, Shows] | None = None) -> None:
        by_policy: dict[str, list[Result]] = {}
        for result in results:
            by_policy.setdefault(result.policy, []).append(result)
        known = shown or {}
        names = sorted(by_policy, key=lambda name: _ORDER.get(name, len(_ORDER)))
        self.rows = tuple(_row(name, by_policy[name], known) for name in names)

    def to_json(self) -> list[dict[str, Any]]:
        return [row.to_json() for row in self.rows]

    def markdown(self) -> str:
        """A table, a line for each policy; ends in a newline."""
        lines = [tuple(COLUMNS), ("---",) * len(COLUMNS), *(row.cells() for row in self.rows)]
        return "".join(f"| {' | '.join(map(_escaped, cells))} |\n" for cells in lines)


def _row(policy: str, results: Sequence[Result], shown: Mapping[str, Shows]) -> Row:
    nothing = Shows(frozenset())
    pairs = [(result, shown.get(result.scenario, nothing)) for result in results]
    breaches = [Counterexample(r.scenario, breach) for r in results for breach in r.breaches[:1]]
    vacuous = tuple(r.scenario for r, there in pairs if _is_vacuous(r, there))
    telling = [r for r, there in pairs if there.storing] or results
    unfinished = tuple(r.scenario for r in results if not r.finished)
    retentions = [r.retention for r in results]
    return Row(
        policy=policy,
        sound=_soundness(bool(breaches), unfinished, len(vacuous) == len(telling)),
        counterexample=min(breaches, key=lambda c: c.steps, default=None),
        broken=tuple(c.scenario for c in breaches),
        vacuous=vacuous,
        open=unfinished,
        order=_with(FindingKind.ORDER_DEPENDENT, results)
        if any(len(r.loads) > 1 for r in results)
        else None,
        reuse=_reuse(pairs),
        together=_together(pairs),
        inner=_inner([(r, there) for r, there in pairs if there.inner]),
        retention=Retention(
            max((r.steps for r in retentions), default=0),
            max((r.allocators for r in retentions), default=0),
            max((r.bytes for r in retentions), default=0),
        ),
        immortal=_with(FindingKind.IMMORTAL, results),
        asks=_ASKS.get(policy),
    )


def _soundness(broken: bool, unfinished: Sequence[str], vacuous: bool) -> str:
    if broken:
        return "no"
    if unfinished:
        return "open"
    return "vacuous" if vacuous else "yes"


def _is_vacuous(result: Result, there: Shows) -> bool:
    """Nothing was ever stored: no wonder that nothing went wrong."""
    return bool(there.storing) and not any(
        label in result.loads and result.loads[label].admitted for label in there.storing
    )


def _with(kind: FindingKind, results: Iterable[Result]) -> tuple[str, ...]:
    return tuple(r.scenario for r in results if any(f.kind is kind for f in r.findings))


def _reuse(pairs: Iterable[tuple[Result, Shows]]) -> str:
    """Whether a field that an allocator filled can be filled by another one after its end."""
    found = list(pairs)
    reused = any(r.reused for r, _ in found)
    stuck = _with(FindingKind.STUCK_FIELD, (r for r, _ in found))
    if reused and stuck:
        return f"not always: {_listed(stuck)}"
    if reused:
        return "yes"
    if stuck:
        return f"no: {_listed(stuck)}"
    return _absent([r for r, there in found if there.contested])


def _together(pairs: Iterable[tuple[Result, Shows]]) -> str:
    found = list(pairs)
    if any(r.together for r, _ in found):
        return "yes"
    return _absent([r for r, there in found if there.contested])


def _absent(results: Sequence[Result]) -> str:
    """It was not seen: does that mean anything?"""
    if not results:
        return NOT_APPLICABLE
    return "no" if all(r.finished for r in results) else "not seen"


def _inner(pairs: Sequence[tuple[Result, Shows]]) -> str:
    """The verdict where maps are put into maps and taken out again."""
    if not pairs:
        return NOT_APPLICABLE
    steps = [len(r.breaches[0].history.steps) for r, _ in pairs if r.breaches]
    if steps:
        return f"broken: {_count(min(steps), 'step')}"
    if any(r.verdict is VerdictKind.BOUNDED for r, _ in pairs):
        return "open"
    return "refused" if all(_is_vacuous(r, there) for r, there in pairs) else "sound"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|")
