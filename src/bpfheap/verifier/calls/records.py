"""Ring buffer records: reserved, written, submitted or discarded.

Sources: RET_PTR_TO_RINGBUF_MEM and ARG_PTR_TO_RINGBUF_MEM in check_helper_call and check_func_arg
of kernel/bpf/verifier.c, Linux 6.18.
"""

from __future__ import annotations

from bpfheap.verifier.calls.meta import Meta, expected
from bpfheap.verifier.memory.ownership import acquire_reference, release_reference
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import MEM, SCALAR, ZERO_OFFSET, Gone, Mem, Reg, State


def size(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """How large the record shall be: a number that is known."""
    if reg.kind != SCALAR:
        raise expected(n, reg, "scalar", "pass a number")
    if not reg.scalar.is_const:
        raise Reject(
            f"R{n} is not a known constant'",
            register=n,
            hint="the size of a record has to be known when the program is compiled; "
            "bpf_ringbuf_output takes any",
        )
    mark_register(env.cfg, st, n)
    # bpf_call_arg_meta.mem_size has 32 bits; no ring buffer has a record that long.
    meta.size = reg.scalar.const_value & 0xFFFFFFFF


def record(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """A record that the program has reserved, at its start."""
    if reg.kind != MEM or reg.or_null or not reg.what.record or not reg.ref:
        raise expected(n, reg, "ringbuf_mem")
    if reg.off or reg.scalar.m != 0 or reg.scalar.v != 0:
        raise Reject(
            f"R{n} must have zero offset when passed to release func or trusted arg to kfunc",
            detail=f"it has off={reg.off}",
            register=n,
            hint="pass what bpf_ringbuf_reserve gave",
        )
    meta.given, meta.given_register = reg, n


def reserved(env: Env, st: State, meta: Meta) -> Reg:
    """The record, or NULL if there is no room."""
    what = Mem(meta.size, record=True)
    ref = acquire_reference(env, st, what, meta.slot)
    return Reg(MEM, ZERO_OFFSET, 0, ref, ref, what, True)


def release_record(env: Env, st: State, meta: Meta) -> None:
    """The record is the reader's, or nobody's."""
    assert meta.given is not None
    gone = Gone(meta.slot, meta.call.name, "ring buffer record")
    release_reference(st, meta.given.ref, gone)
