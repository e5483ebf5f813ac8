"""Where the values in question came from: a refused program's path, read backwards.

Each sentence tells of one register: what made its value, what was computed with it, through which
functions and stack slots it went, and which conditions spoke of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bpfheap.errors import VerifierError
from bpfheap.isa import Kind
from bpfheap.platform.calls import Arg, SideEffect
from bpfheap.verifier.analysis.cfg import Step
from bpfheap.verifier.explain.beginnings import MAX_READ, RegisterAt
from bpfheap.verifier.explain.path import Path
from bpfheap.verifier.explain.route import condition
from bpfheap.verifier.explain.trace import MAX_TOLD, Provenance, Tracer
from bpfheap.verifier.explain.words import (
    PACKET_NAMES,
    extent,
    number_words,
    pointer_words,
    scalar_words,
)
from bpfheap.verifier.state.state import (
    CTX,
    DYNPTR,
    MAP,
    SCALAR,
    STACK,
    UNINIT,
    Gone,
    Held,
    Invalidation,
    Reg,
)

#: As many registers are told of.
_MAX_SENTENCES = 5
#: As many conditions are looked at for one register, and as many are told.
_MAX_CONDITIONS = 48
_MAX_CHECKS = 2

_ACCESSES = frozenset({Kind.LOAD, Kind.STORE_IMM, Kind.STORE_REG, Kind.ATOMIC})
_SIZES = frozenset({Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO})
_INVALIDATED = {
    Invalidation.GIVEN: ", and went to {call} at {where}",
    Invalidation.UNLOCKED: ", and was borrowed until {call} at {where}",
    Invalidation.MOVED: ", and was valid until {call} at {where}",
    Invalidation.RETURNED: ", and was lent to a callback by {call} at {where}",
}


def origins(path: Path, error: VerifierError) -> tuple[str, ...]:
    """Sentences about what the refused instruction rests on, the most important first."""
    return tuple(_Teller(path, error.file).sentences(error))


class _Teller(Tracer):
    def __init__(self, path: Path, file: str | None) -> None:
        super().__init__(path, file)
        self._last = len(path) - 1

    def sentences(self, error: VerifierError) -> Iterator[str]:
        path, last = self.path, self._last
        if "infinite loop" in error.message:
            yield from self._loop()
            return
        if "too large" in error.message or "too complex" in error.message:
            yield from self._long()
            return
        if error.message.endswith("would lead to reference leak") and path.last_state.refs:
            yield from self._held(path.last_state.refs[0])
            return
        if error.register is None:
            yield from self._sections()
        depth = path.depths[last]
        waiting = [RegisterAt(n, last, depth) for n in self._subjects(error, path.step(last))]
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
        row = step.row
        if row is not None:
            # Memory and its size are checked together.
            if n < len(row.args) and row.args[n] in _SIZES:
                found.append(n + 1)
            elif 1 < n <= len(row.args) and row.args[n - 1] in _SIZES:
                found.append(n - 1)
        elif step.kind is Kind.ALU and step.with_reg:
            found += [r for r in (step.dst, step.src) if r != n]
        return found

    def _sentence(self, place: RegisterAt, told: Provenance) -> str:
        reg = self._reg(place)
        if reg is not None and reg.kind == STACK and reg.scalar.is_const:
            frame = f" of {self._owner(reg)}" if len(self.path.last_state.frames) > 1 else ""
            passed = "".join(f", {what}" for what in told.passed)
            return f"r{place.register} points at {pointer_words(reg)}{frame}{passed}"
        parts = [f"r{place.register} {told.how}"]
        parts += [f", {what}" for what in (*told.passed, *told.operations)]
        if reg is not None and isinstance(reg.what, Gone):
            gone = reg.what
            call, where = gone.call.removesuffix("_impl"), self._slot_place(gone.insn)
            parts.append(_INVALIDATED[gone.why].format(call=call, where=where))
        elif reg is not None and reg.kind == UNINIT:
            pass
        elif reg is not None and reg.kind == SCALAR:
            parts += self._number(told, reg)
        elif reg is not None:
            parts += self._pointer(told, reg)
        return "".join(parts)

    def _owner(self, reg: Reg) -> str:
        """The function whose stack it is."""
        subprogs = self.env.cfg.subprogs
        return f"{subprogs[self.path.last_state.frames[reg.what].subprog].name}()"

    def _number(self, told: Provenance, reg: Reg) -> Iterator[str]:
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

    def _pointer(self, told: Provenance, reg: Reg) -> Iterator[str]:
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
        if low >= 0 and high + step.size <= size:
            return
        at = number_words(low) if low == high else f"{number_words(low)} to {number_words(high)}"
        what = f"{step.size} byte{'s' if step.size > 1 else ''} at byte {at} of {name}"
        last = size - step.size
        fits = "which is too short" if last < 0 else "where only byte 0 would fit"
        yield f"the instruction accesses {what}, " + (
            f"where only 0 to {last} would fit" if last > 0 else fits
        )

    def _checks(self, told: Provenance, reg: Reg) -> list[str]:
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

    def _speaks_of(self, place: RegisterAt, at: int, step: Step) -> bool:
        operands = (step.dst, step.src) if step.with_reg else (step.dst,)
        depth = self.path.depths[at]
        if depth == place.depth and place.register in operands:
            return True
        reg = self._reg(place._replace(at=at))
        if reg is None or not reg.id:
            return False
        others = (self._reg(RegisterAt(n, at, depth)) for n in operands)
        return any(other is not None and other.id == reg.id for other in others)

    def _held(self, held: Held) -> Iterator[str]:
        """Where an object came from that is still owned at the end, and where it is."""
        path = self.path
        made = next((k for k in range(len(path) - 1, -1, -1) if path.slots[k] == held.insn), None)
        what = str(held)
        attached = self.env.attached
        if attached is not None and held.id in attached.refs.values():
            yield f"the {what} is an argument that the program has to give away"
        elif made is not None:
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
                if slot.reg is not None
                and slot.reg.ref == ref
                # A dynptr is told of once.
                and (slot.reg.kind != DYNPTR or slot.reg.what.first)
            ]
        return found

    def _sections(self) -> Iterator[str]:
        """The lock and the RCU section that the path is in, or has left."""
        st, last = self.path.last_state, self._last
        if st.lock is not None:
            yield f"the lock was taken at {self._slot_place(st.lock.insn)}"
        if st.rcu:
            entered = self._last_deed(SideEffect.ENTERS_RCU, last)
            if entered is not None:
                yield f"the RCU section was entered at {self.place(entered)}"
        elif self._does(last, SideEffect.LEAVES_RCU):
            left = self._last_deed(SideEffect.LEAVES_RCU, last)
            if left is None:
                yield "no RCU section was entered on this path"
            else:
                yield f"the RCU section was left at {self.place(left)}"

    def _last_deed(self, side_effect: SideEffect, before: int) -> int | None:
        for at in range(before - 1, max(-1, before - 1 - MAX_READ), -1):
            if self._does(at, side_effect):
                return at
        return None

    def _does(self, at: int, side_effect: SideEffect) -> bool:
        row = self.path.step(at).row
        return row is not None and row.side_effect is side_effect

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
            if told > MAX_TOLD:
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
        maker = self._maker(RegisterAt(n, end, depth))
        return maker is not None and maker >= start
