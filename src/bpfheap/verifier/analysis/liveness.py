"""What the rest of a function reads, computed backwards once before the walk
(compute_live_registers and bpf_live_stack, Linux 6.18).

Two states at one slot need to be compared only in that.

A set is an int: bits 0 to 10 are registers, bit 11 + i is the stack slot at offset -8 * (i + 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Final, TypeVar

from mypy_extensions import i64

from bpfheap.platform.calls import FIXED_SIZES, Arg, Call
from bpfheap.platform.dynptrs import DYNPTR_SIZE
from bpfheap.spec import MapSpec, ProgramSpec, RefKind, SubprogSpec
from bpfheap.verifier.analysis.cfg import (
    ALU,
    ATOMIC,
    CALL,
    CALL_LOCAL,
    CALL_REG,
    CALLBACK_LOOP,
    CAST,
    END,
    EXIT,
    JCOND,
    LDDW,
    LEGACY,
    LOAD,
    MOV,
    NEG,
    STORE_IMM,
    STORE_REG,
    Cfg,
    Step,
)
from bpfheap.verifier.analysis.given import Given, Summary, either

FIRST_SLOT = 11
_SLOTS = 64
#: By register. Sets do not fit into 64 bits.
_BIT: tuple[int, ...] = tuple(1 << n for n in range(FIRST_SLOT))
ALL_STACK = ((1 << _SLOTS) - 1) << FIRST_SLOT
_ARGS = 0b111110
_CLOBBERED = 0b111111
_FP = 10
_UNREAD = frozenset({Arg.UNCHECKED, Arg.UNUSED})
_ITERATORS = frozenset({Arg.ITER_NEW, Arg.ITER, Arg.IRQ_SAVE, Arg.IRQ_RESTORE})
_DYNPTRS = frozenset({Arg.DYNPTR, Arg.NEW_DYNPTR, Arg.OWNED_DYNPTR})
_ITERATOR = 8  # sizeof(struct bpf_iter_num), and of a flag for interrupts
_LENGTHS = frozenset({Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO})
#: What was there before does not matter, if their place and size are known (raw_mode).
_OVERWRITTEN = frozenset({Arg.INT, Arg.LONG, Arg.UNINIT_MEM, Arg.UNINIT_MEM_OR_NULL})
_VALUES = frozenset({Arg.MAP_VALUE, Arg.MAP_VALUE_OR_NULL, Arg.UNINIT_VALUE})
#: After these r0 to r5 hold something else.
_CALLING: Final = (CALL, CALL_LOCAL, CALL_REG, LEGACY)
# A constant of its own, since to look a member up in its enum takes compiled code long.
_PROTOTYPE: Final = Arg.PROTOTYPE
#: Stands among the offsets of a register that on some path holds no address of the stack. No
#: offset is as large.
_ELSEWHERE = 1 << 32
_NOWHERE = (_ELSEWHERE,)
#: An address of one of more places may be of any.
_MAX_PLACES = 4
#: What is known of the slot at offset -8 * i is kept as that of register _IN_STACK + i.
_IN_STACK = 16

#: What a forward analysis knows at one place.
_Known = TypeVar("_Known")

#: In KfuncReads: as many bytes as the next argument says.
AS_LONG_AS_NEXT = -1
#: None: a dynptr is set up there.
SETS_UP = -2
#: What a kfunc reads, by its name: how many bytes through each argument, or None for one of which
#: that is not known; None for a kfunc that the kernel's types do not have.
KfuncReads = Callable[[str], Sequence[int | None] | None]


def _not_known(name: str) -> None:
    """No kernel's types at hand."""


def slot_bit(offset: int) -> int:
    """The bit of the stack slot that the byte at `offset` (-512 to -1) is in."""
    return 1 << (FIRST_SLOT + (-offset - 1) // 8)


def live_at(
    cfg: Cfg,
    spec: ProgramSpec,
    maps: Mapping[str, MapSpec],
    kfunc_reads: KfuncReads = _not_known,
) -> list[int]:
    """For each slot, before it runs. The second half of a wide instruction reads nothing. `maps`:
    those of the program's object."""
    found = [0] * len(cfg.steps)
    kfunc_reads = cache(kfunc_reads)
    # By the slot at which a static function starts.
    summaries: dict[int, Summary] = {}
    for index in cfg.call_order:
        function = _Function(cfg, spec, maps, kfunc_reads, index, found, summaries)
        function.solve()
        if index and not cfg.is_global(index):
            summaries[cfg.subprogs[index].start] = function.summary()
    return found


class _Function:
    """One function; those it calls are done already."""

    def __init__(
        self,
        cfg: Cfg,
        spec: ProgramSpec,
        maps: Mapping[str, MapSpec],
        kfunc_reads: KfuncReads,
        index: int,
        found: list[int],
        summaries: dict[int, Summary],
    ) -> None:
        self.cfg = cfg
        self.summaries = summaries
        self.spec = spec
        self.maps = maps
        self.kfunc_reads = kfunc_reads
        self.sub: SubprogSpec = cfg.subprogs[index]
        self.found = found
        self.steps = list(cfg.within(self.sub))
        # Without a way back each instruction comes after all that may run before it.
        self.straight = not any(step.jumps and step.target <= step.slot for step in self.steps)
        self.address_stored = False
        self._origins: dict[int, dict[int, Step | int]] | None = None
        self.bases = self._stack_pointers()
        if self.address_stored:
            # What is read back from the stack may be such an address now.
            self.bases = self._stack_pointers()

    def solve(self) -> None:
        for step in reversed(self.steps):
            self.found[step.slot] = self._at(step)
        if self.straight:
            return
        before: dict[int, list[int]] = {}
        for step in self.steps:
            for after in step.after:
                before.setdefault(after, []).append(step.slot)
        todo = [step.slot for step in self.steps]
        waiting = set(todo)
        while todo:
            slot = todo.pop()
            waiting.discard(slot)
            new = self._at(self.cfg.at(slot))
            if new != self.found[slot]:
                self.found[slot] = new
                for at in before.get(slot, ()):
                    if at not in waiting:
                        waiting.add(at)
                        todo.append(at)

    def _at(self, step: Step) -> int:
        """What is read from a step on, by what is known of those that may run next."""
        live = 0
        for after in step.after:
            live |= self.found[after]
        kind: i64 = step.shape.tag
        if kind in (MOV, LDDW, CAST):
            live &= ~_BIT[step.dst]
            return live | _BIT[step.src] if step.with_reg else live
        if kind in (ALU, JCOND, NEG, END):
            live |= _BIT[step.dst]
            return live | _BIT[step.src] if step.with_reg else live
        if kind == LOAD:
            return self._load(step, live)
        if kind in (STORE_IMM, STORE_REG):
            return self._store(step, live)
        if kind == CALL:
            return self._call(step, live)
        if kind == EXIT:
            # What the caller does with a result is not known here.
            return 1
        if kind == ATOMIC:
            return self._atomic(step, live)
        if kind == CALL_LOCAL:
            # A global function's declared arguments are looked at, whatever it does.
            callee = _ARGS if step.tag == CALL else self.found[step.target]
            live = live & ~_CLOBBERED | callee & _ARGS
            return live | self._read_by_callee(step)
        if kind == CALL_REG:
            return (1 << FIRST_SLOT) - 1 | ALL_STACK
        if kind == LEGACY:
            # Linux takes it to read all of them.
            return live | (1 << FIRST_SLOT) - 1
        return live

    def _load(self, step: Step, live: int) -> int:
        slots = self._slots(step.slot, step.src, step.off, step.size)
        return live & ~_BIT[step.dst] | _BIT[step.src] | slots

    def _store(self, step: Step, live: int) -> int:
        base = self.bases[step.slot].get(step.dst)
        if step.size == 8 and base and len(base) == 1 and not (base[0] + step.off) % 8:
            live &= ~_range(base[0] + step.off, base[0] + step.off + 7)
        live |= _BIT[step.dst]
        return live | _BIT[step.src] if step.shape.tag == STORE_REG else live

    def _atomic(self, step: Step, live: int) -> int:
        slots = self._slots(step.slot, step.dst, step.off, step.size)
        return live | _BIT[step.dst] | _BIT[step.src] | (step.name == "cmpxchg") | slots

    def _call(self, step: Step, live: int) -> int:
        live &= ~_CLOBBERED
        if step.loop == CALLBACK_LOOP and self._hands_over(step):
            live |= ALL_STACK
        row = step.row
        if row is None:
            # Whoever comes here is refused.
            return 0
        if _PROTOTYPE in row.args:
            reads = self.kfunc_reads(row.name)
            if reads is None:
                return live | _ARGS | ALL_STACK
            for n, size in enumerate(reads, 1):
                if size == SETS_UP:
                    live = self._set_up(step, n, live)
            for n, size in enumerate(reads, 1):
                live |= 1 << n
                if size == SETS_UP:
                    continue
                if n not in self.bases[step.slot]:
                    continue
                live |= self._read_through(step, n, self._by_kfunc(step, n, size))
            return live
        if row.makes is not None:
            live = self._set_up(step, 1 + row.args.index(Arg.NEW_DYNPTR), live)
        for n, arg in enumerate(row.args, 1):
            if arg in _UNREAD:
                continue
            live |= 1 << n
            if arg is Arg.NEW_DYNPTR:
                continue
            if n not in self.bases[step.slot]:
                continue
            size = self._size(step, row, n)
            if size is not None and arg in _OVERWRITTEN and self.bases[step.slot].get(n):
                continue
            live |= self._read_through(step, n, size)
        return live

    def summary(self) -> Summary:
        """What the function reads through its arguments."""
        given = Given(
            self.summaries, self._own_slot, self._hands_over, self._read_by_call, _IN_STACK
        )
        self._forward(given.begin(), given.after, either)
        return given.summary()

    def _own_slot(self, step: Step) -> int | None:
        """See Given."""
        base = self.bases[step.slot].get(step.src if step.shape.tag == LOAD else step.dst)
        return -1 if base is None else _whole_slot(base, step)

    def _read_by_call(self, step: Step, n: int) -> int | None:
        """See Given."""
        row = step.row
        if row is None or step.loop == CALLBACK_LOOP or row.callback:
            return None
        if _PROTOTYPE in row.args:
            reads = self.kfunc_reads(row.name)
            if reads is None:
                return None
            return self._by_kfunc(step, n, reads[n - 1]) if n <= len(reads) else 0
        if n > len(row.args) or row.args[n - 1] in _UNREAD:
            return 0
        return self._size(step, row, n)

    def _by_kfunc(self, step: Step, n: int, size: int | None) -> int | None:
        """How many bytes a kfunc reads through argument `n`, of which its prototype says that."""
        if size == AS_LONG_AS_NEXT:
            return self._length(step, n + 1)
        return DYNPTR_SIZE if size == SETS_UP else size

    def _read_by_callee(self, step: Step) -> int:
        """The slots that a function of the program may read through what it is given, and through
        addresses that are stored in the stack."""
        if not self._hands_over(step):
            return 0
        reads = self.summaries.get(step.target) if step.tag == CALL_LOCAL else None
        known = self.bases[step.slot]
        if reads is None or self.address_stored or any(place >= _IN_STACK for place in known):
            return ALL_STACK
        slots = 0
        for n, ranges in enumerate(reads, 1):
            base = known.get(n)
            if base is None:
                continue
            if ranges is None or not base:
                return ALL_STACK
            for low, high in ranges:
                for at in base:
                    if at != _ELSEWHERE:
                        slots |= _range(at + low, at + high)
        return slots

    def _set_up(self, step: Step, n: int, live: int) -> int:
        """A dynptr is set up where r`n` points: what was there before does not matter."""
        base = self.bases[step.slot].get(n)
        if not base or len(base) > 1 or base[0] == _ELSEWHERE or base[0] % 8:
            return live
        return live & ~_range(base[0], base[0] + DYNPTR_SIZE - 1)

    def _hands_over(self, step: Step) -> bool:
        """May a function that is called here read the stack? Addresses that are stored there are
        out of its reach without one that it is given."""
        return any(n in self.bases[step.slot] for n in range(1, 6))

    def _read_through(self, step: Step, n: int, size: int | None) -> int:
        """The stack slots that a call reads through r`n`. Where it is not known how much, all that
        is above."""
        return self._slots(step.slot, n, 0, 8 * _SLOTS if size is None else size)

    def _size(self, step: Step, row: Call, n: int) -> int | None:
        """How many bytes of memory a call reads through r`n`, where that is known here."""
        # What they are differs between kinds of programs.
        if row.other_args:
            return None
        arg = row.args[n - 1]
        if arg in _ITERATORS:
            return _ITERATOR
        if arg in _DYNPTRS:
            return DYNPTR_SIZE
        if arg in FIXED_SIZES:
            return FIXED_SIZES[arg]
        if arg is Arg.MAP_KEY or arg in _VALUES:
            spec = self._map(step, row)
            maps = self._named() if spec is None else (spec,)
            sizes = (m.key_size if arg is Arg.MAP_KEY else m.value_size for m in maps)
            return max(sizes, default=None)
        if n < len(row.args) and row.args[n] in _LENGTHS:
            return self._length(step, n + 1)
        return None

    def _map(self, step: Step, row: Call) -> MapSpec | None:
        """The map that a call is given, where one instruction alone names it."""
        origin = self._set_by(step.slot, 1 + row.args.index(Arg.MAP))
        ref = None if origin is None else self.spec.refs.get(origin.slot)
        if ref is None or ref.kind is not RefKind.MAP:
            return None
        return self.maps.get(ref.name)

    def _named(self) -> Iterator[MapSpec]:
        """The maps that the program names. Whatever map a register holds is one of them, or an
        inner one."""
        for ref in self.spec.refs.values():
            spec = self.maps.get(ref.name) if ref.kind is RefKind.MAP else None
            if spec is not None:
                yield spec
                if spec.inner is not None:
                    yield spec.inner

    def _set_by(self, slot: int, register: int) -> Step | None:
        """The one instruction that sets a register last on every way to a slot that can be reached;
        None if that depends on the way."""
        found = self._origins_at(slot).get(register)
        return found if isinstance(found, Step) else None

    def _length(self, step: Step, n: int) -> int | None:
        """The number in r`n`, where it is a constant."""
        found = self._origins_at(step.slot).get(n)
        if isinstance(found, Step):
            found = found.imm if _is_constant(found) else None
        return None if found is None else max(found, 0)

    def _origins_at(self, slot: int) -> dict[int, Step | int]:
        """By register: the instruction that set it, or the constant that several did."""
        if self._origins is None:
            begin: dict[int, Step | int] = {}
            self._origins = self._forward(begin, self._origins_after, _either)
        return self._origins.get(slot, {})

    def _origins_after(self, step: Step, before: dict[int, Step | int]) -> dict[int, Step | int]:
        if step.shape.tag in _CALLING:
            return {n: origin for n, origin in before.items() if n >= 6}
        written = step.writes
        if written is None:
            return before
        copied = step.shape.tag == MOV and step.with_reg and step.width == 64 and not step.sx
        origin = before.get(step.src) if copied else step
        after = dict(before)
        after.pop(written, None)
        if origin is not None:
            after[written] = origin
        return after

    def _forward(
        self, start: _Known, after: Callable[[Step, _Known], _Known],
        either: Callable[[_Known, _Known], _Known],
    ) -> dict[int, _Known]:  # fmt: skip
        """What is known before each slot that can be reached, from what is known at the start."""
        at = {self.sub.start: start}
        if self.straight:
            for step in self.steps:
                if step.slot not in at:
                    continue
                known = after(step, at[step.slot])
                for target in step.after:
                    at[target] = either(at[target], known) if target in at else known
            return at
        todo = [self.sub.start]
        while todo:
            step = self.cfg.at(todo.pop())
            known = after(step, at[step.slot])
            for target in step.after:
                old = at.get(target)
                new = known if old is None else either(old, known)
                if new != old:
                    at[target] = new
                    todo.append(target)
        return at

    # -- which registers point into the stack

    def _slots(self, slot: int, register: int, off: int, size: int) -> int:
        """The stack slots that an access through `register` may touch; 0 if it is elsewhere."""
        base = self.bases[slot].get(register)
        if base is None:
            return 0
        if not base:
            return ALL_STACK
        slots = 0
        for at in base:
            if at != _ELSEWHERE:
                slots |= _range(at + off, at + off + size - 1)
        return slots

    def _stack_pointers(self) -> dict[int, dict[int, tuple[int, ...]]]:
        """Per slot, the registers that may hold an address of this function's stack: the offsets
        that it may have, with _ELSEWHERE if it may be none; () where they are not known. Notes in
        `address_stored` whether such an address is in memory."""
        begin: dict[int, tuple[int, ...]] = {_FP: (0,)}
        at = self._forward(begin, self._pointers_after, _join)
        for step in self.steps:
            at.setdefault(step.slot, {_FP: (0,)})
        return at

    def _pointers_after(
        self, step: Step, before: dict[int, tuple[int, ...]]
    ) -> dict[int, tuple[int, ...]]:
        dst = step.dst
        kind: i64 = step.shape.tag
        if kind == MOV and step.with_reg and step.src in before:
            known = step.width == 64 and not step.sx
            return {**before, dst: before[step.src] if known else ()}
        if kind in (MOV, LDDW, CAST):
            return _without(before, dst)
        if kind == ALU:
            if dst not in before and not (step.with_reg and step.src in before):
                return before
            known = not step.with_reg and step.name == "add" and step.width == 64
            return {**before, dst: _moved(before[dst], step.imm) if known else ()}
        if kind == LOAD:
            found = self._filled(step, before)
            return _without(before, dst) if found is None else {**before, dst: found}
        if kind in _CALLING:
            kept = {n: base for n, base in before.items() if n >= 6}
            # A function of the program may store other pointers into the stack that it is given.
            walked = kind in (CALL_LOCAL, CALL_REG) or step.loop == CALLBACK_LOOP
            return _doubted(kept, None) if walked and len(kept) < len(before) else kept
        if kind in (STORE_IMM, STORE_REG):
            return self._spilled(step, before)
        if kind == ATOMIC:
            # What it stores is a number from then on.
            fetched = step.writes
            if fetched is None:
                return before
            found = self._filled(step, before)
            return _without(before, fetched) if found is None else {**before, fetched: found}
        if kind in (NEG, END) and dst in before:
            return {**before, dst: ()}
        return before

    def _spilled(
        self, step: Step, before: dict[int, tuple[int, ...]]
    ) -> dict[int, tuple[int, ...]]:
        """What is known after a store. Helpers and functions that are called store no addresses of
        this stack in it (check_stack_write_fixed_off), though other pointers."""
        base = before.get(step.dst)
        if base is None:
            # Elsewhere an address is a number.
            return before
        stored = before.get(step.src) if step.shape.tag == STORE_REG else None
        at = _whole_slot(base, step)
        if at is None:
            # Into one of several places, or a part: what was there may be there still, or not.
            if stored is not None:
                self.address_stored = True
            return _doubted(before, _names(base, step))
        return _without(before, at) if stored is None else {**before, at: stored}

    def _filled(self, step: Step, before: dict[int, tuple[int, ...]]) -> tuple[int, ...] | None:
        """The address of the stack that is loaded or fetched, None if it is none. Only the
        function's own stack holds such: none are stored in that of a caller, and none are read
        through from elsewhere."""
        base = before.get(step.src if step.shape.tag == LOAD else step.dst)
        if base is None:
            return None
        if self.address_stored:
            return ()
        if not base:
            return () if any(n >= _IN_STACK for n in before) else None
        found: tuple[int, ...] | None = None
        for place in base:
            at = None if place == _ELSEWHERE else _whole_slot((place,), step)
            there = None if at is None else before.get(at)
            if there is not None:
                found = there if found is None else _one_of(found, there)
        if found is None:
            return None
        return found if len(base) == 1 else _one_of(found, _NOWHERE)


def _whole_slot(base: tuple[int, ...], step: Step) -> int | None:
    """The slot that a step of 8 bytes accesses through an address, as what is known names it; None
    for a part of it, or one of several."""
    if step.size != 8 or len(base) != 1 or base[0] == _ELSEWHERE:
        return None
    at = base[0] + step.off
    return None if at % 8 or not -8 * _SLOTS <= at < 0 else _IN_STACK - at // 8


def _names(base: tuple[int, ...], step: Step) -> set[int] | None:
    """The slots that a step may touch through an address, as what is known names them; None for
    any."""
    if not base:
        return None
    found: set[int] = set()
    for place in base:
        if place != _ELSEWHERE:
            at = place + step.off
            found.update(_IN_STACK - n for n in range(at // 8, (at + step.size - 1) // 8 + 1))
    return found


def _doubted(
    before: dict[int, tuple[int, ...]], names: set[int] | None
) -> dict[int, tuple[int, ...]]:
    """Some slots, or all of them, may hold something else by now."""
    return {
        n: _one_of(base, _NOWHERE) if n >= _IN_STACK and (names is None or n in names) else base
        for n, base in before.items()
    }


def _without(before: dict[int, tuple[int, ...]], register: int) -> dict[int, tuple[int, ...]]:
    if register not in before:
        return before
    return {n: base for n, base in before.items() if n != register}


def _either(a: dict[int, Step | int], b: dict[int, Step | int]) -> dict[int, Step | int]:
    """What holds whichever is the case. Once it is a constant alone, it is not told any more which
    instruction set it, so that this ends soon."""
    if a is b:
        return a
    found: dict[int, Step | int] = {}
    for n in a.keys() & b.keys():
        one, two = a[n], b[n]
        if one is two:
            found[n] = one
            continue
        if isinstance(one, Step) and _is_constant(one):
            one = one.imm
        if isinstance(two, Step) and _is_constant(two):
            two = two.imm
        if isinstance(one, int) and one == two:
            found[n] = one
    return found


def _is_constant(step: Step) -> bool:
    return step.shape.tag == MOV and not step.with_reg


def _join(
    a: dict[int, tuple[int, ...]], b: dict[int, tuple[int, ...]]
) -> dict[int, tuple[int, ...]]:
    """Either may be the case."""
    if a is b or a == b:
        return a
    return {n: _one_of(a.get(n, _NOWHERE), b.get(n, _NOWHERE)) for n in a.keys() | b.keys()}


def _one_of(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    either = tuple(sorted({*a, *b}))
    return either if a and b and len(either) <= _MAX_PLACES else ()


def _moved(base: tuple[int, ...], by: int) -> tuple[int, ...]:
    return tuple(at if at == _ELSEWHERE else at + by for at in base)


def _range(low: int, high: int) -> int:
    """The slots with a byte from offset `low` to `high`, as far as they are in the stack."""
    low, high = max(low, -8 * _SLOTS), min(high, -1)
    slots = 0
    for offset in range(low & ~7, high + 1, 8):
        slots |= slot_bit(offset)
    return slots
