"""What a program is attached to: arguments, what is returned, signals.

Sources: bpf_get_func_arg, bpf_get_func_ret, bpf_get_attach_cookie, bpf_send_signal and
bpf_override_return in kernel/trace/bpf_trace.c, bpf_set_retval in kernel/bpf/cgroup.c of Linux
6.18.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from errno import EFAULT, EINVAL, EOPNOTSUPP

from bpfheap.runtime.world import Caller, Space, Stub, Word

_U32 = (1 << 32) - 1
_WORD = 8
#: _NSIG
_SIGNALS = 64
_MAX_ERRNO = 4095


def _argument(call: Caller, args: Sequence[Word]) -> Word:
    n = call.number(args[1]) & _U32
    if n >= call.world.place.arguments:
        return -EINVAL
    call.probe(args[2], call.moved(args[0], n * _WORD), _WORD, Space.EITHER)
    return 0


def _returned(call: Caller, args: Sequence[Word]) -> Word:
    place = call.world.place
    if not place.returned:
        return -EOPNOTSUPP
    at = call.moved(args[0], place.arguments * _WORD)
    call.probe(args[1], at, _WORD, Space.EITHER)
    return 0


def _count(call: Caller, args: Sequence[Word]) -> Word:
    return call.world.place.arguments


def _ip(call: Caller, args: Sequence[Word]) -> Word:
    return call.world.place.ip


def _cookie(call: Caller, args: Sequence[Word]) -> Word:
    return call.world.place.cookie


def _get_retval(call: Caller, args: Sequence[Word]) -> Word:
    return call.world.returns or 0


def _set_retval(call: Caller, args: Sequence[Word]) -> Word:
    """Numbers that are no errors are refused."""
    value = call.number(args[0]) & _U32
    value -= (value >> 31) << 32
    if not -_MAX_ERRNO <= value <= 0:
        return -EINVAL
    call.world = call.world._replace(returns=value)
    return 0


def _override(call: Caller, args: Sequence[Word]) -> Word:
    call.world = call.world._replace(returns=_signed(call.number(args[1])))
    return 0


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _signal(call: Caller, args: Sequence[Word]) -> Word:
    signal = call.number(args[0]) & _U32
    if signal > _SIGNALS:
        return -EINVAL
    call.world = call.world._replace(signals=(*call.world.signals, signal))
    return 0


def _write_user(call: Caller, args: Sequence[Word]) -> Word:
    size = call.number(args[2]) & _U32
    if call.look(args[0], size, Space.USER) is None:
        return -EFAULT
    call.write(args[0], call.read(args[1], size))
    return 0


def _numa_node(call: Caller, args: Sequence[Word]) -> Word:
    """There is one."""
    return 0


CALLS: Mapping[str, Stub] = {
    "bpf_get_func_arg": _argument,
    "bpf_get_func_ret": _returned,
    "bpf_get_func_arg_cnt": _count,
    "bpf_get_func_ip": _ip,
    "bpf_get_attach_cookie": _cookie,
    "bpf_get_retval": _get_retval,
    "bpf_set_retval": _set_retval,
    "bpf_override_return": _override,
    "bpf_send_signal": _signal,
    "bpf_send_signal_thread": _signal,
    "bpf_probe_write_user": _write_user,
    "bpf_get_numa_node_id": _numa_node,
}
