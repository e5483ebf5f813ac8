"""Look-ups in maps, as the core's files for their shapes have them, and tail calls."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from bpfheap.machine.native._core import LAYOUT
from bpfheap.machine.native.jit.calls.call import CallSite, Inline, errno_value
from bpfheap.machine.native.jit.source import MapShape

#: What a key of 4 or 8 bytes takes in an element, before the value.
_KEY: Final = 8


def key_is_index(shape: MapShape) -> bool:
    """Whether keys lie nowhere, as they are the places of elements."""
    return shape.shape == "array"


def _lookup(call: CallSite) -> bool:
    shape = call.map
    if shape is None:
        return False
    cpu = call.cpu() if shape.per_cpu else None
    return _look(call, shape, cpu)


def _lookup_percpu(call: CallSite) -> bool:
    shape = call.map
    if shape is None or not shape.per_cpu:
        return False
    return _look(call, shape, *call.given_cpu(3))


def _look(call: CallSite, shape: MapShape, cpu: str | None, there: str | None = None) -> bool:
    """`cpu`: whose value it is, of a per-CPU map; NULL unless `there`."""
    body = call.body
    if shape.shape == "array":
        found = _array(call, shape, cpu)
    elif shape.shape == "hash" and shape.key_size in (4, 8) and not shape.pointers:
        found = _hash(call, shape)
    elif shape.shape in ("hash", "lru", "trie"):
        symbol = body.symbols.map(shape)
        found = body.call(
            "bh_map_lookup", "ptr", f"ptr {symbol}", f"ptr {call.pointer(2, shape.key_size)}"
        )
    else:
        return False
    if cpu is not None and shape.shape != "array":
        distance = body.let(f"mul i64 {cpu}, {shape.stride}")
        moved = body.let(f"getelementptr i8, ptr {found}, i64 {distance}")
        none = body.let(f"icmp eq ptr {found}, null")
        found = body.let(f"select i1 {none}, ptr null, ptr {moved}")
    return call.give_pointer(found, there)


def _array(call: CallSite, shape: MapShape, cpu: str | None) -> str:
    body = call.body
    index = body.let(f"load i32, ptr {call.pointer(2, 4)}, align 1")
    there = body.let(f"icmp ult i32 {index}, {shape.max_entries}")
    wide = body.let(f"zext i32 {index} to i64")
    distance = body.let(f"mul i64 {wide}, {shape.stride * (body.source.cpus if cpu else 1)}")
    if cpu is not None:
        own = body.let(f"mul i64 {cpu}, {shape.stride}")
        distance = body.let(f"add i64 {distance}, {own}")
    base = body.memory_of(shape)
    value = body.let(f"getelementptr inbounds i8, ptr {base}, i64 {distance}")
    if shape.pointers:
        # @nothing is read instead where there is no element.
        safe = body.let(f"select i1 {there}, ptr {value}, ptr @nothing")
        return body.let(f"load atomic ptr, ptr {safe} acquire, align 8")
    return body.let(f"select i1 {there}, ptr {value}, ptr null")


def _hash(call: CallSite, shape: MapShape) -> str:
    """Compare the first element of the bucket here; the core looks through the others."""
    body = call.body
    symbol = body.symbols.map(shape)
    key_at = call.pointer(2, shape.key_size)
    t = f"i{shape.key_size * 8}"
    key = body.let(f"load {t}, ptr {key_at}, align 1")
    seed = body.known("i64", body.field(symbol, "bh_map.seed"))
    if shape.key_size == 4:
        wide = body.let(f"zext i32 {key} to i64")
        mixed = body.let(f"xor i64 {seed}, {wide}")
        product = body.let(f"mul i64 {mixed}, {LAYOUT['BH_HASH_WORD']}")
        hash_ = body.let(f"lshr i64 {product}, 32")
    else:
        begun = body.let(f"xor i64 {seed}, {shape.key_size}")
        mixed = body.let(f"xor i64 {begun}, {key}")
        wide = body.let(f"zext i64 {mixed} to i128")
        product = body.let(f"mul i128 {wide}, {LAYOUT['BH_HASH_LAST']}")
        low = body.let(f"trunc i128 {product} to i64")
        high = body.let(f"trunc i128 {body.let(f'lshr i128 {product}, 64')} to i64")
        hash_ = body.let(f"xor i64 {low}, {high}")
    bucket = body.let(f"and i64 {hash_}, {shape.mask}")
    distance = body.let(f"mul i64 {bucket}, {LAYOUT['bh_bucket']}")
    at = body.let(f"getelementptr i8, ptr {body.memory_of(shape)}, i64 {distance}")
    elem = body.let(f"load atomic ptr, ptr {body.field(at, 'bh_bucket.first')} acquire, align 8")
    number = body.let(f"ptrtoint ptr {elem} to i64")
    marker = body.let(f"trunc i64 {number} to i1")
    some, hit, miss, done = (body.name(stem) for stem in ("some", "hit", "miss", "found"))
    body.branch(marker, miss, some)
    body.label(some)
    value = body.let(f"getelementptr i8, ptr {elem}, i64 {_value_at(call, shape)}")
    # Of a hardened map that is the copy which programs reach: see bh_elem.
    key_there = body.let(f"getelementptr i8, ptr {value}, i64 -{_KEY}")
    there = body.let(f"load {t}, ptr {key_there}, align 8")
    body.branch(body.let(f"icmp eq {t} {there}, {key}"), hit, miss)
    body.label(hit)
    body.goto(done)
    body.label(miss)
    # A copy: a key whose address is passed on would be in memory on the usual way, too.
    copy = body.variable(t)
    body.do(f"store {t} {key}, ptr {copy}")
    slow = body.call("bh_map_lookup", "ptr", f"ptr {symbol}", f"ptr {copy}")
    body.goto(done)
    body.label(done)
    return body.let(f"phi ptr [ {value}, %{hit} ], [ {slow}, %{miss} ]")


def _value_at(call: CallSite, shape: MapShape) -> str:
    """Of a hardened map it has more than 32 bits, which are better kept in a register than written
    into each instruction."""
    body = call.body
    if not body.source.hardened:
        return str(shape.value_at)
    return body.known("i64", body.field(body.symbols.map(shape), "bh_map.value_at"))


def _tail_call(call: CallSite) -> bool:
    body = call.body
    if body.source.hardened:
        return False
    prog = body.call(
        "bh_tail", "ptr", "ptr %run", f"ptr {call.pointer(2)}", f"i64 {call.number(3)}"
    )
    go, stay = body.name("go"), body.name("stay")
    body.branch(body.let(f"icmp eq ptr {prog}, null"), stay, go)
    body.label(go)
    body.do(f"ret i64 {body.call('bh_run_tail', 'i64', 'ptr %run', f'ptr {prog}')}")
    body.label(stay)
    call.result(errno_value(errno.ENOENT))
    # The other program may have been left in the middle.
    body.may_stop = True
    return True


INLINE: Final[Mapping[str, Inline]] = {
    "bpf_map_lookup_elem": _lookup,
    "bpf_map_lookup_percpu_elem": _lookup_percpu,
    "bpf_tail_call": _tail_call,
}
