"""The task that runs a program, and its control groups.

Sources: bpf_get_current_pid_tgid and its like in kernel/bpf/helpers.c and kernel/trace/bpf_trace.c
of Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from errno import EINVAL

from bpfheap.runtime.world import TASK, Caller, Leads, Stub, Word

_U32 = (1 << 32) - 1
_COMM = 16


def _of_task(call: Caller, member: str, otherwise: int) -> int:
    """A number of the current task, from its block if that has such a member."""
    task = call.world.current.task
    found = call.member(task, member) if task else None
    return otherwise if found is None else call.number(found)


def _pid_tgid(call: Caller, args: Sequence[Word]) -> Word:
    current = call.world.current
    pid, tgid = _of_task(call, "pid", current.pid), _of_task(call, "tgid", current.tgid)
    return (tgid & _U32) << 32 | pid & _U32


def _uid_gid(call: Caller, args: Sequence[Word]) -> Word:
    current = call.world.current
    uid, gid = current.uid, current.gid
    found = call.member(current.task, "cred") if current.task else None
    cred = None if found is None else call.block(found)
    if cred is not None:
        uid, gid = (
            number if found is None else call.number(found)
            for number, found in (
                (uid, call.member(cred.block, "uid.val")),
                (gid, call.member(cred.block, "gid.val")),
            )
        )
    return (gid & _U32) << 32 | uid & _U32


def _comm(call: Caller, args: Sequence[Word]) -> Word:
    """At most size - 1 bytes; what is behind them is 0 (strscpy_pad)."""
    to, size = args[0], call.number(args[1]) & _U32
    current = call.world.current
    found = call.bytes_of(current.task, "comm") if current.task else None
    name = current.comm if found is None else found
    name = name.partition(b"\0")[0][: min(size, _COMM) - 1]
    call.write(to, name.ljust(size, b"\0"))
    return 0


def _task(call: Caller, args: Sequence[Word]) -> Word:
    task = call.world.current.task
    found = Leads(task) if task else call.make(TASK)
    return 0 if found is None else call.pointer(found)


def _cgroup_id(call: Caller, args: Sequence[Word]) -> Word:
    return call.world.current.cgroups[-1]


def _ancestor_cgroup_id(call: Caller, args: Sequence[Word]) -> Word:
    """0 for a level that is not there."""
    level = call.number(args[0]) & _U32
    cgroups = call.world.current.cgroups
    return cgroups[level] if level < len(cgroups) else 0


def _ns_pid_tgid(call: Caller, args: Sequence[Word]) -> Word:
    """There is one namespace, whose numbers are those of the root's: whatever device and inode are
    given for it."""
    to, size = args[2], call.number(args[3]) & _U32
    if size != 8:
        call.write(to, bytes(size))
        return -EINVAL
    both = _pid_tgid(call, ())
    call.write(to, (both & _U32).to_bytes(4, "little") + (both >> 32).to_bytes(4, "little"))
    return 0


CALLS: Mapping[str, Stub] = {
    "bpf_get_current_pid_tgid": _pid_tgid,
    "bpf_get_current_uid_gid": _uid_gid,
    "bpf_get_current_comm": _comm,
    "bpf_get_current_task": _task,
    "bpf_get_current_task_btf": _task,
    "bpf_get_current_cgroup_id": _cgroup_id,
    "bpf_get_current_ancestor_cgroup_id": _ancestor_cgroup_id,
    "bpf_get_ns_current_pid_tgid": _ns_pid_tgid,
}
