"""Differences between the verifier and the kernel's that are known and wanted: one row each, with
the section of docs/verifier-differences.md that gives the reason. What no row explains is a bug."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from bpfheap.spec import ProgramSpec, RefKind


class Difference(NamedTuple):
    """`explains` is given our message and the kernel's, "" from the one that accepted, and the
    program."""

    section: str
    explains: Callable[[str, str, ProgramSpec], bool]


_TOO_LARGE = re.compile(r"BPF program is too large|The sequence of \d+ jumps is too complex")


def _complexity(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """Nothing is wrong with the program; one of the two gave up earlier than the other."""
    return not ours and _TOO_LARGE.search(kernel) is not None


def _kernel_bug(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """The kernel's verifier found a state of its own that it takes for impossible."""
    return not ours and kernel.startswith("verifier bug:")


def _around(ours: str, kernel: str, program: ProgramSpec) -> bool:
    """A loop around one that an iterator or callback drives, whose numbers were widened."""
    driven = any(
        ref.name == "bpf_iter_num_next" or ref.kind is RefKind.FUNC for ref in program.refs.values()
    )
    return driven and not kernel and ours.startswith("infinite loop detected")


DIFFERENCES: tuple[Difference, ...] = (
    Difference("How long a program may take", _complexity),
    Difference("Loops around loops that the kernel drives", _around),
    Difference("Bugs of Linux", _kernel_bug),
)


def section_of(ours: str, kernel: str, program: ProgramSpec) -> str | None:
    """The section that explains why one accepted and the other refused; None if nothing does."""
    for difference in DIFFERENCES:
        if difference.explains(ours, kernel, program):
            return difference.section
    return None
