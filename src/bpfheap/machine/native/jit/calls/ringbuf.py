"""Records of ring buffers, as ring.c has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bpfheap.machine.native._core import LAYOUT
from bpfheap.machine.native.jit.calls.call import CallSite, Inline


def _reserve(call: CallSite) -> bool:
    body, shape = call.body, call.map
    if shape is None or shape.shape != "ring":
        return False
    ring = body.symbols.map(shape)
    size, flags = call.number(2), call.number(3)
    begin, again, room, made, full, done = (
        body.name(stem) for stem in ("begin", "again", "room", "made", "full", "reserved")
    )
    header, longest = LAYOUT["BH_RING_HEADER"], LAYOUT["BH_RING_DONE"] - 1
    fits = body.let(f"icmp ule i64 {size}, {longest - header}")
    plain = body.let(f"icmp eq i64 {flags}, 0")
    body.branch(body.let(f"and i1 {fits}, {plain}"), begin, full)
    body.label(begin)
    whole = body.let(f"and i64 {body.let(f'add i64 {size}, {header + 7}')}, -8")
    produced_at = body.field(ring, "bh_map.produced")
    consumed_at = body.field(ring, "bh_map.consumed")
    body.goto(again)
    body.label(again)
    at = body.let(f"load atomic i64, ptr {produced_at} monotonic, align 8")
    end = body.let(f"add i64 {at}, {whole}")
    consumed = body.let(f"load atomic i64, ptr {consumed_at} acquire, align 8")
    taken = body.let(f"sub i64 {end}, {consumed}")
    body.branch(body.let(f"icmp ult i64 {taken}, {shape.max_entries}"), room, full)
    body.label(room)
    pair = body.let(f"cmpxchg weak ptr {produced_at}, i64 {at}, i64 {end} seq_cst seq_cst, align 8")
    body.branch(body.let(f"extractvalue {{ i64, i1 }} {pair}, 1"), made, again)
    body.label(made)
    place = body.let(f"and i64 {at}, {shape.max_entries - 1}")
    head = body.let(f"getelementptr i8, ptr {body.memory_of(shape)}, i64 {place}")
    if body.source.hardened:
        # The same memory as where the program reaches, for LLVM.
        head = body.reach(body.let(f"ptrtoint ptr {head} to i64"), align=8)
    length = body.let(f"trunc i64 {size} to i32")
    busy = body.let(f"or i32 {length}, {LAYOUT['BH_RING_BUSY']}")
    body.do(f"store atomic i32 {busy}, ptr {head} monotonic, align 8")
    record = body.let(f"getelementptr i8, ptr {head}, i64 {header}")
    body.goto(done)
    body.label(full)
    body.goto(done)
    body.label(done)
    body.set_pointer(0, body.let(f"phi ptr [ {record}, %{made} ], [ null, %{full} ]"))
    return True


def _finish(bit: str) -> Inline:
    def end(call: CallSite) -> bool:
        body = call.body
        record = call.pointer(1, 8, 8)
        head = body.let(f"getelementptr i8, ptr {record}, i64 {-LAYOUT['BH_RING_HEADER']}")
        was = body.let(f"load atomic i32, ptr {head} monotonic, align 8")
        length = body.let(f"and i32 {was}, {LAYOUT['BH_RING_BUSY'] - 1}")
        now = body.let(f"or i32 {length}, {LAYOUT[bit]}")
        body.do(f"store atomic i32 {now}, ptr {head} release, align 8")
        call.result("0")
        return True

    return end


INLINE: Final[Mapping[str, Inline]] = {
    "bpf_ringbuf_reserve": _reserve,
    "bpf_ringbuf_submit": _finish("BH_RING_DONE"),
    "bpf_ringbuf_discard": _finish("BH_RING_DISCARD"),
}
