"""What a policy is: facts in, answers out.

A policy is a frozen dataclass of plain data. An event does not change it but gives the policy
that holds afterwards, so that a state of the system can be kept, compared and hashed. Only the
allocators whose map is gone are asked about: as long as a descriptor, a pin or a loaded program
holds the allocator map, the allocator lives under every policy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self

from bpfheap.lifetime.facts import LoadFacts, View


def references_of(maps: Iterable[int], view: View) -> tuple[str, ...]:
    """The phrases of `waits_for` for references that maps hold, each map once."""
    return tuple(
        f"the reference that map {name} holds" for name in sorted({view.map_name(m) for m in maps})
    )


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy that admits everything and keeps nothing; others override what they decide.

    `rule` and `thread` are the lines of the table that `bpfheap policies` prints: what the policy
    does, and what the mailing-list thread says of it.
    """

    name: ClassVar[str]
    rule: ClassVar[str]
    thread: ClassVar[str]
    #: Allocators outlive everything by design, so one that is left at the end is no finding.
    immortal: ClassVar[bool] = False

    def refuse(self, facts: LoadFacts, view: View) -> str | None:
        """Why this program must not be loaded, None if it may."""
        return None

    def loaded(self, facts: LoadFacts, view: View) -> Self:
        """A program was admitted and loaded."""
        return self

    def unloaded(self, program: int, view: View) -> Self:
        """A program's last descriptor is gone and a grace period has passed."""
        return self

    def map_freed(self, map_id: int, view: View) -> Self:
        """All values of a map were walked and their kptrs freed."""
        return self

    def btf_freed(self, btf: int, view: View) -> Self:
        """The last map and program with types in it are gone."""
        return self

    def allocator_destroyed(self, allocator: int) -> Self:
        """Its id will not be seen again."""
        return self

    def waits_for(self, allocator: int, view: View) -> tuple[str, ...]:
        """What keeps an allocator whose map is gone, a phrase each; empty: it may be destroyed."""
        return ()
