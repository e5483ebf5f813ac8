"""One call that is being written: what all who write one in place of the core's need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from bpfheap.machine.native._core import CALLS
from bpfheap.machine.native.jit.blocks import Ins
from bpfheap.machine.native.jit.body import Body
from bpfheap.machine.native.jit.source import CannotCompile, MapShape
from bpfheap.platform.calls import CALL_BY_NAME, Course
from bpfheap.verifier.facts import CallFacts

_M64: Final = (1 << 64) - 1
_NO_FACTS: Final = CallFacts()


def errno_value(number: int) -> str:
    """A negative errno as r0 has it."""
    return str(-number & _M64)


class CallSite:
    """One call: its arguments, what is known of it, and its result."""

    def __init__(self, body: Body, ins: Ins) -> None:
        self.body = body
        self.ins = ins
        facts = body.facts
        if body.source.hardened:
            self.facts = body.frame.calls.get(ins.slot, _NO_FACTS)
        else:
            self.facts = _NO_FACTS if facts is None else facts.call(ins.slot)

    def number(self, n: int) -> str:
        """Argument n, as 64 bits."""
        return self.body.argument(self.ins.slot, n)

    def word(self, n: int) -> str:
        """Its lower 32 bits."""
        return self.body.let(f"trunc i64 {self.number(n)} to i32")

    def pointer(self, n: int, size: int = 8, align: int = 1) -> str:
        """Argument n, which is one, to so many bytes."""
        return self.body.address(self.ins.slot, n, 0, size, align)

    def map_pointer(self, n: int) -> str | None:
        """Argument n, which is a map; None if a hardened program does not show which."""
        if not self.body.source.hardened:
            return self.pointer(n)
        return None if self.map is None else self.body.symbols.map(self.map)

    @property
    def map(self) -> MapShape | None:
        """The map that it is about, if that is the same on all paths."""
        return self.body.source.shapes.get(self.facts.map or "")

    def here(self) -> str:
        """The run's struct bh_here."""
        return self.body.field("%run", "bh_run.here")

    def result(self, value: str) -> None:
        """Let r0 be a number."""
        self.body.set(0, value)

    def program(self) -> str:
        """The program's id, for those who watch objects."""
        body = self.body
        prog = body.let(f"load ptr, ptr {body.field('%run', 'bh_run.prog')}")
        return body.let(f"load i32, ptr {body.field(prog, 'bh_prog.id')}")

    def cpu(self, bits: int = 64) -> str:
        """The number of the CPU that the run is on."""
        body = self.body
        cpu = body.known("i32", body.field("%run", "bh_run.cpu"), 4)
        return cpu if bits == 32 else body.let(f"zext i32 {cpu} to i64")

    def given_cpu(self, n: int) -> tuple[str, str]:
        """The CPU whose number argument n is, and whether there is one; CPU 0 if not."""
        body = self.body
        cpu = self.word(n)
        there = body.let(f"icmp ult i32 {cpu}, {body.source.cpus}")
        safe = body.let(f"select i1 {there}, i32 {cpu}, i32 0")
        return body.let(f"zext i32 {safe} to i64"), there

    def give_pointer(self, found: str, there: str | None) -> bool:
        """That pointer is the call's result; NULL unless `there`."""
        if there is not None:
            found = self.body.let(f"select i1 {there}, ptr {found}, ptr null")
        self.body.set_pointer(0, found)
        return True

    def ask(self) -> None:
        """Let Python perform the call, after which the run may be over."""
        body = self.body
        registers = body.field("%run", "bh_run.r")
        for n in range(1, 6):
            at = body.let(f"getelementptr i8, ptr {registers}, i64 {8 * n}")
            body.do(f"store i64 {self.number(n)}, ptr {at}")
        body.do(f"store i32 {self.ins.slot}, ptr {body.field('%run', 'bh_run.slot')}")
        value = body.call("bh_run_ask", "i64", "ptr %run")
        body.set_any(0, value)
        body.stop_if_stopped()

    def checked(self, name: str) -> None:
        """Call the core's own function, once the core has looked at the arguments. Raises
        CannotCompile."""
        body, row = self.body, CALL_BY_NAME[name]
        if row.course in (Course.CALLS_BACK, Course.JUMPS):
            raise CannotCompile(f"slot {self.ins.slot} does not show what it calls {name} with")
        registers = body.field("%run", "bh_run.r")
        for n in range(1, 6):
            at = body.let(f"getelementptr i8, ptr {registers}, i64 {8 * n}")
            value = self.number(n) if n <= len(row.args) else "0"
            body.do(f"store i64 {value}, ptr {at}")
        body.do(f"store i32 {self.ins.slot}, ptr {body.field('%run', 'bh_run.slot')}")
        number = CALLS.index(name)
        body.set(0, body.call("bh_call_checked", "i64", "ptr %run", f"i64 {number}"))
        body.stop_if_stopped()


#: Writes a call in place. False, with nothing written, leaves it to the core.
Inline: TypeAlias = Callable[[CallSite], bool]
