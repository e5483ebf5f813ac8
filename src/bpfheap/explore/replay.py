"""Histories, played on the very runtime that users have, and told step by step."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bpfheap.compile import CompileOptions
from bpfheap.errors import BpfheapError, UsageError, Violation
from bpfheap.explore.ledger import ViolationKey
from bpfheap.explore.plan import Plan, plan_of
from bpfheap.explore.results import History, HistoryStep
from bpfheap.explore.scenario import FLAGS, Bounds, KernelFiles, Scenario, read_scenario
from bpfheap.explore.world import Action, World, parse_action
from bpfheap.lifetime import POLICIES, Policy
from bpfheap.machine.model import ModelMachine
from bpfheap.runtime.system import System
from bpfheap.spec import SourceLine

_MARK = "bpfheap-1"
#: Longer numbers are no bound of anything, and Python reads the longest not at all.
_DIGITS = 9
_OF_PLANS = ("runs", "cpus", "loads", "creates", "objects", "nmi", "one_process")


def policy_named(name: str) -> type[Policy]:
    """Raises UsageError if there is none of that name."""
    for policy in POLICIES:
        if policy.name == name:
            return policy
    known = ", ".join(p.name for p in POLICIES)
    raise UsageError(f"there is no policy {name}", hint=f"one of {known}")


class Player:
    """A plain runtime under a policy, moved action by action. A history that ends in a violation
    leaves it in `violation`, and then nothing more can be played."""

    def __init__(self, plan: Plan, policy: Policy) -> None:
        bounds = plan.bounds
        self._machine = ModelMachine(cpus=bounds.cpus, allocator_limit=bounds.objects)
        self.world = World(plan, System(policy, self._machine))
        self.violation: Violation | None = None

    def play(self, action: Action) -> HistoryStep:
        """Raises UsageError for an action that is not possible now."""
        history = self._machine.history
        before = len(history)
        stop = None if action.cpu is None else self.world.stops.get(action.cpu)
        running = "" if action.cpu is None else self.world.program_on(action.cpu)
        refused = None
        try:
            refused = self.world.do(action)
        except Violation as violation:
            self.violation = violation
        sentences = list(history[before:])
        if refused is not None and not sentences:
            sentences = [refused.message]
        lines = (getattr(sentence, "line", None) for sentence in reversed(sentences))
        line = next((found for found in lines if found is not None), None)
        if action.verb == "step" and stop is not None:
            line = line or stop.line
            if not sentences:
                sentences = [f"{running} calls {stop.name}"]
        return _step(action, sentences, line)

    def end(self) -> Violation | None:
        """What is left when everything is closed."""
        if self.violation is None and not any(
            self.world.enabled(actor) for actor in self.world.actors()
        ):
            self.violation = self.world.leaks()
        return self.violation


def _step(action: Action, sentences: Sequence[str], line: SourceLine | None) -> HistoryStep:
    if line is None:
        return HistoryStep(str(action), tuple(sentences))
    return HistoryStep(str(action), tuple(sentences), line.file, line.line, line.text.strip())


def is_same(plan: Plan, policy: Policy, actions: Sequence[Action], wanted: ViolationKey) -> bool:
    """Whether the actions can be played and end, not before the last one, in that violation."""
    player = Player(plan, policy)
    for n, action in enumerate(actions):
        try:
            player.play(action)
        except UsageError:
            return False
        if player.violation is not None:
            return n == len(actions) - 1 and ViolationKey.of(player.violation) == wanted
    left = player.end()
    return left is not None and ViolationKey.of(left) == wanted


def shorten(
    plan: Plan, policy: Policy, actions: Sequence[Action], wanted: ViolationKey
) -> list[Action]:
    """Leave out what the violation does not need: a reduced search takes independent steps as soon
    as they are possible."""
    kept = list(actions)
    again = True
    while again:
        again = False
        for width in (1, 2):
            for at in range(len(kept) - width, -1, -1):
                fewer = kept[:at] + kept[at + width :]
                if is_same(plan, policy, fewer, wanted):
                    kept, again = fewer, True
                    break
            if again:
                break
    return kept


def trace_of(scenario: Scenario, policy: str, actions: Sequence[Action]) -> str:
    """The replay string: what to explore, and the actions, in one line."""
    bounds = ",".join(f"{name}={_number(scenario.bounds, name)}" for name in _OF_PLANS)
    words = (*scenario.compiling.words(), *map(str, scenario.paths))
    paths = " ".join(map(shlex.quote, words))
    return f"{_MARK} {policy} {bounds} {paths} | " + "; ".join(map(str, actions))


def _number(bounds: Bounds, name: str) -> str:
    value = getattr(bounds, name)
    return "-" if value is None else str(int(value))


class Replay:
    """A history from its replay string. `violation` is what it ended in, once `steps` came to the
    end. `kernel` is what Vmlinux is given.

    Raises UsageError for what is no replay string, or names what is not there, and what reading
    and compiling the files raises.
    """

    def __init__(self, trace: str, *, kernel: KernelFiles = (None, None)) -> None:
        head, bar, tail = trace.strip().partition(" | ")
        try:
            words = shlex.split(head)
        except ValueError:
            words = []
        if not bar or len(words) < 4 or words[0] != _MARK:
            raise UsageError(
                "this is no replay string",
                hint=f"it begins with {_MARK}; `bpfheap explore` prints one for each history",
            )
        self.policy = words[1]
        policy = policy_named(self.policy)
        bounds = _bounds(words[2])
        compiling, paths = CompileOptions.read(words[3:])
        files = [Path(path) for path in paths]
        scenario = read_scenario(files, compiling, kernel=kernel, **bounds)
        # What the folder says of objects does not count, even where there is no limit.
        limited = replace(scenario.bounds, objects=bounds.get("objects"))
        self.scenario = replace(scenario, bounds=limited)
        self._actions = [parse_action(text) for text in tail.split(";") if text.strip()]
        self.actions = tuple(map(str, self._actions))
        self._plan = plan_of(self.scenario, policy.macro)
        self._policy = policy()
        self.violation: Violation | None = None

    def steps(self) -> Iterator[HistoryStep]:
        """Play it. Raises UsageError at an action that is not possible."""
        player = Player(self._plan, self._policy)
        for action in self._actions:
            yield player.play(action)
            if player.violation is not None:
                break
        self.violation = player.end()


def _bounds(text: str) -> dict[str, int | bool | None]:
    given: dict[str, int | bool | None] = {}
    for item in text.split(","):
        name, _, value = item.partition("=")
        absent = value == "-" and name == "objects"
        number = value.isdecimal() and len(value) <= _DIGITS
        if name not in _OF_PLANS or not (absent or number):
            raise UsageError(f"{item!r} in the replay string is no bound")
        given[name] = None if absent else bool(int(value)) if name in FLAGS else int(value)
    return given


def history_of(
    scenario: Scenario, plan: Plan, policy: Policy, actions: Sequence[Action]
) -> tuple[History, Violation | None]:
    """Play the actions and tell them. Raises BpfheapError if they cannot be played, which would
    mean that explorer and runtime disagree."""
    player = Player(plan, policy)
    steps = []
    for action in actions:
        try:
            steps.append(player.play(action))
        except UsageError as error:
            raise BpfheapError(f"the history cannot be played: {error}") from error
    violation = player.end()
    life = () if violation is None else violation.life
    trace = trace_of(scenario, policy.name, actions)
    return History(tuple(steps), trace, life), violation
