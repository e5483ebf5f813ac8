"""What programs may be made of under an earlier release of Linux.

linux.py says since when there are helpers, kfuncs, map types and program types; here is the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

from bpfheap.isa import Kind, Op
from bpfheap.platform.linux import (
    NEWEST,
    Release,
    attach_type_since,
    helper_since,
    kfunc_since,
    program_type_since,
)
from bpfheap.platform.programs import program_type, section_def

__all__ = [
    "LONG_TERM",
    "Rule",
    "call_since",
    "op_since",
    "section_since",
]

#: Releases that are maintained for years, and that of all tables here.
LONG_TERM: Final[tuple[Release, ...]] = ((5, 15), (6, 1), (6, 6), (6, 12), NEWEST)

_FIRST: Final[Release] = (3, 19)
#: Newer ones first: an instruction is of the first that says so.
_OPS: Final[tuple[tuple[Release, Callable[[Op], bool]], ...]] = (
    ((6, 15), lambda op: op.name in ("load_acquire", "store_release")),
    ((6, 9), lambda op: op.kind is Kind.MAY_GOTO or op.name == "addr_space_cast"),
    # -mcpu=v4
    ((6, 6), lambda op: bool(op.sx) or op.name in ("sdiv", "smod", "bswap")),
    ((6, 6), lambda op: op.kind is Kind.JA and op.width == 32),
    ((5, 14), lambda op: op.name.startswith("map_idx")),
    ((5, 13), lambda op: op.name == "func" or op.kind is Kind.CALL_KFUNC),
    # -mcpu=v3
    ((5, 12), lambda op: op.kind is Kind.ATOMIC and (op.fetch or op.name != "add")),
    ((5, 10), lambda op: op.name == "var"),
    ((5, 2), lambda op: op.name == "map_value"),
    ((5, 1), lambda op: op.kind is Kind.JCOND and op.width == 32),
    ((4, 16), lambda op: op.kind is Kind.CALL_LOCAL),
    # -mcpu=v2
    ((4, 14), lambda op: op.name in ("jlt", "jle", "jslt", "jsle")),
)


class Rule(Enum):
    """What the verifier of Linux does otherwise since some release: which one, and the commit that
    changed it."""

    #: Calls of static functions with a spin lock held (check_func_call).
    CALL_LOCKED = (6, 9), "a44b1334aadd"
    #: A constant key that an array has finds an element (can_elide_value_nullness).
    CONSTANT_KEYS = (6, 14), "d2102f2f5d75"
    #: Loops over numbers with a spin lock held (is_bpf_iter_num_api_kfunc).
    ITERATE_LOCKED = (6, 14), "512816403ece"

    def __init__(self, since: Release, commit: str) -> None:
        self.since = since
        self.commit = commit


#: The types of programs whose attach type Linux looks at when it loads them
#: (bpf_prog_load_check_attach), by number.
_ATTACHED: Final = frozenset({8, 9, 18, 21, 25, 26, 29, 30, 32})


def op_since(op: Op) -> Release:
    """The release whose verifier knew an instruction first."""
    return next((since for since, is_of in _OPS if is_of(op)), _FIRST)


def call_since(name: str, number: int | None) -> Release | None:
    """The release that brought a helper, or a kfunc, which has no number; None if nobody knows, as
    of functions that Linux does not have."""
    return kfunc_since(name) if number is None else helper_since(number)


def section_since(section: str) -> Release:
    """The release that loads programs of a section."""
    row, found = program_type(section), section_def(section)
    if row is None or found is None:
        return _FIRST
    since = program_type_since(row.number)
    if row.number not in _ATTACHED or found.attach_optional:
        return since
    return max(since, attach_type_since(found.attach))
