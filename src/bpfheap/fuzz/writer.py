"""What a function being written has at hand, and the accesses that every kind of memory shares.

The rules that keep most programs valid: r6 to r9 always hold numbers, but for those that a pointer
in scope has claimed; r0 to r5 mean nothing from one statement to the next; every pointer, object,
lock and record lives in a scope that gives it back at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from bpfheap.fuzz import code
from bpfheap.fuzz.pieces import Branch, Code, Piece, Pieces
from bpfheap.fuzz.surroundings import Place, Target
from bpfheap.isa import Insn, Kind
from bpfheap.platform.programs import ProgramType

# The frame, by offset from r10. What all functions use lies on top, for a stack's sake.
CTX_SLOT: Final = -8
SCRATCH: Final = (-56, -8)
COUNTERS: Final = (-64, -72, -80)
HOMES: Final = (-88, -96, -104)
KEY: Final = -112
ITERATORS: Final = (-120, -128)
BUFFER: Final = -184

_NUMBERS: Final = (6, 7, 8, 9)
#: There are always so many registers with numbers.
_FEWEST: Final = 2
IMMEDIATES: Final = (
    0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 31, 32, 33, 63, 64, -1, -2, -8, 127, 128, 255, 256,
    0x7FFFFFFF, -0x80000000, 0x10000,
)  # fmt: skip


class Memory(StrEnum):
    """What a pointer in scope points at."""

    VALUE = "value"
    KEY = "key"
    OBJECT = "object"
    STACK = "stack"
    PACKET = "packet"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Held:
    """A pointer in scope. `home` is a register, or a negative offset in the frame; `plain` the
    bytes that hold numbers. `owned`: the scope still has to give the object away."""

    memory: Memory
    home: int
    plain: tuple[int, int]
    target: Target | None = None
    map: Place | None = None
    writable: bool = True
    owned: bool = False

    def fetch(self, dst: int) -> Insn:
        """dst = the pointer"""
        return code.mov(dst, self.home) if self.home > 0 else code.load(8, dst, code.FP, self.home)

    def keep(self, src: int) -> Insn:
        """The pointer is in `src`: bring it home."""
        return code.mov(self.home, src) if self.home > 0 else code.store(8, code.FP, self.home, src)


#: Loads and stores of stack must be aligned, and objects take no variable offset.
_ALIGNED: Final = frozenset({Memory.STACK})
_FIXED: Final = frozenset({Memory.OBJECT})
_ATOMIC: Final = frozenset({Memory.VALUE, Memory.OBJECT, Memory.STACK, Memory.RECORD})


class Role(StrEnum):
    """Who calls a function."""

    FUNCTION = "function"  # the program itself
    LOOP = "loop"  # bpf_loop
    WALK = "walk"  # bpf_for_each_map_elem


@dataclass(frozen=True, slots=True)
class Callee:
    """A function of the program by its number. `params`: None for a number, or the memory that a
    pointer leads to (for a map's value, with the map). `walks` is the map whose elements it
    sees."""

    number: int
    role: Role
    params: tuple[Param | None, ...] = ()
    walks: Place | None = None


@dataclass(frozen=True, slots=True)
class Param:
    memory: Memory
    map: Place | None = None


@dataclass(slots=True)
class Purse:
    """How many statements may still be written in the whole program."""

    left: int


class Writer:
    """One function. `choose` writes some statement; `callees` are the functions that it may call.
    `calls`: may anything be called here?"""

    def __init__(
        self,
        rng: Random,
        features: frozenset[str],
        row: ProgramType,
        purse: Purse,
        choose: Callable[[Writer], Pieces],
        callees: tuple[Callee, ...] = (),
    ) -> None:
        self.rng = rng
        self.features = features
        self.row = row
        self.purse = purse
        self.choose = choose
        self.callees = callees
        self.depth = 0
        self.loops = 0
        self.iterators = 0
        self.calls = True
        self.has_ctx = False
        self.held: list[Held] = []
        self._numbers = list(_NUMBERS)
        self._homes = list(HOMES)

    # -- choices

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def number(self) -> int:
        """A register that holds a number."""
        return self.rng.choice(self._numbers)

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(self._numbers)

    def immediate(self) -> int:
        if self.chance(0.8):
            return self.rng.choice(IMMEDIATES)
        return self.rng.randint(-(1 << 31), (1 << 31) - 1)

    def size(self, most: int) -> int:
        return self.rng.choice([size for size in (1, 2, 4, 8) if size <= most])

    def block(self, count: int) -> Pieces:
        """Some statements, one level deeper."""
        pieces: list[Piece] = []
        self.depth += 1
        for _ in range(count):
            pieces += self.choose(self)
        self.depth -= 1
        return tuple(pieces)

    # -- scopes

    def claim(self) -> int | None:
        """A home for a pointer: a register or a slot of the frame; None if there is none left."""
        if len(self._numbers) > _FEWEST and self.chance(0.6):
            home = self.rng.choice(self._numbers)
            self._numbers.remove(home)
            return home
        return self._homes.pop() if self._homes else None

    def give_back(self, home: int) -> Pieces:
        """A register is to hold a number again."""
        if home < 0:
            self._homes.append(home)
            return ()
        self._numbers.append(home)
        self._numbers.sort()
        return (Code((code.put(home, self.immediate()),)),)

    def take(self, register: int) -> None:
        """Claim that register."""
        self._numbers.remove(register)

    @contextmanager
    def scope(self, held: Held) -> Iterator[None]:
        """Statements may use the pointer."""
        self.held.append(held)
        try:
            yield
        finally:
            self.held.remove(held)

    def pointers(self, *memory: Memory) -> list[Held]:
        return [held for held in self.held if not memory or held.memory in memory]

    # -- numbers within bounds

    def index(
        self, most: int, use: Callable[[], Pieces], *, step: int = 1, register: int = 4
    ) -> Pieces:
        """`use` where the register holds a multiple of `step` from 0 to `most`; a few times a
        bit more. Clobbers r5."""
        if self.chance(0.05):
            most += self.rng.choice((1, 2, 4, 8))
        factor = step * self.rng.choice((1, 1, 1, 2, 4))
        added = self.rng.choice((0, 0, 0, step, 2 * step))
        if factor + added > most:
            factor, added = step, 0
        after: list[Insn] = []
        if factor > 1 and factor & (factor - 1) == 0 and self.chance(0.6):
            after.append(code.alu("lsh", register, factor.bit_length() - 1))
        elif factor > 1:
            after.append(code.alu("mul", register, factor))
        if added:
            name = "or" if added < factor and self.chance(0.3) else "add"
            after.append(code.alu(name, register, added))
        then = (Code(tuple(after)),) if after else ()
        most = max(0, (most - added) // factor)
        return self.rng.choice(_BOUNDS)(self, register, most, lambda: (*then, *use()))

    # -- memory

    def access(self, held: Held) -> Pieces:
        """A load, store or atomic operation through a pointer in scope. Clobbers r0, r3 to r5."""
        low, high = held.plain
        write = held.writable and self.chance(0.5)
        atomic = write and held.memory in _ATOMIC and self.chance(0.25)
        size = self.rng.choice((4, 8)) if atomic else self.size(high - low)
        # In objects an access must not reach from one member into the next.
        aligned = atomic or held.memory in _ALIGNED
        aligned = aligned or (held.memory in _FIXED and self.chance(0.97))
        step = size if aligned else 1
        start = -(-low // step) * step
        fetch = Code((held.fetch(3),))
        room = high - start - size
        if room < 0:
            return ()
        if held.memory in _FIXED or self.chance(0.5):
            off = start + self.rng.randrange(room // step + 1) * step
            if self.chance(0.02):
                off += self.rng.choice((-64, -8, 8, 64))
            return (fetch, self.touch(3, off, size, write=write, atomic=atomic))
        reserve = self.rng.choice((0, 0, room // 2))
        off = start + reserve // step * step
        add = Code((code.alu_reg("add", 3, 4),))

        def use() -> Pieces:
            touch = self.touch(3, off, size, write=write, atomic=atomic)
            return (add, touch) if self.chance(0.7) else (fetch, add, touch)

        return (fetch, *self.index(room - reserve, use, step=step))

    def touch(
        self, pointer: int, off: int, size: int, *, write: bool, atomic: bool = False
    ) -> Code:
        """One instruction on memory, and what it needs before it."""
        if atomic:
            op = self.rng.choice([op for op in code.ATOMICS if op.size == size])
            insn = code.insn(op, pointer, self.number(), off)
            if op.name == "cmpxchg":
                return Code((code.mov(0, self.number()), insn))
            return Code((insn,))
        if not write:
            op = self.rng.choice([op for op in code.LOADS if op.size == size])
            return Code((code.insn(op, self.number(), pointer, off),))
        if self.chance(0.6):
            return Code((code.store(size, pointer, off, self.number()),))
        return Code((code.store_imm(size, pointer, off, self.immediate()),))


# How a number comes to be within bounds. Each leaves one from 0 to `most` in `register`.

_Bound = Callable[[Writer, int, int, Callable[[], Pieces]], Pieces]


def _mask(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    mask = (1 << ((most + 1).bit_length() - 1)) - 1
    return (Code((code.mov(register, w.number()), code.alu("and", register, mask))), *use())


def _shifted(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    bits = (most + 1).bit_length() - 1
    if not bits:
        return _mask(w, register, most, use)
    width = w.rng.choice((32, 64))
    insns = (code.mov(register, w.number()), code.alu("rsh", register, width - bits, width))
    return (Code(insns), *use())


def _remainder(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    width = w.rng.choice((32, 64))
    insns = (code.mov(register, w.number()), code.alu("mod", register, most + 1, width))
    return (Code(insns), *use())


def _checked(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    """Compared after the copy, before it, or the other one."""
    source = w.number()
    copy = Code((code.mov(register, source),))
    name, limit = w.rng.choice((("jgt", most), ("jge", most + 1)))
    match w.rng.randrange(4):
        case 0:
            return (copy, Branch(code.jump(name, register, limit), use()))
        case 1:
            return (copy, Branch(code.jump(name, source, limit), use()))
        case 2:
            return (Branch(code.jump(name, source, limit), (copy, *use())),)
    opposite = {"jgt": "jle", "jge": "jlt"}[name]
    return (Branch(code.jump(opposite, source, limit), (), (copy, *use())),)


def _checked_half(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    """The low half, compared in 32 bits."""
    narrow = code.operation("mov", Kind.MOV, 32, reg=True)
    copy = Code((code.insn(narrow, register, w.number()),))
    width = w.rng.choice((32, 32, 64))
    return (copy, Branch(code.jump("jgt", register, most, width), use()))


def _checked_signed(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    source = w.number()
    width = w.rng.choice((64, 64, 64, 32))
    copy = Code((code.mov(register, source),))
    checks = [code.jump("jsgt", register, most, width), code.jump("jslt", register, 0, width)]
    if w.chance(0.5):
        checks.reverse()
    if width == 32:
        zero_extend = code.operation("mov", Kind.MOV, 32, reg=True)
        copy = Code((code.insn(zero_extend, register, source),))
    return (copy, Branch(checks[0], (Branch(checks[1], use()),)))


def _checked_register(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    """Against a number in another register, known or not."""
    limit: tuple[Insn, ...] = (code.put(5, most),)
    if most and w.chance(0.4):
        mask = (1 << ((most + 1).bit_length() - 1)) - 1
        limit = (code.mov(5, w.number()), code.alu("and", 5, mask))
    copy = Code((code.mov(register, w.number()), *limit))
    return (copy, Branch(code.jump_reg("jgt", register, 5), use()))


def _spilled(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    """Compared while a copy lies on the stack."""
    source = w.number()
    size = w.rng.choice((8, 8, 8, 4))
    slot = w.rng.randrange(SCRATCH[0], SCRATCH[1], 8)
    spill = Code((code.store(size, code.FP, slot, source),))
    fill = Code((code.load(size, register, code.FP, slot),))
    width = 8 * size
    return (spill, Branch(code.jump("jgt", source, most, width), (fill, *use())))


def _known(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    """Equal to one number, found by a comparison."""
    source = w.number()
    value = w.rng.randint(0, most)
    check = code.jump("jne", source, value)
    return (Branch(check, (Code((code.mov(register, source),)), *use())),)


_BOUNDS: Final[tuple[_Bound, ...]] = (
    _mask, _mask, _shifted, _remainder, _checked, _checked, _checked, _checked_half,
    _checked_signed, _checked_register, _spilled, _known,
)  # fmt: skip
