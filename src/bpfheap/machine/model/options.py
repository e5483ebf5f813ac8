"""How a model machine is set up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How a machine is set up.

    `cpus` is the number of CPUs, `seed` starts bpf_get_prandom_u32, `step_limit` bounds the
    instructions of one execution. `allocator_limit` is the most objects that an allocator may own
    beyond which only guaranteed allocations succeed (None: no limit); `failing_allocations` are
    the numbers, from 1, of those allocations that fail among all that nothing guarantees.
    `history_limit` is the number of sentences kept; 0 keeps none. `garbage` is the number that
    stacks, new objects and records are full of at first, 8 bytes each: Linux leaves there what was
    there before.
    `memory` bounds the bytes of objects and maps together (None: no limit); what an allocator
    guarantees succeeds all the same.
    """

    cpus: int = 2
    seed: int = 0
    step_limit: int = 10_000_000
    allocator_limit: int | None = None
    failing_allocations: frozenset[int] = frozenset()
    history_limit: int = 100_000
    garbage: int = 0
    memory: int | None = None

    def rubbish(self, size: int) -> bytes:
        """What is in memory that nobody has written to."""
        if not self.garbage:
            return bytes(size)
        return (self.garbage.to_bytes(8, "little") * (size // 8 + 1))[:size]
