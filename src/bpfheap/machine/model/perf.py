"""Records for user space in the buffers of perf events (bpf_perf_event_output and its like in
kernel/trace/bpf_trace.c and net/core/filter.c).

Somebody listens on each CPU from the start, as loaders see to it: element N is the event of CPU N.
"""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.model.convention import Arguments, Implementation, error, map_of, number
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.maps.common import writable
from bpfheap.machine.model.maps.events import index_limit
from bpfheap.machine.model.packets import content
from bpfheap.machine.model.records import Output
from bpfheap.machine.model.values import U32, Value
from bpfheap.platform.programs import PacketKind, program_type

#: BPF_F_INDEX_MASK, and as an index: the CPU that the program runs on.
_INDEX = U32
#: BPF_F_CTXLEN_MASK: how many bytes of the packet come behind the record.
_LENGTH_SHIFT, _LENGTH_MASK = 32, 0xFFFFF


def _output(core: Core, args: Arguments) -> Value:
    record = map_of(core, args[1], "event")
    flags, size = number(core, args[2], 3), number(core, args[4], 5)
    data = core.state.read(args[3], size)
    packet = core.execution.progress.packet
    spec = core.program.spec
    row = None if spec is None else program_type(spec.section)
    if packet is not None and row is not None and row.packet is not PacketKind.OTHER:
        length = flags >> _LENGTH_SHIFT & _LENGTH_MASK
        flags &= ~(_LENGTH_MASK << _LENGTH_SHIFT)
        seen = (content(core.state, core.execution) or b"")[packet.data :]
        if not flags & ~_INDEX:
            if length > len(seen):
                return error("EFAULT")
            data += seen[:length]
    if flags & ~_INDEX:
        return error("EINVAL")
    cpu = core.execution.cpu
    index = cpu if flags == _INDEX else flags
    if index >= index_limit(record, core.mutator.options.cpus):
        return error("E2BIG")
    event = record.inner.get(index.to_bytes(4, "little"))
    if event is None:
        return error("ENOENT")
    if event != cpu:
        return error("EOPNOTSUPP")
    record = writable(core.state, record)
    record.records = (*record.records, Output(cpu, data))
    return 0


CALLS: Mapping[str, Implementation] = {"bpf_perf_event_output": _output}
