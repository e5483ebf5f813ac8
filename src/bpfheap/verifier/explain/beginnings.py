"""How values begin: what an instruction gives that no other register had before, in words."""

from __future__ import annotations

import re
from typing import NamedTuple

from bpfheap.btf import Func, FuncProto
from bpfheap.isa import Kind
from bpfheap.platform.calls import Arg, Call
from bpfheap.spec import RefKind
from bpfheap.verifier.analysis.cfg import CALLS, Step
from bpfheap.verifier.explain.path import Path
from bpfheap.verifier.explain.words import (
    PACKET_NAMES,
    member_at,
    pointer_words,
    register_words,
)
from bpfheap.verifier.state.state import (
    CTX,
    FP,
    KERNEL,
    MAP,
    MAP_VALUE,
    OBJECT,
    SCALAR,
    STACK,
    Reg,
)

#: As many instructions are read for one register.
MAX_READ = 20_000


class RegisterAt(NamedTuple):
    """A register at one point of a path.

    `register`: its number.
    `at`: the index in the path of the instruction before which it is looked at.
    `depth`: the frame's number.
    """

    register: int
    at: int
    depth: int


class Beginnings:
    """Names what stands at a place of a path. Lines of `file` go without its name."""

    def __init__(self, path: Path, file: str | None) -> None:
        self.path = path
        self.env = path.env
        self._file = file

    def place(self, at: int) -> str:
        return self._slot_place(self.path.slots[at])

    def _slot_place(self, slot: int) -> str:
        line = self.env.spec.line_of(slot)
        if line is None:
            return f"instruction {slot}"
        return f"line {line.line}" if line.file == self._file else str(line)

    def _reg(self, place: RegisterAt) -> Reg | None:
        st = self.path.state(place.at)
        if st is None or place.depth >= len(st.frames):
            return None
        return st.frames[place.depth].regs[place.register]

    def _callee(self, at: int) -> str:
        cfg = self.env.cfg
        return f"{cfg.subprogs[cfg.starts[self.path.slots[at + 1]]].name}()"

    def _function(self, at: int) -> str:
        slot = self.path.slots[at]
        return next(f"{sub.name}()" for sub in self.env.cfg.subprogs if sub.start <= slot < sub.end)

    def _beginning(self, place: RegisterAt) -> str:
        """Nothing on the path wrote the register."""
        if place.register == FP:
            return "is the frame pointer"
        path = self.path
        if path.skipped or place.at > MAX_READ:
            return f"was given its value more than {min(place.at, MAX_READ)} instructions before"
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
        cfg = self.env.cfg
        sub = cfg.subprogs[cfg.starts[start]]
        btf = self.env.spec.btf
        if not 0 < sub.func_id < len(btf):
            return f"argument {n} of {sub.name}()"
        func = btf[sub.func_id]
        proto = btf[func.type] if isinstance(func, Func) else None
        if not isinstance(proto, FuncProto) or n > len(proto.params):
            return None
        return f"argument {proto.params[n - 1].name or n} of {sub.name}()"

    def _given(self, place: RegisterAt, at: int) -> str:
        """What a callback is called with, or what no function is given."""
        step = self.path.step(at)
        row = step.row
        if row is None or not 1 <= place.register <= 5:
            return f"was never given a value in {self._callee(at)}"
        name = self._parameter(self.path.slots[at + 1], place.register)
        if name is None:
            return f"was never given a value in {self._callee(at)}"
        call = row.name.removesuffix("_impl")
        return f"is {name}, which {call} at {self.place(at)} calls"

    def _made(self, place: RegisterAt, at: int) -> str:
        """What the instruction at `at` gives, which is no copy."""
        step = self.path.step(at)
        where = self.place(at)
        if step.kind in CALLS:
            if place.register:
                return (
                    f"lost its value in the call of {self._called(at, step)} at {where}: calls "
                    "overwrite r0 to r5"
                )
            row = step.row
            about = "" if row is None else self._about(row, at)
            return f"came from {self._called(at, step)}{about} at {where}"
        if step.kind is Kind.LEGACY:
            if place.register:
                return f"lost its value at {where}: {step.name} overwrites r0 to r5"
            return f"is a u{step.width} loaded from the packet at {where}"
        if step.kind is Kind.MOV:
            return f"is the constant {step.imm} ({where})"
        if step.kind is Kind.LDDW:
            return f"is {self._address(step)} ({where})"
        if step.kind is Kind.CAST:
            of = "the program" if step.name == "cast_kern" else "user space"
            return f"is an address in the arena, as {of} has it ({where})"
        if step.kind is Kind.LOAD:
            loaded = self._reg(RegisterAt(step.dst, at + 1, self.path.depths[at]))
            if loaded is not None and loaded.kind != SCALAR:
                return f"is {self._source(step, at)}, loaded at {where}"
            size = f"{'s' if step.sx else 'u'}{step.width}"
            article = "an" if step.sx else "a"
            return f"is {article} {size} loaded from {self._source(step, at)} at {where}"
        assert step.kind is Kind.ATOMIC
        return f"is what an atomic operation at {where} found in memory"

    def _called(self, at: int, step: Step) -> str:
        row = step.row
        if row is not None:
            # Programs write the macro's name.
            return row.name.removesuffix("_impl")
        assert step.kind is Kind.CALL_LOCAL
        cfg = self.env.cfg
        return f"{cfg.subprogs[cfg.starts[step.target]].name}()"

    def _about(self, row: Call, at: int) -> str:
        """The map or field that a call is about."""
        reg = self._reg(RegisterAt(1, at, self.path.depths[at]))
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
        reg = self._reg(RegisterAt(step.src, at, self.path.depths[at]))
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
        if reg.kind == KERNEL:
            kind = reg.what.type
            name = member_at(kind.btf, kind.type_id, offset)
            return f"{name or f'byte {offset}'} of a {kind}"
        if reg.kind == OBJECT:
            layout = reg.what.layout
            name = member_at(layout.btf, layout.type_id, offset)
            return f"{name or f'byte {offset}'} of a {layout}"
        return pointer_words(reg)
