"""Calls: those whose usual way is a few instructions are written in place, and go into the core
for the rest; all others are calls of the core's own functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bpfheap.isa import Kind
from bpfheap.machine import played
from bpfheap.machine.native.jit.blocks import Ins
from bpfheap.machine.native.jit.body import Body
from bpfheap.machine.native.jit.calls import callbacks, context, iterators, maps, objects, ringbuf
from bpfheap.machine.native.jit.calls.call import CallSite, Inline
from bpfheap.machine.native.jit.source import CannotCompile
from bpfheap.platform.calls import CALL_BY_NAME, Arg, Course

#: Who is asked about these has to know where they are.
_ASKED: Final = frozenset({Course.PRINTS, Course.WAITS})
#: Those that are written in place, by name: each family of calls has a module.
INLINE: Final[Mapping[str, Inline]] = {
    name: inline
    for family in (maps, callbacks, objects, ringbuf, iterators, context)
    for name, inline in family.INLINE.items()
}


def write(body: Body, ins: Ins) -> None:
    """A call of a helper or kfunc. Raises CannotCompile."""
    if ins.op.kind is Kind.CALL_REG:
        if body.source.hardened:
            raise CannotCompile(f"slot {ins.slot} calls by number")
        _by_number(body, ins)
        return
    name = body.source.calls[ins.slot]
    call = CallSite(body, ins)
    if name in body.source.asked:
        call.ask()
        return
    inline = None if name is None else INLINE.get(name)
    if name is None or name not in CALL_BY_NAME:
        raise CannotCompile(f"slot {ins.slot} calls what nobody knows")
    if inline is not None and inline(call):
        return
    if CALL_BY_NAME[name].throws:
        raise CannotCompile(f"slot {ins.slot} throws")
    if body.source.hardened and ins.slot not in body.frame.proven:
        call.checked(name)
        return
    _plain(call, name)


def _plain(call: CallSite, name: str) -> None:
    """The core's own function, with arguments where the interpreter has them."""
    body, row = call.body, CALL_BY_NAME[name]
    registers = body.field("%run", "bh_run.r")
    for n, arg in enumerate(row.args, 1):
        value = "0" if arg is Arg.UNUSED else call.number(n)
        at = body.let(f"getelementptr i8, ptr {registers}, i64 {8 * n}")
        body.do(f"store i64 {value}, ptr {at}")
    # What Python has, too, the core may leave to it, and all that is about elements that it keeps.
    about_map = Arg.MAP in row.args and (call.map is None or call.map.shape == "played")
    asks = about_map or row.course in _ASKED or name in played.CALLS
    if asks:
        body.do(f"store i32 {call.ins.slot}, ptr {body.field('%run', 'bh_run.slot')}")
    body.set_any(0, body.call(name, "i64", "ptr %run", f"ptr {registers}"))
    if asks:
        body.stop_if_stopped()


def _by_number(body: Body, ins: Ins) -> None:
    """callx, which no verified program has."""
    registers = body.field("%run", "bh_run.r")
    for n in range(1, 6):
        at = body.let(f"getelementptr i8, ptr {registers}, i64 {8 * n}")
        body.do(f"store i64 {body.argument(ins.slot, n)}, ptr {at}")
    number = body.get(ins.insn.dst)
    body.do(f"store i32 {ins.slot}, ptr {body.field('%run', 'bh_run.slot')}")
    body.set_any(0, body.call("bh_call_by_number", "i64", "ptr %run", f"i64 {number}"))
    body.stop_if_stopped()
