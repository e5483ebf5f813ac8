"""What the kernel's verifier says, and the part of it that tells why."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bpfheap.kernel.bpf import errno_name

_PROCESSED = re.compile(r"^processed (\d+) insns", re.MULTILINE)
#: Lines that report the walk and not its end: instructions and states, source lines, backtracking,
#: numbers, and which function comes next.
_WALK = re.compile(
    r"\d+: |from \d+|;|mark_precise|processed |verification time|stack depth|max_states|"
    r"frame\d+: |caller:|callee:|returning from|to caller at|propagating|Validating |Func#|"
    r"func#\d+ @|last_idx|regs=|parent|arg#\d+ reference type|(?:cur|old) state:|$"
)
#: What is told behind the instruction at which it was noticed, on its line.
_BEHIND = re.compile(
    r"BPF program is too large\. Processed \d+ insn|The sequence of \d+ jumps is too complex\.|"
    r"infinite loop detected at insn \d+"
)
#: What stands behind messages that do not end their line.
_GLUED = re.compile(r"verification time \d+ usec$")
#: The end of a line whose sentence goes on in the next one.
_GOES_ON = re.compile(r"(?:,| or in)$")


@dataclass(frozen=True, slots=True)
class KernelVerdict:
    """What BPF_PROG_LOAD said. `errno` is 0 if it accepted. `ns` is the wall time of the call
    alone, of a load without a log. `log`, `insns_processed` and `message`, its last telling line,
    come from a second load where they were asked for; else they are "", None and ""."""

    accepted: bool
    errno: int
    log: str = field(default="", repr=False)
    insns_processed: int | None = None
    ns: int = 0
    message: str = ""

    @property
    def errno_name(self) -> str:
        return errno_name(self.errno)


def insns_processed(log: str) -> int | None:
    """The N of the last "processed N insns", None if the log has none."""
    found = _PROCESSED.findall(log)
    return int(found[-1]) if found else None


def telling_line(log: str) -> str:
    """The last line that says what is wrong, with those that its sentence begins in; "" if none
    does."""
    lines = log.splitlines()
    for at in range(len(lines) - 1, -1, -1):
        if found := _BEHIND.search(lines[at]):
            return found[0]
        if not _WALK.match(lines[at]):
            told = _GLUED.sub("", lines[at])
            while at and _GOES_ON.search(lines[at - 1]) and not _WALK.match(lines[at - 1]):
                at -= 1
                told = f"{lines[at]} {told}"
            return told
    return ""
