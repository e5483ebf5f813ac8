"""Execution of one program, up to its next call of a helper or kfunc.

The state of an execution is data (`records.Execution`); a `Core` is what moves it, and lasts for
one step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from bpfheap.btf import SpecialKind
from bpfheap.errors import RunTooLong
from bpfheap.machine.faults import NOT_SET, Fault
from bpfheap.machine.layout import Types
from bpfheap.machine.model import iterators, links
from bpfheap.machine.model.alu import ALU, JUMPS
from bpfheap.machine.model.lives import Place
from bpfheap.machine.model.maps import elements
from bpfheap.machine.model.mutator import EMPTYING, UNLOCKED, Mutator
from bpfheap.machine.model.records import (
    CallFrame,
    Execution,
    ForEach,
    Loop,
    MapRecord,
    Region,
    RegionKind,
    Status,
    TreeSearch,
)
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.model.values import U64, Pointer, Unowned, Value, signed64
from bpfheap.platform.calls import HELPER_BY_NUMBER
from bpfheap.platform.programs import may_sleep
from bpfheap.runtime.world import Playing
from bpfheap.spec import ProgramSpec, SourceLine

STACK_SIZE = 512
#: MAX_CALL_FRAMES.
MAX_FRAMES = 8
#: BPF_MAX_LOOPS.
MAX_LOOPS = 1 << 23
#: What an instruction gives instead of the next slot: stop here.
STOP = -1
#: And instead of one in the same program: go on in another one, at the execution's slot.
SWITCH = -2
#: From where on numbers are negative, if they have a sign.
_MIDDLE = 1 << 63

Registers: TypeAlias = list[Value]


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """A loaded program. `code` has a function for each slot; `calls` the helper or kfunc that a
    slot calls: its name, or the register that holds a helper's number; `region` is what its
    function pointers point at; of a `void` one nobody looks at the result."""

    id: int
    name: str
    spec: ProgramSpec | None
    code: tuple[Handler, ...] = field(repr=False)
    calls: dict[int, str | int] = field(repr=False, hash=False)
    region: int
    types: Types | None = field(default=None, repr=False)
    void: bool = False

    def line(self, slot: int) -> SourceLine | None:
        return None if self.spec is None else self.spec.line_of(slot)


class Core:
    """What moves one execution of a program: registers, memory, and who acts."""

    __slots__ = ("around", "execution", "mutator", "print_line", "program", "programs", "state")

    def __init__(
        self,
        mutator: Mutator,
        execution: Execution,
        program: LoadedProgram,
        print_line: Callable[[str], None],
        programs: Mapping[int, LoadedProgram],
        around: Playing,
    ) -> None:
        self.around = around
        self.state: MachineState = mutator.state
        self.mutator = mutator
        self.execution = execution
        self.program = program
        self.print_line = print_line
        self.programs = programs

    def place(self) -> Place:
        return Place(self.program.name, self.program.line(self.execution.slot))

    def run(self) -> None:
        """On to the next call or the end.

        Raises Fault, and RunTooLong once the execution has made more steps than the options
        allow. The execution's `slot` then tells where.
        """
        execution, code = self.execution, self.program.code
        registers = execution.registers
        slot = execution.slot
        left = self.mutator.options.step_limit - execution.steps
        count = 0
        try:
            for count in range(1, left + 1):  # noqa: B007 -- counted for after the loop
                following = code[slot](self, registers)
                if following < 0:
                    if following == STOP:
                        return
                    code, following = self.program.code, execution.slot
                slot = following
        finally:
            execution.slot = slot
            execution.steps += count
        raise RunTooLong(
            f"program {self.program.name} ran {execution.steps} instructions without coming to "
            "an end",
            hint="its loops must end; raise step_limit if it needs more",
        )

    def call_name(self) -> str:
        """Which helper or kfunc the execution is about to call."""
        called = self.program.calls[self.execution.slot]
        return (
            called if isinstance(called, str) else helper_name(self.state.number(self.get(called)))
        )

    def get(self, register: int) -> int | Pointer:
        """A register that must have been written."""
        value = self.execution.registers[register]
        if value is None:
            raise Fault("invalid-access", f"r{register} is read, but nothing was written to it")
        return value

    # -- pointers in arithmetic

    def alu(self, name: str, width: int, dst: int, b: Value) -> Value:
        """An operation of which at least one operand is no number. `b` None is an error."""
        a = self.get(dst)
        if b is None:
            raise Fault("invalid-access", f"{name} with a register to which nothing was written")
        if width == 64:
            if name == "add" and isinstance(a, Pointer) != isinstance(b, Pointer):
                pointer, number = (a, b) if isinstance(a, Pointer) else (b, a)
                assert isinstance(pointer, Pointer)
                assert isinstance(number, int)
                return moved(pointer, number)
            if name == "sub" and isinstance(a, Pointer):
                if isinstance(b, int):
                    return moved(a, -b)
                if a.region == b.region:
                    return (a.offset - b.offset) & U64
        mask = (1 << width) - 1
        x, y = self.state.number(a) & mask, self.state.number(b) & mask
        return ALU[width][name](x, y)

    def compare(self, name: str, width: int, dst: int, b: Value) -> bool:
        """A jump's condition of which at least one operand is no number."""
        a = self.get(dst)
        if b is None:
            raise Fault("invalid-access", f"{name} with a register to which nothing was written")
        if width == 64:
            # Which bits two of them have in common, their addresses alone tell.
            if (
                name != "jset"
                and isinstance(a, Pointer)
                and isinstance(b, Pointer)
                and a.region == b.region
            ):
                # No memory lies on both sides of an edge of the numbers.
                edge = 0 if name.startswith("js") else _MIDDLE
                return JUMPS[64][name](a.offset + edge & U64, b.offset + edge & U64)
            # No address is NULL: no need to settle what it is.
            if name in ("jeq", "jne") and (a == 0 or b == 0):
                return name == "jne"
        mask = (1 << width) - 1
        x, y = self.state.number(a) & mask, self.state.number(b) & mask
        return JUMPS[width][name](x, y)

    # -- frames

    def push_frame(self, target: int, after: Loop | ForEach | TreeSearch | None = None) -> int:
        """Enter a function at slot `target`; gives that slot."""
        execution = self.execution
        if len(execution.frames) + 1 >= MAX_FRAMES:
            raise Fault("bad-call", f"a call would be the {MAX_FRAMES + 1}th frame on the stack")
        registers = execution.registers
        saved = tuple(registers[6:])
        progress = execution.progress
        frame = CallFrame(
            execution.slot + 1, saved, after, progress.may_gotos, execution.program, progress.base
        )
        execution.frames = (*execution.frames, frame)
        execution.progress = progress._replace(may_gotos=0)
        registers[0] = None
        registers[6:] = [None, None, None, None, self.new_stack()]
        return target

    def enter_program(self, program: LoadedProgram) -> None:
        """A tail call: another program takes the place of the current function, on its context."""
        execution, registers = self.execution, self.execution.registers
        self.drop_stack(registers[10])
        self.program = program
        execution.program = program.id
        execution.slot = 0
        execution.progress = execution.progress._replace(
            may_gotos=0,
            tail_calls=execution.progress.tail_calls + 1,
            base=len(execution.frames),
        )
        registers[:] = [None, Pointer(execution.ctx, 0), *[None] * 8, self.new_stack()]

    def new_stack(self) -> Pointer:
        name = f"the stack of {self.program.name}"
        region = self.state.add_region(
            RegionKind.STACK, name, STACK_SIZE, self.mutator.options.rubbish(STACK_SIZE)
        )
        return Pointer(region.id, STACK_SIZE)

    def drop_stack(self, top: Value) -> None:
        """A frame returned: pointers to its stack that are left lead to memory that is gone."""
        region = self.state.regions.get(top.region) if isinstance(top, Pointer) else None
        if region is not None and region.kind is RegionKind.STACK:
            iterators.forget(self.state, self.execution, region.id)
            del self.state.regions[region.id]

    def leave(self, registers: Registers) -> int:
        """`exit`: back to the caller, around once more, or the end."""
        execution = self.execution
        if not execution.frames:
            self._end(registers)
            return STOP
        frame = execution.frames[-1]
        stack = registers[10]
        iterators.check_frame(execution, stack, self.program.name)
        execution.frames = execution.frames[:-1]
        execution.progress = execution.progress._replace(may_gotos=frame.may_gotos, base=frame.base)
        self.drop_stack(stack)
        result = registers[0]
        registers[1:6] = [None] * 5
        registers[6:] = frame.saved
        if frame.program != execution.program:
            # A tail call had taken the place of the function that was called.
            execution.program = frame.program
            self.program = self.programs[frame.program]
            execution.slot = frame.return_slot
            return SWITCH
        if frame.after is None:
            return frame.return_slot
        if result is None:
            raise Fault("invalid-access", "a callback returns without a value in r0")
        # The call's own slot, so that the next iteration returns to the same place.
        execution.slot = frame.return_slot - 1
        done = self.again(frame.after, stop=self.state.number(result) != 0)
        return frame.return_slot if done else execution.slot

    def throw(self, cookie: int) -> None:
        """The current program ends: its exception callback takes the place of its main function, or
        the number is its result."""
        execution, registers = self.execution, self.execution.registers
        base = execution.progress.base
        if any(frame.after is not None for frame in execution.frames[base:]):
            raise Fault("bad-call", "an exception in a callback")
        stacks = [registers[10], *(f.saved[-1] for f in reversed(execution.frames[base:]))]
        for stack in stacks:
            iterators.check_frame(execution, stack, self.program.name)
        if not base:
            self.owes_nothing("the program throws")
        # The main function's own goes when that is left.
        for stack in stacks[:-1]:
            self.drop_stack(stack)
        execution.frames = execution.frames[:base]
        execution.progress = execution.progress._replace(may_gotos=0)
        registers[:] = [cookie, cookie, *[None] * 8, stacks[-1]]
        spec = self.program.spec
        following = 0 if spec is None else spec.exception_callback
        if following:
            registers[0] = None
            self.drop_stack(stacks[-1])
            registers[10] = self.new_stack()
        else:
            following = self.leave(registers)
        if following >= 0:
            execution.slot = following

    def takes_may_goto(self) -> bool:
        """Whether a may_goto lets the current function go on once more."""
        progress = self.execution.progress
        if progress.may_gotos >= MAX_LOOPS:
            return False
        self.execution.progress = progress._replace(may_gotos=progress.may_gotos + 1)
        return True

    def again(self, after: Loop | ForEach | TreeSearch, *, stop: bool = False) -> bool:
        """The next call of a callback. True if there is none: r0 says how many there were."""
        if isinstance(after, Loop):
            return self._loop(after, stop)
        if isinstance(after, TreeSearch):
            return self.search(after.narrowed(less=stop))
        return self._for_each(after, stop)

    def _enter(self, after: Loop | ForEach | TreeSearch, arguments: list[Value]) -> None:
        execution = self.execution
        target = self.push_frame(after.callback, after)
        execution.registers[1:6] = arguments + [None] * (5 - len(arguments))
        execution.slot = target

    def _loop(self, loop: Loop, stop: bool) -> bool:
        if stop or loop.iterations >= loop.limit:
            self._finish_loop(loop.iterations)
            return True
        self._enter(loop._replace(iterations=loop.iterations + 1), [loop.iterations, loop.ctx])
        return False

    def _for_each(self, walk: ForEach, stop: bool) -> bool:
        state = self.state
        state.regions.pop(walk.key, None)
        record = state.maps[walk.map_id]
        end = 0 if stop else len(walk.keys)
        for at in range(walk.at, end):
            key = walk.keys[at]
            found = elements(record.type).regions(self.mutator, record, key)
            # An element may have been deleted since the walk began.
            if found is None:
                continue
            value = found[self.execution.cpu if len(found) > 1 else 0]
            shown = state.add_region(
                RegionKind.KEY, f"a key of {record.spec.name}", len(key), key, readonly=True
            )
            following = walk._replace(at=at + 1, visited=walk.visited + 1, key=shown.id)
            self._enter(
                following,
                [Pointer(record.region, 0), Pointer(shown.id, 0), Pointer(value, 0), walk.ctx],
            )
            return False
        self._finish_loop(walk.visited)
        return True

    def search(self, search: TreeSearch) -> bool:
        """The next comparison for a node's place in a tree. True if it found it."""
        if search.low < search.high:
            other = links.nodes(self.state, search.root)[search.middle]
            self._enter(search, [search.node, other])
            return False
        links.insert(self.state, search.root, search.low, search.node, "bpf_rbtree_add")
        self._finish_loop(0)
        return True

    def _finish_loop(self, iterations: int) -> None:
        registers = self.execution.registers
        registers[0] = iterations
        registers[1:6] = [None] * 5

    def _end(self, registers: Registers) -> None:
        execution = self.execution
        if self.program.void:
            registers[0] = 0
        if registers[0] is None:
            raise Fault("invalid-access", "the program ends without a value in r0")
        registers[0] = self.state.number(registers[0])
        iterators.check_frame(execution, registers[10], self.program.name)
        self.owes_nothing("the program ends")
        execution.done = True

    def owes_nothing(self, what: str) -> None:
        """Raise Fault for all that the program should have given back before it does `what`."""
        execution = self.execution
        if execution.held:
            region = self.state.regions[next(iter(execution.held))]
            more = len(execution.held) - 1
            others = f" and {more} more object{'s' if more > 1 else ''}" if more else ""
            raise Fault("leak", f"{what} and still owns {region.name}{others}", region.id)
        if execution.lock is not None:
            lock = self.state.field_name(execution.lock)
            raise Fault("leak", f"{what} and still holds the lock {lock}")
        if execution.progress.rcu_sections:
            raise Fault("leak", f"{what} inside an RCU section")
        if execution.progress.preempt:
            raise Fault("leak", f"{what} inside a section without preemption")
        if execution.progress.irqs:
            raise Fault("leak", f"{what} inside a section without interrupts")
        for record in execution.progress.records:
            name = self.state.regions[record.region].name
            raise Fault("leak", f"{what} and still owns {name}", record.region)

    # -- kptrs that a plain load read

    def probe(self, at: Unowned, size: int) -> int | Pointer:
        """Reads 0 where the object is no more, as BPF_PROBE_MEM reads what cannot be read."""
        region = self.state.regions.get(at.region)
        if region is None or region.status is not Status.LIVE:
            return 0
        return self.state.load(at, size)

    def probe_anywhere(self, at: int | Pointer, size: int) -> int | Pointer:
        """The same of an address that need not be one."""
        found = self.state.pointer_to(at) if isinstance(at, int) else at
        if found is None:
            return 0
        try:
            return self.probe(Unowned(found.region, found.offset), size)
        except Fault as fault:
            # That is no fault of the program's, which a kernel would hide.
            if fault.kind == NOT_SET:
                raise
            return 0

    def poke(self, at: Unowned, size: int, value: int | Pointer) -> None:
        """A write through one. In an RCU section the object's memory stays, though it may be freed:
        then nobody sees what is written. Raises Fault outside of any."""
        spec = self.program.spec
        sleeps = spec is None or may_sleep(spec.section)
        if sleeps and not self.execution.progress.rcu_sections and self.execution.lock is None:
            raise Fault("invalid-access", "write through a kptr that was only read", at.region)
        region = self.state.regions.get(at.region)
        if region is not None and region.status is Status.LIVE:
            self.state.store(at, size, value)

    # -- what calls need

    def map_at(self, value: Value) -> MapRecord:
        """The map that a map pointer names."""
        if isinstance(value, Pointer):
            region = self.state.regions.get(value.region)
            if region is not None and region.kind is RegionKind.MAP and value.offset == 0:
                if region.status is not Status.LIVE:
                    raise self.state.dead(region, f"use of {region.name}")
                return self.state.maps[region.subject]
        raise Fault("bad-call", "an argument is no map")

    def function_at(self, value: Value) -> int:
        """The slot that a function pointer names."""
        if isinstance(value, Pointer) and value.region == self.program.region:
            return value.offset
        raise Fault("bad-call", "an argument is no function of the program")

    def owned(self, region: Region, what: str) -> None:
        if region.id not in self.execution.held:
            raise Fault(
                "bad-call", f"{what} of {region.name}, which the program does not own", region.id
            )

    def own(self, region_id: int) -> None:
        """The program owns an object, of a counted one a reference more."""
        execution = self.execution
        if region_id in execution.held:
            execution.shares[region_id] = execution.shares.get(region_id, 0) + 1
        else:
            execution.held[region_id] = None

    def give_up(self, region_id: int) -> None:
        """The opposite, for what it owns."""
        execution = self.execution
        more = execution.shares.pop(region_id, 0)
        if not more:
            del execution.held[region_id]
        elif more > 1:
            execution.shares[region_id] = more - 1

    def let_go(self) -> None:
        """Release the lock that the program holds, and free what was left to free until then."""
        lock, self.execution.lock = self.execution.lock, None
        region = None if lock is None else self.state.regions.get(lock.region)
        if region is None or region.status is not Status.LIVE:
            return
        for place in region.special:
            if place.kind is SpecialKind.SPIN_LOCK:
                word = self.state.word(region.id, place)
                self.state.set_word(region.id, place, UNLOCKED)
                if word == EMPTYING:
                    self.mutator.release_nodes(
                        region.id, f"unlocking {region.name} frees", "as its lock was released"
                    )

    def note(self, region_id: int, sentence: str) -> None:
        """A sentence for an object's life and for the history."""
        self.state.note(region_id, sentence)
        self.mutator.say(sentence)


def helper_name(number: int) -> str:
    """The name of a helper, "#number" for an unknown one."""
    row = HELPER_BY_NUMBER.get(number)
    return f"#{number}" if row is None else row.name


def moved(pointer: Pointer, by: int) -> Pointer:
    return type(pointer)(pointer.region, signed64((pointer.offset + by) & U64))


Handler: TypeAlias = Callable[[Core, Registers], int]
