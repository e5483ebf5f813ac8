"""A function while it is written: LLVM's text, registers, the stack, and how a run is left.

Registers are variables (alloca) that LLVM turns into values. Each is there twice, as a number and
as a pointer, and whoever writes one writes both where it may be an address: LLVM sees which memory
a pointer leads into, and what nobody reads costs nothing. Of a hardened program the second one is
the number that the first one was made of by adding distances: see `reach`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bpfheap.machine.native._core import LAYOUT
from bpfheap.machine.native.jit.frames import STACK, StackFrame
from bpfheap.machine.native.jit.loops import Loop
from bpfheap.machine.native.jit.source import MapShape, Site, Source
from bpfheap.verifier.facts import Facts

#: What the entry is called in the object file.
ENTRY: Final = "bpf_program"


#: Of a hardened program between two looks at the budget: so many that most loops which LLVM knows
#: the end of take fewer, and need not look at all.
STEPS: Final = 1 << 16
#: Instructions in a round of a callback.
_ROUND: Final = 64


def function_name(start: int) -> str:
    return ENTRY if start == 0 else f"f{start}"


class Symbols:
    """What the code refers to and does not define, and how LLVM declares it."""

    def __init__(self) -> None:
        self.declared: dict[str, str] = {}

    def function(self, name: str, result: str, *arguments: str) -> str:
        text = f"declare {result} @{name}({', '.join(arguments)})"
        self.declared.setdefault(name, text)
        return f"@{name}"

    def memory(self, name: str, size: int) -> str:
        """Something with an address, of so many bytes."""
        quoted = f'@"{name}"'
        self.declared.setdefault(name, f"{quoted} = external global [{size} x i8], align 8")
        return quoted

    def map(self, shape: MapShape) -> str:
        """A map's struct bh_map."""
        return self.memory(shape.symbol, LAYOUT["bh_map"])

    def unit(self, site: Site) -> str:
        """What code may read of a struct bh_unit."""
        return self.memory(site.symbol, LAYOUT["BH_UNIT_LIFE"] + 4)


class Body:
    """One function as it is written."""

    def __init__(
        self,
        source: Source,
        frame: StackFrame,
        symbols: Symbols,
        stops: Mapping[int, bool],
        weights: Mapping[int, int],
        *,
        entry: bool = False,
    ) -> None:
        self.source = source
        self.entry = entry
        #: Whether functions that were written before may leave the run in the middle.
        self.stops = stops
        #: How many instructions functions have, with those that they call.
        self.weights = weights
        self.frame = frame
        self.symbols = symbols
        # A hardened program takes nothing for granted.
        self.facts: Facts | None = None if source.hardened else source.facts
        #: How many steps may be taken until the budget is asked, of a hardened program with loops.
        self.steps = ""
        self._all_steps = self._few_steps = ""
        #: Of the block that is written: where it goes on, if not straight on, and its tight loop.
        self._ways: dict[int, str] = {}
        self._tight: Loop | None = None
        self.lines: list[str] = []
        #: At the function's beginning.
        self.variables: list[str] = []
        self.may_stop = False
        self.goes = ""
        self._names = 0
        self._stop = False
        self.at = ""

    # -- text

    def name(self, stem: str = "t") -> str:
        self._names += 1
        return f"{stem}.{self._names}"

    def let(self, text: str) -> str:
        found = f"%{self.name()}"
        self.lines.append(f"  {found} = {text}{self.at}")
        return found

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}{self.at}")

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def branch(self, condition: str, yes: str, no: str, *, likely: bool = False) -> None:
        often = ", !prof !1" if likely else ""
        self.do(f"br i1 {condition}, label %{yes}, label %{no}{often}")

    def goto(self, label: str) -> None:
        self.do(f"br label %{label}")

    def variable(self, type_: str, begins: str | None = None) -> str:
        """Memory of the function's own."""
        found = f"%{self.name('v')}"
        self.variables.append(f"  {found} = alloca {type_}, align 16")
        if begins is not None:
            self.variables.append(f"  store {type_} {begins}, ptr {found}")
        return found

    def call(self, name: str, result: str, *arguments: str) -> str:
        """Of a function of the core; each argument with its type."""
        types = [argument.split(" ", 1)[0] for argument in arguments]
        function = self.symbols.function(name, result, *types)
        text = f"call {result} {function}({', '.join(arguments)})"
        if result == "void":
            self.do(text)
            return ""
        return self.let(text)

    def field(self, base: str, field: str) -> str:
        return self.let(f"getelementptr i8, ptr {base}, i64 {LAYOUT[field]}")

    def known(self, type_: str, address: str, align: int = 8) -> str:
        """A load of what stays the same as long as the program runs."""
        there = ", !nonnull !0" if type_ == "ptr" else ""
        return self.let(f"load {type_}, ptr {address}, align {align}, !invariant.load !0{there}")

    # -- registers

    def get(self, n: int) -> str:
        return self.let(f"load i64, ptr %r{n}")

    def pointer(self, n: int) -> str:
        if self.source.hardened:
            return self.reach(self.get(n), origin=self.origin(n))
        if self.facts is None:
            return self.let(f"inttoptr i64 {self.get(n)} to ptr")
        return self.let(f"load ptr, ptr %p{n}")

    def origin(self, n: int) -> str:
        return self.let(f"load i64, ptr %o{n}")

    def set(
        self, n: int, value: str, pointer: str | None = None, *, origin: str | None = None
    ) -> None:
        """A number, which is an address, too, if `pointer` is given."""
        self.do(f"store i64 {value}, ptr %r{n}")
        if self.source.hardened:
            self.do(f"store i64 {value if origin is None else origin}, ptr %o{n}")
        if pointer is not None and self.facts is not None:
            self.do(f"store ptr {pointer}, ptr %p{n}")

    def set_pointer(self, n: int, pointer: str) -> None:
        self.set(n, self.let(f"ptrtoint ptr {pointer} to i64"), pointer)

    def set_any(self, n: int, value: str) -> None:
        """A number from elsewhere, which may be an address."""
        pointer = None
        if self.facts is not None:
            pointer = self.let(f"inttoptr i64 {value} to ptr")
        self.set(n, value, pointer)

    def stack(self, offset: int) -> str:
        """The address fp+offset."""
        # One address behind the frame may be taken, and led back into it.
        number = 0 if self.frame.whole else self.frame.region(offset)
        start = self.frame.regions[number][0]
        return self.let(f"getelementptr inbounds i8, ptr %stack{number}, i64 {offset - start}")

    def address(self, slot: int, n: int, off: int, size: int = 8, align: int = 1) -> str:
        """Of an access through a register; of a hardened program, somewhere in its region."""
        known = self.frame.offsets.get((slot, n))
        if self.source.hardened:
            # Aligned as the frame is.
            inside = known is not None and -STACK <= known + off <= -size
            if known is not None and inside and (known + off) % align == 0:
                return self.stack(known + off)
            context, outer = self.frame.context, self.frame.outer.get((slot, n))
            if context is not None and outer is not None:
                base = self.let(f"inttoptr i64 %a{context.register} to ptr")
                return self.let(f"getelementptr i8, ptr {base}, i64 {outer + off}")
            if 0 <= off <= self.frame.values.get((slot, n), 0) - size and off % align == 0:
                return self._in_value(self.get(n), off)
            origin = self.origin(n) if known is None else None
            return self.reach(self.argument(slot, n), off, align, origin=origin)
        if known is not None:
            return self.stack(known + off)
        base = self.pointer(n)
        return base if not off else self.let(f"getelementptr i8, ptr {base}, i64 {off}")

    def _in_value(self, number: str, off: int) -> str:
        """An address in a map's value; of NULL, where that leads in the region. Where the program
        has asked for NULL, LLVM need not."""
        none = self.let(f"icmp eq i64 {number}, 0")
        value = self.let(f"inttoptr i64 {number} to ptr")
        place = self.let(f"select i1 {none}, ptr %region, ptr {value}")
        return self.let(f"getelementptr i8, ptr {place}, i64 {off}")

    def reach(self, number: str, off: int = 0, align: int = 1, *, origin: str | None = None) -> str:
        """Where a number leads in the region: its lower 32 bits count. Offsets lead into the guard
        at most.

        If it was made of another one, its `origin`, so do 32 bits of the distance between them. In
        a loop that goes through an array the origin stays what it is, and LLVM knows the distance.
        """
        if align > 1:
            number, off, origin = self.let(f"add i64 {number}, {off}"), 0, None
        low = self.let(f"and i64 {origin or number}, {(1 << 32) - align}")
        place = self.let(f"getelementptr i8, ptr %region, i64 {low}")
        if origin is not None:
            distance = self.let(f"sub i64 {number}, {origin}")
            near = self.let(f"trunc i64 {distance} to i32")
            wide = self.let(f"sext i32 {near} to i64")
            place = self.let(f"getelementptr i8, ptr {place}, i64 {wide}")
        return place if not off else self.let(f"getelementptr i8, ptr {place}, i64 {off}")

    def argument(self, slot: int, n: int) -> str:
        known = self.frame.offsets.get((slot, n))
        if known is None:
            return self.get(n)
        if self.source.hardened and self.frame.whole:
            return self.let(f"add i64 %fp.i, {known}")
        return self.let(f"ptrtoint ptr {self.stack(known)} to i64")

    def memory_of(self, shape: MapShape) -> str:
        """A map's values or buckets."""
        if self.source.hardened:
            # LLVM is to know of no other way into the region.
            return self.known("ptr", self.field(self.symbols.map(shape), "bh_map.memory"))
        return self.symbols.memory(f"{shape.symbol}.memory", shape.memory)

    # -- runs that are left in the middle

    def stop_unless(self, condition: str) -> None:
        """The run's `stop` says why."""
        on = self.name("on")
        self.branch(condition, on, "stopped", likely=True)
        self.label(on)
        self.may_stop = self._stop = True

    def stop_if_stopped(self) -> None:
        stop = self.let(f"load i32, ptr {self.field('%run', 'bh_run.stop')}")
        self.stop_unless(self.let(f"icmp eq i32 {stop}, 0"))

    def count(self, rounds: str) -> None:
        """Ask the budget for rounds of a loop."""
        left = self.call("bh_run_count", "zeroext i1", "ptr %run", f"i64 {rounds}")
        self.stop_unless(left)

    def count_begun(self, valid: str, rounds: str) -> None:
        """The same before a loop, if it is `valid`. To ask for a loop costs something, too: the
        verifier knows no end of loops around such."""
        made = self.let(f"select i1 {valid}, i64 {rounds}, i64 0")
        self.count(self.let(f"add i64 {made}, 1"))

    def step(self, length: int | str) -> None:
        """Before a jump back over so many instructions: ask the budget now and then."""
        left = self.let(f"load i64, ptr {self.steps}")
        # It never gets far below 0.
        fewer = self.let(f"sub nsw i64 {left}, {length}")
        self.do(f"store i64 {fewer}, ptr {self.steps}")
        if self._tight is not None and self._tight.bounded:
            return
        on, out = self.name("on"), self.name("out")
        self.branch(self.let(f"icmp sge i64 {fewer}, 0"), on, out, likely=True)
        self.label(out)
        self.count(self.let(f"sub i64 {STEPS}, {fewer}"))
        self.do(f"store i64 {STEPS}, ptr {self.steps}")
        self.goto(on if self._tight is None else f"b{self._tight.start}.again")
        self.label(on)

    # -- loops of a hardened program

    def count_steps(self) -> None:
        """It has loops."""
        self._all_steps = self.variable("i64", str(STEPS))
        self._few_steps = self.variable("i64", str(STEPS))

    def to(self, block: int) -> str:
        """The label of a block that the one that is written goes on to."""
        return self._ways.get(block, f"b{block}")

    def begin(self, block: int, after: tuple[int, ...], loops: Mapping[int, Loop]) -> None:
        """A block. `loops` has, by block, the tight loop that it is in.

        Such a loop counts its steps from the same number each time it is entered, and is left for
        a loop around it when it has to ask for more: LLVM can tell how often it runs, and it has no
        calls. One that is bounded does not ask.
        """
        loop = loops.get(block)
        self.steps, self._tight, self._ways = self._all_steps, None, {}
        if loop is not None:
            self.steps, self._tight = self._few_steps, loop
            if loop.start == block:
                self.label(f"b{block}.again")
                self.do(f"store i64 {STEPS}, ptr {self._few_steps}")
                self.goto(f"b{block}")
        for to in after:
            if loops.get(to, loop) != loop:
                self._ways[to] = f"b{to}.again"
            if loop is not None and loops.get(to) != loop:
                self._ways[to] = f"b{block}.{to}"
        self.label(f"b{block}")

    def end(self, block: int, loops: Mapping[int, Loop]) -> None:
        """After a block: where it leaves a loop, count what that took."""
        if block not in loops:
            return
        self.steps, self._tight = self._all_steps, None
        for to, label in self._ways.items():
            self.label(label)
            left = self.let(f"load i64, ptr {self._few_steps}")
            self.step(self.let(f"sub i64 {STEPS}, {left}"))
            self.goto(f"b{to}.again" if to in loops else f"b{to}")

    def take(self, steps: int) -> None:
        """Let the next step() know of so many that a call takes."""
        if self.steps:
            left = self.let(f"load i64, ptr {self.steps}")
            self.do(f"store i64 {self.let(f'sub i64 {left}, {steps}')}, ptr {self.steps}")

    def rounds_of(self, callback: int) -> int:
        """How many rounds of a loop a call of a long callback is, of a hardened program."""
        return max(1, self.weights.get(callback, 0) // _ROUND) if self.source.hardened else 1

    def leave(self, entry: bool) -> None:
        """Before a function returns: of a hardened program, give its stack back, and take what it
        did off the budget."""
        if not self.source.hardened:
            return
        if self.frame.whole:
            self.do(f"store i64 %sp, ptr {self.field('%run', 'bh_run.sp')}")
        if self.steps and not entry:
            left = self.let(f"load i64, ptr {self.steps}")
            self.count(self.let(f"sub i64 {STEPS}, {left}"))

    def finish(self) -> list[str]:
        if self._stop:
            self.label("stopped")
            self.do("ret i64 0")
        return self.lines
