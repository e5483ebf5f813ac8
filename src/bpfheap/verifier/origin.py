"""Where the values in question came from: a refused program's path, read backwards.

Each sentence tells of one register: what made its value, what was computed with it, through which
functions and stack slots it went, and which conditions spoke of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from bpfheap.btf import Func, FuncProto
from bpfheap.errors import VerifierError
from bpfheap.isa import Kind
from bpfheap.platform.calls import Arg, Call
from bpfheap.spec import RefKind
from bpfheap.verifier.path import CALLS, Path
from bpfheap.verifier.program import Step, call_row
from bpfheap.verifier.route import condition
from bpfheap.verifier.scalar import same, subset
from bpfheap.verifier.state import (
    CTX,
    FP,
    MAP,
    MAP_VALUE,
    OBJECT,
    SCALAR,
    SLOT,
    STACK,
    UNINIT,
    Gone,
    Held,
    Reg,
)
from bpfheap.verifier.words import (
    PACKET_NAMES,
    extent,
    member_at,
    number_words,
    pointer_words,
    register_words,
    scalar_words,
)

#: As many registers are told of.
_MAX_SENTENCES = 5
#: As many instructions are read for one register, and as many conditions.
_MAX_READ = 20_000
#: As many for a stack slot, since the states before them have to be found again.
_MAX_STACK_READ = 4_000
_MAX_CONDITIONS = 48
#: As many hops from register to register are followed.
_MAX_HOPS = 64
#: As many computations with a value, and conditions on it, are told.
_MAX_TOLD = 4
_MAX_CHECKS = 2

#: The arguments that a call may pass on to a callback, the most likely one first.
_LENT = (3, 1)
_ACCESSES = frozenset({Kind.LOAD, Kind.STORE_IMM, Kind.STORE_REG, Kind.ATOMIC})
_STORES = frozenset({Kind.STORE_IMM, Kind.STORE_REG, Kind.ATOMIC})
_FORGOTTEN = "taken for any number since it changes from round to round of a callback"
_SIZES = frozenset({Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO})
_WRITTEN = frozenset({Arg.UNINIT_MEM, Arg.ITER_NEW, Arg.ITER})

#: What was computed, in words; the operand follows.
_OPERATIONS = {
    "add": "plus", "sub": "less", "mul": "times", "div": "divided by", "mod": "modulo",
    "sdiv": "divided (signed) by", "smod": "modulo (signed)", "and": "&", "or": "|", "xor": "^",
    "lsh": "shifted left by", "rsh": "shifted right by", "arsh": "shifted right (signed) by",
}  # fmt: skip
_RCU_LOCK, _RCU_UNLOCK = "bpf_rcu_read_lock", "bpf_rcu_read_unlock"
#: Operations that bound what they are applied to.
_BOUNDING = frozenset({"and", "mod", "rsh"})


class _Place(NamedTuple):
    """A register of a frame, before the instruction at `at` of the path."""

    register: int
    at: int
    depth: int


class _Told(NamedTuple):
    """`how` the value was made, as "came from f at line 3"; `made` is the place in the path at
    which that happened, -1 before its beginning. `places` are those that it went through, newest
    first; `others` were computed with it."""

    how: str
    made: int
    operations: tuple[str, ...]
    passed: tuple[str, ...]
    places: tuple[_Place, ...]
    others: tuple[_Place, ...]
    bounded: bool


def origins(path: Path, error: VerifierError) -> tuple[str, ...]:
    """Sentences about what the refused instruction rests on, the most important first."""
    return tuple(_Teller(path, error.file).sentences(error))


class _Teller:
    def __init__(self, path: Path, file: str | None) -> None:
        self.path = path
        self.env = path.env
        self._file = file
        self._last = len(path) - 1

    def sentences(self, error: VerifierError) -> Iterator[str]:
        path, last = self.path, self._last
        if "infinite loop" in error.message:
            yield from self._loop()
            return
        if "too large" in error.message or "too complex" in error.message:
            yield from self._long()
            return
        if error.message.startswith("Unreleased reference") and path.end.refs:
            yield from self._held(path.end.refs[0])
            return
        if error.register is None:
            yield from self._sections()
        depth = path.depths[last]
        waiting = [_Place(n, last, depth) for n in self._subjects(error, path.step(last))]
        if error.register is None and path.step(last).kind is Kind.LOAD:
            stored = self._filled(path.step(last), last, [])
            if stored is not None and stored.at >= 0:
                waiting = [stored]
                yield f"r{stored.register} was stored there at {self.place(stored.at)}"
        done: set[tuple[int, int]] = set()
        while waiting and len(done) < _MAX_SENTENCES:
            place = waiting.pop(0)
            # The same computation of an earlier round says nothing new.
            key = (place.register, path.slots[place.at])
            if key in done:
                continue
            done.add(key)
            told = self._tell(place)
            yield self._sentence(place, told)
            if place.at == last:
                yield from self._access(path.step(last), place.register)
            waiting += told.others

    def _subjects(self, error: VerifierError, step: Step) -> list[int]:
        """The registers that the refused instruction is about."""
        if error.register is None:
            if step.kind is Kind.STORE_REG:
                return [step.src, step.dst]
            if step.kind is Kind.LOAD:
                return [step.src]
            return []
        n = int(error.register[1:])
        found = [n]
        row = call_row(self.env.spec, step)
        if row is not None:
            # Memory and its size are checked together.
            if n < len(row.args) and row.args[n] in _SIZES:
                found.append(n + 1)
            elif 1 < n <= len(row.args) and row.args[n - 1] in _SIZES:
                found.append(n - 1)
        elif step.kind is Kind.ALU and step.with_reg:
            found += [r for r in (step.dst, step.src) if r != n]
        return found

    # What a sentence is made of.

    def place(self, at: int) -> str:
        return self._slot_place(self.path.slots[at])

    def _slot_place(self, slot: int) -> str:
        line = self.env.spec.line_of(slot)
        if line is None:
            return f"instruction {slot}"
        return f"line {line.line}" if line.file == self._file else str(line)

    def _reg(self, place: _Place) -> Reg | None:
        st = self.path.state(place.at)
        if st is None or place.depth >= len(st.frames):
            return None
        return st.frames[place.depth].regs[place.register]

    def _sentence(self, place: _Place, told: _Told) -> str:
        reg = self._reg(place)
        if reg is not None and reg.kind == STACK and reg.scalar.is_const:
            frame = f" of {self._owner(reg)}" if len(self.path.end.frames) > 1 else ""
            passed = "".join(f", {what}" for what in told.passed)
            return f"r{place.register} points at {pointer_words(reg)}{frame}{passed}"
        parts = [f"r{place.register} {told.how}"]
        parts += [f", {what}" for what in (*told.passed, *told.operations)]
        if reg is not None and isinstance(reg.what, Gone):
            gone = reg.what
            call, where = gone.call.removesuffix("_impl"), self._slot_place(gone.insn)
            parts.append(f", and {gone.lapse.value} {call} at {where}")
        elif reg is not None and reg.kind == UNINIT:
            pass
        elif reg is not None and reg.kind == SCALAR:
            parts += self._number(told, reg)
        elif reg is not None:
            parts += self._pointer(told, reg)
        return "".join(parts)

    def _owner(self, reg: Reg) -> str:
        """The function whose stack it is."""
        subprogs = self.env.program.subprogs
        return f"{subprogs[self.path.end.frames[reg.what].subprog].name}()"

    def _number(self, told: _Told, reg: Reg) -> Iterator[str]:
        checks = [check for check in self._checks(told, reg) if "NULL" not in check]
        if reg.scalar.is_const:
            if told.operations or told.how.startswith("came from"):
                yield f"; it is {scalar_words(reg.scalar)}"
            return
        yield f"; it can be {scalar_words(reg.scalar)}"
        if checks:
            yield f", checked by {' and '.join(checks)}"
        elif not told.bounded:
            yield ", and no condition bounds it"

    def _pointer(self, told: _Told, reg: Reg) -> Iterator[str]:
        if reg.or_null:
            more = told.passed or told.operations or "which" in told.how
            yield f"{',' if more else ''} and was not checked for NULL"
        elif reg.kind not in (CTX, MAP):
            checks = [check for check in self._checks(told, reg) if "NULL" in check]
            if checks:
                yield f", checked for NULL at {checks[-1].rpartition(' at ')[2]}"
        if reg.kind in PACKET_NAMES or (reg.kind not in (CTX, MAP) and told.operations):
            yield f"; it points at {pointer_words(reg)}"

    def _access(self, step: Step, n: int) -> Iterator[str]:
        """What a load or store through register `n` accesses, where that says more."""
        st = self.path.state(self._last)
        base = step.src if step.kind is Kind.LOAD else step.dst
        if st is None or step.kind not in _ACCESSES or base != n:
            return
        reg = st.regs[n]
        known = extent(reg)
        if reg.kind == CTX and not reg.off and reg.scalar.is_const:
            for field in self.env.type.fields:
                if field.offset <= step.off < field.offset + field.size:
                    yield f"{field.name} of the context is at byte {step.off}"
        if known is None or reg.or_null:
            return
        name, size = known
        low, high = (reg.off + step.off + end for end in (reg.scalar.smin, reg.scalar.smax))
        if low >= 0 and high + step.op.size <= size:
            return
        at = number_words(low) if low == high else f"{number_words(low)} to {number_words(high)}"
        what = f"{step.op.size} byte{'s' if step.op.size > 1 else ''} at byte {at} of {name}"
        last = size - step.op.size
        fits = "which is too short" if last < 0 else "where only byte 0 would fit"
        yield f"the instruction accesses {what}, " + (
            f"where only 0 to {last} would fit" if last > 0 else fits
        )

    def _checks(self, told: _Told, reg: Reg) -> list[str]:
        """The last conditions that spoke of the value, oldest first."""
        found: list[str] = []
        read = 0
        for i, place in enumerate(told.places):
            start = told.places[i + 1].at if i + 1 < len(told.places) else told.made + 1
            for at in range(place.at - 1, max(start, told.made + 1) - 1, -1):
                step = self.path.step(at)
                if step.kind is not Kind.JCOND or at >= self._last:
                    continue
                read += 1
                if read > _MAX_CONDITIONS or len(found) == _MAX_CHECKS:
                    break
                if self._speaks_of(place, at, step):
                    found.append(f"{condition(self.path, at)} at {self.place(at)}")
        return list(dict.fromkeys(reversed(found)))

    def _speaks_of(self, place: _Place, at: int, step: Step) -> bool:
        operands = (step.dst, step.src) if step.with_reg else (step.dst,)
        depth = self.path.depths[at]
        if depth == place.depth and place.register in operands:
            return True
        reg = self._reg(place._replace(at=at))
        if reg is None or not reg.id:
            return False
        tied = (self._reg(_Place(n, at, depth)) for n in operands)
        return any(other is not None and other.id == reg.id for other in tied)

    # Following a value back.

    def _tell(self, place: _Place) -> _Told:
        operations: dict[int, tuple[str, int]] = {}
        passed: list[str] = []
        places = [place]
        others: list[_Place] = []
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
            before: _Place | None = None
            if depth < now.depth:
                before = self._argument(now, at, passed)
                if before is None:
                    how, made = self._given(now, at), at
                    break
            elif self.path.leaves(at):
                if step.kind is not Kind.EXIT:
                    how, made = f"was left by {self._function(at)} in a tail call", at
                    break
                before = _Place(0, at, depth)
                passed.append(f"returned by {self._function(at)}")
            elif step.kind is Kind.MOV and step.with_reg:
                before = _Place(step.src, at, depth)
                if self._changed(before, _Place(step.dst, at + 1, depth)):
                    bits = step.op.sx or step.width
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
        return _Told(
            how,
            made,
            _computations(list(operations.values())),
            tuple(dict.fromkeys(reversed(passed[-_MAX_TOLD:]))),
            tuple(places),
            tuple(others[:_MAX_TOLD]),
            bounded,
        )

    def _maker(self, place: _Place) -> int | None:
        """Where the path writes the register last: an instruction, the return of a function (for
        r0) or the call that entered the function. None if it never does."""
        path, n = self.path, place.register
        for at in range(place.at - 1, max(-1, place.at - 1 - _MAX_READ), -1):
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
            elif step.writes == n:
                return at
        return None

    def _back(self, at: int) -> bool:
        """Does a callback return here, to the call that called it?"""
        row = call_row(self.env.spec, self.path.step(at + 1))
        return row is not None and row.callback

    def _argument(self, place: _Place, at: int, passed: list[str]) -> _Place | None:
        """The caller's register, of what a static function was given."""
        step = self.path.step(at)
        n = place.register
        if not 1 <= n <= 5:
            return None
        if step.kind is not Kind.CALL_LOCAL:
            inside = self._reg(_Place(n, at + 1, place.depth))
            n = next((k for k in _LENT if self._alike(_Place(k, at, place.depth - 1), inside)), 0)
            if not n:
                return None
        passed.append(f"passed to {self._callee(at)} at {self.place(at)}")
        return _Place(n, at, place.depth - 1)

    def _alike(self, place: _Place, other: Reg | None) -> bool:
        """Does a register hold what another one does, as far as that is something of its own?"""
        reg = self._reg(place)
        if reg is None or other is None or reg.kind != other.kind or reg.kind == UNINIT:
            return False
        if reg.kind == SCALAR and not reg.scalar.is_const:
            return False
        return reg.off == other.off and reg.what == other.what and same(reg.scalar, other.scalar)

    def _callee(self, at: int) -> str:
        program = self.env.program
        return f"{program.subprogs[program.starts[self.path.slots[at + 1]]].name}()"

    def _function(self, at: int) -> str:
        slot = self.path.slots[at]
        for sub in self.env.program.subprogs:
            if sub.start <= slot < sub.end:
                return f"{sub.name}()"
        return "a function"

    def _changed(self, before: _Place, after: _Place) -> bool:
        old, new = self._reg(before), self._reg(after)
        if old is None or new is None:
            return False
        return old.kind != new.kind or not same(old.scalar, new.scalar)

    def _computed(
        self, step: Step, at: int, operations: dict[int, tuple[str, int]], others: list[_Place]
    ) -> _Place:
        depth = self.path.depths[at]
        dst = _Place(step.dst, at, depth)
        src = _Place(step.src, at, depth)
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

    # The stack.

    def _filled(self, step: Step, at: int, passed: list[str]) -> _Place | None:
        """The register that was stored where a load reads the stack; with `at` -1, the constant
        in place of a register. None if it reads something else, or it cannot be told."""
        depth = self.path.depths[at]
        base = self._reg(_Place(step.src, at, depth))
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
                if end <= low or low + step.op.size <= start:
                    continue
                if start != low or other.kind is Kind.ATOMIC or end - start < step.op.size:
                    return None
                if other.kind is Kind.STORE_IMM:
                    return _Place(other.imm, -1, depth)
                stored = _Place(other.src, k, self.path.depths[k])
                if self._forgotten(stored, step, at):
                    passed.append(_FORGOTTEN)
                return stored
            if other.kind in CALLS and self._clobbers(k, other, frame, low):
                return None
        return None

    def _forgotten(self, stored: _Place, step: Step, at: int) -> bool:
        """Is less known of the number that a load reads than of the one stored there?"""
        old = self._reg(stored)
        new = self._reg(_Place(step.dst, at + 1, self.path.depths[at]))
        if old is None or new is None or not old.kind == SCALAR == new.kind:
            return False
        fits = step.op.size == SLOT or old.scalar.top < 1 << step.width
        return fits and not subset(new.scalar, old.scalar)

    def _written(self, at: int, step: Step, frame: int) -> tuple[int, int] | None:
        """The bytes of a frame's stack that a store may write, None for none."""
        base = self._reg(_Place(step.dst, at, self.path.depths[at]))
        if base is None or base.kind != STACK or base.what != frame:
            return None
        low = base.off + step.off + base.scalar.smin
        return low, base.off + step.off + base.scalar.smax + step.op.size

    def _clobbers(self, at: int, step: Step, frame: int, low: int) -> bool:
        """May a call write the byte at `low` of a frame's stack?"""
        row = call_row(self.env.spec, step)
        if row is None:
            if self.path.enters(at):
                return False
            written = range(1, 6)
        else:
            if not any(arg in _WRITTEN for arg in row.args):
                return False
            written = range(1, len(row.args) + 1)
        for n in written:
            if row is not None and row.args[n - 1] not in _WRITTEN:
                continue
            reg = self._reg(_Place(n, at, self.path.depths[at]))
            if reg is None or reg.kind != STACK or reg.what != frame:
                continue
            if reg.off + reg.scalar.smin <= low:
                return True
        return False

    # How values begin.

    def _beginning(self, place: _Place) -> str:
        """Nothing on the path wrote the register."""
        if place.register == FP:
            return "is the frame pointer"
        path = self.path
        if path.skipped or place.at > _MAX_READ:
            return f"was given its value more than {min(place.at, _MAX_READ)} instructions before"
        start = path.slots[0]
        if place.register == 1 and start == 0:
            return "is the program's context"
        if start and 1 <= place.register <= 5:
            name = self._parameter(start, place.register)
            if name is not None:
                return f"is {name}, which is verified for any value that its type allows"
        return "was never given a value on this path"

    def _parameter(self, start: int, n: int) -> str | None:
        """The n-th parameter of the function that starts at a slot, as "argument v of f()"."""
        program = self.env.program
        sub = program.subprogs[program.starts[start]]
        btf = self.env.spec.btf
        if not 0 < sub.func_id < len(btf):
            return f"argument {n} of {sub.name}()"
        func = btf[sub.func_id]
        proto = btf[func.type] if isinstance(func, Func) else None
        if not isinstance(proto, FuncProto) or n > len(proto.params):
            return None
        return f"argument {proto.params[n - 1].name or n} of {sub.name}()"

    def _given(self, place: _Place, at: int) -> str:
        """What a callback is called with, or what no function is given."""
        step = self.path.step(at)
        row = call_row(self.env.spec, step)
        if row is None or not 1 <= place.register <= 5:
            return f"was never given a value in {self._callee(at)}"
        name = self._parameter(self.path.slots[at + 1], place.register)
        if name is None:
            return f"was never given a value in {self._callee(at)}"
        call = row.name.removesuffix("_impl")
        return f"is {name}, which {call} at {self.place(at)} calls"

    def _made(self, place: _Place, at: int) -> str:
        """What the instruction at `at` gives, which is no copy."""
        step = self.path.step(at)
        where = self.place(at)
        if step.kind in CALLS:
            if place.register:
                return (
                    f"lost its value in the call of {self._called(at, step)} at {where}: calls "
                    "overwrite r0 to r5"
                )
            row = call_row(self.env.spec, step)
            about = "" if row is None else self._about(row, at)
            return f"came from {self._called(at, step)}{about} at {where}"
        if step.kind is Kind.MOV:
            return f"is the constant {step.imm} ({where})"
        if step.kind is Kind.LDDW:
            return f"is {self._address(step)} ({where})"
        if step.kind is Kind.LOAD:
            loaded = self._reg(_Place(step.dst, at + 1, self.path.depths[at]))
            if loaded is not None and loaded.kind != SCALAR:
                return f"is {self._source(step, at)}, loaded at {where}"
            size = f"{'s' if step.op.sx else 'u'}{step.width}"
            article = "an" if step.op.sx else "a"
            return f"is {article} {size} loaded from {self._source(step, at)} at {where}"
        if step.kind is Kind.ATOMIC:
            return f"is what an atomic operation at {where} found in memory"
        return f"was computed at {where}"

    def _called(self, at: int, step: Step) -> str:
        row = call_row(self.env.spec, step)
        if row is not None:
            # Programs write the macro's name.
            return row.name.removesuffix("_impl")
        if step.kind is Kind.CALL_LOCAL:
            program = self.env.program
            return f"{program.subprogs[program.starts[step.target]].name}()"
        return "a function"

    def _about(self, row: Call, at: int) -> str:
        """The map or field that a call is about."""
        reg = self._reg(_Place(1, at, self.path.depths[at]))
        if reg is not None and reg.kind == MAP and Arg.MAP in row.args:
            return f" (map {reg.what})"
        return ""

    def _address(self, step: Step) -> str:
        ref = self.env.spec.refs.get(step.slot)
        if ref is None:
            return f"the constant {register_words(step.operand)}"
        if ref.kind is RefKind.MAP:
            return f"map {ref.name}"
        if ref.kind is RefKind.MAP_VALUE:
            spec = self.env.obj.maps.get(ref.name)
            name = None if spec is None else member_at(spec.btf, spec.value, ref.offset)
            # The variable; its first member is no news.
            variable = re.split(r"[.[]", name)[0] if name else ""
            return f"the address of {variable or f'byte {ref.offset} of {ref.name}'}"
        return f"the address of {ref.name or 'a function'}"

    def _source(self, step: Step, at: int) -> str:
        """What a load reads."""
        reg = self._reg(_Place(step.src, at, self.path.depths[at]))
        if reg is None:
            return f"r{step.src}{step.off:+d}"
        if reg.kind in PACKET_NAMES:
            return PACKET_NAMES[reg.kind]
        if not reg.scalar.is_const:
            return pointer_words(reg)
        offset = reg.off + step.off + reg.scalar.smin
        if reg.kind == CTX:
            for field in self.env.type.fields:
                if field.offset <= offset < field.offset + field.size:
                    return f"{field.name} of the context"
            return f"byte {offset} of the context"
        if reg.kind == STACK:
            return f"the stack at fp{offset:+d}"
        if reg.kind == MAP_VALUE:
            layout = reg.what.layout
            name = member_at(layout.btf, layout.type_id, offset)
            if reg.what.spec.data is not None:
                return f"the global variable {name}" if name else f"{reg.what} at byte {offset}"
            return f"{name or f'byte {offset}'} of a value of {reg.what}"
        if reg.kind == OBJECT:
            layout = reg.what.layout
            name = member_at(layout.btf, layout.type_id, offset)
            return f"{name or f'byte {offset}'} of a {layout}"
        return pointer_words(reg)

    # What is about more than one register.

    def _held(self, held: Held) -> Iterator[str]:
        """Where an object came from that is still owned at the end, and where it is."""
        path = self.path
        made = next((k for k in range(len(path) - 1, -1, -1) if path.slots[k] == held.insn), None)
        what = str(held)
        if made is not None:
            name = self._called(made, path.step(made))
            yield f"the {what} came from {name} at {self.place(made)}"
        where = self._holders(held.insn, self._last)
        if where:
            yield f"at the end it is still in {' and '.join(where)}"
            return
        for at in range(self._last, max(-1, self._last - _MAX_CONDITIONS * 8), -1):
            where = self._holders(held.insn, at)
            if where:
                yield f"the last pointer to it was in {where[0]}, until {self.place(at)}"
                return

    def _holders(self, insn: int, at: int) -> list[str]:
        """What points at the object that came from a slot. A state found again has other ids."""
        st = self.path.state(at)
        ref = 0 if st is None else next((h.id for h in reversed(st.refs) if h.insn == insn), 0)
        if st is None or not ref:
            return []
        found = []
        for frame in st.frames:
            found += [f"r{n}" for n, reg in enumerate(frame.regs) if reg.ref == ref]
            found += [
                f"the stack at fp{place * 8}"
                for place, slot in sorted(frame.stack.items())
                if slot.reg is not None and slot.reg.ref == ref
            ]
        return found

    def _sections(self) -> Iterator[str]:
        """The lock and the RCU section that the path is in, or has left."""
        st, last = self.path.end, self._last
        if st.lock is not None:
            yield f"the lock was taken at {self._slot_place(st.lock.insn)}"
        if st.rcu:
            entered = self._last_call(_RCU_LOCK, last)
            if entered is not None:
                yield f"the RCU section was entered at {self.place(entered)}"
        elif self._called(last, self.path.step(last)) == _RCU_UNLOCK:
            left = self._last_call(_RCU_UNLOCK, last)
            if left is None:
                yield "no RCU section was entered on this path"
            else:
                yield f"the RCU section was left at {self.place(left)}"

    def _last_call(self, name: str, before: int) -> int | None:
        for at in range(before - 1, max(-1, before - 1 - _MAX_READ), -1):
            step = self.path.step(at)
            if step.kind in CALLS and self._called(at, step) == name:
                return at
        return None

    def _loop(self) -> Iterator[str]:
        """What the conditions of a loop without end depend on."""
        path, last = self.path, self._last
        start = next((k for k in range(last - 1, -1, -1) if path.slots[k] == path.slots[last]), 0)
        told = 0
        for at in range(start, last):
            step = path.step(at)
            if step.kind is not Kind.JCOND:
                continue
            told += 1
            if told > _MAX_TOLD:
                return
            names = [step.dst, *([step.src] if step.with_reg else [])]
            depth = path.depths[at]
            fixed = [n for n in names if not self._changes(n, start, last, depth)]
            text = f"the loop goes on while {condition(path, at)} at {self.place(at)}"
            if len(fixed) == len(names):
                text += f", and nothing in it changes {' or '.join(f'r{n}' for n in names)}"
            yield text
        if not told:
            yield "the loop has no condition that could end it"

    def _long(self) -> Iterator[str]:
        """The conditions that a path which is too long came by most often."""
        path = self.path
        jumps = Counter(
            path.slots[at] for at in range(self._last) if path.step(at).kind is Kind.JCOND
        )
        often = [(slot, n) for slot, n in jumps.most_common(_MAX_CHECKS) if n > 1]
        if often:
            yield f"this path alone has more than {len(path) - 1 + path.skipped} instructions"
        for slot, n in often:
            at = max(k for k in range(self._last) if path.slots[k] == slot)
            text = f"{self._slot_place(slot)} was passed {n} times"
            if path.skipped:
                text += f" in the last {len(path)} of them"
            yield f"{text}, at last with {condition(path, at)}"

    def _changes(self, n: int, start: int, end: int, depth: int) -> bool:
        maker = self._maker(_Place(n, end, depth))
        return maker is not None and maker >= start


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
    return tuple(found[-_MAX_TOLD:])
