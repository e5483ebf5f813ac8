"""All rows, and which of them the name of a section selects."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache

from bpfheap.platform.programs.attach import AttachTarget, target_of
from bpfheap.platform.programs.cgroups import CGROUPS
from bpfheap.platform.programs.packets import PACKETS
from bpfheap.platform.programs.row import Offer, ProgramType, Section
from bpfheap.platform.programs.sockets import SOCKETS
from bpfheap.platform.programs.struct_ops import OPS_ROWS
from bpfheap.platform.programs.tracing import TRACING

PROGRAM_TYPES: tuple[ProgramType, ...] = (
    *PACKETS, *TRACING, *CGROUPS, *SOCKETS, OPS_ROWS[""],
)  # fmt: skip

#: By name, the first row of each type.
BY_NAME: dict[str, ProgramType] = {t.name: t for t in reversed(PROGRAM_TYPES)}

_BY_SECTION: dict[str, tuple[Section, ProgramType]] = {
    section.name: (section, row) for row in PROGRAM_TYPES for section in row.names
}
#: The longest first.
_EXACT = sorted(
    (section.name for section, _ in _BY_SECTION.values() if not section.extras),
    key=len,
    reverse=True,
)


#: What most programs have, for people.
_OFTEN = ("socket", "tc", "xdp", "kprobe", "tracepoint", "raw_tp", "perf_event",
          "cgroup_skb/egress", "syscall")  # fmt: skip


def other_sections(section: str) -> str:
    """What somebody may have meant by a name that selects nothing."""
    close = get_close_matches(section.removeprefix("?"), _BY_SECTION, 3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known are {', '.join(_OFTEN)} and all others of libbpf"


def types_with(offer: Offer) -> str:
    """The names of the types that have such helpers, for people; of functions of the kernel's
    structs, those of the structs."""
    names = {row.name for row in PROGRAM_TYPES if row.has(offer)}
    names |= {struct for struct, row in OPS_ROWS.items() if row.has(offer)}
    return ", ".join(sorted(names))


@lru_cache  # Every run of a program asks.
def _selected(section: str) -> tuple[Section, ProgramType] | None:
    name = section.removeprefix("?")
    found = _BY_SECTION.get(name)
    if found is not None:
        return found
    found = _BY_SECTION.get(name.partition("/")[0])
    if found is not None and found[0].extras:
        return found
    for exact in _EXACT:
        if name.startswith(exact):
            return _BY_SECTION[exact]
    return None


def section_def(section: str) -> Section | None:
    """What libbpf knows of a section's name (sec_def_matches): a name of the table, which "/..."
    may follow where the table has a "+". A leading "?" says that libbpf does not load the program
    by itself.

    Other names are taken as cilium/ebpf takes them (matchSectionName): those that begin with a name
    of the table that has no "+" are the same, so that "socket1", "xdp_drop" and "classifier/x" are.
    """
    found = _selected(section)
    return None if found is None else found[0]


def program_type(section: str) -> ProgramType | None:
    """The row that a section's name selects, None if none does; see `section_def`."""
    found = _selected(section)
    return None if found is None else found[1]


def attach_type(section: str) -> int:
    """enum bpf_attach_type of a section, 0 where libbpf's table has none."""
    found = section_def(section)
    return 0 if found is None else found.attach


def attach_target(section: str) -> AttachTarget | None:
    """What of the kernel's BTF the program of a section is attached to: what follows "/". None
    where nothing is named, or the kernel does not want to know."""
    found = section_def(section)
    _, _, named = section.removeprefix("?").partition("/")
    if found is None or not found.attach_btf or not found.attach or not named:
        return None
    return target_of(found.attach, named)


def may_sleep(section: str) -> bool:
    """Whether programs of that section run in a sleepable context."""
    found = _selected(section)
    return found is not None and (found[0].sleepable or found[1].sleepable)
