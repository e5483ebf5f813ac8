"""What calls tell of where a program runs: clocks and the CPU. Every run is an RCU section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bpfheap.machine.native._core import LAYOUT
from bpfheap.machine.native.jit.calls.call import CallSite, Inline


def _clock(number: str, name: str) -> Inline:
    """A clock of libc's, so of the vDSO's, unless somebody has set it."""

    def read(call: CallSite) -> bool:
        body = call.body
        core = body.known("ptr", body.field("%run", "bh_run.core"))
        clocked = body.let(f"load i8, ptr {body.field(core, 'bh_core.clocked')}")
        found = body.variable("i64")
        ours, theirs, on = body.name("ours"), body.name("theirs"), body.name("on")
        body.branch(body.let(f"icmp eq i8 {clocked}, 0"), theirs, ours, likely=True)
        body.label(ours)
        registers = body.field("%run", "bh_run.r")
        made_up = body.call(name, "i64", "ptr %run", f"ptr {registers}")
        body.do(f"store i64 {made_up}, ptr {found}")
        body.goto(on)
        body.label(theirs)
        now = body.variable("[2 x i64]")
        body.call("clock_gettime", "i32", f"i32 {LAYOUT[number]}", f"ptr {now}")
        seconds = body.let(f"load i64, ptr {now}")
        rest = body.let(f"load i64, ptr {body.let(f'getelementptr i8, ptr {now}, i64 8')}")
        whole = body.let(f"mul i64 {seconds}, 1000000000")
        body.do(f"store i64 {body.let(f'add i64 {whole}, {rest}')}, ptr {found}")
        body.goto(on)
        body.label(on)
        call.result(body.let(f"load i64, ptr {found}"))
        return True

    return read


def _cpu(call: CallSite) -> bool:
    call.result(call.cpu())
    return True


def _nothing(call: CallSite) -> bool:
    call.result("0")
    return True


INLINE: Final[Mapping[str, Inline]] = {
    "bpf_get_smp_processor_id": _cpu,
    "bpf_ktime_get_ns": _clock("CLOCK_MONOTONIC", "bpf_ktime_get_ns"),
    "bpf_ktime_get_boot_ns": _clock("CLOCK_BOOTTIME", "bpf_ktime_get_boot_ns"),
    "bpf_rcu_read_lock": _nothing,
    "bpf_rcu_read_unlock": _nothing,
    "bpf_preempt_disable": _nothing,
    "bpf_preempt_enable": _nothing,
    "bpf_local_irq_restore": _nothing,
}
