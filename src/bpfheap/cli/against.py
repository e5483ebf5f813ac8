"""`--against`: what a kernel says of the programs, beside our verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from bpfheap.errors import BpfheapError, KernelError, KernelUnavailable, KernelUndecided
from bpfheap.kernel import Kernel
from bpfheap.kernel.named import NAMES
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import VerdictKind

#: The kernel accepts what we reject, or refuses what we do not.
DIFFERS: Final = 5
#: Who asks may not have such a map or program.
_NOT_ALLOWED: Final = "EPERM"

Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar=NAMES,
        help="Ask a kernel, too, and print its verdicts beside ours: the one that this runs on, or "
        "that of an image, which boots in QEMU for it.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Said:
    """A kernel's answer. `accepted` is None where it has no verdict: what it refused was not the
    program. `message` is why it does not accept; `errno` and `insns_processed` are None where it
    did not come to the load, or the verifier."""

    release: str
    accepted: bool | None
    message: str = ""
    errno: str | None = None
    insns_processed: int | None = None
    log: str = ""

    @property
    def kind(self) -> VerdictKind | None:
        if self.accepted is None:
            return None
        return VerdictKind.ACCEPT if self.accepted else VerdictKind.REJECT

    def differs(self, ours: VerdictKind) -> bool:
        """That we have no verdict differs from a refusal alone, that the kernel has none from
        nothing."""
        if self.accepted is None:
            return False
        return self.accepted == (ours is VerdictKind.REJECT)

    def to_json(self, ours: VerdictKind, *, log: bool) -> dict[str, Any]:
        document = {
            "release": self.release,
            "verdict": None if self.kind is None else str(self.kind),
            "message": self.message or None,
            "errno": self.errno,
            "insns_processed": self.insns_processed,
            "differs": self.differs(ours),
        }
        return document | ({"log": self.log} if log else {})


def said(kernel: Kernel, obj: ObjectSpec, program: ProgramSpec, *, log: bool) -> Said:
    """Raises KernelUnavailable if the kernel cannot be asked."""
    release = kernel.transport.release
    try:
        found = kernel.verify(obj, program, log=log, stats=True)
    except KernelUnavailable:
        raise
    except KernelUndecided as error:
        return Said(release, None, f"{error.message} ({error.hint})", error.errno_name)
    except BpfheapError as error:
        # What it needs beside its instructions is not to be had: a map, a type, a function.
        errno = error.errno_name if isinstance(error, KernelError) else None
        return Said(release, None if errno == _NOT_ALLOWED else False, error.message, errno)
    accepted: bool | None = found.accepted
    message = found.message
    if not found.accepted and not found.log:
        message += ", before its verifier looked at it"
        if found.errno_name == _NOT_ALLOWED:
            # Whatever the program does: a system may allow no programs of its type.
            accepted = None
    errno = found.errno_name if found.errno else None
    return Said(release, accepted, message, errno, found.insns_processed, found.log)
