"""Values followed back along a path: through moves and computations, arguments and results of
functions, and the stack."""

from __future__ import annotations

from typing import NamedTuple

from bpfheap.isa import Kind
from bpfheap.platform.calls import WRITTEN
from bpfheap.verifier.analysis.cfg import CALLS, Step
from bpfheap.verifier.domain.scalar import same, subset
from bpfheap.verifier.explain.beginnings import MAX_READ, Beginnings, RegisterAt
from bpfheap.verifier.state.state import (
    FP,
    SCALAR,
    SLOT,
    STACK,
    UNINIT,
    Reg,
)

#: As many instructions are read for a stack slot: the states before them have to be found again.
_MAX_STACK_READ = 4_000
#: As many hops from register to register are followed.
_MAX_HOPS = 64
#: As many computations with a value are told.
MAX_TOLD = 4

#: The arguments that a call may pass on to a callback, the most likely one first.
_LENT = (3, 1)
_STORES = frozenset({Kind.STORE_IMM, Kind.STORE_REG, Kind.ATOMIC})
_FORGOTTEN = "taken for any number since it changes from round to round of a callback"

#: What was computed, in words; the operand follows.
_OPERATIONS = {
    "add": "plus", "sub": "less", "mul": "times", "div": "divided by", "mod": "modulo",
    "sdiv": "divided (signed) by", "smod": "modulo (signed)", "and": "&", "or": "|", "xor": "^",
    "lsh": "shifted left by", "rsh": "shifted right by", "arsh": "shifted right (signed) by",
}  # fmt: skip
#: Operations that bound what they are applied to.
_BOUNDING = frozenset({"and", "mod", "rsh"})


class Provenance(NamedTuple):
    """Where a value comes from.

    `how`: how it was made, as "came from f at line 3".
    `made`: the index in the path at which that happened, -1 before its beginning.
    `operations`: what was computed with it, in words, oldest first.
    `passed`: the functions and stack slots that it went through, in words.
    `places`: the registers that it went through, newest first.
    `others`: the registers that were computed with it.
    `bounded`: did an operation bound it?
    """

    how: str
    made: int
    operations: tuple[str, ...]
    passed: tuple[str, ...]
    places: tuple[RegisterAt, ...]
    others: tuple[RegisterAt, ...]
    bounded: bool


class Tracer(Beginnings):
    """Follows registers back to where their values were made."""

    def _tell(self, place: RegisterAt) -> Provenance:
        operations: dict[int, tuple[str, int]] = {}
        passed: list[str] = []
        places = [place]
        others: list[RegisterAt] = []
        bounded = False
        now = place
        how, made = "was given its value before that", -1
        for _ in range(_MAX_HOPS):
            at = self._maker(now)
            if at is None:
                how, made = self._beginning(now), -1
                break
            step = self.path.step(at)
            depth = self.path.depths[at]
            before: RegisterAt | None = None
            if depth < now.depth:
                before = self._argument(now, at, passed)
                if before is None:
                    how, made = self._given(now, at), at
                    break
            elif self.path.leaves(at):
                if step.kind is Kind.LEGACY:
                    how, made = f"is 0, as the packet was too short for {self._function(at)}", at
                    break
                if step.kind is not Kind.EXIT:
                    how, made = f"was left by {self._function(at)} in a tail call", at
                    break
                before = RegisterAt(0, at, depth)
                passed.append(f"returned by {self._function(at)}")
            elif step.kind is Kind.MOV and step.with_reg:
                before = RegisterAt(step.src, at, depth)
                if self._changed(before, RegisterAt(step.dst, at + 1, depth)):
                    bits = step.sx or step.width
                    operations.setdefault(step.slot, (f"cut to {bits} bits", 1))
                    bounded = bounded or bits < 32
            elif step.kind in (Kind.ALU, Kind.NEG, Kind.END):
                before = self._computed(step, at, operations, others)
                bounded = bounded or step.name in _BOUNDING
            elif step.kind is Kind.LOAD:
                before = self._filled(step, at, passed)
                if before is not None and before.at < 0:
                    how, made = f"is the constant {before.register}", at
                    break
            if before is None:
                how, made = self._made(now, at), at
                break
            now = before
            places.append(now)
        return Provenance(
            how,
            made,
            _computations(list(operations.values())),
            tuple(dict.fromkeys(reversed(passed[-MAX_TOLD:]))),
            tuple(places),
            tuple(others[:MAX_TOLD]),
            bounded,
        )

    def _maker(self, place: RegisterAt) -> int | None:
        """Where the path writes the register last: an instruction, the return of a function (for
        r0) or the call that entered the function. None if it never does."""
        path, n = self.path, place.register
        for at in range(place.at - 1, max(-1, place.at - 1 - MAX_READ), -1):
            depth = path.depths[at]
            if depth < place.depth:
                return at if n != FP else None
            step = path.step(at)
            if depth > place.depth:
                if n == 0 and depth == place.depth + 1 and path.leaves(at):
                    return at if path.depths[at + 1] == place.depth and not self._back(at) else None
                continue
            if step.kind in CALLS:
                if n <= 5 and not path.enters(at):
                    return at
                if 1 <= n <= 5 and step.kind is Kind.CALL_LOCAL:
                    return at
            elif step.writes == n or (step.kind is Kind.LEGACY and n <= 5):
                return at
        return None

    def _back(self, at: int) -> bool:
        """Does a callback return here, to the call that called it?"""
        row = self.path.step(at + 1).row
        return row is not None and row.callback

    def _argument(self, place: RegisterAt, at: int, passed: list[str]) -> RegisterAt | None:
        """The caller's register, of what a static function was given."""
        step = self.path.step(at)
        n = place.register
        if not 1 <= n <= 5:
            return None
        if step.kind is not Kind.CALL_LOCAL:
            inside = self._reg(RegisterAt(n, at + 1, place.depth))
            n = next(
                (k for k in _LENT if self._alike(RegisterAt(k, at, place.depth - 1), inside)), 0
            )
            if not n:
                return None
        passed.append(f"passed to {self._callee(at)} at {self.place(at)}")
        return RegisterAt(n, at, place.depth - 1)

    def _alike(self, place: RegisterAt, other: Reg | None) -> bool:
        """Does a register hold what another one does, as far as that is something of its own?"""
        reg = self._reg(place)
        if reg is None or other is None or reg.kind != other.kind or reg.kind == UNINIT:
            return False
        if reg.kind == SCALAR and not reg.scalar.is_const:
            return False
        return reg.off == other.off and reg.what == other.what and same(reg.scalar, other.scalar)

    def _changed(self, before: RegisterAt, after: RegisterAt) -> bool:
        old, new = self._reg(before), self._reg(after)
        if old is None or new is None:
            return False
        return old.kind != new.kind or not same(old.scalar, new.scalar)

    def _computed(
        self, step: Step, at: int, operations: dict[int, tuple[str, int]], others: list[RegisterAt]
    ) -> RegisterAt:
        depth = self.path.depths[at]
        dst = RegisterAt(step.dst, at, depth)
        src = RegisterAt(step.src, at, depth)
        if step.kind is not Kind.ALU:
            text = "negated" if step.kind is Kind.NEG else f"with its bytes swapped ({step.name})"
        elif not step.with_reg:
            text = _operation(step, step.imm)
        else:
            reg = self._reg(src)
            if reg is not None and reg.kind == SCALAR and reg.scalar.is_const:
                text = _operation(step, reg.scalar.smin)
            else:
                base = self._reg(dst)
                pointer = reg is not None and reg.kind != SCALAR
                if pointer and base is not None and base.kind == SCALAR and step.name == "add":
                    # What is added to is the pointer, on whichever side it stands.
                    dst, src = src, dst
                text = f"{_OPERATIONS[step.name]} r{src.register}"
                if src not in others:
                    others.append(src)
            if text and step.name in ("add", "sub"):
                text += f" at {self.place(at)}"
        if text:
            old, times = operations.pop(step.slot, (text, 0))
            operations[step.slot] = (old, times + 1)
        return dst

    def _filled(self, step: Step, at: int, passed: list[str]) -> RegisterAt | None:
        """The register that was stored where a load reads the stack; with `at` -1, the constant
        in place of a register. None if it reads something else, or it cannot be told."""
        depth = self.path.depths[at]
        base = self._reg(RegisterAt(step.src, at, depth))
        if base is None or base.kind != STACK or not base.scalar.is_const:
            return None
        low = base.off + step.off + base.scalar.smin
        frame: int = base.what
        for k in range(at - 1, max(-1, at - 1 - _MAX_STACK_READ), -1):
            if self.path.depths[k] < frame:
                return None
            other = self.path.step(k)
            if other.kind in _STORES:
                where = self._written(k, other, frame)
                if where is None:
                    continue
                start, end = where
                if end <= low or low + step.size <= start:
                    continue
                if start != low or other.kind is Kind.ATOMIC or end - start < step.size:
                    return None
                if other.kind is Kind.STORE_IMM:
                    return RegisterAt(other.imm, -1, depth)
                stored = RegisterAt(other.src, k, self.path.depths[k])
                if self._forgotten(stored, step, at):
                    passed.append(_FORGOTTEN)
                return stored
            if other.kind in CALLS and self._clobbers(k, other, frame, low):
                return None
        return None

    def _forgotten(self, stored: RegisterAt, step: Step, at: int) -> bool:
        """Is less known of the number that a load reads than of the one stored there?"""
        old = self._reg(stored)
        new = self._reg(RegisterAt(step.dst, at + 1, self.path.depths[at]))
        if old is None or new is None or not old.kind == SCALAR == new.kind:
            return False
        fits = step.size == SLOT or old.scalar.top < 1 << step.width
        return fits and not subset(new.scalar, old.scalar)

    def _written(self, at: int, step: Step, frame: int) -> tuple[int, int] | None:
        """The bytes of a frame's stack that a store may write, None for none."""
        base = self._reg(RegisterAt(step.dst, at, self.path.depths[at]))
        if base is None or base.kind != STACK or base.what != frame:
            return None
        low = base.off + step.off + base.scalar.smin
        return low, base.off + step.off + base.scalar.smax + step.size

    def _clobbers(self, at: int, step: Step, frame: int, low: int) -> bool:
        """May a call write the byte at `low` of a frame's stack?"""
        row = step.row
        if row is None:
            if self.path.enters(at):
                return False
            written = range(1, 6)
        else:
            if not any(arg in WRITTEN for arg in row.args):
                return False
            written = range(1, len(row.args) + 1)
        for n in written:
            if row is not None and row.args[n - 1] not in WRITTEN:
                continue
            reg = self._reg(RegisterAt(n, at, self.path.depths[at]))
            if reg is None or reg.kind != STACK or reg.what != frame:
                continue
            if reg.off + reg.scalar.smin <= low:
                return True
        return False


def _operation(step: Step, operand: int) -> str:
    if step.name in ("add", "sub") and operand == 0:
        return ""
    if step.name == "add" and operand < 0:
        return f"less {-operand}"
    shown = hex(operand & 0xFFFFFFFF) if step.name in ("and", "or", "xor") else str(operand)
    return f"{_OPERATIONS[step.name]} {shown}"


#: Two shifts that do one thing.
_SHIFTED = {
    ("shifted left by 32", "shifted right by 32"): "cut to 32 bits",
    ("shifted left by 32", "shifted right (signed) by 32"): "sign extended from 32 bits",
}


def _computations(newest_first: list[tuple[str, int]]) -> tuple[str, ...]:
    """What was done to a value, and how often, oldest first."""
    found: list[str] = []
    for text, times in reversed(newest_first):
        both = _SHIFTED.get((found[-1], text)) if found else None
        if both is not None:
            found[-1] = both
        else:
            found.append(text if times == 1 else f"{text} ({times} times)")
    return tuple(found[-MAX_TOLD:])
