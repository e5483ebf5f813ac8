"""Copies from addresses that may lead nowhere.

Sources: bpf_probe_read_kernel and its like in kernel/trace/bpf_trace.c, bpf_copy_from_user in
kernel/bpf/helpers.c, strncpy_from_kernel_nofault in mm/maccess.c of Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from errno import EFAULT, EINVAL, ERANGE

from bpfheap.runtime.world import Caller, Space, Stub, Word

_U32 = (1 << 32) - 1


def _refusal(call: Caller, at: Word, space: Space) -> int:
    """An address of user space is none of the kernel's, before anybody looks there
    (copy_from_kernel_nofault_allowed)."""
    return -ERANGE if space is Space.KERNEL and call.is_users(at) else -EFAULT


def _copy(space: Space) -> Stub:
    def copy(call: Caller, args: Sequence[Word]) -> Word:
        size = call.number(args[1]) & _U32
        if not size and space is Space.KERNEL:
            return -ERANGE if call.is_users(args[2]) else 0
        return 0 if call.probe(args[0], args[2], size, space) else _refusal(call, args[2], space)

    return copy


def _text(space: Space) -> Stub:
    """The length with its NUL, which is there even if the text is cut."""

    def text(call: Caller, args: Sequence[Word]) -> Word:
        size = call.number(args[1]) & _U32
        if not size:
            return 0
        found = call.text(args[2], size, space)
        if found is None:
            call.write(args[0], bytes(size))
            return _refusal(call, args[2], space)
        found = found[: size - 1]
        call.write(args[0], found + b"\0")
        return len(found) + 1

    return text


def _user_text(call: Caller, args: Sequence[Word]) -> Word:
    """The length with its NUL, after which zeros may follow (BPF_F_PAD_ZEROS)."""
    size, flags = call.number(args[1]) & _U32, call.number(args[3])
    if flags & ~_PAD_ZEROS:
        return -EINVAL
    if not size:
        return 0
    found = call.text(args[2], size, Space.USER)
    if found is None:
        call.write(args[0], bytes(size if flags else 0))
        return -EFAULT
    text = found[: size - 1] + b"\0"
    call.write(args[0], text.ljust(size, b"\0") if flags else text)
    return len(text)


#: BPF_F_PAD_ZEROS
_PAD_ZEROS = 1

CALLS: Mapping[str, Stub] = {
    # The old ones look wherever the address leads (bpf_probe_read_compat).
    "bpf_probe_read": _copy(Space.EITHER),
    "bpf_probe_read_str": _text(Space.EITHER),
    "bpf_probe_read_kernel": _copy(Space.KERNEL),
    "bpf_probe_read_kernel_str": _text(Space.KERNEL),
    "bpf_probe_read_user": _copy(Space.USER),
    "bpf_probe_read_user_str": _text(Space.USER),
    "bpf_copy_from_user": _copy(Space.USER),
    "bpf_copy_from_user_str": _user_text,
    "bpf_copy_from_user_task_str": lambda call, args: _user_text(
        call, (*args[:3], args[4]) if len(args) > 4 else args
    ),
    # Every task has the same memory here.
    "bpf_copy_from_user_task": _copy(Space.USER),
}
