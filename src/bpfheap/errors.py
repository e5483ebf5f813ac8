"""Every exception a user can meet. Imports nothing of the project.

An error has the place (file and line of the BPF program, if there is one), one line that says what
is wrong, and a `hint` that says what to change. The command line prints `str(error)` and exits with
`exit_code`; none of these reaches a user as a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar

#: The most names that a hint lists.
_LISTED = 10


def among(known: Iterable[str], name: str) -> str:
    """The hint for a name that is not there: what may have been meant, or what there is."""
    names = list(dict.fromkeys(known))
    close = get_close_matches(name, names, 3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there is {', '.join(names[:_LISTED]) or 'none'}"


class BpfheapError(Exception):
    """Base of all errors.

    `message` is one line. `file` and `line` (1-based) point into the user's source or name the
    input file. `hint` says what to change.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line
        self.hint = hint

    def at(self, file: str | None, line: int | None = None) -> BpfheapError:
        """Fill in the place where it is not known yet; returns self, to be raised."""
        if self.file is None:
            self.file = file
        if self.line is None:
            self.line = line
        return self

    @property
    def headline(self) -> str:
        """The place and the message."""
        if self.file is None:
            return self.message
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"

    def __str__(self) -> str:
        return f"{self.headline} ({self.hint})" if self.hint else self.headline

    def to_json(self) -> dict[str, Any]:
        """The `error` object of the command line's JSON; subclasses add fields."""
        return {
            "type": type(self).__name__,
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "hint": self.hint,
        }


class UsageError(BpfheapError):
    """The call itself is wrong: unknown program, policy, machine, missing file."""

    exit_code: ClassVar[int] = 2


class CompileError(BpfheapError):
    """clang refused the source, or there is no clang. `diagnostics` is clang's own output."""

    def __init__(self, message: str, *, diagnostics: str = "", **where: Any) -> None:
        super().__init__(message, **where)
        self.diagnostics = diagnostics


class FormatError(BpfheapError):
    """An input file does not follow its format."""


class ElfError(FormatError):
    """Not a BPF ELF object, or a broken one."""


class BtfError(FormatError):
    """Broken or unusable BTF."""


class RelocationError(FormatError):
    """A relocation (ELF or CO-RE) that cannot be resolved."""


class InsnError(FormatError):
    """Bytes that are no instruction of RFC 9669. `insn` is the slot's index, `linux` what the
    verifier of Linux says of them, "" for what it does not see."""

    def __init__(
        self, message: str, *, insn: int | None = None, linux: str = "", **where: Any
    ) -> None:
        super().__init__(message, **where)
        self.insn = insn
        self.linux = linux


#: The hint of what bpfheap does not know, where there is no better one.
LINUX_MAY = "Linux may; that is no fault of the program"


class UnofferedInsn(InsnError):
    """An instruction that Linux has and bpfheap does not. `name` is what the field calls it."""

    def __init__(
        self, message: str, *, name: str = "", hint: str | None = LINUX_MAY, **where: Any
    ) -> None:
        super().__init__(message, hint=hint, **where)
        self.name = name


class AsmError(FormatError):
    """Assembly text that cannot be assembled."""


@dataclass(frozen=True, slots=True)
class PathStep:
    """A row of the path to a rejection: a source line that was walked, or a `note`."""

    file: str | None = None
    line: int | None = None
    #: The first slot that was walked.
    insn: int | None = None
    #: The source line, or the instruction if there is no line information.
    text: str = ""
    #: Which way the conditional jump at its end went; "" if there is none.
    went: str = ""
    #: How many calls deep it is.
    depth: int = 0
    #: In place of rows that are folded or left out; everything else is then empty.
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        if self.note:
            return {"note": self.note}
        return {
            "file": self.file,
            "line": self.line,
            "insn": self.insn,
            "text": self.text,
            "went": self.went or None,
            "depth": self.depth,
        }


class ProgramError(BpfheapError):
    """A program was not accepted: it is rejected (VerifierError), or nothing can be said of it
    (Unsupported).

    Of a rejection `message` is what Linux says, word for word, where it makes the same check: the
    last line of its log, to be searched for. `detail` is what is to be said besides, "" if nothing.
    `insn` is the slot's index in the linked program, `register` the register in question
    ("r1") or None, `source` the text of the C line, `column` (1-based, None if unknown) the place
    in it, `log` the whole verifier log. `history` tells in sentences where the values in question
    came from, `path` is the way that led there, oldest first; both are empty where no path does.
    """

    def __init__(
        self,
        message: str,
        *,
        detail: str = "",
        program: str = "",
        insn: int | None = None,
        register: str | None = None,
        source: str | None = None,
        column: int | None = None,
        log: str = "",
        history: tuple[str, ...] = (),
        path: tuple[PathStep, ...] = (),
        **where: Any,
    ) -> None:
        super().__init__(message, **where)
        self.detail = detail
        self.program = program
        self.insn = insn
        self.register = register
        self.source = source
        self.column = column
        self.log = log
        self.history = history
        self.path = path

    def to_json(self) -> dict[str, Any]:
        return {
            **super().to_json(),
            "detail": self.detail or None,
            "insn": self.insn,
            "register": self.register,
            "source": self.source,
            "column": self.column,
            "history": list(self.history),
            "path": [step.to_json() for step in self.path],
        }


class VerifierError(ProgramError):
    """A program was rejected: Linux would refuse it."""

    def __str__(self) -> str:
        """Two lines: Linux's words stand alone on the first one."""
        hint = f"({self.hint})" if self.hint else ""
        below = " ".join(part for part in (self.detail, hint) if part)
        return f"{self.headline}\n    {below}" if below else self.headline


class Unsupported(ProgramError):
    """A program needs what bpfheap does not know, so that there is no verdict: Linux may accept it.

    The message is about what the verifier met first. `missing` has everything that the program
    names and bpfheap does not know: helpers as name#number, kfuncs and variables of the kernel by
    name, map types as C does behind BPF_MAP_TYPE_, sections as SEC("..."), instructions by name.
    """

    exit_code: ClassVar[int] = 4

    def __init__(
        self,
        message: str,
        *,
        missing: tuple[str, ...] = (),
        hint: str | None = LINUX_MAY,
        **where: Any,
    ) -> None:
        super().__init__(message, hint=hint, **where)
        self.missing = missing

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "missing": list(self.missing)}


class NoPrograms(BpfheapError):
    """A file without programs, where there should be some to verify."""

    def __init__(
        self,
        message: str = "no programs",
        *,
        hint: str | None = 'programs are functions with a section: SEC("xdp") int f(...)',
        **where: Any,
    ) -> None:
        super().__init__(message, hint=hint, **where)


class LoadRefused(BpfheapError):
    """The policy does not admit a program, or a map of that name exists with another type.

    `allocator` is the id of the one that stands in the policy's way, None if none does.
    """

    def __init__(self, message: str, *, allocator: int | None = None, **where: Any) -> None:
        super().__init__(message, **where)
        self.allocator = allocator


class MapError(BpfheapError):
    """A map operation failed the way the kernel's would. `errno_name` is e.g. "E2BIG"."""

    def __init__(self, message: str, *, errno_name: str, **where: Any) -> None:
        super().__init__(message, **where)
        self.errno_name = errno_name


class RunTooLong(BpfheapError):
    """A run made more steps than it may, and was broken off: no error of the program by itself."""


class Violation(BpfheapError):
    """The model machine saw a memory error: a bug of a program, or a hole of the policy.

    `kind` is "use-after-free", "double-free", "out-of-bounds", "leak", "invalid-access",
    "bad-call", or "not-set" where a program reads what a strict test never made up. `life` tells
    the object's life, oldest first, a sentence each, with source lines.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        life: tuple[str, ...] = (),
        **where: Any,
    ) -> None:
        super().__init__(message, **where)
        self.kind = kind
        self.life = life

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "kind": self.kind, "life": list(self.life)}


class MachineUnsupported(BpfheapError):
    """A map or program needs what the verifier knows and this machine does not offer."""


class RuntimeClosed(UsageError):
    """The runtime was closed: nothing can be loaded into it, run or read any more."""

    def __init__(
        self, message: str, *, hint: str | None = "make a new Runtime", **where: Any
    ) -> None:
        super().__init__(message, hint=hint, **where)


class RuntimePoisoned(BpfheapError):
    """The runtime can only be thrown away: a run was broken off while it held a lock, or this
    process is a fork of the one that made it. `reason` says which."""

    def __init__(
        self, message: str, *, hint: str | None = "make a new Runtime", **where: Any
    ) -> None:
        super().__init__(message, hint=hint, **where)

    @property
    def reason(self) -> str:
        return self.message


class OutOfMemory(BpfheapError, MemoryError):
    """The runtime's bound on memory does not allow it, or the system has no more."""

    def __init__(
        self, message: str, *, hint: str | None = "raise Runtime(memory=...)", **where: Any
    ) -> None:
        super().__init__(message, hint=hint, **where)


class KernelError(BpfheapError):
    """The kernel refused what is not a program: a map, the BTF, a test run. `errno_name` is
    e.g. "EPERM", `log` the kernel's own words, if there are any."""

    def __init__(self, message: str, *, errno_name: str, log: str = "", **where: Any) -> None:
        super().__init__(message, **where)
        self.errno_name = errno_name
        self.log = log


class KernelUnavailable(KernelError):
    """The kernel cannot be asked at all, or has no memory or descriptors left to answer: that says
    nothing of a program."""

    def __init__(self, message: str, *, errno_name: str = "ENODEV", **where: Any) -> None:
        super().__init__(message, errno_name=errno_name, **where)


class KernelUndecided(KernelError):
    """The kernel was not told all that it asks for before it judges a program: what only the loader
    of the object knows. That says nothing of the program."""


class KernelUnsupported(KernelError):
    """The program uses what the kernel does not have, such as an allocator map."""

    def __init__(self, message: str, **where: Any) -> None:
        super().__init__(message, errno_name="ENOTSUPP", **where)
