"""Look-ups by id, and what they fail with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from bpfheap.errors import UsageError

Record = TypeVar("Record")


def by_id(records: Mapping[int, Record], wanted: int, kind: str) -> Record:
    """Raises UsageError: there is no such `kind` ("map")."""
    if wanted not in records:
        raise UsageError(f"there is no {kind} with id {wanted}")
    return records[wanted]


def check_cpu(cpu: int, cpus: int) -> int:
    """The CPU. Raises UsageError if a machine with `cpus` does not have it."""
    if not 0 <= cpu < cpus:
        raise UsageError(f"there is no CPU {cpu}", hint=f"0 to {cpus - 1}")
    return cpu


def check_cpus(cpus: int) -> int:
    """Raises UsageError for a machine without any."""
    if cpus < 1:
        raise UsageError(f"a machine cannot have {cpus} CPUs")
    return cpus
