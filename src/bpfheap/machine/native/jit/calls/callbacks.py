"""Calls that call a function of the program: loops, walks through maps, and orders of trees."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from bpfheap.machine.native._core import LAYOUT
from bpfheap.machine.native.jit.body import function_name
from bpfheap.machine.native.jit.calls.call import CallSite, Inline, errno_value
from bpfheap.machine.native.jit.calls.maps import key_is_index
from bpfheap.machine.native.jit.frames import CONTEXT
from bpfheap.machine.native.jit.source import CannotCompile


def _callback(call: CallSite, *arguments: str, ctx: str = "0") -> str:
    """Call the function that the call is given: what it gives."""
    body, start = call.body, call.facts.callback
    if start not in body.stops:
        raise CannotCompile(f"slot {call.ins.slot} calls back, and it is not known whom")
    numbers = [*arguments, *["0"] * (5 - len(arguments))]
    register = CONTEXT.get(body.source.calls[call.ins.slot] or "")
    if register is not None:
        numbers[register - 1] = ctx
    given = ", ".join(["ptr %run", *(f"i64 {number}" for number in numbers)])
    value = body.let(f"call i64 @{function_name(start)}({given})")
    if body.stops[start]:
        body.stop_if_stopped()
    return value


def _loop(call: CallSite) -> bool:
    body = call.body
    wide, ctx, flags = call.number(1), call.number(3), call.number(4)
    outcome = body.variable("i64", "0")
    check, begin, again, more, ends, over, done = (
        body.name(stem) for stem in ("check", "begin", "again", "more", "ends", "over", "done")
    )
    body.do(f"store i64 {errno_value(errno.EINVAL)}, ptr {outcome}")
    plain = body.let(f"icmp eq i64 {flags}, 0")
    few = body.let(f"icmp ule i64 {wide}, {LAYOUT['BH_LOOPS']}")
    # Count all iterations before the first; those that a callback leaves out are taken off.
    each = body.rounds_of(call.facts.callback)
    whole = wide if each == 1 else body.let(f"mul i64 {wide}, {each}")
    body.count_begun(body.let(f"and i1 {plain}, {few}"), whole)
    body.branch(plain, check, done)
    body.label(check)
    body.do(f"store i64 {errno_value(errno.E2BIG)}, ptr {outcome}")
    body.branch(few, begin, done)
    body.label(begin)
    round_ = body.variable("i64")
    body.do(f"store i64 0, ptr {round_}")
    body.goto(again)
    body.label(again)
    at = body.let(f"load i64, ptr {round_}")
    body.branch(body.let(f"icmp ult i64 {at}, {wide}"), more, ends)
    body.label(more)
    stop = _callback(call, at, ctx=ctx)
    body.do(f"store i64 {body.let(f'add nuw i64 {at}, 1')}, ptr {round_}")
    body.branch(body.let(f"icmp eq i64 {stop}, 0"), again, over)
    body.label(over)
    made = body.let(f"load i64, ptr {round_}")
    fewer = body.let(f"sub i64 {made}, {wide}")
    body.count(fewer if each == 1 else body.let(f"mul i64 {fewer}, {each}"))
    body.goto(ends)
    body.label(ends)
    body.do(f"store i64 {body.let(f'load i64, ptr {round_}')}, ptr {outcome}")
    body.goto(done)
    body.label(done)
    call.result(body.let(f"load i64, ptr {outcome}"))
    return True


def _for_each(call: CallSite) -> bool:
    body, shape = call.body, call.map
    map_, ctx, flags = call.map_pointer(1), call.number(3), call.number(4)
    if map_ is None:
        return False
    outcome, rounds = body.variable("i64"), body.variable("i64")
    walk = body.variable(f"[{LAYOUT['bh_walk']} x i8]")
    begin, again, more, ends, done = (
        body.name(stem) for stem in ("begin", "again", "more", "ends", "done")
    )
    body.do(f"store i64 {errno_value(errno.EINVAL)}, ptr {outcome}")
    mask = body.known("i32", body.field(map_, "bh_map.mask"), 4)
    buckets = body.let(f"udiv i32 {mask}, {LAYOUT['BH_LOOK']}")
    body.count(body.let(f"add i64 {body.let(f'zext i32 {buckets} to i64')}, 1"))
    body.branch(body.let(f"icmp eq i64 {flags}, 0"), begin, done)
    body.label(begin)
    body.do(f"call void @llvm.memset.p0.i64(ptr {walk}, i8 0, i64 {LAYOUT['bh_walk']}, i1 false)")
    body.do(f"store i64 0, ptr {rounds}")
    stride = body.known("i32", body.field(map_, "bh_map.stride"), 4)
    per_cpu = body.known("i8", body.field(map_, "bh_map.per_cpu"), 1)
    own = body.let(f"mul i32 {stride}, {call.cpu(32)}")
    plain = body.let(f"icmp eq i8 {per_cpu}, 0")
    chosen = body.let(f"select i1 {plain}, i32 0, i32 {own}")
    distance = body.let(f"zext i32 {chosen} to i64")
    number = body.let(f"ptrtoint ptr {map_} to i64")
    # Where a hardened program can see the key of an array's element, which lies in the walk.
    below = ""
    if body.source.hardened and shape is not None and key_is_index(shape):
        sp_at = body.field("%run", "bh_run.sp")
        sp = body.let(f"load i64, ptr {sp_at}")
        below = body.let(f"sub i64 {sp}, 16")
        body.do(f"store i64 {below}, ptr {sp_at}")
    body.goto(again)
    body.label(again)
    body.branch(body.call("bh_map_walk", "zeroext i1", f"ptr {map_}", f"ptr {walk}"), more, ends)
    body.label(more)
    body.count(str(body.rounds_of(call.facts.callback)))
    made = body.let(f"load i64, ptr {rounds}")
    body.do(f"store i64 {body.let(f'add i64 {made}, 1')}, ptr {rounds}")
    key = body.let(f"load i64, ptr {body.field(walk, 'bh_walk.key')}")
    if below:
        index = body.let(f"load i32, ptr {body.let(f'inttoptr i64 {key} to ptr')}")
        body.do(f"store i32 {index}, ptr {body.reach(below)}")
        key = below
    value = body.let(f"load i64, ptr {body.field(walk, 'bh_walk.value')}")
    value = body.let(f"add i64 {value}, {distance}")
    stop = _callback(call, number, key, value, ctx=ctx)
    body.branch(body.let(f"icmp eq i64 {stop}, 0"), again, ends)
    body.label(ends)
    if below:
        body.do(f"store i64 {sp}, ptr {sp_at}")
    body.do(f"store i64 {body.let(f'load i64, ptr {rounds}')}, ptr {outcome}")
    body.goto(done)
    body.label(done)
    call.result(body.let(f"load i64, ptr {outcome}"))
    return True


def _rbtree_add(call: CallSite) -> bool:
    body = call.body
    if body.source.hardened:
        return False
    root, node = call.pointer(1), call.pointer(2)
    node_number = body.let(f"ptrtoint ptr {node} to i64")
    outcome, at = body.variable("i64"), body.variable("ptr")
    free, empty, down, left, right, there, put, refused, done = (
        body.name(stem)
        for stem in (
            "free", "empty", "down", "left", "right", "there", "put", "refused", "done",
        )
    )  # fmt: skip
    body.do(f"store i64 0, ptr {outcome}")
    reserved = body.call("bh_rb_reserve", "zeroext i1", f"ptr {root}", f"ptr {node}")
    body.branch(reserved, free, refused)
    body.label(free)
    top = body.let(f"load ptr, ptr {body.field(root, 'bh_rb_root.node')}")
    body.do(f"store ptr {top}, ptr {at}")
    core = body.let(f"load ptr, ptr {body.field('%run', 'bh_run.core')}")
    body.branch(body.let(f"icmp eq ptr {top}, null"), empty, down)
    insert = ("bh_rb_insert", "void", f"ptr {core}", f"ptr {root}", f"ptr {node}")
    body.label(empty)
    body.call(*insert, "ptr null", "i1 0")
    body.goto(done)
    body.label(down)
    parent = body.let(f"load ptr, ptr {at}")
    number = body.let(f"ptrtoint ptr {parent} to i64")
    less = _callback(call, node_number, number)
    smaller = body.let(f"icmp ne i64 {less}, 0")
    body.branch(smaller, left, right)
    child = body.variable("ptr")
    for label, side in ((left, "bh_rb_node.left"), (right, "bh_rb_node.right")):
        body.label(label)
        body.do(f"store ptr {body.let(f'load ptr, ptr {body.field(parent, side)}')}, ptr {child}")
        body.goto(there)
    body.label(there)
    next_ = body.let(f"load ptr, ptr {child}")
    body.do(f"store ptr {next_}, ptr {at}")
    body.branch(body.let(f"icmp eq ptr {next_}, null"), put, down)
    body.label(put)
    body.call(*insert, f"ptr {parent}", f"i1 {smaller}")
    body.goto(done)
    body.label(refused)
    body.do(
        f"store i64 {body.call('bh_call_refuse', 'i64', 'ptr %run', f'i64 {node_number}')}, "
        f"ptr {outcome}"
    )
    body.goto(done)
    body.label(done)
    call.result(body.let(f"load i64, ptr {outcome}"))
    return True


INLINE: Final[Mapping[str, Inline]] = {
    "bpf_loop": _loop,
    "bpf_for_each_map_elem": _for_each,
    "bpf_rbtree_add_impl": _rbtree_add,
}
