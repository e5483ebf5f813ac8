"""Iterators over numbers: struct bpf_iter_num_kern is the number and its end, 32 bits each."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from bpfheap.machine.native._core import LAYOUT
from bpfheap.machine.native.jit.calls.call import CallSite, Inline, errno_value


def _iter_new(call: CallSite) -> bool:
    body = call.body
    iter_, start, end = call.pointer(1, 8, 8), call.word(2), call.word(3)
    second = body.let(f"getelementptr i8, ptr {iter_}, i64 4")
    outcome = body.variable("i64")
    right, good, done = body.name("right"), body.name("good"), body.name("begun")
    body.do(f"store i32 0, ptr {iter_}, align 4")
    body.do(f"store i32 0, ptr {second}, align 4")
    body.do(f"store i64 {errno_value(errno.EINVAL)}, ptr {outcome}")
    wide_end = body.let(f"sext i32 {end} to i64")
    wide_start = body.let(f"sext i32 {start} to i64")
    rounds = body.let(f"sub i64 {wide_end}, {wide_start}")
    ordered = body.let(f"icmp sge i64 {rounds}, 0")
    few = body.let(f"icmp ule i64 {rounds}, {LAYOUT['BH_LOOPS']}")
    body.count_begun(few, rounds)
    body.branch(ordered, right, done)
    body.label(right)
    body.do(f"store i64 {errno_value(errno.E2BIG)}, ptr {outcome}")
    body.branch(few, good, done)
    body.label(good)
    body.do(f"store i32 {body.let(f'add i32 {start}, -1')}, ptr {iter_}, align 4")
    body.do(f"store i32 {end}, ptr {second}, align 4")
    body.do(f"store i64 0, ptr {outcome}")
    body.goto(done)
    body.label(done)
    call.result(body.let(f"load i64, ptr {outcome}"))
    return True


def _iter_next(call: CallSite) -> bool:
    body = call.body
    iter_ = call.pointer(1, 8, 8)
    second = body.let(f"getelementptr i8, ptr {iter_}, i64 4")
    next_ = body.let(f"add i32 {body.let(f'load i32, ptr {iter_}, align 4')}, 1")
    end = body.let(f"load i32, ptr {second}, align 4")
    more, over, done = body.name("more"), body.name("over"), body.name("next")
    body.branch(body.let(f"icmp slt i32 {next_}, {end}"), more, over)
    body.label(more)
    body.do(f"store i32 {next_}, ptr {iter_}, align 4")
    body.goto(done)
    body.label(over)
    body.do(f"store i32 0, ptr {iter_}, align 4")
    body.do(f"store i32 0, ptr {second}, align 4")
    body.goto(done)
    body.label(done)
    body.set_pointer(0, body.let(f"phi ptr [ {iter_}, %{more} ], [ null, %{over} ]"))
    return True


def _iter_destroy(call: CallSite) -> bool:
    body = call.body
    body.do(f"store i64 0, ptr {call.pointer(1, 8, 8)}, align 4")
    call.result("0")
    return True


INLINE: Final[Mapping[str, Inline]] = {
    "bpf_iter_num_new": _iter_new,
    "bpf_iter_num_next": _iter_next,
    "bpf_iter_num_destroy": _iter_destroy,
}
