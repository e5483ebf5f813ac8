"""Objects of the kernel to which programs get references, and what leads from one to another.

Sources: bpf_task_acquire, bpf_cgroup_from_id and their like in kernel/bpf/helpers.c,
kernel/bpf/cpumask.c, bpf_cast_to_kern_ctx and bpf_rdonly_cast of Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bpfheap.machine.faults import Fault
from bpfheap.runtime.world import TASK, Caller, Leads, Stub, Word

_U32 = (1 << 32) - 1
_CGROUP = "struct cgroup"


def _acquire(call: Caller, args: Sequence[Word]) -> Word:
    found = call.block(args[0])
    if found is None:
        return 0
    call.acquire(found.block)
    return args[0]


def _release(call: Caller, args: Sequence[Word]) -> Word:
    found = call.block(args[0])
    if found is None:
        raise Fault("bad-call", f"{call.name} of what is no object of the kernel")
    call.release(found.block)
    return 0


def _with(call: Caller, name: str, path: str, wanted: int) -> Word:
    """The object of a type whose member is that, and a reference to it; NULL if there is none."""
    for block in call.blocks(name):
        found = call.member(block, path)
        if found is not None and call.number(found) == wanted:
            call.acquire(block)
            return call.pointer(Leads(block))
    return 0


def _task_from_pid(call: Caller, args: Sequence[Word]) -> Word:
    return _with(call, TASK, "pid", call.number(args[0]) & _U32)


def _cgroup_from_id(call: Caller, args: Sequence[Word]) -> Word:
    wanted = call.number(args[0])
    for block in call.blocks(_CGROUP):
        node = call.member(block, "kn")
        found = None if node is None else call.block(node)
        number = None if found is None else call.member(found.block, "id")
        if number is not None and call.number(number) == wanted:
            call.acquire(block)
            return call.pointer(Leads(block))
    return 0


def _cgroup_ancestor(call: Caller, args: Sequence[Word]) -> Word:
    """By the pointers of `ancestors`, as deep as the group is."""
    found = call.block(args[0])
    level = call.number(args[1]) & _U32
    depth = None if found is None else call.member(found.block, "level")
    if found is None or depth is None or level > call.number(depth):
        return 0
    ancestor = call.member(found.block, f"ancestors[{level}]")
    leads = None if ancestor is None else call.block(ancestor)
    if leads is None:
        return 0
    call.acquire(leads.block)
    return ancestor


def _same(call: Caller, args: Sequence[Word]) -> Word:
    """The same pointer, as another type."""
    return args[0]


def _cpumask_create(call: Caller, args: Sequence[Word]) -> Word:
    made = call.make("struct bpf_cpumask")
    if made is None:
        return 0
    call.acquire(made.block)
    return call.pointer(made)


def _bits(call: Caller, at: Word) -> int:
    return int.from_bytes(call.read(at, 8), "little")


def _set_bits(call: Caller, at: Word, bits: int) -> None:
    call.write(at, (bits & (1 << 64) - 1).to_bytes(8, "little"))


def _cpumask_bit(change: bool | None) -> Stub:
    """Sets, clears or tests a CPU's bit; gives what it was."""

    def bit(call: Caller, args: Sequence[Word]) -> Word:
        cpu = call.number(args[0]) & _U32
        if cpu >= _CPUS:
            return 0
        bits = _bits(call, args[1])
        if change is not None:
            _set_bits(call, args[1], bits | 1 << cpu if change else bits & ~(1 << cpu))
        return bits >> cpu & 1

    return bit


#: As far as masks are looked at.
_CPUS = 64


def _cpumask_all(call: Caller, args: Sequence[Word]) -> Word:
    _set_bits(call, args[0], (1 << call.cpus) - 1)
    return 0


def _cpumask_clear(call: Caller, args: Sequence[Word]) -> Word:
    _set_bits(call, args[0], 0)
    return 0


def _first(bits: int, of: int) -> int:
    return (bits & -bits).bit_length() - 1 if bits else of


def _cpumask_first(call: Caller, args: Sequence[Word]) -> Word:
    return _first(_bits(call, args[0]), call.cpus)


def _cpumask_first_zero(call: Caller, args: Sequence[Word]) -> Word:
    return _first(~_bits(call, args[0]) & (1 << call.cpus) - 1, call.cpus)


def _cpumask_empty(call: Caller, args: Sequence[Word]) -> Word:
    return int(not _bits(call, args[0]))


def _cpumask_full(call: Caller, args: Sequence[Word]) -> Word:
    every = (1 << call.cpus) - 1
    return int(_bits(call, args[0]) & every == every)


def _cpumask_weight(call: Caller, args: Sequence[Word]) -> Word:
    return _bits(call, args[0]).bit_count()


def _cpumask_copy(call: Caller, args: Sequence[Word]) -> Word:
    _set_bits(call, args[0], _bits(call, args[1]))
    return 0


def _cpumask_two(name: str) -> Stub:
    def two(call: Caller, args: Sequence[Word]) -> Word:
        a, b = _bits(call, args[1]), _bits(call, args[2])
        bits = {"and": a & b, "or": a | b, "xor": a ^ b}[name]
        _set_bits(call, args[0], bits)
        return int(bool(bits))

    return two


def _cpumask_compare(name: str) -> Stub:
    def compare(call: Caller, args: Sequence[Word]) -> Word:
        a, b = _bits(call, args[0]), _bits(call, args[1])
        return int({"equal": a == b, "intersects": bool(a & b), "subset": not a & ~b}[name])

    return compare


CALLS: Mapping[str, Stub] = {
    "bpf_task_acquire": _acquire,
    "bpf_task_release": _release,
    "bpf_task_from_pid": _task_from_pid,
    "bpf_task_from_vpid": _task_from_pid,
    "bpf_cgroup_acquire": _acquire,
    "bpf_cgroup_release": _release,
    "bpf_cgroup_from_id": _cgroup_from_id,
    "bpf_cgroup_ancestor": _cgroup_ancestor,
    "bpf_cast_to_kern_ctx": _same,
    "bpf_rdonly_cast": _same,
    "bpf_cpumask_create": _cpumask_create,
    "bpf_cpumask_acquire": _acquire,
    "bpf_cpumask_release": _release,
    "bpf_cpumask_first": _cpumask_first,
    "bpf_cpumask_first_zero": _cpumask_first_zero,
    "bpf_cpumask_set_cpu": _cpumask_bit(True),
    "bpf_cpumask_clear_cpu": _cpumask_bit(False),
    "bpf_cpumask_test_cpu": _cpumask_bit(None),
    "bpf_cpumask_test_and_set_cpu": _cpumask_bit(True),
    "bpf_cpumask_test_and_clear_cpu": _cpumask_bit(False),
    "bpf_cpumask_setall": _cpumask_all,
    "bpf_cpumask_clear": _cpumask_clear,
    "bpf_cpumask_and": _cpumask_two("and"),
    "bpf_cpumask_or": _cpumask_two("or"),
    "bpf_cpumask_xor": _cpumask_two("xor"),
    "bpf_cpumask_equal": _cpumask_compare("equal"),
    "bpf_cpumask_intersects": _cpumask_compare("intersects"),
    "bpf_cpumask_subset": _cpumask_compare("subset"),
    "bpf_cpumask_empty": _cpumask_empty,
    "bpf_cpumask_full": _cpumask_full,
    "bpf_cpumask_copy": _cpumask_copy,
    "bpf_cpumask_any_distribute": _cpumask_first,
    "bpf_cpumask_weight": _cpumask_weight,
}
