"""What an exploration gives: a verdict, histories, findings. Plain data, in the shapes of the
design's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class VerdictKind(StrEnum):
    """`clean`: every reachable state was visited and is safe. `bounded`: the search ended before
    that, because of a bound on states or memory, or an interrupt."""

    CLEAN = "clean"
    VIOLATION = "violation"
    BOUNDED = "bounded"


class FindingKind(StrEnum):
    """Faults of a policy's design, which are no memory errors."""

    ORDER_DEPENDENT = "order-dependent-refusal"
    STUCK_FIELD = "stuck-field"
    IMMORTAL = "immortal-allocator"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """One action of a history: `action` in its short form ("load p1"), the sentences that the
    runtime and the machine say of it, and the source line where a program acted."""

    action: str
    sentences: tuple[str, ...]
    file: str | None = None
    line: int | None = None
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "; ".join((self.action, *self.sentences)),
            "file": self.file,
            "line": self.line,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class History:
    """A way from the beginning to something worth telling. `replay` is what `bpfheap replay`
    takes. `life` is that of the object that a violation is about."""

    steps: tuple[HistoryStep, ...]
    replay: str
    life: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Breach:
    """A violation of safety: use-after-free, double-free, leak; `message` in one sentence."""

    kind: str
    message: str
    history: History

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "message": self.message,
            "steps": [step.to_json() for step in self.history.steps],
            "replay": self.history.replay,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know about the policy's design, with the shortest history that shows it."""

    kind: FindingKind
    text: str
    history: History

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": str(self.kind),
            "text": self.text,
            "steps": [step.to_json() for step in self.history.steps],
            "replay": self.history.replay,
        }


@dataclass(frozen=True, slots=True)
class Retention:
    """How long allocators outlive their last object once their map is gone: the most `steps` along
    any shortest history, and the most `allocators` at one time, with the `bytes` that empty ones
    take."""

    steps: int = 0
    allocators: int = 0
    bytes: int = 0

    def to_json(self) -> dict[str, int]:
        return {"steps": self.steps, "allocators": self.allocators, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class Loads:
    """How often a program was let in and kept out, counted in transitions."""

    admitted: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """One policy in one scenario. `breaches` has one for each kind of violation and place, the
    shortest history first. `loads` is by program. `together`: two programs that store objects of
    different allocators into one field were loaded at once. `reused`: a program was let in to store
    into a field that an earlier allocator, gone by then, had filled. `finished`: nothing was left
    to visit, whatever the verdict. `full`: it ended where it took more memory than it may."""

    scenario: str
    policy: str
    verdict: VerdictKind
    states: int
    transitions: int
    depth: int
    seconds: float
    breaches: tuple[Breach, ...] = ()
    findings: tuple[Finding, ...] = ()
    retention: Retention = Retention()
    loads: Mapping[str, Loads] = field(default_factory=dict)
    together: bool = False
    reused: bool = False
    finished: bool = True
    full: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "policy": self.policy,
            "verdict": str(self.verdict),
            "states": self.states,
            "transitions": self.transitions,
            "depth": self.depth,
            "seconds": round(self.seconds, 3),
            "violation": self.breaches[0].to_json() if self.breaches else None,
            "violations": [breach.to_json() for breach in self.breaches],
            "findings": [finding.to_json() for finding in self.findings],
            "retention": self.retention.to_json(),
            "together": self.together,
            "reused": self.reused,
            "finished": self.finished,
            "full": self.full,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a search stands. `rate` is states per second, `memory` bytes of the visited set."""

    states: int
    transitions: int
    frontier: int
    depth: int
    rate: float
    memory: int
