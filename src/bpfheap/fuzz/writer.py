"""`Writer`: the state of one function that is being generated, and memory accesses of all kinds.

Three rules keep most generated programs valid. r6 to r9 always hold numbers, except registers that
a pointer in scope has claimed. No statement relies on what an earlier one left in r0 to r5. Every
pointer, object, lock and record belongs to a scope that releases it at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from bpfheap.fuzz import code
from bpfheap.fuzz.pieces import BranchPiece, CodePiece, Piece, Pieces
from bpfheap.fuzz.surroundings import FuzzMap, FuzzStruct
from bpfheap.isa import Insn, Kind
from bpfheap.platform.programs import ProgramType

# The layout of every function's frame, by offset from r10. What most functions use is next to r10,
# so that they take little stack.
#: The context pointer.
CTX_SLOT: Final = -8
#: Start and end of memory for arbitrary stores and loads.
SCRATCH: Final = (-56, -8)
#: Counters of nested loops.
COUNTERS: Final = (-64, -72, -80)
#: Spilled pointers.
HOMES: Final = (-88, -96, -104)
#: A map key of 4 bytes.
KEY: Final = -112
#: struct bpf_iter_num of nested loops.
ITERATORS: Final = (-120, -128)
#: A map value to be stored.
BUFFER: Final = -184

_NUMBERS: Final = (6, 7, 8, 9)
#: So many of r6 to r9 hold numbers at any time; the others may be claimed by pointers.
_MIN_NUMBERS: Final = 2
IMMEDIATES: Final = (
    0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 31, 32, 33, 63, 64, -1, -2, -8, 127, 128, 255, 256,
    0x7FFFFFFF, -0x80000000, 0x10000,
)  # fmt: skip


class Pointee(StrEnum):
    """The kind of memory that a pointer in scope points at."""

    VALUE = "value"
    KEY = "key"
    OBJECT = "object"
    STACK = "stack"
    PACKET = "packet"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class ScopedPointer:
    """A pointer that statements may use until the end of its scope."""

    pointee: Pointee
    #: Where the pointer is kept: a register's number, or a negative offset from r10.
    home: int
    #: Start and end (exclusive) of the bytes behind it that hold numbers.
    scalars: tuple[int, int]
    #: The struct behind it, None for memory without a type.
    target: FuzzStruct | None = None
    #: The map whose value is behind it, if any.
    map: FuzzMap | None = None
    writable: bool = True
    #: The scope has to free or store the object at its end.
    owned: bool = False

    def fetch(self, dst: int) -> Insn:
        """dst = the pointer"""
        return code.mov(dst, self.home) if self.home > 0 else code.load(8, dst, code.FP, self.home)

    def save(self, src: int) -> Insn:
        """home = src"""
        return code.mov(self.home, src) if self.home > 0 else code.store(8, code.FP, self.home, src)


#: Memory whose loads and stores have to be aligned.
_ALIGNED: Final = frozenset({Pointee.STACK})
#: Memory that takes no variable offset.
_FIXED: Final = frozenset({Pointee.OBJECT})
#: Memory that takes atomic operations.
_ATOMIC: Final = frozenset({Pointee.VALUE, Pointee.OBJECT, Pointee.STACK, Pointee.RECORD})


class Role(StrEnum):
    """Who calls a function."""

    FUNCTION = "function"  # the program itself
    LOOP = "loop"  # bpf_loop
    WALK = "walk"  # bpf_for_each_map_elem


@dataclass(frozen=True, slots=True)
class Callee:
    """The signature of a function that the program may call."""

    #: Its index in `RandomProgram.functions`.
    number: int
    role: Role
    #: None for a parameter that is a number.
    params: tuple[CalleeParam | None, ...] = ()
    #: The map whose elements a callback of bpf_for_each_map_elem gets.
    walks: FuzzMap | None = None


@dataclass(frozen=True, slots=True)
class CalleeParam:
    """A parameter that is a pointer; `map` is the map that a value belongs to."""

    pointee: Pointee
    map: FuzzMap | None = None


@dataclass(slots=True)
class StatementBudget:
    """How many statements may still be written, nested ones included."""

    left: int


class Writer:
    """The state of one function that is being generated."""

    def __init__(
        self,
        rng: Random,
        features: frozenset[str],
        row: ProgramType,
        budget: StatementBudget,
        write_statement: Callable[[Writer], Pieces],
        callees: tuple[Callee, ...] = (),
    ) -> None:
        self.rng = rng
        self.features = features
        self.row = row
        self.budget = budget
        #: Writes a random statement.
        self.write_statement = write_statement
        #: The functions that this one may call.
        self.callees = callees
        # How deep blocks, counted loops and bpf_iter_num loops are nested here.
        self.depth = 0
        self.loops = 0
        self.iterators = 0
        #: False while a lock is held: nothing may be called then.
        self.may_call = True
        #: The context pointer is in CTX_SLOT (of the entry function only).
        self.has_ctx = False
        self.held: list[ScopedPointer] = []
        self._numbers = list(_NUMBERS)
        self._homes = list(HOMES)

    # -- choices

    def chance(self, share: float) -> bool:
        """True with that probability."""
        return self.rng.random() < share

    def number(self) -> int:
        """A random register that holds a number."""
        return self.rng.choice(self._numbers)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The registers that hold numbers."""
        return tuple(self._numbers)

    def immediate(self) -> int:
        """A random constant, mostly one at an edge."""
        if self.chance(0.8):
            return self.rng.choice(IMMEDIATES)
        return self.rng.randint(-(1 << 31), (1 << 31) - 1)

    def size(self, most: int) -> int:
        """A random access size of at most `most` bytes."""
        return self.rng.choice([size for size in (1, 2, 4, 8) if size <= most])

    def block(self, count: int) -> Pieces:
        """Some statements, one level deeper."""
        pieces: list[Piece] = []
        self.depth += 1
        for _ in range(count):
            pieces += self.write_statement(self)
        self.depth -= 1
        return tuple(pieces)

    # -- scopes

    def claim_home(self) -> int | None:
        """A place to keep a pointer, as in `ScopedPointer.home`; None if there is none left."""
        if len(self._numbers) > _MIN_NUMBERS and self.chance(0.6):
            home = self.rng.choice(self._numbers)
            self._numbers.remove(home)
            return home
        return self._homes.pop() if self._homes else None

    def release_home(self, home: int) -> Pieces:
        """Release a home; a register gets a number again."""
        if home < 0:
            self._homes.append(home)
            return ()
        self._numbers.append(home)
        self._numbers.sort()
        return (CodePiece((code.put(home, self.immediate()),)),)

    def claim_register(self, register: int) -> None:
        """Take that register away from the numbers."""
        self._numbers.remove(register)

    @contextmanager
    def scope(self, held: ScopedPointer) -> Iterator[None]:
        """Within it, statements may use the pointer."""
        self.held.append(held)
        try:
            yield
        finally:
            self.held.remove(held)

    def pointers(self, *pointee: Pointee) -> list[ScopedPointer]:
        """The pointers in scope to these kinds of memory, all of them if none is given."""
        return [held for held in self.held if not pointee or held.pointee in pointee]

    # -- numbers within bounds

    def bounded_index(
        self, most: int, use: Callable[[], Pieces], *, step: int = 1, register: int = 4
    ) -> Pieces:
        """What `use` writes, at a point where the register holds an unknown multiple of `step`
        between 0 and `most`. In one case of 20 the bound is too large. Clobbers r5."""
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
        then = (CodePiece(tuple(after)),) if after else ()
        most = max(0, (most - added) // factor)
        return self.rng.choice(_BOUNDS)(self, register, most, lambda: (*then, *use()))

    # -- memory

    def access(self, held: ScopedPointer) -> Pieces:
        """A load, store or atomic operation through a pointer in scope. Clobbers r0, r3 to r5."""
        low, high = held.scalars
        write = held.writable and self.chance(0.5)
        atomic = write and held.pointee in _ATOMIC and self.chance(0.25)
        size = self.rng.choice((1, 2, 4, 4, 8, 8)) if atomic else self.size(high - low)
        # In objects an access must not reach from one member into the next.
        aligned = atomic or held.pointee in _ALIGNED
        aligned = aligned or (held.pointee in _FIXED and self.chance(0.97))
        step = size if aligned else 1
        start = -(-low // step) * step
        fetch = CodePiece((held.fetch(3),))
        room = high - start - size
        if room < 0:
            return ()
        if held.pointee in _FIXED or self.chance(0.5):
            off = start + self.rng.randrange(room // step + 1) * step
            if self.chance(0.02):
                off += self.rng.choice((-64, -8, 8, 64))
            return (fetch, self.memory_insn(3, off, size, write=write, atomic=atomic))
        reserve = self.rng.choice((0, 0, room // 2))
        off = start + reserve // step * step
        add = CodePiece((code.alu_reg("add", 3, 4),))

        def use() -> Pieces:
            insn = self.memory_insn(3, off, size, write=write, atomic=atomic)
            return (add, insn) if self.chance(0.7) else (fetch, add, insn)

        return (fetch, *self.bounded_index(room - reserve, use, step=step))

    def memory_insn(
        self, pointer: int, off: int, size: int, *, write: bool, atomic: bool = False
    ) -> CodePiece:
        """One load, store or atomic operation of `size` bytes at pointer + off."""
        if atomic:
            op = self.rng.choice([op for op in code.ATOMICS if op.size == size])
            if op.kind is Kind.LOAD:
                return CodePiece((code.insn(op, self.number(), pointer, off),))
            insn = code.insn(op, pointer, self.number(), off)
            if op.name == "cmpxchg":
                return CodePiece((code.mov(0, self.number()), insn))
            return CodePiece((insn,))
        if not write:
            op = self.rng.choice([op for op in code.LOADS if op.size == size])
            return CodePiece((code.insn(op, self.number(), pointer, off),))
        if self.chance(0.6):
            return CodePiece((code.store(size, pointer, off, self.number()),))
        return CodePiece((code.store_imm(size, pointer, off, self.immediate()),))


# Ways to bound an unknown number. Each leaves one between 0 and `most` in `register` and then
# writes what `use` writes.

_Bound = Callable[[Writer, int, int, Callable[[], Pieces]], Pieces]


def _mask(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    mask = (1 << ((most + 1).bit_length() - 1)) - 1
    return (CodePiece((code.mov(register, w.number()), code.alu("and", register, mask))), *use())


def _shifted(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    bits = (most + 1).bit_length() - 1
    if not bits:
        return _mask(w, register, most, use)
    width = w.rng.choice((32, 64))
    insns = (code.mov(register, w.number()), code.alu("rsh", register, width - bits, width))
    return (CodePiece(insns), *use())


def _remainder(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    width = w.rng.choice((32, 64))
    insns = (code.mov(register, w.number()), code.alu("mod", register, most + 1, width))
    return (CodePiece(insns), *use())


def _checked(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    """Copied and compared; the comparison is of the copy or of the original, before or after."""
    source = w.number()
    copy = CodePiece((code.mov(register, source),))
    name, limit = w.rng.choice((("jgt", most), ("jge", most + 1)))
    match w.rng.randrange(4):
        case 0:
            return (copy, BranchPiece(code.jump(name, register, limit), use()))
        case 1:
            return (copy, BranchPiece(code.jump(name, source, limit), use()))
        case 2:
            return (BranchPiece(code.jump(name, source, limit), (copy, *use())),)
    opposite = {"jgt": "jle", "jge": "jlt"}[name]
    return (BranchPiece(code.jump(opposite, source, limit), (), (copy, *use())),)


def _checked_half(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    """The lower half, compared in 32 bits."""
    narrow = code.operation("mov", Kind.MOV, 32, reg=True)
    copy = CodePiece((code.insn(narrow, register, w.number()),))
    width = w.rng.choice((32, 32, 64))
    return (copy, BranchPiece(code.jump("jgt", register, most, width), use()))


def _checked_signed(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    source = w.number()
    width = w.rng.choice((64, 64, 64, 32))
    copy = CodePiece((code.mov(register, source),))
    checks = [code.jump("jsgt", register, most, width), code.jump("jslt", register, 0, width)]
    if w.chance(0.5):
        checks.reverse()
    if width == 32:
        zero_extend = code.operation("mov", Kind.MOV, 32, reg=True)
        copy = CodePiece((code.insn(zero_extend, register, source),))
    return (copy, BranchPiece(checks[0], (BranchPiece(checks[1], use()),)))


def _checked_register(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    """Compared with another register, which holds a known or a masked number."""
    limit: tuple[Insn, ...] = (code.put(5, most),)
    if most and w.chance(0.4):
        mask = (1 << ((most + 1).bit_length() - 1)) - 1
        limit = (code.mov(5, w.number()), code.alu("and", 5, mask))
    copy = CodePiece((code.mov(register, w.number()), *limit))
    return (copy, BranchPiece(code.jump_reg("jgt", register, 5), use()))


def _spilled(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    """Spilled, compared, and filled again from the stack."""
    source = w.number()
    size = w.rng.choice((8, 8, 8, 4))
    slot = w.rng.randrange(SCRATCH[0], SCRATCH[1], 8)
    spill = CodePiece((code.store(size, code.FP, slot, source),))
    fill = CodePiece((code.load(size, register, code.FP, slot),))
    width = 8 * size
    return (spill, BranchPiece(code.jump("jgt", source, most, width), (fill, *use())))


def _known(w: Writer, register: int, most: int, use: Callable[[], Pieces]) -> Pieces:
    """Compared for equality with one number."""
    source = w.number()
    value = w.rng.randint(0, most)
    check = code.jump("jne", source, value)
    return (BranchPiece(check, (CodePiece((code.mov(register, source),)), *use())),)


_BOUNDS: Final[tuple[_Bound, ...]] = (
    _mask, _mask, _shifted, _remainder, _checked, _checked, _checked, _checked_half,
    _checked_signed, _checked_register, _spilled, _known,
)  # fmt: skip
