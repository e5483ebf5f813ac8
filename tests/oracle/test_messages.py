"""A rejection's message is what Linux says, word for word: whoever meets one searches for it."""

from __future__ import annotations

import later
import pytest
from oracle_cases import OracleCase, case_files, needs_types, said_of
from verifier_cases import SYSTEM

from bpfheap.kernel import Kernel, possible_cpus
from bpfheap.kernel.log import telling_line
from bpfheap.verifier import Options, verify
from linux_versions import LINUX, skip_below, skip_not_allowed

CASES = [
    case
    for file in case_files()
    for case in file.cases
    if not case.ours.accept and not case.kernel.accept
]

_BUG = "Linux stops at a check of its own, and says that this is a bug of the verifier"
_ARGUMENTS = "Linux looks at all arguments before it asks whether the map is one for the call"
_BOUND = "less is known of the number than in Linux, or more, so that it is at another bound"
_LIMIT = "the case has a limit of its own, and the message names it"
#: Where the words are others: what cases are called, the numbers of their variants, and why.
OTHERWISE: tuple[tuple[str, tuple[int, ...], str], ...] = (
    ("arenas: elements of an arena", (1,), _ARGUMENTS),
    ("classic_loads: in a callback", (0,), _BUG),
    (
        "classic_loads: what a function leaves undone where the packet is too short", (1, 2),
        _BUG,
    ),
    ("current_task: what is done with maps of events and stacks", (4,), _ARGUMENTS),
    ("kptr: plain_read_then_xchg", (), _BUG),
    ("links_of_widths: links of 32 and 64 bits", (0, 2, 9, 13, 15, 21, 23), _BOUND),
    ("loops_with_keys: the number is a key, on which something rests", (0, 1, 2), _LIMIT),
    (
        "odd_nodes: node_of_eight_bytes", (),
        "bpfheap says it of the tree, and Linux of what is put in",
    ),
    ("other_maps: pushed and popped", (8,), _ARGUMENTS),
    ("other_maps: what is done with a trie", (3,), _ARGUMENTS),
    ("packet_helpers: iterators on the stack", (1,), "Linux refuses the helper that reads it"),
    ("percpu_kptr: sleepable_used_after_the_section", (), _BUG),
    ("rarer_numbers: a condition that leaves no number on one side", (1,), _BOUND),
    ("rcu: read_after_the_end", (), _BUG),
    ("ring_records: a record given to another helper", (2,), "records have other numbers"),
    ("ringbuf: lookup_in_ring", (), _ARGUMENTS),
    ("signed_fills: the number that was stored", (7,), _BOUND),
    ("socket_maps: what programs do not do with maps of sockets", (1, 3, 8, 10), _ARGUMENTS),
    ("sockets: sockets in maps", (2, 8), "to Linux they are values until they are not NULL"),
    ("sockets: sockets put into maps", (3,), _ARGUMENTS),
    ("struct_ops: writes_behind_a_state", (), "Linux has words of its own for the tests' struct"),
    ("tail_calls: from_callback", (), _BUG),
    (
        "tracing_helpers: the context of what is traced", (10, 11, 12),
        "to Linux these programs have the helper, and cannot call it",
    ),
)  # fmt: skip


def reason_of(name: str) -> str | None:
    """Why the words of a case are others, None if they are not."""
    return said_of(name, OTHERWISE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_message(case: OracleCase, kernel: Kernel) -> None:
    skip_below(kernel, LINUX)
    if not kernel.transport.release.startswith(f"{LINUX[0]}.{LINUX[1]}."):
        pytest.skip(f"the words are those of Linux {LINUX[0]}.{LINUX[1]}")
    if needs_types(case) and SYSTEM.types() is None:
        pytest.skip("there are no types of a kernel here")
    linux = kernel.verify(case.obj, case.program, log=True)
    skip_not_allowed(case.program.section, linux)
    if not telling_line(linux.log):
        pytest.skip("Linux does not say why")
    options = Options(complexity_limit=case.limit, cpus=possible_cpus(), explain=False)
    error = verify(case.obj, case.program, options).error
    assert error is not None
    words = later.words_of(kernel, case.name)
    if words is not None:
        assert words in linux.message
    elif reason_of(case.name) is None:
        assert error.message == linux.message
    else:
        assert error.message != linux.message, "they are the same: take it out of OTHERWISE"


def test_what_is_otherwise_exists() -> None:
    told = sum(len(numbers) or 1 for _, numbers, _ in OTHERWISE)
    assert told == sum(reason_of(case.name) is not None for case in CASES)
    assert 20 * told < len(CASES)
