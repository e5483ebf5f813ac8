"""Calls that send packets and connections where a map says (net/core/filter.c,
net/core/sock_map.c). Nothing goes anywhere: where it would go is noted."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.model.convention import Arguments, Implementation, map_of, number
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.maps import elements
from bpfheap.machine.model.maps.devices import first_word
from bpfheap.machine.model.records import MapRecord
from bpfheap.machine.model.values import U32, Pointer, Value
from bpfheap.platform.maps import Holds
from bpfheap.runtime.world import Redirect

#: enum xdp_action; the low bits of the flags are what is returned if there is nothing.
_XDP_ABORTED, _XDP_REDIRECT, _ACTION = 0, 4, 3
#: BPF_F_BROADCAST, BPF_F_EXCLUDE_INGRESS.
_BROADCAST, _NOT_BACK = 1 << 3, 1 << 4
#: Where struct xdp_md has the interface that the packet came from.
_INGRESS = 12


def note(core: Core, call: str, to: int, record: MapRecord, flags: int) -> None:
    """What was sent where."""
    world = core.state.world
    made = Redirect(call, to, record.spec.name, flags)
    core.state.world = world._replace(redirects=(*world.redirects, made))


def _redirect_map(core: Core, args: Arguments) -> Value:
    record = map_of(core, args[0], "redirect")
    key = (number(core, args[1], 2) & U32).to_bytes(4, "little")
    flags = number(core, args[2], 3)
    known = _ACTION | (_BROADCAST | _NOT_BACK if record.type.holds is Holds.DEVICES else 0)
    if flags & ~known:
        return _XDP_ABORTED
    if flags & _BROADCAST:
        came_from = core.state.load(Pointer(core.execution.ctx, _INGRESS), 4)
        for one in elements(record.type).keys(record):
            to = _target(core, record, one)
            if not (flags & _NOT_BACK and to == came_from):
                note(core, "bpf_redirect_map", to, record, flags)
        return _XDP_REDIRECT
    if key not in record.entries:
        return flags & _ACTION
    note(core, "bpf_redirect_map", _target(core, record, key), record, flags)
    return _XDP_REDIRECT


def _target(core: Core, record: MapRecord, key: bytes) -> int:
    match record.type.holds:
        case Holds.DEVICES:
            return first_word(core.state.read(Pointer(record.entries[key][0], 0), 4))
        case Holds.CPUS:
            return int.from_bytes(key, "little")
        case _:
            return record.entries[key][0]


CALLS: Mapping[str, Implementation] = {"bpf_redirect_map": _redirect_map}
